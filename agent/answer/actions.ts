import { MOST_HEADERS } from "../../haproxy/contract.ts";
import { headerVariable, VARIABLES, type VariableName } from "../../haproxy/variables.ts";
import { type Decision, type Reason, statusOf } from "../../policies/decision.ts";
import { type AckWriter, encodeSetVar } from "../../protocol/encode.ts";
import { encodeValue } from "../../protocol/value.ts";
import { type Answer, refuse } from "./authorize.ts";
import { challengeOf } from "./challenge.ts";
import type { Channel } from "./channel.ts";
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

const FORWARD = whole("forward", { type: "bool", value: true });
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

/** All that follows the id in the ACK of an allow that recurs, as one channel gets it; a challenge names the host. */
const TAILS = new WeakMap<Decision, { readonly channel: Channel; readonly bytes: Uint8Array }>();

/**
 * Writes an answer's variables into the ACK that was begun, the verdict last: HAProxy keeps what it read before a
 * broken byte, so whatever comes before the verdict lets nothing pass.
 *
 * @returns the answer as written: an allow whose identity cannot travel whole becomes a refusal
 */
export function writeActions(writer: AckWriter, answer: Answer): Answer {
  const { decision, request } = answer;
  const tail = decision.recurs === true ? TAILS.get(decision) : undefined;
  if (tail?.channel === request.channel) {
    writer.setText(START.id, request.bytes, request.idStart, request.idEnd);
    writer.append(tail.bytes);
    return answer;
  }
  const reason = untransportable(answer);
  if (reason !== undefined) return writeActions(writer, refused(answer, reason));
  writer.setText(START.id, request.bytes, request.idStart, request.idEnd);
  const start = writer.length;
  writeRest(writer, answer);
  const recurs = decision.recurs === true && decision.verdict === "allow";
  if (recurs) TAILS.set(decision, { channel: request.channel, bytes: writer.copy(start) });
  return answer;
}

function writeRest(writer: AckWriter, answer: Answer): void {
  const { decision, snapshot } = answer;
  writer.setString(START.reason, decision.reason);
  writer.setString(START.rule, decision.rule);
  writer.setString(START.revision, snapshot.revision);
  writePrincipal(writer, answer);
  if (decision.verdict === "allow") writeAllowed(writer, answer);
  else writeRefused(writer, answer);
  writer.append(VERDICTS[decision.verdict]);
}

/** A refusal that still knows who was refused: the access log names the subject. */
function refused(answer: Answer, reason: Reason): Answer {
  const { request, snapshot, match, principal, decision } = answer;
  return { ...refuse(request, snapshot, reason, decision.rule, match), principal };
}

/** Why an allowed request's identity cannot be sent as it is; what is too long is never cut. */
function untransportable({ decision, request, principal }: Answer): Reason | undefined {
  if (decision.verdict !== "allow" || principal === undefined) return undefined;
  for (const name of request.channel.contract.variables) {
    const value = variableValue(name, principal, decision);
    if ("reason" in value) return value.reason;
  }
  return undefined;
}

function writePrincipal(writer: AckWriter, { decision, request, principal }: Answer): void {
  if (principal === undefined) return;
  for (const name of request.channel.contract.variables) {
    const value = variableValue(name, principal, decision);
    if ("value" in value) writer.setString(START[name], value.value);
  }
}

function writeAllowed(writer: AckWriter, { decision, request, match, principal }: Answer): void {
  if (match === undefined) return;
  // What was ignored as a credential is not passed on as one: only what has proven somebody, or is not ours to read.
  const read = principal !== undefined || match.route.access === "anyone";
  if (match.route.forwardCredential && read) writer.append(FORWARD);
  for (const { name, value } of decision.headers) {
    const start = HEADER_STARTS[(request.channel.headerNumbers.get(name) ?? 0) - 1];
    if (start !== undefined && value !== undefined) writer.setString(start, value);
  }
  writer.setString(START.backend, match.route.backend);
}

function writeRefused(writer: AckWriter, { decision, match, request }: Answer): void {
  writer.append(STATUS[statusOf(decision.reason)]);
  const challenge = challengeOf(decision, match);
  if (challenge !== undefined && request.fault === undefined) writer.setString(START.challenge, challenge);
}
