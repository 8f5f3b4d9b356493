import { isAscii, isUtf8 } from "node:buffer";
import { exactNumber } from "../../policies/number.ts";

/** Deeper JSON is refused: no claim needs it, and everything that walks it may be recursive. */
const DEEPEST = 16;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const DOT = 0x2e;
const E = 0x65;

/**
 * A JSON object as a token may hold it: UTF-8, no member named twice (RFC 7515, section 4, and RFC 7519, section 4, let
 * a parser choose; two parsers that choose differently are an attack), no number that had to be rounded, no half
 * surrogate, no `__proto__`.
 *
 * @returns integers that a double does not hold are bigints; undefined where it is not acceptable
 */
export function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  const text = textOf(bytes);
  if (text === undefined) return undefined;
  // To read numbers by what is written takes three times as long: only where doubles do not do.
  return objectOf(text, undefined) ?? objectOf(text, exactly as Reviver);
}

/**
 * The same for what somebody else reads, too, and nothing is concluded of its numbers: a double holds each of them, more
 * or less.
 *
 * @param deepest levels that it has at most
 */
export function parseMessage(bytes: Buffer, deepest: number): Record<string, unknown> | undefined {
  const text = textOf(bytes);
  return text === undefined ? undefined : objectOf(text, undefined, { deepest, largest: Number.MAX_VALUE });
}

function textOf(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString(isAscii(bytes) ? "latin1" : "utf8") : undefined;
}

/** What a value may hold. */
interface Limits {
  readonly deepest: number;
  /** Of numbers, without their sign. */
  readonly largest: number;
}

const OF_CLAIMS: Limits = { deepest: DEEPEST, largest: Number.MAX_SAFE_INTEGER };

type Reviver = Parameters<typeof JSON.parse>[1];

/** NaN, which is not acceptable, for a number that cannot be kept. */
function exactly(_name: string, value: unknown, { source }: { readonly source?: string }): unknown {
  return typeof value === "number" ? (exactNumber(source ?? "") ?? Number.NaN) : value;
}

function objectOf(text: string, reviver: Reviver, limits = OF_CLAIMS): Record<string, unknown> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text, reviver);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  // JSON.parse keeps one of two members with the same name, so the count tells.
  const colons = colonsOf(text, reviver === undefined && limits === OF_CLAIMS ? Number.NaN : 0);
  return membersOf(value, 0, limits) === colons ? (value as Record<string, unknown>) : undefined;
}

/**
 * The colons outside strings: in valid JSON, as many as there are members.
 *
 * @param fraction what a number with a fraction or an exponent counts besides
 */
function colonsOf(text: string, fraction: number): number {
  let colons = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === COLON) colons++;
    else if (code === QUOTE) i = endOfString(text, i);
    else if (code === DOT || ((code | 0x20) === E && isDigit(text.charCodeAt(i - 1)))) colons += fraction;
  }
  return colons;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function endOfString(text: string, start: number): number {
  let i = start + 1;
  for (let code = text.charCodeAt(i); code !== QUOTE; code = text.charCodeAt(++i)) {
    if (code === BACKSLASH) i++;
  }
  return i;
}

/** The members of a value and of all in it; NaN where something in it is not acceptable. */
function membersOf(value: unknown, depth: number, limits: Limits): number {
  if (typeof value === "string") return value.isWellFormed() ? 0 : Number.NaN;
  if (typeof value === "number") return Math.abs(value) <= limits.largest ? 0 : Number.NaN;
  if (typeof value !== "object" || value === null) return 0;
  if (depth === limits.deepest) return Number.NaN;
  let members = 0;
  if (Array.isArray(value)) {
    for (const element of value) members += membersOf(element, depth + 1, limits);
  } else {
    const record = value as Record<string, unknown>;
    for (const name of Object.keys(record)) {
      const acceptable = name !== "__proto__" && name.isWellFormed();
      members += (acceptable ? 1 : Number.NaN) + membersOf(record[name], depth + 1, limits);
    }
  }
  return members;
}
