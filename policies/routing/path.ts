import type { TextFault } from "../fault.ts";

/** What a service lets pass that is refused by default, because its backend is known to read it as the policies do. */
export interface PathLeniency {
  /** `%2f` within a segment stays part of that segment. */
  readonly encodedSlash: boolean;
  /** `//`: an empty segment is a segment. */
  readonly emptySegments: boolean;
  /** `;name=value` stays part of its segment. */
  readonly parameters: boolean;
  /** `%7E` is `~`, and so are the escapes of all letters, digits, `-`, `.` and `_` the characters themselves. */
  readonly encodedUnreserved: boolean;
  /** `%25` is a percent sign, and no escape begins with it. */
  readonly encodedPercent: boolean;
  /** `[` and `]` as they are. */
  readonly brackets: boolean;
}

export const STRICT: PathLeniency = {
  encodedSlash: false,
  emptySegments: false,
  parameters: false,
  encodedUnreserved: false,
  encodedPercent: false,
  brackets: false,
};

/** The usual path: RFC 3986 segments without escapes and parameters, none empty but the last, no dot at either end. */
const PLAIN = /^(?:\/[\w\-~!$&'()*+,=:@]+(?:\.+[\w\-~!$&'()*+,=:@]+)*)+\/?$|^\/$/;

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
  return split(path).map((segment) => (segment.includes("%") ? decodeURIComponent(segment) : segment));
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

// An encoded slash counts as a slash, an encoded semicolon as a semicolon and an encoded dot as a dot, also where a
// service lets them pass: to some programs `%2f%2f` is an empty segment, and `..%2f`, `..;x` and `%2e%2e` climb.
const AMBIGUITIES: readonly Ambiguity[] = [
  { at: /^(?!\/)/, found: "a path that does not begin with /", right: "begin it with /" },
  { at: /\\|%5c/i, found: "a backslash, which some programs take for /", right: "leave it out" },
  {
    at: /[^!-~]|["#<>?^`{|}]/,
    found: "a character that a path cannot hold (RFC 3986, section 3.3)",
    right: "percent-encode it as UTF-8",
  },
  {
    at: /[[\]]/,
    found: "a bracket, which a path cannot hold (RFC 3986, section 3.3)",
    right: "percent-encode it",
    unless: "brackets",
  },
  { at: /%(?![\da-f]{2})/i, found: "a malformed escape", right: "write two hexadecimal digits behind %" },
  { at: /%25(?:25)*(?:2[ef]|5c)/i, found: "an escaped escape of a dot or a slash", right: "leave it out" },
  {
    at: /%25/,
    found: "an encoded percent sign, which decoding twice makes an escape",
    right: "leave it out",
    unless: "encodedPercent",
  },
  { at: /%[01][\da-f]|%7f|%c2%[89][\da-f]/i, found: "an encoded control character", right: "leave it out" },
  {
    at: /%(?:2[de]|3\d|[46][1-9a-f]|[57][\da]|5f|7e)/i,
    found: "an escape of a letter, a digit or one of - . _ ~",
    right: "write the character itself",
    unless: "encodedUnreserved",
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
    at: /(?<=\/|%2f)(?:\.|%2e){1,2}(?=\/|%2f|;|%3b|$)/i,
    found: "a dot segment, which some programs resolve",
    right: "write the path that is meant",
  },
  {
    at: /(?:\.|%2e|%20)(?=\/|%2f|;|%3b|$)/i,
    found: "a dot or blank at the end of a segment, where some programs drop it",
    right: "leave it out",
  },
];

/** One expression for all that a service refuses: it is tried on every path that is not plain. */
const REFUSED = new WeakMap<PathLeniency, RegExp>();

function refusedBy(leniency: PathLeniency): RegExp {
  const known = REFUSED.get(leniency);
  if (known !== undefined) return known;
  const refused = AMBIGUITIES.filter(({ unless }) => unless === undefined || !leniency[unless]);
  const expression = new RegExp(refused.map(({ at }) => at.source).join("|"), "i");
  REFUSED.set(leniency, expression);
  return expression;
}

function isAmbiguous(path: string, leniency: PathLeniency): boolean {
  return refusedBy(leniency).test(path) || (BEYOND_ASCII.test(path) && isMisleading(path));
}

const BEYOND_ASCII = /%[89a-f]/i;
const ASCII = /[\0-\x7f]+/g;
const BLANK_END = /[^\0-\x7f\S](?=[/;]|$)/;

/** What `encodedFault` finds, for the whole path at once: a client chooses how many escapes there are. */
function isMisleading(path: string): boolean {
  try {
    const decoded = decodeURIComponent(path);
    return SIGNS.test(decoded.replace(ASCII, "").normalize("NFKC")) || BLANK_END.test(decoded);
  } catch {
    return true; // Not UTF-8.
  }
}

/**
 * The first reason for which two programs could read a raw path differently, and where: dot segments, `//`, `\`, `;`,
 * an encoded slash, backslash, semicolon, percent sign, control or unreserved character, a dot or blank at the end of a
 * segment, characters that become a dot or slash when a program simplifies them, escapes that are malformed or not
 * UTF-8, and every character that RFC 3986 does not allow in a path.
 */
export function ambiguityOf(path: string, leniency: PathLeniency = STRICT): TextFault | undefined {
  for (const { at, found, right, unless } of AMBIGUITIES) {
    if (unless !== undefined && leniency[unless]) continue;
    const offset = path.search(at);
    if (offset >= 0) return { offset, found, right };
  }
  return encodedFault(path);
}

/** A first byte with all that continue it, or one that continues none. */
const ENCODED_CHARACTER = /%[c-f][\da-f](?:%[89ab][\da-f])*|%[89ab][\da-f]/gi;
const END = /^(?:\/|%2f|;|%3b|$)/i;

/** The first escape beyond ASCII that is no UTF-8, or that stands for a character which may become another. */
function encodedFault(path: string): TextFault | undefined {
  for (const { 0: escapes, index } of path.matchAll(ENCODED_CHARACTER)) {
    let character: string;
    try {
      character = decodeURIComponent(escapes);
    } catch {
      return { offset: index, found: "escapes that are not UTF-8", right: "encode it as UTF-8" };
    }
    const fault = characterFault(character, END.test(path.slice(index + escapes.length)));
    if (fault !== undefined) return { offset: index, ...fault };
  }
  return undefined;
}

const SIGNS = /[./\\]/;

/**
 * What is wrong with a character beyond ASCII in a path: programs that compare texts without regard to width and the
 * like (Unicode's NFKC) take U+FF0F for `/` and U+2026 for `...`.
 *
 * @param last whether it ends a segment
 */
export function characterFault(character: string, last: boolean): Omit<TextFault, "offset"> | undefined {
  const simple = character.normalize("NFKC");
  if (SIGNS.test(simple))
    return { found: `a character that some programs take for "${simple}"`, right: "leave it out" };
  if (!last || !/\s/.test(character)) return undefined;
  return { found: "a blank at the end of a segment, where some programs drop it", right: "leave it out" };
}
