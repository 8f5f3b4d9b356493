import { exchange } from "../../../http/exchange.ts";
import type { HttpAnswer, HttpRequest, Send } from "../../../http/fetch.ts";
import { FetchError } from "../../../http/fetch-error.ts";

/** Milliseconds for one answer, and its largest body in bytes. */
const PATIENCE = 10_000;
const LARGEST = 256 * 1024;

/** What was answered, without following redirects; or a sentence that says why nothing was. */
export async function ask(send: Send, url: URL, request: HttpRequest = {}): Promise<HttpAnswer | string> {
  const signal = AbortSignal.timeout(PATIENCE);
  const bounds = { signal, ca: undefined, proxy: undefined, maxSize: LARGEST };
  try {
    return await exchange(send, url, bounds, request);
  } catch (error) {
    if (error instanceof FetchError) return error.message;
    throw error;
  }
}

/** A document as clients read it; or why they do not. */
export function documentIn({ status, headers, body }: HttpAnswer): Readonly<Record<string, unknown>> | string {
  if (status >= 300 && status < 400) return `status ${status}, which clients do not follow`;
  if (status !== 200) return `status ${status} instead of 200`;
  const type = headers["content-type"] ?? "no type";
  try {
    const value: unknown = JSON.parse(body.toString());
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below, with its type: as a rule it is a page.
  }
  return `what is no JSON object (${type})`;
}

/** A member that is a list of texts; empty where it is not. */
export function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((member): member is string => typeof member === "string") : [];
}
