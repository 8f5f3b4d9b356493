import { resolve } from "node:path";
import { ringText, rotated, upcomingKey } from "../../assertion/rotate.ts";
import { parseRing, type RingAlgorithm, type RingKey } from "../../config/files/key-ring.ts";
import {
  isSealingRing,
  parseSealingRing,
  rotatedSealing,
  SEALING,
  type SealingKey,
  sealingText,
} from "../../config/files/sealing-ring.ts";
import { milliseconds } from "../../config/units.ts";
import { EXIT } from "../../processes/exit.ts";
import { CommandError, type Context, jsonText, type Options, textOption, UsageError } from "../command.ts";
import { changeFile } from "./whole-file.ts";

const ALGORITHMS: readonly string[] = ["ES256", "EdDSA", SEALING] satisfies (RingAlgorithm | typeof SEALING)[];
/** How long a new key is only published. */
export const AFTER = "1h";
const LONGEST_AFTER = 720 * 3_600_000;
/** It holds private keys. */
const MODE = 0o600;

/** What is known of a key of either kind of ring. */
type Timed = Pick<RingKey, "kid" | "from">;

/** `keys rotate FILE`: a new key for the signed assertion, or for sessions, without a gap. */
export function rotateKeys(name: string | undefined, options: Options, context: Context): number {
  if (name === undefined) throw new UsageError("keys rotate which FILE?");
  const file = resolve(name);
  const now = Math.floor(context.clock() / 1000);
  const after = afterOf(options);
  let changed = false;
  let ring: Pick<Ring, "keys" | "verb"> = { keys: [], verb: "signs" };
  changeFile(file, MODE, (text) => {
    const before = ringIn(file, text, options);
    changed = upcomingKey(before.keys, now) === undefined;
    const next = changed ? before.rotated(now, after) : before;
    ring = next;
    return changed || text === undefined ? next.text : text;
  });
  tell(file, ring, changed, options, context);
  return EXIT.fine;
}

function tell(
  file: string,
  { keys, verb }: Pick<Ring, "keys" | "verb">,
  changed: boolean,
  options: Options,
  context: Context,
): void {
  const newest = keys.at(-1);
  const from = new Date((newest?.from ?? 0) * 1000).toISOString();
  const { kid = "" } = newest ?? {};
  if (options.json === true) context.out(jsonText({ file, changed, kid, signs_from: from, keys: keys.length }));
  else if (changed) context.out(`${file}: the new key ${kid} ${verb} from ${from} on; ${keys.length} in all\n`);
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

/** A ring of either kind, as its file has it. */
interface Ring {
  readonly keys: readonly Timed[];
  readonly text: string;
  /** What its keys do. */
  readonly verb: "signs" | "seals";
  rotated(now: number, after: number): Ring;
}

function ringIn(file: string, text: string | undefined, options: Options): Ring {
  const named = textOption(options, "algorithm");
  if (named !== undefined && !ALGORITHMS.includes(named)) {
    throw new UsageError(`--algorithm ${named}: ES256 or EdDSA, or ${SEALING} for sessions`);
  }
  const seals = text === undefined ? named === SEALING : isSealingRing(text);
  if (text !== undefined && named !== undefined && seals !== (named === SEALING)) {
    throw new UsageError(`--algorithm ${named}: the keys of this ring ${seals ? "seal sessions" : "sign assertions"}`);
  }
  return seals ? sealing(keysIn(file, text, parseSealingRing)) : signing(keysIn(file, text, parseRing), named);
}

function sealing(keys: readonly SealingKey[]): Ring {
  return {
    keys,
    text: sealingText(keys),
    verb: "seals",
    rotated: (now, after) => sealing(rotatedSealing(keys, now, after)),
  };
}

function signing(keys: readonly RingKey[], named: string | undefined): Ring {
  const algorithm = (named ?? keys.at(-1)?.algorithm ?? "ES256") as RingAlgorithm;
  return {
    keys,
    text: ringText(keys),
    verb: "signs",
    rotated: (now, after) => signing(rotated(keys, { now, after, algorithm }), named),
  };
}

function keysIn<Key>(
  file: string,
  text: string | undefined,
  parse: (text: string) => readonly Key[] | { readonly problem: string },
): readonly Key[] {
  const ring = text === undefined ? [] : parse(text);
  if (!("problem" in ring)) return ring;
  const message = `${file} is no key ring: ${ring.problem}. It was not changed; name another file, or remove it for a new ring`;
  throw new CommandError(message, EXIT.configuration);
}
