import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { test } from "tap";
import { figuresOf } from "../../bench/figures.ts";
import { extent } from "../../bench/markdown.ts";
import { SECTIONS } from "../../bench/options.ts";
import { replaced } from "../../bench/page.ts";
import type { Report } from "../../bench/results.ts";
import { judge } from "../../bench/soak/judge.ts";
import { picture } from "../../bench/soak/picture.ts";
import type { Sample } from "../../bench/soak/samples.ts";
import { asText, tablesOf } from "../../bench/tables.ts";
import { haproxies, minorOf } from "../support/haproxy.ts";

const BENCH = resolve(import.meta.dirname, "../../bench/main.ts");
const SOAK = resolve(import.meta.dirname, "../../bench/soak/main.ts");
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

/**
 * On a machine that is busy, most answers may come too late, and HAProxy refuses for want of them. The benchmark itself
 * takes only one in a hundred of those.
 */
function isRight(requests: number, wrong: number): boolean {
  return wrong < requests;
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
    for (const { requests, wrong, haproxy, agent, memory, p50, p99, p999, max } of samples) {
      t.ok(haproxy > 0 && isRight(requests, wrong), `${contestant}: answered, and right`);
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
  t.equal(report.results.length, 13);
  for (const { scenario, samples } of report.results) {
    for (const { requests, wrong, agent } of samples) {
      t.strictSame([isRight(requests, wrong), agent > 0], [true, true], `${scenario}: answered, and right`);
    }
  }
  const reached = figuresOf(report).filter((figure) => figure.reached !== undefined);
  const of = (what: RegExp) => reached.filter((figure) => what.test(figure.what)).map(({ must }) => must);
  t.strictSame(of(/^CPU, agent, /), [1.1, 1.1, 1.1, 1.1, 1.1, 1.1, undefined], "DPoP without a bound");
  t.strictSame(of(/^p99, .* beside slow/), [1.5, 1.5]);
  t.equal(reached.length, 9);
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

/** Samples of a soak in which nothing grows, but for the changes of each. */
function soaked(change: (n: number) => Partial<Sample> = () => ({})): readonly Sample[] {
  return Array.from({ length: 90 }, (_, n) => ({
    ...{
      at: n * 10,
      rate: 100,
      cpu: 0.5,
      resident: 300 + (n % 7),
      heap: 60 + (n % 30),
      external: 10,
      linesLost: 0,
      auditLost: 0,
    },
    ...{
      descriptors: 50,
      connections: 5,
      inFlight: 1,
      identities: 5000,
      refusals: 900,
      haproxyResident: 30,
      haproxyDescriptors: 90,
    },
    ...change(n),
  }));
}

test("a soak tells what grows, and what passed, and nothing that a shared machine is to blame for", async (t) => {
  const answers = { requests: 100, allowed: 90, refused: 10, passed: 0, mistaken: 0, unanswered: 0 };
  const told = (samples: readonly Sample[], more: Partial<typeof answers> = {}) =>
    judge(samples, { ...answers, ...more }).faults.join("; ");
  t.equal(told(soaked()), "");
  t.equal(told(soaked((n) => ({ rate: 1000 - 10 * n, cpu: n / 90 }))), "", "slower and slower");
  t.equal(told(soaked((n) => (n > 60 ? { descriptors: 95, connections: 50 } : {}))), "", "HAProxy opens connections");
  const freed = soaked((n) => (n < 60 ? { rate: 300, heap: 30 } : { rate: 2500, heap: 60 }));
  t.strictSame(judge(freed, answers).faults, [], "starved of processors until the last third");
  t.match(judge(freed, answers).unjudged, ["memory: 2500 requests a second in the last third, 300 before"]);
  t.match(told(soaked((n) => ({ resident: 300 + 2 * n }))), /resident: 4[45]\d\.\d MB/);
  t.match(told(soaked((n) => ({ descriptors: 50 + n }))), /descriptors but for SPOP connections/);
  t.match(told(soaked(() => ({ identities: 5001 }))), "identities: 5001 in a cache of 5000");
  t.match(told(soaked(), { passed: 1 }), "1 requests passed that must not");
  t.match(told(soaked().slice(0, 2)), "too few samples");
  const drawn = picture(soaked());
  t.match(drawn, /^<svg .*<polyline .*15 minutes<\/text>\n<\/svg>\n$/s);
  t.ok(drawn.length < 12_000);
});

test("a soak of seconds goes through reloads of files and logs, and lets nothing bad in", async (t) => {
  const file = join(t.testdir(), "soak.svg");
  const args = [
    "--seconds",
    "8",
    "--every",
    "1",
    "--haproxy",
    haproxies().map(minorOf).at(-1) ?? "",
    "--picture",
    file,
  ];
  // What seconds say of the memory says nothing: it may end with 1.
  const { stdout } = await run(process.execPath, [SOAK, ...args]).catch((error: { stdout: string }) => error);
  t.match(stdout, /good ones let in [1-9]\d*, .* bad ones refused [1-9]\d*, bad ones let in 0,/);
  t.match(stdout, /\| agent, resident MB \|/);
  t.match(readFileSync(file, "utf8"), "<svg ");
});

test("a wrong option is told", async (t) => {
  for (const args of [["--section", "nothing"], ["--rounds", "0"], ["--cores", "3"], ["--unknown"]]) {
    await t.rejects(run(process.execPath, [BENCH, ...args]), { code: 1, stderr: new RegExp(args[0] ?? "") });
  }
});
