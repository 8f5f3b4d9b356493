import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Address } from "../config.ts";
import { listen } from "../server/listen.ts";
import { type AdminState, readiness, statusReport } from "./status.ts";

/** A probe, a scraper or two and somebody with curl; a connection on top is closed at once. */
const MOST_CONNECTIONS = 64;
/** Milliseconds for a whole request. */
const REQUEST_LIMIT = 5_000;
/** Longer than the usual probe and scrape intervals of 5 and 10 s. */
const IDLE_LIMIT = 15_000;
const LARGEST_HEADER = 8 * 1024;
/** Prometheus' text format. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Where the pages come from. */
export interface Sources {
  state(): AdminState | Promise<AdminState>;
  /** Prometheus' text format. */
  metrics(): Promise<string>;
}

/** The admin listener: /live, /ready, /metrics and /status over plain HTTP. It changes nothing and knows no secrets. */
export class AdminListener {
  readonly #server: Server;

  /** @param failed told of an error while answering, which is a bug */
  constructor(sources: Sources, failed: (error: unknown) => void) {
    this.#server = createServer(
      {
        maxHeaderSize: LARGEST_HEADER,
        headersTimeout: REQUEST_LIMIT,
        requestTimeout: REQUEST_LIMIT,
        keepAliveTimeout: IDLE_LIMIT,
        connectionsCheckingInterval: 1_000,
      },
      (request, response) => {
        answer(sources, request, response).catch((error: unknown) => {
          failed(error);
          if (!response.headersSent) send(request, response, text(500, "internal error"));
          else response.destroy();
        });
      },
    );
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.maxHeadersCount = 64;
  }

  /** @throws Error that names the address and what to do, when it cannot be bound */
  async listen(address: Address): Promise<void> {
    await listen(this.#server, address);
  }

  /** The port that was bound, where it was a TCP address. */
  get port(): number | undefined {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : undefined;
  }

  /** Ends every connection. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

async function answer(sources: Sources, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    send(request, response, text(405, "GET or HEAD only"));
    return;
  }
  send(request, response, await page(sources, request.url ?? ""));
}

async function page(sources: Sources, target: string): Promise<Page> {
  const [path] = target.split("?", 1);
  switch (path) {
    case "/live":
      return json(200, { live: true });
    case "/ready": {
      const body = readiness(await sources.state());
      return json(body.ready ? 200 : 503, body);
    }
    case "/status":
      return json(200, statusReport(await sources.state()));
    case "/metrics":
      return { status: 200, type: METRICS_TYPE, body: await sources.metrics() };
    default:
      return text(404, "there are /live, /ready, /metrics and /status");
  }
}

function json(status: number, value: unknown): Page {
  return { status, type: "application/json; charset=utf-8", body: `${JSON.stringify(value, undefined, 2)}\n` };
}

function text(status: number, body: string): Page {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}

function send(request: IncomingMessage, response: ServerResponse, { status, type, body }: Page): void {
  response.statusCode = status;
  response.setHeader("content-type", type);
  response.setHeader("content-length", Buffer.byteLength(body));
  response.setHeader("cache-control", "no-store");
  response.setHeader("x-content-type-options", "nosniff");
  // A body nobody asked for is not read to its end.
  const { headers } = request;
  if (headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined) {
    response.setHeader("connection", "close");
  }
  response.end(request.method === "HEAD" ? undefined : body);
}
