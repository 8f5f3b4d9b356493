import type { Socket } from "node:net";
import { Duplex } from "node:stream";

const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/;

/** A connection as node:http sees it: one request, of which it reads a body only where there may be one. The answer ends it. */
export class OneRequest extends Duplex {
  /** Whether it comes from this machine, to an address that only this machine has. */
  readonly local: boolean;
  /** Whether what follows the head is read; else it is forgotten. */
  readonly body: boolean;
  readonly #socket: Socket;
  #answered = false;

  /** @param head of the request, and where there may be a body what was read of that */
  constructor(head: Buffer, socket: Socket, body = false) {
    super();
    this.body = body;
    this.#socket = socket;
    const { localAddress, remoteAddress } = socket;
    // A unix socket has neither.
    this.local = [localAddress, remoteAddress].every((address) => address === undefined || LOOPBACK.test(address));
    this.push(head);
    if (body) this.#readOn();
    // What else the client sends is read, so that it can read its answer, and forgotten.
    socket.resume();
    socket.once("close", () => this.destroy());
  }

  /** Asked for each request on it: what was sent behind the first one's body is none. */
  isFirst(): boolean {
    const first = !this.#answered;
    this.#answered = true;
    return first;
  }

  /** No faster than it is taken. */
  #readOn(): void {
    const socket = this.#socket;
    socket.on("data", (chunk) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.once("end", () => this.push(null));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.destroySoon();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroySoon();
    done(error);
  }
}
