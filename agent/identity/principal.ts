import { type ClaimPath, claimAt, claimPath } from "../../policies/claim-path.ts";
import type { Reason } from "../../policies/decision.ts";
import type { Actor, Kind, Principal } from "../../policies/principal.ts";
import type { OidcIssuer } from "../config.ts";
import { type Claims, expiryOf, isDate, stringsOf } from "./claims.ts";
import type { Pool } from "./pool.ts";

/** Where an issuer's claims stand: each a path of names. */
export interface ClaimPaths {
  readonly subject: ClaimPath;
  readonly groups: ClaimPath;
  readonly scopes: ClaimPath;
  readonly kind: ClaimPath | undefined;
}

const LARGEST_SUBJECT = 1024;
const LONGEST_ACT_CHAIN = 10;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
const NOBODY: readonly Actor[] = Object.freeze([]);

/** Where an issuer's configuration says that its claims stand. */
export function claimPaths(claims: OidcIssuer["claims"]): ClaimPaths {
  return {
    subject: claimPath(claims.subject),
    groups: claimPath(claims.groups),
    scopes: claimPath(claims.scopes),
    kind: claims.kind === undefined ? undefined : claimPath(claims.kind),
  };
}

/**
 * The principal that verified claims describe, or why they describe none.
 *
 * @param verified they become a part of the principal and are frozen
 */
export function principalOf(verified: Claims, issuer: OidcIssuer, paths: ClaimPaths, pool: Pool): Principal | Reason {
  const claims = pool.compact(verified);
  const subject = claimAt(claims, paths.subject);
  if (subject === undefined) return "claim-missing";
  const groups = listOf(claims, paths.groups, stringsOf);
  const scopes = listOf(claims, paths.scopes, scopesOf);
  const kind = kindOf(claims, paths.kind, issuer.kind);
  const actor = actorsOf(claims.act);
  const { exp, aud, auth_time: time = claims.iat } = claims;
  const complete = isSubject(subject) && groups !== undefined && scopes !== undefined && kind !== undefined;
  if (!complete || actor === undefined || !isDate(exp)) return "claim-malformed";
  if (time !== undefined && !isDate(time)) return "claim-malformed";
  return Object.freeze({
    issuer: issuer.name,
    subject,
    kind,
    groups: pool.list(groups),
    scopes: pool.list(scopes),
    audiences: pool.list(stringsOf(aud) ?? []),
    claims,
    actor,
    arn: undefined,
    uri: undefined,
    authenticatedAt: time === undefined ? undefined : time * 1000,
    expiresAt: expiryOf(exp, issuer.clockTolerance),
    bound: "",
  });
}

function isSubject(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= LARGEST_SUBJECT && !CONTROL.test(value);
}

function listOf(
  claims: Claims,
  path: ClaimPath,
  read: (value: unknown) => readonly string[] | undefined,
): readonly string[] | undefined {
  const value = claimAt(claims, path);
  if (value !== undefined) return read(value);
  return isElsewhere(claims, path) ? undefined : [];
}

/**
 * OpenID Connect Core 1.0, section 5.6.2: the issuer has the claim, but not in this token (Entra ID does so with many
 * groups). Unknown is not none: a rule that denies a group would be passed by.
 */
function isElsewhere(claims: Claims, [name = ""]: ClaimPath): boolean {
  const names = claims._claim_names;
  return typeof names === "object" && names !== null && Object.hasOwn(names, name);
}

/** RFC 6749, section 3.3: separated by spaces; some issuers write a list. */
function scopesOf(value: unknown): readonly string[] | undefined {
  if (typeof value !== "string") return stringsOf(value);
  return value.split(" ").filter((scope) => scope !== "");
}

function kindOf(claims: Claims, path: ClaimPath | undefined, otherwise: Kind): Kind | undefined {
  const value = path === undefined ? undefined : claimAt(claims, path);
  if (value === undefined) return path !== undefined && isElsewhere(claims, path) ? undefined : otherwise;
  return value === "person" || value === "workload" || value === "agent" ? value : undefined;
}

/** RFC 8693, section 4.1: the current actor, and within it those before. */
function actorsOf(act: unknown): readonly Actor[] | undefined {
  if (act === undefined) return NOBODY;
  const actors: Actor[] = [];
  for (let actor: unknown = act; actor !== undefined; actor = (actor as Claims).act) {
    if (typeof actor !== "object" || actor === null || actors.length === LONGEST_ACT_CHAIN) return undefined;
    const { sub, iss } = actor as Claims;
    if (!isSubject(sub) || !(iss === undefined || typeof iss === "string")) return undefined;
    actors.push(Object.freeze({ subject: sub, issuer: iss }));
  }
  return Object.freeze(actors);
}
