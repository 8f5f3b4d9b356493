import { isSession } from "../../haproxy/places.ts";
import { type Decision, type Reason, statusOf } from "../../policies/decision.ts";
import type { Match } from "../../policies/policies.ts";
import type { AuthorizeRequest } from "./request.ts";
import type { Snapshot } from "./snapshot.ts";

/** Hosts that people log in at, by the origins of a configuration. */
const HOSTS = new WeakMap<readonly string[], ReadonlySet<string>>();

/** What the same login again would not cure: these are told by a challenge. */
const ASKED_OTHERWISE: ReadonlySet<Reason> = new Set(["authentication-weak", "authentication-old"]);

/**
 * A refusal as it is; or with the verdict `login`, where it is for want of a good credential and a browser could get one
 * by a login. Whoever has shown a credential of another kind is no browser, and whoever is known and may not is not sent
 * to log in: it would change nothing.
 */
export function offeringLogin(
  decision: Decision,
  { credential }: AuthorizeRequest,
  { config }: Snapshot,
  match: Match | undefined,
): Decision {
  if (config.sessions === undefined || match === undefined || statusOf(decision.reason) !== 401) return decision;
  if ((credential !== undefined && !isSession(credential)) || ASKED_OTHERWISE.has(decision.reason)) return decision;
  const offered = match.route.needs.credentials.some(isSession) && hostsOf(config.sessions.origins).has(match.host);
  return offered ? { ...decision, verdict: "login" } : decision;
}

function hostsOf(origins: readonly string[]): ReadonlySet<string> {
  const known = HOSTS.get(origins);
  if (known !== undefined) return known;
  const hosts = new Set(origins.map((origin) => new URL(origin).hostname));
  HOSTS.set(origins, hosts);
  return hosts;
}
