/** So much at once, and so much a second. */
export class Allowance {
  readonly #most: number;
  readonly #perSecond: number;
  readonly #clock: () => number;
  #left: number;
  #countedAt: number;

  /** @param clock milliseconds that only grow */
  constructor(most: number, perSecond: number, clock: () => number) {
    this.#most = most;
    this.#perSecond = perSecond;
    this.#clock = clock;
    this.#left = most;
    this.#countedAt = clock();
  }

  /** @returns whether there was some left, which is one less now */
  take(): boolean {
    const now = this.#clock();
    this.#left = Math.min(this.#most, this.#left + ((now - this.#countedAt) / 1000) * this.#perSecond);
    this.#countedAt = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
