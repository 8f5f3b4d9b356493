/** What is known of a proof: whether it has come before, or that this cannot be told. */
export type Seen = "new" | "before" | "too-old" | "unavailable";

/** The proofs that have come, so that each counts once. */
export interface Replays {
  /**
   * Notes a proof.
   *
   * @param digest what tells it from all others: of its key and its `jti` alone (RFC 9449, section 11.1)
   * @param issuedAt milliseconds since the epoch
   * @param now the same
   */
  note(digest: string, issuedAt: number, now: number): Seen | Promise<Seen>;
}

/**
 * The proofs that have come to this process. It outlives reloads, whatever they change: a proof that has come once never
 * counts again.
 *
 * Two sets that take turns hold them, and are dropped as a whole: of one set from which things come and go V8 makes copy
 * after copy (see in-flight.ts).
 */
export class ReplayMemory {
  #recent = new Set<string>();
  #before = new Set<string>();
  #turnedAt: number;
  /** Whatever has come from then on is in one of the sets. */
  #completeFrom: number;

  /** @param now milliseconds since the epoch */
  constructor(now: number) {
    this.#turnedAt = now;
    this.#completeFrom = now;
  }

  get entries(): number {
    return this.#recent.size + this.#before.size;
  }

  /**
   * @param kept milliseconds for which a proof has to be known after it has come
   * @param most proofs that are remembered at most; past it nothing can be told
   */
  note(digest: string, issuedAt: number, now: number, kept: number, most: number): Seen {
    this.#turn(now, kept);
    if (this.#recent.has(digest) || this.#before.has(digest)) return "before";
    // Dates are in whole seconds. What was made before may have come before, too, and been forgotten: by an agent that
    // has ended, or under a configuration that let proofs live shorter.
    if (issuedAt < Math.floor(this.#completeFrom / 1000) * 1000) return "too-old";
    if (this.entries >= most) return "unavailable";
    this.#recent.add(digest);
    return "new";
  }

  /** Things have come elsewhere until now: what was made before is too old. */
  begin(now: number): void {
    this.#turnedAt = now;
    this.#completeFrom = now;
  }

  #turn(now: number, kept: number): void {
    if (now < this.#turnedAt + kept) return;
    this.#completeFrom = this.#turnedAt;
    this.#before = this.#recent;
    this.#recent = new Set();
    this.#turnedAt = now;
  }
}
