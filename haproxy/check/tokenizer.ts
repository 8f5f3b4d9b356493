/** One word of a line, as HAProxy reads it: quotes, escapes and variables are gone. */
export interface Word {
  readonly text: string;
  /** Where it begins, counted from 1 in characters. */
  readonly column: number;
  /** A variable whose default stands in it, where nobody knows whether HAProxy's environment sets it. */
  readonly guessed?: string;
}

/** What a tokenizer must be told of the world: variables and what of it differs by version. */
export interface Surroundings {
  /**
   * The value of an environment variable, or `undefined` for one that is unset.
   *
   * @param first the line's first word, where it is complete already
   * @param fallback what the line has in its place where it is unset
   */
  variable(name: string, first: string | undefined, fallback: string | undefined): string | undefined;
  /** Whether such a value is a guess: HAProxy's environment may have another. */
  guesses(name: string, first: string | undefined): boolean;
  /** Whether an empty word ends the line without a word (HAProxy before 3.3) or is fatal. */
  emptyEnds(): boolean;
  /**
   * Whether an unset variable takes the closing quote and the blanks behind it along, so that the next word goes on where
   * it stood (many releases before 3.3), or is an empty word.
   */
  unsetSwallows(): boolean;
  /** Whether quotes make a word wherever they stand (before 3.3), or not around a list of words that is empty. */
  quotesMakeWords(): boolean;
}

/** What HAProxy would refuse in a line. */
export interface LineFault {
  readonly column: number;
  readonly found: string;
  readonly right: string;
}

export type Line = { readonly words: readonly Word[] } | { readonly fault: LineFault };

/** Most words of a line (MAX_LINE_ARGS). */
const MOST_WORDS = 64;
const BLANK = /[ \t\n\v\f\r]/;
const NAME = /^\.?[A-Za-z0-9_]*/;
const ESCAPED: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", " ": " ", "\\": "\\" };

/**
 * Splits a line into words, as `parse_line()` of HAProxy's tools.c does.
 *
 * @param whole also those behind an empty word, which HAProxy reads and does not look at
 */
export function tokenize(text: string, surroundings: Surroundings, whole = false): Line {
  const tokenizer = new Tokenizer(text, surroundings);
  try {
    return { words: whole ? tokenizer.all() : tokenizer.run() };
  } catch (error) {
    if (error instanceof Refused) return { fault: error.fault };
    throw error;
  }
}

class Refused extends Error {
  readonly fault: LineFault;

  constructor(column: number, found: string, right: string) {
    super(found);
    this.fault = { column, found, right };
  }
}

class Tokenizer {
  readonly #text: string;
  readonly #world: Surroundings;
  readonly #words: Word[] = [];
  #at = 0;
  /** The word that is being read; undefined between words. */
  #word: string | undefined;
  #start = 0;
  #guessed: string | undefined;
  /** The open quote and where it stands. */
  #quote: { readonly sign: string; readonly at: number; forces: boolean } | undefined;

  constructor(text: string, surroundings: Surroundings) {
    this.#text = text;
    this.#world = surroundings;
  }

  /** All words, also behind an empty one. */
  all(): readonly Word[] {
    while (this.#at < this.#text.length) if (!this.#step(this.#text[this.#at] ?? "")) break;
    this.#close();
    if (this.#quote !== undefined)
      throw new Refused(this.#quote.at + 1, "unmatched quote", "close it on the same line: a line has no continuation");
    if (this.#words.length > MOST_WORDS)
      throw new Refused(this.#words[MOST_WORDS]?.column ?? 1, "more than 64 words", "HAProxy reads 64 words a line");
    return this.#words;
  }

  /** An empty word ends the line before 3.3 and is fatal from then on. */
  run(): readonly Word[] {
    const words = this.all();
    const empty = words.findIndex(({ text }) => text === "");
    if (empty < 0) return words;
    if (this.#world.emptyEnds()) return words.slice(0, empty);
    throw new Refused(words[empty]?.column ?? 1, "an empty word", "HAProxy 3.3 and later refuse it: delete it");
  }

  /** @returns false where the line ends */
  #step(sign: string): boolean {
    const quote = this.#quote?.sign;
    if (sign === "\0" || sign === "\n" || sign === "\r") return false;
    if (sign === "#" && quote === undefined) return false;
    if ((sign === '"' && quote !== "'") || (sign === "'" && quote !== '"')) return this.#quoted(sign);
    if (sign === "\\" && quote !== "'") return this.#escape();
    if (BLANK.test(sign) && quote === undefined) return this.#blank();
    if (sign === "$" && quote === '"') return this.#variable();
    return this.#emit(sign, 1);
  }

  #emit(text: string, consumed: number): true {
    this.#open();
    this.#word += text;
    this.#at += consumed;
    return true;
  }

  #open(): void {
    if (this.#word !== undefined) return;
    this.#word = "";
    this.#start = this.#quote === undefined ? this.#at : Math.min(this.#at, this.#quote.at);
  }

  #close(): void {
    if (this.#word !== undefined) {
      const word = { text: this.#word, column: this.#start + 1 };
      this.#words.push(this.#guessed === undefined ? word : { ...word, guessed: this.#guessed });
    }
    this.#word = undefined;
  }

  #quoted(sign: string): true {
    if (this.#quote === undefined) {
      this.#quote = { sign, at: this.#at, forces: true };
    } else {
      // Quotes around nothing are a word, but not around a list of words that turned out to be empty.
      if (this.#quote.forces) this.#open();
      this.#quote = undefined;
    }
    this.#at++;
    return true;
  }

  #blank(): true {
    this.#close();
    this.#guessed = undefined;
    while (BLANK.test(this.#text[this.#at] ?? "")) this.#at++;
    return true;
  }

  #escape(): true {
    const next = this.#text[this.#at + 1] ?? "";
    const plain = ESCAPED[next];
    if (plain !== undefined) return this.#emit(plain, 2);
    if (next === "#" || next === "'" || next === '"') return this.#emit(next, 2);
    if (next === "$" && this.#quote !== undefined) return this.#emit("$", 2);
    if (next !== "x") return this.#emit("\\", 1);
    const digits = /^[0-9A-Fa-f]{2}/.exec(this.#text.slice(this.#at + 2))?.[0];
    if (digits === undefined)
      throw new Refused(this.#at + 1, "\\x without two hexadecimal digits", "write the backslash as \\\\");
    return this.#emit(String.fromCharCode(Number.parseInt(digits, 16)), 4);
  }

  #variable(): true {
    const reference = this.#reference();
    const first = this.#words[0]?.text;
    const value = this.#world.variable(reference.name, first, reference.fallback) ?? reference.fallback;
    if (reference.fallback !== undefined && this.#world.guesses(reference.name, first)) this.#guessed = reference.name;
    if (reference.list && this.#quote !== undefined) this.#quote.forces = false;
    this.#at = reference.end;
    if (value === undefined) this.#unset(reference.list);
    else if (reference.list) this.#expand(value);
    else if (value !== "" || this.#word !== undefined) this.#emit(value, 0);
    return true;
  }

  #unset(list: boolean): void {
    if (!list || this.#world.quotesMakeWords()) this.#open();
    if (this.#text[this.#at] !== '"' || !this.#world.unsetSwallows()) return;
    this.#open();
    this.#quote = undefined;
    this.#at++;
    while (BLANK.test(this.#text[this.#at] ?? "")) this.#at++;
  }

  /** Each run of blanks in the value ends a word. */
  #expand(value: string): void {
    for (const [index, piece] of value.split(/[ \t\n\v\f\r]+/).entries()) {
      if (index > 0) this.#close();
      if (piece !== "") this.#emit(piece, 0);
      else if (this.#world.quotesMakeWords()) this.#open();
    }
  }

  /** `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME[*]}` or `${NAME[*]-default}`. */
  #reference(): {
    readonly name: string;
    readonly list: boolean;
    readonly fallback: string | undefined;
    readonly end: number;
  } {
    const braced = this.#text[this.#at + 1] === "{";
    const start = this.#at + (braced ? 2 : 1);
    const name = NAME.exec(this.#text.slice(start))?.[0] ?? "";
    if (!/^[A-Za-z_.]/.test(name) || (name.startsWith(".") && !/^\.(LINE|FILE|SECTION)$/.test(name)))
      throw new Refused(start + 1, "no name of a variable after $", "write \\$ for the character itself");
    let end = start + name.length;
    if (!braced) return { name, list: false, fallback: undefined, end };
    const list = this.#text.startsWith("[*]", end);
    if (list) end += 3;
    else if (this.#text[end] === "[")
      throw new Refused(end + 1, "[ that is not [*]", "a list of words is written NAME[*]");
    const close = this.#text.indexOf("}", end);
    const fallback = this.#text[end] === "-" ? this.#text.slice(end + 1, close) : undefined;
    if (close < 0 || (fallback === undefined && close !== end))
      throw new Refused(this.#at + 2, "unmatched brace", "close the brace after the name, or after its -default");
    return { name, list, fallback, end: close + 1 };
  }
}
