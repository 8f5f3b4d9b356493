import { isAscii, isUtf8 } from "node:buffer";
import { exactNumber } from "../../policies/number.ts";

/** Deeper JSON is refused: no claim needs it, and everything that walks it may be recursive. */
const DEEPEST = 16;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const [OPEN_OBJECT, CLOSE_OBJECT] = [0x7b, 0x7d];
const [OPEN_LIST, CLOSE_LIST] = [0x5b, 0x5d];
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

/** The same of any JSON value; undefined where it is not acceptable, or no single one. */
export function parseValue(bytes: Buffer): unknown {
  const whole = parseObject(Buffer.concat([Buffer.from('{"value":'), bytes, Buffer.from("}")]));
  return whole !== undefined && Object.keys(whole).length === 1 ? whole.value : undefined;
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
  if (hasEscapedName(text)) value = built(text, reviver !== undefined);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  // JSON.parse keeps one of two members with the same name, so the count tells.
  const colons = colonsOf(text, reviver === undefined && limits === OF_CLAIMS ? Number.NaN : 0);
  return membersOf(value, 0, limits) === colons ? (value as Record<string, unknown>) : undefined;
}

/** Whether a member's name is written with an escape. */
function hasEscapedName(text: string): boolean {
  for (let at = text.indexOf("\\"); at >= 0; at = text.indexOf("\\", at)) {
    let start = at;
    while (start > 0 && text.charCodeAt(start) !== QUOTE) start--;
    const end = endOfString(text, start);
    at = end + 1;
    while (isBlank(text.charCodeAt(at))) at++;
    if (text.charCodeAt(at) === COLON) return true;
  }
  return false;
}

/**
 * What JSON.parse makes of a text that it has found to be JSON. V8 14 (Node 26) compares a name that is written with an
 * escape as it is written, and so takes it for another one that an object with the same members before it has had: an
 * issuer's `"https:\/\/acme\/role"` for what somebody's unsigned token has shown. A string by itself it reads well.
 *
 * @param exact whether a number is what is written, or else NaN, which is not acceptable
 */
function built(text: string, exact: boolean): unknown {
  const root: unknown[] = [];
  const open: Open[] = [{ value: root, name: undefined }];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const top = open.at(-1);
    if (isBlank(code) || code === COLON || code === COMMA || top === undefined) continue;
    if (code === OPEN_OBJECT || code === OPEN_LIST) {
      const value = code === OPEN_OBJECT ? {} : [];
      put(top, value);
      open.push({ value, name: undefined });
    } else if (code === CLOSE_OBJECT || code === CLOSE_LIST) open.pop();
    else {
      const end = code === QUOTE ? endOfString(text, at) + 1 : endOfWord(text, at);
      const word = text.slice(at, end);
      if (!Array.isArray(top.value) && top.name === undefined) top.name = JSON.parse(word) as string;
      else put(top, JSON.parse(word, exact ? (exactly as Reviver) : undefined));
      at = end - 1;
    }
  }
  return root[0];
}

/** An object or list that has not ended, and the name whose value is to come. */
interface Open {
  readonly value: unknown[] | Record<string, unknown>;
  name: string | undefined;
}

function put(into: Open, value: unknown): void {
  if (Array.isArray(into.value)) into.value.push(value);
  // A plain assignment of `__proto__` would be no member.
  else Object.defineProperty(into.value, into.name ?? "", { value, ...MEMBER });
  into.name = undefined;
}

const MEMBER = { enumerable: true, configurable: true, writable: true };

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** Behind a number, or `true`, `false` and `null`. */
function endOfWord(text: string, start: number): number {
  const word = /[^\s,:{}[\]"]*/y;
  word.lastIndex = start;
  word.test(text);
  return word.lastIndex;
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
