import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

/** What is done with a socket on which a whole request was read. */
export type Ending = (socket: Socket) => void;

/** A provider at the level of sockets, so that it can end a connection in every way there is. */
export interface RawProvider {
  /** `http://127.0.0.1:PORT`, or https on localhost with a certificate. */
  readonly url: string;
  /** How requests for paths with this end are answered from now on; undefined for properly. */
  end(suffix: string, ending: Ending | undefined): void;
  /** Whether connections are accepted and then ignored, TLS or not. */
  mute: boolean;
  /** Requests that were read, or, while it is mute, connections. */
  readonly arrivals: number;
  /** Settles when there was one more. */
  arrival(): Promise<void>;
  /** Settles when no client has a connection left. */
  quiet(): Promise<void>;
  close(): Promise<void>;
}

/** @param keys its JWKS */
export async function startRawProvider(
  keys: readonly unknown[],
  tls?: { readonly key: string; readonly cert: string },
): Promise<RawProvider> {
  const endings = new Map<string, Ending>();
  /** Sockets that are not closed, and those whose client is still there. */
  const all = new Set<Socket>();
  const open = new Set<Socket>();
  let waiting: (() => void)[] = [];
  let emptied: (() => void)[] = [];
  const provider = { mute: false, arrivals: 0, url: "" };
  const arrived = () => {
    provider.arrivals++;
    for (const resolve of waiting.splice(0)) resolve();
  };
  const serve = (socket: Socket) => {
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk;
      if (!text.endsWith("\r\n\r\n")) return;
      const path = text.split(" ")[1] ?? "";
      const ending = [...endings].find(([suffix]) => path.endsWith(suffix))?.[1];
      const body = JSON.stringify(
        path === "/jwks" ? { keys } : { issuer: provider.url, jwks_uri: `${provider.url}/jwks` },
      );
      if (ending === undefined) socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      else ending(socket);
      arrived();
    });
  };
  const secure = tls === undefined ? undefined : createTlsServer(tls, serve);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    all.add(socket);
    socket.once("close", () => all.delete(socket));
    socket.on("error", () => {});
    const left = () => {
      open.delete(socket);
      if (open.size === 0) for (const resolve of emptied.splice(0)) resolve();
    };
    socket.once("end", left).once("close", left);
    if (provider.mute) {
      socket.resume();
      arrived();
    } else if (secure === undefined) serve(socket);
    else secure.emit("connection", socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  provider.url = tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`;
  return Object.assign(provider, {
    end(suffix: string, ending: Ending | undefined) {
      if (ending === undefined) endings.delete(suffix);
      else endings.set(suffix, ending);
    },
    arrival: () => new Promise<void>((resolve) => waiting.push(resolve)),
    quiet: () => (open.size === 0 ? Promise.resolve() : new Promise<void>((resolve) => emptied.push(resolve))),
    async close() {
      waiting = [];
      emptied = [];
      for (const socket of all) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
