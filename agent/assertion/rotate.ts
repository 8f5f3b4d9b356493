import { generateKeyPairSync, hash } from "node:crypto";
import type { RingAlgorithm, RingKey } from "../config/files/key-ring.ts";
import { currentKeys } from "./ring.ts";

/** Characters of a `kid`: of a thumbprint they tell keys apart, and an assertion stays short. */
const KID = 16;

/**
 * The ring with one more key, and without those that no assertion which is still good can be signed with.
 *
 * @param now seconds since the epoch
 * @param after seconds until the new key signs; until then it is only published. The first key of a ring signs at once.
 */
export function rotated(
  ring: readonly RingKey[],
  { now, after, algorithm }: { readonly now: number; readonly after: number; readonly algorithm: RingAlgorithm },
): readonly RingKey[] {
  const from = ring.length === 0 ? now : now + after;
  return [...currentKeys(ring, now), newKey(algorithm, from)];
}

/** A key that is published and does not sign yet. */
export function upcomingKey<Key extends Pick<RingKey, "from">>(ring: readonly Key[], now: number): Key | undefined {
  return ring.findLast(({ from }, index) => index > 0 && from > now);
}

/** The ring as its file has it (RFC 7517, section 5). */
export function ringText(ring: readonly RingKey[]): string {
  const keys = ring.map(({ kid, algorithm, from, jwk }) => ({ kid, alg: algorithm, use: "sig", nbf: from, ...jwk }));
  return `${JSON.stringify({ keys }, undefined, 2)}\n`;
}

function newKey(algorithm: RingAlgorithm, from: number): RingKey {
  const { privateKey } =
    algorithm === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : generateKeyPairSync("ed25519");
  const { kty, crv, x, y, d } = privateKey.export({ format: "jwk" });
  const required = { crv, kty, x, ...(y === undefined ? {} : { y }) };
  // RFC 7638, section 3: the required members in the order of their names.
  const kid = hash("sha256", JSON.stringify(required), "base64url").slice(0, KID);
  return { kid, algorithm, from, jwk: { ...required, d } as RingKey["jwk"] };
}
