import type { KeyObject } from "node:crypto";

/** Signatures to be checked, and the keys among them that this thread has not been told of yet. */
export interface Batch {
  /** Whether all keys of before are forgotten. */
  readonly anew: boolean;
  readonly keys: readonly (readonly [number, KeyObject])[];
  /** The tokens, one after another: one text passes between threads faster than an object for each check. */
  readonly tokens: string;
  /** Of each token, in characters; nothing in a token says where it ends. */
  readonly lengths: readonly number[];
  readonly algorithms: readonly string[];
  readonly keyIds: readonly number[];
}

/** What a check came to; in an answer, in the order of the batch. */
export const OUTCOME = { wrong: 0, right: 1, failed: 2 } as const;
