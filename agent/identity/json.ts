import { isAscii, isUtf8 } from "node:buffer";

/** Deeper JSON is refused: no claim needs it, and everything that walks it may be recursive. */
const DEEPEST = 16;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/**
 * A JSON object as a token may hold it: UTF-8, no member named twice (RFC 7515, section 4, and RFC 7519, section 4, let
 * a parser choose; two parsers that choose differently are an attack), no number beyond a double, no half surrogate,
 * no `__proto__`.
 *
 * @returns undefined where it is not acceptable
 */
export function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  if (!isUtf8(bytes)) return undefined;
  const text = bytes.toString(isAscii(bytes) ? "latin1" : "utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  // JSON.parse keeps one of two members with the same name, so the count tells.
  return membersOf(value, 0) === colonsOf(text) ? (value as Record<string, unknown>) : undefined;
}

/** The colons outside strings: in valid JSON, as many as there are members. */
function colonsOf(text: string): number {
  let colons = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === COLON) colons++;
    else if (code === QUOTE) i = endOfString(text, i);
  }
  return colons;
}

function endOfString(text: string, start: number): number {
  let i = start + 1;
  for (let code = text.charCodeAt(i); code !== QUOTE; code = text.charCodeAt(++i)) {
    if (code === BACKSLASH) i++;
  }
  return i;
}

/** The members of a value and of all in it; NaN where something in it is not acceptable. */
function membersOf(value: unknown, depth: number): number {
  if (typeof value === "string") return value.isWellFormed() ? 0 : Number.NaN;
  if (typeof value === "number") return Number.isFinite(value) ? 0 : Number.NaN;
  if (typeof value !== "object" || value === null) return 0;
  if (depth === DEEPEST) return Number.NaN;
  let members = 0;
  if (Array.isArray(value)) {
    for (const element of value) members += membersOf(element, depth + 1);
  } else {
    const record = value as Record<string, unknown>;
    for (const name of Object.keys(record)) {
      const acceptable = name !== "__proto__" && name.isWellFormed();
      members += (acceptable ? 1 : Number.NaN) + membersOf(record[name], depth + 1);
    }
  }
  return members;
}
