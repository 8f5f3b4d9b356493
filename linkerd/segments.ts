import { segmentExpression } from "./expression.ts";
import { PatternError } from "./inexpressible.ts";
import type { Segment } from "./input.ts";

// Linkerd compares the raw path and decodes nothing, so its expressions spell out the raw segments that the ingress lets
// pass: RFC 3986's pchar without `;`, no escape of an unreserved character, slash, backslash, semicolon, percent sign or
// control, and neither a dot nor a blank at the end. Of escapes beyond ASCII they take all, well-formed or not: those
// that are to be refused would be longer than an HTTPRoute's path can be.
// No flags, no `\d`: Rust's classes are Unicode's, and whoever reads the manifest reads ASCII.
const RAW = "!$&'()*+,-0123456789:=@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
const ESCAPE = "%(?:2[1-46-9A-Ca-c]|3[AC-Fac-f]|40|5[BDEbde]|60|7[B-Db-d]|[89A-Fa-f][0-9A-Fa-f])";
/** What a segment may hold, and not end in. */
const INNER = "(?:\\.|%20)";
const PLAIN = `(?:${classWithout("")}|${ESCAPE})`;

/** Any segment that is not empty. */
export const ANY = `(?:${INNER}*${PLAIN})+`;

const UNRESERVED = /^[\w.~-]*$/;

/** The raw forms of a part of a path, as an expression; and as it is, where there is but one. */
export interface Raw {
  readonly expression: string;
  readonly plain: string | undefined;
}

/** @throws PatternError where a segment has an expression that cannot be said of a raw path */
export function rawSegment(segment: Exclude<Segment, { kind: "rest" }>): Raw {
  if (segment.kind === "literal") return rawLiteral(segment.value);
  return {
    expression: segment.expression === undefined ? ANY : segmentExpression(segment.expression),
    plain: undefined,
  };
}

/** @param value percent-decoded */
export function rawLiteral(value: string): Raw {
  return {
    expression: Array.from(value, rawCharacter).join(""),
    plain: UNRESERVED.test(value) ? value : undefined,
  };
}

function rawCharacter(character: string): string {
  if (UNRESERVED.test(character)) return escaped(character);
  const bytes = encodeURIComponent(character);
  const encoded = bytes.startsWith("%") ? bytes : `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  const either = encoded.replace(/[A-F]/g, (digit) => `[${digit}${digit.toLowerCase()}]`);
  return RAW.includes(character) ? `(?:${escaped(character)}|${either})` : either;
}

/**
 * All raw segments but these.
 *
 * @param values percent-decoded, not empty
 * @throws PatternError where one of them has several raw forms
 */
export function otherThan(values: readonly string[]): readonly string[] {
  for (const value of values) {
    if (!UNRESERVED.test(value)) throw new PatternError(`a segment other than ${JSON.stringify(value)}`);
  }
  return values.length === 0 ? [ANY] : [...branches("", values)];
}

/** The segments that begin so and go on otherwise, one character deeper at a time. */
function* branches(begin: string, values: readonly string[]): Generator<string> {
  const next = new Set(values.flatMap((value) => value.slice(begin.length, begin.length + 1)));
  const lead = Array.from(begin, escaped).join("");
  next.delete("");
  if (begin !== "" && !values.includes(begin) && !begin.endsWith(".")) yield lead;
  yield `${lead}(?:${classWithout([...next].join(""))}|${ESCAPE})(?:${ANY})?`;
  yield `${lead}${next.has(".") ? "%20" : INNER}${ANY}`;
  for (const character of [...next].sort()) {
    const longer = begin + character;
    yield* branches(
      longer,
      values.filter((value) => value.startsWith(longer)),
    );
  }
}

function escaped(character: string): string {
  return character.replace(/[.*+?^$(){}[\]|\\]/, "\\$&");
}

/** A class of the raw characters but those. */
function classWithout(excluded: string): string {
  const ranges: [string, string][] = [];
  for (const character of RAW) {
    if (excluded.includes(character)) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1].charCodeAt(0) + 1 === character.charCodeAt(0)) last[1] = character;
    else ranges.push([character, character]);
  }
  return `[${ranges.map(rangeText).join("")}]`;
}

function rangeText([from, to]: [string, string]): string {
  const [first, last] = [from, to].map((character) => (character === "-" ? "\\-" : character));
  return from === to ? `${first}` : `${first}-${last}`;
}
