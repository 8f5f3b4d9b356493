import { parseDocument } from "yaml";
import type { Fault, TextFault } from "../fault.ts";
import { SourceText } from "./source-text.ts";
import { sourceOffset } from "./text-position.ts";
import { syntaxFaults, textFaults } from "./yaml-syntax.ts";
import { type Path, readTree, replaceTexts, type Spot } from "./yaml-tree.ts";

export type { Path };

/** A YAML file as plain values, which knows where each of them is written. */
export class SourceDocument {
  readonly file: string;
  /** Plain JavaScript; `null` for an empty file. */
  readonly value: unknown;
  readonly #source: SourceText;
  readonly #root: Spot;

  /**
   * @param root as `readTree` makes it
   * @param value default: what is written
   */
  constructor(source: SourceText, root: Spot, value: unknown = root.value) {
    this.file = source.file;
    this.value = value;
    this.#source = source;
    this.#root = root;
  }

  /** The same file with other texts as values. Faults go on showing what is written: the others may be secrets. */
  withTexts(replace: (text: string, path: Path) => string): SourceDocument {
    return new SourceDocument(this.#source, replaceTexts(this.#root, [], replace));
  }

  /** The same file, with a value that says more than it does: what is not written has no place of its own. */
  withValue(value: unknown): SourceDocument {
    return new SourceDocument(this.#source, this.#root, value);
  }

  /** A value as the file has it, to the bottom: references as they stand. Undefined where it has none. */
  asWritten(path: Path): unknown {
    const { spot, complete } = this.#find(path);
    return complete ? writtenIn(spot) : undefined;
  }

  /** What a fault may show of a value: what the file says. */
  written(path: Path): unknown {
    const { spot, complete } = this.#find(path);
    return complete ? (spot.written ?? spot.value) : undefined;
  }

  /** A fault of a value. A path that leads nowhere means the key, or list item, that it should have led on from. */
  fault(path: Path, found: string, right: string): Fault {
    const { spot, complete } = this.#find(path);
    const written = complete && (spot.end > spot.start || spot.key === undefined);
    return this.#source.fault(written ? spot.start : (spot.key ?? spot.start), found, right);
  }

  /** A fault of the key that a path ends in. */
  keyFault(path: Path, found: string, right: string): Fault {
    return this.#source.fault(this.#keyOffset(path), found, right);
  }

  /** A fault within a text, such as a pattern or an expression. */
  textFault(path: Path, { offset, found, right }: TextFault): Fault {
    const { spot, complete } = this.#find(path);
    if (!complete || spot.written !== undefined || typeof spot.value !== "string")
      return this.fault(path, found, right);
    const written = this.#source.text.slice(spot.start, spot.end);
    const inside = sourceOffset(spot.style, written, spot.value, offset);
    return this.#source.fault(spot.start + inside, found, right);
  }

  /** `file:line:column` of a key, for "the first is at ..."; of the value where it has no key. */
  place(path: Path): string {
    return this.#source.place(this.#keyOffset(path));
  }

  #keyOffset(path: Path): number {
    const { spot } = this.#find(path);
    return spot.key ?? spot.start;
  }

  #find(path: Path): { spot: Spot; complete: boolean } {
    let spot = this.#root;
    for (const step of path) {
      const child = spot.children.get(step);
      if (child === undefined) return { spot, complete: false };
      spot = child;
    }
    return { spot, complete: true };
  }
}

function writtenIn({ value, written, children }: Spot): unknown {
  if (children.size === 0) return written ?? value;
  const entries = [...children].map(([step, child]) => [step, writtenIn(child)] as const);
  return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}

/**
 * Reads YAML 1.2 (core schema) of one document, without anchors, aliases and tags.
 *
 * @param file how faults name it
 * @returns the document, or all that is wrong with it as YAML
 */
export function readDocument(file: string, text: string): SourceDocument | readonly Fault[] {
  const source = new SourceText(file, text);
  const unfit = textFaults(source);
  if (unfit.length > 0) return unfit;
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: false, logLevel: "error" });
  const syntax = syntaxFaults(document, source);
  if (syntax.length > 0) return syntax;
  const faults: Fault[] = [];
  const root = readTree(document.contents, source, faults);
  return faults.length > 0 ? faults : new SourceDocument(source, root);
}
