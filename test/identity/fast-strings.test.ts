import { execFileSync } from "node:child_process";
import { join } from "node:path";
import t from "tap";

const SERVE = join(import.meta.dirname, "../../agent/commands/serve.ts");

t.test("nothing that the agent loads makes the methods of strings slow", (t) => {
  const probe = `await import(${JSON.stringify(SERVE)}); console.log(%HasFastProperties(String.prototype));`;
  const args = ["--allow-natives-syntax", "--input-type=module", "--eval", probe];
  t.equal(execFileSync(process.execPath, args, { encoding: "utf8" }), "true\n");
  t.end();
});
