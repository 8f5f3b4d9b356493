import { CREDENTIAL_KINDS, type CredentialName } from "../../haproxy/credentials.ts";
import type { Reason } from "../../policies/decision.ts";
import type { TokenBytes } from "../identity/jwt/token.ts";

/** What a request offers as proof of who sent it: nothing, one credential of a kind, or something that cannot be one. */
export type Credential =
  | { readonly kind: "none" }
  | ({ readonly kind: CredentialName } & TokenBytes)
  | { readonly kind: "invalid"; readonly reason: Reason };

const NONE: Credential = { kind: "none" };
const MALFORMED: Credential = { kind: "invalid", reason: "credential-malformed" };
const TOO_LARGE: Credential = { kind: "invalid", reason: "token-too-large" };

/** The arguments that carry credentials. */
export const CREDENTIAL_ARGUMENTS: readonly string[] = [...new Set(CREDENTIAL_KINDS.map(({ argument }) => argument))];

/** What a request has in them. */
export interface Offered {
  readonly bytes: Buffer;
  /** Start and end of the content of each, in the order of CREDENTIAL_ARGUMENTS; equal where there is none. */
  readonly positions: readonly number[];
}

/** The positions of a request that offers nothing. */
export const NOTHING_OFFERED: readonly number[] = CREDENTIAL_ARGUMENTS.flatMap(() => [0, 0]);

/** How a kind's value is read. */
interface Form {
  readonly kind: CredentialName;
  /** Of its argument among the positions. */
  readonly at: number;
  /** The scheme in lower and in upper case: both are it (RFC 9110, section 11.1). Empty where there is none. */
  readonly lower: Buffer;
  readonly upper: Buffer;
  /** What a program less strict than this one might still read as the scheme. */
  readonly like: RegExp | undefined;
}

const FORMS: readonly Form[] = CREDENTIAL_KINDS.map(({ name, argument, scheme = "" }) => ({
  kind: name,
  at: 2 * CREDENTIAL_ARGUMENTS.indexOf(argument),
  lower: Buffer.from(scheme.toLowerCase()),
  upper: Buffer.from(scheme.toUpperCase()),
  like: scheme === "" ? undefined : new RegExp(`^[^A-Za-z]*${scheme}`, "i"),
}));

const SPACE = 0x20;

/**
 * The one credential of a request: the first in the order of the table that it offers.
 *
 * A kind that is not taken here is ignored, and so is a scheme of none (Basic, say), as if the header were not there:
 * the request is then refused for want of a credential, or passes where none is needed. What begins like a scheme and is
 * not exactly that (a tab, a colon, a quote) was meant to prove something, so it is a bad credential and not none.
 *
 * It looks at the bytes as they came: a known token never becomes a string. Measured with one of 740 bytes: 1.6 us a
 * request less of 3.2.
 *
 * @param kinds names of those that are taken here
 * @param limit largest token in bytes
 */
export function credentialOf({ bytes, positions }: Offered, kinds: readonly string[], limit: number): Credential {
  for (const form of FORMS) {
    if (!kinds.includes(form.kind)) continue;
    const credential = read(form, bytes, positions[form.at] as number, positions[form.at + 1] as number, limit);
    if (credential !== NONE) return credential;
  }
  return NONE;
}

/** A whole value as a credential of one kind. */
export function credentialFrom(kind: CredentialName, value: Buffer, limit: number): Credential {
  const form = FORMS.find((each) => each.kind === kind);
  return form === undefined ? NONE : read(form, value, 0, value.length, limit);
}

function read(form: Form, bytes: Buffer, start: number, end: number, limit: number): Credential {
  if (start === end) return NONE;
  const token = form.like === undefined ? start : afterScheme(form, bytes, start, end);
  if (token < 0) return form.like?.test(bytes.toString("latin1", start, end)) ? MALFORMED : NONE;
  if (end - token > limit) return TOO_LARGE;
  if (end === token) return MALFORMED;
  return { kind: form.kind, bytes, start: token, end };
}

/** Where the credential begins behind its scheme and spaces; negative where the value does not begin so. */
function afterScheme({ lower, upper }: Form, bytes: Buffer, start: number, end: number): number {
  let at = start + lower.length;
  if (at >= end || bytes[at] !== SPACE) return -1;
  for (let i = 0; i < lower.length; i++) {
    const byte = bytes[start + i];
    if (byte !== lower[i] && byte !== upper[i]) return -1;
  }
  while (at < end && bytes[at] === SPACE) at++;
  return at;
}
