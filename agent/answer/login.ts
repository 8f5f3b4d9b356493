import { isSession } from "../../haproxy/places.ts";
import { type Decision, statusOf } from "../../policies/decision.ts";
import type { Match } from "../../policies/policies.ts";
import type { SessionsConfig } from "../config/config.ts";
import { Steps } from "../identity/session/step.ts";
import { isOfLogin } from "./challenge.ts";
import type { AuthorizeRequest } from "./request.ts";
import type { Snapshot } from "./snapshot.ts";

/** Hosts that people log in at, by the origins of a configuration. */
const HOSTS = new WeakMap<readonly string[], ReadonlySet<string>>();

/**
 * A refusal as it is; or with the verdict `login`, where it is for want of a good credential and a browser could get one
 * by a login. Whoever has shown a credential of another kind is no browser, and whoever is known and may not is not sent
 * to log in: it would change nothing.
 */
export function offeringLogin(
  decision: Decision,
  request: AuthorizeRequest,
  { config }: Snapshot,
  match: Match | undefined,
): Decision {
  if (config.sessions === undefined || match === undefined || statusOf(decision.reason) !== 401) return decision;
  if (request.credential !== undefined && !isSession(request.credential)) return decision;
  const offered = match.route.needs.credentials.some(isSession) && hostsOf(config.sessions.origins).has(match.host);
  if (!offered) return decision;
  if (!isOfLogin(decision.reason)) return { ...decision, verdict: "login" };
  // The same login again would change nothing: the provider is asked for another.
  request.step = stepFor(config.sessions, match, request.time);
  return request.step === undefined ? decision : { ...decision, verdict: "login" };
}

const STEPS = new WeakMap<SessionsConfig, Steps>();

function stepFor(sessions: SessionsConfig, { route }: Match, now: number): string | undefined {
  const { stepUp } = route.asks;
  if (stepUp === undefined) return undefined;
  const steps = STEPS.get(sessions) ?? new Steps(sessions);
  STEPS.set(sessions, steps);
  const { acr, maxAge } = stepUp;
  return steps.seal({ acr, maxAge: maxAge === undefined ? undefined : Math.floor(maxAge / 1000) }, now);
}

function hostsOf(origins: readonly string[]): ReadonlySet<string> {
  const known = HOSTS.get(origins);
  if (known !== undefined) return known;
  const hosts = new Set(origins.map((origin) => new URL(origin).hostname));
  HOSTS.set(origins, hosts);
  return hosts;
}
