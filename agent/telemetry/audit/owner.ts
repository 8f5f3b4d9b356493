import { existsSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { plainText } from "../safe-text.ts";

/** Milliseconds between two signs of life, and those without one after which an owner is taken for gone. */
const BEAT = 2_000;
const GONE = 10_000;
const REMEDY = "each agent needs an `audit.file` of its own";

/** Who writes a log. What is not known is empty. */
interface Owner {
  readonly host: string;
  /** Of this start of the machine, and of the processes that a number is one's among. */
  readonly boot: string;
  readonly space: string;
  readonly pid: number;
  /** When the process began, in the machine's ticks: numbers are used again. */
  readonly since: string;
}

/**
 * Who writes a log, in a file beside it: two would fork it. On one machine a process that is gone is known at once; of
 * another machine's, or another container's, only by the file, which its owner touches again and again.
 */
export class Ownership {
  readonly #file: string;
  readonly #text: string;
  readonly #lost: () => void;
  readonly #beats: NodeJS.Timeout;
  #released = false;

  /**
   * @param file the log's
   * @param lost told when the file is another's, or gone: nothing may be written any more
   * @throws Error where somebody else writes the log
   */
  constructor(file: string, lost: () => void) {
    this.#file = ownerFileOf(file);
    this.#lost = lost;
    const own = me();
    this.#text = `${JSON.stringify(own)}\n`;
    const other = existsSync(this.#file) ? ownerIn(this.#file) : undefined;
    if (other !== undefined) {
      if (isAlive(other, own, this.#file)) throw new Error(`${file} is written by ${nameOf(other)}: ${REMEDY}`);
      rmSync(this.#file, { force: true });
    }
    try {
      writeFileSync(this.#file, this.#text, { flag: "wx", mode: 0o640 });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
      throw new Error(`${file} is being begun by another process: ${REMEDY}`, { cause: error });
    }
    this.#beats = setInterval(() => void this.#beat(), BEAT).unref();
  }

  /** The log is whole, and whoever wants may go on with it. */
  release(): void {
    this.#released = true;
    clearInterval(this.#beats);
    try {
      if (readFileSync(this.#file, "utf8") === this.#text) rmSync(this.#file);
    } catch {}
  }

  /** Writes the same over itself: so the file system's own clock says when. What cannot be read or written is passed over. */
  async #beat(): Promise<void> {
    let own = true;
    try {
      const handle = await open(this.#file, "r+");
      try {
        own = (await handle.readFile("utf8")) === this.#text;
        if (own) await handle.write(this.#text, 0);
      } finally {
        await handle.close();
      }
    } catch (error) {
      own = !(error instanceof Error && "code" in error && error.code === "ENOENT");
    }
    if (own || this.#released) return;
    clearInterval(this.#beats);
    this.#lost();
  }
}

/** Its name does not begin as those of the segments do. */
function ownerFileOf(file: string): string {
  return join(dirname(file), `.${basename(file)}.owner`);
}

function me(): Owner {
  return {
    host: hostname(),
    boot: read("/proc/sys/kernel/random/boot_id"),
    space: link("/proc/self/ns/pid"),
    pid: process.pid,
    since: since(process.pid),
  };
}

/** One that cannot be read is somebody's of whom nothing is known. */
function ownerIn(file: string): Owner {
  try {
    const { host, boot, space, pid, since } = JSON.parse(readFileSync(file, "utf8"));
    return { host: String(host), boot: String(boot), space: String(space), pid: Number(pid), since: String(since) };
  } catch {
    return { host: "", boot: "", space: "", pid: Number.NaN, since: "" };
  }
}

function nameOf({ host, pid }: Owner): string {
  return host === "" ? "somebody" : `process ${pid} of ${plainText(host, 64)}`;
}

function isAlive(other: Owner, own: Owner, file: string): boolean {
  const near = own.boot !== "" && own.space !== "" && other.boot === own.boot && other.space === own.space;
  return near ? since(other.pid) === other.since : ageOf(file) < GONE;
}

/** Milliseconds since its last sign of life, by the clock of the file system, which is the same for all. */
function ageOf(file: string): number {
  const probe = `${file}.now`;
  try {
    writeFileSync(probe, "", { mode: 0o640 });
    return statSync(probe).mtimeMs - statSync(file).mtimeMs;
  } finally {
    rmSync(probe, { force: true });
  }
}

/** proc_pid_stat(5), field 22; behind the name, which may hold anything. */
function since(pid: number): string {
  return read(`/proc/${pid}/stat`).replace(/^.*\)/s, "").split(" ")[20] ?? "";
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}

function link(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return "";
  }
}
