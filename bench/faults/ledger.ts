import type { Arrival } from "./backend.ts";
import type { Sent } from "./load.ts";
import type { Said } from "./relay.ts";

/** What became of the requests of one fault. */
export interface Count {
  readonly sent: number;
  readonly allowed: number;
  readonly refused: number;
  /** Reached the backend although the agent did not allow it, or its sender may not be let in. */
  readonly unjudged: number;
  /** Reached the backend as somebody else. */
  readonly wrong: number;
  /** Got no answer. */
  readonly unanswered: number;
  /** Were sent again, as their connection was closed before anything came back. */
  readonly again: number;
  /** Of those that were allowed, without a record in the agent's log. */
  readonly unrecorded: number;
  /** Milliseconds until somebody was let in again, the longest; undefined where nobody was. */
  readonly recovery: number | undefined;
  /** Why those were refused who may be let in, and how many. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** Nobody got through, everybody was answered, and it recovered. */
export function isRight({ unjudged, wrong, unanswered, recovery }: Count): boolean {
  return unjudged + wrong + unanswered === 0 && recovery !== undefined;
}

/** What there is to count from. */
export interface Evidence {
  readonly sent: readonly Sent[];
  readonly arrived: readonly Arrival[];
  /** The agent's answers as they went over the wire, by request id. */
  readonly said: ReadonlyMap<string, Said>;
  /** The decisions in the agent's log. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  readonly healed: readonly number[];
}

/**
 * Holds every arrival against three witnesses: who sent it knows whether its credential may be let in and as whom; what
 * went over the wire is what the agent said; its log is what it says that it said.
 */
export function countOf({ sent, arrived, said, log, healed }: Evidence): Count {
  const senders = new Map(sent.map((one) => [one.mark, one]));
  const records = new Map(log.filter(({ msg }) => msg === "decision").map((record) => [record.request_id, record]));
  let [unjudged, wrong, unrecorded] = [0, 0, 0];
  for (const { mark, id, method, path, subjects } of arrived) {
    const request = senders.get(mark)?.request;
    const answer = said.get(id);
    const record = records.get(id);
    const asked = request?.line.startsWith(`${method} ${path} `) === true;
    const may = request?.subject !== undefined && asked;
    if (!may || answer?.verdict !== "allow" || (record !== undefined && record.verdict !== "allow")) unjudged++;
    else if (subjects.length !== 1 || subjects[0] !== request.subject || answer.subject !== request.subject) wrong++;
    else if (record !== undefined && record.subject !== request.subject) wrong++;
    if (record === undefined) unrecorded++;
  }
  const good = sent.filter(({ request }) => request.subject !== undefined);
  return {
    sent: sent.length,
    allowed: sent.filter(({ status }) => status === 200).length,
    refused: sent.filter(({ status }) => status >= 400).length,
    unjudged,
    wrong,
    unanswered: sent.filter(({ status }) => status === 0).length,
    again: sent.filter(({ tries }) => tries > 1).length,
    unrecorded,
    recovery: recoveryOf(good, healed),
    reasons: reasonsOf(good),
  };
}

function recoveryOf(good: readonly Sent[], healed: readonly number[]): number | undefined {
  const times = healed.map((instant) => {
    const after = good.filter(({ at, status }) => at >= instant && status === 200).map(({ answeredAt }) => answeredAt);
    return Math.min(...after) - instant;
  });
  const longest = Math.max(...times);
  return Number.isFinite(longest) ? longest : undefined;
}

function reasonsOf(good: readonly Sent[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { status, reason } of good) {
    if (status === 200) continue;
    const why = reason ?? (status === 0 ? "unanswered" : String(status));
    counts[why] = (counts[why] ?? 0) + 1;
  }
  return counts;
}
