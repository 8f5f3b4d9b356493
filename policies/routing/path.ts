import type { TextFault } from "../fault.ts";

/** What a service lets pass that is refused by default, because its backend is known to read it as the policies do. */
export interface PathLeniency {
  /** `%2f` within a segment stays part of that segment. */
  readonly encodedSlash: boolean;
  /** `//`: an empty segment is a segment. */
  readonly emptySegments: boolean;
  /** `;name=value` stays part of its segment. */
  readonly parameters: boolean;
}

export const STRICT: PathLeniency = { encodedSlash: false, emptySegments: false, parameters: false };

/** The usual path: RFC 3986 segments without escapes and parameters, none empty but the last, none with a leading dot. */
const PLAIN = /^(?:\/[\w\-~!$&'()*+,=:@][\w\-.~!$&'()*+,=:@]*)+\/?$|^\/$/;

/** Whether a raw path is its own decoded form, which every program reads alike. */
export function isPlain(path: string): boolean {
  return PLAIN.test(path);
}

/**
 * The percent-decoded segments of a raw path, or `undefined` where two programs could read the path differently
 * (`ambiguityOf` says how).
 *
 * `/` has one empty segment, and a path that ends in `/` ends in an empty one.
 */
export function segmentsOf(path: string, leniency: PathLeniency = STRICT): readonly string[] | undefined {
  if (isPlain(path)) return split(path);
  if (isAmbiguous(path, leniency)) return undefined;
  try {
    return split(path).map((segment) => (segment.includes("%") ? decodeURIComponent(segment) : segment));
  } catch {
    return undefined; // Not UTF-8.
  }
}

/** Three times as fast as String.split, which keeps a cache for strings that come again. */
function split(path: string): string[] {
  const segments: string[] = [];
  let start = 1;
  for (let end = path.indexOf("/", start); end >= 0; end = path.indexOf("/", start)) {
    segments.push(path.slice(start, end));
    start = end + 1;
  }
  segments.push(path.slice(start));
  return segments;
}

/** One way to read a path differently. It applies unless the service opted in to it. */
interface Ambiguity {
  readonly at: RegExp;
  readonly found: string;
  readonly right: string;
  readonly unless?: keyof PathLeniency;
}

// An encoded slash counts as a slash and an encoded semicolon as a semicolon, also where a service lets them pass: to
// some programs `%2f%2f` is an empty segment, and `..%2f` and `..;x` climb.
const AMBIGUITIES: readonly Ambiguity[] = [
  { at: /^(?!\/)/, found: "a path that does not begin with /", right: "begin it with /" },
  { at: /\\|%5c/i, found: "a backslash, which some programs take for /", right: "leave it out" },
  {
    at: /[^!-~]|["#<>?[\]^`{|}]/,
    found: "a character that a path cannot hold (RFC 3986, section 3.3)",
    right: "percent-encode it as UTF-8",
  },
  { at: /%(?![\da-f]{2})/i, found: "a malformed escape", right: "write two hexadecimal digits behind %" },
  { at: /%25/, found: "an encoded percent sign, which decoding twice makes an escape", right: "leave it out" },
  { at: /%[01][\da-f]|%7f|%c2%[89][\da-f]/i, found: "an encoded control character", right: "leave it out" },
  {
    at: /%(?:2[de]|3\d|[46][1-9a-f]|[57][\da]|5f|7e)/i,
    found: "an escape of a letter, a digit or one of - . _ ~",
    right: "write the character itself",
  },
  { at: /%2f/i, found: "an encoded slash", right: "write / or leave it out", unless: "encodedSlash" },
  {
    at: /;|%3b/i,
    found: "a semicolon, behind which some programs see parameters",
    right: "leave it out",
    unless: "parameters",
  },
  {
    at: /(?<=\/|%2f)(?:\/|%2f|;|%3b)/i,
    found: "an empty segment, which some programs skip",
    right: "leave it out",
    unless: "emptySegments",
  },
  {
    at: /(?<=\/|%2f)\.{1,2}(?=\/|%2f|;|%3b|$)/i,
    found: "a dot segment, which some programs resolve",
    right: "write the path that is meant",
  },
];

// One expression for all that no service may let pass: it is tried on every path that is not plain.
const NEVER = new RegExp(AMBIGUITIES.flatMap(({ at, unless }) => (unless ? [] : [at.source])).join("|"), "i");
const OPTIONAL = AMBIGUITIES.flatMap(({ at, unless }) => (unless ? [{ at, unless }] : []));

function isAmbiguous(path: string, leniency: PathLeniency): boolean {
  return NEVER.test(path) || OPTIONAL.some(({ at, unless }) => !leniency[unless] && at.test(path));
}

/**
 * The first reason for which two programs could read a raw path differently, and where: dot segments, `//`, `\`, `;`,
 * an encoded slash, backslash, semicolon, percent sign, control or unreserved character, escapes that are malformed or
 * not UTF-8, and every character that RFC 3986 does not allow in a path.
 */
export function ambiguityOf(path: string, leniency: PathLeniency = STRICT): TextFault | undefined {
  for (const { at, found, right, unless } of AMBIGUITIES) {
    if (unless !== undefined && leniency[unless]) continue;
    const offset = path.search(at);
    if (offset >= 0) return { offset, found, right };
  }
  const offset = brokenUtf8(path);
  return offset === undefined
    ? undefined
    : { offset, found: "escapes that are not UTF-8", right: "encode it as UTF-8" };
}

/** A first byte with all that continue it, or one that continues none. */
const ENCODED_CHARACTER = /%[c-f][\da-f](?:%[89ab][\da-f])*|%[89ab][\da-f]/gi;

function brokenUtf8(path: string): number | undefined {
  for (const escapes of path.matchAll(ENCODED_CHARACTER)) {
    try {
      decodeURIComponent(escapes[0]);
    } catch {
      return escapes.index;
    }
  }
  return undefined;
}
