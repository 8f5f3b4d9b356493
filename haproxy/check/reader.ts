import { BadCondition, holds } from "./predicates.ts";
import { type LineFault, tokenize, type Word } from "./tokenizer.ts";
import { at, type Place, type Statement, texts } from "./where.ts";
import type { World } from "./world.ts";

/** A file as HAProxy is given it. */
export interface SourceFile {
  /** As it is told in a finding. */
  readonly name: string;
  readonly text: string;
}

/** A line that this world's HAProxy does not read. */
export interface Dropped {
  readonly statement: Statement;
  /** The `.if`, `.elif` or `.else` that drops it. */
  readonly by: Statement;
}

/** What HAProxy would not load. */
export interface SyntaxFault extends Place {
  readonly found: string;
  readonly right: string;
}

/** The files' lines in their order, as this world's HAProxy reads them. */
export interface Reading {
  readonly lines: readonly (Statement | Dropped)[];
  readonly faults: readonly SyntaxFault[];
}

const DEEPEST = 100;
const MESSAGES: ReadonlySet<string> = new Set([".diag", ".notice", ".warning", ".alert"]);

export function isDropped(line: Statement | Dropped): line is Dropped {
  return "by" in line;
}

/**
 * Reads the files in order. `setenv` and its kin act at once; from 3.1 on all of them act before everything else,
 * because those HAProxys read `global` twice.
 */
export function read(files: readonly SourceFile[], world: World): Reading {
  const before = world.environment;
  const first = pass(files, world);
  const changed = [...world.environment].some(([name, value]) => before.get(name) !== value);
  return changed && world.atLeast("3.1") ? pass(files, world) : first;
}

function pass(files: readonly SourceFile[], world: World): Reading {
  const lines: (Statement | Dropped)[] = [];
  const faults: SyntaxFault[] = [];
  for (const file of files) new FileReader(file, world, lines, faults).run();
  return { lines, faults };
}

interface Block {
  readonly opened: Statement;
  /** The line that decides about the lines that follow. */
  by: Statement;
  /** Whether they are read, and whether one of the block's parts was. */
  live: boolean;
  taken: boolean;
  otherwise: boolean;
}

class FileReader {
  readonly #file: SourceFile;
  readonly #world: World;
  readonly #lines: (Statement | Dropped)[];
  readonly #faults: SyntaxFault[];
  readonly #blocks: Block[] = [];
  #section = "";

  constructor(file: SourceFile, world: World, lines: (Statement | Dropped)[], faults: SyntaxFault[]) {
    this.#file = file;
    this.#world = world;
    this.#lines = lines;
    this.#faults = faults;
  }

  run(): void {
    const lines = this.#file.text.split("\n");
    const last = lines.pop();
    if (last !== "") {
      this.#faults.push({ ...this.#place(lines.length + 1, 1), ...MISSING_LF });
      lines.push(last ?? "");
    }
    for (const [index, text] of lines.entries()) this.#line(text, index + 1);
    for (const { opened } of this.#blocks)
      this.#faults.push({ ...at(opened, 0), found: ".if without .endif", right: "each file must close its own" });
  }

  #line(text: string, line: number): void {
    this.#world.pseudo = { ".FILE": this.#file.name, ".LINE": String(line), ".SECTION": this.#section };
    this.#world.idle = !this.#isLive();
    const read = tokenize(text, this.#world);
    this.#world.idle = false;
    if ("fault" in read) this.#refuse(line, read.fault);
    else if (read.words.length > 0) this.#statement(line, read.words);
  }

  #statement(line: number, words: readonly Word[]): void {
    const statement: Statement = { ...this.#place(line, words[0]?.column ?? 1), words };
    const keyword = words[0]?.text ?? "";
    const dropping = this.#blocks.find(({ live }) => !live);
    if (keyword.startsWith(".")) this.#macro(keyword, statement);
    else if (dropping !== undefined) this.#lines.push({ statement, by: dropping.by });
    else {
      this.#environment(keyword, statement);
      this.#section = keyword;
      this.#lines.push(statement);
    }
  }

  #isLive(): boolean {
    return this.#blocks.every(({ live }) => live);
  }

  #macro(keyword: string, statement: Statement): void {
    if (keyword === ".if") this.#open(statement);
    else if (keyword === ".endif") this.#end(statement);
    else if (keyword === ".elif" || keyword === ".else") this.#part(keyword, statement);
    else if (!this.#isLive()) return;
    else if (keyword === ".alert")
      this.#fault(statement, "this line ends HAProxy's start", "its block must not be read");
    else if (!MESSAGES.has(keyword))
      this.#fault(statement, `unknown word "${keyword}"`, "a macro is .if, .elif, .else, .endif, .notice …");
  }

  #open(statement: Statement): void {
    if (this.#blocks.length >= DEEPEST) this.#fault(statement, "too many .if in each other", "at most 99");
    const reached = this.#isLive();
    const live = reached && this.#condition(statement);
    this.#blocks.push({ opened: statement, by: statement, live, taken: live || !reached, otherwise: false });
  }

  #end(statement: Statement): void {
    if (this.#blocks.pop() === undefined) this.#fault(statement, ".endif without .if", "delete it, or write the .if");
  }

  #part(keyword: ".elif" | ".else", statement: Statement): void {
    const block = this.#blocks.at(-1);
    if (block === undefined || block.otherwise) {
      this.#fault(statement, `${keyword} without .if`, "one .else at most, and last");
      return;
    }
    block.otherwise = keyword === ".else";
    block.live = !block.taken && (block.otherwise || this.#condition(statement));
    block.by = statement;
    block.taken ||= block.live;
  }

  #condition(statement: Statement): boolean {
    try {
      return holds(texts(statement, 1).join(" "), this.#world);
    } catch (error) {
      if (!(error instanceof BadCondition)) throw error;
      this.#fault(statement, error.message, "see section 2.4 of HAProxy's configuration manual");
      return false;
    }
  }

  /** Only `global` has these keywords. */
  #environment(keyword: string, statement: Statement): void {
    const [name = "", value = ""] = texts(statement, 1);
    if (keyword === "setenv") this.#world.set(name, value);
    else if (keyword === "presetenv" && !this.#world.isSet(name)) this.#world.set(name, value);
    else if (keyword === "unsetenv") for (const each of texts(statement, 1)) this.#world.set(each, undefined);
    else if (keyword === "resetenv") this.#world.reset(new Set(texts(statement, 1)));
  }

  #refuse(line: number, { column, found, right }: LineFault): void {
    this.#faults.push({ ...this.#place(line, column), found, right });
  }

  #fault(statement: Statement, found: string, right: string): void {
    this.#faults.push({ ...at(statement, 0), found, right });
  }

  #place(line: number, column: number): Place {
    return { file: this.#file.name, line, column };
  }
}

const MISSING_LF = { found: "the last line has no line break", right: "HAProxy refuses the file without one" } as const;
