import { resolve } from "node:path";
import { ringText, rotated, upcomingKey } from "../../assertion/rotate.ts";
import { parseRing, type RingAlgorithm, type RingKey } from "../../config/files/key-ring.ts";
import { milliseconds } from "../../config/units.ts";
import { EXIT } from "../../processes/exit.ts";
import { CommandError, type Context, jsonText, type Options, textOption, UsageError } from "../command.ts";
import { changeFile } from "./whole-file.ts";

const ALGORITHMS: readonly string[] = ["ES256", "EdDSA"] satisfies RingAlgorithm[];
/** How long a new key is only published. */
export const AFTER = "1h";
const LONGEST_AFTER = 720 * 3_600_000;
/** It holds private keys. */
const MODE = 0o600;

/** `keys rotate FILE`: a new key for the signed assertion, without a gap. */
export function rotateKeys(name: string | undefined, options: Options, context: Context): number {
  if (name === undefined) throw new UsageError("keys rotate which FILE?");
  const file = resolve(name);
  const now = Math.floor(context.clock() / 1000);
  const after = afterOf(options);
  let changed = false;
  let ring: readonly RingKey[] = [];
  changeFile(file, MODE, (text) => {
    ring = text === undefined ? [] : ringOf(file, text);
    const algorithm = algorithmOf(options, ring);
    changed = upcomingKey(ring, now) === undefined;
    if (changed) ring = rotated(ring, { now, after, algorithm });
    return changed || text === undefined ? ringText(ring) : text;
  });
  tell(file, ring, changed, options, context);
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

/** Seconds. */
function afterOf(options: Options): number {
  const text = textOption(options, "after") ?? AFTER;
  const after = milliseconds(text);
  if (after === undefined || after > LONGEST_AFTER) {
    throw new UsageError(`--after ${text}: a duration such as 1h, at most 720h`);
  }
  return Math.ceil(after / 1000);
}

function algorithmOf(options: Options, ring: readonly RingKey[]): RingAlgorithm {
  const text = textOption(options, "algorithm") ?? ring.at(-1)?.algorithm ?? "ES256";
  if (!ALGORITHMS.includes(text)) throw new UsageError(`--algorithm ${text}: ES256 or EdDSA`);
  return text as RingAlgorithm;
}

function ringOf(file: string, text: string): readonly RingKey[] {
  const ring = parseRing(text);
  if (!("problem" in ring)) return ring;
  const message = `${file} is no key ring: ${ring.problem}. It was not changed; name another file, or remove it for a new ring`;
  throw new CommandError(message, EXIT.configuration);
}
