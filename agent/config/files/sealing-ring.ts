import { randomBytes } from "node:crypto";
import { readRing } from "./key-ring.ts";

/** The algorithm that sealing keys name (RFC 7518, section 5.1). */
export const SEALING = "A256GCM";

/** A key that sessions are sealed with. Plain data. Secret. */
export interface SealingKey {
  readonly kid: string;
  /** Seconds since the epoch from which it seals, `nbf` in the file: until then it only opens. */
  readonly from: number;
  /** 32 bytes in base64url. */
  readonly secret: string;
}

/** Seconds for which a key still opens when the next one seals: no session lasts longer (`sessions.lifetime`). */
const OUTLASTS = 30 * 86_400;
/** 32 bytes in base64url, whose last character carries four bits. */
const SECRET = /^[\w-]{42}[AEIMQUYcgkosw048]$/;
/** Bytes of a random `kid`. */
const KID = 6;

/** Whether a key ring is of keys that seal, as far as that can be told of it. */
export function isSealingRing(text: string): boolean {
  return /"kty"\s*:\s*"oct"/.test(text);
}

/**
 * A ring of sealing keys: a JWK set (RFC 7517, section 5) of symmetric keys, the oldest first.
 *
 * @returns what is wrong with it, in words that hold nothing of a key
 */
export function parseSealingRing(text: string): readonly SealingKey[] | { readonly problem: string } {
  return readRing(text, ({ kty, alg, k }, kid, from) => {
    if (kty !== "oct" || alg !== SEALING) return `has not the \`kty\` oct and the \`alg\` ${SEALING}`;
    return typeof k === "string" && SECRET.test(k) ? { kid, from, secret: k } : "has no `k` of 32 bytes in base64url";
  });
}

/** The key that seals: the newest whose time has come; before all of them the oldest. @param now seconds since the epoch */
export function sealingKey(ring: readonly SealingKey[], now: number): SealingKey | undefined {
  return ring.findLast(({ from }) => from <= now) ?? ring[0];
}

/**
 * The ring with one more key, and without those that no session which still lasts can be sealed with.
 *
 * @param now seconds since the epoch
 * @param after seconds until the new key seals: until then all agents have it. The first key of a ring seals at once.
 */
export function rotatedSealing(ring: readonly SealingKey[], now: number, after: number): readonly SealingKey[] {
  const kept = ring.filter((_, index) => {
    const next = ring[index + 1];
    return next === undefined || now < next.from + OUTLASTS;
  });
  const kid = randomBytes(KID).toString("base64url");
  const secret = randomBytes(32).toString("base64url");
  return [...kept, { kid, from: ring.length === 0 ? now : now + after, secret }];
}

/** The ring as its file has it. */
export function sealingText(ring: readonly SealingKey[]): string {
  const keys = ring.map(({ kid, from, secret }) => ({
    kid,
    alg: SEALING,
    use: "enc",
    nbf: from,
    kty: "oct",
    k: secret,
  }));
  return `${JSON.stringify({ keys }, undefined, 2)}\n`;
}
