import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { BEGINNING, type Head } from "../../../records/audit/chain.ts";
import { type Beginning, type SegmentLine, segmentLineOf } from "../../../records/audit/lines.ts";

/** Bytes at the end of a segment among which its last batch is looked for. */
const TAIL = 4 * 1024 * 1024;
/** Bytes of a segment's first line at most. */
const LONGEST_FIRST = 4096;

/** Where the segments of a log have come to. */
export interface Position {
  readonly segment: number;
  readonly epoch: number;
  readonly head: Head;
  readonly reason: Beginning;
}

/** The file of a segment: `audit.log.000001`. */
export function segmentFile(file: string, segment: number): string {
  return `${file}.${String(segment).padStart(6, "0")}`;
}

/** Numbers of the segments that are there, the oldest first. */
export function segmentsOf(file: string): readonly number[] {
  const names = readdirSync(dirname(file));
  const prefix = `${basename(file)}.`;
  const numbers = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  return numbers
    .filter((text) => /^\d{6,9}$/.test(text))
    .map(Number)
    .sort((a, b) => a - b);
}

/**
 * Where a log goes on. A last segment without one whole line never began, and is removed.
 *
 * @param origin whose log it is to be
 * @throws Error where the last segment cannot be read as one, or is another's
 */
export function positionOf(file: string, origin: string): Position {
  const last = segmentsOf(file).at(-1);
  if (last === undefined) return { segment: 0, epoch: 0, head: BEGINNING, reason: "first" };
  const path = segmentFile(file, last);
  const lines = wholeLinesOf(path);
  if (lines.length === 0 && statSync(path).size < LONGEST_FIRST) {
    rmSync(path);
    return positionOf(file, origin);
  }
  const begun = firstLineOf(path);
  if (begun === undefined) throw new Error(`${path} does not begin as a segment of an audit log`);
  if (begun.origin !== origin)
    throw new Error(`${path} is the log of ${begun.origin}, and not of ${origin}: \`audit.name\` says whose it is`);
  const at = lines.findLastIndex((line) => line.startsWith('{"audit":"batch"'));
  const batch = at < 0 ? undefined : (JSON.parse(lines[at] ?? "") as { size: number; hash: string });
  const { size, hash } = batch ?? begun;
  const before = lines[at - 1] ?? "";
  const ended =
    before.startsWith('{"audit":"end"') &&
    lines.slice(at + 1).every((line) => line.startsWith('{"audit":"checkpoint"'));
  return {
    segment: last,
    epoch: begun.epoch,
    head: { size, hash: Buffer.from(hash, "base64") },
    reason: ended ? "restart" : "crash",
  };
}

function wholeLinesOf(path: string): readonly string[] {
  const { size } = statSync(path);
  const bytes = Buffer.alloc(Math.min(size, TAIL));
  const fd = openSync(path, "r");
  try {
    readSync(fd, bytes, 0, bytes.length, size - bytes.length);
  } finally {
    closeSync(fd);
  }
  const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1).toString();
  return whole.split("\n").slice(size > bytes.length ? 1 : 0, -1);
}

/** The first record of a segment; undefined where it is none. @throws Error where the file cannot be opened */
export function firstLineOf(path: string): SegmentLine | undefined {
  const fd = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(LONGEST_FIRST);
    const text = bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, 0));
    return segmentLineOf(JSON.parse(text.slice(0, text.indexOf("\n"))));
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

/** Begins a segment's file, for its owner alone. @throws Error where it is there, or cannot be written: then it is not there */
export function beginSegment(file: string, segment: number, first: string): number {
  const path = segmentFile(file, segment);
  const fd = openSync(path, "ax", 0o640);
  try {
    writeFileSync(fd, first);
    fsyncSync(fd);
    keepNames(path);
    return fd;
  } catch (error) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw error;
  }
}

/** Puts a text into a file's place, whole or not at all, kept against a loss of power. */
export function replaceFile(path: string, text: string): void {
  const beside = join(dirname(path), `.${basename(path)}.next`);
  const fd = openSync(beside, "w", 0o600);
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(beside, path);
  keepNames(path);
}

/** Has the machine keep which files there are beside this one, where its file system can. */
function keepNames(path: string): void {
  try {
    const fd = openSync(dirname(path), "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {}
}

export function readText(path: string): string {
  return readFileSync(path, "utf8");
}
