/** What a challenge tells, and what clients take it to tell. */
export interface Told {
  /** The first word, in lower case. */
  readonly scheme: string;
  /** Of all schemes, by name in lower case: the first of each (RFC 9110, section 11.6.1). */
  readonly parameters: Readonly<Record<string, string>>;
  /** The same as the SDKs find it: the first `name=` in the whole text. */
  readonly searched: (name: string) => string | undefined;
}

const PARAMETER = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/g;

/** Reads the value of WWW-Authenticate, several joined by commas. */
export function readChallenge(text: string): Told {
  const [scheme = ""] = text.trim().split(/[\s,]/, 1);
  const parameters: Record<string, string> = {};
  for (const [, name = "", quoted, plain = ""] of text.matchAll(PARAMETER))
    parameters[name.toLowerCase()] ??= quoted?.replace(/\\(.)/g, "$1") ?? plain;
  const searched = (name: string) => {
    const [, quoted, plain] = new RegExp(`${name}=(?:"([^"]+)"|([^\\s,]+))`).exec(text) ?? [];
    return quoted ?? plain;
  };
  return { scheme: scheme.toLowerCase(), parameters, searched };
}
