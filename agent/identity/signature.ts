import { type CryptoKey, errors, jwtVerify } from "jose";
import type { Reason } from "../../policies/decision.ts";
import type { OidcIssuer } from "../config.ts";
import type { Token } from "./token.ts";

/**
 * Why jose refuses a token that has passed this agent's own checks; undefined where it does not.
 *
 * jose checks the signature, and once more the algorithm, key, `crit`, `iss`, `aud` and dates. Dates were checked to the
 * millisecond before; jose counts whole seconds and is given a second more, so that there is one instant of expiry.
 *
 * @param now milliseconds since the epoch
 */
export async function signatureFault(
  token: Token,
  key: CryptoKey,
  issuer: OidcIssuer,
  now: number,
): Promise<Reason | undefined> {
  try {
    await jwtVerify(token.text, key, {
      algorithms: [token.algorithm],
      issuer: issuer.issuer,
      audience: [...issuer.audiences],
      requiredClaims: ["exp"],
      clockTolerance: Math.ceil(issuer.clockTolerance / 1000) + 1, // seconds
      currentDate: new Date(now),
    });
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

function reasonOf(error: unknown): Reason {
  if (error instanceof errors.JWSSignatureVerificationFailed) return "signature-invalid";
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) return "algorithm-refused";
  if (error instanceof errors.JWTExpired) return "token-expired";
  if (error instanceof errors.JWTClaimValidationFailed) return "claim-malformed";
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return "token-malformed";
  return "agent-error";
}
