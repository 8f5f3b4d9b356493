import { createServer, type Server } from "node:http";

/** A request that reached the backend. */
export interface Arrival {
  readonly mark: string;
  /** HAProxy's id of the request. */
  readonly id: string;
  readonly method: string;
  readonly path: string;
  /** All values of the identity header, none joined. */
  readonly subjects: readonly string[];
}

/** A backend that believes what it is told, and keeps it. */
export class Backend {
  readonly arrived: Arrival[] = [];
  readonly #server: Server;

  constructor() {
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      const { rawHeaders, method = "", url = "" } = request;
      const values = (name: string) =>
        rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
      const [mark = ""] = values("x-mark");
      const [id = ""] = values("x-request-id");
      this.arrived.push({ mark, id, method, path: url, subjects: values("x-auth-subject") });
      request.resume();
      response.setHeader("content-length", 2).end("ok");
    });
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((done, failed) => this.#server.once("error", failed).listen(port, "127.0.0.1", done));
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
