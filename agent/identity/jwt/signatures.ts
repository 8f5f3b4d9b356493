import type { KeyObject } from "node:crypto";
import { Worker } from "node:worker_threads";
import { workerScript } from "../../threads/worker-script.ts";
import type { SignatureChecks } from "../issuer/world.ts";
import type { Key } from "./key.ts";
import { type Batch, OUTCOME } from "./signature-batch.ts";

/** Checks that the thread is given at a time, and how many such batches: while it does one the next is on its way. */
const LARGEST_BATCH = 32;
const MOST_BATCHES = 2;
/** Checks that nobody waits for any more and that are done all the same, by a thread that has nothing else to do. */
const MOST_SPARE = 128;
/** Keys that the thread keeps; then it is told those in use anew. */
const MOST_KEYS = 1_000;
/** Milliseconds between two starts of a thread that fails. */
const PAUSE = 1_000;
/** MiB; all that the thread makes is short-lived. */
const YOUNG = 2;
const THREAD = workerScript("identity/jwt/signature-worker");

type CheckingKey = Pick<Key, "id" | "publicKey">;

interface Asked {
  readonly text: string;
  readonly algorithm: string;
  readonly key: CheckingKey;
  readonly wanted: () => boolean;
  readonly resolve: (outcome: boolean | "dropped") => void;
  readonly reject: (error: Error) => void;
}

const ALWAYS = () => true;

/**
 * Signature checks in a thread of their own, so that no number of new tokens makes known ones wait: a check takes 50 to
 * 200 us, a request with a known token some 10.
 *
 * One thread, whose priority is lower, and not the pool of libuv: that has four, and is needed to look up providers'
 * names. Checks that come in one turn of the event loop travel together. Measured, a message there and one back cost
 * the main thread 16 us, however many checks they are for; a check by the pool costs it as much each.
 */
export class Signatures implements SignatureChecks {
  readonly #script: URL;
  #worker: Worker | undefined;
  #online: Promise<void> | undefined;
  #startedAt = Number.NEGATIVE_INFINITY;
  #known = new Set<number>();
  #waiting: Asked[] = [];
  readonly #sent: Asked[][] = [];
  #planned = false;

  /** @param script what the thread runs */
  constructor(script: URL = THREAD) {
    this.#script = script;
  }

  /** Starts the thread, which takes some tens of milliseconds. Resolves when it can check, or has failed. */
  async start(): Promise<void> {
    this.#running();
    await this.#online;
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
    return new Promise((resolve, reject) => {
      this.#waiting.push({ text, algorithm, key, wanted, resolve, reject });
      if (this.#planned) return;
      this.#planned = true;
      setImmediate(() => {
        this.#planned = false;
        this.#send();
      });
    });
  }

  #send(): void {
    while (this.#waiting.length > 0 && this.#sent.length < MOST_BATCHES) {
      const worker = this.#running();
      if (worker === undefined) {
        this.#fail(this.#waiting.splice(0));
        return;
      }
      const batch = this.#next();
      if (batch.length === 0) return;
      this.#sent.push(batch);
      worker.ref();
      worker.postMessage(this.#messageOf(batch));
    }
  }

  /**
   * What the thread is given next: what somebody waits for. What nobody waits for any more (its deadline has passed, its
   * HAProxy has gone) never stands before that. It fills the cache, so a thread that has nothing else to do does it.
   */
  #next(): Asked[] {
    const wanted = this.#waiting.filter((asked) => asked.wanted());
    const kept = wanted.length > 0 ? wanted : this.#waiting.slice(-MOST_SPARE);
    if (kept.length < this.#waiting.length) this.#drop(new Set(kept));
    if (wanted.length === 0 && this.#sent.length > 0) return [];
    return this.#waiting.splice(0, LARGEST_BATCH);
  }

  #drop(kept: ReadonlySet<Asked>): void {
    for (const asked of this.#waiting) if (!kept.has(asked)) asked.resolve("dropped");
    this.#waiting = [...kept];
  }

  #messageOf(batch: readonly Asked[]): Batch {
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

  #answered(outcomes: Uint8Array): void {
    const batch = this.#sent.shift() ?? [];
    for (const [i, { resolve, reject }] of batch.entries()) {
      if (outcomes[i] === OUTCOME.right) resolve(true);
      else if (outcomes[i] === OUTCOME.wrong) resolve(false);
      else reject(new Error("the signature cannot be checked"));
    }
    this.#send();
    this.#rest();
  }

  /** An idle thread does not keep the process from ending. */
  #rest(): void {
    if (this.#sent.length === 0) this.#worker?.unref();
  }

  /** The thread; a new one where it has ended, but none right after another. */
  #running(): Worker | undefined {
    if (this.#worker !== undefined) return this.#worker;
    const now = performance.now();
    if (now - this.#startedAt < PAUSE) return undefined;
    this.#startedAt = now;
    const worker = new Worker(this.#script, { resourceLimits: { maxYoungGenerationSizeMb: YOUNG } });
    worker.on("message", (outcomes: Uint8Array) => this.#answered(outcomes));
    // "exit" follows, and is what counts.
    worker.on("error", () => {});
    worker.on("exit", () => this.#ended());
    this.#worker = worker;
    // A thread is online before it has loaded what it runs; it answers an empty batch once it has.
    this.#sent.push([]);
    worker.postMessage(this.#messageOf([]));
    this.#online = new Promise((resolve) => {
      worker.once("message", () => resolve());
      worker.once("exit", () => resolve());
    });
    return worker;
  }

  #ended(): void {
    this.#worker = undefined;
    this.#known = new Set();
    this.#fail(this.#sent.splice(0).flat());
    this.#send();
  }

  #fail(asked: readonly Asked[]): void {
    for (const { reject } of asked) reject(new Error("the thread that checks signatures has ended"));
  }
}
