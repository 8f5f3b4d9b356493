/**
 * Signs to which other tools give a meaning, and names here have none: `*`, `?`, `%`, `.+`, `^…`, `…$`, `<name>`, `{name}`,
 * `:name`, `/…/`. Taken for letters they would make a name that nobody has, and a rule that never holds.
 */
const SIGN = /\*+|\?|%|\.\+|^\^|\$$|<[^<>]*>|\{[^{}]*\}|^:(?=\w)|^\/(?=.+\/$)/;

/**
 * What stands for a part of a URL that differs. In no URL that names somebody does it stand for itself, while `%` and `?`
 * have a meaning of their own there.
 */
const PLACEHOLDER = /[*{}<>^|]|%7[bd]|%3[ce]|\/:[a-z_]|\$$/i;

/** Whether a URL that is compared letter by letter has a part that stands for others. */
export function hasPlaceholder(url: string): boolean {
  return PLACEHOLDER.test(url);
}

/** The first sign in a name; undefined where it has none. */
export function signIn(name: string): { readonly offset: number; readonly sign: string } | undefined {
  const found = SIGN.exec(name);
  return found === null ? undefined : { offset: found.index, sign: found[0] };
}

/** A sign as a fault names it. */
export function meaningless(sign: string): string {
  return `\`${sign}\`, which has no meaning in a name`;
}

// What comes along as a name is written or pasted: blanks, line ends, and quotes that are none to YAML. Within a name they may be its own.
const AT_START = /^[\s“”„‟‘’‚‛«»‹›]+/;
const AT_END = /[\s“”„‟‘’‚‛«»‹›]+$/;

/** What came along at an end of a name. */
export interface Stray {
  readonly offset: number;
  readonly found: string;
  /** The name without it. */
  readonly name: string;
}

/**
 * What came along at an end of a name, of which it would be a part: nobody would be called so.
 *
 * @param open the end at which more may follow, as behind a prefix
 */
export function strayIn(name: string, open?: "start" | "end"): Stray | undefined {
  const start = open === "start" ? null : AT_START.exec(name);
  const end = open === "end" ? null : AT_END.exec(name);
  const found = start ?? end;
  if (found === null) return undefined;
  const sign = found[0].charAt(0);
  const what = /\s/.test(sign) ? "a blank or line end" : `\`${sign}\`, which to YAML is no quote,`;
  const where = start === null ? "the end" : "the beginning";
  const bare = name.slice(start?.[0].length ?? 0, end?.index ?? name.length);
  return { offset: found.index, found: `${what} at ${where} of a name`, name: bare };
}
