import type { CredentialName } from "../../haproxy/credentials.ts";
import { keyOf, type Verification } from "./cache.ts";

/**
 * A power of two: four times what one issuer may have under way. Of two that share a slot, whoever brings the first one
 * again has it verified once more, and nothing else.
 */
const SLOTS = 8192;

/** Who asked for a verification. */
export interface Waiter {
  /** Whether it can still be answered; before anything is begun for it, whether it may wait. */
  readonly wanted: () => boolean;
}

interface Entry {
  readonly kind: CredentialName;
  readonly digest: string;
  readonly verification: Promise<Verification>;
  readonly waiters: Waiter[];
}

/**
 * The verifications under way by kind and digest of their credential, which all wait for who bring the same one.
 *
 * No Map holds them: one from which things come and go is copied again and again, and V8 links the old copies to the new
 * ones, so that a scavenge which met one kept all that had been under way since. With new tokens only, that made a
 * scavenge take 8 ms instead of 2. Nor does an LRUCache: when its only entry goes, it clears its arrays from end to end,
 * 11 us for each token that comes alone.
 */
export class InFlight {
  readonly #slots = new Array<Entry | undefined>(SLOTS).fill(undefined);

  /** The verification of a credential, for one more who waits for it. */
  join(kind: CredentialName, digest: string, waiter: Waiter): Promise<Verification> | undefined {
    const entry = this.#slots[slotOf(digest)];
    if (entry?.digest !== digest || entry.kind !== kind) return undefined;
    entry.waiters.push(waiter);
    return entry.verification;
  }

  /** @param waiters the first; who joins later is added to the list */
  add(kind: CredentialName, digest: string, verification: Promise<Verification>, waiters: Waiter[]): void {
    this.#slots[slotOf(digest)] = { kind, digest, verification, waiters };
  }

  delete(kind: CredentialName, digest: string): void {
    const slot = slotOf(digest);
    const entry = this.#slots[slot];
    if (entry?.digest === digest && entry.kind === kind) this.#slots[slot] = undefined;
  }
}

function slotOf(digest: string): number {
  return keyOf(digest) & (SLOTS - 1);
}
