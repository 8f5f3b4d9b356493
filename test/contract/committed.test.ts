import { readFileSync } from "node:fs";
import { test } from "tap";
import { command, folderOf } from "../support/serve.ts";

const root = new URL("../..", import.meta.url).pathname;

test("the committed haproxy.cfg and SPOE file are what the generator writes for the example's policies", async (t) => {
  const folder = folderOf(t, {});
  const { code, err } = await command(
    ["generate", "haproxy", "--config", "demo/countersign.yaml", "--output", folder],
    { cwd: root },
  );
  t.equal(code, 0, err);
  for (const name of ["haproxy.cfg", "countersign.spoe.conf"]) {
    const [committed, generated] = [`${root}haproxy`, folder].map((at) => readFileSync(`${at}/${name}`, "utf8"));
    t.equal(
      committed,
      generated,
      `${name}: countersign generate haproxy --config demo/countersign.yaml --output haproxy`,
    );
  }
});

test("the example's own cases pass", async (t) => {
  const { code, out } = await command(["test", "--config", "demo/countersign.yaml"], { cwd: root });
  t.equal(code, 0, out);
  t.match(out, /\n[1-9]\d* passed, 0 failed\n$/);
});
