import { FRAMES_IN_FLIGHT } from "../../haproxy/buffers.ts";
import { statusOf } from "../../policies/decision.ts";
import { AckWriter, encodeSetVar, LARGEST_HEAD } from "../../protocol/encode.ts";
import { encodeValue } from "../../protocol/value.ts";
import { writeActions } from "../answer/actions.ts";
import type { Answer } from "../answer/authorize.ts";
import type { Observation } from "../telemetry/events.ts";

/** One answer as it was written, which telemetry looks at: what it does not ask for is not made. */
export class Answered implements Observation {
  readonly answer: Answer;
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

  get trace() {
    return this.answer.request.trace;
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

  get mcp() {
    const { message } = this.answer.request;
    return typeof message === "string" ? undefined : message;
  }

  get tls() {
    return this.answer.request.tls;
  }

  get headers() {
    return this.answer.request.headers;
  }

  get reads() {
    return this.answer.snapshot.policies.uses;
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
  /** How many others were left out: HAProxy has given up on them, or has no room for them. */
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
  /** Bytes that an ACK stays below, its length prefix counted. */
  limit = Number.POSITIVE_INFINITY;
  #buffer = Number.POSITIVE_INFINITY;
  readonly #writer = new AckWriter();
  #answered: Answered[] = [];
  #unanswered = 0;

  /**
   * Holds to what this HAProxy takes; whatever was foreseen, it cannot wedge.
   *
   * @param buffer its tune.bufsize in bytes: a turn's ACKs together stay below it
   * @param limit bytes that an ACK stays below, its length prefix counted
   */
  bound(buffer: number, limit: number): void {
    this.#buffer = buffer;
    this.limit = limit;
  }

  get empty(): boolean {
    return this.#answered.length === 0;
  }

  /** Bytes that the next ACK stays below, so that each of those which may still come can be refused at least. */
  get left(): number {
    const others = this.#answered.length;
    if (others === 0) return this.limit;
    return Math.min(this.limit, this.#free - Math.max(0, FRAMES_IN_FLIGHT - 1 - others) * BARE_ACK);
  }

  /** Writes one ACK. The ids are the NOTIFY's, as they came. @param started performance.now() when it was read */
  add(bytes: Uint8Array, idsStart: number, idsEnd: number, answer: Answer, started: number, cached: boolean): void {
    const writer = this.#writer;
    const start = writer.size;
    const { left } = this;
    writer.begin(bytes, idsStart, idsEnd);
    writeActions(writer, answer);
    if (writer.finish() >= left && !this.#shortened(bytes, idsStart, idsEnd)) return;
    this.#answered.push(new Answered(answer, start, started, cached));
  }

  /** What goes to the socket now. */
  take(): Taken {
    const old = Math.max(0, this.#answered.length - FRAMES_IN_FLIGHT);
    const answered = old === 0 ? this.#answered : this.#answered.slice(old);
    const late = old + this.#unanswered;
    this.#answered = [];
    this.#unanswered = 0;
    return { bytes: this.#writer.take(answered[0]?.start), answered, late };
  }

  /** Bytes of the buffer that those which leave with the next ACK do not take. */
  get #free(): number {
    const first = this.#answered[Math.max(0, this.#answered.length - FRAMES_IN_FLIGHT + 1)];
    return first === undefined ? this.#buffer : this.#buffer - this.#writer.size + first.start;
  }

  /** Only a refusal is ever too long (authorize.ts): it is said in the fewest bytes. @returns whether these fit */
  #shortened(bytes: Uint8Array, idsStart: number, idsEnd: number): boolean {
    const writer = this.#writer;
    writer.abandon();
    if (this.#free <= BARE_ACK) {
      this.#unanswered++;
      return false;
    }
    writer.begin(bytes, idsStart, idsEnd);
    writer.append(BARE_DENY);
    writer.finish();
    return true;
  }
}
