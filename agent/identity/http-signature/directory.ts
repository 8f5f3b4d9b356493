import { readJwks } from "../oidc/jwks.ts";
import type { KeyDocument } from "../oidc/jwks-fetch.ts";
import { thumbprintOf } from "../proof/thumbprint.ts";

/** Keys whose private parts everybody has: the test keys of RFC 9421, appendix B.1. */
const KNOWN_TO_ALL: ReadonlySet<string> = new Set([
  "BHj8s0GPnMEQtkaULIM-PLgEhLBbuGUQ1vMxmBWZzEo",
  "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U",
  "oD0HwocPBSfpNy5W3bpJeyFGY_IQ_YpqxSjQ3Yd-CLA",
  "ydQXMtvbsOsZyFir-Y7A8t7fKEM1gbKPvyFkdpu4fvI",
]);

/**
 * A directory of keys. They are named by their thumbprints, which signatures give, whatever `kid` says of them; and some
 * directories are one key without more.
 */
export const DIRECTORY: KeyDocument = {
  accept: "application/http-message-signatures-directory+json, application/jwk-set+json, application/json",
  read(document, algorithms) {
    const { keys = "kty" in document ? [document] : undefined } = document;
    return readJwks(Array.isArray(keys) ? { keys: keys.map(named).filter(isOwn) } : document, algorithms);
  },
};

/** What is no key stays what it is, and is told to be none. */
function named(jwk: unknown): unknown {
  if (typeof jwk !== "object" || jwk === null) return jwk;
  const { alg, ...members } = jwk as Readonly<Record<string, unknown>>;
  // The one name of Ed25519 is as good as the other (RFC 9864).
  return { ...members, ...(alg !== undefined && alg !== "EdDSA" && { alg }), kid: thumbprintOf(members) };
}

function isOwn(jwk: unknown): boolean {
  return !(typeof jwk === "object" && jwk !== null && "kid" in jwk && KNOWN_TO_ALL.has(String(jwk.kid)));
}
