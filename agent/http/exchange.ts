import type { Bounds, HttpAnswer, HttpRequest, Send } from "./fetch.ts";
import { FetchError, failed } from "./fetch-error.ts";

/**
 * One request and its answer, whatever its status and without redirects.
 *
 * It ends with the signal of `bounds`, whatever becomes of what was sent.
 *
 * @throws {FetchError} whatever goes wrong; it tells of the request no more than the address
 */
export function exchange(send: Send, url: URL, bounds: Bounds, request: HttpRequest = {}): Promise<HttpAnswer> {
  return inTime(send(url, bounds, request), bounds.signal).catch((error: unknown) => {
    throw failed(url, bounds.signal.aborted ? "no answer in time" : textOf(error));
  });
}

/** The limit does not rest on what it limits: an exchange that never settles is left. */
function inTime<T>(sent: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(new FetchError("no answer in time"));
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
    sent.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return "failed";
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return error.message !== "" ? error.message : (code ?? error.name);
}
