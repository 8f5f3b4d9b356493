import { hash } from "node:crypto";

/** The members that a key consists of, in the order in which they are hashed. */
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ["crv", "kty", "x", "y"],
  OKP: ["crv", "kty", "x"],
  RSA: ["e", "kty", "n"],
};

/** The SHA-256 thumbprint of a public key (RFC 7638, section 3); undefined for what is no such key. */
export function thumbprintOf(jwk: Readonly<Record<string, unknown>>): string | undefined {
  const { kty } = jwk;
  const names = typeof kty === "string" && Object.hasOwn(MEMBERS, kty) ? (MEMBERS[kty] ?? []) : [];
  const members = names.map((name) => [name, jwk[name]] as const);
  if (members.length === 0 || !members.every(([, value]) => isPlain(value))) return undefined;
  return hash("sha256", JSON.stringify(Object.fromEntries(members)), "base64url");
}

/** Nothing that JSON could write in two ways. */
function isPlain(value: unknown): value is string {
  return typeof value === "string" && /^[\w-]+$/.test(value);
}
