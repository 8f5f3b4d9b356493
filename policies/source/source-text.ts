import { LineCounter } from "yaml";
import type { Fault } from "../fault.ts";

/** The text of a file, with the line and column of every place in it. */
export class SourceText {
  readonly file: string;
  readonly text: string;
  readonly #lines = new LineCounter();

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
    this.#lines.addNewLine(0);
    for (const { index } of text.matchAll(/\n/g)) this.#lines.addNewLine(index + 1);
  }

  /** @param offset in UTF-16 code units; columns are counted in characters, as editors do */
  fault(offset: number, found: string, right: string): Fault {
    const { line, col } = this.#lines.linePos(offset);
    const before = this.text.slice(offset - (col - 1), offset);
    return { file: this.file, line, column: [...before].length + 1, found, right };
  }

  /** `file:line:column`, which editors and terminals make clickable. */
  place(offset: number): string {
    const { file, line, column } = this.fault(offset, "", "");
    return `${file}:${line}:${column}`;
  }
}
