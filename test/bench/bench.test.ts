import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { test } from "tap";
import { figuresOf } from "../../bench/figures.ts";
import { extent } from "../../bench/markdown.ts";
import { SECTIONS } from "../../bench/options.ts";
import { replaced } from "../../bench/page.ts";
import type { Report } from "../../bench/results.ts";
import { asText, tablesOf } from "../../bench/tables.ts";
import { haproxies, minorOf } from "../support/haproxy.ts";

const BENCH = resolve(import.meta.dirname, "../../bench/main.ts");
const run = promisify(execFile);

/** With the newest HAProxy. */
async function quickRun(...args: readonly string[]): Promise<Report> {
  const version = haproxies().map(minorOf).at(-1);
  if (version === undefined) throw new Error("no HAProxy: npm run setup");
  // What Go lacks here is not fetched by a test; the benchmark then names its agents as missing.
  const env = { ...process.env, GOPROXY: "off" };
  const { stdout } = await run(process.execPath, [BENCH, "--quick", "--json", "--haproxy", version, ...args], { env });
  const [report] = JSON.parse(stdout) as readonly Report[];
  if (report === undefined) throw new Error("no report");
  return report;
}

test("a quick run measures every contestant, or names it as missing", async (t) => {
  const report = await quickRun();
  t.match(report.haproxy, haproxies().map(minorOf).at(-1));

  const measured = report.results.map(({ contestant }) => contestant);
  const missing = Object.keys(report.missing);
  for (const name of ["plain HAProxy", "countersign", "jwt_verify RS256", "constant answer (Node)"]) {
    t.ok(measured.includes(name), name);
  }
  for (const library of ["haproxy-spoe-go", "haproxy-go"]) {
    t.equal([...measured, ...missing].filter((name) => name.startsWith(`${library}, `)).length, 3, library);
  }

  for (const { contestant, samples } of report.results) {
    t.equal(samples.length, 1, contestant);
    for (const { requests, refused, broken, haproxy, agent, memory, p50, p99, p999, max } of samples) {
      t.ok(requests > 0 && haproxy > 0 && refused + broken === 0, `${contestant}: answered, and right`);
      t.ok(0 < p50 && p50 <= p99 && p99 <= p999 && p999 <= max, `${contestant}: latencies`);
      const alone = contestant === "plain HAProxy" || contestant.startsWith("jwt_verify");
      t.strictSame([agent > 0, memory > 0], [!alone, !alone], `${contestant}: its agent is counted`);
    }
  }
  const [table] = tablesOf(report);
  if (table === undefined) throw new Error("no table");
  t.equal(table.rows.length, report.results.length + 1);
  t.match(
    asText(table),
    /requests\/s.*p50 ms.*p99 ms.*p99\.9 ms.*HAProxy us.*agent us.*both us.*x plain.*agent MB.*wrong/,
  );
});

test("every identity is measured and let in, and what has to be as cheap and as fast is told", async (t) => {
  const report = await quickRun("--section", "identities");
  t.equal(report.results.length, 10);
  for (const { scenario, samples } of report.results) {
    for (const { requests, wrong, agent } of samples) {
      t.strictSame([requests > 0, wrong, agent > 0], [true, 0, true], `${scenario}: answered, and right`);
    }
  }
  const reached = figuresOf(report).filter((figure) => figure.reached !== undefined);
  const of = (what: RegExp) => reached.filter((figure) => what.test(figure.what)).map(({ must }) => must);
  t.strictSame(of(/^CPU, agent, /), [1.1, 1.1, 1.1, 1.1, undefined], "DPoP without a bound");
  t.strictSame(of(/^p99, .* beside slow/), [1.5, 1.5]);
  t.equal(reached.length, 7);
});

test("the tables of a run take the place of the last ones with as many cores", async (t) => {
  const page = "<!-- measured with 1: begin -->\nold\n<!-- measured with 1: end -->\nrest";
  t.equal(
    replaced(page, "measured with 1", "new\n"),
    "<!-- measured with 1: begin -->\nnew\n<!-- measured with 1: end -->\nrest",
  );
  t.throws(() => replaced(page, "measured with 2", "new\n"), /measured with 2/);
});

test("a run of a few sections says what it did not measure", async (t) => {
  const text = extent({ rounds: 3, seconds: 2, sections: ["warm", "latency"] });
  t.match(
    text,
    "Rounds: 3, of 2 s each. Sections: warm, latency; not measured: many, cold, policies, identities, events, workers, footprint.",
  );
  t.notMatch(extent({ rounds: 5, seconds: 3, sections: SECTIONS }), "not measured");
});

test("a wrong option is told", async (t) => {
  for (const args of [["--section", "nothing"], ["--rounds", "0"], ["--cores", "3"], ["--unknown"]]) {
    await t.rejects(run(process.execPath, [BENCH, ...args]), { code: 1, stderr: new RegExp(args[0] ?? "") });
  }
});
