/**
 * Something of a principal that its credential does not tell in a form that can be read: a claim of another type, or one
 * that the issuer keeps elsewhere. It is neither nothing nor any value, and has nothing that a list or a text has: what
 * needs it is refused, with its reason.
 */
export class Unknown {
  /** The claim, as its path is written. */
  readonly claim: string;
  /** What is there instead of a value, such as `a number`. */
  readonly found: string;
  /** Why whatever needs it is refused. */
  readonly reason: UnknownReason;

  constructor(claim: string, found: string, reason: UnknownReason = "claim-unknown") {
    this.claim = claim;
    this.found = found;
    this.reason = reason;
    Object.freeze(this);
  }

  /** For an explanation. It says of the token no more than a claim's name and type. */
  get text(): string {
    return `the claim ${this.claim}: ${this.found}`;
  }
}

/** The credential does not tell it; or whoever else would cannot be asked now; or to find it out would take too long. */
export type UnknownReason = "claim-unknown" | "groups-unavailable" | "cost-exceeded";

/** Whether something holds, where that may be unknown. */
export type Truth = boolean | Unknown;

/** Whether each holds. One that does not is enough to tell; what is unknown counts only where all else holds. */
export function allHold<Each>(all: readonly Each[], holds: (each: Each) => Truth): Truth {
  return joined(all, holds, false);
}

/** Whether one holds. One that does is enough to tell; what is unknown counts only where nothing else holds. */
export function oneHolds<Each>(all: readonly Each[], holds: (each: Each) => Truth): Truth {
  return joined(all, holds, true);
}

function joined<Each>(all: readonly Each[], holds: (each: Each) => Truth, telling: boolean): Truth {
  let truth: Truth = !telling;
  for (const each of all) {
    const found = holds(each);
    if (found === telling) return found;
    if (found !== !telling) truth = found;
  }
  return truth;
}

/** An expression has read what is unknown. */
export class UnknownError extends Error {
  readonly reason: UnknownReason;

  constructor(unknown: Unknown) {
    super(`unknown: ${unknown.text}`);
    this.reason = unknown.reason;
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
