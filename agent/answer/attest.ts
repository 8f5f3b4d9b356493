import type { Decision, Reason } from "../../policies/decision.ts";
import type { Match } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import { allowActions, refusalActions } from "./actions.ts";
import type { Channel } from "./channel.ts";
import type { AuthorizeRequest } from "./request.ts";
import type { Snapshot } from "./snapshot.ts";

interface Kept {
  readonly channel: Channel;
  /** One principal may be proven in several ways, and the backend gets the credential that has proven it. */
  readonly credential: AuthorizeRequest["credential"];
  readonly actions: Uint8Array;
}

/** What was made of decisions that come again, as one channel gets it; of allows only: a challenge names the host. */
const KEPT = new WeakMap<Decision, Kept>();

/**
 * What a decision tells: the backend of an allowed request who it is, the client of a refused one why. What was made of
 * a decision is told again with it, until the instant that it names.
 *
 * @param request as judged
 * @returns the actions of the ACK; or why the identity of an allowed request cannot travel whole
 */
export function attest(
  decision: Decision,
  request: AuthorizeRequest,
  snapshot: Snapshot,
  match: Match,
  principal: Principal | undefined,
): Uint8Array | Reason {
  if (decision.verdict !== "allow") return refusalActions(decision, request, snapshot, match, principal);
  const { until = 0 } = decision;
  if (request.time >= until || request.nonce !== undefined || request.seen !== undefined)
    return allowActions(decision, request, snapshot, match, principal);
  const kept = KEPT.get(decision);
  if (kept?.channel === request.channel && kept.credential === request.credential) return kept.actions;
  const made = allowActions(decision, request, snapshot, match, principal);
  if (typeof made === "string") return made;
  // A copy, which keeps nothing else in memory.
  const actions = new Uint8Array(made);
  KEPT.set(decision, { channel: request.channel, credential: request.credential, actions });
  return actions;
}
