/**
 * The refusals that HAProxy makes itself, by its generated rules, with their HTTP status. Their codes stand in the
 * same list as the agent's (policies/decision.ts; this room does not import it, a test holds the two together).
 */
export const OWN_REASONS = {
  duplicate: 400,
  "path-ambiguous": 400,
  "credential-in-query": 400,
  "mesh-bypassed": 403,
  "agent-unavailable": 503,
  "verdict-unbound": 503,
  "backend-unavailable": 503,
} as const;

export type OwnReason = keyof typeof OWN_REASONS;
