import { spellingsOf } from "../../config/config.ts";
import { objectOf } from "../../http/document.ts";
import type { HttpAnswer } from "../../http/fetch.ts";
import { failed } from "../../http/fetch-error.ts";
import { type Claims, type Expectations, faultOf, malformed } from "../claims/claims.ts";
import type { Refusal } from "../issuer/refusal.ts";
import type { IntrospectionIssuer } from "./section.ts";

/** What names an access token's kind, in lower case: RFC 6749, section 7.1; RFC 9449, section 5; Keycloak's `typ`, Cognito's and Hydra's `token_use`. */
const FOR_ACCESS: ReadonlySet<string> = new Set(["bearer", "dpop", "at+jwt", "access", "access_token"]);
/** Where providers write it. */
const KINDS = ["token_type", "typ", "token_use"] as const;

/**
 * What an answer in plain JSON says.
 *
 * @throws {FetchError} where it is none
 */
export function plainAnswer(url: URL, answer: HttpAnswer): Claims {
  const said = objectOf(url, answer);
  if (mediaType(answer) === "application/json") return said;
  throw failed(url, "the answer's type is not application/json");
}

/** The media type of a body without its parameters, in lower case. */
export function mediaType({ headers }: Pick<HttpAnswer, "headers">): string {
  return (headers["content-type"] ?? "").split(";", 1).join("").trim().toLowerCase();
}

/**
 * What an introspection endpoint knows of a token (RFC 7662, section 2.2); undefined for one that is not active.
 *
 * @param url of the endpoint
 * @throws {FetchError} where it does not say whether the token is active: nothing but `true` and `false` says so
 */
export function knownOf(url: URL, answer: Claims): Claims | undefined {
  if (answer.active === true) return answer;
  if (answer.active === false) return undefined;
  throw failed(url, "the answer does not say whether the token is active, by `true` or `false`");
}

/**
 * Why an active token is none for here. An authorization server tells what it knows of a token, and not for whom it is
 * good (section 4): that is checked as it is of a JWT.
 *
 * @param now milliseconds since the epoch
 */
export function tokenFault(
  claims: Claims,
  issuer: IntrospectionIssuer,
  expected: Expectations,
  now: number,
): Refusal | undefined {
  return issuerFault(claims, issuer) ?? kindFault(claims, issuer) ?? faultOf(claims, expected, now);
}

/** The endpoint is the issuer's own, so an answer need not name it; one that names another is about another's token. */
function issuerFault({ iss }: Claims, issuer: IntrospectionIssuer): Refusal | undefined {
  const fits = iss === undefined || iss === null || spellingsOf(issuer).some((name) => name === iss);
  return fits ? undefined : { reason: "issuer-unknown", claim: "iss" };
}

/** Endpoints tell of refresh tokens, too (section 2.1), and some of ID tokens. */
function kindFault(claims: Claims, { untyped }: IntrospectionIssuer): Refusal | undefined {
  let typed = false;
  for (const claim of KINDS) {
    const kind = claims[claim] ?? undefined;
    if (kind === undefined) continue;
    if (typeof kind !== "string") return malformed(claim);
    if (!FOR_ACCESS.has(kind.toLowerCase())) return { reason: "token-not-access", claim };
    typed = true;
  }
  return typed || untyped === "accept" ? undefined : { reason: "token-not-access", claim: "token_type" };
}
