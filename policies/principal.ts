import type { Unknown } from "./unknown.ts";

/** What kind of party a principal is. It decides nothing by itself: bindings and conditions may ask for it. */
export type Kind = "person" | "workload" | "agent";

/** One party of an RFC 8693 `act` chain: somebody who acts for the subject. */
export interface Actor {
  readonly subject: string;
  /** The actor's own `iss`, where the token names one. */
  readonly issuer: string | undefined;
  /** What it is by the issuer's configuration, read of its own claims; undefined where they do not tell. */
  readonly kind?: Kind | Unknown | undefined;
}

/**
 * A proven identity. It has the same shape whatever issuer proved it, is immutable, and is what the identity cache holds.
 *
 * What proves something (issuer, subject, audiences, expiry) is always known: else there is no principal. The rest may be
 * Unknown, and then refuses whoever needs it.
 */
export interface Principal {
  /** The issuer's name in the configuration, never its URL. */
  readonly issuer: string;
  readonly subject: string;
  readonly kind: Kind | Unknown;
  readonly groups: readonly string[] | Unknown;
  /** OAuth 2.0 scopes the credential carries (RFC 6749, section 3.3). */
  readonly scopes: readonly string[] | Unknown;
  /** The credential's `aud` values, so that a service can ask for one of them. Empty where the credential has none. */
  readonly audiences: readonly string[];
  /** All verified claims, as the issuer wrote them; an integer that a double does not hold is a bigint. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** The OAuth 2.0 client that the credential was issued to, where it says so. A subject's assistant is not the subject. */
  readonly client: string | undefined | Unknown;
  /** RFC 8693, section 4.1: the current actor first, then those before it. Empty where nobody acts for the subject. */
  readonly actor: readonly Actor[] | Unknown;
  /** The AWS role, without its path, or user, for an issuer that proves one; see policies/arn.ts. */
  readonly arn: string | undefined;
  /** The SPIFFE id, for an issuer that proves one. */
  readonly uri: string | undefined;
  /** Milliseconds since the epoch of the login (`auth_time`), or of issue (`iat`), where the credential says so. */
  readonly authenticatedAt: number | undefined | Unknown;
  /** Milliseconds since the epoch from which the credential no longer proves anything, clock tolerance included. */
  readonly expiresAt: number;
  /** How the credential is bound to its bearer: nothing, a DPoP key (RFC 9449) or a certificate (RFC 8705). */
  readonly bound: "" | "dpop" | "certificate" | "dpop+certificate";
}
