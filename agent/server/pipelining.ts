import type { Contract } from "../../haproxy/contract.ts";
import type { Policies } from "../../policies/policies.ts";
import { LARGEST_CHALLENGE } from "../answer/challenge.ts";
import { LARGEST_ID } from "../answer/request.ts";
import { LARGEST_VARIABLE } from "../answer/variables.ts";

/**
 * Frames that HAProxy 3.1 and later keeps in flight on a pipelined connection; a constant there.
 * Old versions have `max-waiting-frames`, by default the same.
 */
export const FRAMES_IN_FLIGHT = 20;

/** length, type, flags, and two ids of at most ten bytes each (SPOE.txt, section 3.2) */
const FRAME_OVERHEAD = 4 + 1 + 4 + 10 + 10;

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
  return FRAMES_IN_FLIGHT * largestAck < maxFrameSize + 4;
}

/** Largest ACK in bytes that these policies can cause on a channel with this contract, length prefix included. */
export function largestAck(policies: Policies, contract: Pick<Contract, "variables" | "headers">): number {
  const principal = contract.variables.reduce((sum, name) => sum + action(name, LARGEST_VARIABLE), 0);
  const common =
    FRAME_OVERHEAD + action("id", LARGEST_ID) + action("reason", 32) + action("rule", longest(policies, "rule"));
  const both = common + action("revision", policies.revision.length) + action("verdict", 5) + principal;
  const deny = action("challenge", LARGEST_CHALLENGE) + action("status", 9);
  return both + Math.max(deny, largestAllow(policies, contract.headers));
}

function largestAllow(policies: Policies, headers: readonly string[]): number {
  const max = new Map(policies.uses.identityHeaders.map(({ name, max }) => [name, max]));
  const identity = headers.reduce((sum, name) => sum + action("header_00", max.get(name) ?? 0), 0);
  return identity + action("forward", 1) + action("backend", longest(policies, "backend"));
}

function longest(policies: Policies, name: "rule" | "backend"): number {
  let most = 0;
  for (const service of policies.services)
    for (const route of service.routes) most = Math.max(most, route[name].length);
  return most;
}

/** One SET-VAR: type, number of arguments and scope, the name, and a string of at most `value` bytes. */
function action(name: string, value: number): number {
  return 3 + 1 + name.length + 1 + 3 + value;
}
