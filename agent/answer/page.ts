import { type CredentialName, isAmbient } from "../../haproxy/credentials.ts";
import { isForeign, originOf } from "../../policies/judging/origin.ts";
import type { Match } from "../../policies/policies.ts";
import type { AuthorizeRequest } from "./request.ts";
import type { Snapshot } from "./snapshot.ts";

/** Methods that change nothing (RFC 9110, section 9.2.1), which links and images use. */
const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);
/** What a browser's `Sec-Fetch-Site` says of the request's own pages and of nobody's (Fetch Metadata); others send none. */
const OWN: ReadonlySet<string | undefined> = new Set([undefined, "same-origin", "none"]);

/**
 * Whether a page asks that may not: of another origin than the service takes, or of any other than the request's own
 * where a browser has added the credential by itself, and may have left out `Origin`. A WebSocket's opening is a request like any other.
 *
 * @param credential the kind of the one that was taken; before that is known, only what the service says counts
 */
export function isForeignPage(
  { headers, host, method }: AuthorizeRequest,
  { route: { service }, preflight }: Match,
  { config }: Snapshot,
  credential?: CredentialName,
): boolean {
  if (preflight) return false;
  const ambient = credential !== undefined && isAmbient(credential);
  const { origin } = headers;
  if (origin === undefined) return ambient && !SAFE.has(method) && !OWN.has(headers["sec-fetch-site"]);
  return isForeign(origin, originOf(config.haproxy.scheme, host), service.cors, ambient);
}
