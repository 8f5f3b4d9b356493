import { createServer, type Socket } from "node:net";
import type { Test } from "tap";

/** One request as a backend got it: the head's bytes as text, one character a byte. */
export interface Received {
  /** `GET /v1/orders HTTP/1.1` */
  readonly line: string;
  /** In the order and case they came, none joined. */
  readonly headers: readonly (readonly [string, string])[];
}

export interface Backend {
  readonly port: number;
  readonly received: readonly Received[];
  /** All values of a header in the last request. */
  last(name: string): readonly string[];
}

/** A keep-alive HTTP/1.1 backend that keeps what it gets byte for byte and answers 200. It ends with the test. */
export async function startBackend(t: Test): Promise<Backend> {
  const received: Received[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => {});
    let buffered = "";
    socket.setEncoding("latin1").on("data", (text: string) => {
      buffered += text;
      for (let end = buffered.indexOf("\r\n\r\n"); end >= 0; end = buffered.indexOf("\r\n\r\n")) {
        const [line = "", ...fields] = buffered.slice(0, end).split("\r\n");
        buffered = buffered.slice(end + 4);
        received.push({ line, headers: fields.map(parseField) });
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nl5d-proxy-error: secret\r\n\r\nok");
      }
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    received,
    last: (name) =>
      (received.at(-1)?.headers ?? []).filter(([field]) => field.toLowerCase() === name).map(([, v]) => v),
  };
}

function parseField(field: string): readonly [string, string] {
  const colon = field.indexOf(":");
  return [field.slice(0, colon), field.slice(colon + 1).trim()];
}
