import type { Random } from "./random.ts";

/** One thing that reads what others have written. An input is bytes, so that each can be kept as a file. */
export interface Target {
  readonly name: string;
  /** What is looked at, and what it is held to: a line of docs/reliability.md. */
  readonly oracle: string;
  /** Cases that `npm test` runs. */
  readonly tested: number;
  /** Its part of the cases of all targets: those that take long have fewer. */
  readonly share: number;
  /** What a run comes to, each at least once: else the cases are no good. */
  readonly reaches: readonly string[];
  open(): Promise<Fuzzed> | Fuzzed;
}

/** A target that was made ready. */
export interface Fuzzed {
  /** A case. */
  input(random: Random): Buffer;
  /**
   * Has it read an input.
   *
   * @returns a word for what it came to, such as `refused`
   * @throws Wrong where it is not what it is held to; whatever else it throws is as bad
   */
  check(input: Buffer): string | Promise<string>;
  close?(): Promise<void> | void;
}

/** What a target must not do. */
export class Wrong extends Error {
  override readonly name = "Wrong";
}

/** @throws Wrong where it does not hold */
export function hold(holds: boolean, what: string | (() => string)): asserts holds {
  if (!holds) throw new Wrong(typeof what === "string" ? what : what());
}
