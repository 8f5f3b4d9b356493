import type { Reason } from "../decision.ts";
import type { Principal } from "../principal.ts";

/** How somebody must have logged in (RFC 9470). */
export interface StepUp {
  /** Authentication contexts of which the token's `acr` must be one; empty where any will do. */
  readonly acr: readonly string[];
  /** Milliseconds since the login at most; undefined where it may be any. */
  readonly maxAge: number | undefined;
}

/** The claims that tell it. What a token does not tell is not so: the time of its issue says nothing of a login. */
export const STEP_UP_CLAIMS = ["acr", "auth_time"] as const;

/** Milliseconds by which the clock of whoever has seen the login may be ahead. */
const AHEAD = 60_000;

/** Why a login does not do; undefined where it does. */
export function stepUpFault(
  stepUp: StepUp | undefined,
  { claims }: Pick<Principal, "claims">,
  now: number,
): Extract<Reason, "authentication-weak" | "authentication-old"> | undefined {
  if (stepUp === undefined) return undefined;
  const { acr, maxAge } = stepUp;
  if (acr.length > 0 && !(typeof claims.acr === "string" && acr.includes(claims.acr))) return "authentication-weak";
  if (maxAge === undefined) return undefined;
  const { auth_time: time } = claims;
  const age = typeof time === "number" ? now - time * 1000 : Number.NaN;
  return age <= maxAge && age >= -AHEAD ? undefined : "authentication-old";
}
