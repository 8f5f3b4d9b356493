import type { Unknown } from "./unknown.ts";

/**
 * Every reason a decision can have, with the HTTP status HAProxy answers (200 stands for "the request goes on").
 * The list is the single source: the decision log, the metrics' labels, the deny body and docs/reasons.md name these and no others.
 */
export const REASONS = {
  // The request goes on.
  allowed: 200,
  anyone: 200,
  anonymous: 200,
  preflight: 200,

  // The request itself is not acceptable.
  "host-invalid": 400,
  "path-ambiguous": 400,
  "method-invalid": 400,
  duplicate: 400,
  "credential-in-query": 400,
  "mcp-body-unread": 400,
  "mcp-body-malformed": 400,
  "mcp-header-mismatch": 400,

  // Who is this? The credential is missing or does not prove anything.
  "credential-missing": 401,
  "credential-malformed": 401,
  "credential-revoked": 401,
  "api-key-unknown": 401,
  "token-malformed": 401,
  "token-too-large": 401,
  "token-encrypted": 401,
  "token-type": 401,
  "token-not-access": 401,
  "token-expired": 401,
  "token-not-yet-valid": 401,
  "token-inactive": 401,
  "algorithm-refused": 401,
  "signature-incomplete": 401,
  "signature-invalid": 401,
  "key-unknown": 401,
  "key-weak": 401,
  "issuer-unknown": 401,
  "issuer-not-accepted": 401,
  "audience-not-accepted": 401,
  "identity-not-accepted": 401,
  "claim-missing": 401,
  "claim-malformed": 401,
  "actor-malformed": 401,
  "claim-not-accepted": 401,
  "proof-missing": 401,
  "proof-malformed": 401,
  "proof-invalid": 401,
  "proof-mismatch": 401,
  "proof-stale": 401,
  "proof-nonce": 401,
  "proof-replayed": 401,
  "binding-mismatch": 401,
  "token-bound": 401,
  "token-unbound": 401,
  "certificate-unsuitable": 401,
  "session-invalid": 401,
  "session-expired": 401,
  "authentication-weak": 401,
  "authentication-old": 401,

  // And may they? The credential is good, but not for this.
  "host-unknown": 403,
  "origin-not-allowed": 403,
  "mesh-bypassed": 403,
  "route-unknown": 403,
  "method-not-allowed": 403,
  "role-missing": 403,
  "role-denied": 403,
  "scope-missing": 403,
  "mcp-method-not-allowed": 403,
  "mcp-tool-not-allowed": 403,
  "claim-unknown": 403,
  "condition-false": 403,
  "condition-error": 403,
  "cost-exceeded": 403,
  "header-error": 403,
  "header-too-long": 403,
  "exchange-impossible": 403,
  "exchange-refused": 403,

  // Countersign, HAProxy or a dependency cannot tell.
  "issuer-unavailable": 503,
  "key-pending": 503,
  "groups-unavailable": 503,
  "proof-unavailable": 503,
  "session-unavailable": 503,
  "deadline-exceeded": 503,
  overloaded: 503,
  "assertion-unavailable": 503,
  "exchange-unavailable": 503,
  "haproxy-config-outdated": 503,
  "message-malformed": 503,
  "agent-error": 503,
  "audit-unavailable": 503,
  "agent-unavailable": 503,
  "verdict-unbound": 503,
  "backend-unavailable": 503,
} as const satisfies Record<string, 200 | 400 | 401 | 403 | 503>;

export type Reason = keyof typeof REASONS;
export type Status = (typeof REASONS)[Reason];
export type Verdict = "allow" | "deny" | "login";

/** An identity header for the backend; `undefined` means that the header is not set. */
export interface IdentityHeader {
  /** Lower case. */
  readonly name: string;
  readonly value: string | undefined;
}

/** The answer to one request. */
export interface Decision {
  readonly verdict: Verdict;
  readonly reason: Reason;
  /** `service/route`; the service alone where no route fits, and it is the only one that could; else empty. */
  readonly rule: string;
  /** The principal's roles in these policies, sorted; empty without a principal. */
  readonly roles: readonly string[] | Unknown;
  /** All scopes the route requires when the reason is `scope-missing`, for the challenge (RFC 6750, section 3); else empty. */
  readonly scopes: readonly string[];
  /** Identity headers of an allowed request; empty for everything else. */
  readonly headers: readonly IdentityHeader[];
  /** What the route's `shadow` would have said. It is logged and never enforced. */
  readonly shadow: { readonly verdict: Verdict; readonly reason: Reason } | undefined;
  /**
   * Milliseconds since the epoch until which this very object is given again to the same principal on the same route:
   * so long what is made of it may be kept. Absent or past where it is made anew each time.
   */
  readonly until?: number;
}

/** HTTP status of a reason: 200 when the request goes on. */
export function statusOf(reason: Reason): Status {
  return REASONS[reason];
}

/** A deny that rests on nothing of a principal. @param rule `service/route`, the service alone, or empty */
export function refusal(reason: Reason, rule: string): Decision {
  return { verdict: "deny", reason, rule, roles: [], scopes: [], headers: [], shadow: undefined };
}
