import { type Place, type Statement, shown } from "./where.ts";

/**
 * `fault`: a request gets through without a verdict for it. `unproven`: nobody can say, because something was not
 * understood. `warning`: it depends on the backend whether that matters.
 */
export type Level = "fault" | "unproven" | "warning";

/** One finding, told so that the reader can mend it. */
export interface Finding extends Place {
  readonly level: Level;
  /** Of what kind it is, for programs: `gate`, `rewrite`, `identity`, … */
  readonly code: string;
  /** What passes, or is not understood. */
  readonly found: string;
  /** The line to write instead. */
  readonly right: string;
  /** A request that gets through. */
  readonly example: string | undefined;
  /** Other lines that have to do with it. */
  readonly also: readonly Note[];
  /** In which circumstances: version, environment; empty for in all. */
  readonly when: readonly string[];
}

export interface Note extends Place {
  readonly note: string;
}

/** A note on a statement. */
export function noteOn({ file, line, column }: Statement, note: string): Note {
  return { file, line, column, note };
}

/** The place of a statement, without its words. */
export function placeOf({ file, line, column }: Place): Place {
  return { file, line, column };
}

/** A finding of one world. */
export function finding(
  level: Level,
  code: string,
  place: Place,
  found: string,
  right: string,
  rest: { readonly example?: string; readonly also?: readonly Note[] } = {},
): Finding {
  const also = (rest.also ?? []).filter(({ file, line }) => file !== place.file || line !== place.line);
  return {
    level,
    code,
    ...placeOf(place),
    found: shown(found),
    right: shown(right),
    example: rest.example,
    also,
    when: [],
  };
}

/**
 * The findings of all worlds as one list, in the order of the files. One that not every world has says in which it is
 * found.
 */
export function merged(
  worlds: readonly { readonly described: readonly string[]; readonly findings: readonly Finding[] }[],
  files: readonly string[],
): readonly Finding[] {
  const found = new Map<string, { readonly finding: Finding; readonly worlds: (readonly string[])[] }>();
  for (const { described, findings } of worlds) {
    for (const one of findings) {
      // One line to mend is one finding, however many backends it leads to.
      const key = [one.level, one.code, one.file, one.line, one.column, one.right].join("\0");
      const { finding: first, worlds: where } = found.get(key) ?? { finding: one, worlds: [] };
      found.set(key, { finding: withNotes(first, one.also), worlds: [...new Set([...where, described])] });
    }
  }
  const order = (name: string) => (files.includes(name) ? files.indexOf(name) : files.length);
  return [...found.values()]
    .map(({ finding: one, worlds: where }) => ({ ...one, when: where.length === worlds.length ? [] : common(where) }))
    .sort(
      (a, b) => order(a.file) - order(b.file) || a.file.localeCompare(b.file) || a.line - b.line || a.column - b.column,
    );
}

const MOST_NOTES = 10;

function withNotes(finding: Finding, notes: readonly Note[]): Finding {
  const isNew = ({ file, line, note }: Note) =>
    !finding.also.some((known) => known.file === file && known.line === line && known.note === note);
  return { ...finding, also: [...finding.also, ...notes.filter(isNew)].slice(0, MOST_NOTES) };
}

/** What all of these worlds have in common. */
function common([first = [], ...others]: readonly (readonly string[])[]): readonly string[] {
  return first.filter((text) => others.every((world) => world.includes(text)));
}
