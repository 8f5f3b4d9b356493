/**
 * Something of a principal that its credential does not tell in a form that can be read: a claim of another type, or one
 * that the issuer keeps elsewhere. It is neither nothing nor any value, and has nothing that a list or a text has: what
 * needs it is refused, with the reason `claim-unknown`.
 */
export class Unknown {
  /** The claim, as its path is written. */
  readonly claim: string;
  /** What is there instead of a value, such as `a number`. */
  readonly found: string;

  constructor(claim: string, found: string) {
    this.claim = claim;
    this.found = found;
    Object.freeze(this);
  }

  /** For an explanation. It says of the token no more than a claim's name and type. */
  get text(): string {
    return `the claim ${this.claim}: ${this.found}`;
  }
}

/** Whether something holds, where that may be unknown. */
export type Truth = boolean | Unknown;

/** An expression has read what is unknown. */
export class UnknownError extends Error {
  constructor(unknown: Unknown) {
    super(`unknown: ${unknown.text}`);
  }
}

/** What is known. @throws {UnknownError} */
export function known<T>(value: T | Unknown): T {
  if (value instanceof Unknown) throw new UnknownError(value);
  return value;
}

/** The JSON type of a value, as faults and explanations name it. */
export function typeName(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string") return "a text";
  if (typeof value === "boolean") return "a boolean";
  return typeof value === "object" ? "a mapping" : "a number";
}
