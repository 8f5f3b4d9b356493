import { hash } from "node:crypto";
import { type CredentialName, credentialKind } from "../../haproxy/credentials.ts";
import { isSession } from "../../haproxy/places.ts";
import type { Reason } from "../../policies/decision.ts";
import type { Evidence, Token } from "./issuer/evidence.ts";
import { bearerText, parseToken, type TokenBytes } from "./jwt/token.ts";
import { endOfSession } from "./session/session.ts";

/** A credential where it lies in bytes that were read; those of a text are bearer tokens. */
export type Offered = ({ readonly kind: CredentialName } & TokenBytes) | string;

/** What of it proves somebody: of a session not when it was last seen, which anybody can vary without end. */
export function credentialIn(offered: Offered): Offered {
  if (typeof offered === "string" || !isSession(offered.kind)) return offered;
  const { kind, bytes, start } = offered;
  return { kind, bytes, start, end: endOfSession(offered) };
}

const NO_BYTES = Buffer.alloc(0);

/** The credential for issuers, which may outlive the bytes; undefined where it cannot be one of its kind. */
export function evidenceOf(offered: Offered): Evidence | undefined {
  if (typeof offered === "string") return new Read("bearer", offered, NO_BYTES);
  const { kind, bytes, start, end } = offered;
  if (credentialKind(kind)?.type === "binary") return new Read(kind, "", Buffer.from(bytes.subarray(start, end)));
  const text = bearerText(offered);
  return text === undefined ? undefined : new Read(kind, text, NO_BYTES);
}

/** SHA-256, a text of one character for each byte. */
export function digestOf(offered: Offered): string {
  const input = typeof offered === "string" ? offered : offered.bytes.subarray(offered.start, offered.end);
  return hash("sha256", input, "binary");
}

/** Most credentials that are no JWT are told so by their form, before anybody would take them apart. */
class Read implements Evidence {
  readonly kind: CredentialName;
  readonly text: string;
  readonly bytes: Buffer;
  #token: Token | Reason | undefined;

  constructor(kind: CredentialName, text: string, bytes: Buffer) {
    this.kind = kind;
    this.text = text;
    this.bytes = bytes;
  }

  get token(): Token | Reason {
    this.#token ??= parseToken(this.text);
    return this.#token;
  }
}
