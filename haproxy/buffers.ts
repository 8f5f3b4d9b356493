import { type CredentialUses, sentKinds } from "./credentials.ts";

/** HAProxy's defaults in bytes; both may be raised and are never lowered. */
export const DEFAULT_BUFSIZE = 16384;
export const DEFAULT_MAXREWRITE = 1024;

/**
 * Frames that HAProxy 3.1 and later keeps in flight on a pipelined connection to the agent; a constant there.
 * Old versions have `max-waiting-frames`, by default the same.
 */
export const FRAMES_IN_FLIGHT = 20;

/** What HAProxy keeps of a header beside its name and value, in bytes, rounded up. */
const HEADER_OVERHEAD = 16;

export interface Buffers {
  /** tune.bufsize in bytes: a power of two. */
  readonly bufsize: number;
  /** tune.maxrewrite in bytes: what rules may add to a request. */
  readonly maxrewrite: number;
}

/**
 * The buffer sizes that a set of identity headers needs.
 *
 * Past tune.maxrewrite HAProxy cannot add a header any more and answers 500, so it holds all of them at their longest,
 * and 1024 for the other headers the rules set. From 3.1 on a connection to the agent stops for good once
 * tune.bufsize bytes of ACKs can be read at once (docs/haproxy-contract.md), so 20 of the largest stay below it. And at least
 * three quarters of a buffer stay for the headers of the client.
 *
 * A question must fit into a buffer, too, or HAProxy does not ask it. What it repeats of the request's head leaves
 * tune.maxrewrite free; so that has room for what is no part of that head.
 *
 * A body that is looked into must be in it whole, beside as much head as HAProxy takes by default.
 *
 * @param largestAck bytes
 * @param largestBody bytes
 */
export function buffersFor(
  largestAck: number,
  uses: CredentialUses & {
    readonly identityHeaders: readonly { readonly name: string; readonly max: number }[];
    readonly bodies?: readonly unknown[];
  },
  largestBody = 0,
): Buffers {
  const added = uses.identityHeaders.reduce((sum, { name, max }) => sum + name.length + max + HEADER_OVERHEAD, 0);
  const asked = sentKinds(uses).reduce((sum, { largest = 0 }) => sum + largest, 0);
  const maxrewrite = Math.ceil((DEFAULT_MAXREWRITE + Math.max(added, asked)) / 1024) * 1024;
  const least = DEFAULT_BUFSIZE + (uses.bodies === undefined ? 0 : largestBody);
  let bufsize = DEFAULT_BUFSIZE;
  while (bufsize < least || bufsize <= FRAMES_IN_FLIGHT * largestAck || bufsize < 4 * maxrewrite) bufsize *= 2;
  return { bufsize, maxrewrite };
}
