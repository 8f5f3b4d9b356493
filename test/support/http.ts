import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A keep-alive HTTP/1.1 connection on which every byte sent is the caller's. Answers need a Content-Length. */
export class RawClient {
  readonly #socket: Socket;
  #buffered = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1").on("data", (text: string) => {
      this.#buffered += text;
      socket.emit("more");
    });
    socket.on("error", () => {});
    socket.on("close", () => socket.emit("more"));
  }

  /**
   * @param servername asks for this name over TLS, whatever the certificate
   * @param from its own address
   * @param to HAProxy's
   */
  static async open(port: number, servername?: string, from = "127.0.0.1", to = "127.0.0.1"): Promise<RawClient> {
    const at = { port, host: to, localAddress: from };
    const secure = servername !== undefined;
    const socket = secure ? connectTls({ ...at, servername, rejectUnauthorized: false }) : connect(at);
    await once(socket, secure ? "secureConnect" : "connect");
    return new RawClient(socket);
  }

  /** Sends a request line and header lines as they are, and reads one answer. @throws Error when HAProxy closes first */
  async request(line: string, fields: readonly string[] = ["host: orders.example.com"]): Promise<HttpAnswer> {
    this.#socket.write(Buffer.from(`${[line, ...fields].join("\r\n")}\r\n\r\n`, "latin1"));
    const end = await this.#until(() => this.#buffered.indexOf("\r\n\r\n"));
    const [status = "", ...lines] = this.#buffered.slice(0, end).split("\r\n");
    const headers = Object.fromEntries(
      lines.map((field) => [
        field.slice(0, field.indexOf(":")).toLowerCase(),
        field.slice(field.indexOf(":") + 1).trim(),
      ]),
    );
    const size = Number(headers["content-length"] ?? 0);
    await this.#until(() => (this.#buffered.length >= end + 4 + size ? 0 : -1));
    const body = this.#buffered.slice(end + 4, end + 4 + size);
    this.#buffered = this.#buffered.slice(end + 4 + size);
    return { status: Number(status.split(" ")[1]), headers, body };
  }

  close(): void {
    this.#socket.destroy();
  }

  async #until(found: () => number): Promise<number> {
    for (;;) {
      const at = found();
      if (at >= 0) return at;
      if (this.#socket.destroyed) throw new Error("HAProxy closed the connection");
      await once(this.#socket, "more");
    }
  }
}
