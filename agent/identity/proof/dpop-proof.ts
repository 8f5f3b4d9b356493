import { isDate } from "../claims/claims.ts";
import type { Refusal } from "../issuer/refusal.ts";
import { isCanonical, objectOf } from "../jwt/token.ts";
import { thumbprintOf } from "./thumbprint.ts";

/** A DPoP proof taken apart (RFC 9449, section 4.2). Nothing in it is proven. */
export interface DpopProof {
  /** The compact serialization, as it came. */
  readonly text: string;
  readonly algorithm: string;
  /** The public key, and nothing of a private one. */
  readonly jwk: Readonly<Record<string, unknown>>;
  /** Of the key (RFC 7638). */
  readonly thumbprint: string;
  readonly jti: string;
  readonly htm: string;
  readonly htu: string;
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  readonly ath: string;
  readonly nonce: string | undefined;
}

/** Characters. A key and a signature of RSA with 8192 bits take 2732. */
const LARGEST = 8192;
const LONGEST_JTI = 256;
/** RFC 7518, section 6: what only a private or a symmetric key has. */
const PRIVATE = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/**
 * Takes a proof apart and refuses whatever its form forbids, before any cryptography (RFC 9449, section 4.3, checks 2 to
 * 5 and 7).
 *
 * @param algorithms those that are taken: all of them asymmetric
 */
export function parseProof(text: string, algorithms: readonly string[]): DpopProof | Refusal {
  const [head = "", body = "", signature = "", ...more] = text.length <= LARGEST ? text.split(".", 5) : [];
  if (more.length > 0 || !isCanonical(signature)) return malformed();
  const [header, claims] = [objectOf(head), objectOf(body)];
  if (header === undefined || claims === undefined) return malformed();
  const key = keyOf(header, algorithms);
  if ("reason" in key) return key;
  const { jti, htm, htu, iat, ath, nonce } = claims;
  if (typeof jti !== "string" || jti === "" || jti.length > LONGEST_JTI) return malformed("jti");
  if (typeof htm !== "string") return malformed("htm");
  if (typeof htu !== "string") return malformed("htu");
  if (!isDate(iat)) return malformed("iat");
  if (typeof ath !== "string") return malformed("ath");
  if (nonce !== undefined && typeof nonce !== "string") return malformed("nonce");
  return { text, ...key, jti, htm, htu, issuedAt: iat * 1000, ath, nonce };
}

/** What of the header counts. No extension is understood, so none may be critical (RFC 7515, section 4.1.11). */
function keyOf(
  { typ, alg, jwk, crit, b64, enc }: Readonly<Record<string, unknown>>,
  algorithms: readonly string[],
): Pick<DpopProof, "algorithm" | "jwk" | "thumbprint"> | Refusal {
  if (typ !== "dpop+jwt") return malformed("typ");
  if (crit !== undefined || b64 !== undefined || enc !== undefined) return malformed("crit");
  if (typeof alg !== "string" || !algorithms.includes(alg)) return malformed("alg");
  if (typeof jwk !== "object" || jwk === null || PRIVATE.some((name) => Object.hasOwn(jwk, name)))
    return malformed("jwk");
  const key = jwk as Readonly<Record<string, unknown>>;
  const thumbprint = thumbprintOf(key);
  return thumbprint === undefined ? malformed("jwk") : { algorithm: alg, jwk: key, thumbprint };
}

function malformed(claim?: string): Refusal {
  return { reason: "proof-malformed", claim };
}
