import { type CredentialName, isAmbient } from "../../haproxy/credentials.ts";
import { isForeign, originOf } from "../../policies/judging/origin.ts";
import type { Match } from "../../policies/policies.ts";
import type { AuthorizeRequest } from "./request.ts";
import type { Snapshot } from "./snapshot.ts";

/**
 * Whether a page asks that may not: of another origin than the service takes, or of any other than the request's own
 * where a browser has added the credential by itself. A WebSocket's opening is a request like any other.
 *
 * @param credential the kind of the one that was taken; before that is known, only what the service says counts
 */
export function isForeignPage(
  { headers: { origin }, host }: AuthorizeRequest,
  { route: { service }, preflight }: Match,
  { config }: Snapshot,
  credential?: CredentialName,
): boolean {
  if (origin === undefined || preflight) return false;
  const ambient = credential !== undefined && isAmbient(credential);
  return isForeign(origin, originOf(config.haproxy.scheme, host), service.cors, ambient);
}
