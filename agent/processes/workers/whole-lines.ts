/** Bytes of a line at most. The longest that a worker writes has some tens of thousands. */
const LONGEST_LINE = 1 << 20;
/** A line feed. */
const END = 10;

/** Takes pieces of a stream, and passes on whole lines. One that does not end is lost: no writer makes its reader grow. */
export class WholeLines {
  readonly #pass: (lines: Buffer) => void;
  readonly #lost: () => void;
  #rest: Buffer = Buffer.alloc(0);
  /** Whether what comes up to the next line feed is of a line that was lost. */
  #skipping = false;

  /** @param pass is given lines, each with its line feed @param lost told of a line that was too long */
  constructor(pass: (lines: Buffer) => void, lost: () => void) {
    this.#pass = pass;
    this.#lost = lost;
  }

  push(chunk: Buffer): void {
    const first = chunk.indexOf(END) + 1;
    if (first === 0) {
      if (!this.#skipping) this.#keep(chunk);
      return;
    }
    if (!this.#skipping && this.#rest.length + first > LONGEST_LINE) this.#lose();
    const begin = this.#skipping ? first : 0;
    this.#skipping = false;
    const end = chunk.lastIndexOf(END) + 1;
    if (end > begin) this.#pass(Buffer.concat([this.#rest, chunk.subarray(begin, end)]));
    this.#rest = Buffer.alloc(0);
    this.#keep(chunk.subarray(end));
  }

  #keep(part: Buffer): void {
    if (this.#rest.length + part.length > LONGEST_LINE) this.#lose();
    else this.#rest = Buffer.concat([this.#rest, part]);
  }

  #lose(): void {
    this.#skipping = true;
    this.#rest = Buffer.alloc(0);
    this.#lost();
  }
}
