import { kindsOf } from "../../haproxy/credentials.ts";
import { type Decision, type Reason, statusOf } from "../../policies/decision.ts";
import type { StepUp } from "../../policies/judging/step-up.ts";
import type { Match, Route } from "../../policies/policies.ts";
import type { Config } from "../config/config.ts";

/** Bytes of a challenge, and of one that names a resource's metadata. It bounds the ACK; past it scopes are left out first. */
const LARGEST = 512;
const LARGEST_OF_RESOURCE = 1024;

/** Largest challenge in bytes of a route. */
export function largestChallenge({ resource }: Pick<Route, "resource">): number {
  return resource === undefined ? LARGEST : LARGEST_OF_RESOURCE;
}

/**
 * The WWW-Authenticate value of a refusal, or `undefined` where a credential would not help: a challenge for each scheme
 * whose credentials the route takes (RFC 9110, section 11.6.1; RFC 6750, section 3).
 *
 * It says what the client must do and nothing about why a token failed: the reason code stands in the answer's body
 * and in the decision log. A request without a credential gets no error code (RFC 6750, section 3.1). Clients search the
 * whole value for each parameter: those that they look for stand first.
 */
export function challengeOf(
  decision: Decision,
  match: Match | undefined,
  { dpop }: Pick<Config, "dpop">,
): string | undefined {
  const missing = decision.reason === "scope-missing";
  if (match === undefined || !(missing || statusOf(decision.reason) === 401)) return undefined;
  const { route, host } = match;
  const limit = largestChallenge(route);
  const scope = scopeOf(decision, route);
  const error = errorOf(decision.reason);
  const login = loginOf(decision.reason, route.asks.stepUp);
  let challenge: string | undefined;
  for (const scheme of schemesOf(route.needs.credentials, decision.reason)) {
    const isFirst = challenge === undefined;
    const parameters = (...less: readonly string[]) =>
      [
        // The host is one as judged, a host name or address literal, so it needs no quoting.
        isFirst && route.resource !== undefined ? `resource_metadata="${route.resource.metadata}"` : `realm="${host}"`,
        scheme === DPOP ? `algs="${dpop.algorithms.join(" ")}"` : "",
        scope,
        error,
        login,
      ]
        .filter((parameter) => parameter !== "" && !less.includes(parameter))
        .join(", ");
    const before = isFirst ? "" : `${challenge}, `;
    const whole = [parameters(), parameters(scope), parameters(scope, login)].map((all) => `${before}${scheme} ${all}`);
    challenge = whole.find(({ length }) => length <= limit) ?? challenge;
  }
  return challenge;
}

/** All that a token needs for this request, and what every client of the resource should have: it replaces the one before. */
function scopeOf({ reason, scopes }: Decision, { asks, resource }: Route): string {
  const needed = reason === "scope-missing" ? scopes : asks.scopes;
  const all = [...new Set([...needed, ...(resource?.scopes ?? [])])];
  return all.length === 0 ? "" : `scope="${all.join(" ")}"`;
}

const DPOP = "DPoP";

/** What RFC 9449, sections 7.1 and 9, calls what is wrong with a proof; another scheme would not help then. */
const PROOF_ERRORS: Partial<Record<Reason, string>> = {
  "proof-missing": "invalid_dpop_proof",
  "proof-malformed": "invalid_dpop_proof",
  "proof-invalid": "invalid_dpop_proof",
  "proof-mismatch": "invalid_dpop_proof",
  "proof-stale": "invalid_dpop_proof",
  "proof-replayed": "invalid_dpop_proof",
  "proof-nonce": "use_dpop_nonce",
  "token-bound": "invalid_token",
};

const ONLY_DPOP: ReadonlySet<string> = new Set([DPOP]);

/** Of the kinds of a route; whoever tries many tokens is refused as often. */
const SCHEMES = new WeakMap<readonly string[], ReadonlySet<string>>();

/** In the order of the table, each once. */
function schemesOf(kinds: readonly string[], reason: Reason): ReadonlySet<string> {
  if (Object.hasOwn(PROOF_ERRORS, reason) && kinds.includes("dpop")) return ONLY_DPOP;
  const known = SCHEMES.get(kinds);
  if (known !== undefined) return known;
  const schemes = new Set(kindsOf(kinds).flatMap(({ scheme }) => scheme ?? []));
  SCHEMES.set(kinds, schemes);
  return schemes;
}

/** What RFC 9470, section 3, calls a login that is too weak or too old. */
const LOGIN = "insufficient_user_authentication";

function errorOf(reason: Reason): string {
  if (reason === "credential-missing") return "";
  if (reason === "scope-missing") return 'error="insufficient_scope"';
  return `error="${isOfLogin(reason) ? LOGIN : (PROOF_ERRORS[reason] ?? "invalid_token")}"`;
}

/** Whether another login would do, where this one does not (RFC 9470, section 3). */
export function isOfLogin(reason: Reason): boolean {
  return reason === "authentication-weak" || reason === "authentication-old";
}

/** How to log in, all of it at once: `max_age` in seconds. */
function loginOf(reason: Reason, stepUp: StepUp | undefined): string {
  if (stepUp === undefined || !isOfLogin(reason)) return "";
  const { acr, maxAge } = stepUp;
  const parameters = [
    acr.length === 0 ? "" : `acr_values="${acr.join(" ")}"`,
    maxAge === undefined ? "" : `max_age="${maxAge / 1000}"`,
  ];
  return parameters.filter((parameter) => parameter !== "").join(", ");
}
