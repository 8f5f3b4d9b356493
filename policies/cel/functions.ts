import type { Environment } from "@marcbachmann/cel-js";
import { Duration } from "@marcbachmann/cel-js/evaluator";
import { readInstant } from "../instant.ts";
import { exactNumber } from "../number.ts";
import { CHARACTERS, isMap, keysOf } from "./equality.ts";
import { spend } from "./work.ts";

/**
 * Functions in place of the library's, which take more than CEL does: `int("")` is 0 there, `timestamp()` reads
 * whatever Date reads, `lowerAscii()` turns the Kelvin sign into a k. Any of these could make an allow of a deny. And of
 * those that take the longer the larger their operands are, which is counted here.
 * They are registered under a name of their own, because an overload cannot be replaced; see admit.ts.
 */
export const STRICT: ReadonlySet<string> = new Set([
  "int",
  "double",
  "string",
  "timestamp",
  "duration",
  "lowerAscii",
  "upperAscii",
  "split",
  "size",
  "contains",
  "startsWith",
  "endsWith",
]);

const TIMESTAMP = "google.protobuf.Timestamp";
const DURATION = "google.protobuf.Duration";
/** No number, date or duration is longer as text. */
const LONGEST_LITERAL = 64;
/** `split` gives no more than this. */
const MOST_PARTS = 256;

export function registerFunctions(environment: Environment): Environment {
  // Without this the library takes every function for one that may be asynchronous, and is slower.
  const sync = { async: false };
  return environment
    .registerFunction("strict_int(int): int", (value: bigint) => value, sync)
    .registerFunction("strict_int(double): int", intOfDouble, sync)
    .registerFunction("strict_int(string): int", intOfText, sync)
    .registerFunction(`strict_int(${TIMESTAMP}): int`, (at: Date) => BigInt(Math.floor(at.getTime() / 1000)), sync)
    .registerFunction("strict_double(double): double", (value: number) => value, sync)
    .registerFunction("strict_double(int): double", doubleOfInt, sync)
    .registerFunction("strict_double(string): double", doubleOfText, sync)
    .registerFunction("strict_string(string): string", (value: string) => value, sync)
    .registerFunction("strict_string(bool): string", String, sync)
    .registerFunction("strict_string(int): string", String, sync)
    .registerFunction("strict_string(double): string", textOfDouble, sync)
    .registerFunction(`strict_string(${TIMESTAMP}): string`, textOfTimestamp, sync)
    .registerFunction(`strict_string(${DURATION}): string`, textOfDuration, sync)
    .registerFunction(`strict_timestamp(${TIMESTAMP}): ${TIMESTAMP}`, (at: Date) => at, sync)
    .registerFunction(`strict_timestamp(string): ${TIMESTAMP}`, timestampOfText, sync)
    .registerFunction(`strict_timestamp(int): ${TIMESTAMP}`, (s: bigint) => inRange(new Date(Number(s) * 1000)), sync)
    .registerFunction(`strict_duration(${DURATION}): ${DURATION}`, (value: Duration) => value, sync)
    .registerFunction(`strict_duration(string): ${DURATION}`, durationOfText, sync)
    .registerFunction("string.strict_lowerAscii(): string", lowerAscii, sync)
    .registerFunction("string.strict_upperAscii(): string", upperAscii, sync)
    .registerFunction("string.strict_split(string): list<string>", split, sync)
    .registerFunction("string.strict_contains(string): bool", contains, sync)
    .registerFunction("string.strict_startsWith(string): bool", startsWith, sync)
    .registerFunction("string.strict_endsWith(string): bool", endsWith, sync)
    .registerFunction("strict_size(string): int", sizeOf, sync)
    .registerFunction("strict_size(list): int", sizeOf, sync)
    .registerFunction("strict_size(map): int", sizeOf, sync)
    .registerFunction("string.strict_size(): int", sizeOf, sync)
    .registerFunction("list.strict_size(): int", sizeOf, sync)
    .registerFunction("map.strict_size(): int", sizeOf, sync);
}

function sizeOf(value: unknown): bigint {
  if (typeof value === "string") return BigInt(charactersOf(value));
  if (Array.isArray(value)) return BigInt(value.length);
  if (!isMap(value)) throw new TypeError("size(): not a string, list or map");
  return BigInt(value instanceof Map ? value.size : keysOf(value).length);
}

/** Code points, as CEL counts them. */
function charactersOf(text: string): number {
  spend(text.length * 0.6);
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** A text that is nearly repeated in the other makes the search slow: each place is looked at for as long as it fits. */
function spendOnSearch(text: string, part: string): void {
  spend(text.length * (1 + part.length / 50));
}

function contains(text: string, part: string): boolean {
  spendOnSearch(text, part);
  return text.includes(part);
}

function startsWith(text: string, part: string): boolean {
  spend(part.length / CHARACTERS);
  return text.startsWith(part);
}

function endsWith(text: string, part: string): boolean {
  spend(part.length / CHARACTERS);
  return text.endsWith(part);
}

const LARGEST = 2n ** 63n - 1n;

function intOfDouble(value: number): bigint {
  return BigInt(Math.trunc(unrounded(value)));
}

function doubleOfInt(value: bigint): number {
  return unrounded(Number(value));
}

function textOfDouble(value: number): string {
  return String(unrounded(value));
}

/** Beyond this a double stands for several integers: it must not become the name of one of them. */
export function unrounded(value: number): number {
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  throw new RangeError("the number may have been rounded");
}

function intOfText(text: string): bigint {
  if (text.length > LONGEST_LITERAL || !/^[+-]?\d+$/.test(text)) throw new RangeError("int(): not an integer");
  const value = BigInt(text.replace("+", ""));
  // Not the smallest integer either: the library lets its negation overflow.
  if (value > LARGEST || value < -LARGEST) throw new RangeError("int(): out of range");
  return value;
}

function doubleOfText(text: string): number {
  if (text.length > LONGEST_LITERAL || !/^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) {
    throw new RangeError("double(): not a number");
  }
  const value = exactNumber(text);
  if (typeof value === "number") return value;
  throw new RangeError("double(): the number has to be rounded");
}

function timestampOfText(text: string): Date {
  const instant = readInstant(text);
  if (instant === undefined) throw new RangeError("timestamp(): not a date as in RFC 3339");
  return inRange(new Date(instant));
}

const FIRST = Date.parse("0001-01-01T00:00:00Z");
const LAST = Date.parse("9999-12-31T23:59:59.999Z");

function inRange(date: Date): Date {
  if (!(date.getTime() >= FIRST && date.getTime() <= LAST)) throw new RangeError("timestamp(): out of range");
  return date;
}

function textOfTimestamp(at: Date): string {
  return at.toISOString().replace(/\.?0*Z$/, "Z");
}

const SECOND = 1_000_000_000n;
const UNITS: Readonly<Record<string, bigint>> = {
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: SECOND,
  ms: 1_000_000n,
  us: 1000n,
  µs: 1000n,
  ns: 1n,
};
/** Ten thousand years, as protobuf's. */
const LONGEST_DURATION = 315_576_000_000n * SECOND;

function durationOfText(text: string): Duration {
  const shape = /^([+-]?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+)$/;
  const [, sign, parts] = (text.length <= LONGEST_LITERAL && shape.exec(text)) || [];
  if (parts === undefined) throw new RangeError('duration(): not as "1h30m"');
  let total = 0n;
  for (const [, whole, fraction = "", unit] of parts.matchAll(/(\d+)(?:\.(\d+))?([a-zµ]+)/g)) {
    const scale = UNITS[unit as string] as bigint;
    total += BigInt(whole as string) * scale + (BigInt(`0${fraction}`) * scale) / 10n ** BigInt(fraction.length);
  }
  if (total > LONGEST_DURATION) throw new RangeError("duration(): out of range");
  if (sign === "-") total = -total;
  return new Duration(total / SECOND, Number(total % SECOND));
}

/** As the library, which formats fractions by locale: 20 us. */
function textOfDuration({ seconds, nanos }: Duration): string {
  const total = seconds * SECOND + BigInt(nanos);
  const [sign, size] = total < 0n ? ["-", -total] : ["", total];
  const fraction = (size % SECOND).toString().padStart(9, "0").replace(/0+$/, "");
  return `${sign}${size / SECOND}${fraction === "" ? "" : `.${fraction}`}s`;
}

function lowerAscii(text: string): string {
  spend(text.length * 3);
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function upperAscii(text: string): string {
  spend(text.length * 3);
  return text.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}

function split(text: string, separator: string): string[] {
  spendOnSearch(text, separator);
  const parts = text.split(separator === "" ? /(?:)/u : separator, MOST_PARTS + 1);
  if (parts.length > MOST_PARTS) throw new RangeError(`split(): more than ${MOST_PARTS} parts`);
  return parts;
}
