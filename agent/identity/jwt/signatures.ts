import type { KeyObject } from "node:crypto";
import { BatchThread, type Item } from "../../threads/batch-thread.ts";
import { workerScript } from "../../threads/worker-script.ts";
import type { SignatureChecks } from "../issuer/world.ts";
import type { Key } from "./key.ts";
import { type Batch, OUTCOME } from "./signature-batch.ts";

/** Checks that nobody waits for any more and that are done all the same, for the cache. */
const MOST_SPARE = 128;
/** Keys that the thread keeps; then it is told those in use anew. */
const MOST_KEYS = 1_000;
const THREAD = workerScript("identity/jwt/signature-worker");

type CheckingKey = Pick<Key, "id" | "publicKey">;

interface Asked extends Item<boolean> {
  readonly text: string;
  readonly algorithm: string;
  readonly key: CheckingKey;
}

const ALWAYS = () => true;

/**
 * Signature checks in a thread of their own, so that no number of new tokens makes known ones wait: a check takes 50 to
 * 200 us, a request with a known token some 10.
 *
 * One thread, whose priority is lower, and not the pool of libuv: that has four, and is needed to look up providers'
 * names. Measured, a check by the pool costs the main thread as much as a message there and one back.
 */
export class Signatures extends BatchThread<boolean, Asked, Batch, Uint8Array> implements SignatureChecks {
  #known = new Set<number>();

  /** @param script what the thread runs */
  constructor(script: URL = THREAD) {
    super(script, "checks signatures", MOST_SPARE);
  }

  /**
   * Whether a token is signed with a key.
   *
   * @param text as token.ts has passed it
   * @param algorithm one of the key's
   * @param wanted whether somebody still waits for it; where nobody does and others wait, it is dropped
   * @throws Error when it cannot be told: the thread has ended, or OpenSSL refuses to check
   */
  check(text: string, algorithm: string, key: CheckingKey, wanted = ALWAYS): Promise<boolean | "dropped"> {
    return new Promise((resolve, reject) => this.add({ text, algorithm, key, wanted, resolve, reject }));
  }

  protected override messageOf(batch: readonly Asked[]): Batch {
    const anew = this.#known.size >= MOST_KEYS;
    if (anew) this.#known.clear();
    const keys = new Map<number, KeyObject>();
    for (const { key } of batch) {
      if (this.#known.has(key.id)) continue;
      this.#known.add(key.id);
      keys.set(key.id, key.publicKey);
    }
    return {
      anew,
      keys: [...keys],
      tokens: batch.map(({ text }) => text).join(""),
      lengths: batch.map(({ text }) => text.length),
      algorithms: batch.map(({ algorithm }) => algorithm),
      keyIds: batch.map(({ key }) => key.id),
    };
  }

  protected override settle(batch: readonly Asked[], outcomes: Uint8Array): void {
    for (const [i, { resolve, reject }] of batch.entries()) {
      if (outcomes[i] === OUTCOME.right) resolve(true);
      else if (outcomes[i] === OUTCOME.wrong) resolve(false);
      else reject(new Error("the signature cannot be checked"));
    }
  }

  protected override forget(): void {
    this.#known = new Set();
  }
}
