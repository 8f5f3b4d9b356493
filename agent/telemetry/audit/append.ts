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
  /** What is under way with the file. */
  #writing: Promise<void> = Promise.resolve();
  #syncing: Promise<void> = Promise.resolve();
  #ending: Promise<boolean> | undefined;

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

  /**
   * Settles when all is written, or cannot be, and the file is left; once, however often it is asked for.
   *
   * @param limit milliseconds, of the first who asks
   * @returns whether the file was left: a disk that hangs may still write to it
   */
  end(limit: number): Promise<boolean> {
    this.#ending ??= this.#end(limit);
    return this.#ending;
  }

  async #end(limit: number): Promise<boolean> {
    const late = Promise.withResolvers<false>();
    const timer = setTimeout(() => late.resolve(false), limit);
    await Promise.race([this.#allWritten(), late.promise]);
    this.#ended = true;
    const left = await Promise.race([this.#leave().then(() => true), late.promise]);
    clearTimeout(timer);
    return left;
  }

  #allWritten(): Promise<void> {
    return this.#waiting === 0 ? Promise.resolve() : new Promise((done) => this.#idle.push(done));
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
    const fd = this.#fd;
    this.#syncing = this.#syncing.then(() => {
      return new Promise((done) => {
        fdatasync(fd, (error) => {
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
    this.#writing = new Promise((done) => {
      writev(this.#fd, buffers, (error, written) => {
        this.#wrote(error, written);
        done();
      });
    });
  }

  async #open(open: () => number): Promise<void> {
    try {
      const fd = open();
      await this.#leave();
      this.#fd = fd;
      // The end did not wait for it.
      if (this.#ended) return await this.#leave();
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

  /** What is under way with the file comes first, and nobody closes it again: its number may soon be another's. */
  async #leave(): Promise<void> {
    const fd = this.#fd;
    this.#fd = -1;
    await this.#writing;
    await this.#syncing;
    if (fd >= 0) await new Promise<void>((done) => fdatasync(fd, () => close(fd, () => done())));
  }
}
