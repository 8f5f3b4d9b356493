import { LRUCache } from "lru-cache";

/** Access keys that are told apart: those that have proven somebody, and as many that have not. */
const MOST_KEYS = 10_000;
/** Seconds' worth of requests that may come at once. */
const BURST = 2;

/** So many at once, and so many a second. */
class Bucket {
  readonly #rate: number;
  #left: number;
  #at: number;

  constructor(rate: number, now: number) {
    this.#rate = rate;
    this.#left = rate * BURST;
    this.#at = now;
  }

  /** Whether one more may go. A clock that was set back gives nothing. */
  take(now: number): boolean {
    const passed = Math.max(0, now - this.#at) / 1000;
    this.#at = now;
    this.#left = Math.min(this.#rate * BURST, this.#left + passed * this.#rate);
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

/**
 * How often STS is asked. Anybody can make a token that looks good, and each new one costs a request: without a bound
 * our clients could have us flood AWS.
 *
 * Each access key has a share of its own; what nobody has proven yet has one together, so that a flood of keys that are
 * made up takes nothing from those that are known.
 */
export class Rate {
  readonly #each: number;
  readonly #strangers: Bucket;
  readonly #unproven = new LRUCache<string, Bucket>({ max: MOST_KEYS });
  readonly #proven = new LRUCache<string, Bucket>({ max: MOST_KEYS });

  /**
   * @param each requests a second for one access key
   * @param strangers requests a second for all together that have proven nobody yet
   */
  constructor(each: number, strangers: number, now: number) {
    this.#each = each;
    this.#strangers = new Bucket(strangers, now);
  }

  /** Whether STS may be asked once more. @param now milliseconds since the epoch */
  admits(accessKeyId: string, now: number): boolean {
    const proven = this.#proven.get(accessKeyId);
    if (proven !== undefined) return proven.take(now);
    const own = this.#unproven.get(accessKeyId) ?? new Bucket(this.#each, now);
    this.#unproven.set(accessKeyId, own);
    return own.take(now) && this.#strangers.take(now);
  }

  /** STS has said that somebody has this key. */
  prove(accessKeyId: string, now: number): void {
    if (this.#proven.has(accessKeyId)) return;
    this.#proven.set(accessKeyId, this.#unproven.get(accessKeyId) ?? new Bucket(this.#each, now));
    this.#unproven.delete(accessKeyId);
  }
}
