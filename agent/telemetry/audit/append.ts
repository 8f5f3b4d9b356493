import { close, fdatasync, writev } from "node:fs";

/** Milliseconds between two attempts after an error. */
const PAUSE = 1_000;
/** Buffers that are written at once. */
const MOST_AT_ONCE = 64;

/** Opens the file for what is behind it. */
interface Turn {
  readonly open: () => number;
}

/** Is told that all before it is in the file. */
interface Mark {
  readonly reached: () => void;
  /** Whether that is to outlive a loss of power. */
  readonly sync: boolean;
}

/**
 * Appends to a file, in order and beside the event loop, and then to the next one. What cannot be written waits, and is
 * tried again: a record that has been counted is never left out.
 */
export class Append {
  #fd: number;
  readonly #queue: (Buffer | Turn | Mark)[] = [];
  #waiting = 0;
  #busy = false;
  #turning = false;
  #ended = false;
  #failure: string | undefined;
  #idle: (() => void)[] = [];
  #syncing: Promise<void> = Promise.resolve();

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Bytes that are not written yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether the next file is yet to be opened. */
  get turning(): boolean {
    return this.#turning;
  }

  /** The error code of the last attempt, where it failed. */
  get failure(): string | undefined {
    return this.#failure;
  }

  add(bytes: Buffer): void {
    if (this.#ended) return;
    this.#queue.push(bytes);
    this.#waiting += bytes.length;
    this.#next();
  }

  /**
   * What is added from now on is for another file, once all before is written.
   *
   * @param open its descriptor; where it throws, it is tried again
   */
  turn(open: () => number): void {
    this.#turning = true;
    this.#queue.push({ open });
    this.#next();
  }

  /**
   * Tells once all that was added so far is in the file: whatever becomes of the process, it is there.
   *
   * @param sync whether the machine is to keep it before, in case its power fails
   */
  mark(sync: boolean, reached: () => void): void {
    this.#queue.push({ reached, sync });
    this.#next();
  }

  /** Settles when all is written, or cannot be. @param limit milliseconds */
  async end(limit: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const late = setTimeout(resolve, limit);
    if (this.#waiting === 0) resolve();
    else this.#idle.push(resolve);
    await promise;
    clearTimeout(late);
    // The number of a file that is closed may soon be another's.
    this.#ended = true;
    await this.#leave();
  }

  #next(): void {
    const [first] = this.#queue;
    if (this.#busy || this.#ended || first === undefined) return;
    if (!("reached" in first)) {
      this.#do(first);
      return;
    }
    this.#queue.shift();
    this.#reach(first);
    // Whoever was told may have added more, and begun to write it.
    this.#next();
  }

  #do(first: Buffer | Turn): void {
    this.#busy = true;
    if ("open" in first) void this.#open(first.open);
    else this.#write();
  }

  /** What is written meanwhile does not wait for it. */
  #reach({ reached, sync }: Mark): void {
    if (!sync) {
      reached();
      return;
    }
    this.#syncing = this.#syncing.then(() => {
      return new Promise((done) => {
        fdatasync(this.#fd, (error) => {
          if (error === null) reached();
          done();
        });
      });
    });
  }

  /** All that is for this file up to a mark, in one call. */
  #write(): void {
    const other = this.#queue.findIndex((entry) => !Buffer.isBuffer(entry));
    const count = Math.min(other < 0 ? this.#queue.length : other, MOST_AT_ONCE);
    const buffers = this.#queue.slice(0, count) as Buffer[];
    writev(this.#fd, buffers, (error, written) => this.#wrote(error, written));
  }

  async #open(open: () => number): Promise<void> {
    try {
      const fd = open();
      await this.#leave();
      this.#fd = fd;
      this.#queue.shift();
      this.#turning = false;
      this.#done(null);
    } catch (error) {
      this.#done(error as NodeJS.ErrnoException);
    }
  }

  #wrote(error: NodeJS.ErrnoException | null, written: number): void {
    if (error === null) this.#take(written);
    this.#done(error);
    if (this.#waiting === 0) for (const done of this.#idle.splice(0)) done();
  }

  #take(written: number): void {
    this.#waiting -= written;
    for (let rest = written; rest > 0; ) {
      const first = this.#queue[0] as Buffer;
      if (first.length > rest) this.#queue[0] = first.subarray(rest);
      else this.#queue.shift();
      rest -= Math.min(rest, first.length);
    }
  }

  #done(error: NodeJS.ErrnoException | null): void {
    this.#busy = false;
    this.#failure = error === null ? undefined : (error.code ?? error.message);
    if (error === null) this.#next();
    else setTimeout(() => this.#next(), PAUSE).unref();
  }

  async #leave(): Promise<void> {
    await this.#syncing;
    await new Promise<void>((done) => fdatasync(this.#fd, () => close(this.#fd, () => done())));
  }
}
