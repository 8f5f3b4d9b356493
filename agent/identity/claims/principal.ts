import { isMapping } from "../../../policies/claim-path.ts";
import type { Actor, Kind, Principal } from "../../../policies/principal.ts";
import { typeName, Unknown } from "../../../policies/unknown.ts";
import type { ClaimPlace, ClaimsIssuer } from "../../config/config.ts";
import type { Refusal } from "../issuer/refusal.ts";
import { type Claims, expiryOf, isDate, malformed, missing, stringsOf } from "./claims.ts";
import { boundBy } from "./confirmation.ts";
import { KindRules } from "./kind.ts";
import type { Pool } from "./pool.ts";
import { nameOf, type Sources, sourcesOf, valueAt } from "./sources.ts";

/** Where an issuer's claims stand, and by which of them a kind is told. */
export interface ClaimPaths {
  readonly subject: Sources;
  readonly groups: Sources;
  readonly scopes: Sources;
  readonly audience: Sources;
  /** Empty where no claim says it. */
  readonly kind: Sources;
  readonly client: Sources;
  readonly kindRules: KindRules;
}

const ACTOR = sourcesOf("act");
/** OpenID Connect Core 1.0, section 2; RFC 9068, section 2.2. */
const CLIENT: ClaimPlace = { first: ["azp", "client_id"] };
/** The login, or else the issue. */
const AUTHENTICATED_AT = sourcesOf({ first: ["auth_time", "iat"] });
const LARGEST_SUBJECT = 1024;
const LONGEST_ACT_CHAIN = 10;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
const NOBODY: readonly Actor[] = Object.freeze([]);
const NONE: readonly string[] = Object.freeze([]);

/** Where an issuer's configuration says that its claims stand. */
export function claimPaths(issuer: Pick<ClaimsIssuer, "claims" | "kind" | "kindRules">): ClaimPaths {
  const { claims } = issuer;
  return {
    subject: sourcesOf(claims.subject),
    groups: sourcesOf(claims.groups),
    scopes: sourcesOf(claims.scopes),
    audience: sourcesOf(claims.audience),
    kind: claims.kind === undefined ? [] : sourcesOf(claims.kind),
    client: sourcesOf(claims.client ?? CLIENT),
    kindRules: new KindRules(issuer),
  };
}

/**
 * The principal that verified claims describe, or why they describe none. Only what proves something can refuse; the
 * rest is Unknown where it cannot be read, for the rules that need it to refuse.
 *
 * @param verified they become a part of the principal and are frozen
 */
export function principalOf(
  verified: Claims,
  issuer: ClaimsIssuer,
  paths: ClaimPaths,
  pool: Pool,
): Principal | Refusal {
  const claims = pool.compact(verified);
  const subject = valueAt(claims, paths.subject);
  if (subject === undefined) return missing(nameOf(paths.subject));
  const { exp } = claims;
  if (!isSubject(subject)) return malformed(nameOf(paths.subject));
  if (!isDate(exp)) return malformed("exp");
  const listed = (list: readonly string[]) => pool.list(list);
  const actor = actorsIn(claims, paths);
  if (actor === undefined) return { reason: "actor-malformed", claim: nameOf(ACTOR) };
  const time = read(claims, AUTHENTICATED_AT, undefined, dateOf, "a date in seconds");
  return Object.freeze({
    issuer: issuer.name,
    subject,
    kind: saidKind(claims, paths) ?? paths.kindRules.of(claims),
    groups: mapped(read(claims, paths.groups, NONE, textsOf, "texts"), listed),
    scopes: mapped(read(claims, paths.scopes, NONE, scopesOf, "texts"), listed),
    audiences: pool.list(stringsOf(valueAt(claims, paths.audience)) ?? []),
    claims,
    client: read(claims, paths.client, undefined, clientOf, "a text"),
    actor,
    arn: undefined,
    uri: undefined,
    authenticatedAt: time,
    expiresAt: expiryOf(exp, issuer.clockTolerance),
    bound: boundBy(claims.cnf),
  });
}

function mapped<T>(value: T | Unknown, change: (value: T) => T): T | Unknown {
  return value instanceof Unknown ? value : change(value);
}

/** @param otherwise what counts where there is no such claim */
function read<T, N extends T | undefined>(
  claims: Claims,
  sources: Sources,
  otherwise: N,
  as: (value: unknown) => T | undefined,
  expected: string,
): T | N | Unknown {
  const value = valueAt(claims, sources);
  if (value === undefined) return otherwise;
  if (value instanceof Unknown) return value;
  return as(value) ?? unreadable(sources, value, expected);
}

function unreadable(sources: Sources, value: unknown, expected: string): Unknown {
  return new Unknown(nameOf(sources), `${typeName(value)} that cannot be read; expected ${expected}`);
}

function isSubject(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= LARGEST_SUBJECT && !CONTROL.test(value);
}

/** A list of texts, or one. `null` in it counts as none. */
function textsOf(value: unknown): readonly string[] | undefined {
  const texts = stringsOf(value);
  return texts === undefined && Array.isArray(value) ? stringsOf(value.filter((member) => member !== null)) : texts;
}

/** RFC 6749, section 3.3: separated by spaces; some issuers write a list. */
function scopesOf(value: unknown): readonly string[] | undefined {
  if (typeof value !== "string") return textsOf(value);
  return value.split(" ").filter((scope) => scope !== "");
}

function kindOf(value: unknown): Kind | undefined {
  return value === "person" || value === "workload" || value === "agent" ? value : undefined;
}

function clientOf(value: unknown): string | undefined {
  return isSubject(value) ? value : undefined;
}

function dateOf(value: unknown): number | undefined {
  return isDate(value) ? value * 1000 : undefined;
}

/** What a claim says of the kind, where one is configured. */
function saidKind(claims: Claims, { kind }: ClaimPaths): Kind | Unknown | undefined {
  return read(claims, kind, undefined, kindOf, "`person`, `workload` or `agent`");
}

/**
 * RFC 8693, section 4.1: the current actor, and within it those before; undefined where that cannot be read. Somebody
 * acts then, and nobody could tell who: a token that says so proves nothing. `may_act` is not looked at: it says who
 * might, not who does.
 */
function actorsIn(claims: Claims, paths: ClaimPaths): Principal["actor"] | undefined {
  const act = valueAt(claims, ACTOR);
  if (act === undefined) return NOBODY;
  if (act instanceof Unknown) return act;
  const actors: Actor[] = [];
  for (let actor: unknown = act; actor !== undefined && actor !== null; actor = actor.act) {
    if (!isMapping(actor) || actors.length === LONGEST_ACT_CHAIN) return undefined;
    const { sub, iss } = actor;
    if (!isSubject(sub) || !(iss === undefined || iss === null || isSubject(iss))) return undefined;
    const kind = saidKind(actor, paths) ?? paths.kindRules.ruled(actor);
    actors.push(Object.freeze({ subject: sub, issuer: iss ?? undefined, ...(kind !== undefined && { kind }) }));
  }
  return Object.freeze(actors);
}
