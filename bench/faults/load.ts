import { connect, type Socket } from "node:net";
import type { Request, Traffic } from "./traffic.ts";

/** One request that was sent, and what became of it. */
export interface Sent {
  readonly mark: string;
  readonly request: Request;
  /** Milliseconds of the monotonic clock. */
  readonly at: number;
  /** 0 until it is answered. */
  status: number;
  answeredAt: number;
  /** How often it was sent before somebody answered or the sender gave up. */
  tries: number;
  reason: string | undefined;
}

/** Longer than all that HAProxy and agent wait for. */
const PATIENCE = 15_000;
const CONNECTIONS = 48;
/** A GET whose connection is closed before anything came back is sent again (RFC 9110, section 9.2.2), at most. */
const TRIES = 4;

let marks = 0;

/** Sends requests at a rate, whether or not those before are answered, until it is told to stop. */
export class Load {
  readonly sent: Sent[] = [];
  readonly #port: number;
  readonly #traffic: Traffic;
  readonly #rate: number;
  readonly #idle: Line[] = [];
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(port: number, traffic: Traffic, rate: number) {
    this.#port = port;
    this.#traffic = traffic;
    this.#rate = rate;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Sends no more, and waits for what is on its way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    for (const line of this.#idle) line.close();
  }

  async #run(): Promise<void> {
    const begin = performance.now();
    const pending = new Set<Promise<void>>();
    for (let count = 0; !this.#stopped; count++) {
      const wait = begin + (count * 1000) / this.#rate - performance.now();
      if (wait > 0) await new Promise((done) => setTimeout(done, wait));
      const one = this.send(await this.#traffic.next()).then(() => void pending.delete(one));
      pending.add(one);
      // More would only wait for a connection.
      if (pending.size >= CONNECTIONS) await Promise.race(pending);
    }
    await Promise.all(pending);
  }

  /** Sends one request; settles with its answer, or when there is none. */
  async send(request: Request): Promise<Sent> {
    const mark = String(++marks);
    const sent: Sent = { mark, request, at: performance.now(), status: 0, answeredAt: 0, reason: undefined, tries: 0 };
    this.sent.push(sent);
    for (let again = true; again && sent.tries < TRIES; ) {
      // Others that are kept may be closed as well, and nobody has been told yet.
      const kept = sent.tries++ === 0 ? this.#idle.pop() : undefined;
      const line = kept ?? new Line(this.#port);
      again = await line.ask(sent);
      if (line.open) this.#idle.push(line);
    }
    return sent;
  }
}

/** One keep-alive connection. */
class Line {
  readonly #socket: Socket;
  #text = "";
  #closed = false;

  constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1").setNoDelay().setEncoding("latin1");
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.#closed = true;
      this.#socket.emit("more");
    });
    this.#socket.on("data", (text: string) => {
      this.#text += text;
      this.#socket.emit("more");
    });
  }

  get open(): boolean {
    return !this.#closed && !this.#socket.destroyed;
  }

  close(): void {
    this.#socket.destroy();
  }

  /** @returns whether it is to be sent again: the connection was closed before anything came back */
  ask(sent: Sent): Promise<boolean> {
    const { line, fields } = sent.request;
    this.#text = "";
    this.#socket.write(`${[line, ...fields, `x-mark: ${sent.mark}`].join("\r\n")}\r\n\r\n`);
    return new Promise((done) => {
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        this.#socket.destroy();
      }, PATIENCE);
      const end = (again: boolean) => {
        clearTimeout(timer);
        this.#socket.off("more", more);
        done(again);
      };
      const more = () => {
        const head = this.#text.indexOf("\r\n\r\n");
        const size = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#text)?.[1] ?? 0);
        if (head >= 0 && this.#text.length >= head + 4 + size) {
          sent.status = Number(this.#text.slice(9, 12));
          sent.answeredAt = performance.now();
          sent.reason = /"reason":"([a-z-]+)"/.exec(this.#text)?.[1];
          if (/\r\nconnection: *close/i.test(this.#text.slice(0, head))) this.#socket.destroy();
          end(false);
        } else if (this.#closed) end(this.#text === "" && !late);
      };
      this.#socket.on("more", more);
      if (this.#closed) more();
    });
  }
}
