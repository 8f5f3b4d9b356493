import {
  AuthorizationResponseError,
  ClientError,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from "openid-client";
import { FetchError } from "../../http/fetch-error.ts";
import { SessionTooLarge, StoreUnavailable } from "../../identity/session/store.ts";

/** Why a login came to nothing. */
export interface Failure {
  /** `refused`: it is no good; `failed`: nobody could tell. */
  readonly outcome: "refused" | "failed";
  /** A code, or a text of ours: it may be shown and logged. */
  readonly why: string;
}

/** More logins at a time than a provider is asked for. */
export class TooManyLogins extends Error {}

/** The provider speaks of somebody else. */
export class OtherSubject extends Error {}

/** The provider has given another refresh token, and nobody could tell whose: the cause says why not. */
export class Rotated extends Error {
  readonly refresh: string;

  constructor(refresh: string, cause: unknown) {
    super("a refresh token in place of the one before", { cause });
    this.refresh = refresh;
  }
}

/** A code of OAuth 2.0 (RFC 6749, section 4.1.2.1); what is longer, or has other signs, is not shown. */
const CODE = /^[A-Za-z0-9_-]{1,64}$/;
/** With these the provider says that it cannot, or does not know this agent; not that somebody may not. */
const UNAVAILABLE: ReadonlySet<string> = new Set([
  ...["temporarily_unavailable", "server_error", "invalid_client", "unauthorized_client"],
]);

/** In lower case, as the library has them. */
const TOKEN_SCHEMES: ReadonlySet<string> = new Set(["bearer", "dpop"]);

/** What an error of the provider's, or of what is asked of it, comes to. Its text is never shown: it may hold a token. */
export function failureOf(error: unknown): Failure {
  if (error instanceof StoreUnavailable) return { outcome: "failed", why: "session-unavailable" };
  if (error instanceof SessionTooLarge) return { outcome: "refused", why: "session-too-large" };
  if (error instanceof TooManyLogins) return { outcome: "failed", why: "too many logins at a time" };
  const cause = error instanceof ClientError && error.cause instanceof Error ? error.cause : error;
  if (error instanceof FetchError || cause instanceof FetchError) {
    return { outcome: "failed", why: (cause instanceof FetchError ? cause : (error as FetchError)).message };
  }
  if (error instanceof AuthorizationResponseError || error instanceof ResponseBodyError) return refusalOf(error.error);
  if (error instanceof WWWAuthenticateChallengeError) return refusalOf(challengedBy(error));
  if (error instanceof ClientError && error.code !== undefined) return { outcome: "refused", why: error.code };
  return { outcome: "failed", why: "unexpected" };
}

/** @param written the code as the provider has it */
function refusalOf(written: string): Failure {
  const code = CODE.test(written) ? written : "provider-error";
  return { outcome: UNAVAILABLE.has(code) ? "failed" : "refused", why: code };
}

/**
 * A challenge that says nothing more is for the token where it is for one (RFC 6750, section 3.1), such as UserInfo's; any
 * other is for this agent (RFC 6749, section 5.2).
 */
function challengedBy({ cause: challenges }: WWWAuthenticateChallengeError): string {
  const [code] = challenges.flatMap(({ parameters }) => parameters.error ?? []);
  const isOfToken = challenges.some(({ scheme }) => TOKEN_SCHEMES.has(scheme));
  return code ?? (isOfToken ? "invalid_token" : "invalid_client");
}
