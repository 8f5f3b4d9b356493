import type { Socket } from "node:net";
import { Duplex } from "node:stream";

const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/;

/** A connection as node:http sees it: the head of one request, and nothing after it. The answer ends it. */
export class OneRequest extends Duplex {
  /** Whether it comes from this machine, to an address that only this machine has. */
  readonly local: boolean;
  readonly #socket: Socket;

  constructor(head: Buffer, socket: Socket) {
    super();
    this.#socket = socket;
    const { localAddress, remoteAddress } = socket;
    // A unix socket has neither.
    this.local = [localAddress, remoteAddress].every((address) => address === undefined || LOOPBACK.test(address));
    this.push(head);
    // What else the client sends is read, so that it can read its answer, and forgotten.
    socket.resume();
    socket.once("close", () => this.destroy());
  }

  override _read(): void {}

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
