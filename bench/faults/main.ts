/** `npm run faults`: breaks things under load, and counts what became of every request. docs/reliability.md has the table. */
import { parseArgs } from "node:util";
import { type Haproxy, haproxies } from "../haproxy.ts";
import { commit, machine, writeBetween } from "../page.ts";
import { asMarkdown, asText, type Table } from "../tables.ts";
import { FAULTS, type Fault } from "./faults.ts";
import { type Count, isRight } from "./ledger.ts";
import { Stage } from "./stage.ts";
import { type Extent, tryFault } from "./trial.ts";

const USAGE = `npm run faults -- [options]
  --haproxy VERSION  of those that "npm run setup" unpacked, such as 3.2; repeatable; default: all, side by side
  --fault NAME       repeatable; default: all
  --seconds N        of each fault, which goes wrong again and again (40)
  --rate N           requests a second, of each HAProxy (100)
  --seed N           who asks for what (1)
  --markdown         writes the tables into docs/reliability.md
  --help`;

interface Row {
  readonly fault: Fault;
  readonly count: Count;
}

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      haproxy: { type: "string", multiple: true, default: [] },
      fault: { type: "string", multiple: true, default: [] },
      seconds: { type: "string", default: "40" },
      rate: { type: "string", default: "100" },
      seed: { type: "string", default: "1" },
      markdown: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const faults = values.fault.length === 0 ? FAULTS : values.fault.map(faultOf);
  const extent = { seconds: wholeNumber("seconds", values.seconds), rate: wholeNumber("rate", values.rate) };
  const at = `at commit ${commit()}, ${machine()}`;
  const binaries = haproxies(values.haproxy);
  const seed = wholeNumber("seed", values.seed);
  const all = await Promise.all(binaries.map((binary) => rowsOf(binary, faults, extent, seed)));
  const tables = binaries.map(({ version }, i) => tableOf(version, all[i] ?? []));
  if (values.markdown) {
    const command = ["npm run faults --", ...args].join(" ");
    writeBetween("reliability.md", "faults", [`\`${command}\` ${at}.\n`, ...tables.map(asMarkdown), ""].join("\n"));
  }
  console.log(tables.map(asText).join("\n"));
  return all.flat().every(({ count }) => isRight(count)) ? 0 : 1;
}

function faultOf(name: string): Fault {
  const fault = FAULTS.find((one) => one.name === name);
  if (fault === undefined) throw new Error(`--fault ${name}: one of ${FAULTS.map((one) => one.name).join(", ")}`);
  return fault;
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} ${text}: a whole number from 1`);
  return value;
}

/** What runs, to be ended whatever happens. */
const stages = new Set<Stage>();

async function rowsOf(
  haproxy: Haproxy,
  faults: readonly Fault[],
  extent: Extent,
  seed: number,
): Promise<readonly Row[]> {
  const stage = await Stage.open(haproxy, seed);
  stages.add(stage);
  const rows: Row[] = [];
  try {
    for (const fault of faults) {
      const count = await tryFault(stage, fault, extent);
      console.error(haproxy.version, fault.name, JSON.stringify(count));
      rows.push({ fault, count });
    }
  } finally {
    stages.delete(stage);
    await stage.close();
  }
  return rows;
}

const HEAD = [
  ...[
    "fault",
    "what is done",
    "sent",
    "allowed",
    "refused",
    "without a verdict",
    "wrong identity",
    "unanswered",
    "sent again",
  ],
  ...["recovered after ms", "no record", "why people were refused who may be let in"],
];

function tableOf(version: string, rows: readonly Row[]): Table {
  const cells = rows.map(({ fault: { name, what }, count }) => [
    ...[
      name,
      what,
      count.sent,
      count.allowed,
      count.refused,
      count.unjudged,
      count.wrong,
      count.unanswered,
      count.again,
    ],
    ...[count.recovery === undefined ? "never" : Math.round(count.recovery), count.unrecorded],
    Object.entries(count.reasons)
      .map(([reason, number]) => `${reason} ${number}`)
      .join(", "),
  ]);
  return { title: `HAProxy ${version}`, rows: [HEAD, ...cells.map((row) => row.map(String))] };
}

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, async () => {
    await Promise.all([...stages].map((stage) => stage.close()));
    process.exit(130);
  });

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
