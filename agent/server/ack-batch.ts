import { FRAMES_IN_FLIGHT } from "../../haproxy/buffers.ts";
import { statusOf } from "../../policies/decision.ts";
import { AckWriter, encodeSetVar, LARGEST_HEAD } from "../../protocol/encode.ts";
import { FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeValue } from "../../protocol/value.ts";
import { writeActions } from "../answer/actions.ts";
import { type Answer, refuse } from "../answer/authorize.ts";
import type { Observation } from "../telemetry/events.ts";

/** One answer as it was written, which telemetry looks at: what it does not ask for is not made. */
export class Answered implements Observation {
  answer: Answer;
  /** Offset of its ACK in the writer. */
  readonly start: number;
  /** performance.now() when the NOTIFY was read */
  readonly started: number;
  readonly cached: boolean;
  /** Set once the ACK is handed over. */
  durationUs = 0;

  constructor(answer: Answer, start: number, started: number, cached: boolean) {
    this.answer = answer;
    this.start = start;
    this.started = started;
    this.cached = cached;
  }

  get decision() {
    return this.answer.decision;
  }

  get principal() {
    return this.answer.principal;
  }

  get claim() {
    return this.answer.claim;
  }

  get requestId() {
    return this.answer.request.id;
  }

  get src() {
    return this.answer.request.src;
  }

  get method() {
    return this.answer.request.method;
  }

  get host() {
    return this.answer.match?.host ?? this.answer.request.host;
  }

  get path() {
    return this.answer.request.path;
  }

  get status() {
    return statusOf(this.answer.decision.reason);
  }

  get revision() {
    return this.answer.snapshot.revision;
  }
}

/** The answers that leave together, oldest first. */
export interface Taken {
  readonly bytes: Buffer;
  readonly answered: readonly Answered[];
  /** How many older ones were left out. */
  readonly late: number;
}

/** A refusal in the fewest bytes: without the id HAProxy does not take it for its request's, and refuses by itself. */
const BARE_DENY = Buffer.concat([
  encodeSetVar("transaction", "verdict"),
  encodeValue({ type: "string", value: "deny" }),
]);
/** Bytes of an ACK with nothing else in it, its ids at their longest. */
const BARE_ACK = LARGEST_HEAD + BARE_DENY.length;

/**
 * The ACKs of one read, or of one turn of the event loop, which leave in one write.
 *
 * Of those only the newest 20 are handed out: HAProxy keeps no more in flight, so after a stall the older ones have
 * timed out there, and too many at once wedge it (pipelining.ts). A connection that was not offered pipelining gets as
 * many at once, too: HAProxy assigns requests to it before the handshake is done, and sends them all after it.
 */
export class AckBatch {
  #buffer = Number.POSITIVE_INFINITY;
  #limit = Number.POSITIVE_INFINITY;
  readonly #writer = new AckWriter();
  #answered: Answered[] = [];

  /**
   * Holds to what this HAProxy takes; whatever was foreseen, it cannot wedge.
   *
   * @param buffer its tune.bufsize in bytes: a turn's ACKs together stay below it
   * @param limit bytes that an ACK stays below, its length prefix counted
   */
  bound(buffer: number, limit: number): void {
    this.#buffer = buffer;
    this.#limit = limit;
  }

  get empty(): boolean {
    return this.#answered.length === 0;
  }

  /** Writes one ACK. The ids are the NOTIFY's, as they came. @param started performance.now() when it was read */
  add(bytes: Uint8Array, idsStart: number, idsEnd: number, answer: Answer, started: number, cached: boolean): void {
    const start = this.#writer.size;
    const written = this.#write(bytes, idsStart, idsEnd, answer);
    this.#answered.push(new Answered(written, start, started, cached));
  }

  /** What goes to the socket now. */
  take(): Taken {
    const late = Math.max(0, this.#answered.length - FRAMES_IN_FLIGHT);
    const answered = late === 0 ? this.#answered : this.#answered.slice(late);
    this.#answered = [];
    const bytes = this.#writer.take(answered[0]?.start);
    if (bytes.length < this.#buffer) return { bytes, answered, late };
    return { ...this.#refuseOldest(bytes, answered), late };
  }

  /** Shortens the oldest answers to bare refusals, until all of them fit into the buffer. */
  #refuseOldest(bytes: Buffer, answered: readonly Answered[]): Omit<Taken, "late"> {
    const starts = answered.map(({ start }) => start - (answered[0]?.start ?? 0));
    const fits = (start: number, older: number) => bytes.length - start + older * BARE_ACK < this.#buffer;
    const found = starts.findIndex(fits);
    const refused = found < 0 ? answered.length : found;
    const split = starts[refused] ?? bytes.length;
    new FrameDecoder(bytes.length).push(bytes.subarray(0, split), (frame) => {
      this.#writeBareDeny(frame.bytes, frame.idsStart, frame.payloadStart);
    });
    for (const one of answered.slice(0, refused)) {
      one.answer = refuse(one.answer.request, one.answer.snapshot, "overloaded");
    }
    return { bytes: Buffer.concat([this.#writer.take(), bytes.subarray(split)]), answered };
  }

  /** An answer that HAProxy would not read, or that cannot be written, becomes a refusal. */
  #write(bytes: Uint8Array, idsStart: number, idsEnd: number, answer: Answer): Answer {
    const writer = this.#writer;
    try {
      writer.begin(bytes, idsStart, idsEnd);
      const written = writeActions(writer, answer);
      if (writer.finish() < this.#limit) return written;
      return this.#rewrite(bytes, idsStart, idsEnd, refuse(answer.request, answer.snapshot, "header-too-long"));
    } catch (thrown) {
      const refused = { ...refuse(answer.request, answer.snapshot, "agent-error"), thrown };
      return this.#rewrite(bytes, idsStart, idsEnd, refused);
    }
  }

  #rewrite(bytes: Uint8Array, idsStart: number, idsEnd: number, answer: Answer): Answer {
    const writer = this.#writer;
    writer.abandon();
    writer.begin(bytes, idsStart, idsEnd);
    const written = writeActions(writer, answer);
    if (writer.finish() < this.#limit) return written;
    writer.abandon();
    this.#writeBareDeny(bytes, idsStart, idsEnd);
    return answer;
  }

  #writeBareDeny(bytes: Uint8Array, idsStart: number, idsEnd: number): void {
    this.#writer.begin(bytes, idsStart, idsEnd);
    this.#writer.append(BARE_DENY);
    this.#writer.finish();
  }
}
