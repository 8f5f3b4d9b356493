/**
 * Signs to which other tools give a meaning, and names here have none: `*`, `?`, `%`, `.+`, `^…`, `…$`, `<name>`, `{name}`,
 * `:name`, `/…/`. Taken for letters they would make a name that nobody has, and a rule that never holds.
 */
const SIGN = /\*+|\?|%|\.\+|^\^|\$$|<[^<>]*>|\{[^{}]*\}|^:(?=\w)|^\/(?=.+\/$)/;

/** The first sign in a name; undefined where it has none. */
export function signIn(name: string): { readonly offset: number; readonly sign: string } | undefined {
  const found = SIGN.exec(name);
  return found === null ? undefined : { offset: found.index, sign: found[0] };
}
