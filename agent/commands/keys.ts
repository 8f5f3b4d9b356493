import {
  chownSync,
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { resolve } from "node:path";
import { ringText, rotated, upcomingKey } from "../assertion/rotate.ts";
import { LARGEST_RING, parseRing, type RingAlgorithm, type RingKey } from "../config/key-ring.ts";
import { readText } from "../config/read-file.ts";
import { milliseconds } from "../config/units.ts";
import { EXIT } from "../processes/exit.ts";
import {
  type Command,
  CommandError,
  type Context,
  JSON_OPTION,
  jsonText,
  type Options,
  textOption,
  UsageError,
} from "./command.ts";

const ALGORITHMS: readonly string[] = ["ES256", "EdDSA"] satisfies RingAlgorithm[];
const AFTER = "1h";

export const KEYS: Command = {
  usage: "keys rotate FILE [--after DURATION] [--algorithm ES256|EdDSA] [--json]",
  summary: "make a key for the signed identity assertion, and retire the one before",
  help: `
FILE is the key ring that \`assertion.keys\` names; where there is none, one with a first key is written. A new key is
published at once, and signs only when all who check assertions have had time to fetch it. The key before is published
until its last assertion has ended. A running agent reads the file by itself. While a new key waits for its time, nothing
is changed: a job may run this as often as it likes.
`,
  example: "countersign keys rotate /etc/countersign/assertion-keys.json",
  options: {
    after: { type: "string", value: "DURATION", help: `how long the new key is only published; default: ${AFTER}` },
    algorithm: { type: "string", value: "NAME", help: "ES256 or EdDSA; default: that of the newest key, else ES256" },
    ...JSON_OPTION,
  },
  positionals: [2, 2],
  run: keys,
};

async function keys([what, name = ""]: readonly string[], options: Options, context: Context): Promise<number> {
  if (what !== "rotate") throw new UsageError(`keys what? There is keys rotate, not ${what}`);
  const file = resolve(name);
  const now = Math.floor(context.clock() / 1000);
  const after = afterOf(options);
  const ring = existsSync(file) ? ringOf(file) : [];
  const algorithm = algorithmOf(options, ring);
  const waiting = upcomingKey(ring, now);
  const next = waiting === undefined ? rotated(ring, { now, after, algorithm }) : ring;
  if (waiting === undefined) replace(file, ringText(next));
  tell(file, next, waiting === undefined, options, context);
  return EXIT.fine;
}

function tell(file: string, ring: readonly RingKey[], changed: boolean, options: Options, context: Context): void {
  const newest = ring.at(-1);
  const from = new Date((newest?.from ?? 0) * 1000).toISOString();
  const { kid = "" } = newest ?? {};
  if (options.json === true) context.out(jsonText({ file, changed, kid, signs_from: from, keys: ring.length }));
  else if (changed) context.out(`${file}: the new key ${kid} signs from ${from} on; ${ring.length} in all\n`);
  else context.out(`${file}: nothing to do: the key ${kid} waits until ${from}\n`);
}

function afterOf(options: Options): number {
  const text = textOption(options, "after") ?? AFTER;
  const after = milliseconds(text);
  if (after === undefined || after > 30 * 24 * 3_600_000) {
    throw new UsageError(`--after ${text}: a duration such as 1h, at most 720h`);
  }
  return Math.ceil(after / 1000);
}

function algorithmOf(options: Options, ring: readonly RingKey[]): RingAlgorithm {
  const text = textOption(options, "algorithm") ?? ring.at(-1)?.algorithm ?? "ES256";
  if (!ALGORITHMS.includes(text)) throw new UsageError(`--algorithm ${text}: ES256 or EdDSA`);
  return text as RingAlgorithm;
}

function ringOf(file: string): readonly RingKey[] {
  const read = readText(file, LARGEST_RING);
  const ring = "text" in read ? parseRing(read.text) : { problem: `it cannot be read: ${read.problem}` };
  if (!("problem" in ring)) return ring;
  const message = `${file} is no key ring: ${ring.problem}. It was not changed; name another file, or remove it for a new ring`;
  throw new CommandError(message, EXIT.configuration);
}

/**
 * Puts the text in the file's place, whole or not at all, with the owner and mode of what was there; a new file is its
 * owner's alone. The name beside it keeps two rotations from each other.
 */
function replace(file: string, text: string): void {
  const beside = `${file}.new`;
  try {
    const before = statSync(file, { throwIfNoEntry: false });
    const descriptor = openSync(beside, "wx", 0o600);
    try {
      writeSync(descriptor, text);
      if (before !== undefined) {
        fchmodSync(descriptor, before.mode & 0o777);
        if (before.uid !== process.getuid?.() || before.gid !== process.getgid?.())
          chownSync(beside, before.uid, before.gid);
      }
      fsyncSync(descriptor);
      renameSync(beside, file);
    } catch (error) {
      rmSync(beside, { force: true });
      throw error;
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw new CommandError(`${file} cannot be written: ${problemOf(error, beside)}`, EXIT.configuration);
  }
}

function problemOf(error: unknown, beside: string): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  if (code !== "EEXIST") return code;
  return `${beside} is there: another rotation is under way, or was cut off; then remove it`;
}
