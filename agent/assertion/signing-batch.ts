import type { KeyObject } from "node:crypto";
import type { RingAlgorithm } from "../config/files/key-ring.ts";

/** A private key as the thread is given it. */
export interface SigningKey {
  /** No other key has it. */
  readonly id: string;
  readonly kid: string;
  readonly algorithm: RingAlgorithm;
  readonly key: KeyObject;
}

/** Claims to be signed, and the keys among them that this thread has not been told of yet. */
export interface SigningBatch {
  /** Whether all keys of before are forgotten. */
  readonly anew: boolean;
  readonly keys: readonly SigningKey[];
  /** JSON, one after another: one text passes between threads faster than an object for each. */
  readonly claims: string;
  /** Of each, in UTF-16 units. */
  readonly lengths: readonly number[];
  readonly keyIds: readonly string[];
}

/** The tokens in the order of the batch, with a line break behind each; empty where one could not be signed. */
export type SignedBatch = string;
