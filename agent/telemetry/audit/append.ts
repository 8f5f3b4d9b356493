import { close, fdatasync, write } from "node:fs";

/** Milliseconds between two attempts after an error. */
const PAUSE = 1_000;

/**
 * Appends to a file, in order and beside the event loop. What cannot be written waits, and is tried again: a record that
 * has been counted is never left out.
 */
export class Append {
  readonly #fd: number;
  readonly #progress: () => void;
  readonly #queue: Buffer[] = [];
  #waiting = 0;
  #writing = false;
  #failure: string | undefined;
  #idle: (() => void)[] = [];

  /** @param progress told when bytes were written, and when they could not be */
  constructor(fd: number, progress: () => void) {
    this.#fd = fd;
    this.#progress = progress;
  }

  /** Bytes that are not written yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** The error code of the last attempt, where it failed. */
  get failure(): string | undefined {
    return this.#failure;
  }

  add(bytes: Buffer): void {
    this.#queue.push(bytes);
    this.#waiting += bytes.length;
    this.#next();
  }

  /** Has the machine keep what was written, in case its power fails. */
  sync(): void {
    fdatasync(this.#fd, () => {});
  }

  /** Settles when all is written, or cannot be. */
  async end(limit: number): Promise<void> {
    const written = new Promise<void>((done) => {
      if (this.#waiting === 0) done();
      else this.#idle.push(done);
    });
    const late = new Promise<void>((done) => setTimeout(done, limit).unref());
    await Promise.race([written, late]);
    await new Promise<void>((done) => fdatasync(this.#fd, () => close(this.#fd, () => done())));
  }

  #next(): void {
    const [bytes] = this.#queue;
    if (this.#writing || bytes === undefined) return;
    this.#writing = true;
    write(this.#fd, bytes, 0, bytes.length, null, (error, written) => {
      this.#writing = false;
      this.#failure = error?.code ?? undefined;
      if (error === null) this.#wrote(bytes, written);
      this.#progress();
      if (error === null) this.#next();
      else setTimeout(() => this.#next(), PAUSE).unref();
    });
  }

  #wrote(bytes: Buffer, written: number): void {
    this.#waiting -= written;
    if (written === bytes.length) this.#queue.shift();
    else this.#queue[0] = bytes.subarray(written);
    if (this.#waiting > 0) return;
    for (const done of this.#idle.splice(0)) done();
  }
}
