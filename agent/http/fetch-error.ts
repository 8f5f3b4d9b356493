/** Characters of a message. */
const LARGEST = 500;

/** A provider that did not answer as it must. The message names the address without its query and holds nothing secret. */
export class FetchError extends Error {
  override readonly name = "FetchError";
}

/** A failure at an address, as text for logs and /status: no query, no control characters, bounded. */
export function failed(url: URL, what: string): FetchError {
  const text = `${url.origin}${url.pathname}: ${what}`;
  return new FetchError(text.replace(/[^\x20-\x7e]/g, "?").slice(0, LARGEST));
}
