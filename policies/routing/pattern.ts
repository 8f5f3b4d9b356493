import { RE2JS, RE2JSException } from "re2js";
import type { TextFault } from "../fault.ts";
import { isSettled } from "../pattern-states.ts";
import { signIn } from "../signs.ts";
import { methodFault } from "./methods.ts";
import { ambiguityOf, characterFault } from "./path.ts";

/** Which requests a route takes: methods and a path, as in Go's http.ServeMux, with RE2 expressions besides. */
export interface Pattern {
  /** As the policy writes it. */
  readonly text: string;
  /** As written: GET stands for HEAD too. `undefined`: any method. */
  readonly methods: readonly string[] | undefined;
  /** Never empty; `/` has one empty literal, and so ends every pattern that ends in `/`. */
  readonly segments: readonly Segment[];
  /** Names in the order of the path. */
  readonly captures: readonly string[];
}

export type Segment =
  /** Percent-decoded. Only the last can be empty. */
  | { readonly kind: "literal"; readonly value: string }
  /** One segment that is not empty. */
  | { readonly kind: "one"; readonly name: string; readonly expression: Expression | undefined }
  /** All that is left, possibly nothing; always last. */
  | { readonly kind: "rest"; readonly name: string };

/** An RE2 expression that a whole percent-decoded segment must match. */
export interface Expression {
  readonly text: string;
  matches(segment: string): boolean;
}

const LONGEST_PATTERN = 1024;
const MOST_SEGMENTS = 64;
const LONGEST_EXPRESSION = 256;
// A client chooses the segment. Each of its characters takes the same few nanoseconds once all states of the expression
// are known; these bound how many there are to be found when a policy loads.
const LARGEST_PROGRAM = 300;
const LONGEST_SEGMENT = 256;

/** The web listener's paths: HAProxy never asks for a verdict on them. */
const WEB_LISTENER = ["/.countersign", "/.well-known/oauth-protected-resource"];

/** Reads a pattern such as `GET /v1/orders`, `GET|PUT /v1/files/{path...}` or `* /v1/orders/{id:[0-9]+}`. */
export function parsePattern(text: string): Pattern | TextFault {
  try {
    return readPattern(text);
  } catch (error) {
    if (error instanceof PatternError) return error.fault;
    throw error;
  }
}

class PatternError extends Error {
  readonly fault: TextFault;

  constructor(offset: number, found: string, right: string) {
    super(found);
    this.fault = { offset, found, right };
  }
}

function readPattern(text: string): Pattern {
  if (text.length > LONGEST_PATTERN) {
    throw new PatternError(LONGEST_PATTERN, "a pattern that is too long", `at most ${LONGEST_PATTERN} characters`);
  }
  const space = text.indexOf(" ");
  if (space < 0) {
    const right = "a method, a space and a path, such as `GET /v1/orders`; `*` is any method";
    throw new PatternError(0, "a pattern without a space between method and path", right);
  }
  const methods = readMethods(text.slice(0, space));
  const segments = [...readSegments(text, space + 1)];
  checkListener(segments, space + 1);
  return {
    text,
    methods,
    segments,
    captures: segments.flatMap((part) => (part.kind === "literal" ? [] : [part.name])),
  };
}

function readMethods(text: string): readonly string[] | undefined {
  if (text === "*") return undefined;
  const methods: string[] = [];
  let offset = 0;
  for (const method of text.split("|")) {
    const fault = methodFault(method);
    if (fault !== undefined) throw new PatternError(offset, fault.found, fault.right);
    if (methods.includes(method)) throw new PatternError(offset, `the method ${method} a second time`, "name it once");
    methods.push(method);
    offset += method.length + 1;
  }
  return methods;
}

function* readSegments(text: string, start: number): Generator<Segment> {
  if (text[start] !== "/") throw new PatternError(start, "a path that does not begin with /", "begin it with /");
  const names = new Set<string>();
  let offset = start + 1;
  for (let count = 1; ; count++) {
    if (count > MOST_SEGMENTS) throw new PatternError(offset, "too many segments", `at most ${MOST_SEGMENTS}`);
    const end = text[offset] === "{" ? wildcardEnd(text, offset) : literalEnd(text, offset);
    const part = text.slice(offset, end);
    const last = end === text.length;
    yield part.startsWith("{") ? readWildcard(part, offset, last, names) : readLiteral(part, offset, last);
    if (last) return;
    offset = end + 1;
  }
}

function literalEnd(text: string, start: number): number {
  const slash = text.indexOf("/", start);
  return slash < 0 ? text.length : slash;
}

/** The end of a wildcard, whose expression may hold slashes, balanced braces, and `\{` or `\}`. */
function wildcardEnd(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) {
      const next = text[at + 1];
      if (next === undefined || next === "/") return at + 1;
      const right = "a wildcard is a whole segment, and a brace that its expression means is `\\{` or `\\}`";
      throw new PatternError(at + 1, `\`${next}\` behind a wildcard`, right);
    }
  }
  throw new PatternError(
    start,
    "a wildcard without its }",
    "close it; a brace that an expression means is `\\{` or `\\}`",
  );
}

// Captures become an object's keys: of what [a-z_0-9] can spell, these two mean something to JavaScript or a CEL library.
const RESERVED: ReadonlySet<string> = new Set(["__proto__", "constructor"]);
const WILDCARD = /^\{([a-z_][a-z0-9_]*)(?:(\.\.\.)|:(.*))?\}$/s;

function readWildcard(part: string, offset: number, last: boolean, names: Set<string>): Segment {
  const [, name, rest, expression] = WILDCARD.exec(part) ?? [];
  if (name === undefined) {
    const right = "{id}, {id:[0-9]+} or {path...}, with a name of a-z, 0-9 and _";
    throw new PatternError(offset, `\`${part}\` for a wildcard`, right);
  }
  if (RESERVED.has(name)) throw new PatternError(offset + 1, `the capture name \`${name}\``, "another name");
  if (names.has(name)) throw new PatternError(offset + 1, `a second capture \`${name}\``, "another name");
  names.add(name);
  if (rest === undefined) {
    const at = offset + name.length + 2;
    return { kind: "one", name, expression: expression === undefined ? undefined : readExpression(expression, at) };
  }
  if (!last) throw new PatternError(offset, `\`${part}\` before the end`, "it takes all that is left: put it last");
  return { kind: "rest", name };
}

function readExpression(text: string, offset: number): Expression {
  if (text === "") throw new PatternError(offset, "an empty expression", "an RE2 expression, or no colon");
  if (text.length > LONGEST_EXPRESSION) {
    throw new PatternError(offset, "an expression that is too long", `at most ${LONGEST_EXPRESSION} characters`);
  }
  if (/^\^?\(?\.[*+]\)?\$?$/.test(text)) {
    const right = "{name} for one segment, {name...} for all that is left";
    throw new PatternError(offset, `the expression \`${text}\`, which elsewhere takes several segments`, right);
  }
  const compiled = compile(text, offset);
  if (compiled.programSize() > LARGEST_PROGRAM || !isSettled(compiled, "whole")) {
    throw new PatternError(offset, "an expression that takes too long", "fewer or smaller repetitions");
  }
  return { text, matches: (segment) => segment.length <= LONGEST_SEGMENT && compiled.testExact(segment) };
}

function compile(text: string, offset: number): RE2JS {
  try {
    return RE2JS.compile(text);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    const right = "RE2 syntax, in which a brace that is meant is `\\{` or `\\}`";
    throw new PatternError(offset, `an expression that RE2 refuses (${error.message})`, right);
  }
}

// A path holds these only percent-encoded; a pattern may have either.
const BEYOND_ASCII = /[^\0-\u007f]/gu;
const NO_CHARACTER = /[\u0080-\u009f\p{Surrogate}]/u;

/** A literal obeys the same rules as a path, since no other could ever be matched. */
function readLiteral(part: string, offset: number, last: boolean): Segment {
  if (part === "" && !last) throw new PatternError(offset, "an empty segment", "leave it out");
  const brace = part.search(/[{}]/);
  if (brace >= 0) throw new PatternError(offset + brace, "a brace within a segment", "a wildcard is a whole segment");
  checkSigns(part, offset);
  const odd = part.search(NO_CHARACTER);
  if (odd >= 0) throw new PatternError(offset + odd, "a control character or half a character", "leave it out");
  const fault = ambiguityOf(`/${part.replace(BEYOND_ASCII, ({ length }) => "x".repeat(length))}`);
  if (fault !== undefined) throw new PatternError(offset + fault.offset - 1, fault.found, fault.right);
  for (const { 0: character, index } of part.matchAll(BEYOND_ASCII)) {
    const unclear = characterFault(character, index + character.length === part.length);
    if (unclear !== undefined) throw new PatternError(offset + index, unclear.found, unclear.right);
  }
  return { kind: "literal", value: decodeURIComponent(part) };
}

/** What is a wildcard elsewhere would be a path that nobody asks for, and a broader pattern would take the requests. */
function checkSigns(part: string, offset: number): void {
  // Of escapes and queries a path's own rules tell.
  const found = signIn(part.replace(/[%?]/g, "-"));
  if (found === undefined) return;
  const literally = found.sign.replace(/[^\w.]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
  const right = `{name} for one segment, {name...} for all that is left; ${literally} where the sign itself is meant`;
  throw new PatternError(offset + found.offset, `\`${found.sign}\`, which has no meaning in a path`, right);
}

function checkListener(segments: readonly Segment[], offset: number): void {
  const literals = segments.map((segment) => (segment.kind === "literal" ? segment.value : "{"));
  const path = `/${literals.join("/")}/`;
  const taken = WEB_LISTENER.find((prefix) => path.startsWith(`${prefix}/`));
  if (taken === undefined) return;
  throw new PatternError(offset, `a path under \`${taken}\``, "another: Countersign's web listener answers there");
}

/**
 * A path that both of two patterns match. Where no segment is known that fits the expressions of both, it holds them
 * in braces instead.
 *
 * @param a and b: patterns some of whose paths are the same
 */
export function commonPath(a: Pattern, b: Pattern): string {
  const path: string[] = [];
  for (let at = 0; ; at++) {
    const segments = [a.segments[at], b.segments[at]].filter(
      (segment) => segment !== undefined && segment.kind !== "rest",
    );
    if (segments.length === 0) return `/${path.join("/")}`;
    path.push(commonSegment(segments));
  }
}

function commonSegment(segments: readonly Segment[]): string {
  const literal = segments.find((segment) => segment.kind === "literal");
  if (literal !== undefined) return encodeURI(literal.value).replace(/[?#]/g, encodeURIComponent);
  const expressions = segments.flatMap((segment) => (segment.kind === "one" ? (segment.expression ?? []) : []));
  const texts = [...new Set(expressions.map(({ text }) => text))];
  const fit = samplesFor(texts).find((sample) => expressions.every((expression) => expression.matches(sample)));
  return fit ?? `{${texts.join(" and ")}}`;
}

/** Segments to try on expressions: not all that could fit, but what people's expressions are for. */
function samplesFor(expressions: readonly string[]): readonly string[] {
  const prefixes = ["", ...expressions.map((text) => /^[\w-]*/.exec(text)?.[0] ?? "")];
  const forms = ["", "00000000-0000-4000-8000-000000000000", "2026-01-31", "1.0", "1.0.0", "v1", "a-b", "a.b"];
  for (let length = 1; length <= 64; length++) forms.push("1".repeat(length), "a".repeat(length), "A".repeat(length));
  forms.push(...expressions.join("").replaceAll(/\W/g, ""));
  return ["x", ...prefixes.flatMap((prefix) => forms.map((form) => prefix + form))].filter((sample) => sample !== "");
}
