import { connect, createServer, type Server, type Socket } from "node:net";
import { decodeActions } from "../../protocol/decode.ts";
import { FrameDecoder } from "../../protocol/frame-decoder.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";

/**
 * How the relay treats what passes: hands it on; hands it on late; or now and then cuts an answer or a question in the
 * middle and hangs up, or writes nonsense before them.
 */
export type Manner = { readonly does: "pass" | "cut" | "garble" } | { readonly does: "delay"; readonly by: number };

/** What the agent's answer said of one request. */
export interface Said {
  readonly verdict: string;
  /** The first identity header: the subject. */
  readonly subject: string | undefined;
}

const PASS: Manner = { does: "pass" };
/** One of so many pieces is spoilt. */
const EVERY = 7;
const LARGEST_FRAME = 65_536;
const NONSENSE = Buffer.from("HTTP/1.1 200 OK\r\n\r\n\u0000\u0000\u0000\u0001\u0065\uffff", "latin1");

/** Stands between HAProxy and the agent: a witness of every answer, and what makes the line between them bad. */
export class Relay {
  manner: Manner = PASS;
  /** What the agent answered, by the request's id. */
  readonly said = new Map<string, Said>();
  readonly #agent: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #pieces = 0;

  /** @param agent its port on 127.0.0.1 */
  constructor(agent: number) {
    this.#agent = agent;
  }

  async listen(port: number): Promise<void> {
    const server = createServer((socket) => this.#join(socket));
    this.#server = server;
    await new Promise<void>((done, failed) => server.once("error", failed).listen(port, "127.0.0.1", done));
  }

  /** Ends all connections, as a network does. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#server?.close();
    this.hangUp();
  }

  #join(haproxy: Socket): void {
    const agent = connect(this.#agent, "127.0.0.1");
    for (const [one, other] of [
      [haproxy, agent],
      [agent, haproxy],
    ] as const) {
      this.#sockets.add(one);
      one.setNoDelay().on("error", () => {});
      one.on("end", () => other.end());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    const decoder = new FrameDecoder(LARGEST_FRAME);
    haproxy.on("data", (bytes: Buffer) => this.#hand(bytes, agent, haproxy));
    agent.on("data", (bytes: Buffer) => {
      this.#witness(decoder, bytes);
      this.#hand(bytes, haproxy, agent);
    });
  }

  #hand(bytes: Buffer, to: Socket, from: Socket): void {
    const spoilt = this.#pieces++ % EVERY === 0;
    if (this.manner.does === "delay") setTimeout(() => to.write(bytes), this.manner.by);
    else if (this.manner.does === "cut" && spoilt) {
      to.end(bytes.subarray(0, Math.floor(bytes.length / 2)));
      from.destroy();
    } else if (this.manner.does === "garble" && spoilt) to.write(Buffer.concat([NONSENSE, bytes]));
    else to.write(bytes);
  }

  #witness(decoder: FrameDecoder, bytes: Buffer): void {
    decoder.push(bytes, (frame) => {
      if (frame.type !== FRAME_TYPE.ack) return;
      const values = new Map(decodeActions(frame).map(({ name, value }) => [name, String(value.value)]));
      const id = values.get("id");
      if (id !== undefined)
        this.said.set(id, { verdict: values.get("verdict") ?? "", subject: values.get("header_1") });
    });
  }
}
