import type { Reason } from "../../../policies/decision.ts";

/** Why a credential proves nobody. */
export interface Refusal {
  readonly reason: Reason;
  /** The claim or parameter that it is about, by a name of its specification or of the configuration; never anything out of a token. */
  readonly claim?: string | undefined;
}
