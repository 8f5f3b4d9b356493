import type { Environment } from "@marcbachmann/cel-js";
import { Duration } from "@marcbachmann/cel-js/evaluator";
import { exactNumber } from "../number.ts";

/**
 * Functions in place of the library's, which take more than CEL does: `int("")` is 0 there, `timestamp()` reads
 * whatever Date reads, `lowerAscii()` turns the Kelvin sign into a k. Any of these could make an allow of a deny.
 * They are registered under a name of their own, because an overload cannot be replaced; see cel-admit.ts.
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
    .registerFunction(`strict_string(${DURATION}): string`, String, sync)
    .registerFunction(`strict_timestamp(${TIMESTAMP}): ${TIMESTAMP}`, (at: Date) => at, sync)
    .registerFunction(`strict_timestamp(string): ${TIMESTAMP}`, timestampOfText, sync)
    .registerFunction(`strict_timestamp(int): ${TIMESTAMP}`, (s: bigint) => inRange(new Date(Number(s) * 1000)), sync)
    .registerFunction(`strict_duration(${DURATION}): ${DURATION}`, (value: Duration) => value, sync)
    .registerFunction(`strict_duration(string): ${DURATION}`, durationOfText, sync)
    .registerFunction("string.strict_lowerAscii(): string", lowerAscii, sync)
    .registerFunction("string.strict_upperAscii(): string", upperAscii, sync)
    .registerFunction("string.strict_split(string): list<string>", split, sync)
    .registerFunction("list(list<string>): string", joined, sync);
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
function unrounded(value: number): number {
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

const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

function timestampOfText(text: string): Date {
  const [, local] = RFC3339.exec(text) ?? [];
  // Date takes the 30th of February for the 2nd of March.
  if (local === undefined || !isCalendar(local)) throw new RangeError("timestamp(): not a date as in RFC 3339");
  return inRange(new Date(text));
}

function isCalendar(local: string): boolean {
  const date = new Date(`${local}Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(local);
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

const UNITS: Readonly<Record<string, bigint>> = {
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1000n,
  µs: 1000n,
  ns: 1n,
};
/** Ten thousand years, as protobuf's. */
const LONGEST_DURATION = 315_576_000_000n * 1_000_000_000n;

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
  return new Duration(total / 1_000_000_000n, Number(total % 1_000_000_000n));
}

function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function upperAscii(text: string): string {
  return text.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}

function split(text: string, separator: string): string[] {
  const parts = text.split(separator === "" ? /(?:)/u : separator, MOST_PARTS + 1);
  if (parts.length > MOST_PARTS) throw new RangeError(`split(): more than ${MOST_PARTS} parts`);
  return parts;
}

/** A member that holds a comma would read as two to whoever splits the header. */
function joined(members: readonly unknown[]): string {
  for (const member of members) {
    if (typeof member !== "string") throw new TypeError("list(): a member is not a string");
    if (member.includes(",")) throw new RangeError("list(): a member holds a comma");
  }
  return members.join(",");
}
