import { parseArgs } from "node:util";
import { commit, machine } from "../../bench/page.ts";
import { asText } from "../../bench/tables.ts";
import { Random } from "../fuzz/random.ts";
import { honestLogs } from "./honest.ts";
import { kills } from "./kills.ts";
import { casesOf, faultOf } from "./tampering.ts";

const USAGE = `npm run tamper -- [options]
  --lines N   of the logs of two workers, with rotation and crashes (10000)
  --kills N   of a process that writes a log, which the next one goes on with (100)
  --seed N    of what they hold, and where it crashes (1)
  --help`;

/** `npm run tamper`: does everything that somebody may do to an audit log, at every line of it, and looks what is told; and
 * kills who writes one, of which nothing may be told. */
async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      lines: { type: "string", default: "10000" },
      kills: { type: "string", default: "100" },
      seed: { type: "string", default: "1" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const logs = await honestLogs(Number(values.lines), new Random(Number(values.seed)));
  const counts = new Map<string, { cases: number; untold: number; wrong: number }>();
  for (const each of casesOf(logs)) {
    const count = counts.get(each.what) ?? { cases: 0, untold: 0, wrong: 0 };
    counts.set(each.what, count);
    count.cases++;
    if (each.expected === "none") count.untold++;
    const told = faultOf(each);
    if (told !== undefined && count.wrong++ < 5)
      console.error(`${each.file}:${each.line}: ${each.what}: told as ${told}`);
  }
  const rows = [...counts].map(([what, { cases, untold, wrong }]) => [what, ...[cases, untold, wrong].map(String)]);
  const lines = logs.flatMap(({ segments }) => segments.flatMap((segment) => segment.lines)).length;
  const title = `${lines} lines in ${logs.flatMap(({ segments }) => segments).length} files, at commit ${commit()}, ${machine()}`;
  console.log(asText({ title, rows: [["what was done", "cases", "nobody vouches for", "told wrong"], ...rows] }));
  const killed = await kills(Number(values.kills), new Random(Number(values.seed)));
  const { segments, records } = killed.summary;
  const alarms = killed.findings.filter(({ severity }) => severity === "tampered");
  console.log(
    `${values.kills} kills: ${segments} files, ${records} records, ${killed.told} checkpoints that stood outside; ${alarms.length} false alarms`,
  );
  for (const { file, line, kind, text } of alarms.slice(0, 5)) console.error(`${file}:${line}: ${kind}: ${text}`);
  if (alarms.length > 0) return 1;
  return [...counts.values()].some(({ wrong }) => wrong > 0) ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
