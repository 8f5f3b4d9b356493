import type { Decision } from "../../policies/decision.ts";
import { statusOf } from "../../policies/decision.ts";

/** Largest challenge in bytes. It bounds the ACK; a longer list of scopes is left out of it. */
export const LARGEST_CHALLENGE = 512;

/**
 * The WWW-Authenticate value of a refusal (RFC 6750, section 3), or `undefined` where a credential would not help.
 *
 * It says what the client must do and nothing about why a token failed: the reason code stands in the answer's body
 * and in the decision log. A request without a credential gets no error code (section 3.1).
 *
 * @param host the host as judged (a host name or address literal, so it needs no quoting)
 */
export function challengeOf(decision: Decision, host: string): string | undefined {
  const realm = `Bearer realm="${host}"`;
  if (decision.reason === "scope-missing") {
    const insufficient = `${realm}, error="insufficient_scope"`;
    const full = `${insufficient}, scope="${decision.scopes.join(" ")}"`;
    return full.length <= LARGEST_CHALLENGE ? full : insufficient;
  }
  if (statusOf(decision.reason) !== 401) return undefined;
  return decision.reason === "credential-missing" ? realm : `${realm}, error="invalid_token"`;
}
