import type { Page } from "./messages.ts";

/** Pages in a row that each show the very moment; past them all who ask share one a second. */
const BURST = 10;
const SHARED = 1_000;

/** One page for all who ask: however many they are, the agent is asked for it once at a time, and once a second. */
export class SharedPage {
  readonly #ask: () => Promise<Page>;
  readonly #clock: () => number;
  #left = BURST;
  #countedAt: number;
  #pending = false;
  #page: Promise<Page> | undefined;

  /** @param ask makes the page anew; never rejects @param clock milliseconds that only grow */
  constructor(ask: () => Promise<Page>, clock: () => number) {
    this.#ask = ask;
    this.#clock = clock;
    this.#countedAt = clock();
  }

  get(): Promise<Page> {
    const now = this.#clock();
    this.#left = Math.min(BURST, this.#left + (now - this.#countedAt) / SHARED);
    this.#countedAt = now;
    if (this.#page !== undefined && (this.#pending || this.#left < 1)) return this.#page;
    this.#left--;
    this.#pending = true;
    this.#page = this.#ask().finally(() => {
      this.#pending = false;
    });
    return this.#page;
  }
}
