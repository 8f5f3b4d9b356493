import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";

/** A forward proxy that opens tunnels. */
export interface ConnectProxy {
  readonly port: number;
  /** The CONNECT requests so far: `HOST:PORT`, and what came as Proxy-Authorization. */
  readonly tunnels: readonly { readonly target: string; readonly authorization: string | undefined }[];
  /** Answers like this instead of opening a tunnel; undefined for opening one. */
  instead: ((socket: Socket) => void) | undefined;
  /** Settles when no client has a tunnel left. */
  quiet(): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param tls for a proxy that is itself asked by https
 * @param to where every tunnel leads, whatever the name; default: where it should
 */
export async function startConnectProxy(
  tls?: { readonly key: string; readonly cert: string },
  to?: number,
): Promise<ConnectProxy> {
  const server: Server = tls === undefined ? createServer() : createSecureServer(tls);
  const open = new Set<Socket>();
  const clients = new Set<Promise<void>>();
  const tunnels: { target: string; authorization: string | undefined }[] = [];
  server.on("connect", (request: IncomingMessage, socket: Socket) => {
    open.add(socket);
    clients.add(new Promise((resolve) => socket.once("end", resolve).once("close", () => resolve())));
    socket.on("error", () => {});
    tunnels.push({ target: request.url ?? "", authorization: request.headers["proxy-authorization"] });
    if (proxy.instead !== undefined) return proxy.instead(socket);
    const { hostname, port } = new URL(`http://${request.url}`);
    const onward = connect(to ?? Number(port), to === undefined ? hostname : "127.0.0.1");
    open.add(onward);
    onward.on("error", () => socket.destroy());
    onward.once("close", () => socket.resume());
    onward.once("connect", () => socket.write("HTTP/1.1 200 Connection established\r\n\r\n"));
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: ConnectProxy = {
    port: (server.address() as AddressInfo).port,
    tunnels,
    instead: undefined,
    async quiet() {
      await Promise.all(clients);
    },
    async close() {
      for (const socket of open) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
