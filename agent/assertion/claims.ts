import { hash } from "node:crypto";
import type { Decision, Reason } from "../../policies/decision.ts";
import type { Actor, Principal } from "../../policies/principal.ts";
import type { PolicyRequest } from "../../policies/request.ts";
import { Unknown } from "../../policies/unknown.ts";
import type { AssertionConfig } from "../config/config.ts";

/** An allowed request, as it is asserted. */
export interface Asserted {
  readonly principal: Principal;
  readonly decision: Pick<Decision, "roles">;
  /** Name of the service in the policies. */
  readonly service: string;
  /** As judged. */
  readonly request: Pick<PolicyRequest, "method" | "host" | "path" | "time"> & { readonly id: string };
}

/** RFC 8693, section 4.1: the present actor, and within it the one before. */
interface Act {
  readonly sub: string;
  readonly iss?: string;
  readonly act?: Act;
}

/**
 * The claims of an assertion as JSON: who asks (RFC 7519; `client_id`, `scope` and `act` as in RFC 8693), for which
 * service, and for which request. `path` is a SHA-256 in base64url: a log that has the assertion tells no path by it.
 *
 * @returns the text; or a reason where what it is to tell is not known, or cannot be told so
 */
export function claimsText(
  { principal, decision, service, request }: Asserted,
  { issuer, lifetime, claims }: Pick<AssertionConfig, "issuer" | "lifetime" | "claims">,
): { readonly text: string } | { readonly reason: Reason } {
  const { groups, scopes, actor, kind, client } = principal;
  const told = {
    groups: claims.includes("groups") ? groups : undefined,
    roles: claims.includes("roles") ? decision.roles : undefined,
    scopes: claims.includes("scopes") ? scopes : undefined,
    actor: claims.includes("act") ? actor : undefined,
  };
  for (const value of Object.values(told)) if (value instanceof Unknown) return { reason: "claim-unknown" };
  // RFC 6749, section 3.3: none has a space in it.
  if (known(told.scopes)?.some((scope) => scope.includes(" "))) return { reason: "header-error" };
  const text = JSON.stringify({
    iss: issuer,
    sub: principal.subject,
    aud: service,
    iat: Math.floor(request.time / 1000),
    exp: Math.floor((request.time + lifetime) / 1000),
    jti: request.id,
    idp: principal.issuer,
    kind: known(kind),
    client_id: known(client),
    groups: known(told.groups),
    roles: known(told.roles),
    scope: known(told.scopes)?.join(" "),
    act: actOf(known(told.actor) ?? []),
    request: { method: request.method, host: request.host, path: pathDigest(request.path) },
  });
  return { text };
}

/** Of the path's bytes as they came, which are latin1 here. */
function pathDigest(path: string): string {
  return hash("sha256", Buffer.from(path, "latin1"), "base64url");
}

function known<Value>(value: Value | Unknown): Value | undefined {
  return value instanceof Unknown ? undefined : value;
}

function actOf([first, ...before]: readonly Actor[]): Act | undefined {
  if (first === undefined) return undefined;
  const act = actOf(before);
  return { sub: first.subject, ...(first.issuer && { iss: first.issuer }), ...(act && { act }) };
}
