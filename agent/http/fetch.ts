import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Socket } from "node:net";
import { readBody } from "./body.ts";
import type { Connections } from "./connections.ts";
import { FetchError } from "./fetch-error.ts";
import { type ForwardProxy, proxyFor } from "./proxy.ts";
import { type ClientCertificate, secureContext } from "./secure.ts";
import { openTunnel, type RequestOptions } from "./tunnel.ts";

/** What one exchange may cost, and how it is sent. */
export interface Bounds {
  /** Ends it, whatever it is waiting for. */
  readonly signal: AbortSignal;
  /** PEM text of the only certificate authorities to trust; undefined for those that Node brings. */
  readonly ca: string | undefined;
  /** Where https is asked through; undefined for no proxy. */
  readonly proxy: ForwardProxy | undefined;
  /** Largest body of an answer in bytes, as it is sent and once it is decompressed. */
  readonly maxSize: number;
  /** What is shown to a server that asks for a certificate; never to a proxy. */
  readonly client?: ClientCertificate | undefined;
  /** What keeps the connection for the next request, except through a proxy; default: it is ended. */
  readonly connections?: Connections | undefined;
}

/** What is asked for; `{}` is a GET. */
export interface HttpRequest {
  /** Default: GET. */
  readonly method?: "GET" | "POST" | "OPTIONS";
  /** By names in lower case. Beside them go `accept`, `accept-encoding` and `user-agent`, unless they are here. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The statuses whose body is read; default: 200. All others' is left where it is, whatever its size. */
  readonly reads?: readonly number[];
}

export interface HttpAnswer {
  readonly status: number;
  /** By names in lower case; several of one name (`link`) are joined by `, `. */
  readonly headers: IncomingHttpHeaders;
  /** Empty where it was not read. */
  readonly body: Buffer;
}

/** One request and its answer, without redirects. It rejects on any failure, and when the body is larger than allowed. */
export type Send = (url: URL, bounds: Bounds, request?: HttpRequest) => Promise<HttpAnswer>;

/** Largest header of an answer in bytes. */
const LARGEST_HEADER = 16_384;

const HEADERS = {
  accept: "application/json, application/jwk-set+json",
  "accept-encoding": "identity",
  "user-agent": "countersign",
};

const READ: readonly number[] = [200];

/** By node:http and node:https (global fetch takes no certificate authority). */
export const send: Send = async (url, bounds, { reads = READ, ...request } = {}) => {
  const proxy = proxyFor(url, bounds.proxy);
  const options = { agent: false as const, signal: bounds.signal, maxHeaderSize: LARGEST_HEADER };
  const tunnel = proxy === undefined ? undefined : await openTunnel(url, proxy, options);
  try {
    const secured = url.protocol === "https:" ? securedBy(bounds, tunnel) : {};
    const agent = tunnel === undefined ? (bounds.connections?.to(url) ?? false) : false;
    const response = await respond(url, { ...options, ...secured, agent }, request);
    try {
      const { statusCode: status = 0, headers } = response;
      const body = reads.includes(status) ? await readBody(response, bounds.maxSize) : Buffer.alloc(0);
      return { status, headers, body };
    } finally {
      response.destroy();
    }
  } finally {
    tunnel?.destroy();
  }
};

/**
 * A kept connection may have been ended while the request was on its way (RFC 9112, section 9.3.1). What is asked
 * changes nothing, so it is asked once more, on a connection of its own.
 */
async function respond(url: URL, options: RequestOptions, asked: HttpRequest): Promise<IncomingMessage> {
  const request = requestTo(url, options, asked);
  try {
    return await responseTo(request);
  } catch (error) {
    if (!request.reusedSocket || options.signal.aborted) throw error;
    return responseTo(requestTo(url, { ...options, agent: false }, asked));
  }
}

function requestTo(url: URL, options: RequestOptions, { method = "GET", headers = {}, body }: HttpRequest) {
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  return request(url, { ...options, method, headers: { ...HEADERS, ...headers } }).end(body);
}

/** A socket ends in more ways than by a response or an error: each of them settles this. */
function responseTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("upgrade", ({ statusCode }, socket) => {
      socket.destroy();
      reject(new FetchError(`status ${statusCode} instead of 200`));
    });
    request.on("error", reject);
    request.once("close", () => reject(new FetchError("the connection ended without an answer")));
  });
}

function securedBy({ ca, client }: Bounds, tunnel: Socket | undefined) {
  return {
    ...(ca === undefined && client === undefined ? {} : { secureContext: secureContext(ca, client) }),
    ...(tunnel === undefined ? {} : { socket: tunnel }),
    rejectUnauthorized: true,
  };
}

/** Whether a host (as URL writes it) is this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
