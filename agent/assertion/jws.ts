import type { RingKey } from "../config/files/key-ring.ts";

/** Explicit typing (RFC 8725, section 3.11): no other token of anybody is taken for an assertion, nor an assertion for one. */
export const ASSERTION_TYPE = "countersign+jwt";

/** Of ES256 and of Ed25519, in base64url. */
const SIGNATURE = 86;

/** The JWS header, encoded. */
export function headerOf({ algorithm, kid }: Pick<RingKey, "algorithm" | "kid">): string {
  return Buffer.from(JSON.stringify({ alg: algorithm, typ: ASSERTION_TYPE, kid })).toString("base64url");
}

/** Characters of the token with these claims. */
export function tokenLength(key: Pick<RingKey, "algorithm" | "kid">, claims: string): number {
  return headerOf(key).length + Math.ceil((Buffer.byteLength(claims) * 4) / 3) + SIGNATURE + "..".length;
}
