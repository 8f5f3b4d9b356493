import { constants, type KeyObject, verify } from "node:crypto";

/** How a JWS algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1) uses a key. */
interface Scheme {
  readonly hash: string | null;
  readonly padding?: number;
  readonly saltLength?: number;
  readonly dsaEncoding?: "ieee-p1363";
}

const pkcs1 = (hash: string): Scheme => ({ hash, padding: constants.RSA_PKCS1_PADDING });
// RFC 7518, section 3.5: the salt is as long as the hash.
const pss = (hash: string): Scheme => {
  return { hash, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
};
// RFC 7518, section 3.4: R and S side by side, each as long as the curve's order.
const ecdsa = (hash: string): Scheme => ({ hash, dsaEncoding: "ieee-p1363" });
const EDDSA: Scheme = { hash: null };

const SCHEMES: ReadonlyMap<string, Scheme> = new Map([
  ["RS256", pkcs1("sha256")],
  ["RS384", pkcs1("sha384")],
  ["RS512", pkcs1("sha512")],
  ["PS256", pss("sha256")],
  ["PS384", pss("sha384")],
  ["PS512", pss("sha512")],
  ["ES256", ecdsa("sha256")],
  ["ES384", ecdsa("sha384")],
  ["ES512", ecdsa("sha512")],
  ["EdDSA", EDDSA],
  ["Ed25519", EDDSA],
]);

/** Every JWS algorithm that an issuer may be configured with: no `none`, no HMAC. */
export const ALGORITHMS: readonly string[] = [...SCHEMES.keys()];

/**
 * Whether the signature of a JWS in compact serialization (RFC 7515, section 5.2, steps 7 and 8) is that of the key.
 *
 * By OpenSSL, through node:crypto: jose's `jwtVerify` goes through WebCrypto and takes the token apart once more, which
 * was measured to cost as much again as an RS256 check. The tests hold both to the same answers.
 *
 * @param token the ASCII bytes of three segments of base64url, as token.ts has passed them
 * @param algorithm one of ALGORITHMS, which the key is meant for: key.ts holds keys to that
 * @throws whatever OpenSSL does for a key that does not fit
 */
export function isSignedBy(token: Buffer, algorithm: string, key: KeyObject): boolean {
  const scheme = SCHEMES.get(algorithm);
  if (scheme === undefined) throw new RangeError(`no signature algorithm: ${algorithm}`);
  const { hash, ...how } = scheme;
  const end = token.lastIndexOf(".");
  const signature = Buffer.from(token.toString("latin1", end + 1), "base64url");
  if (!hasLength(signature, key)) return false;
  return verify(hash, token.subarray(0, end), { key, ...how }, signature);
}

/**
 * RFC 8017, section 8: as long as the modulus. OpenSSL reads a PSS signature that begins with a zero without it, too, and
 * a token would have two spellings. Those of other keys it holds to their length itself.
 */
function hasLength(signature: Buffer, { asymmetricKeyDetails }: KeyObject): boolean {
  const bits = asymmetricKeyDetails?.modulusLength;
  return bits === undefined || signature.length === Math.ceil(bits / 8);
}
