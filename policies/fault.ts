/** One mistake in a file, told so that the reader can mend it without asking anybody. */
export interface Fault {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1, in characters. */
  readonly column: number;
  /** What was found. */
  readonly found: string;
  /** What would be right. */
  readonly right: string;
}

/** `file:line:column: what; what would be right`, the form that editors and terminals make clickable. */
export function faultText(fault: Fault): string {
  return `${fault.file}:${fault.line}:${fault.column}: ${fault.found}; ${fault.right}`;
}

/** A mistake within one text, such as a pattern or an expression; whoever knows where the text stands makes a Fault of it. */
export interface TextFault {
  /** Where in the text, in UTF-16 code units from 0. */
  readonly offset: number;
  readonly found: string;
  readonly right: string;
}
