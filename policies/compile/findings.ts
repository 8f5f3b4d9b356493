import type { Fault, TextFault } from "../fault.ts";
import type { Path, SourceDocument } from "../source/document.ts";

/** What knows where the values of a policy file are written. */
export type Source = Pick<SourceDocument, "file" | "fault" | "keyFault" | "textFault" | "place">;

/** A file whose values' places are known no longer. It was checked before, so nobody should ask for them. */
export class Placeless implements Source {
  readonly file: string;

  constructor(file: string) {
    this.file = file;
  }

  fault(_path: Path, found: string, right: string): Fault {
    return { file: this.file, line: 1, column: 1, found, right };
  }

  keyFault(path: Path, found: string, right: string): Fault {
    return this.fault(path, found, right);
  }

  textFault(path: Path, { found, right }: TextFault): Fault {
    return this.fault(path, found, right);
  }

  place(): string {
    return this.file;
  }
}

/** Where something stands in the policy files. */
export class Place {
  readonly document: Source;
  readonly path: Path;

  constructor(document: Source, path: Path) {
    this.document = document;
    this.path = path;
  }

  at(...more: Path): Place {
    return new Place(this.document, [...this.path, ...more]);
  }

  /** For `first defined at …` */
  get text(): string {
    return this.document.place(this.path);
  }
}

/** What is found while compiling: faults keep the policies from being used, warnings do not. */
export class Findings {
  readonly faults: Fault[] = [];
  readonly warnings: Fault[] = [];

  fault({ document, path }: Place, found: string, right: string): void {
    this.faults.push(document.fault(path, found, right));
  }

  /** At the key that the place ends in. */
  key({ document, path }: Place, found: string, right: string): void {
    this.faults.push(document.keyFault(path, found, right));
  }

  /** Within a text, such as a pattern or an expression. */
  text({ document, path }: Place, fault: TextFault): void {
    this.faults.push(document.textFault(path, fault));
  }

  warn({ document, path }: Place, found: string, right: string): void {
    this.warnings.push(document.fault(path, found, right));
  }
}

/** A word or list of words for a fault's text. */
export function named(names: Iterable<string>): string {
  return [...names].map((name) => `"${name}"`).join(", ");
}
