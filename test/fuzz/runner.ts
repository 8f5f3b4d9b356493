import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "./random.ts";
import type { Fuzzed, Target } from "./target.ts";

/** What is run. */
export interface Order {
  readonly seed: number;
  /** Number of the first case, and how many. */
  readonly first: number;
  readonly cases: number;
  /** Milliseconds of CPU after which a case is a finding; a machine may be slow, so tests have none. */
  readonly limit: number;
}

/** An input that was not read as it must be. */
export interface Finding {
  readonly target: string;
  /** Number of the case; the file's name for one of the corpus. */
  readonly source: number | string;
  readonly input: Buffer;
  readonly problem: string;
}

export interface Outcome {
  readonly target: string;
  readonly cases: number;
  /** How often each came. */
  readonly words: Readonly<Record<string, number>>;
  readonly findings: readonly Finding[];
  /** Of CPU, of this thread. */
  readonly seconds: number;
  /** Milliseconds of CPU that the case took which took longest. */
  readonly longest: number;
}

const CORPUS = join(import.meta.dirname, "corpus");
/** Findings after which a run ends: more of them are mostly the same. */
const MOST = 20;
/** Cases between two looks at the memory, and bytes by which it may grow between the first look and a later one. */
const LOOK = 2_000;
const GROWTH = 512 << 20;

/** Inputs that are tried every time, by the names of their files. */
export function corpusOf(target: string): readonly (readonly [string, Buffer])[] {
  const folder = join(CORPUS, target);
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return names.map((name) => [name, readFileSync(join(folder, name))]);
}

/** Runs the corpus, and then cases. */
export async function run(target: Target, order: Order): Promise<Outcome> {
  const fuzzed = await target.open();
  try {
    return await new Run(target.name, fuzzed, order).run();
  } finally {
    await fuzzed.close?.();
  }
}

class Run {
  readonly #target: string;
  readonly #fuzzed: Fuzzed;
  readonly #order: Order;
  readonly #words = new Map<string, number>();
  readonly #findings: Finding[] = [];
  #longest = 0;
  #memory: number | undefined;

  constructor(target: string, fuzzed: Fuzzed, order: Order) {
    this.#target = target;
    this.#fuzzed = fuzzed;
    this.#order = order;
  }

  async run(): Promise<Outcome> {
    const begun = cpu();
    for (const [name, input] of corpusOf(this.#target)) await this.#try(name, input);
    const { seed, first, cases } = this.#order;
    let number = first;
    for (; number < first + cases && this.#findings.length < MOST; number++) {
      await this.#try(number, this.#fuzzed.input(Random.of(seed, this.#target, number)));
      if (number % LOOK === 0) this.#look(number);
    }
    return {
      target: this.#target,
      cases: number - first,
      words: Object.fromEntries([...this.#words].sort()),
      findings: this.#findings,
      seconds: (cpu() - begun) / 1000,
      longest: this.#longest,
    };
  }

  async #try(source: number | string, input: Buffer): Promise<void> {
    const begun = cpu();
    const problem = await this.#problem(input);
    const took = cpu() - begun;
    this.#longest = Math.max(this.#longest, took);
    if (problem !== undefined) this.#found(source, input, problem);
    else if (took > this.#order.limit) this.#found(source, input, `it took ${Math.round(took)} ms`);
  }

  async #problem(input: Buffer): Promise<string | undefined> {
    try {
      const checked = this.#fuzzed.check(Buffer.from(input));
      const word = typeof checked === "string" ? checked : await checked;
      this.#words.set(word, (this.#words.get(word) ?? 0) + 1);
      return undefined;
    } catch (error) {
      return error instanceof Error ? (error.stack ?? String(error)) : String(error);
    }
  }

  #look(number: number): void {
    const now = process.memoryUsage().rss;
    this.#memory ??= now;
    if (now - this.#memory > GROWTH)
      this.#found(number, Buffer.alloc(0), `memory has grown from ${this.#memory} to ${now} bytes`);
  }

  #found(source: number | string, input: Buffer, problem: string): void {
    this.#findings.push({ target: this.#target, source, input, problem });
  }
}

/** Milliseconds of this thread's: those of others, and of those who wait, do not count. */
function cpu(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Saves an input that was found, with what is wrong with it beside. @returns the file */
export function save(folder: string, { target, input, problem }: Finding): string {
  const into = join(folder, target);
  mkdirSync(into, { recursive: true });
  const file = join(into, createHash("sha256").update(input).digest("hex").slice(0, 12));
  writeFileSync(file, input);
  writeFileSync(`${file}.txt`, `${problem}\n`);
  return file;
}
