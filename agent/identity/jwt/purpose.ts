import { type Claims, stringsOf } from "../claims/claims.ts";
import type { Refusal } from "../issuer/refusal.ts";

/** The header's `typ` of RFC 9068: no other token has it. */
const ACCESS_TYPE = "at+jwt";
/** The header's `typ` of what is no access token by its specification, whoever signs it: no configuration can take it. */
const NEVER_ACCESS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    "logout+jwt": "a logout token (OpenID Connect Back-Channel Logout 1.0)",
    "secevent+jwt": "a security event token (RFC 8417)",
    "dpop+jwt": "a DPoP proof (RFC 9449)",
    "token-introspection+jwt": "an answer about a token (RFC 9701)",
    "oauth-authz-req+jwt": "an authorization request (RFC 9101)",
    "oauth-id-jag+jwt": "a grant for another authorization server (ID-JAG)",
    "txntoken+jwt": "a transaction token, which no client has",
    "id_token+jwt": "an ID token",
    "client-authentication+jwt": "a client's authentication (RFC 7523)",
    "oauth-client-attestation+jwt": "a client's attestation",
    "oauth-client-attestation-pop+jwt": "a client's proof of its attestation",
    "entity-statement+jwt": "a statement of OpenID Federation 1.0",
    "kb+jwt": "a proof of who holds a verifiable credential",
  }),
);

/** What a `typ` says that its token is, where that is never one for access. @param type as token.ts reads it */
export function neverAccess(type: string): string | undefined {
  return NEVER_ACCESS.get(type);
}

/** What Keycloak writes as `typ` among the claims, and Cognito as `token_use`; in lower case. */
const FOR_ACCESS: ReadonlySet<string> = new Set(["bearer", "dpop", "access"]);
const FOR_ELSE: ReadonlySet<string> = new Set(["refresh", "offline", "logout"]);
/** OpenID Connect Core 1.0, sections 2 and 3.3.2.11, and FAPI 1.0: what only an ID token has a use for. */
const MARKS = ["at_hash", "c_hash", "s_hash", "nonce"] as const;

/**
 * Why a token is none for access, although an issuer signs all its tokens with the same keys: an ID token tells a client
 * who has logged in, and whoever gets hold of one must not act by it; a refresh or logout token is for others still.
 *
 * @param type the header's `typ`, as token.ts reads it
 * @param accepts what is done with ID tokens
 */
export function purposeFault(type: string, claims: Claims, accepts: "refuse" | "accept"): Refusal | undefined {
  // RFC 8417, section 2.2: a security event; a logout token is one.
  if (typeof claims.events === "object" && isThere(claims.events)) return notAccess("events");
  for (const claim of ["typ", "token_use"]) {
    const word = claims[claim];
    if (typeof word !== "string") continue;
    const purpose = word.toLowerCase();
    if (FOR_ACCESS.has(purpose)) return undefined;
    if (FOR_ELSE.has(purpose) || (purpose === "id" && accepts === "refuse")) return notAccess(claim);
  }
  return accepts === "accept" || type === ACCESS_TYPE ? undefined : markFault(claims);
}

/** An ID token is for the client that asked for it, so one for somebody else is none, whatever it holds. */
function markFault(claims: Claims): Refusal | undefined {
  const mark = MARKS.find((name) => isThere(claims[name]));
  if (mark === undefined) return undefined;
  const clients = [claims.azp, claims.client_id].filter(isThere);
  const audiences = stringsOf(claims.aud) ?? [];
  const forClient = clients.length === 0 || audiences.some((audience) => clients.includes(audience));
  return forClient ? notAccess(mark) : undefined;
}

function notAccess(claim: string): Refusal {
  return { reason: "token-not-access", claim };
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null;
}
