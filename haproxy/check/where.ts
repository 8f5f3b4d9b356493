import type { Word } from "./tokenizer.ts";

/** A place in a file, counted from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One line of a file that says something: its words, and where it stands. */
export interface Statement extends Place {
  readonly words: readonly Word[];
}

const TEXTS = new WeakMap<Statement, readonly string[]>();

/** The texts of the words from `from` on. */
export function texts(statement: Statement, from = 0): readonly string[] {
  const known = TEXTS.get(statement) ?? statement.words.map(({ text }) => text);
  TEXTS.set(statement, known);
  return from === 0 ? known : known.slice(from);
}

/** The place of the n-th word, or of the line where there is none. */
export function at(statement: Statement, n: number): Place {
  const { file, line, column } = statement;
  return { file, line, column: statement.words[n]?.column ?? column };
}

/** What stands for the value of a variable that only the deployment knows. */
const UNKNOWN = /\uE000([^\uE001]*)\uE001/g;

/** A value that is not known, as part of a word. */
export function unknownValue(name: string): string {
  return `\uE000${name}\uE001`;
}

export function isUnknown(text: string): boolean {
  return text.includes("\uE000");
}

/** The word as its author may have written it. */
export function shown(text: string): string {
  return text.replace(UNKNOWN, (_, name: string) => `\${${name}}`);
}

/** The line without indentation and comment, for a reader. */
export function lineText(statement: Statement): string {
  return texts(statement)
    .map((text) => shown(text))
    .map((text) => (/[ #'"\\]/.test(text) ? `'${text}'` : text))
    .join(" ");
}
