import { spellingsOf } from "../../config/config.ts";
import type { Evidence } from "../issuer/evidence.ts";
import { hasJwtForm } from "../jwt/token.ts";
import type { IntrospectionIssuer } from "./section.ts";

/**
 * Whether a bearer token is an issuer's to judge. By form alone: a JWT that is refused elsewhere is never asked about, so
 * nobody sends one issuer's token to another, and no refusal is made good by a second opinion.
 */
export function hasForm({ text, token }: Evidence, issuer: IntrospectionIssuer): boolean {
  const { tokens, prefix } = issuer;
  if (tokens === "jwt")
    return typeof token !== "string" && spellingsOf(issuer).some((name) => name === token.claims.iss);
  return prefix === undefined ? !hasJwtForm(text) : text.startsWith(prefix);
}

/** As the registry of issuers tells them apart. */
export function prefixesOf({ tokens, prefix = "" }: Pick<IntrospectionIssuer, "tokens" | "prefix">) {
  return tokens === "jwt" ? {} : { prefixes: [prefix] };
}
