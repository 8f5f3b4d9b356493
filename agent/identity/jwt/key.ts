import { createPublicKey, type JsonWebKeyInput, type KeyObject } from "node:crypto";
import type { Basis, KeyView } from "../issuer/issuer.ts";
import { isRoca } from "./roca.ts";

/** One public key of an issuer, which identities rest on until it is gone at the provider. */
export interface Key extends KeyView, Basis {
  /** What the key is, so that the same key in a later JWKS is recognized and a changed one is not. */
  readonly fingerprint: string;
  /** One of a kind in this process. */
  readonly id: number;
  readonly publicKey: KeyObject;
  readonly kid: string | undefined;
}

/** Why a member of a JWKS is not used. */
export interface Unused {
  readonly kid: string | undefined;
  /** What it is or is not; safe to show, but for the key id. */
  readonly why: string;
  /** Whether that is as it should be: a JWKS may hold keys for others, too (RFC 7517, section 5). */
  readonly expected: boolean;
}

const RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
const EC: Readonly<Record<string, string>> = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };
const EDWARDS = ["EdDSA", "Ed25519"];

/** NIST SP 800-131A and RFC 7518, section 3.3. */
const SMALLEST_MODULUS = 2048;
/** Larger moduli make a check so slow that they are a means of attack. */
const LARGEST_MODULUS = 8192;
const LARGEST_KID = 1024;

type JsonWebKey = JsonWebKeyInput["key"];

/** How many there have been. */
let keys = 0;

/**
 * Imports one member of a JWKS for the algorithms it may be used with.
 *
 * @param jwk what the provider wrote; any JSON
 * @param allowed the issuer's algorithms
 * @returns why not, for a key that is not for checking signatures, or that this agent does not understand
 */
export function importKey(jwk: unknown, allowed: readonly string[]): Key | Unused {
  if (!isRecord(jwk)) return { kid: undefined, why: "it is not an object", expected: false };
  const kid = typeof jwk.kid === "string" ? jwk.kid : undefined;
  const unused = (why: string, expected = false): Unused => ({ kid, why, expected });
  if (jwk.d !== undefined || jwk.k !== undefined) return unused("it is symmetric, or its private part is published");
  if (!isForVerifying(jwk)) return unused("it is for something else than checking signatures", true);
  if (!isNamed(jwk)) return unused(`its kid or alg is not a text, or its kid is longer than ${LARGEST_KID} characters`);
  if (!isUnderstood(jwk)) return unused("it is of a type or curve that is not known here", true);
  const bare = bareKey(jwk);
  if (bare === undefined) return unused("its numbers are not base64url without padding");
  const publicKey = read(bare);
  if (publicKey === undefined) return unused("its numbers are not a key");
  const weakness = weaknessOf(bare);
  const { alg } = jwk;
  const fitting = weakness === undefined ? algorithmsOf(bare) : [];
  const algorithms = fitting.filter((name) => (alg === undefined || alg === name) && allowed.includes(name));
  const fingerprint = JSON.stringify([kid, alg, bare]);
  return {
    kid,
    fingerprint,
    id: ++keys,
    publicKey,
    algorithms: new Set(algorithms),
    weakness,
    until: 0,
    identities: 0,
  };
}

/** Why a key is not used although it was imported; undefined where it is. */
export function unusedOf({ kid, algorithms, weakness }: Key): Unused | undefined {
  if (weakness !== undefined) return { kid, why: weakness, expected: false };
  return algorithms.size > 0 ? undefined : { kid, why: "it is for none of the issuer's algorithms", expected: true };
}

/** Undefined for numbers that are no key, such as a point that is not on its curve. */
function read(key: JsonWebKey): KeyObject | undefined {
  try {
    return createPublicKey({ key, format: "jwk" });
  } catch {
    return undefined;
  }
}

/** What a key for signatures may have as `use`; the latter in a SPIFFE bundle (SPIFFE JWT-SVID, appendix A). */
const FOR_SIGNATURES: ReadonlySet<unknown> = new Set([undefined, "sig", "jwt-svid"]);

/** RFC 7517, sections 4.2 and 4.3. */
function isForVerifying({ use, key_ops }: Record<string, unknown>): boolean {
  if (!FOR_SIGNATURES.has(use)) return false;
  return key_ops === undefined || (Array.isArray(key_ops) && key_ops.includes("verify"));
}

/** RFC 7517, sections 4.4 and 4.5. */
function isNamed({ kid, alg }: Record<string, unknown>): boolean {
  if (kid !== undefined && !(typeof kid === "string" && kid.length <= LARGEST_KID)) return false;
  return alg === undefined || typeof alg === "string";
}

function isUnderstood({ kty, crv }: Record<string, unknown>): boolean {
  if (kty === "EC") return typeof crv === "string" && Object.hasOwn(EC, crv);
  return kty === "RSA" || (kty === "OKP" && crv === "Ed25519");
}

/** The key's own numbers and nothing else: no certificate, no URL, no hint can take part in a check. */
function bareKey({ kty, n, e, crv, x, y }: Record<string, unknown>): JsonWebKey | undefined {
  if (kty === "RSA" && isBase64url(n) && isBase64url(e)) return { kty, n, e };
  if (kty === "EC" && typeof crv === "string" && isBase64url(x) && isBase64url(y)) return { kty, crv, x, y };
  if (kty === "OKP" && crv === "Ed25519" && isBase64url(x)) return { kty, crv, x };
  return undefined;
}

function algorithmsOf({ kty, crv }: JsonWebKey): readonly string[] {
  if (kty === "RSA") return RSA;
  if (kty === "OKP") return EDWARDS;
  const algorithm = crv !== undefined && Object.hasOwn(EC, crv) ? EC[crv] : undefined;
  return algorithm === undefined ? [] : [algorithm];
}

/** Why an RSA key is too weak. An exponent of 1 (or an even one) would make every signature forgeable. */
export function weaknessOf({ kty, n = "", e = "" }: JsonWebKey): string | undefined {
  if (kty !== "RSA") return undefined;
  const modulus = Buffer.from(n, "base64url");
  const bits = bitsOf(modulus);
  if (bits < SMALLEST_MODULUS || bits > LARGEST_MODULUS) {
    return `it is weak: an RSA modulus of ${bits} bits, and not ${SMALLEST_MODULUS} to ${LARGEST_MODULUS}`;
  }
  const exponent = Buffer.from(e, "base64url");
  if (bitsOf(exponent) < 2 || bitsOf(exponent) > 64 || ((exponent.at(-1) ?? 0) & 1) === 0) {
    return "it is weak: an RSA exponent that is even, 1, or longer than 64 bits";
  }
  return isRoca(modulus) ? "it is weak: an RSA modulus that can be factored (ROCA, CVE-2017-15361)" : undefined;
}

/** The length of a big-endian number without its leading zeros. */
function bitsOf(bytes: Buffer): number {
  const first = bytes.findIndex((byte) => byte !== 0);
  if (first < 0) return 0;
  return (bytes.length - first) * 8 - (Math.clz32(bytes[first] ?? 0) - 24);
}

function isBase64url(value: unknown): value is string {
  return typeof value === "string" && /^[\w-]+$/.test(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
