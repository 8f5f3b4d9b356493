import { MOST_HEADERS } from "../../haproxy/contract.ts";
import { ALL_CREDENTIALS, credentialKind } from "../../haproxy/credentials.ts";
import { headerVariable, VARIABLES, type VariableName } from "../../haproxy/variables.ts";
import { type Decision, type Reason, statusOf } from "../../policies/decision.ts";
import type { Match } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import { AckWriter, encodeSetVar, LARGEST_HEAD, largestSetVar } from "../../protocol/encode.ts";
import { encodeValue } from "../../protocol/value.ts";
import type { Answer } from "./authorize.ts";
import { challengeOf } from "./challenge.ts";
import type { Channel } from "./channel.ts";
import type { AuthorizeRequest } from "./request.ts";
import type { Snapshot } from "./snapshot.ts";
import { variableValue } from "./variables.ts";

/** The start of every variable's SET-VAR, up to its value. */
const START = Object.fromEntries(
  Object.keys(VARIABLES).map((name) => [name, encodeSetVar("transaction", name)]),
) as Readonly<Record<VariableName, Buffer>>;
/** The same of the identity headers, in the order of their numbers. */
const HEADER_STARTS = Array.from({ length: MOST_HEADERS }, (_, i) =>
  encodeSetVar("transaction", headerVariable(i + 1)),
);

const whole = (name: VariableName, value: Parameters<typeof encodeValue>[0]) =>
  Buffer.concat([START[name], encodeValue(value)]);

const STATUS = {
  // A verdict other than allow with a reason to allow would be a bug; HAProxy is then told 503.
  200: whole("status", { type: "int64", value: 503n }),
  400: whole("status", { type: "int64", value: 400n }),
  401: whole("status", { type: "int64", value: 401n }),
  403: whole("status", { type: "int64", value: 403n }),
  503: whole("status", { type: "int64", value: 503n }),
};
const VERDICTS = {
  allow: whole("verdict", { type: "string", value: "allow" }),
  deny: whole("verdict", { type: "string", value: "deny" }),
  login: whole("verdict", { type: "string", value: "login" }),
};

/** What stands around the id: its SET-VAR up to the value, the value's type and its length. */
const AROUND_ID = START.id.length + 2;

/** Where actions are encoded. What was taken from it is never written over. */
const WRITER = new AckWriter();

/** What goes into an ACK. */
type Said = Pick<Answer, "request" | "actions" | "assertion" | "upstreamToken">;

/** Bytes of an answer's ACK at most, length prefix included. */
export function ackSize({ request, actions, assertion, upstreamToken }: Said): number {
  const asserted = assertion === undefined ? 0 : largestSetVar("assertion", assertion.length);
  const exchanged = upstreamToken === undefined ? 0 : largestSetVar("upstream_token", upstreamToken.length);
  return LARGEST_HEAD + AROUND_ID + request.idEnd - request.idStart + asserted + exchanged + actions.length;
}

/** Writes an answer's variables into the ACK that was begun. */
export function writeActions(writer: AckWriter, { request, actions, assertion, upstreamToken }: Said): void {
  writer.setText(START.id, request.bytes, request.idStart, request.idEnd);
  // Before the verdict, which the actions end with.
  if (upstreamToken !== undefined) writer.setString(START.upstream_token, upstreamToken);
  if (assertion !== undefined) writer.setString(START.assertion, assertion);
  writer.append(actions);
}

/**
 * All that follows the id in the ACK of an allow, the verdict last: HAProxy keeps what it read before a broken byte, so
 * whatever comes before the verdict lets nothing pass.
 *
 * @returns a reason where the identity cannot be sent as it is: what is too long is never cut
 */
export function allowActions(
  decision: Decision,
  request: AuthorizeRequest,
  snapshot: Snapshot,
  match: Match,
  principal: Principal | undefined,
): Uint8Array | Reason {
  begin(decision, request, snapshot);
  const untransportable = writePrincipal(decision, request.channel, principal);
  if (untransportable !== undefined) return untransportable;
  const forwarded = match.route.forwardCredential ? forwardedCredential(request, match, principal) : undefined;
  if (forwarded !== undefined) WRITER.setString(START.forward, forwarded);
  for (const { name, value } of decision.headers) {
    const start = HEADER_STARTS[(request.channel.headerNumbers.get(name) ?? 0) - 1];
    if (start !== undefined && value !== undefined) WRITER.setString(start, value);
  }
  if (request.seen !== undefined) WRITER.setString(START.seen, request.seen);
  const meshIdentity = snapshot.meshIdentities.get(match.route.backend);
  if (meshIdentity !== undefined) WRITER.setString(START.mesh_identity, meshIdentity);
  WRITER.setString(START.backend, match.route.backend);
  return end(decision);
}

/** What was ignored as a credential is not passed on as one: only what has proven somebody, or is not ours to read. */
function forwardedCredential(
  { credential }: AuthorizeRequest,
  { route }: Match,
  principal: Principal | undefined,
): string | undefined {
  if (route.access === "anyone") return ALL_CREDENTIALS;
  if (principal === undefined || credential === undefined) return undefined;
  return credentialKind(credential)?.argument;
}

/** All that follows the id in the ACK of a refusal, the verdict last. */
export function refusalActions(
  decision: Decision,
  request: AuthorizeRequest,
  snapshot: Snapshot,
  match: Match | undefined,
  principal: Principal | undefined,
): Uint8Array {
  begin(decision, request, snapshot);
  writePrincipal(decision, request.channel, principal);
  WRITER.append(STATUS[statusOf(decision.reason)]);
  const challenge = challengeOf(decision, match, snapshot.config);
  if (challenge !== undefined && request.fault === undefined) WRITER.setString(START.challenge, challenge);
  if (decision.verdict === "login" && request.step !== undefined) WRITER.setString(START.step, request.step);
  return end(decision);
}

function begin(decision: Decision, { nonce }: AuthorizeRequest, snapshot: Snapshot): void {
  // Left by one that could not be ended.
  if (WRITER.size > 0) WRITER.take();
  WRITER.setString(START.reason, decision.reason);
  WRITER.setString(START.rule, decision.rule);
  WRITER.setString(START.revision, snapshot.revision);
  if (nonce !== undefined) WRITER.setString(START.nonce, nonce);
}

function end(decision: Decision): Uint8Array {
  WRITER.append(VERDICTS[decision.verdict]);
  return WRITER.take();
}

/** Writes the variables that the contract names. @returns why one of them cannot be sent, and was left out */
function writePrincipal(decision: Decision, channel: Channel, principal: Principal | undefined): Reason | undefined {
  if (principal === undefined) return undefined;
  let untransportable: Reason | undefined;
  for (const name of channel.principalVariables) {
    const value = variableValue(name, principal, decision);
    if ("value" in value) WRITER.setString(START[name], value.value);
    else untransportable ??= value.reason;
  }
  return untransportable;
}
