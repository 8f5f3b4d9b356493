import type { Reason } from "../policies/decision.ts";

/** What a request offers as proof of who sent it: nothing, one bearer token, or something that cannot be one. */
export type Credential =
  | { readonly kind: "none" }
  | { readonly kind: "bearer"; readonly token: string }
  | { readonly kind: "invalid"; readonly reason: Reason };

const NONE: Credential = { kind: "none" };
const MALFORMED: Credential = { kind: "invalid", reason: "credential-malformed" };
const TOO_LARGE: Credential = { kind: "invalid", reason: "token-too-large" };

// RFC 6750, section 2.1: b64token. Anything else (a space, a comma joining two credentials, a control character) is no token.
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/**
 * The one credential of a request, from the value of its Authorization header (RFC 6750, section 2.1).
 *
 * A scheme that no issuer of this version takes (Basic, say) is ignored, as if the header were not there:
 * the request is then refused for want of a credential, or passes where none is needed.
 *
 * @param limit largest token in bytes
 */
export function credentialOf(authorization: string | undefined, limit: number): Credential {
  if (authorization === undefined || authorization === "") return NONE;
  if (!isBearer(authorization)) return NONE;
  let start = 6;
  while (authorization.charCodeAt(start) === 0x20) start++;
  if (authorization.length - start > limit) return TOO_LARGE;
  const token = authorization.slice(start);
  return B64TOKEN.test(token) ? { kind: "bearer", token } : MALFORMED;
}

/** Whether the scheme is Bearer, in any case of letters (RFC 9110, section 11.1). */
function isBearer(authorization: string): boolean {
  if (authorization.length === 6) return authorization.toLowerCase() === "bearer";
  return authorization.charCodeAt(6) === 0x20 && authorization.slice(0, 6).toLowerCase() === "bearer";
}
