import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";

/** What one GET may cost. */
export interface Bounds {
  /** Ends the GET, whatever it is waiting for. */
  readonly signal: AbortSignal;
  /** PEM text of the only certificate authorities to trust; undefined for those of the machine. */
  readonly ca: string | undefined;
  /** Largest body in bytes. */
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

const MOST_REDIRECTS = 3;
const LARGEST_MESSAGE = 300;

/** GET by node:http and node:https (global fetch takes no certificate authority). One connection a call, none is kept. */
export const get: Get = async (url, bounds) => {
  const response = await send(url, bounds);
  try {
    const { statusCode = 0, headers } = response;
    const body = statusCode === 200 ? await read(response, bounds.maxSize) : Buffer.alloc(0);
    return { status: statusCode, location: headers.location, body };
  } finally {
    response.destroy();
  }
};

function send(url: URL, { signal, ca }: Bounds): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { accept: "application/json", "accept-encoding": "identity", "user-agent": "countersign" };
    const options = { agent: false as const, signal, headers, maxHeaderSize: 16_384 };
    const request =
      url.protocol === "https:"
        ? requestHttps(url, { ...options, ...(ca === undefined ? {} : { ca }), rejectUnauthorized: true })
        : requestHttp(url, options);
    request.once("response", resolve);
    request.on("error", reject);
    request.end();
  });
}

/** The size is counted while reading: a Content-Length may be absent or a lie, a compressed body may be a bomb. */
async function read(response: IncomingMessage, maxSize: number): Promise<Buffer> {
  const encoding = response.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity") throw new FetchError("the body is compressed");
  const tooLarge = new FetchError(`the body is larger than ${maxSize} bytes`);
  if (Number(response.headers["content-length"] ?? 0) > maxSize) throw tooLarge;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxSize) throw tooLarge;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/**
 * A JSON document of a provider: status 200, at most three redirects, each of them to an address that is `permitted`.
 *
 * @throws {FetchError} whatever goes wrong
 */
export async function getJson(get: Get, url: URL, bounds: Bounds): Promise<unknown> {
  let at = url;
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const got = await get(at, bounds).catch((error: unknown) => {
      throw failed(at, bounds.signal.aborted ? "no answer in time" : textOf(error));
    });
    if (got.status === 200) return parse(at, got.body);
    if (!isRedirect(got.status)) throw failed(at, `status ${got.status} instead of 200`);
    at = follow(at, got.location);
  }
  throw failed(url, `more than ${MOST_REDIRECTS} redirects`);
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

function follow(from: URL, location: string | undefined): URL {
  const to = location === undefined ? null : URL.parse(location, from);
  if (to === null || !permitted(to, from)) throw failed(from, "a redirect to an address that may not be asked");
  return to;
}

/**
 * Whether a provider's document may lead from one address to another: to https only, or, for a provider on loopback
 * http, to loopback http. So an https provider cannot send us to plain http, nor to a service on this machine by it.
 */
export function permitted(to: URL, from: URL): boolean {
  if (to.username !== "" || to.password !== "") return false;
  if (to.protocol === "https:") return true;
  return to.protocol === "http:" && isLoopback(to.hostname) && from.protocol === "http:";
}

/** Whether a host (as URL writes it) is this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function parse(url: URL, body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw failed(url, "the body is not JSON");
  }
}

/** A failure at an address, as text for logs and /status: no query, no control characters, bounded. */
export function failed(url: URL, what: string): FetchError {
  const text = `${url.origin}${url.pathname}: ${what}`;
  return new FetchError(text.replace(/[^\x20-\x7e]/g, "?").slice(0, LARGEST_MESSAGE));
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return "failed";
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return error.message !== "" ? error.message : (code ?? error.name);
}
