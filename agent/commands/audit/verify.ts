import type { KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { publicKeyOf, readNote } from "../../../records/audit/note.ts";
import { type Finding, type Summary, Verifier } from "../../../records/audit/verify.ts";
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
import { type Mention, mentionsIn } from "./heads.ts";
import { logsOf, readLines, type Segment } from "./segments.ts";

/** Findings that are shown of one log. */
const MOST = 1_000;

/** What was found of one log. */
interface Result extends Summary {
  readonly findings: readonly Finding[];
  readonly more: number;
}

/** Whether logs were altered: of each log in turn. */
export async function verify(files: readonly string[], options: Options, context: Context): Promise<number> {
  const keys = keysOf(requiredOption(options, "key"));
  const kept = keptIn(textOption(options, "from"));
  const mentions = [...kept];
  for (const log of await logsOf(files, options, context)) mentions.push(...(await mentionsIn(log)));
  // What is mentioned is in a file by now, which an agent that writes on may have begun meanwhile.
  const logs = await logsOf(files, options, context);
  if (logs.length === 0) throw new CommandError("no segment of an audit log", EXIT.bad);
  const of = Map.groupBy(mentions, ({ origin }) => origin);
  const results: Result[] = [];
  for (const log of logs) {
    const origin = log[0]?.first.origin ?? "";
    results.push(await verified(log, origin, keys, of.get(origin) ?? []));
    of.delete(origin);
  }
  for (const [origin, known] of of) results.push(absent(origin, known));
  const altered = results.some(({ findings }) => findings.some(({ severity }) => severity === "tampered"));
  context.out(options.json === true ? jsonText({ altered, logs: results }) : results.map(text).join("\n"));
  return altered ? EXIT.bad : EXIT.fine;
}

async function verified(
  log: readonly Segment[],
  origin: string,
  keys: ReadonlyMap<string, KeyObject>,
  mentions: readonly Mention[],
): Promise<Result> {
  const key = keys.get(origin) ?? keys.get("");
  if (key === undefined) throw new UsageError(`--key has no key of ${origin}`);
  const known = mentions.map(({ by, size, hash }) => {
    return { origin, by: told(by), head: { size, hash: Buffer.from(hash, "base64") } };
  });
  const verifier = new Verifier({ key, known });
  for (const [index, { file }] of log.entries()) {
    verifier.open(file);
    const torn = await readLines(file, (line) => verifier.line(line));
    verifier.close(torn, log[index + 1]?.first);
  }
  verifier.end();
  const { summary, findings, more } = verifier;
  return { ...summary, findings: findings.slice(0, MOST), more: more + Math.max(0, findings.length - MOST) };
}

/** A log of which nothing is presented, though others tell of it. */
function absent(origin: string, mentions: readonly Mention[]): Result {
  const findings = mentions.map(({ by, size, file, line }): Finding => {
    const text = `${told(by)} has ${size} records of ${origin}, of which no segment is presented`;
    return { severity: "tampered", kind: "truncated", file, line, text };
  });
  const decisions = { allowed: 0, denied: 0 };
  return { origin, segments: 0, records: 0, decisions, lost: 0, checkpoint: undefined, findings, more: 0 };
}

function told(by: string): string {
  return by === "" ? "the checkpoint that was kept" : `the log of ${by}`;
}

function text({ origin, segments, records, decisions, lost, checkpoint, findings, more }: Result): string {
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

/** The checkpoint of a file, as what nobody's log says. */
function keptIn(file: string | undefined): readonly Mention[] {
  if (file === undefined) return [];
  if (!existsSync(file)) throw new CommandError(`${file}: cannot be read`, EXIT.noInput);
  const note = readNote(readFileSync(file, "utf8"));
  if (note === undefined) throw new UsageError(`--from: ${file} is no checkpoint`);
  const { origin, head } = note;
  return [{ origin, size: head.size, hash: head.hash.toString("base64"), by: "", file, line: 1 }];
}
