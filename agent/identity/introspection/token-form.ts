import { spellingsOf } from "../../config/config.ts";
import type { Evidence } from "../issuer/evidence.ts";
import type { IntrospectionIssuer } from "./section.ts";

/**
 * Whether a bearer token is an issuer's to judge. By form alone: a JWT that is refused elsewhere is never asked about, so
 * nobody sends one issuer's token to another, and no refusal is made good by a second opinion. Which opaque token is
 * whose, the registry tells by `prefixes`.
 */
export function hasForm({ token }: Evidence, issuer: IntrospectionIssuer): boolean {
  if (issuer.tokens === "opaque") return true;
  return typeof token !== "string" && spellingsOf(issuer).some((name) => name === token.claims.iss);
}

/** As the registry of issuers tells them apart. */
export function prefixesOf({ tokens, prefix = "" }: Pick<IntrospectionIssuer, "tokens" | "prefix">) {
  return tokens === "jwt" ? {} : { prefixes: [prefix] };
}
