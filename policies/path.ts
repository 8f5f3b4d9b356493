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

// RFC 3986, section 3.3: pchar without "%", and "/" between segments.
const PCHAR = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/;
const UNRESERVED = /^[A-Za-z0-9\-._~]$/;

/**
 * The percent-decoded segments of a raw path, or `undefined` where two programs could read the path differently:
 * dot segments, `//`, `\`, an encoded slash, backslash, percent sign, control or unreserved character, `;`, escapes
 * that are malformed or not UTF-8, and every character that RFC 3986 does not allow in a path.
 *
 * `/` has one empty segment, and a path that ends in `/` ends in an empty one.
 */
export function segmentsOf(path: string, leniency: PathLeniency = STRICT): readonly string[] | undefined {
  if (!path.startsWith("/")) return undefined;
  const raw = path.slice(1).split("/");
  const segments: string[] = [];
  for (const [i, text] of raw.entries()) {
    if (text === "" && i < raw.length - 1 && !leniency.emptySegments) return undefined;
    const segment = decodeSegment(text, leniency);
    if (segment === undefined) return undefined;
    segments.push(segment);
  }
  return segments;
}

// Also within a segment that a service lets hold `%2f` or `;`: to some programs `..%2f` and `..;x` climb.
const DOT_SEGMENT = /(?:^|\/)\.{1,2}(?:[;/]|$)/;

function decodeSegment(text: string, leniency: PathLeniency): string | undefined {
  if (text.includes(";") && !leniency.parameters) return undefined;
  const decoded = text.includes("%") ? decodeEscapes(text, leniency) : text;
  if (decoded === undefined || DOT_SEGMENT.test(decoded)) return undefined;
  return PCHAR.test(text.replace(/%[0-9A-Fa-f]{2}/g, "")) ? decoded : undefined;
}

const C1_CONTROL = /[\u0080-\u009f]/;

function decodeEscapes(text: string, leniency: PathLeniency): string | undefined {
  for (const [, digits] of text.matchAll(/%([0-9A-Fa-f]{2})/g)) {
    if (!permitted(Number.parseInt(digits as string, 16), leniency)) return undefined;
  }
  try {
    const decoded = decodeURIComponent(text);
    return C1_CONTROL.test(decoded) ? undefined : decoded;
  } catch {
    return undefined;
  }
}

/** Whether a byte may stand behind a percent sign. */
function permitted(byte: number, leniency: PathLeniency): boolean {
  if (byte === 0x2f) return leniency.encodedSlash;
  if (byte < 0x20 || byte === 0x7f || byte === 0x25 || byte === 0x5c) return false;
  return !UNRESERVED.test(String.fromCharCode(byte));
}
