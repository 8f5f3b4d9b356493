import { importKey, type Key, type Unused, unusedOf } from "../jwt/key.ts";

/** What an issuer's JWKS holds for its tokens. */
export interface Jwks {
  /** Without two that are the same; among them those that are too weak, so that a token of theirs is told so. */
  readonly keys: readonly Key[];
  /** Members that no token can be checked with. */
  readonly unused: readonly Unused[];
}

const MOST_KEYS = 100;
/** Members that a message names. */
const MOST_NAMED = 3;
const LONGEST_KID = 40;

/**
 * Reads a JWKS (RFC 7517, section 5).
 *
 * @param document what the provider wrote
 * @param algorithms the issuer's
 * @returns what is wrong where it is none, or holds more keys than allowed
 */
export function readJwks(document: Readonly<Record<string, unknown>>, algorithms: readonly string[]): Jwks | string {
  const members: unknown = document.keys;
  if (!Array.isArray(members)) return "the document is not a JWKS";
  if (members.length > MOST_KEYS) return `more than ${MOST_KEYS} keys`;
  const keys = new Map<string, Key>();
  const unused: Unused[] = [];
  for (const member of members) {
    const key = importKey(member, algorithms);
    const not = "why" in key ? key : unusedOf(key);
    if (not !== undefined) unused.push(not);
    if ("fingerprint" in key) keys.set(key.fingerprint, key);
  }
  return { keys: [...keys.values()], unused };
}

/**
 * Why a JWKS has no key that a token can be checked with, which says it of the first of its members; undefined where it
 * has one: only then may it take the place of the one before.
 */
export function unusable({ keys, unused }: Jwks): string | undefined {
  if (keys.some(({ algorithms }) => algorithms.size > 0)) return undefined;
  const named = unused.slice(0, MOST_NAMED).map(({ kid, why }) => `${shown(kid)}: ${why}`);
  const members = unused.length === 0 ? "it is empty" : named.join("; ");
  return `the JWKS has no key that can be used (${members})`;
}

/**
 * The members of a JWKS that a token can be checked with, as they are, for who reads them with other means.
 *
 * @returns what is wrong where there is none
 */
export function usableMembers(
  document: Readonly<Record<string, unknown>>,
  algorithms: readonly string[],
): readonly unknown[] | string {
  const jwks = readJwks(document, algorithms);
  const problem = typeof jwks === "string" ? jwks : unusable(jwks);
  if (problem !== undefined || !Array.isArray(document.keys)) return problem ?? "";
  return document.keys.filter((member) => {
    const key = importKey(member, algorithms);
    return "fingerprint" in key && unusedOf(key) === undefined;
  });
}

function shown(kid: string | undefined): string {
  return kid === undefined ? "a key without kid" : `key ${JSON.stringify(kid.slice(0, LONGEST_KID))}`;
}
