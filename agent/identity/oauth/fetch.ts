import { isAmbiguous } from "../../http/document.ts";
import { exchange } from "../../http/exchange.ts";
import type { Bounds, Send } from "../../http/fetch.ts";
import { failed } from "../../http/fetch-error.ts";

/** What oauth4webapi sends its requests by. */
export type ClientFetch = (url: string, request: ClientRequest) => Promise<Response>;

interface ClientRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** Answers that have no body, and that a Response holds to it (Fetch, section 2.2.3). */
const BODILESS: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);

/**
 * oauth4webapi's way to an authorization server: ours, with our bounds and without redirects. It sends a form or nothing,
 * and of two members with one name it would take the last: what can be read in two ways is no answer.
 *
 * @param reads the statuses whose body is read
 */
export function fetchBy(send: Send, bounds: Bounds, reads: readonly number[]): ClientFetch {
  return async (url, { method, headers, body }) => {
    const form = body instanceof URLSearchParams ? { body: body.toString() } : {};
    const request = { method: method === "POST" ? method : "GET", headers, reads, ...form } as const;
    const answer = await exchange(send, new URL(url), bounds, request);
    if (isAmbiguous(answer.body)) throw failed(new URL(url), "the body can be read in two ways: a member twice, say");
    const told = Object.entries(answer.headers).flatMap(([name, values = []]) =>
      [values].flat().map((value): [string, string] => [name, value]),
    );
    if (answer.status < 200 || answer.status > 599) return Response.error();
    return new Response(BODILESS.has(answer.status) ? null : new Uint8Array(answer.body), {
      status: answer.status,
      headers: told,
    });
  };
}
