import { claimAt } from "../../../policies/claim-path.ts";
import { Unknown } from "../../../policies/unknown.ts";
import type { BindingConfig, ClaimsIssuer } from "../../config/config.ts";
import type { Refusal } from "../issuer/refusal.ts";
import { type ClaimTest, claimTest } from "./claim-test.ts";
import { confirmationOf } from "./confirmation.ts";
import { nameOf, type Sources, sourcesOf, valueAt } from "./sources.ts";

/** Claims as a token holds them. */
export type Claims = Readonly<Record<string, unknown>>;

/** The largest date that JavaScript knows, in seconds. */
const LATEST = 8_640_000_000_000;

/** What a token's claims are held to. */
export interface Expectations extends BindingConfig {
  readonly audiences: readonly string[];
  /** Where the audience stands. */
  readonly audience: Sources;
  readonly required: readonly ClaimTest[];
  /** Milliseconds. */
  readonly clockTolerance: number;
}

/** What an issuer's configuration says that its tokens are held to. */
export function expectationsOf(issuer: ClaimsIssuer): Expectations {
  const { audiences, claims, require, proofs, unbound, clockTolerance } = issuer;
  const required = require.map(claimTest);
  return { audiences, audience: sourcesOf(claims.audience), required, proofs, unbound, clockTolerance };
}

/**
 * Why its claims refuse a token at an instant, the registered ones (RFC 7519, section 4.1) and those that its issuer's
 * configuration asks for; undefined where they do not.
 *
 * It is asked before the signature is checked, since it costs less, and nothing else is concluded from these claims
 * before that.
 *
 * @param now milliseconds since the epoch
 */
export function faultOf(claims: Claims, expected: Expectations, now: number): Refusal | undefined {
  return (
    timesFault(claims, expected.clockTolerance, now) ??
    audienceFault(claims, expected) ??
    requirementFault(claims, expected.required) ??
    bindingFault(claims, expected)
  );
}

function timesFault({ exp, nbf, iat }: Claims, tolerance: number, now: number): Refusal | undefined {
  if (exp === undefined) return missing("exp");
  if (!isDate(exp)) return malformed("exp");
  if (!isDateOrNone(nbf)) return malformed("nbf");
  if (!isDateOrNone(iat)) return malformed("iat");
  if (now >= expiryOf(exp, tolerance)) return { reason: "token-expired", claim: "exp" };
  const latest = now + tolerance;
  if ((nbf ?? 0) * 1000 > latest) return { reason: "token-not-yet-valid", claim: "nbf" };
  return (iat ?? 0) * 1000 > latest ? { reason: "token-not-yet-valid", claim: "iat" } : undefined;
}

/**
 * The instant from which a token is refused as expired.
 *
 * @param exp seconds since the epoch
 * @param tolerance milliseconds
 * @returns milliseconds since the epoch
 */
export function expiryOf(exp: number, tolerance: number): number {
  return exp * 1000 + tolerance;
}

/** RFC 7519, section 4.1.3. An audience is always required: without one a token for anybody else would do. */
function audienceFault(claims: Claims, { audience, audiences }: Expectations): Refusal | undefined {
  const value = valueAt(claims, audience);
  if (value === undefined) return missing(nameOf(audience));
  const named = stringsOf(value);
  if (named === undefined) return malformed(nameOf(audience));
  const fits = named.some((each) => audiences.includes(each));
  return fits ? undefined : { reason: "audience-not-accepted", claim: nameOf(audience) };
}

/** Why the claims that an issuer's configuration asks for refuse a credential; undefined where they do not. */
export function requirementFault(claims: Claims, required: readonly ClaimTest[]): Refusal | undefined {
  for (const test of required) {
    const holds = test.holds(claims);
    if (holds === true) continue;
    const claim = test.path.text;
    if (holds instanceof Unknown) return malformed(claim);
    return claimAt(claims, test.path) === undefined ? missing(claim) : { reason: "claim-not-accepted", claim };
  }
  return undefined;
}

function bindingFault(claims: Claims, expected: BindingConfig): Refusal | undefined {
  const confirmation = confirmationOf(claims, expected);
  return confirmation !== undefined && "reason" in confirmation ? confirmation : undefined;
}

/** @param claim its name */
export function missing(claim: string): Refusal {
  return { reason: "claim-missing", claim };
}

/** @param claim its name */
export function malformed(claim: string): Refusal {
  return { reason: "claim-malformed", claim };
}

/** A NumericDate (RFC 7519, section 2) within what a date can be. */
export function isDate(value: unknown): value is number {
  return typeof value === "number" && Math.abs(value) <= LATEST;
}

/** `null` counts as none. */
function isDateOrNone(value: unknown): value is number | null | undefined {
  return value === undefined || value === null || isDate(value);
}

/** One string or a list of strings, as a list; undefined for anything else. */
export function stringsOf(value: unknown): readonly string[] | undefined {
  if (typeof value === "string") return [value];
  return Array.isArray(value) && value.every((member) => typeof member === "string") ? value : undefined;
}
