import type { ASTNode, Environment } from "@marcbachmann/cel-js";
import { isMap, keysOf } from "./equality.ts";
import { ExpressionFault } from "./fault.ts";
import { unrounded } from "./functions.ts";
import { spend } from "./work.ts";

/** What only a header's expression may call: each makes a text of something else. */
export const HEADER_FUNCTIONS: readonly string[] = ["list", "json", "base64", "percent"];

/** Lists and maps within each other that `json` writes. */
const DEEPEST = 32;
/** Units of work for a character that is written as it is, and for one that is written as an escape. */
const PLAIN = 0.5;
const ESCAPED = 12;

export function registerHeaderValues(environment: Environment): Environment {
  const sync = { async: false };
  const types = ["string", "bool", "int", "double", "null", "list", "map"];
  for (const type of types)
    environment.registerFunction(`json(${type}): string`, (value: unknown) => json(value, 0), sync);
  return environment
    .registerFunction("list(list<string>): string", (members: unknown[]) => joined(members, ","), sync)
    .registerFunction("list(list<string>, string): string", joined, sync)
    .registerFunction("base64(string): string", base64, sync)
    .registerFunction("percent(string): string", percent, sync);
}

/** One mark, with or without spaces around it, or one space: a reader finds it in no member, whatever it trims. */
const SEPARATOR = /^(?: *[!#$%&'*+./:;<=>?@\\^`|~,-] *| )$/;

/**
 * Holds a separator to one that can be read again. A longer one could begin in a member and end in the next.
 *
 * @throws {ExpressionFault}
 */
export function mustSeparate(node: ASTNode): void {
  if (node.op !== "value" || typeof node.args !== "string") {
    throw new ExpressionFault(node, "a separator that is only known for each request", "a string written out here");
  }
  if (SEPARATOR.test(node.args)) return;
  const found = `the separator ${JSON.stringify(node.args)}`;
  throw new ExpressionFault(
    node,
    found,
    'one mark, with or without spaces around it, such as ";" or ", "; or one space',
  );
}

/** A member that holds the separator would read as two to whoever splits the header. */
function joined(members: readonly unknown[], separator: string): string {
  const mark = separator.trim() || separator;
  for (const member of members) {
    if (typeof member !== "string") throw new TypeError("list(): a member is not a string");
    spend(2 + member.length / 16);
    if (member.includes(mark)) throw new RangeError("list(): a member holds the separator");
  }
  return members.join(separator);
}

/** RFC 8259 in ASCII alone: what a header may not hold, and whatever is outside ASCII, is written as an escape. */
function json(value: unknown, depth: number): string {
  spend(2);
  if (typeof value === "string") return quoted(value);
  if (typeof value === "number") return String(unrounded(value));
  if (value === null || typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (depth === DEEPEST) throw new RangeError(`json(): more than ${DEEPEST} deep`);
  if (Array.isArray(value)) return `[${value.map((member) => json(member, depth + 1)).join(",")}]`;
  if (!isMap(value)) throw new TypeError("json(): no JSON value");
  const entries = keysOf(value).map((key) => {
    if (typeof key !== "string") throw new TypeError("json(): a key is not a string");
    const member = value instanceof Map ? value.get(key) : value[key];
    return `${quoted(key)}:${json(member, depth + 1)}`;
  });
  return `{${entries.join(",")}}`;
}

function quoted(text: string): string {
  spendOnEscapes(text);
  mustBeText(text, "json");
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** RFC 4648, section 4, of the text in UTF-8. */
function base64(text: string): string {
  spend(text.length * PLAIN);
  mustBeText(text, "base64");
  return Buffer.from(text).toString("base64");
}

/** RFC 3986, section 2.1, of the text in UTF-8: all but the unreserved characters of section 2.3. */
function percent(text: string): string {
  spendOnEscapes(text);
  mustBeText(text, "percent");
  return encodeURIComponent(text).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Before it is known how many there are: a text that is all escapes. */
function spendOnEscapes(text: string): void {
  spend(text.length * (/^[\w .:/-]*$/.test(text) ? PLAIN : ESCAPED));
}

function mustBeText(text: string, name: string): void {
  if (!text.isWellFormed()) throw new RangeError(`${name}(): a lone surrogate is no text`);
}
