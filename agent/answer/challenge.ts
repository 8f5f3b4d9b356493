import { kindsOf } from "../../haproxy/credentials.ts";
import { type Decision, statusOf } from "../../policies/decision.ts";
import type { Match } from "../../policies/policies.ts";

/** Largest challenge in bytes. It bounds the ACK; a longer list of scopes, or a scheme too many, is left out of it. */
export const LARGEST_CHALLENGE = 512;

/**
 * The WWW-Authenticate value of a refusal, or `undefined` where a credential would not help: a challenge for each scheme
 * whose credentials the route takes (RFC 9110, section 11.6.1; RFC 6750, section 3).
 *
 * It says what the client must do and nothing about why a token failed: the reason code stands in the answer's body
 * and in the decision log. A request without a credential gets no error code (RFC 6750, section 3.1).
 */
export function challengeOf(decision: Decision, match: Match | undefined): string | undefined {
  const missing = decision.reason === "scope-missing";
  if (match === undefined || !(missing || statusOf(decision.reason) === 401)) return undefined;
  let challenge: string | undefined;
  for (const scheme of schemesOf(match.route.needs.credentials)) {
    const before = challenge === undefined ? "" : `${challenge}, `;
    // The host is one as judged, a host name or address literal, so it needs no quoting.
    const realm = `${before}${scheme} realm="${match.host}"`;
    const possible = missing ? withScopes(realm, decision.scopes) : [withError(realm, decision.reason)];
    challenge = possible.find(({ length }) => length <= LARGEST_CHALLENGE) ?? challenge;
  }
  return challenge;
}

/** Of the kinds of a route; whoever tries many tokens is refused as often. */
const SCHEMES = new WeakMap<readonly string[], ReadonlySet<string>>();

/** In the order of the table, each once. */
function schemesOf(kinds: readonly string[]): ReadonlySet<string> {
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

function withError(realm: string, reason: Decision["reason"]): string {
  return reason === "credential-missing" ? realm : `${realm}, error="invalid_token"`;
}
