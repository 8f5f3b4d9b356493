import { type Bounds, FetchError, type Get, type Got, isLoopback } from "./fetch.ts";
import { parseObject } from "./json.ts";

const MOST_REDIRECTS = 3;
const LARGEST_MESSAGE = 500;

/**
 * A JSON object that a provider publishes: status 200, at most three redirects, each of them to an address that is
 * `permitted`, and one that can be read in one way only.
 *
 * It ends with the signal of `bounds`, whatever becomes of the GET.
 *
 * @throws {FetchError} whatever goes wrong
 */
export async function getObject(get: Get, url: URL, bounds: Bounds): Promise<Record<string, unknown>> {
  let at = url;
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const got = await inTime(get(at, bounds), bounds.signal).catch((error: unknown) => {
      throw failed(at, bounds.signal.aborted ? "no answer in time" : textOf(error));
    });
    if (got.status === 200) return parse(at, got.body);
    if (!isRedirect(got.status)) throw failed(at, `status ${got.status} instead of 200`);
    at = follow(at, got.location);
  }
  throw failed(url, `more than ${MOST_REDIRECTS} redirects`);
}

/** The limit does not rest on what it limits: a GET that never settles is left. */
function inTime(getting: Promise<Got>, signal: AbortSignal): Promise<Got> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(new FetchError("no answer in time"));
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
    getting.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
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

function parse(url: URL, body: Buffer): Record<string, unknown> {
  const document = parseObject(body);
  if (document !== undefined) return document;
  throw failed(
    url,
    isJson(body)
      ? "the body is not an object, or can be read in two ways: a member twice, say"
      : "the body is not JSON",
  );
}

function isJson(body: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    return true;
  } catch {
    return false;
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
