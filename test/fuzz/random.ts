/** A choice of the numbers below a bound. */
export type Below = (below: number) => number;

/** What cases are made with: the same seed and number always give the same case. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** The generator of one case, which needs none of those before it. */
  static of(seed: number, target: string, number: number): Random {
    let state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) ^ number;
    for (const character of target) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x0100_0193);
    return new Random(Math.imul(state ^ (state >>> 15), 0x2c1b_3c6d));
  }

  /** A whole number from 0 to below `bound`. mulberry32: small, and the same everywhere. */
  readonly below: Below = (bound) => {
    this.#state = (this.#state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };

  /** Once in so many times. */
  once(inSoMany: number): boolean {
    return this.below(inSoMany) === 0;
  }

  pick<T>(values: readonly T[]): T {
    if (values.length === 0) throw new Error("nothing to choose from");
    return values[this.below(values.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}
