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
