import type { Policies } from "../../policies/policies.ts";
import type { InForce } from "../../records/audit/lines.ts";
import type { Assertions } from "../assertion/assertions.ts";
import type { Config } from "../config/config.ts";
import type { Identity } from "../identity/identity.ts";
import type { UpstreamTokens } from "../upstream/upstream-tokens.ts";

/**
 * All that a decision rests on, built whole and swapped whole: configuration, policies and issuers can never be of
 * two minds about one request.
 */
export interface Snapshot {
  readonly config: Config;
  readonly policies: Policies;
  readonly identity: Identity;
  /** Whom the pods behind a backend have to be in the mesh, by the backend's name. */
  readonly meshIdentities: ReadonlyMap<string, string>;
  /** What the audit log says of it. */
  readonly inForce: InForce;
  /** Whether decisions can no longer be kept, where nothing may be let through then. */
  readonly unrecorded: (() => boolean) | undefined;
  /** What backends are told in a form that they can check; undefined where nothing is configured. */
  readonly assertions: Assertions | undefined;
  /** What backends get in place of clients' tokens; absent where nothing is exchanged. */
  readonly upstreamTokens?: UpstreamTokens;
  /** Digest of the policies, sent with every answer. */
  readonly revision: string;
}
