import { isSession } from "../../haproxy/places.ts";
import type { Evidence } from "./issuer/evidence.ts";
import type { Issuer } from "./issuer/issuer.ts";
import type { Refusal } from "./issuer/refusal.ts";
import { hasJwtForm } from "./jwt/token.ts";

/**
 * The one issuer that judges a credential, chosen by its form alone: by what it begins with, or by what it says as a JWT;
 * or else the issuer of whatever has no form at all. Nobody else is asked: what it refuses falls through to nobody.
 *
 * @returns why it is no issuer's, where it is none's
 * @throws Error where two call it their own, which the configuration does not allow
 */
export function ownerOf(issuers: readonly Issuer[], evidence: Evidence): Issuer | Refusal {
  const takers = issuers.filter(({ config }) => config.credentials.includes(evidence.kind));
  for (const candidates of candidatesFor(takers, evidence)) {
    const [owner, other] = candidates.filter((issuer) => issuer.owns(evidence));
    if (other !== undefined) throw new Error("two issuers call one credential their own");
    if (owner !== undefined) return owner;
  }
  return isSession(evidence.kind) ? { reason: "session-invalid" } : unowned(takers, evidence);
}

/** Who is asked, and who after them where it is none of theirs. */
function candidatesFor(takers: readonly Issuer[], { text }: Evidence): readonly (readonly Issuer[])[] {
  const named = takers.filter(({ config: { prefixes = [] } }) =>
    prefixes.some((prefix) => prefix !== "" && text.startsWith(prefix)),
  );
  if (named.length > 0) return [named];
  const others = takers.filter(({ config }) => config.prefixes === undefined);
  const formless = takers.filter(({ config }) => config.prefixes?.includes("") && !hasJwtForm(text));
  return [others, formless];
}

/** What it is as a JWT says most about it, where anybody takes JWTs. */
function unowned(takers: readonly Issuer[], { bytes, token }: Evidence): Refusal {
  const isRead = takers.length === 0 || takers.some(({ config }) => config.prefixes === undefined);
  if (bytes.length > 0 || !isRead) return { reason: "issuer-unknown" };
  if (typeof token === "string") return { reason: token };
  const { iss } = token.claims;
  if (typeof iss !== "string") return { reason: iss === undefined ? "claim-missing" : "claim-malformed", claim: "iss" };
  return { reason: "issuer-unknown", claim: "iss" };
}
