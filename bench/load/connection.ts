import { connect, type Socket } from "node:net";
import { HOST } from "./load.ts";

/** One status for all requests that got no answer. */
export const NONE = 0;

/** What was read last, on any connection. */
const chunk = Buffer.alloc(65_536);

/** One keep-alive connection with at most one request under way. */
export class Connection {
  readonly #port: number;
  readonly #answered: (connection: Connection, status: number, due: number) => void;
  #socket: Socket;
  #received = "";
  #due = 0;
  #busy = false;

  constructor(port: number, answered: (connection: Connection, status: number, due: number) => void) {
    this.#port = port;
    this.#answered = answered;
    this.#socket = this.#open();
  }

  send(request: string, due: number): void {
    this.#due = due;
    this.#busy = true;
    if (this.#socket.destroyed) this.#socket = this.#open();
    this.#socket.write(request, "latin1");
  }

  close(): void {
    this.#busy = false;
    this.#socket.removeAllListeners("close").destroy();
  }

  #open(): Socket {
    // One buffer for all, and no stream of what is read.
    const callback = (size: number) => this.#read(chunk.toString("latin1", 0, size));
    const onread = { buffer: chunk, callback };
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true, onread });
    socket.on("error", () => {});
    socket.on("close", () => {
      if (socket !== this.#socket) return;
      this.#received = "";
      // A listener that is being replaced may refuse for a moment; do not turn that into a storm.
      if (this.#busy) setTimeout(() => this.#answer(NONE), 1);
    });
    return socket;
  }

  /** @returns that more is to be read */
  #read(text: string): true {
    this.#received += text;
    const head = this.#received.indexOf("\r\n\r\n");
    if (head < 0) return true;
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#received)?.[1] ?? 0);
    if (this.#received.length < head + 4 + length) return true;
    const status = Number(this.#received.slice(9, 12));
    // A HAProxy that is being replaced says so.
    if (/\r\nconnection: *close/i.test(this.#received)) this.#socket.destroy();
    this.#received = "";
    this.#answer(status);
    return true;
  }

  #answer(status: number): void {
    if (!this.#busy) return;
    this.#busy = false;
    this.#answered(this, status, this.#due);
  }
}

/** A line by `writeRequests` as the bytes of its request. */
export function headOf(line: string): string {
  const blank = line.indexOf(" ");
  return `GET ${line.slice(0, blank)} HTTP/1.1\r\nHost: ${HOST}\r\n${line.slice(blank + 1).replace("\t", "\r\n")}\r\n\r\n`;
}
