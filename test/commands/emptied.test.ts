import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { agent, client, policy, ruleOf } from "../support/serving.ts";

const SECOND = policy("two").replace("{ s:", "{ s2:").replace("orders.", "invoices.");

const EMPTIED = ["", "# services: to be written\n", "roles: {}\nservices: {}\n"];

for (const [workers, emptied] of [
  [1, EMPTIED],
  [2, EMPTIED.slice(0, 1)],
] as const) {
  test(`workers: ${workers}: a policy file that has become empty takes nothing away`, async (t) => {
    const files = { "policies/a.yaml": policy("one"), "policies/b.yaml": SECOND };
    const { folder, served } = await agent(t, files, () => {}, workers);
    const { revision } = JSON.parse((await served.page("/status")).text);
    const connection = await client(t, served);
    for (const [i, text] of emptied.entries()) {
      writeFileSync(join(folder, "policies", "a.yaml"), text);
      const line = await served.said("reload failed", i + 1);
      t.match(String(line.faults), /policies\/a\.yaml:1:1: .*; .*remove the file/, text);
      t.equal(await ruleOf(connection), "s/one");
    }
    t.match((await served.page("/metrics")).text, "countersign_last_reload_successful 0");
    const ready = JSON.parse((await served.page("/ready")).text);
    t.match(ready, { ready: true, revision });
    t.match(String(ready.problems), "policies/a.yaml:1:1");
    t.match((await served.page("/status")).text, /"last_failed_reload": \{[^}]*policies\/a\.yaml:1:1/s);
    writeFileSync(join(folder, "policies", "a.yaml"), policy("two"));
    await served.said("reloaded");
    t.equal(await ruleOf(connection), "s/two");
    t.strictSame(JSON.parse((await served.page("/ready")).text).problems, []);
  });
}

test("a directory that has become empty, or rules that have all gone, take nothing away; a file that is removed does", async (t) => {
  const files = {
    "policies/a.yaml": policy("one"),
    "policies/team/b.yaml": SECOND,
    "policies/team/c.yaml": "roles: { r: [{ subject: x }] }\n",
  };
  const { folder, served } = await agent(t, files);
  const connection = await client(t, served);
  const mount = join(folder, "policies", "team");
  rmSync(join(mount, "c.yaml"));
  await served.said("reloaded", 1);
  rmSync(join(mount, "b.yaml"));
  t.match(String((await served.said("reload failed", 1)).faults), /policies\/team:1:1: no policy file .* any more/);
  t.match((await served.page("/status")).text, '"services": 2');
  rmSync(mount, { recursive: true });
  await served.said("reloaded", 2);
  t.match((await served.page("/status")).text, '"services": 1', "a directory that is removed was meant to be");
  writeFileSync(join(folder, "policies", "roles.yaml"), "roles: { r: [{ subject: x }] }\n");
  await served.said("reloaded", 3);
  rmSync(join(folder, "policies", "a.yaml"));
  t.match(String((await served.said("reload failed", 2)).faults), /no service any more/);
  t.equal(await ruleOf(connection), "s/one");
});

test("a ConfigMap whose keys have been emptied or removed takes nothing away", async (t) => {
  const { folder, served } = await agent(t, {}, (root) => {
    for (const [version, text] of [
      ["one", policy("one")],
      ["two", ""],
    ] as const) {
      mkdirSync(join(root, "policies", `..${version}`), { recursive: true });
      writeFileSync(join(root, "policies", `..${version}`, "orders.yaml"), text);
    }
    mkdirSync(join(root, "policies", "..three"));
    symlinkSync("..one", join(root, "policies", "..data"));
    symlinkSync(join("..data", "orders.yaml"), join(root, "policies", "orders.yaml"));
  });
  const connection = await client(t, served);
  for (const [i, version] of ["..two", "..three"].entries()) {
    symlinkSync(version, join(folder, "policies", "..new"));
    renameSync(join(folder, "policies", "..new"), join(folder, "policies", "..data"));
    // As the kubelet does after the swap.
    if (version === "..three") rmSync(join(folder, "policies", "orders.yaml"));
    await served.said("reload failed", i + 1);
    t.equal(await ruleOf(connection), "s/one", version);
  }
});

test("a first start takes a policy file that says nothing, and /ready names it", async (t) => {
  const { served } = await agent(t, { "policies/a.yaml": "", "policies/b.yaml": policy("one") });
  t.match(String((await served.said("countersign started")).warnings), /policies\/a\.yaml:1:1: /);
  t.match(String(JSON.parse((await served.page("/ready")).text).problems), /policies\/a\.yaml:1:1: /);
  const none = await agent(t, { "policies/a.yaml": "# nothing yet\n" });
  const { ready, problems } = JSON.parse((await none.served.page("/ready")).text);
  t.equal(ready, true);
  t.match(String(problems), "no service: every request is refused");
});
