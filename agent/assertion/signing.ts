import { BatchThread, type Item } from "../threads/batch-thread.ts";
import { workerScript } from "../threads/worker-script.ts";
import type { SignedBatch, SigningBatch, SigningKey } from "./signing-batch.ts";

const THREAD = workerScript("assertion/signing-worker");

/** Keys that the thread keeps, of all rotations; then it is told those in use anew. */
const MOST_KEYS = 100;

interface Asked extends Item<string> {
  readonly claims: string;
  readonly key: SigningKey;
}

/**
 * Signatures in a thread of their own: one takes 23 us (ES256) or 36 us (EdDSA), a request some 10. What they cost this
 * thread is said in docs/assertion.md.
 */
export class Signing extends BatchThread<string, Asked, SigningBatch, SignedBatch> {
  /** The ids of the keys that the thread knows; a rotation adds one. */
  #told = new Set<string>();

  /** @param script what the thread runs @param stall milliseconds after which one that answers nothing is ended */
  constructor(script: URL = THREAD, stall?: number) {
    super(script, "signs", 0, stall);
  }

  /**
   * The token of these claims.
   *
   * @param wanted whether somebody still waits for it; where nobody does it is dropped
   * @throws Error when it cannot be signed
   */
  sign(claims: string, key: SigningKey, wanted: () => boolean): Promise<string | "dropped"> {
    return new Promise((resolve, reject) => this.add({ claims, key, wanted, resolve, reject }));
  }

  protected override messageOf(batch: readonly Asked[]): SigningBatch {
    const anew = this.#told.size >= MOST_KEYS;
    if (anew) this.#told.clear();
    const told = new Map(batch.flatMap(({ key }) => (this.#told.has(key.id) ? [] : [[key.id, key] as const])));
    for (const id of told.keys()) this.#told.add(id);
    return {
      anew,
      keys: [...told.values()],
      claims: batch.map(({ claims }) => claims).join(""),
      lengths: batch.map(({ claims }) => claims.length),
      keyIds: batch.map(({ key }) => key.id),
    };
  }

  protected override settle(batch: readonly Asked[], signed: SignedBatch): void {
    const tokens = signed.split("\n");
    for (const [i, { resolve, reject }] of batch.entries()) {
      if (tokens[i]) resolve(tokens[i]);
      else reject(new Error("the assertion cannot be signed"));
    }
  }

  protected override forget(): void {
    this.#told = new Set();
  }
}
