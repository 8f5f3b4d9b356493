import { connect, type NetConnectOpts, type Socket } from "node:net";
import { type Action, decodeActions, decodeList, type Message } from "./decode.ts";
import { encodeFrame, encodeList, encodeMessages } from "./encode.ts";
import { SpopError } from "./errors.ts";
import { type Frame, FrameDecoder } from "./frame-decoder.ts";
import { encodeDisconnect, readDisconnect, VERSION } from "./handshake.ts";
import { FRAME_TYPE, STATUS } from "./spop.ts";
import type { Value } from "./value.ts";

export interface ClientOptions {
  /** Offered in the HELLO, in bytes; HAProxy offers tune.bufsize - 4. */
  readonly maxFrameSize?: number;
  readonly capabilities?: string;
  readonly healthcheck?: boolean;
  /** Of HAProxy's SPOE engine: the same on all its connections. */
  readonly engineId?: string;
}

/** What an agent answered to the HELLO. */
export interface AgentHello {
  readonly version: string;
  readonly maxFrameSize: number;
  readonly capabilities: string;
}

interface Waiting {
  readonly resolve: (actions: readonly Action[]) => void;
  readonly reject: (error: SpopError) => void;
}

/**
 * HAProxy's side of one SPOP connection: says HELLO, sends NOTIFYs and pairs each ACK with its own by the two ids.
 * For tests, tools and measurements; it keeps any number of frames in flight.
 */
export class SpopClient {
  readonly hello: AgentHello;
  readonly socket: Socket;
  readonly #waiting = new Map<string, Waiting>();
  #nextId = 1n;

  private constructor(socket: Socket, decoder: FrameDecoder, hello: AgentHello) {
    this.socket = socket;
    this.hello = hello;
    socket.removeAllListeners("data").removeAllListeners("close");
    socket.on("data", (chunk: Buffer) => this.#read(decoder, chunk));
    socket.on("close", () => this.#fail(new SpopError("CONNECTION_CLOSED")));
  }

  /**
   * Connects over TCP or a unix socket and shakes hands.
   *
   * @throws SpopError DISCONNECTED with the agent's status, or CONNECTION_CLOSED
   */
  static open(address: NetConnectOpts, options: ClientOptions = {}): Promise<SpopClient> {
    return SpopClient.over(connect(address), options);
  }

  /** The same over a connection that there is, such as one with TLS. */
  static async over(socket: Socket, options: ClientOptions = {}): Promise<SpopClient> {
    const decoder = new FrameDecoder(options.maxFrameSize ?? 16380);
    // A reset is a normal end; whoever waits is told by the "close" that follows it.
    socket.on("error", () => {});
    const hello = new Promise<AgentHello>((resolve, reject) => {
      socket.on("close", () => reject(new SpopError("CONNECTION_CLOSED")));
      socket.on("data", (chunk: Buffer) => {
        try {
          decoder.push(chunk, (frame) => resolve(readAgentHello(frame)));
        } catch (error) {
          reject(error);
          socket.destroy();
        }
      });
    });
    socket.write(encodeHaproxyHello(options));
    return new SpopClient(socket, decoder, await hello);
  }

  /** Sends one NOTIFY and waits for its ACK's actions. @throws SpopError when the connection ends first */
  notify(messages: readonly Message[]): Promise<readonly Action[]> {
    const ids = { streamId: this.#nextId, frameId: 1n };
    this.#nextId += 2n;
    const answer = this.answerTo(ids);
    this.socket.write(encodeFrame(FRAME_TYPE.notify, encodeMessages(messages), ids));
    return answer;
  }

  /** Waits for the ACK with these ids; for frames that the caller writes to `socket` byte by byte. */
  answerTo(ids: { readonly streamId: bigint; readonly frameId: bigint }): Promise<readonly Action[]> {
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) reject(new SpopError("CONNECTION_CLOSED"));
      else this.#waiting.set(`${ids.streamId}:${ids.frameId}`, { resolve, reject });
    });
  }

  /** Says HAPROXY-DISCONNECT and resolves once the agent has closed. */
  async close(): Promise<void> {
    if (this.socket.destroyed) return;
    const closed = new Promise<void>((resolve) => this.socket.once("close", () => resolve()));
    this.socket.end(encodeDisconnect("haproxy", STATUS.normal, "normal"));
    await closed;
  }

  #read(decoder: FrameDecoder, chunk: Buffer): void {
    try {
      decoder.push(chunk, (frame) => this.#frame(frame));
    } catch (error) {
      this.#fail(error instanceof SpopError ? error : new SpopError("CONNECTION_CLOSED", String(error)));
      this.socket.destroy();
    }
  }

  #frame(frame: Frame): void {
    if (frame.type === FRAME_TYPE.agentDisconnect) {
      this.#fail(disconnected(frame));
      return;
    }
    if (frame.type !== FRAME_TYPE.ack) return;
    const key = `${frame.streamId}:${frame.frameId}`;
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    waiting?.resolve(decodeActions(frame));
  }

  #fail(error: SpopError): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** A HAPROXY-HELLO as HAProxy 3.1 and later send it. */
export function encodeHaproxyHello(options: ClientOptions = {}): Buffer {
  const list: [string, Value][] = [
    ["supported-versions", { type: "string", value: VERSION }],
    ["max-frame-size", { type: "uint32", value: BigInt(options.maxFrameSize ?? 16380) }],
    ["capabilities", { type: "string", value: options.capabilities ?? "pipelining" }],
  ];
  if (options.healthcheck === true) list.push(["healthcheck", { type: "bool", value: true }]);
  if (options.engineId !== undefined) list.push(["engine-id", { type: "string", value: options.engineId }]);
  return encodeFrame(FRAME_TYPE.haproxyHello, encodeList(list));
}

function readAgentHello(frame: Frame): AgentHello {
  if (frame.type === FRAME_TYPE.agentDisconnect) throw disconnected(frame);
  if (frame.type !== FRAME_TYPE.agentHello) throw new SpopError("HELLO_EXPECTED", `frame type ${frame.type}`);
  const list = decodeList(frame);
  return {
    version: String(list.get("version")?.value),
    maxFrameSize: Number(list.get("max-frame-size")?.value),
    capabilities: String(list.get("capabilities")?.value),
  };
}

function disconnected(frame: Frame): SpopError {
  const { status, message } = readDisconnect(frame);
  return new SpopError("DISCONNECTED", message, status);
}
