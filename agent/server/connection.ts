import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { FRAMES_IN_FLIGHT } from "../../haproxy/buffers.ts";
import { PROCESSING_MARGIN } from "../../haproxy/spoe-file.ts";
import { NotifyCursor } from "../../protocol/decode.ts";
import { SPOP_ERRORS, SpopError } from "../../protocol/errors.ts";
import { type Frame, FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, encodeDisconnect, type Hello, readDisconnect, readHello } from "../../protocol/handshake.ts";
import { FRAME_TYPE, LENGTH_PREFIX, STATUS } from "../../protocol/spop.ts";
import { type Answer, authorize, type Conclusion } from "../answer/authorize.ts";
import type { Channel } from "../answer/channel.ts";
import { RequestReader } from "../answer/request.ts";
import type { Snapshot } from "../answer/snapshot.ts";
import type { Asker, Waiting } from "../answer/waiting.ts";
import type { ServerEvents } from "../telemetry/events.ts";
import { AckBatch, type Answered } from "./ack-batch.ts";
import type { Engine, Engines } from "./engines.ts";
import type { HalfSent, Holder, Patience } from "./half-sent.ts";
import { pipeliningFits } from "./pipelining.ts";

/** Largest frame accepted from HAProxy, in bytes; a larger tune.bufsize is answered with this. */
const LARGEST_FRAME = 256 * 1024;
/** Largest HELLO in bytes; HAProxy's have some 130. Until it was read, a peer can make the agent hold no more. */
const LARGEST_HELLO = 4096;
/** Bytes that Node reads from a socket at once: a read of fewer has emptied it. */
const LARGEST_READ = 65_536;
/** Milliseconds that a closing connection has for its last bytes. */
const CLOSE_TIMEOUT = 1_000;

/** What all connections of a server share. */
export interface Shared {
  snapshot: Snapshot;
  draining: boolean;
  readonly waiting: Waiting;
  /** Requests that were answered. */
  requests: number;
  readonly patience: Patience;
  readonly halfSent: HalfSent;
  readonly engines: Engines;
  /** Called when a contract has made the largest ACK of an engine grow. */
  readonly grown: () => void;
  /** Called when a HAProxy that asks for pipelining does not get it. */
  readonly unpipelined: () => void;
  readonly clock: () => number;
  readonly events: ServerEvents;
}

/** Two numbers of bytes that do not go together: what HAProxy offers, and what it would get. */
export interface Obstacle {
  readonly maxFrameSize: number;
  readonly largestAck: number;
}

/** One connection from HAProxy: HELLO, then a verdict for every NOTIFY, in time, until either side leaves. */
export class Connection implements Holder, Asker {
  readonly #socket: Socket;
  /** A read of fewer bytes has emptied the socket. TLS gives what it has read by records, so none of its own has. */
  readonly #wholeRead: number;
  readonly #shared: Shared;
  readonly #ended: (connection: Connection) => void;
  readonly #decoder = new FrameDecoder(LARGEST_HELLO);
  readonly #reader = new RequestReader(new NotifyCursor());
  readonly #batch = new AckBatch();
  readonly #onFrame = (frame: Frame) => this.#frame(frame);
  readonly #flushNow = () => this.#flush();
  readonly admits = () => this.waiting.count < this.#shared.snapshot.config.limits.inFlight;
  readonly waiting: Waiting;
  /** performance.now() of the last read, and the clock then: once a read, not once a frame. */
  #readAt = 0;
  #now = 0;
  /** A read is under way that has emptied the socket: what it asks is answered at its end. */
  #emptied = false;
  #offered: Hello | undefined;
  #engine: Engine | undefined;
  #pipelined = false;
  #channel: Channel | undefined;
  #closing = false;
  /** It holds a part of a frame. */
  #half = false;
  /** Until the HELLO it waits for that; once the agent leaves, for HAProxy to leave, too. */
  #timer: NodeJS.Timeout;

  constructor(socket: Socket, shared: Shared, ended: (connection: Connection) => void) {
    this.#socket = socket;
    this.#wholeRead = socket instanceof TLSSocket ? 0 : LARGEST_READ;
    this.#shared = shared;
    this.waiting = shared.waiting;
    this.#ended = ended;
    shared.events.connected();
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    this.#timer = setTimeout(() => this.disconnect(STATUS.timeout, "no HELLO"), shared.patience.hello);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("drain", () => socket.resume());
    // HAProxy 3.1 and later end an idle connection by a reset: a normal end, told by the "close" that follows.
    socket.on("error", () => {});
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#closed());
  }

  /** What keeps this HAProxy, which asks for it, from having several NOTIFYs under way; undefined where nothing does. */
  get obstacle(): Obstacle | undefined {
    if (this.#offered?.pipelining !== true) return undefined;
    const { maxFrameSize } = this.#offered;
    const largestAck = this.#engine?.largestAck(this.#shared.snapshot.policies) ?? 0;
    return pipeliningFits(largestAck, maxFrameSize) ? undefined : { maxFrameSize, largestAck };
  }

  /** Whether HAProxy may have several NOTIFYs under way here. */
  get pipelined(): boolean {
    return this.#pipelined;
  }

  /** Whether HAProxy has said HELLO. */
  get greeted(): boolean {
    return this.#offered !== undefined;
  }

  get gone(): boolean {
    return this.#closing;
  }

  get limit(): number {
    return this.#batch.limit;
  }

  get left(): number {
    return this.#batch.left;
  }

  giveUp(why: Parameters<Holder["giveUp"]>[0]): void {
    this.#shared.events.protocolError(why);
    this.disconnect(SPOP_ERRORS[why], why);
  }

  /** Closes at once, without a word. */
  abandon(): void {
    this.#socket.destroy();
  }

  /** Sends what was answered, says DISCONNECT and closes. What HAProxy has under way here is lost: it refuses it. */
  disconnect(status: number, message: string): void {
    this.#end(encodeDisconnect("agent", status, message));
  }

  #end(last: Buffer | "" = ""): void {
    if (this.#closing) return;
    this.#flush();
    this.#closing = true;
    this.#letGo();
    this.#socket.end(last);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT).unref();
  }

  #closed(): void {
    this.#closing = true;
    this.#letGo();
    clearTimeout(this.#timer);
    this.#shared.events.disconnected();
    this.#ended(this);
  }

  #read(chunk: Buffer): void {
    if (this.#closing) return;
    this.#readAt = performance.now();
    this.#now = this.#shared.clock();
    this.#emptied = chunk.length < this.#wholeRead;
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
    if (this.#emptied) this.#flush();
    this.#emptied = false;
    if (this.#half || this.#decoder.held > 0) this.#noteHalf();
  }

  #noteHalf(): void {
    const { halves, held } = this.#decoder;
    this.#half = held > 0;
    this.#shared.halfSent.note(this, halves, held);
  }

  #letGo(): void {
    this.#decoder.discard();
    if (this.#half) this.#noteHalf();
  }

  #frame(frame: Frame): void {
    if (this.#closing) return;
    if (this.#offered === undefined) this.#shakeHands(frame);
    else if (frame.type === FRAME_TYPE.notify) this.#notify(frame);
    else if (frame.type === FRAME_TYPE.haproxyDisconnect) this.#farewell(frame);
    // Other types are skipped, as the specification says (SPOE.txt, section 3.2.2).
  }

  #shakeHands(frame: Frame): void {
    const offered = readHello(frame);
    clearTimeout(this.#timer);
    if (offered.healthcheck) this.#shared.events.healthCheck();
    if (offered.healthcheck && this.#shared.draining) {
      this.disconnect(STATUS.normal, "draining");
      return;
    }
    const maxFrameSize = Math.min(offered.maxFrameSize, LARGEST_FRAME);
    this.#offered = offered;
    this.#engine = this.#shared.engines.of(offered.engineId);
    this.#pipelined = offered.pipelining && this.obstacle === undefined;
    if (offered.pipelining && !this.#pipelined) this.#shared.unpipelined();
    // A frame of exactly the largest size wedges HAProxy 3.1 and later; the length prefix is in no frame's size.
    const buffer = offered.maxFrameSize + LENGTH_PREFIX;
    const largest = maxFrameSize + LENGTH_PREFIX;
    this.#batch.bound(buffer, Math.min(largest, this.#pipelined ? buffer / FRAMES_IN_FLIGHT : buffer));
    this.#decoder.limit = maxFrameSize;
    this.#socket.write(encodeAgentHello({ maxFrameSize, pipelining: this.#pipelined }));
  }

  /** HAProxy leaves, because it is done or idle (0 to 2), or because it could not read what it got. */
  #farewell(frame: Frame): void {
    if (readDisconnect(frame).status > STATUS.timeout) this.#shared.events.protocolError("DISCONNECTED");
    this.disconnect(STATUS.normal, "goodbye");
  }

  #notify(frame: Frame): void {
    const { snapshot } = this.#shared;
    const request = this.#reader.read(frame);
    if (request.channel !== this.#channel) this.#learn(request.channel);
    const answer = authorize(request, snapshot, this.#now, this);
    if (answer instanceof Promise) this.#await(frame, answer, snapshot.config.deadline);
    else this.#answer(frame.bytes, frame.idsStart, frame.payloadStart, answer, this.#readAt, true);
  }

  /** The contract comes with the NOTIFYs only, and one that names more variables makes the largest ACK larger. */
  #learn(channel: Channel): void {
    this.#channel = channel;
    if (this.#engine?.learn(channel.contract)) this.#shared.grown();
  }

  /** Concludes where HAProxy still waits for it; the agent itself may have stood still. @param deadline milliseconds */
  #await(frame: Frame, pending: Promise<Conclusion>, deadline: number): void {
    const started = this.#readAt;
    const ids = Buffer.from(frame.bytes.subarray(frame.idsStart, frame.payloadStart));
    void pending.then((conclude) => {
      if (this.#closing) return;
      if (performance.now() - started > deadline + PROCESSING_MARGIN) this.#shared.events.dropped(1);
      else this.#conclude(ids, conclude(), started);
    });
  }

  #conclude(ids: Buffer, answer: Answer, started: number): void {
    this.#answer(ids, 0, ids.length, answer, started, !answer.request.cold);
  }

  /**
   * Its ACK leaves with the others of this read. Where more may be left to read, or nothing is being read, it waits for
   * the end of the turn: after a stall many reads follow each other, and too many ACKs at once wedge HAProxy. That wait
   * is a turn of its own: measured with one request a read 10 us of 46, with eight 1 of 11.
   */
  #answer(bytes: Buffer, idsStart: number, idsEnd: number, answer: Answer, started: number, cached: boolean): void {
    if (this.#batch.empty && !this.#emptied) setImmediate(this.#flushNow);
    this.#batch.add(bytes, idsStart, idsEnd, answer, started, cached);
  }

  /** Sends what was answered. */
  #flush(): void {
    if (this.#batch.empty) return;
    const { bytes, answered, late } = this.#batch.take();
    if (this.#closing || this.#socket.destroyed) return;
    // Back-pressure: a HAProxy that does not read its answers is not asked for more questions.
    if (!this.#socket.write(bytes)) this.#socket.pause();
    if (late > 0) this.#shared.events.dropped(late);
    const now = performance.now();
    for (const one of answered) this.#observe(one, now);
  }

  #observe(one: Answered, now: number): void {
    const { thrown } = one.answer;
    if (thrown !== undefined) this.#shared.events.unexpected("deciding", thrown);
    one.durationUs = (now - one.started) * 1000;
    this.#shared.requests++;
    this.#shared.events.decided(one);
  }
}
