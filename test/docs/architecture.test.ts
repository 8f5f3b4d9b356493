import { existsSync, readFileSync } from "node:fs";
import { test } from "tap";

const ROOT = new URL("../../", import.meta.url);
const text = readFileSync(new URL("docs/architecture.md", ROOT), "utf8");

test("every file and room that the page names is there", (t) => {
  const named =
    text.match(/(?<![\w./])(?:agent|protocol|policies|haproxy|records|docs|test)\/[\w./-]*(?:\.\w+|\/)/g) ?? [];
  t.ok(named.length > 40, `${named.length}`);
  for (const name of new Set(named)) t.ok(existsSync(new URL(name, ROOT)), name);
  t.end();
});
