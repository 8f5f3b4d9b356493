/** `npm run bench`: what a verdict costs, beside what else one could use. docs/measurements.md says how to read it. */
import { relative } from "node:path";
import { COUNTERSIGN } from "./contestants/generated.ts";
import { type Haproxy, haproxies } from "./haproxy.ts";
import { prepareWrk } from "./load/load.ts";
import { writeMarkdown } from "./markdown.ts";
import { type BenchOptions, optionsOf, type Section, USAGE } from "./options.ts";
import type { Fact, Report, Result } from "./results.ts";
import { Field, measureRows, type Options, type Row } from "./rounds.ts";
import { measureEvents } from "./sections/events.ts";
import { measureFootprint } from "./sections/footprint.ts";
import { measureIdentities } from "./sections/identities.ts";
import { measureLatency } from "./sections/latency.ts";
import { coldRows, manyRows, policyRows, versionRows, warmRows } from "./sections/throughput.ts";
import { measureWorkers } from "./sections/workers.ts";
import { closeStage, openStage } from "./stage.ts";
import { asText, tablesOf } from "./tables.ts";

/** Ends all that was started, too. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

const tell = (line: string) => void process.stderr.write(`${line}\n`);

async function measure(haproxy: Haproxy, options: BenchOptions): Promise<Report> {
  const stage = await openStage(haproxy, options.cores, options.given);
  const stop = () => {
    closeStage(stage);
    process.exit(130);
  };
  for (const signal of SIGNALS) process.once(signal, stop);
  try {
    const field = new Field(stage);
    const results: Result[] = [];
    const facts: Fact[] = [];
    for (const section of options.sections) {
      const measured = await measureSection(field, section, options);
      results.push(...(measured.results ?? []));
      facts.push(...(measured.facts ?? []));
    }
    return {
      haproxy: haproxy.version,
      agent: relative(process.cwd(), COUNTERSIGN),
      cores: options.cores,
      results,
      facts,
      missing: field.missing,
    };
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
    closeStage(stage);
  }
}

interface Measured {
  readonly results?: readonly Result[];
  readonly facts?: readonly Fact[];
}

async function measureSection(field: Field, section: Section, options: BenchOptions): Promise<Measured> {
  const how: Options = { ...options, tell };
  const measure = async (rows: readonly Row[]) => ({ results: await measureRows(field, section, rows, how) });
  switch (section) {
    case "warm":
      return await measure(warmRows(options.connections));
    case "many":
      return await measure(manyRows());
    case "cold":
      return await measure(coldRows());
    case "versions":
      return await measure(versionRows());
    case "policies":
      return await measure(policyRows());
    case "identities":
      return { results: await measureIdentities(field, how) };
    case "latency":
      return { results: await measureLatency(field, how) };
    case "events":
      return { results: await measureEvents(field, how) };
    case "workers":
      return await measureWorkers(field, how);
    case "footprint":
      return { facts: await measureFootprint(field.stage) };
  }
}

async function main(args: readonly string[]): Promise<number> {
  const options = optionsOf(args);
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const noWrk = await prepareWrk();
  if (noWrk !== undefined) tell(`${noWrk}: using our own client, which takes more of the machine`);
  const reports: Report[] = [];
  for (const haproxy of haproxies(options.haproxy)) {
    tell(`HAProxy ${haproxy.version}`);
    reports.push(await measure(haproxy, options));
  }
  if (options.markdown) writeMarkdown(reports, options, args);
  process.stdout.write(options.json ? `${JSON.stringify(reports, undefined, 2)}\n` : reports.map(textOf).join("\n"));
  return 0;
}

function textOf(report: Report): string {
  const missing = Object.entries(report.missing).map(([name, reason]) => `missing: ${name}: ${reason}\n`);
  const head = `HAProxy ${report.haproxy}, nbthread ${report.cores}, ${report.agent}\n`;
  return [head, ...tablesOf(report).map(asText), missing.join("")].join("\n");
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
