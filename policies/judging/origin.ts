import type { Cors } from "../policies.ts";

/** Where the page is from that has made a browser ask; undefined where no browser says so. */
type Origin = string | undefined;

/**
 * Whether a request was made by a page that may not make it. A browser says whose page it is in `Origin`, whatever that
 * page does, in all requests of other origins but those that a link or an image makes. Who sends none is no page.
 *
 * @param own the origin of the request's own URL
 * @param ambient whether its credential is one that browsers add by themselves, whatever page asks: then even where the
 *   service says nothing of other origins there must be none
 */
export function isForeign(origin: Origin, own: string, cors: Cors | undefined, ambient: boolean): boolean {
  if (origin === undefined || origin === own) return false;
  if (cors === undefined) return ambient;
  if (cors.origins === "any") return ambient || origin === "null";
  return !cors.origins.includes(origin);
}

/**
 * The origin of a URL (RFC 6454, section 4).
 *
 * @param host as the client sent it
 */
export function originOf(scheme: "http" | "https", host: string): string {
  const port = scheme === "https" ? ":443" : ":80";
  const lower = host.toLowerCase();
  return `${scheme}://${lower.endsWith(port) ? lower.slice(0, -port.length) : lower}`;
}
