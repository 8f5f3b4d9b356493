import type { NoForm } from "../form.ts";

/** What the agent answers a browser. */
export interface Answer {
  readonly status: number;
  /** By names in lower case; several lines of one name are a list. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string;
}

/** A request of a browser, as far as anything here looks at it. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** One of the configuration's, by the Host header. */
  readonly origin: URL;
  readonly cookies: ReadonlyMap<string, string>;
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** What it brings, where that is read, or why not. */
  readonly form?: URLSearchParams | NoForm | undefined;
}

/** @param ancestors who may have it in a frame */
function policy(ancestors: string): string {
  return `default-src 'none'; style-src 'self'; frame-ancestors ${ancestors}; base-uri 'none'; form-action 'self'`;
}

/** Nothing is kept by anybody, nothing is run, nobody frames it, and nobody is told where it led. */
const GUARDED = {
  "cache-control": "no-store",
  "content-security-policy": policy("'none'"),
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** The browser asks there next, by GET. @param cookies Set-Cookie lines */
export function redirect(location: string, cookies: readonly string[] = []): Answer {
  return { status: 303, headers: { ...GUARDED, location, "set-cookie": cookies }, body: "" };
}

/** How pages look: nobody's secret, and the same for all. */
export function css(body: string): Answer {
  const headers = { ...GUARDED, "content-type": "text/css; charset=utf-8", "cache-control": "public, max-age=300" };
  return { status: 200, headers, body };
}

/** A page. @param body HTML, in which nothing is unescaped that was not written here */
export function html(status: number, body: string, headers: Answer["headers"] = {}): Answer {
  return { status, headers: { ...GUARDED, "content-type": "text/html; charset=utf-8", ...headers }, body };
}

/** An answer that pages of these origins may have in a frame, and no others. */
export function framedBy(origins: readonly string[], { status, headers, body }: Answer): Answer {
  return { status, headers: { ...headers, "content-security-policy": policy(origins.join(" ")) }, body };
}

/** To a provider's own question, which no person reads. @param why not, with a status other than 200 */
export function toldProvider(status: number, why?: string): Answer {
  const headers = { ...GUARDED, "content-type": "application/json", ...(status === 503 ? { "retry-after": "5" } : {}) };
  const error = status === 503 ? "temporarily_unavailable" : "invalid_request";
  const told = why === undefined ? {} : { error, error_description: why };
  return { status, headers, body: `${JSON.stringify(told)}\n` };
}
