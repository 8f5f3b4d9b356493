import { createServer } from "node:http";

/** A request as a backend got it. */
export interface Received {
  readonly service: string;
  readonly method: string;
  readonly path: string;
  /** By lower-case name; repeated ones joined with commas. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

export interface EchoBackend {
  /** Everything that reached it, in order. */
  readonly received: readonly Received[];
  close(): Promise<void>;
}

/** A service behind HAProxy that trusts what HAProxy tells it, and answers with what it got, as JSON. */
export async function startBackend(service: string, port: number): Promise<EchoBackend> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const { method = "", url: path = "", headers } = request;
    const got = { service, method, path, headers };
    received.push(got);
    request.resume();
    response.setHeader("content-type", "application/json").end(`${JSON.stringify({ received: got }, null, 2)}\n`);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  return {
    received,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
