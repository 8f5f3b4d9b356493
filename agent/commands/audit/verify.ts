import type { KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { publicKeyOf, readNote } from "../../../records/audit/note.ts";
import { type Finding, Verifier } from "../../../records/audit/verify.ts";
import { EXIT } from "../../processes/exit.ts";
import { plainText } from "../../telemetry/safe-text.ts";
import {
  CommandError,
  type Context,
  jsonText,
  type Options,
  requiredOption,
  textOption,
  UsageError,
} from "../command.ts";
import { logsOf, readLines, type Segment } from "./segments.ts";

/** Findings that are shown of one log. */
const MOST = 1_000;

/** Whether logs were altered: of each log in turn. */
export async function verify(files: readonly string[], options: Options, context: Context): Promise<number> {
  const keys = keysOf(requiredOption(options, "key"));
  const kept = checkpointOf(textOption(options, "from"));
  const logs = await logsOf(files, options, context);
  if (logs.length === 0) throw new CommandError("no segment of an audit log", EXIT.bad);
  const results = [];
  for (const log of logs) results.push(await verified(log, keys, kept));
  const altered = results.some(({ findings }) => findings.some(({ severity }) => severity === "tampered"));
  context.out(options.json === true ? jsonText({ altered, logs: results }) : results.map(text).join("\n"));
  return altered ? EXIT.bad : EXIT.fine;
}

async function verified(
  log: readonly Segment[],
  keys: ReadonlyMap<string, KeyObject>,
  kept: ReturnType<typeof readNote>,
) {
  const origin = log[0]?.first.origin ?? "";
  const key = keys.get(origin) ?? keys.get("");
  if (key === undefined) throw new UsageError(`--key has no key of ${origin}`);
  const verifier = new Verifier({ key, from: kept?.origin === origin ? kept : undefined });
  for (const [index, { file }] of log.entries()) {
    verifier.open(file);
    const torn = await readLines(file, (line) => verifier.line(line));
    verifier.close(torn, log[index + 1]?.first);
  }
  verifier.end();
  const { summary, findings, more } = verifier;
  return { ...summary, findings: findings.slice(0, MOST), more: more + Math.max(0, findings.length - MOST) };
}

function text({
  origin,
  segments,
  records,
  decisions,
  lost,
  checkpoint,
  findings,
  more,
}: Awaited<ReturnType<typeof verified>>): string {
  const altered = findings.some(({ severity }) => severity === "tampered");
  const size = checkpoint === undefined ? "none" : checkpoint.split("\n")[1];
  return [
    `${origin}: ${altered ? "ALTERED" : "not altered"}; ${segments} segments, ${records} records, signed up to ${size}`,
    `  ${decisions.allowed} allowed, ${decisions.denied} refused, ${lost} that were not kept`,
    ...findings.map(findingText),
    ...(more > 0 ? [`  and ${more} more`] : []),
    "",
  ].join("\n");
}

function findingText({ severity, kind, file, line, text }: Finding): string {
  return `  ${severity}  ${kind}  ${file}:${line}: ${plainText(text, 400)}`;
}

/** `NAME KEY` a line, as init has said them; or one key, of whatever log. */
function keysOf(given: string): ReadonlyMap<string, KeyObject> {
  const text = existsSync(given) ? readFileSync(given, "utf8") : given;
  const entries = text
    .trim()
    .split("\n")
    .map((line) => {
      const words = line.trim().split(/\s+/);
      const key = publicKeyOf(words.at(-1) ?? "");
      if (key === undefined || words.length > 2)
        throw new UsageError("--key: no public key as `countersign audit init` says it, nor a file with some");
      return [words.length === 2 ? (words[0] ?? "") : "", key] as const;
    });
  return new Map(entries);
}

function checkpointOf(file: string | undefined): ReturnType<typeof readNote> {
  if (file === undefined) return undefined;
  if (!existsSync(file)) throw new CommandError(`${file}: cannot be read`, EXIT.noInput);
  const note = readNote(readFileSync(file, "utf8"));
  if (note === undefined) throw new UsageError(`--from: ${file} is no checkpoint`);
  return note;
}
