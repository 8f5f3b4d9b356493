import type { Fault, TextFault } from "../fault.ts";
import type { Path, SourceDocument } from "../source/document.ts";

/** Where something stands in the policy files. */
export class Place {
  readonly document: SourceDocument;
  readonly path: Path;

  constructor(document: SourceDocument, path: Path) {
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
