import { Worker } from "node:worker_threads";

/** Items that the thread is given at a time, and how many such batches: while it does one the next is on its way. */
const LARGEST_BATCH = 32;
const MOST_BATCHES = 2;
/** Milliseconds between two starts of a thread that fails. */
const PAUSE = 1_000;
/** Milliseconds in which a thread has to answer something; a batch takes it some. */
const STALL = 30_000;
/** MiB; all that such a thread makes is short-lived. */
const YOUNG = 2;

/** One thing to be done, and who waits for it. */
export interface Item<Result> {
  /** Whether somebody still waits; where nobody does and others wait, it is dropped. */
  readonly wanted: () => boolean;
  readonly resolve: (result: Result | "dropped") => void;
  readonly reject: (error: Error) => void;
}

/**
 * Work that a thread of its own does in batches: what comes in one turn of the event loop travels together. Measured, a
 * message there and one back cost the main thread 16 us, however many items they are for.
 *
 * @typeParam Message what a batch is sent as, and @typeParam Outcome what the thread answers it with
 */
export abstract class BatchThread<Result, Each extends Item<Result>, Message, Outcome> {
  readonly #script: URL;
  readonly #what: string;
  readonly #spare: number;
  readonly #stall: number;
  #overdue: NodeJS.Timeout | undefined;
  #worker: Worker | undefined;
  #online: Promise<void> | undefined;
  #startedAt = Number.NEGATIVE_INFINITY;
  #waiting: Each[] = [];
  readonly #sent: Each[][] = [];
  #planned = false;

  /**
   * @param script what the thread runs: it answers each message with one, the first and empty one too
   * @param what it does, for errors: "checks signatures"
   * @param spare items that nobody waits for any more and that are done all the same, by a thread that has nothing else to do
   * @param stall milliseconds after which a thread that answers nothing is ended
   */
  constructor(script: URL, what: string, spare: number, stall = STALL) {
    this.#script = script;
    this.#what = what;
    this.#spare = spare;
    this.#stall = stall;
  }

  /** The message for a batch. */
  protected abstract messageOf(batch: readonly Each[]): Message;
  /** Tells those who wait what came of it. */
  protected abstract settle(batch: readonly Each[], outcome: Outcome): void;
  /** Whatever the thread was told is gone with it. */
  protected abstract forget(): void;

  /** Starts the thread, which takes some tens of milliseconds. Resolves when it can work, or has failed. */
  async start(): Promise<void> {
    this.#running();
    await this.#online;
  }

  /** It is rejected when it cannot be done: the thread has ended. */
  protected add(item: Each): void {
    this.#waiting.push(item);
    if (this.#planned) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      this.#send();
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
      worker.ref();
      this.#give(worker, batch);
    }
  }

  #give(worker: Worker, batch: Each[]): void {
    this.#sent.push(batch);
    worker.postMessage(this.messageOf(batch));
    this.#watch(worker);
  }

  /** One that stands still is ended: what it has is given up, and the next one goes on. */
  #watch(worker: Worker): void {
    this.#overdue ??= setTimeout(() => void worker.terminate(), this.#stall).unref();
  }

  /**
   * What the thread is given next: what somebody waits for. What nobody waits for any more (its deadline has passed, its
   * HAProxy has gone) never stands before that.
   */
  #next(): Each[] {
    const wanted = this.#waiting.filter((item) => item.wanted());
    const kept = wanted.length > 0 || this.#spare === 0 ? wanted : this.#waiting.slice(-this.#spare);
    if (kept.length < this.#waiting.length) this.#drop(new Set(kept));
    if (wanted.length === 0 && this.#sent.length > 0) return [];
    return this.#waiting.splice(0, LARGEST_BATCH);
  }

  #drop(kept: ReadonlySet<Each>): void {
    for (const item of this.#waiting) if (!kept.has(item)) item.resolve("dropped");
    this.#waiting = [...kept];
  }

  #unwatch(): void {
    clearTimeout(this.#overdue);
    this.#overdue = undefined;
  }

  #answered(outcome: Outcome): void {
    const batch = this.#sent.shift() ?? [];
    this.#unwatch();
    this.settle(batch, outcome);
    this.#send();
    this.#rest();
  }

  /** An idle thread does not keep the process from ending. */
  #rest(): void {
    const worker = this.#worker;
    if (this.#sent.length === 0) worker?.unref();
    else if (worker !== undefined) this.#watch(worker);
  }

  /** The thread; a new one where it has ended, but none right after another. */
  #running(): Worker | undefined {
    if (this.#worker !== undefined) return this.#worker;
    const now = performance.now();
    if (now - this.#startedAt < PAUSE) return undefined;
    this.#startedAt = now;
    const worker = new Worker(this.#script, { resourceLimits: { maxYoungGenerationSizeMb: YOUNG } });
    worker.on("message", (outcome: Outcome) => this.#answered(outcome));
    // "exit" follows, and is what counts.
    worker.on("error", () => {});
    worker.on("exit", () => this.#ended());
    this.#worker = worker;
    // A thread is online before it has loaded what it runs; it answers an empty batch once it has.
    this.#give(worker, []);
    this.#online = new Promise((resolve) => {
      worker.once("message", () => resolve());
      worker.once("exit", () => resolve());
    });
    return worker;
  }

  #ended(): void {
    this.#worker = undefined;
    this.#unwatch();
    this.forget();
    this.#fail(this.#sent.splice(0).flat());
    this.#send();
  }

  #fail(items: readonly Each[]): void {
    for (const { reject } of items) reject(new Error(`the thread that ${this.#what} has ended`));
  }
}
