import { readdir, stat } from "node:fs/promises";

/** Milliseconds between two looks. A change is acted on once two looks in a row have seen the same. */
const INTERVAL = 1000;
/** Milliseconds by which a file's time may lie behind the clock. */
const GRAIN = 20;

/**
 * Looks once a second whether any of the files or directories has changed, come or gone, and tells once they have
 * settled.
 *
 * It looks rather than listens: a ConfigMap's mount swaps a symbolic link two levels above the file, an editor replaces
 * the file, network volumes tell nothing.
 */
export class Watch {
  readonly #changed: () => void;
  #paths: readonly string[] = [];
  #known = "";
  #seen = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /**
   * Begins to look at these paths.
   *
   * @param since when they were read, in milliseconds since the epoch: what has changed later is told
   */
  async start(paths: readonly string[], since: number): Promise<void> {
    this.stop();
    this.#paths = [...new Set(paths)];
    const { text, newest } = await look(this.#paths);
    this.#seen = text;
    this.#known = newest > since - GRAIN ? "" : text;
    this.#plan();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #plan(): void {
    this.#timer = setTimeout(() => void this.#look(), INTERVAL).unref();
  }

  async #look(): Promise<void> {
    const timer = this.#timer;
    const { text } = await look(this.#paths);
    // Stopped or started anew meanwhile.
    if (timer !== this.#timer) return;
    const settled = text === this.#seen;
    this.#seen = text;
    if (settled && text !== this.#known) {
      this.#known = text;
      this.#changed();
    }
    if (timer === this.#timer) this.#plan();
  }
}

interface Look {
  /** Differs when a file's content may have changed, or a directory has other entries. */
  readonly text: string;
  /** Milliseconds since the epoch of the latest change. */
  readonly newest: number;
}

async function look(paths: readonly string[]): Promise<Look> {
  const all = await Promise.all(paths.map(lookAt));
  return { text: all.map(({ text }) => text).join("\n"), newest: Math.max(0, ...all.map(({ newest }) => newest)) };
}

async function lookAt(path: string): Promise<Look> {
  try {
    const { ino, size, mtimeNs, ctimeNs, ctimeMs } = await stat(path, { bigint: true });
    const entries = await readdir(path).catch(() => []);
    return { text: [path, ino, size, mtimeNs, ctimeNs, ...entries.sort()].join(" "), newest: Number(ctimeMs) };
  } catch {
    return { text: `${path} absent`, newest: 0 };
  }
}
