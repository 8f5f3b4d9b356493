import type { CredentialName } from "../../../haproxy/credentials.ts";
import type { Reason } from "../../../policies/decision.ts";

/** A JWT taken apart. Nothing in it is proven. */
export interface Token {
  /** The compact serialization, as it came. */
  readonly text: string;
  readonly algorithm: string;
  readonly kid: string | undefined;
  /** `typ` in lower case and without `application/`; `jwt` where the header has none. */
  readonly type: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** A credential as issuers are shown it: read once for all of them, and nothing in it proven. */
export interface Evidence {
  readonly kind: CredentialName;
  /** As it came, in ASCII; empty for a kind whose value is binary. */
  readonly text: string;
  /** As it came, of a kind whose value is binary; empty for all others. */
  readonly bytes: Buffer;
  /** What the text is as a JWT, or why it is none; found when it is asked for. */
  readonly token: Token | Reason;
}
