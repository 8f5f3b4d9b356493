import type { Socket } from "node:net";
import { statusOf } from "../../policies/decision.ts";
import { NotifyCursor } from "../../protocol/decode.ts";
import { AckWriter } from "../../protocol/encode.ts";
import { SpopError } from "../../protocol/errors.ts";
import { type Frame, FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, encodeDisconnect, type Hello, readHello } from "../../protocol/handshake.ts";
import { FRAME_TYPE, STATUS } from "../../protocol/spop.ts";
import { writeActions } from "../actions.ts";
import { type Answer, authorize, refuse } from "../authorize.ts";
import { type AuthorizeRequest, RequestReader } from "../request.ts";
import type { Snapshot } from "../snapshot.ts";
import type { ServerEvents } from "../telemetry/events.ts";
import { FRAMES_IN_FLIGHT, largestAck, pipeliningFits } from "./pipelining.ts";

/** Largest frame accepted from HAProxy, in bytes; a larger tune.bufsize is answered with this. */
export const LARGEST_FRAME = 256 * 1024;
/** Milliseconds a new connection has for its HELLO, and a closing one for its last bytes. */
const HELLO_TIMEOUT = 10_000;
const CLOSE_TIMEOUT = 1_000;
/** Milliseconds past the deadline after which HAProxy has given up: the generated `timeout processing` is this longer. */
const PROCESSING_MARGIN = 100;

/** What all connections of a server share. */
export interface Shared {
  snapshot: Snapshot;
  draining: boolean;
  /** Requests that wait for a verification, over all connections. */
  inFlight: number;
  readonly clock: () => number;
  readonly events: ServerEvents;
}

/**
 * One connection from HAProxy: HELLO, then a verdict for every NOTIFY, in time, until either side leaves.
 *
 * The ACKs of one turn of the event loop leave in one write. Of those only the newest 20 are sent: HAProxy keeps no
 * more in flight, so after a stall the older ones have timed out there, and too many at once wedge it (pipelining.ts).
 */
export class Connection {
  readonly #socket: Socket;
  readonly #shared: Shared;
  readonly #ended: (connection: Connection) => void;
  readonly #decoder = new FrameDecoder(LARGEST_FRAME);
  readonly #reader = new RequestReader(new NotifyCursor());
  readonly #writer = new AckWriter();
  readonly #onFrame = (frame: Frame) => this.#frame(frame);
  readonly #flushNow = () => this.#flush();
  /** What this turn answered; the ACKs wait in the writer, in the same order. */
  #answered: Answered[] = [];
  /** performance.now() of the last read: once a read, not once a frame. */
  #readAt = 0;
  #hello: Hello | undefined;
  #closing = false;
  #waiting = 0;
  #helloTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, shared: Shared, ended: (connection: Connection) => void) {
    this.#socket = socket;
    this.#shared = shared;
    this.#ended = ended;
    shared.events.connected();
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    this.#helloTimer = setTimeout(() => this.disconnect(STATUS.timeout, "no HELLO"), HELLO_TIMEOUT);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("drain", () => socket.resume());
    // HAProxy 3.1 and later end an idle connection by a reset: a normal end, told by the "close" that follows.
    socket.on("error", () => {});
    socket.on("end", () => this.#socket.end());
    socket.on("close", () => this.#closed());
  }

  /** Whether HAProxy may have several NOTIFYs under way here. */
  get pipelined(): boolean {
    return this.#hello?.pipelining === true;
  }

  /** Largest frame HAProxy reads, in bytes; 0 before the HELLO. */
  get maxFrameSize(): number {
    return this.#hello?.maxFrameSize ?? 0;
  }

  /** Requests of this connection that wait for a verification. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Sends what was answered, says DISCONNECT and closes. What HAProxy has under way here is lost: it refuses it. */
  disconnect(status: number, message: string): void {
    if (this.#closing) return;
    this.#flush();
    this.#closing = true;
    this.#socket.end(encodeDisconnect("agent", status, message));
    setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT).unref();
  }

  #closed(): void {
    this.#closing = true;
    clearTimeout(this.#helloTimer);
    this.#shared.events.disconnected();
    this.#ended(this);
  }

  #read(chunk: Buffer): void {
    if (this.#closing) return;
    this.#readAt = performance.now();
    try {
      this.#decoder.push(chunk, this.#onFrame);
    } catch (error) {
      // Not SPOP, or no longer: nothing more can be read, but what was answered before is still sent.
      if (!(error instanceof SpopError)) this.#shared.events.unexpected("reading a frame", error);
      const broken =
        error instanceof SpopError ? error : new SpopError("CONNECTION_CLOSED", "agent error", STATUS.unknown);
      this.#shared.events.protocolError(broken.code);
      this.disconnect(broken.status, broken.code);
    }
  }

  #frame(frame: Frame): void {
    if (this.#closing) return;
    if (this.#hello === undefined) this.#shakeHands(frame);
    else if (frame.type === FRAME_TYPE.notify) this.#notify(frame);
    else if (frame.type === FRAME_TYPE.haproxyDisconnect) this.disconnect(STATUS.normal, "goodbye");
    // Other types are skipped, as the specification says (SPOE.txt, section 3.2.2).
  }

  #shakeHands(frame: Frame): void {
    const offered = readHello(frame);
    clearTimeout(this.#helloTimer);
    if (offered.healthcheck) this.#shared.events.healthCheck();
    if (offered.healthcheck && this.#shared.draining) {
      this.disconnect(STATUS.normal, "draining");
      return;
    }
    const maxFrameSize = Math.min(offered.maxFrameSize, LARGEST_FRAME);
    const pipelining = offered.pipelining && pipeliningFits(this.#largestAck(), offered.maxFrameSize);
    this.#hello = { ...offered, maxFrameSize, pipelining };
    this.#decoder.limit = maxFrameSize;
    this.#socket.write(encodeAgentHello({ maxFrameSize, pipelining }));
  }

  /** The contract comes with the first NOTIFY only; until then it is taken to be the one we generate. */
  #largestAck(): number {
    const { policies } = this.#shared.snapshot;
    const headers = policies.uses.identityHeaders.map(({ name }) => name);
    return largestAck(policies, { variables: ["subject"], headers });
  }

  #notify(frame: Frame): void {
    const { snapshot, clock } = this.#shared;
    const request = this.#reader.read(frame);
    const answer = authorize(request, snapshot, clock());
    if (answer instanceof Promise) this.#await(frame, answer, request, snapshot);
    else this.#answer(frame.bytes, frame.idsStart, frame.payloadStart, answer, this.#readAt, true);
  }

  /** A first verification: it may take its time, its request may not. The work goes on and answers the next one. */
  #await(frame: Frame, pending: Promise<Answer>, request: AuthorizeRequest, snapshot: Snapshot): void {
    const shared = this.#shared;
    const started = this.#readAt;
    const { deadline, limits } = snapshot.config;
    const ids = Buffer.from(frame.bytes.subarray(frame.idsStart, frame.payloadStart));
    if (shared.inFlight >= limits.inFlight) {
      this.#answer(ids, 0, ids.length, refuse(request, snapshot, "overloaded"), started, false);
      return;
    }
    shared.inFlight++;
    this.#waiting++;
    let settled = false;
    const settle = (answer: Answer) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      shared.inFlight--;
      this.#waiting--;
      if (this.#closing) return;
      if (performance.now() - started > deadline + PROCESSING_MARGIN) shared.events.dropped(1);
      else this.#answer(ids, 0, ids.length, answer, started, false);
    };
    const timer = setTimeout(() => settle(refuse(request, snapshot, "deadline-exceeded")), deadline);
    void pending.then(settle);
  }

  /** Writes one ACK into this turn's batch. */
  #answer(bytes: Buffer, idsStart: number, idsEnd: number, answer: Answer, started: number, cached: boolean): void {
    const start = this.#writer.size;
    const written = this.#write(bytes, idsStart, idsEnd, answer);
    if (this.#answered.length === 0) setImmediate(this.#flushNow);
    this.#answered.push({ answer: written, start, started, cached });
  }

  /** An ACK that HAProxy would not read, or that cannot be written, becomes a plain refusal. */
  #write(bytes: Buffer, idsStart: number, idsEnd: number, answer: Answer): Answer {
    const writer = this.#writer;
    try {
      writer.begin(bytes, idsStart, idsEnd);
      const written = writeActions(writer, answer);
      // The length prefix does not count; a frame of exactly the largest size wedges HAProxy 3.1 and later.
      if (writer.finish() - 4 < this.maxFrameSize) return written;
      return this.#rewrite(bytes, idsStart, idsEnd, refuse(answer.request, answer.snapshot, "header-too-long"));
    } catch (thrown) {
      const refused = { ...refuse(answer.request, answer.snapshot, "agent-error"), thrown };
      return this.#rewrite(bytes, idsStart, idsEnd, refused);
    }
  }

  #rewrite(bytes: Buffer, idsStart: number, idsEnd: number, answer: Answer): Answer {
    this.#writer.abandon();
    this.#writer.begin(bytes, idsStart, idsEnd);
    const written = writeActions(this.#writer, answer);
    this.#writer.finish();
    return written;
  }

  #flush(): void {
    const answered = this.#answered;
    if (answered.length === 0) return;
    this.#answered = [];
    const late = Math.max(0, answered.length - FRAMES_IN_FLIGHT);
    const bytes = this.#writer.take(answered[late]?.start);
    if (this.#closing || this.#socket.destroyed) return;
    // Back-pressure: a HAProxy that does not read its answers is not asked for more questions.
    if (!this.#socket.write(bytes)) this.#socket.pause();
    if (late > 0) this.#shared.events.dropped(late);
    const now = performance.now();
    for (let i = late; i < answered.length; i++) this.#observe(answered[i] as Answered, now);
  }

  #observe({ answer, started, cached }: Answered, now: number): void {
    const { request, decision, principal, snapshot, thrown } = answer;
    if (thrown !== undefined) this.#shared.events.unexpected("deciding", thrown);
    this.#shared.events.decided({
      requestId: request.id,
      src: request.src,
      method: request.method,
      host: answer.match?.host ?? request.host,
      path: request.path,
      principal,
      decision,
      status: statusOf(decision.reason),
      revision: snapshot.revision,
      durationUs: (now - started) * 1000,
      cached,
    });
  }
}

interface Answered {
  readonly answer: Answer;
  /** Offset of its ACK in the writer. */
  readonly start: number;
  /** performance.now() when the NOTIFY was read */
  readonly started: number;
  readonly cached: boolean;
}
