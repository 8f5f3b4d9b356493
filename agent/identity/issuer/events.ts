/** What providers are asked for. */
export type FetchedThing = "discovery" | "jwks" | "introspection" | "groups" | "sts" | "exchange" | "sidecar";

/** What the identity part tells about itself, for metrics and the log. */
export interface IdentityEvents {
  /**
   * A provider was asked: for a document, or about a token.
   *
   * @param issuer the issuer's name in the configuration
   * @param durationMs milliseconds
   * @param error what went wrong; safe to show
   */
  fetched(issuer: string, what: FetchedThing, outcome: "ok" | "error", durationMs: number, error?: string): void;
  /**
   * A JWKS was read.
   *
   * @param keys those of its members that should be of use and are not; key ids are as the provider wrote them
   */
  unusable(issuer: string, keys: readonly { readonly kid: string | undefined; readonly why: string }[]): void;
  /** The store of proofs has become reachable, or not: why not, safe to show. */
  proofStore(problem: string | undefined): void;
  /** The store of an issuer's sessions has become reachable, or not: why not, safe to show. */
  sessionStore(issuer: string, problem: string | undefined): void;
  /** A token was looked up among the cached identities and refusals. */
  cache(outcome: "hit" | "miss" | "refusal_hit"): void;
}

/** For whoever asks once and has no metrics. */
export const UNHEARD: IdentityEvents = { fetched() {}, unusable() {}, proofStore() {}, sessionStore() {}, cache() {} };
