import { FRAMES_IN_FLIGHT } from "../../haproxy/buffers.ts";
import type { Contract } from "../../haproxy/contract.ts";
import { ALL_CREDENTIALS, sentKinds } from "../../haproxy/credentials.ts";
import { isSession } from "../../haproxy/places.ts";
import { backendHeader, type VariableName } from "../../haproxy/variables.ts";
import type { Policies } from "../../policies/policies.ts";
import { LARGEST_HEAD, largestSetVar } from "../../protocol/encode.ts";
import { LENGTH_PREFIX } from "../../protocol/spop.ts";
import { largestChallenge } from "../answer/challenge.ts";
import { LARGEST_ID } from "../answer/request.ts";
import { LARGEST_VARIABLE } from "../answer/variables.ts";
import { LARGEST_NONCE } from "../identity/proof/nonces.ts";
import { LARGEST_SEEN } from "../identity/session/session.ts";
import { LARGEST_STEP } from "../identity/session/step.ts";

/**
 * Whether a connection may be offered pipelining.
 *
 * HAProxy 3.1 and later stops reading a connection for good once tune.bufsize bytes of ACKs are readable at once, and
 * keeps giving it requests. tune.bufsize is the max-frame-size of its HELLO plus 4.
 *
 * @param largestAck bytes, from `largestAck`
 * @param maxFrameSize bytes, as offered by HAProxy
 */
export function pipeliningFits(largestAck: number, maxFrameSize: number): boolean {
  return FRAMES_IN_FLIGHT * largestAck < maxFrameSize + LENGTH_PREFIX;
}

/** Largest ACK in bytes that these policies can cause on a channel with this contract, length prefix included. */
export function largestAck(policies: Policies, contract: Pick<Contract, "variables" | "headers">): number {
  const named = contract.variables.reduce((sum, name) => sum + largestSetVar(name, largestValue(name)), 0);
  const common =
    LARGEST_HEAD +
    largestSetVar("id", LARGEST_ID) +
    largestSetVar("reason", 32) +
    largestSetVar("rule", longest(policies, "rule")) +
    (policies.uses.credentials.includes("dpop") ? largestSetVar("nonce", LARGEST_NONCE) : 0);
  const both = common + largestSetVar("revision", policies.revision.length) + largestSetVar("verdict", 5) + named;
  const deny =
    largestSetVar("challenge", longestChallenge(policies)) +
    largestSetVar("status", 9) +
    (policies.uses.credentials.some(isSession) && asksForSteps(policies) ? largestSetVar("step", LARGEST_STEP) : 0);
  return both + Math.max(deny, largestAllow(policies, contract.headers));
}

function asksForSteps({ services }: Policies): boolean {
  return services.some(({ routes }) => routes.some(({ asks }) => asks.stepUp !== undefined));
}

function largestValue(name: VariableName): number {
  return backendHeader(name)?.max ?? LARGEST_VARIABLE;
}

function largestAllow(policies: Policies, headers: readonly string[]): number {
  const max = new Map(policies.uses.identityHeaders.map(({ name, max }) => [name, max]));
  const identity = headers.reduce((sum, name) => sum + largestSetVar("header_00", max.get(name) ?? 0), 0);
  return (
    identity +
    (policies.uses.credentials.some(isSession) ? largestSetVar("seen", LARGEST_SEEN) : 0) +
    largestSetVar("forward", longestForwarded(policies)) +
    largestSetVar("backend", longest(policies, "backend"))
  );
}

/** What is forwarded is told by the name of its argument. */
function longestForwarded({ uses }: Policies): number {
  const names = sentKinds(uses).map(({ argument }) => argument.length);
  return Math.max(ALL_CREDENTIALS.length, ...names);
}

function longestChallenge({ services }: Policies): number {
  const routes = services.flatMap((service) => service.routes);
  return routes.reduce((most, route) => Math.max(most, largestChallenge(route)), 0);
}

function longest(policies: Policies, name: "rule" | "backend"): number {
  let most = 0;
  for (const service of policies.services)
    for (const route of service.routes) most = Math.max(most, route[name].length);
  return most;
}
