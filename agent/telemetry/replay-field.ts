import { elsewhere } from "../../policies/claim-path.ts";
import type { Principal } from "../../policies/principal.ts";
import { Unknown } from "../../policies/unknown.ts";
import type { Observation } from "./events.ts";
import { jsonValue } from "./safe-text.ts";

/** Longest field, in characters: a token may hold thousands of groups. A longer one is left out. */
const LONGEST = 8_192;

/**
 * What the policies in force read of a request and its principal, beside what every record has: so that other policies
 * can judge it later. `null` stands for what is unknown, and among claims and headers for what is not there.
 *
 * @returns the field with its comma; empty where it would be too long or is not plain JSON
 */
export function replayField({ tls, headers, principal, reads }: Observation): string {
  const named = Object.fromEntries(reads.requestHeaders.map((name) => [name, headers[name] ?? null]));
  const told = { tls, headers: named, ...(principal === undefined ? {} : ofPrincipal(principal, reads.claims)) };
  const text = jsonValue(told);
  return text === undefined || text.length > LONGEST ? "" : `,"replay":${text}`;
}

function ofPrincipal(principal: Principal, names: readonly string[]): object {
  const { groups, scopes, audiences, claims, arn, uri, bound, authenticatedAt, expiresAt } = principal;
  const away = elsewhere(claims);
  const all = names.includes("*") ? Object.keys(claims) : names;
  // What cannot be told now cannot be told later, and a claim that is null is not quite one that is not there.
  const kept = all.filter((name) => !(away instanceof Unknown) && !away.includes(name) && claims[name] !== null);
  return {
    groups: groups instanceof Unknown ? null : groups,
    scopes: scopes instanceof Unknown ? null : scopes,
    audiences,
    claims: Object.fromEntries(kept.map((name) => [name, Object.hasOwn(claims, name) ? claims[name] : null])),
    arn: arn ?? null,
    uri: uri ?? null,
    bound,
    authenticated_at: authenticatedAt instanceof Unknown ? null : (authenticatedAt ?? null),
    expires_at: expiresAt,
  };
}
