/** Longest line that is looked at, in bytes. */
export const LONGEST_LINE = 1024 * 1024;

const LINE_FEED = 0x0a;

/** The place of the next byte in a line that is of interest, at or after `from`; negative where there is none. */
export type Finder = (data: Buffer, from: number) => number;

/**
 * Takes the lines of interest out of a stream of bytes. Only those become texts: the rest is searched as it lies, which
 * costs a second a gigabyte or two.
 */
export class Lines {
  readonly #finders: readonly Finder[];
  readonly #found: (line: string) => void;
  #rest: Buffer = Buffer.alloc(0);
  #skipping = false;

  constructor(finders: readonly Finder[], found: (line: string) => void) {
    this.#finders = finders;
    this.#found = found;
  }

  push(chunk: Buffer): void {
    const end = chunk.lastIndexOf(LINE_FEED);
    if (end < 0) {
      this.#keep(chunk);
      return;
    }
    const begin = this.#skipping ? chunk.indexOf(LINE_FEED) + 1 : 0;
    const whole = chunk.subarray(begin, end + 1);
    this.#search(this.#rest.length === 0 ? whole : Buffer.concat([this.#rest, whole]));
    this.#rest = Buffer.alloc(0);
    this.#skipping = false;
    this.#keep(chunk.subarray(end + 1));
  }

  /** What stands behind the last line feed is a line, too. */
  end(): void {
    if (!this.#skipping && this.#rest.length > 0) this.#search(this.#rest);
    this.#rest = Buffer.alloc(0);
    this.#skipping = false;
  }

  #keep(part: Buffer): void {
    if (this.#skipping) return;
    this.#skipping = this.#rest.length + part.length > LONGEST_LINE;
    this.#rest = this.#skipping ? Buffer.alloc(0) : Buffer.concat([this.#rest, part]);
  }

  /** Each line once, in their order. */
  #search(data: Buffer): void {
    const next = this.#finders.map((find) => find(data, 0));
    for (;;) {
      const at = Math.min(...next.map((position) => (position < 0 ? data.length : position)));
      if (at >= data.length) return;
      const start = data.lastIndexOf(LINE_FEED, at) + 1;
      const feed = data.indexOf(LINE_FEED, at);
      const end = feed < 0 ? data.length : feed;
      this.#found(data.toString("utf8", start, end));
      for (const [index, find] of this.#finders.entries()) {
        const position = next[index] ?? -1;
        if (position >= 0 && position < end) next[index] = find(data, end);
      }
    }
  }
}

/** Lines that hold a text. */
export function holding(text: string): Finder {
  const needle = Buffer.from(text);
  return (data, from) => data.indexOf(needle, from);
}

/** Lines in which a key has one of these values, also where the line is a text in another's JSON. */
export function holdingOneOf(key: string, values: ReadonlySet<string>): Finder {
  const needle = Buffer.from(key);
  return (data, from) => {
    for (let at = data.indexOf(needle, from); at >= 0; at = data.indexOf(needle, at + 1)) {
      let start = at + needle.length;
      while (BETWEEN.has(data[start] ?? 0)) start++;
      let end = start;
      while (isOfId(data[end] ?? 0)) end++;
      if (values.has(data.toString("latin1", start, end))) return at;
    }
    return -1;
  };
}

/** What may stand between a key and its value: `":"`, escaped or spaced. */
const BETWEEN: ReadonlySet<number> = new Set(Buffer.from('\\": '));

/** Digits, letters and dashes. */
function isOfId(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x41 && byte <= 0x5a) || byte === 0x2d
  );
}
