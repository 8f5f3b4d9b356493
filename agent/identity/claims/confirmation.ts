import { isMapping } from "../../../policies/claim-path.ts";
import type { Principal } from "../../../policies/principal.ts";
import type { BindingConfig, ProofName } from "../../config/config.ts";
import type { Confirmation } from "../issuer/issuer.ts";
import type { Refusal } from "../issuer/refusal.ts";
import type { Claims } from "./claims.ts";

/** A SHA-256 hash in base64url, whose last character carries four bits. */
const THUMBPRINT = /^[\w-]{42}[AEIMQUYcgkosw048]$/;

/** The members of `cnf` (RFC 7800) that are understood, and how each is proven. */
const MEMBERS: Readonly<Record<string, ProofName>> = { jkt: "dpop", "x5t#S256": "certificate" };

/** Where it is said that a token is bound to a DPoP key: RFC 9449, section 6.2; Keycloak's `typ`. */
const KINDS = ["token_type", "typ"] as const;

function isForDpop(claims: Claims): boolean {
  return KINDS.some((name) => String(claims[name]).toLowerCase() === "dpop");
}

/**
 * What the sender of a token has to prove beside it; undefined where it is bound to nothing. A token is refused that is
 * bound in a way which is not known here or not taken, in one member of several too: whoever left it out of account
 * would let in a thief. So is one that is said to be for DPoP, and not to which key it is bound.
 */
export function confirmationOf(claims: Claims, { proofs, unbound }: BindingConfig): Confirmation | Refusal | undefined {
  const { cnf } = claims;
  if (isForDpop(claims) && !(isMapping(cnf) && "jkt" in cnf)) return { reason: "proof-missing", claim: "cnf" };
  if (cnf === undefined) return unbound === "accept" ? undefined : { reason: "token-unbound", claim: "cnf" };
  const members = isMapping(cnf) ? Object.entries(cnf) : [];
  if (members.length === 0) return { reason: "proof-missing", claim: "cnf" };
  for (const [name, value] of members) {
    const proof = Object.hasOwn(MEMBERS, name) ? MEMBERS[name] : undefined;
    if (proof === undefined || !proofs.includes(proof)) return { reason: "proof-missing", claim: "cnf" };
    if (typeof value !== "string" || !THUMBPRINT.test(value)) return { reason: "claim-malformed", claim: "cnf" };
  }
  const { jkt, "x5t#S256": x5tS256 } = cnf as Readonly<Record<string, string>>;
  return { ...(jkt === undefined ? {} : { jkt }), ...(x5tS256 === undefined ? {} : { x5tS256 }) };
}

/** How a policy reads it: the proofs that are needed, `dpop`, `certificate` or `dpop+certificate`; empty for none. */
export function boundBy(cnf: unknown): Principal["bound"] {
  if (!isMapping(cnf)) return "";
  const certificate = Object.hasOwn(cnf, "x5t#S256");
  if (Object.hasOwn(cnf, "jkt")) return certificate ? "dpop+certificate" : "dpop";
  return certificate ? "certificate" : "";
}
