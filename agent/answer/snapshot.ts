import type { Policies } from "../../policies/policies.ts";
import type { Config } from "../config/config.ts";
import type { Identity } from "../identity/identity.ts";

/**
 * All that a decision rests on, built whole and swapped whole: configuration, policies and issuers can never be of
 * two minds about one request.
 */
export interface Snapshot {
  readonly config: Config;
  readonly policies: Policies;
  readonly identity: Identity;
  /** Digest of the policies, sent with every answer. */
  readonly revision: string;
  /** Milliseconds since the epoch. */
  readonly loadedAt: number;
}
