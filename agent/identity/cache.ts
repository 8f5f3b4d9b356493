import { LRUCache } from "lru-cache";
import type { CredentialName } from "../../haproxy/credentials.ts";
import type { Principal } from "../../policies/principal.ts";
import type { Basis, Confirmation, Issuer } from "./issuer/issuer.ts";
import type { Refusal } from "./issuer/refusal.ts";
import type { Revocations } from "./revocations.ts";

/** What verifying a credential came to. Whoever has a confirmation is proven only once it is, too: with every request. */
export type Verification =
  | (Told & { readonly principal: Principal; readonly confirmation?: Confirmation | undefined })
  | (Told & Refusal & { readonly principal: undefined });

interface Told {
  /** What the client is to use as `nonce` in DPoP proofs from now on, where it has to be told. */
  readonly nonce?: string | undefined;
  /** What the browser is to keep as when its session was last seen, where it has to be told. */
  readonly seen?: string | undefined;
}

/** A principal with what it rests on. It is itself the answer to a warm request, for which nothing is allocated. */
export interface CachedIdentity {
  /** Of its credential. */
  readonly kind: CredentialName;
  /** Of its credential; as in `keyOf`. */
  readonly digest: string;
  readonly principal: Principal;
  readonly confirmation: Confirmation | undefined;
  readonly issuer: Issuer;
  readonly basis: Basis;
  /** Milliseconds since the epoch. */
  readonly verifiedAt: number;
  /** Milliseconds that it may answer after that, by its issuer; the cache has a bound of its own. */
  readonly lifetime: number;
  /** The list of what was taken back that has not held it. */
  cleared: Revocations;
}

interface CachedRefusal {
  readonly kind: CredentialName;
  readonly digest: string;
  readonly verification: Verification;
  readonly issuer: Issuer;
  /** The issuer's, when it was concluded. */
  readonly version: number;
  readonly refusedAt: number;
}

/** How full a cache is. */
export interface CacheUse {
  readonly entries: number;
  readonly limit: number;
}

/** Milliseconds for which a refusal is remembered. */
const REFUSAL_LIFETIME = 10_000;

/**
 * The first 32 bits of a digest, which is a text of one character for each byte. Entries are found by it and hold the
 * whole digest, to be compared: V8 enters a string into its table of all strings before it looks it up in a Map, which
 * with 5,000 identities took 1.3 us of the 9.6 of a request. Two credentials with the same key push each other out, no
 * more; among 100,000 there is one such pair.
 */
export function keyOf(digest: string): number {
  const low = digest.charCodeAt(0) | (digest.charCodeAt(1) << 8);
  return low | (digest.charCodeAt(2) << 16) | (digest.charCodeAt(3) << 24);
}

type Store = LRUCache<number, CachedIdentity>;

/**
 * Proven identities by kind and digest of their credential, bounded in number.
 *
 * One of them answers until its credential would be refused, what it rests on is gone, its lifetime has passed, or its issuer is not
 * of this snapshot, whichever comes first. The snapshots of before and after a reload share the entries, and each sees
 * only those of its own issuers.
 */
export class IdentityCache {
  #store: Store;
  readonly #lifetime: number;
  readonly #issuers: ReadonlySet<Issuer>;
  readonly #revocations: Revocations;

  /** @param lifetime milliseconds */
  constructor(
    size: number,
    lifetime: number,
    issuers: ReadonlySet<Issuer>,
    revocations: Revocations,
    previous?: IdentityCache,
  ) {
    this.#lifetime = lifetime;
    this.#issuers = issuers;
    this.#revocations = revocations;
    this.#store = previous === undefined ? newStore(size) : previous.#resized(size);
  }

  find(kind: CredentialName, digest: string, now: number): CachedIdentity | undefined {
    const key = keyOf(digest);
    const found = this.#store.get(key);
    if (found === undefined || found.digest !== digest || found.kind !== kind) return undefined;
    if (isOver(found, now) || this.#isRevoked(found)) {
      this.#store.delete(key);
      return undefined;
    }
    return this.holds(found, now) ? found : undefined;
  }

  /** Whether an identity that was found here before still answers. */
  holds(identity: CachedIdentity, now: number): boolean {
    // A clock that was set back must not prolong a lifetime.
    const age = Math.abs(now - identity.verifiedAt);
    const young = age < this.#lifetime && age < identity.lifetime;
    return young && !isOver(identity, now) && this.#issuers.has(identity.issuer);
  }

  /** Each is held against a list once. */
  #isRevoked(identity: CachedIdentity): boolean {
    if (identity.cleared === this.#revocations) return false;
    if (this.#revocations.has(identity.principal, identity.basis)) return true;
    identity.cleared = this.#revocations;
    return false;
  }

  add(identity: CachedIdentity): void {
    identity.basis.identities++;
    this.#store.set(keyOf(identity.digest), identity);
  }

  get use(): CacheUse {
    return { entries: this.#store.size, limit: this.#store.max };
  }

  /** The same entries in a store of another size; the snapshot before moves over, too. */
  #resized(size: number): Store {
    if (this.#store.max === size) return this.#store;
    const store = newStore(size);
    this.#store.rforEach((identity, key) => store.set(key, identity));
    this.#store = store;
    return store;
  }
}

/** Whether no snapshot may rest on it any more. */
function isOver({ principal, basis }: CachedIdentity, now: number): boolean {
  return now >= principal.expiresAt || now >= basis.until;
}

function newStore(size: number): Store {
  return new LRUCache({
    max: size,
    dispose: (identity) => {
      identity.basis.identities--;
    },
  });
}

/** Refused credentials by kind and digest, apart from the identities, so that no flood of them pushes out a good one. */
export class RefusalCache {
  readonly #store: LRUCache<number, CachedRefusal>;

  constructor(size: number) {
    this.#store = new LRUCache({ max: size });
  }

  find(kind: CredentialName, digest: string, now: number): Verification | undefined {
    const found = this.#store.get(keyOf(digest));
    if (found === undefined || found.digest !== digest || found.kind !== kind) return undefined;
    const { issuer, version, refusedAt, verification } = found;
    const valid = issuer.version === version && Math.abs(now - refusedAt) < REFUSAL_LIFETIME;
    return valid ? verification : undefined;
  }

  add(refusal: CachedRefusal): void {
    this.#store.set(keyOf(refusal.digest), refusal);
  }

  get use(): CacheUse {
    return { entries: this.#store.size, limit: this.#store.max };
  }
}
