/**
 * What the expressions of one decision may do together, whatever the policy, the token and the request: about a
 * millisecond on a machine of today, of units of some 10 ns. It is counted and not timed, so that a decision is the same
 * on every machine.
 */
export const MOST_WORK = 100_000;

/** What is left to one decision, for its conditions and headers. */
export class Work {
  left = MOST_WORK;

  /** Gives it all again, to the next decision. */
  renew(): void {
    this.left = MOST_WORK;
  }

  /** What is asked for afterwards fails, too: no `||` can go on without. */
  get exhausted(): boolean {
    return this.left < 0;
  }
}

/** One for all: nobody looks where it was thrown, and to note that would take longer than what it stops. */
const EXHAUSTED = new RangeError("the expressions take more work than a decision may");

/** The library hands nothing to its operators that could lead to it; an evaluation is never interrupted by another. */
let current = new Work();

/** Has what is spent from now on come out of this. */
export function drawOn(work: Work): void {
  current = work;
}

/** Counts something before it is done. @throws {RangeError} where too little is left */
export function spend(units: number): void {
  current.left -= units;
  if (current.left < 0) throw EXHAUSTED;
}
