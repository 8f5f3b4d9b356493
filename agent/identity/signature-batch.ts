import type { KeyObject } from "node:crypto";

/** Signatures to be checked, and the keys among them that this thread has not been told of yet. */
export interface Batch {
  /** Whether all keys of before are forgotten. */
  readonly anew: boolean;
  readonly keys: readonly (readonly [number, KeyObject])[];
  readonly checks: readonly Check[];
}

export interface Check {
  readonly text: string;
  readonly algorithm: string;
  readonly key: number;
}

/** What a check came to; in an answer, in the order of the batch. */
export const OUTCOME = { wrong: 0, right: 1, failed: 2 } as const;
