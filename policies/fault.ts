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
