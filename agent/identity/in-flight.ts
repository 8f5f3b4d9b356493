import { LRUCache } from "lru-cache";
import { keyOf, type Verification } from "./cache.ts";

/** More than all issuers together have under way. */
const MOST = 8192;

/** Who asked for a verification. */
export interface Waiter {
  /** Whether it can still be answered; before anything is begun for it, whether it may wait. */
  readonly wanted: () => boolean;
}

interface Entry {
  readonly digest: string;
  readonly verification: Promise<Verification>;
  readonly waiters: Waiter[];
}

/**
 * The verifications under way by the digest of their credential, which all wait for who bring the same one.
 *
 * No Map holds them: one from which things come and go is copied again and again, and V8 links the old copies to the new
 * ones, so that a scavenge which met one kept all that had been under way since. With new tokens only, that made a
 * scavenge take 8 ms instead of 2.
 */
export class InFlight {
  readonly #entries = new LRUCache<number, Entry>({ max: MOST });

  /** The verification of a credential, for one more who waits for it. */
  join(digest: string, waiter: Waiter): Promise<Verification> | undefined {
    const entry = this.#entries.get(keyOf(digest));
    if (entry?.digest !== digest) return undefined;
    entry.waiters.push(waiter);
    return entry.verification;
  }

  /** @param waiters the first; who joins later is added to the list */
  add(digest: string, verification: Promise<Verification>, waiters: Waiter[]): void {
    this.#entries.set(keyOf(digest), { digest, verification, waiters });
  }

  delete(digest: string): void {
    const key = keyOf(digest);
    if (this.#entries.peek(key)?.digest === digest) this.#entries.delete(key);
  }
}
