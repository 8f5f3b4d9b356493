import { createPrivateKey, createPublicKey, sign, verify, type webcrypto } from "node:crypto";
import { parseObject } from "../../http/json.ts";

type JsonWebKey = webcrypto.JsonWebKey;

/** Keys of one ring; each is in the JWKS that backends fetch. */
const MOST_KEYS = 16;
export const LARGEST_RING = 64 << 10;

/** Curves by the algorithms that sign with them (RFC 7518, section 3.4; RFC 8037, section 3.1). */
const CURVES = { ES256: "P-256", EdDSA: "Ed25519" } as const;
export type RingAlgorithm = keyof typeof CURVES;

/** One key pair of the assertion's. Plain data. */
export interface RingKey {
  readonly kid: string;
  readonly algorithm: RingAlgorithm;
  /** Seconds since the epoch from which it signs, `nbf` in the file: until then it is only published. */
  readonly from: number;
  /** RFC 7517, with the private part. */
  readonly jwk: JsonWebKey;
}

/**
 * A key ring: a JWK set (RFC 7517, section 5) of private keys, the oldest first.
 *
 * @returns what is wrong with it, in words that hold nothing of a key
 */
export function parseRing(text: string): readonly RingKey[] | { readonly problem: string } {
  return readRing(text, readKey);
}

/**
 * A JWK set of 1 to 16 keys, each with a `kid` of its own, the oldest first.
 *
 * @param read a key, or what is wrong with it
 * @returns what is wrong with the set, in words that hold nothing of a key
 */
export function readRing<Key extends { readonly kid: string; readonly from: number }>(
  text: string,
  read: (written: Readonly<Record<string, unknown>>, kid: string, from: number) => Key | string,
): readonly Key[] | { readonly problem: string } {
  const written = keysOf(text);
  if (written === undefined) return { problem: 'it is no JWK set, `{"keys": [...]}`, with each name once' };
  if (written.length === 0 || written.length > MOST_KEYS)
    return { problem: `it has ${written.length} keys, not 1 to 16` };
  const ring: Key[] = [];
  for (const [index, jwk] of written.entries()) {
    const key = keyOf(jwk, read);
    if (typeof key === "string") return { problem: `its key ${index + 1} ${key}` };
    if (ring.some(({ kid }) => kid === key.kid)) return { problem: `its key ${index + 1} has the \`kid\` of another` };
    ring.push(key);
  }
  return ring.sort((a, b) => a.from - b.from);
}

function keysOf(text: string): readonly unknown[] | undefined {
  const keys = parseObject(Buffer.from(text))?.keys;
  return Array.isArray(keys) ? keys : undefined;
}

function keyOf<Key>(
  written: unknown,
  read: (written: Readonly<Record<string, unknown>>, kid: string, from: number) => Key | string,
): Key | string {
  if (typeof written !== "object" || written === null) return "is no object";
  const { kid, nbf = 0 } = written as Record<string, unknown>;
  if (typeof kid !== "string" || !/^[A-Za-z0-9_-]{1,64}$/.test(kid)) {
    return "has no `kid` of letters, digits, `-` and `_`";
  }
  if (typeof nbf !== "number" || !Number.isSafeInteger(nbf) || nbf < 0)
    return "has an `nbf` that is no time in seconds";
  return read(written as Record<string, unknown>, kid, nbf);
}

/** @returns what is wrong with it */
function readKey(written: Readonly<Record<string, unknown>>, kid: string, from: number): RingKey | string {
  const { alg, crv, d, kty, x, y } = written;
  if (alg !== "ES256" && alg !== "EdDSA") return "has not the `alg` ES256 or EdDSA";
  if (crv !== CURVES[alg]) return `has not the \`crv\` ${CURVES[alg]}, which goes with ${alg}`;
  if (typeof d !== "string") return "has no private part, `d`";
  const jwk = { kty, crv, x, ...(y === undefined ? {} : { y }), d } as JsonWebKey;
  return isPair(jwk, alg)
    ? { kid, algorithm: alg, from, jwk }
    : "is no key pair: it cannot be read, or its halves do not fit";
}

function isPair(jwk: JsonWebKey, algorithm: RingAlgorithm): boolean {
  try {
    const { d, ...publicJwk } = jwk;
    const digest = algorithm === "ES256" ? "sha256" : null;
    const probe = Buffer.from("probe");
    const signature = sign(digest, probe, createPrivateKey({ key: jwk, format: "jwk" }));
    return verify(digest, probe, createPublicKey({ key: publicJwk, format: "jwk" }), signature);
  } catch {
    return false;
  }
}
