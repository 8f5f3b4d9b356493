import type { Reason } from "../../../policies/decision.ts";

/** Why a credential proves nobody. */
export interface Refusal {
  readonly reason: Reason;
  /** The claim that it is about, by a name of RFC 7519 or of the configuration; never anything out of a token. */
  readonly claim?: string | undefined;
}
