import { Duration } from "@marcbachmann/cel-js/evaluator";
import { IpAddress, Network } from "../ip-address.ts";
import { spend } from "./work.ts";

/** Characters that are compared or copied for one unit of work, at least. */
export const CHARACTERS = 64;
/** For each key of a map: to list them takes 30 ns each, to compare them another 60. */
const KEY = 4;
const COMPARED_KEY = 12;

/**
 * Whether two values are equal as CEL has it: of different types they are not, but numbers compare by their value. What
 * it takes is counted as it goes, so that it ends when there is too much of it.
 *
 * In place of the library's, which counts nothing and takes as long as nested lists are large: seconds.
 */
export function isEqual(a: unknown, b: unknown): boolean {
  if (typeof a === "string") return typeof b === "string" && isSameText(a, b);
  if (a === b) return true;
  if (isNumber(a)) return isNumber(b) && a <= b && a >= b;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && isSameList(a, b);
  if (isMap(a)) return isMap(b) && isSameMap(a, b);
  if (a instanceof Date) return b instanceof Date && a.getTime() === b.getTime();
  if (a instanceof IpAddress) return b instanceof IpAddress && a.equals(b);
  if (a instanceof Network) return b instanceof Network && a.equals(b);
  if (a instanceof Duration) return b instanceof Duration && a.seconds === b.seconds && a.nanos === b.nanos;
  return false;
}

/** Whether a list holds a value, or a map a key. */
export function isIn(value: unknown, whole: unknown): boolean {
  if (Array.isArray(whole)) {
    for (const member of whole) {
      spend(1);
      if (isEqual(value, member)) return true;
    }
    return false;
  }
  if (!isMap(whole)) throw new TypeError("`in` needs a list or a map");
  if (typeof value === "string") spend(1 + value.length / CHARACTERS);
  if (whole instanceof Map) return whole.has(value);
  return typeof value === "string" && Object.hasOwn(whole, value);
}

/** A map as the library has them: a literal's, a claim's, or claims as a Map. */
export function isMap(value: unknown): value is Readonly<Record<string, unknown>> | Map<unknown, unknown> {
  if (typeof value !== "object" || value === null) return false;
  return value.constructor === Object || value instanceof Map || value.constructor === undefined;
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function isSameText(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  if (a.length > CHARACTERS) spend(a.length / CHARACTERS);
  return a === b;
}

function isSameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    spend(2);
    if (!isEqual(a[i], b[i])) return false;
  }
  return true;
}

function isSameMap(a: Readonly<Record<string, unknown>> | Map<unknown, unknown>, b: typeof a): boolean {
  const keys = keysOf(a);
  if (keys.length !== keysOf(b).length) return false;
  for (const key of keys) {
    spend(COMPARED_KEY);
    const [one, two] = [entryOf(a, key), entryOf(b, key)];
    if (two === undefined || !isEqual(one, two)) return false;
  }
  return true;
}

/** A map's keys. They can only be counted by listing them. */
export function keysOf(map: Readonly<Record<string, unknown>> | Map<unknown, unknown>): readonly unknown[] {
  const keys = map instanceof Map ? [...map.keys()] : Object.keys(map);
  spend(keys.length * KEY);
  return keys;
}

function entryOf(map: Readonly<Record<string, unknown>> | Map<unknown, unknown>, key: unknown): unknown {
  if (map instanceof Map) return map.get(key);
  return typeof key === "string" && Object.hasOwn(map, key) ? map[key] : undefined;
}
