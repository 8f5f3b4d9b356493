/**
 * START HERE. One request, from the arguments HAProxy sent to the decision:
 *
 *   request view -> match (which route?) -> the one credential -> principal (who?) -> decision (may they?)
 *
 * server/connection.ts calls this with what request.ts read from a NOTIFY, and server/ack-batch.ts writes the
 * answer with actions.ts.
 * Everything here fails closed: whatever cannot be told, or is thrown, is a deny with a reason.
 */

import { type Decision, type Reason, refusal } from "../../policies/decision.ts";
import type { Match } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import type { Verification } from "../identity/identity.ts";
import { credentialOf } from "./credentials.ts";
import type { AuthorizeRequest } from "./request.ts";
import type { Snapshot } from "./snapshot.ts";

/** A decision together with what it was about; what actions.ts encodes and telemetry records. */
export interface Answer {
  readonly decision: Decision;
  readonly request: AuthorizeRequest;
  readonly snapshot: Snapshot;
  /** The matched route, where there is one. */
  readonly match: Match | undefined;
  /** The proven identity; undefined where none was offered, needed or proven. */
  readonly principal: Principal | undefined;
  /** Name of the claim for which a token was refused; no client ever sees it. */
  readonly claim?: string | undefined;
  /** What was thrown, for an `agent-error`: a bug, which telemetry tells and no client ever sees. */
  readonly thrown?: unknown;
}

/**
 * Decides one request against one snapshot.
 *
 * A refusal before the credential, a warm identity or a cached refusal is answered at once; only a first
 * verification gives a promise. The promise never rejects and this function never throws.
 *
 * @param now milliseconds since the epoch; the snapshot's caches and policies are judged at this instant
 */
export function authorize(request: AuthorizeRequest, snapshot: Snapshot, now: number): Answer | Promise<Answer> {
  try {
    return decide(request, snapshot, now);
  } catch (thrown) {
    return { ...refuse(request, snapshot, "agent-error"), thrown };
  }
}

function decide(request: AuthorizeRequest, snapshot: Snapshot, now: number): Answer | Promise<Answer> {
  if (request.fault !== undefined) return refuse(request, snapshot, request.fault);
  const match = snapshot.policies.match(request.host, request.method, request.path, request.headers);
  if ("reason" in match) return refuse(request, snapshot, match.reason, match.rule);
  const { route } = match;
  if (!request.channel.serves(route)) return refuse(request, snapshot, "haproxy-config-outdated", route.rule, match);
  if (route.access === "anyone" || match.preflight) return judge(request, snapshot, match, undefined, now);

  const credential = credentialOf(request, route.needs.credentials, snapshot.config.limits.token);
  if (credential.kind === "none") return judge(request, snapshot, match, undefined, now);
  if (credential.kind === "invalid") return refuse(request, snapshot, credential.reason, route.rule, match);

  const verification = snapshot.identity.verify(credential, now, request);
  if (!(verification instanceof Promise)) return identified(request, snapshot, match, verification, now);
  request.detach();
  return verification
    .then((verified) => identified(request, snapshot, match, verified, now))
    .catch((thrown) => ({ ...refuse(request, snapshot, "agent-error", route.rule, match), thrown }));
}

/** An invalid credential never falls through to being anonymous, on an `optional` route neither. */
function identified(
  request: AuthorizeRequest,
  snapshot: Snapshot,
  match: Match,
  verification: Verification,
  now: number,
): Answer {
  if (verification.principal === undefined) {
    const { reason, claim } = verification;
    return { ...refuse(request, snapshot, reason, match.route.rule, match), claim };
  }
  // Nothing here checks a proof of possession.
  if (verification.confirmation !== undefined)
    return refuse(request, snapshot, "proof-missing", match.route.rule, match);
  return judge(request, snapshot, match, verification.principal, now);
}

function judge(
  request: AuthorizeRequest,
  snapshot: Snapshot,
  match: Match,
  principal: Principal | undefined,
  now: number,
): Answer {
  const decision = snapshot.policies.decide(match, principal, request.judged(match.host, now));
  return { decision, request, snapshot, match, principal };
}

/** A deny that the policies need not be asked for. */
export function refuse(
  request: AuthorizeRequest,
  snapshot: Snapshot,
  reason: Reason,
  rule = "",
  match?: Match,
): Answer {
  const decision = refusal(reason, rule);
  return { decision, request, snapshot, match, principal: undefined };
}
