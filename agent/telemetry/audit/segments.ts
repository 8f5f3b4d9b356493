import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { BEGINNING, type Head } from "../../../records/audit/chain.ts";
import type { Beginning, SegmentLine } from "../../../records/audit/lines.ts";

/** Bytes at the end of a segment among which its last batch is looked for. */
const TAIL = 4 * 1024 * 1024;

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

/** Where a log goes on. @throws Error where the last segment cannot be read as one */
export function positionOf(file: string): Position {
  const last = segmentsOf(file).at(-1);
  if (last === undefined) return { segment: 0, epoch: 0, head: BEGINNING, reason: "first" };
  const path = segmentFile(file, last);
  const lines = wholeLinesOf(path);
  const begun = firstLineOf(path);
  if (begun === undefined) throw new Error(`${path} does not begin as a segment of an audit log`);
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

function firstLineOf(path: string): SegmentLine | undefined {
  const fd = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(4096);
    const text = bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, 0));
    const record = JSON.parse(text.slice(0, text.indexOf("\n"))) as SegmentLine;
    return record.audit === "segment" ? record : undefined;
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

/** Begins a segment's file, for its owner alone. @throws Error where it is there, or cannot be written */
export function beginSegment(file: string, segment: number, first: string): number {
  const fd = openSync(segmentFile(file, segment), "ax", 0o640);
  writeSync(fd, first);
  fsyncSync(fd);
  return fd;
}

/** Puts a text into a file's place, whole or not at all, kept against a loss of power. */
export function replaceFile(path: string, text: string): void {
  const beside = join(dirname(path), `.${basename(path)}.next`);
  const fd = openSync(beside, "w", 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(beside, path);
}

export function readText(path: string): string {
  return readFileSync(path, "utf8");
}
