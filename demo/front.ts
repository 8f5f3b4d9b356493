import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

/**
 * How a front answers: `up` lets a request through to what stands behind; `reset` cuts the connection, as a crashed
 * provider does; `silent` takes the request and never answers; `error` is status 500; a function answers as it likes.
 */
export type Behaviour = "up" | "reset" | "silent" | "error" | RequestListener;

/** An HTTP server on 127.0.0.1 whose behaviour can be changed at any time, to make what stands behind it fail. */
export interface Front {
  /** `http://127.0.0.1:PORT`, or https with a certificate. */
  readonly url: string;
  /** For all paths, or for those that end in `suffix` (which then come first). */
  behave(behaviour: Behaviour, suffix?: string): void;
  /** The paths asked for so far, in order. */
  readonly requests: readonly string[];
  /** Settles when the next request for a path with this end has arrived. */
  arrival(suffix: string): Promise<void>;
  close(): Promise<void>;
}

export interface FrontOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** PEM texts, for https. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export async function startFront(behind: RequestListener, { port: at = 0, tls }: FrontOptions = {}): Promise<Front> {
  const requests: string[] = [];
  const behaviours = new Map<string, Behaviour>();
  const waiting = new Set<{ suffix: string; resolve: () => void }>();
  const listener: RequestListener = (request, response) => {
    const path = request.url ?? "";
    requests.push(path);
    for (const waiter of waiting) {
      if (path.endsWith(waiter.suffix) && waiting.delete(waiter)) waiter.resolve();
    }
    const special = [...behaviours].find(([suffix]) => suffix !== "" && path.endsWith(suffix))?.[1];
    answer(special ?? behaviours.get("") ?? "up", behind, request, response);
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(at, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    requests,
    behave(behaviour, suffix = "") {
      behaviours.set(suffix, behaviour);
    },
    arrival: (suffix) => new Promise((resolve) => waiting.add({ suffix, resolve })),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function answer(behaviour: Behaviour, behind: RequestListener, request: IncomingMessage, response: ServerResponse) {
  if (typeof behaviour === "function") behaviour(request, response);
  else if (behaviour === "up") behind(request, response);
  else if (behaviour === "reset") request.socket.destroy();
  else if (behaviour === "error") response.writeHead(500).end("{}");
}

/** A behaviour: this status and body, and these headers. */
export function reply(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): RequestListener {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return (_request, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(text);
  };
}
