import { kindsOf } from "../../haproxy/credentials.ts";
import { type Decision, type Reason, statusOf } from "../../policies/decision.ts";
import type { Match } from "../../policies/policies.ts";
import type { Config } from "../config/config.ts";

/** Largest challenge in bytes. It bounds the ACK; a longer list of scopes, or a scheme too many, is left out of it. */
export const LARGEST_CHALLENGE = 512;

/**
 * The WWW-Authenticate value of a refusal, or `undefined` where a credential would not help: a challenge for each scheme
 * whose credentials the route takes (RFC 9110, section 11.6.1; RFC 6750, section 3).
 *
 * It says what the client must do and nothing about why a token failed: the reason code stands in the answer's body
 * and in the decision log. A request without a credential gets no error code (RFC 6750, section 3.1).
 */
export function challengeOf(
  decision: Decision,
  match: Match | undefined,
  { dpop }: Pick<Config, "dpop">,
): string | undefined {
  const missing = decision.reason === "scope-missing";
  if (match === undefined || !(missing || statusOf(decision.reason) === 401)) return undefined;
  let challenge: string | undefined;
  for (const scheme of schemesOf(match.route.needs.credentials, decision.reason)) {
    const before = challenge === undefined ? "" : `${challenge}, `;
    // The host is one as judged, a host name or address literal, so it needs no quoting.
    const algorithms = scheme === DPOP ? `, algs="${dpop.algorithms.join(" ")}"` : "";
    const realm = `${before}${scheme} realm="${match.host}"${algorithms}`;
    const possible = missing ? withScopes(realm, decision.scopes) : [withError(realm, decision.reason)];
    challenge = possible.find(({ length }) => length <= LARGEST_CHALLENGE) ?? challenge;
  }
  return challenge;
}

const DPOP = "DPoP";

/** What RFC 9449, sections 7.1 and 9, calls what is wrong with a proof; another scheme would not help then. */
const PROOF_ERRORS: Partial<Record<Reason, string>> = {
  "proof-missing": "invalid_dpop_proof",
  "proof-malformed": "invalid_dpop_proof",
  "proof-invalid": "invalid_dpop_proof",
  "proof-mismatch": "invalid_dpop_proof",
  "proof-stale": "invalid_dpop_proof",
  "proof-replayed": "invalid_dpop_proof",
  "proof-nonce": "use_dpop_nonce",
  "token-bound": "invalid_token",
};

const ONLY_DPOP: ReadonlySet<string> = new Set([DPOP]);

/** Of the kinds of a route; whoever tries many tokens is refused as often. */
const SCHEMES = new WeakMap<readonly string[], ReadonlySet<string>>();

/** In the order of the table, each once. */
function schemesOf(kinds: readonly string[], reason: Reason): ReadonlySet<string> {
  if (Object.hasOwn(PROOF_ERRORS, reason) && kinds.includes("dpop")) return ONLY_DPOP;
  const known = SCHEMES.get(kinds);
  if (known !== undefined) return known;
  const schemes = new Set(kindsOf(kinds).flatMap(({ scheme }) => scheme ?? []));
  SCHEMES.set(kinds, schemes);
  return schemes;
}

function withScopes(realm: string, scopes: readonly string[]): readonly string[] {
  const insufficient = `${realm}, error="insufficient_scope"`;
  return [`${insufficient}, scope="${scopes.join(" ")}"`, insufficient];
}

function withError(realm: string, reason: Reason): string {
  return reason === "credential-missing" ? realm : `${realm}, error="${PROOF_ERRORS[reason] ?? "invalid_token"}"`;
}
