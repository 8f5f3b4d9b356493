import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { test } from "tap";
import { run, save } from "./runner.ts";
import { hold, type Target } from "./target.ts";
import { TARGETS } from "./targets.ts";

const command = promisify(execFile);
const MAIN = join(import.meta.dirname, "main.ts");

/** How long a case takes says nothing on a machine that others use. */
const NEVER = Number.POSITIVE_INFINITY;

const page = readFileSync(new URL("../../docs/reliability.md", import.meta.url), "utf8");

test("every target is on the page with what it is held to", (t) => {
  for (const { name, oracle } of TARGETS) t.ok(page.includes(`| ${name} | ${oracle} |`), name);
  t.end();
});

for (const target of TARGETS) {
  test(`${target.name}: ${target.oracle}`, async (t) => {
    const { findings, words } = await run(target, { seed: 1, first: 0, cases: target.tested, limit: NEVER });
    t.strictSame(
      findings.map(({ source, problem, input }) => `${source}: ${problem}\n${input.toString("base64")}`),
      [],
    );
    for (const word of target.reaches) t.ok((words[word] ?? 0) > 0, `${word} was reached`);
  });
}

test("what is found is kept, and can be tried again by the number of its case and by its file", async (t) => {
  const broken: Target = {
    name: "broken",
    oracle: "no input ends in a",
    tested: 0,
    share: 0,
    reaches: [],
    open: () => ({
      input: (random) => Buffer.from(random.once(5) ? "aa" : "ab"),
      check(input) {
        hold(!input.toString().endsWith("aa"), "it ends in a");
        return "fine";
      },
    }),
  };
  const order = { seed: 7, first: 0, cases: 40, limit: NEVER };
  const { findings } = await run(broken, order);
  t.ok(findings.length > 0 && findings.length < 40);
  for (const { source } of findings) {
    const again = await run(broken, { ...order, first: Number(source), cases: 1 });
    t.equal(again.findings.length, 1, `case ${source}`);
  }
  const [first] = findings;
  if (first === undefined) throw new Error("nothing found");
  const file = save(t.testdir(), first);
  t.equal(readFileSync(file, "utf8"), "aa");
  t.match(readFileSync(`${file}.txt`, "utf8"), "it ends in a");
});

test("the command runs one target, one case or one file, and tells a wrong word", async (t) => {
  const folder = t.testdir({ input: "GET" });
  const { stdout, stderr } = await command(process.execPath, [MAIN, "hosts", "--cases", "50", "--seed", "3"]);
  t.match(stdout, /^hosts: 50 cases, 0 findings, .* refused \d+\n$/);
  t.match(stderr, /^seed 3, commit /);
  const one = await command(process.execPath, [MAIN, "hosts", "--case", "17", "--seed", "3", "--json"]);
  t.match(JSON.parse(one.stdout), { target: "hosts", cases: 1, findings: 0, seed: 3 });
  const file = await command(process.execPath, [MAIN, "hosts", "--input", join(folder, "input"), "--json"]);
  t.match(JSON.parse(file.stdout), { cases: 1, words: { read: 1 } });
  for (const args of [["nothing"], [], ["hosts", "--cases", "many"], ["hosts", "json"]]) {
    await t.rejects(command(process.execPath, [MAIN, ...args]), { code: 64 });
  }
});
