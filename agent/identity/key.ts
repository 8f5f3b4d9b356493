import { createPublicKey, type JsonWebKeyInput, type KeyObject } from "node:crypto";

/** One usable public key of an issuer. */
export interface Key {
  readonly kid: string | undefined;
  /** What the key is, so that the same key in a later JWKS is recognized and a changed one is not. */
  readonly fingerprint: string;
  /** One of a kind in this process. */
  readonly id: number;
  readonly publicKey: KeyObject;
  /** The JWS algorithms it may be used with, of those that the issuer allows. None where the key is weak. */
  readonly algorithms: ReadonlySet<string>;
  /** Too weak for any algorithm. */
  readonly weak: boolean;
  /** Milliseconds since the epoch after which nothing may rest on this key. 0 once it is gone at the provider. */
  until: number;
  /** Cached identities that rest on this key. */
  identities: number;
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
 * @returns undefined for a key that is not for checking signatures, or that this agent does not understand
 *   (RFC 7517, section 5: such a key is ignored)
 */
export function importKey(jwk: unknown, allowed: readonly string[]): Key | undefined {
  if (!isRecord(jwk) || !isForVerifying(jwk)) return undefined;
  const bare = bareKey(jwk);
  const publicKey = bare === undefined ? undefined : read(bare);
  if (bare === undefined || publicKey === undefined) return undefined;
  const { kid, alg } = jwk;
  const weak = isWeak(bare);
  const fitting = (weak ? [] : algorithmsOf(bare)).filter((algorithm) => alg === undefined || alg === algorithm);
  return {
    kid: kid as string | undefined,
    fingerprint: JSON.stringify([kid, alg, bare]),
    id: ++keys,
    publicKey,
    algorithms: new Set(fitting.filter((algorithm) => allowed.includes(algorithm))),
    weak,
    until: 0,
    identities: 0,
  };
}

/** Undefined for numbers that are no key, such as a point that is not on its curve. */
function read(key: JsonWebKey): KeyObject | undefined {
  try {
    return createPublicKey({ key, format: "jwk" });
  } catch {
    return undefined;
  }
}

/** RFC 7517, sections 4.2 to 4.5. A published private or symmetric key proves nothing any more. */
function isForVerifying({ use, key_ops, kid, alg, d, k }: Record<string, unknown>): boolean {
  if (d !== undefined || k !== undefined) return false;
  if (use !== undefined && use !== "sig") return false;
  if (key_ops !== undefined && !(Array.isArray(key_ops) && key_ops.includes("verify"))) return false;
  if (kid !== undefined && !(typeof kid === "string" && kid.length <= LARGEST_KID)) return false;
  return alg === undefined || typeof alg === "string";
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

/** An exponent of 1 (or an even one) would make every signature forgeable. */
function isWeak({ kty, n = "", e = "" }: JsonWebKey): boolean {
  if (kty !== "RSA") return false;
  const bits = bitsOf(Buffer.from(n, "base64url"));
  const exponent = Buffer.from(e, "base64url");
  const forgeable = bitsOf(exponent) < 2 || bitsOf(exponent) > 64 || ((exponent.at(-1) ?? 0) & 1) === 0;
  return bits < SMALLEST_MODULUS || bits > LARGEST_MODULUS || forgeable;
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
