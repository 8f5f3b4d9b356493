import type { Reason } from "../../policies/decision.ts";
import type { TokenBytes } from "../identity/jwt/token.ts";

/** What a request offers as proof of who sent it: nothing, one bearer token, or something that cannot be one. */
export type Credential =
  | { readonly kind: "none" }
  | ({ readonly kind: "bearer" } & TokenBytes)
  | { readonly kind: "invalid"; readonly reason: Reason };

const NONE: Credential = { kind: "none" };
const MALFORMED: Credential = { kind: "invalid", reason: "credential-malformed" };
const TOO_LARGE: Credential = { kind: "invalid", reason: "token-too-large" };

const SCHEME = Buffer.from("bearer");
const SPACE = 0x20;
/** What a program less strict than this one might still read as Bearer. */
const LIKE_BEARER = /^[^A-Za-z]*bearer/i;

/**
 * The one credential of a request, from the value of its Authorization header (RFC 6750, section 2.1).
 *
 * A scheme that no issuer of this version takes (Basic, say) is ignored, as if the header were not there:
 * the request is then refused for want of a credential, or passes where none is needed. What begins like Bearer and is
 * not exactly that (a tab, a colon, a quote) was meant to prove something, so it is a bad credential and not none.
 *
 * It looks at the bytes as they came: a known token never becomes a string. Measured with one of 740 bytes: 1.6 us a
 * request less of 3.2.
 *
 * @param bytes the NOTIFY's; the header's value lies between start and end, which are equal where there is none
 * @param limit largest token in bytes
 */
export function credentialOf(bytes: Buffer, start: number, end: number, limit: number): Credential {
  if (start === end) return NONE;
  if (!isBearer(bytes, start, end)) return LIKE_BEARER.test(bytes.toString("latin1", start, end)) ? MALFORMED : NONE;
  let token = start + SCHEME.length;
  while (token < end && bytes[token] === SPACE) token++;
  if (end - token > limit) return TOO_LARGE;
  if (end === token) return MALFORMED;
  return { kind: "bearer", bytes, start: token, end };
}

/** Whether the scheme is Bearer, in any case of letters (RFC 9110, section 11.1), with a space behind it. */
function isBearer(bytes: Buffer, start: number, end: number): boolean {
  const after = start + SCHEME.length;
  if (after >= end) return false;
  for (let i = 0; i < SCHEME.length; i++) {
    // The bit by which the cases of an ASCII letter differ.
    if (((bytes[start + i] as number) | 0x20) !== SCHEME[i]) return false;
  }
  return bytes[after] === SPACE;
}
