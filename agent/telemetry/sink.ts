import { writeSync } from "node:fs";
import { pino } from "pino";

/** Bytes of lines that wait for a slow reader; what would come on top is dropped and counted. */
const LARGEST_BACKLOG = 4 * 1024 * 1024;
/** Characters gathered before they are written. Docker's log driver reads 16 KiB at a time. */
const BATCH = 16 * 1024;
/** Milliseconds that a decision line may wait for others to be written with it. */
const DELAY = 100;
/** Milliseconds without any progress after which the reader counts as stuck, and between attempts after an error. */
const STUCK = 1000;
/** Milliseconds that a reader which goes on reading has at the end. */
const LONGEST_CLOSE = 5_000;
/** Milliseconds that a write under way has at the exit. */
const IN_FLIGHT = 20;
const NOTHING = Buffer.alloc(0);

/** What pino.destination gives with `contentMode: "buffer"`; its own type knows strings only. */
interface Destination {
  write(bytes: Uint8Array): boolean;
  flushSync(): void;
  end(): void;
  destroy(): void;
  on(event: "write" | "drain" | "drop" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: NodeJS.ErrnoException) => void): unknown;
}

/**
 * Where log lines go: a pipe or file, written beside the event loop.
 *
 * A slow reader never slows a verdict and never makes the agent grow: past 4 MiB lines are dropped and counted.
 * Lines are gathered and written by the 16 KiB: 1.6 us of CPU a line, making it included, against 5 us with one write
 * each and 4 us with the library's own gathering.
 * Standard output that nobody reads any more (EPIPE) drops everything, counted too; the agent serves on.
 */
export class LineSink {
  #batch = "";
  #lines = 0;
  #dropped = 0;
  #unreported = 0;
  #timer: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #waitingSince: number | undefined;
  #failure: string | undefined;
  #closed = false;
  #copy: ((lines: Buffer, count: number) => void) | undefined;
  readonly #fd: number;
  readonly #destination: Destination;
  readonly #clock: () => number;
  readonly #recovered: (dropped: number) => void;
  readonly #atExit = () => this.#exit();

  /**
   * @param fd file descriptor; one other than 1 and 2 is closed with the sink
   * @param recovered called with the number of lines lost, when there is room again
   */
  constructor(fd: number, clock: () => number, recovered: (dropped: number) => void) {
    this.#fd = fd;
    this.#clock = clock;
    this.#recovered = recovered;
    // Before pino registers its own: at exit it writes synchronously, for ever if nobody reads.
    process.on("exit", this.#atExit);
    const options = { fd, sync: false, maxLength: LARGEST_BACKLOG, contentMode: "buffer" } as const;
    const destination = pino.destination(options) as unknown as Destination;
    destination.on("write", () => this.#progress());
    destination.on("drain", () => this.#drained());
    destination.on("drop", () => this.lose(this.#lines));
    destination.on("error", (error) => this.#failed(error.code ?? "unknown"));
    this.#destination = destination;
  }

  /** Lines that were lost since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The error code of the last write, where it failed. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** A line that may wait up to 100 ms for others; it ends in a line feed. */
  add(line: string): void {
    this.#batch += line;
    this.#lines++;
    if (this.#batch.length >= BATCH) this.flush();
    else this.#timer ??= setTimeout(() => this.#due(), DELAY).unref();
  }

  /** A line that is written at once; what pino calls. It is kept apart, as it often still fits where a batch does not. */
  write(line: string): void {
    this.flush();
    this.#lines = 1;
    this.#hand(Buffer.from(line));
  }

  /** Who gets the same bytes, of all lines that may wait from now on; undefined for nobody. */
  copyTo(copy: ((lines: Buffer, count: number) => void) | undefined): void {
    this.flush();
    this.#copy = copy;
  }

  /** Lines that another process has gathered, the last one whole. */
  relay(lines: Buffer): void {
    this.flush();
    this.#lines = linesIn(lines);
    this.#hand(lines);
  }

  /** Counts lines that are not written; it is told when others are. */
  lose(lines: number): void {
    this.#dropped += lines;
    this.#unreported += lines;
  }

  /** Hands what was gathered to the operating system's write, which happens on another thread. */
  flush(): void {
    if (this.#lines === 0) return;
    const bytes = Buffer.from(this.#batch);
    this.#batch = "";
    this.#copy?.(bytes, this.#lines);
    this.#hand(bytes);
  }

  #hand(bytes: Buffer): void {
    if (this.#closed || this.#failure === "EPIPE") this.lose(this.#lines);
    else {
      this.#waitingSince ??= this.#clock();
      this.#destination.write(bytes);
    }
    this.#lines = 0;
  }

  /** Writes what is left while it is read on, for a while; a reader that is stuck loses it. Lines that come later are dropped. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    process.off("exit", this.#atExit);
    if (this.#failure === "EPIPE") return;
    await new Promise<void>((resolve) => {
      const giveUp = () => {
        this.#destination.destroy();
        resolve();
      };
      const [stuck, late] = [setTimeout(giveUp, STUCK), setTimeout(giveUp, LONGEST_CLOSE)];
      this.#destination.on("write", () => stuck.refresh());
      this.#destination.on("close", () => {
        clearTimeout(stuck);
        clearTimeout(late);
        resolve();
      });
      this.#destination.end();
    });
  }

  #due(): void {
    this.#timer = undefined;
    this.flush();
  }

  #progress(): void {
    this.#failure = undefined;
    this.#waitingSince = this.#clock();
  }

  /** A full disk may have room again; with a full backlog no other write would find out. */
  #failed(code: string): void {
    this.#failure = code;
    if (this.#closed) this.#destination.destroy();
    else if (code !== "EPIPE") this.#retry ??= setTimeout(() => this.#tryAgain(), STUCK).unref();
  }

  #tryAgain(): void {
    this.#retry = undefined;
    if (!this.#closed) this.#destination.write(NOTHING);
  }

  #drained(): void {
    this.#waitingSince = undefined;
    const lost = this.#unreported;
    this.#unreported = 0;
    if (lost > 0) this.#recovered(lost);
  }

  #exit(): void {
    if (this.#closed || this.#failure === "EPIPE") return;
    const stuck = this.#waitingSince !== undefined && this.#clock() - this.#waitingSince > STUCK;
    if (stuck) {
      this.#destination.destroy();
      return;
    }
    // A write that has begun is another thread's, and nobody can wait for it any more: it is given a moment.
    if (this.#waitingSince !== undefined) pause(IN_FLIGHT);
    this.#destination.flushSync();
    writeNow(this.#fd, Buffer.from(this.#batch));
  }
}

function linesIn(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}

/** Writes all, or what a reader takes within a second. */
function writeNow(fd: number, bytes: Buffer): void {
  const until = performance.now() + STUCK;
  let rest = bytes;
  while (rest.length > 0 && performance.now() < until) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      // A pipe that is full; whatever else it is, nothing can be written.
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) return;
      pause(1);
    }
  }
}

/** Stands still for some milliseconds: at the exit of a process no event comes any more. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
