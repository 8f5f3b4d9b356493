/**
 * START HERE. One request, from the arguments HAProxy sent to the answer it gets:
 *
 *   request view -> match (which route?) -> origin (may its page?) -> evidence (the one credential) -> identify (who?) -> prove (is it theirs?)
 *   -> decide (may they?) -> attest (what the backend is told) -> exchange (a token of its own, where that is wanted)
 *   -> assert (signed, where that is wanted) -> answer
 *
 * server/connection.ts calls this with what request.ts read from a NOTIFY, and sends the answer as it is: nothing later
 * refuses. Everything here fails closed: whatever cannot be told, or is thrown, is a deny with a reason.
 */

import { type Decision, type Reason, refusal } from "../../policies/decision.ts";
import type { Match, UpstreamToken } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import type { Assertions } from "../assertion/assertions.ts";
import type { Verification } from "../identity/identity.ts";
import type { NoToken } from "../upstream/exchanger.ts";
import { ackSize, refusalActions } from "./actions.ts";
import { attest } from "./attest.ts";
import { type Credential, credentialOf, type Form } from "./credentials.ts";
import { offeringLogin } from "./login.ts";
import { isForeignPage } from "./page.ts";
import { needsNoProof, prove } from "./prove.ts";
import type { AuthorizeRequest } from "./request.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Asker } from "./waiting.ts";

/** A verdict that nothing changes any more, with what it was about; telemetry records it. */
export interface Answer {
  readonly decision: Decision;
  readonly request: AuthorizeRequest;
  readonly snapshot: Snapshot;
  /** The matched route, where there is one. */
  readonly match: Match | undefined;
  /** The proven identity; undefined where none was offered, needed or proven. */
  readonly principal: Principal | undefined;
  /** What the ACK says after the id, encoded. */
  readonly actions: Uint8Array;
  /** The signed identity assertion of an allowed request, where one is configured. */
  readonly assertion?: string;
  /** The Authorization header that the backend gets in place of the client's, where the policy wants one. */
  readonly upstreamToken?: string;
  /** Name of the claim for which a token was refused; no client ever sees it. */
  readonly claim?: string | undefined;
  /** What was thrown, for an `agent-error`: a bug, which telemetry tells and no client ever sees. */
  readonly thrown?: unknown;
}

/** The rest of the sentence, for a request that had to wait: said when its answer is sent. It never throws. */
export type Conclusion = () => Answer;

/**
 * Answers one request by one snapshot.
 *
 * A refusal before the credential, a warm identity or a cached refusal is answered at once; only a first verification
 * and a signature give a promise, which is kept at the deadline at the latest. It never rejects, and this never throws.
 *
 * @param now milliseconds since the epoch; the snapshot's caches and policies are judged at this instant
 */
export function authorize(
  request: AuthorizeRequest,
  snapshot: Snapshot,
  now: number,
  asker: Asker,
): Answer | Promise<Conclusion> {
  try {
    return answerTo(request, snapshot, now, asker);
  } catch (thrown) {
    return failed(request, snapshot, undefined, thrown);
  }
}

function answerTo(
  request: AuthorizeRequest,
  snapshot: Snapshot,
  now: number,
  asker: Asker,
): Answer | Promise<Conclusion> {
  if (request.fault !== undefined) return refuse(request, snapshot, asker, request.fault);
  if (snapshot.unrecorded?.()) return refuse(request, snapshot, asker, "audit-unavailable");
  const match = snapshot.policies.match(request.host, request.method, request.path, request.headers);
  if ("reason" in match) return refuse(request, snapshot, asker, match.reason, { rule: match.rule });
  const { route } = match;
  const taken = request.channel.taken(route, snapshot);
  if (taken === "outdated") return refuse(request, snapshot, asker, "haproxy-config-outdated", { match });
  if (isForeignPage(request, match, snapshot)) return refuse(request, snapshot, asker, "origin-not-allowed", { match });

  const answer = judge(request, snapshot, match, taken, now, asker);
  if (!(answer instanceof Promise)) return answer;
  request.detach();
  const late: Conclusion = () => refuse(request, snapshot, asker, "deadline-exceeded", { match });
  return asker.waiting.wait(answer, late, request, snapshot.config.deadline, asker);
}

/** From the one credential on. What it promises is not bounded in time, and never rejects. */
function judge(
  request: AuthorizeRequest,
  snapshot: Snapshot,
  match: Match,
  taken: readonly Form[],
  now: number,
  asker: Asker,
): Answer | Promise<Conclusion> {
  const evidence = evidenceOf(request, snapshot, match, taken);
  if (evidence.kind === "none") return decide(request, snapshot, match, undefined, now, asker);
  if (evidence.kind === "invalid") return refuse(request, snapshot, asker, evidence.reason, { match });
  if (isForeignPage(request, match, snapshot, evidence.kind))
    return refuse(request, snapshot, asker, "origin-not-allowed", { match });

  request.credential = evidence.kind;
  if (match.route.upstreamToken !== undefined) request.subject = evidence;
  request.wanted = asker.admits;
  const identified = snapshot.identity.verify(evidence, now, request);
  const proven = needsNoProof(identified, evidence.kind)
    ? identified
    : prove(identified, { request, snapshot, credential: evidence, route: match.route, host: match.host, now });
  if (!(proven instanceof Promise)) return conclude(request, snapshot, match, proven, now, asker);
  request.cold = true;
  return proven.then(
    (finding) => concludeLater(request, snapshot, match, finding, now, asker),
    (thrown: unknown) => () => failed(request, snapshot, match, thrown),
  );
}

const UNREAD: Credential = { kind: "none" };

/** The one credential; where the route asks nobody who they are, none is read. */
function evidenceOf(request: AuthorizeRequest, snapshot: Snapshot, match: Match, taken: readonly Form[]): Credential {
  if (match.route.access === "anyone" || match.preflight) return UNREAD;
  return credentialOf(request, taken, snapshot.config.limits.token, snapshot.config.haproxy.scheme);
}

/** Where nothing is to be signed or exchanged, it is said in one go when it is sent: by then others have left less room for it. */
function concludeLater(...parts: Parameters<typeof conclude>): Conclusion | Promise<Conclusion> {
  const [, snapshot, { route }, , , asker] = parts;
  if (snapshot.assertions === undefined && route.upstreamToken === undefined)
    return () => concludeSafely(...parts) as Answer;
  const answer = concludeSafely(...parts);
  return answer instanceof Promise ? answer : () => fitting(answer, asker);
}

function concludeSafely(...parts: Parameters<typeof conclude>): Answer | Promise<Conclusion> {
  try {
    return conclude(...parts);
  } catch (thrown) {
    const [request, snapshot, match] = parts;
    return failed(request, snapshot, match, thrown);
  }
}

/** From what proving came to on. An invalid credential never falls through to being anonymous. */
function conclude(
  request: AuthorizeRequest,
  snapshot: Snapshot,
  match: Match,
  proven: Verification,
  now: number,
  asker: Asker,
): Answer | Promise<Conclusion> {
  request.nonce = proven.nonce;
  request.seen = proven.seen;
  if (proven.principal !== undefined) return decide(request, snapshot, match, proven.principal, now, asker);
  const { reason, claim } = proven;
  return refuse(request, snapshot, asker, reason, { match, claim });
}

function decide(
  request: AuthorizeRequest,
  snapshot: Snapshot,
  match: Match,
  principal: Principal | undefined,
  now: number,
  asker: Asker,
): Answer | Promise<Conclusion> {
  const judged = snapshot.policies.decide(match, principal, request.judged(match.host, now));
  const decision = judged.verdict === "allow" ? judged : offeringLogin(judged, request, snapshot, match);
  const actions = attest(decision, request, snapshot, match, principal);
  // Who was refused is still known: the access log names the subject.
  if (typeof actions === "string") return refuse(request, snapshot, asker, actions, { match, principal });
  const answer = { decision, request, snapshot, match, principal, actions };
  const { upstreamToken } = match.route;
  const isAll = upstreamToken === undefined && snapshot.assertions === undefined;
  if (isAll || principal === undefined || decision.verdict !== "allow") return fitting(answer, asker);
  const allowed = { ...answer, principal };
  return upstreamToken === undefined ? assert(allowed, asker) : exchange(allowed, upstreamToken, asker);
}

/** An answer that lets somebody in. */
type Allowed = Answer & { readonly match: Match; readonly principal: Principal };

/** Gets an allowed request's backend a token of its own. Without it, nothing passes; the client's never does. */
function exchange(answer: Allowed, wanted: UpstreamToken, asker: Asker): Answer | Promise<Conclusion> {
  const { request, snapshot, principal } = answer;
  const { upstreamTokens } = snapshot;
  if (upstreamTokens === undefined) return exchanged(answer, { reason: "exchange-unavailable" }, asker);
  const known = upstreamTokens.find(principal, wanted, request.time);
  if (known !== undefined) return assert({ ...answer, upstreamToken: known }, asker);
  if (!request.cold && !asker.admits()) return refuse(request, snapshot, asker, "overloaded", answer);
  const found = upstreamTokens.exchange(principal, wanted, request.subject, { wanted: () => request.wanted() });
  if (!(found instanceof Promise)) return exchanged(answer, found, asker);
  request.cold = true;
  return found.then(
    (late) => exchangedLater(answer, late, asker),
    (thrown: unknown) => () => failed(request, snapshot, answer.match, thrown),
  );
}

/** Where nothing is to be signed, it is said in one go when it is sent, as in `concludeLater`. */
function exchangedLater(answer: Allowed, found: string | NoToken, asker: Asker): Conclusion | Promise<Conclusion> {
  const conclude = () => exchanged(answer, found, asker);
  if (answer.snapshot.assertions === undefined) return () => conclude() as Answer;
  const rest = conclude();
  return rest instanceof Promise ? rest : () => fitting(rest, asker);
}

function exchanged(answer: Allowed, found: string | NoToken, asker: Asker): Answer | Promise<Conclusion> {
  if (typeof found === "string") return assert({ ...answer, upstreamToken: found }, asker);
  const { request, snapshot, match, principal } = answer;
  return refuse(request, snapshot, asker, found.reason, { match, principal, claim: found.claim });
}

/** Has an allowed request's assertion signed where that is wanted, which another thread does. Without it, nothing passes. */
function assert(answer: Allowed, asker: Asker): Answer | Promise<Conclusion> {
  const { assertions } = answer.snapshot;
  return assertions === undefined ? fitting(answer, asker) : signed(answer, assertions, asker);
}

function signed(answer: Allowed, assertions: Assertions, asker: Asker): Answer | Promise<Conclusion> {
  const { decision, request, snapshot, match, principal } = answer;
  const unasserted = (reason: Reason) => refuse(request, snapshot, asker, reason, { match, principal });
  const unsigned = assertions.of({ principal, decision, service: match.route.service.name, request });
  if (typeof unsigned === "string") return unasserted(unsigned);
  if (!request.cold && !asker.admits()) return unasserted("overloaded");
  return assertions
    .sign(unsigned, () => request.wanted())
    .then(
      (assertion) => () =>
        assertion === "dropped" ? unasserted("deadline-exceeded") : fitting({ ...answer, assertion }, asker),
      () => () => unasserted("assertion-unavailable"),
    );
}

/** What is known of a request that the policies need not be asked about. */
interface Known {
  readonly match?: Match | undefined;
  /** Where there is no match. */
  readonly rule?: string;
  readonly principal?: Principal | undefined;
  readonly claim?: string | undefined;
}

function refuse(
  request: AuthorizeRequest,
  snapshot: Snapshot,
  asker: Asker,
  reason: Reason,
  known: Known = NOTHING,
): Answer {
  return fitting(refused(request, snapshot, reason, known), asker);
}

const NOTHING: Known = {};

function refused(request: AuthorizeRequest, snapshot: Snapshot, reason: Reason, known: Known): Answer {
  const { match, principal, claim } = known;
  const decision = offeringLogin(refusal(reason, match?.route.rule ?? known.rule ?? ""), request, snapshot, match);
  const actions = refusalActions(decision, request, snapshot, match, principal);
  return { decision, request, snapshot, match, principal, actions, claim };
}

/** Whatever else may be broken, this can be said. */
function failed(request: AuthorizeRequest, snapshot: Snapshot, match: Match | undefined, thrown: unknown): Answer {
  return { ...refused(request, snapshot, "agent-error", { match }), thrown };
}

/** An answer that HAProxy would not read becomes a refusal; a refusal that is still too long is sent without its words. */
function fitting(answer: Answer, asker: Asker): Answer {
  const size = ackSize(answer);
  if (size < asker.left) return answer;
  const { request, snapshot, match, decision } = answer;
  if (size >= asker.limit) return refused(request, snapshot, "header-too-long", { match });
  return decision.verdict === "allow" ? refused(request, snapshot, "overloaded", { match }) : answer;
}
