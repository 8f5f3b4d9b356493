// Keys come from bounded lists; the number only makes that certain.
const MOST_KEYS = 1024;

/** Lets one message of a kind through in an interval and counts the others, so that a failing dependency cannot flood the log. */
export class Throttle {
  readonly #interval: number;
  readonly #kinds = new Map<string, { since: number; held: number }>();

  /** @param interval milliseconds */
  constructor(interval: number) {
    this.#interval = interval;
  }

  /**
   * @param now milliseconds since the epoch
   * @returns how many messages of the kind were held back since the last one, or undefined to hold this one back too
   */
  pass(kind: string, now: number): number | undefined {
    const known = this.#kinds.get(kind);
    if (known !== undefined && now - known.since < this.#interval && now >= known.since) {
      known.held++;
      return undefined;
    }
    if (this.#kinds.size >= MOST_KEYS) this.#kinds.clear();
    this.#kinds.set(kind, { since: now, held: 0 });
    return known?.held ?? 0;
  }

  /** @returns whether there was a message of the kind; the next one passes at once */
  forget(kind: string): boolean {
    return this.#kinds.delete(kind);
  }
}
