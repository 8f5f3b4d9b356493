import { isUtf8 } from "node:buffer";
import { exchange } from "./exchange.ts";
import { type Bounds, type HttpAnswer, isLoopback, type Send } from "./fetch.ts";
import { failed } from "./fetch-error.ts";
import { parseObject, parseValue } from "./json.ts";

const MOST_REDIRECTS = 3;

/**
 * A JSON object that a provider publishes: status 200, at most three redirects, each of them to an address that is
 * `permitted`, and one that can be read in one way only. Whoever shows who it is (headers, a client certificate) is not
 * sent elsewhere: then there are no redirects.
 *
 * It ends with the signal of `bounds`, whatever becomes of the request.
 *
 * @param headers of the request, by names in lower case
 * @throws {FetchError} whatever goes wrong
 */
export async function getObject(
  send: Send,
  url: URL,
  bounds: Bounds,
  headers: Readonly<Record<string, string>> = {},
): Promise<Record<string, unknown>> {
  const known = Object.keys(headers).length > 0 || bounds.client !== undefined;
  let at = url;
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const answer = await exchange(send, at, bounds, { headers });
    if (known || !isRedirect(answer.status)) return objectOf(at, answer);
    at = follow(at, answer.headers.location);
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

/**
 * The JSON object that an answer of status 200 holds, where it can be read in one way only.
 *
 * @param url where it was asked for
 * @throws {FetchError} for another status or body
 */
export function objectOf(url: URL, { status, body }: Pick<HttpAnswer, "status" | "body">): Record<string, unknown> {
  if (status !== 200) throw failed(url, `status ${status} instead of 200`);
  const document = parseObject(body);
  if (document !== undefined) return document;
  throw failed(
    url,
    isUtf8(body) && isJson(body)
      ? "the body is not an object, or can be read in two ways: a member twice, say"
      : "the body is not JSON",
  );
}

function isJson(body: Buffer): boolean {
  try {
    JSON.parse(body.toString());
    return true;
  } catch {
    return false;
  }
}

/** Whether a body is JSON of which another reader could make something else: a member twice, a number to be rounded. */
export function isAmbiguous(body: Buffer): boolean {
  return isJson(body) && parseValue(body) === undefined;
}
