import type { RingKey } from "../config/files/key-ring.ts";

/** Seconds for which a key is still published when the next one signs: the longest assertion, and clocks that differ. */
const OUTLASTS = 60 + 60;

/** A key's public part (RFC 7517, section 4), with whose kid an assertion names it. */
export type PublishedKey = Readonly<Record<string, unknown>>;

/** The key that signs: the newest whose time has come; before all of them the oldest. @param now seconds since the epoch */
export function signingKey(ring: readonly RingKey[], now: number): RingKey | undefined {
  return ring.findLast(({ from }) => from <= now) ?? ring[0];
}

/** The keys that an assertion which is still good may be signed with, and those that will sign. */
export function currentKeys(ring: readonly RingKey[], now: number): readonly RingKey[] {
  return ring.filter((_, index) => {
    const next = ring[index + 1];
    return next === undefined || now < next.from + OUTLASTS;
  });
}

/** The JWK set for backends. */
export function publishedKeys(ring: readonly RingKey[], now: number): { readonly keys: readonly PublishedKey[] } {
  return {
    keys: currentKeys(ring, now).map(({ kid, algorithm, jwk }) => {
      const { d, ...published } = jwk;
      return { ...published, kid, alg: algorithm, use: "sig" };
    }),
  };
}
