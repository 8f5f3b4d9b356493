import { type ClaimPath, claimAt, claimPath } from "../../policies/claim-path.ts";
import type { Actor, Kind, Principal } from "../../policies/principal.ts";
import type { OidcIssuer } from "../config.ts";
import { type Claims, expiryOf, isDate, malformed, missing, stringsOf } from "./claims.ts";
import type { Pool } from "./pool.ts";
import type { Refusal } from "./refusal.ts";

/** Where an issuer's claims stand: each a path of names. */
export interface ClaimPaths {
  readonly subject: ClaimPath;
  readonly groups: ClaimPath;
  readonly scopes: ClaimPath;
  readonly kind: ClaimPath | undefined;
  /** The first that is there counts. */
  readonly client: readonly ClaimPath[];
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
    // OpenID Connect Core 1.0, section 2; RFC 9068, section 2.2.
    client: claims.client === undefined ? [["azp"], ["client_id"]] : [claimPath(claims.client)],
  };
}

/**
 * The principal that verified claims describe, or why they describe none.
 *
 * @param verified they become a part of the principal and are frozen
 */
export function principalOf(verified: Claims, issuer: OidcIssuer, paths: ClaimPaths, pool: Pool): Principal | Refusal {
  const claims = pool.compact(verified);
  const subject = claimAt(claims, paths.subject);
  const names = issuer.claims;
  if (subject === undefined) return missing(names.subject);
  if (!isSubject(subject)) return malformed(names.subject);
  const groups = listOf(claims, paths.groups, stringsOf);
  const scopes = listOf(claims, paths.scopes, scopesOf);
  const kind = kindOf(claims, paths.kind, issuer.kind);
  const client = clientOf(claims, paths.client);
  const actor = actorsOf(claims.act);
  const { exp, aud, auth_time: time = claims.iat } = claims;
  if (groups === undefined) return malformed(names.groups);
  if (scopes === undefined) return malformed(names.scopes);
  if (kind === undefined) return malformed(names.kind ?? "kind");
  if (typeof client === "object") return client;
  if (actor === undefined) return malformed("act");
  if (!isDate(exp)) return malformed("exp");
  if (time !== undefined && !isDate(time)) return malformed("auth_time");
  return Object.freeze({
    issuer: issuer.name,
    subject,
    kind,
    groups: pool.list(groups),
    scopes: pool.list(scopes),
    audiences: pool.list(stringsOf(aud) ?? []),
    claims,
    client,
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

function clientOf(claims: Claims, paths: readonly ClaimPath[]): string | undefined | Refusal {
  for (const path of paths) {
    const value = claimAt(claims, path);
    if (value !== undefined && value !== null) return isSubject(value) ? value : malformed(path.join("."));
  }
  return undefined;
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
