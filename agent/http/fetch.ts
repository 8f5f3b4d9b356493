import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Socket } from "node:net";
import { createSecureContext, type SecureContext } from "node:tls";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import { LRUCache } from "lru-cache";
import { type ForwardProxy, proxyFor } from "./proxy.ts";
import { openTunnel, type RequestOptions } from "./tunnel.ts";

/** What one GET may cost, and how it is sent. */
export interface Bounds {
  /** Ends the GET, whatever it is waiting for. */
  readonly signal: AbortSignal;
  /** PEM text of the only certificate authorities to trust; undefined for those that Node brings. */
  readonly ca: string | undefined;
  /** Where https is asked through; undefined for no proxy. */
  readonly proxy: ForwardProxy | undefined;
  /** Largest body in bytes, as it is sent and once it is decompressed. */
  readonly maxSize: number;
}

export interface Got {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: Buffer;
}

/** One GET without redirects. It rejects on any failure, and when the body is larger than allowed. */
export type Get = (url: URL, bounds: Bounds) => Promise<Got>;

/** A provider that did not answer as it must. The message names the address without its query and holds nothing secret. */
export class FetchError extends Error {
  override readonly name = "FetchError";
}

/** Largest header of an answer in bytes. */
const LARGEST_HEADER = 16_384;

const HEADERS = {
  accept: "application/json, application/jwk-set+json",
  "accept-encoding": "identity",
  "user-agent": "countersign",
};

/** GET by node:http and node:https (global fetch takes no certificate authority). One connection a call, none is kept. */
export const get: Get = async (url, bounds) => {
  const proxy = proxyFor(url, bounds.proxy);
  const options = { agent: false as const, signal: bounds.signal, maxHeaderSize: LARGEST_HEADER };
  const tunnel = proxy === undefined ? undefined : await openTunnel(url, proxy, options);
  try {
    const response = await send(url, { ...options, ...(url.protocol === "https:" ? secured(bounds.ca, tunnel) : {}) });
    try {
      const { statusCode = 0, headers } = response;
      const body = statusCode === 200 ? await read(response, bounds.maxSize) : Buffer.alloc(0);
      return { status: statusCode, location: headers.location, body };
    } finally {
      response.destroy();
    }
  } finally {
    tunnel?.destroy();
  }
};

/** A socket ends in more ways than by a response or an error: each of them settles this. */
function send(url: URL, options: RequestOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === "https:" ? requestHttps : requestHttp)(url, { ...options, headers: HEADERS });
    request.once("response", resolve);
    request.once("upgrade", ({ statusCode }, socket) => {
      socket.destroy();
      reject(new FetchError(`status ${statusCode} instead of 200`));
    });
    request.on("error", reject);
    request.once("close", () => reject(new FetchError("the connection ended without an answer")));
    request.end();
  });
}

function secured(ca: string | undefined, tunnel: Socket | undefined) {
  return {
    ...(ca === undefined ? {} : { secureContext: trusting(ca) }),
    ...(tunnel === undefined ? {} : { socket: tunnel }),
    rejectUnauthorized: true,
  };
}

/** Made once: the system's certificate authorities take some 10 ms. */
const contexts = new LRUCache<string, SecureContext>({ max: 64 });

function trusting(ca: string): SecureContext {
  const known = contexts.get(ca);
  if (known !== undefined) return known;
  const context = createSecureContext({ ca });
  contexts.set(ca, context);
  return context;
}

/** The size is counted while reading: a Content-Length may be absent or a lie, a compressed body may be a bomb. */
async function read(response: IncomingMessage, maxSize: number): Promise<Buffer> {
  const decompress = decompression(response.headers["content-encoding"]);
  const tooLarge = new FetchError(`the body is larger than ${maxSize} bytes`);
  if (Number(response.headers["content-length"] ?? 0) > maxSize) throw tooLarge;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxSize) throw tooLarge;
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks, size);
  if (decompress === undefined) return body;
  return decompress(body, { maxOutputLength: maxSize }).catch((error: Error) => {
    throw "code" in error && error.code === "ERR_BUFFER_TOO_LARGE"
      ? tooLarge
      : new FetchError("the body is not compressed as it says");
  });
}

const DECOMPRESSIONS: ReadonlyMap<string, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>> =
  new Map([
    ["gzip", promisify(gunzip)],
    ["x-gzip", promisify(gunzip)],
    ["deflate", promisify(inflate)],
    ["br", promisify(brotliDecompress)],
  ]);

/** Some compress although none is asked for (RFC 9110, section 8.4.1). */
function decompression(encoding = "identity") {
  const decompress = DECOMPRESSIONS.get(encoding.toLowerCase());
  if (decompress === undefined && encoding.toLowerCase() !== "identity")
    throw new FetchError("the body is compressed in a way that is not known");
  return decompress;
}

/** Whether a host (as URL writes it) is this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
