import { parseArgs } from "node:util";
import { commit, machine, writeBetween } from "../../bench/page.ts";
import { asMarkdown, asText, type Table } from "../../bench/tables.ts";
import { type HaproxyBinary, haproxies } from "../support/haproxy.ts";
import type { Adversary } from "./hostile.ts";
import { alone, type Outcome, outcomesOf, type Selection } from "./outcomes.ts";

const USAGE = `npm run mutants -- [options]
  --haproxy VERSION  of those that "npm run setup" unpacked, such as 3.2; default: all
  --each N           mutants of each kind and configuration; default: all there are
  --seed N           which of them (1)
  --markdown         writes the tables into docs/reliability.md
  --help`;

/** `npm run mutants`: weakens configurations, attacks each, and holds what got through to what the prover says. */
async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      haproxy: { type: "string", default: "" },
      each: { type: "string" },
      seed: { type: "string", default: "1" },
      markdown: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const selection: Selection = {
    each: values.each === undefined ? undefined : wholeNumber("each", values.each),
    seed: wholeNumber("seed", values.seed),
  };
  const binaries = haproxies().filter(({ version }) => version.startsWith(values.haproxy));
  const at = `at commit ${commit()}, ${machine()}`;
  // Each waits for time-outs most of the time.
  const all = await Promise.all(binaries.map((binary) => outcomes(binary, selection)));
  const tables = binaries.flatMap(({ version }, i) => tablesOf(`HAProxy ${version}`, all[i] ?? []));
  if (values.markdown) writeBetween("reliability.md", "mutants", text(tables, args, at));
  console.log(tables.map(asText).join("\n"));
  return all.flat().some(isMissed) ? 1 : 0;
}

function outcomes(binary: HaproxyBinary, selection: Selection): Promise<readonly Outcome[]> {
  return alone(async (t) => {
    const all: Outcome[] = [];
    for await (const outcome of outcomesOf(t, binary, selection)) {
      all.push(outcome);
      if (isMissed(outcome)) tell(outcome);
    }
    return all;
  });
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} ${text}: a whole number from 1`);
  return value;
}

/** It let something through that nobody was told of; or nothing was done to it, and something was wrong all the same. */
function isMissed({ kind, through, said }: Outcome): boolean {
  return kind === "unchanged" ? through.length > 0 || said !== "fine" : through.length > 0 && !isTold(said);
}

function isTold(said: Outcome["said"]): boolean {
  return said === "flagged" || said === "not proven";
}

function tell({ of, name, through, said, findings }: Outcome): void {
  const lines = [
    ...through.slice(0, 3).map(({ by, what }) => `${by}: ${what}`),
    ...findings.slice(0, 2).map(({ found }) => found),
  ];
  console.error([`MISSED: ${of}: ${name}: ${said}`, ...lines].join("\n    "));
}

const ADVERSARIES: readonly Adversary[] = ["hostile client", "faulty agent", "no agent"];
const HEAD = [
  ...["mutants", "number", ...ADVERSARIES.map((by) => `through: ${by}`)],
  ...["got through: flagged", "not proven", "not found", "refused: nothing said", "flagged or not proven", "warned"],
];

/** A row for each kind of weakening, and for each configuration. */
function tablesOf(title: string, outcomes: readonly Outcome[]): readonly Table[] {
  const mutants = outcomes.filter(({ kind }) => kind !== "unchanged");
  const rows = (name: (outcome: Outcome) => string) =>
    [...new Set(mutants.map(name))].map((one) =>
      rowOf(
        one,
        mutants.filter((outcome) => name(outcome) === one),
      ),
    );
  return [
    { title: `${title}, by what was done`, rows: [HEAD, ...rows(({ kind }) => kind), rowOf("all", mutants)] },
    { title: `${title}, by configuration`, rows: [HEAD, ...rows(({ of }) => of)] },
  ];
}

function rowOf(name: string, outcomes: readonly Outcome[]): readonly string[] {
  const count = (which: (outcome: Outcome) => boolean) => String(outcomes.filter(which).length);
  const got = ({ through }: Outcome) => through.length > 0;
  return [
    name,
    String(outcomes.length),
    ...ADVERSARIES.map((by) => count(({ through }) => through.some((one) => one.by === by))),
    count((one) => got(one) && one.said === "flagged"),
    count((one) => got(one) && one.said === "not proven"),
    count((one) => got(one) && !isTold(one.said)),
    count((one) => !got(one) && one.said === "fine"),
    count((one) => !got(one) && isTold(one.said)),
    count((one) => !got(one) && one.said === "warned"),
  ];
}

function text(tables: readonly Table[], args: readonly string[], at: string): string {
  const command = ["npm run mutants --", ...args].join(" ");
  return [`\`${command}\` ${at}.\n`, ...tables.map(asMarkdown), ""].join("\n");
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
