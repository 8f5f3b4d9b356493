import type { UpstreamToken } from "../../policies/policies.ts";

/** What an authorization server says of a token that it gives, as it came: nothing of it is believed yet. */
export interface Said {
  readonly access_token: string;
  /** In lower case. */
  readonly token_type: string;
  readonly expires_in?: number | undefined;
  readonly scope?: string | undefined;
  readonly [parameter: string]: unknown;
}

/** A token for a backend. */
export interface Granted {
  readonly token: string;
  /** Milliseconds for which it may be used, from when it was asked for. */
  readonly lifetime: number;
}

/** What is asked for (RFC 8693, section 3). */
export const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

/** What an Authorization header can hold (RFC 6750, section 2.1). */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;
/** Milliseconds before its end from which a token is used no more: it is on its way for a while. */
const MARGIN = 10_000;
/** Milliseconds that a token counts at most, whatever is said of it. */
const LONGEST = 86_400_000;

/**
 * What there is of a token (RFC 8693, section 2.2.1); or in words why it is none for here.
 *
 * @param own the client's token: whoever gives that back has exchanged nothing
 */
export function grantedOf(said: Said, own: string): Granted | { readonly fault: string } {
  const { access_token: token, token_type, expires_in } = said;
  if (said.issued_token_type !== ACCESS_TOKEN) return { fault: "its `issued_token_type` is no access token's" };
  if (token_type !== "bearer") return { fault: "its `token_type` is not Bearer" };
  if (!B64TOKEN.test(token)) return { fault: "its token has characters that no bearer token has" };
  if (token === own) return { fault: "it gives back the client's own token" };
  if (expires_in === undefined || !Number.isFinite(expires_in))
    return { fault: "it does not say for how long the token counts (`expires_in`)" };
  const whole = Math.min(expires_in * 1000, LONGEST);
  const lifetime = whole - Math.min(MARGIN, whole / 10);
  if (lifetime <= 0) return { fault: "its token has ended already" };
  return { token, lifetime };
}

/** Whether it was given less than it was asked for. It may say more: some servers add scopes to every token. */
export function lacking({ scope }: Pick<Said, "scope">, { scopes }: Pick<UpstreamToken, "scopes">): boolean {
  if (scope === undefined) return false;
  const given = scope.split(" ");
  return scopes.some((each) => !given.includes(each));
}
