import { Allowance } from "./allowance.ts";
import type { Page } from "./messages.ts";

/** Pages in a row that each show the very moment; past them all who ask share one a second. */
const BURST = 10;

/** One page for all who ask: however many they are, the agent is asked for it once at a time, and once a second. */
export class SharedPage {
  readonly #ask: () => Promise<Page>;
  readonly #allowed: Allowance;
  #pending = false;
  #page: Promise<Page> | undefined;

  /** @param ask makes the page anew; never rejects @param clock milliseconds that only grow */
  constructor(ask: () => Promise<Page>, clock: () => number) {
    this.#ask = ask;
    this.#allowed = new Allowance(BURST, 1, clock);
  }

  get(): Promise<Page> {
    const anew = !this.#pending && this.#allowed.take();
    if (!anew && this.#page !== undefined) return this.#page;
    this.#pending = true;
    this.#page = this.#ask().finally(() => {
      this.#pending = false;
    });
    return this.#page;
  }
}
