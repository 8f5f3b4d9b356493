import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import { weaknessOf } from "../jwt/key.ts";
import { constructedTag, Der, DerError, TAG } from "./der.ts";
import type { Signed } from "./x509.ts";

/** How a signature is made: with what kind of key, over what digest. */
interface Algorithm {
  readonly key: string;
  readonly digest: string | null;
  /** RSASSA-PSS, whose salt is as long as the digest. */
  readonly salt?: number;
}

/** By object identifier. SHA-1 and MD5 are not among them. */
const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ["1.2.840.113549.1.1.11", { key: "rsa", digest: "sha256" }],
  ["1.2.840.113549.1.1.12", { key: "rsa", digest: "sha384" }],
  ["1.2.840.113549.1.1.13", { key: "rsa", digest: "sha512" }],
  ["1.2.840.10045.4.3.2", { key: "ec", digest: "sha256" }],
  ["1.2.840.10045.4.3.3", { key: "ec", digest: "sha384" }],
  ["1.2.840.10045.4.3.4", { key: "ec", digest: "sha512" }],
  ["1.3.101.112", { key: "ed25519", digest: null }],
]);

const PSS = "1.2.840.113549.1.1.10";
const MGF1 = "1.2.840.113549.1.1.8";
const DIGESTS: ReadonlyMap<string, readonly [name: string, bytes: number]> = new Map([
  ["2.16.840.1.101.3.4.2.1", ["sha256", 32]],
  ["2.16.840.1.101.3.4.2.2", ["sha384", 48]],
  ["2.16.840.1.101.3.4.2.3", ["sha512", 64]],
]);

const CURVES = ["P-256", "P-384", "P-521", "Ed25519"];

/** The public key of a certificate; undefined where it is none, or too weak. @param spki SubjectPublicKeyInfo as DER */
export function strongKey(spki: Buffer): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    const numbers = key.export({ format: "jwk" });
    const strong = numbers.kty === "RSA" ? weaknessOf(numbers) === undefined : CURVES.includes(numbers.crv ?? "");
    return strong ? key : undefined;
  } catch {
    // Not a key, or of a type that has no such form.
    return undefined;
  }
}

/** Whether a key has signed it, with an algorithm that is safe. */
export function isSignedBy({ body, algorithm, signature }: Signed, key: KeyObject): boolean {
  const how = algorithmOf(algorithm);
  if (how === undefined || how.key !== key.asymmetricKeyType) return false;
  const padding = how.salt === undefined ? {} : { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: how.salt };
  try {
    return verify(how.digest, body, { key, ...padding }, signature);
  } catch {
    return false;
  }
}

function algorithmOf(identifier: Buffer): Algorithm | undefined {
  try {
    const whole = new Der(identifier).inside(TAG.sequence);
    const id = whole.oid();
    if (id === PSS) return pssOf(whole);
    // RSA's have NULL for parameters, the others none (RFC 4055, section 5; RFC 5758, section 3.2; RFC 8410, section 3).
    if (ALGORITHMS.get(id)?.key === "rsa") readNull(whole);
    whole.finish();
    return ALGORITHMS.get(id);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

/** RFC 4055, section 3.1: one digest for message and mask, and a salt as long; what is left out would mean SHA-1. */
function pssOf(whole: Der): Algorithm | undefined {
  const parameters = whole.inside(TAG.sequence);
  whole.finish();
  const digest = digestOf(parameters.inside(constructedTag(0)));
  const mask = parameters.inside(constructedTag(1)).inside(TAG.sequence);
  if (mask.oid() !== MGF1 || digestOf(mask) !== digest || digest === undefined) return undefined;
  const salt = parameters.inside(constructedTag(2)).small();
  parameters.finish();
  return salt === digest[1] ? { key: "rsa", digest: digest[0], salt } : undefined;
}

function digestOf(outer: Der): readonly [name: string, bytes: number] | undefined {
  const identifier = outer.inside(TAG.sequence);
  outer.finish();
  const id = identifier.oid();
  if (!identifier.done) readNull(identifier);
  identifier.finish();
  return DIGESTS.get(id);
}

function readNull(outer: Der): void {
  if (outer.content(0x05).length > 0) throw new DerError("NULL");
}
