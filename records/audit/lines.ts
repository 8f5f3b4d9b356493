import type { Head } from "./chain.ts";

/** Why a segment begins: the very first; the agent began anew, well or after a crash; the one before was full or moved. */
export type Beginning = "first" | "restart" | "crash" | "rotation";

/**
 * The first record of a segment. A segment is a file; those of a log follow each other, and each says where the one before
 * had come to.
 */
export interface SegmentLine {
  readonly audit: "segment";
  readonly version: 1;
  /** Whose log; `NAME/0` of the first of several processes. */
  readonly origin: string;
  readonly segment: number;
  readonly reason: Beginning;
  /** Counts the keys that have signed: each start of the agent has its own. */
  readonly epoch: number;
  /** Public key of this epoch, and the one before's word for it; both raw in base64. */
  readonly key: string;
  readonly word: string;
  /** Of the segment before. */
  readonly size: number;
  readonly hash: string;
  readonly time: string;
}

/** A record as the first of a segment; undefined where it cannot be one. What it says is yet to be proven. */
export function segmentLineOf(record: Readonly<Record<string, unknown>>): SegmentLine | undefined {
  const texts = [record.origin, record.key, record.word, record.hash];
  const numbers = [record.segment, record.epoch, record.size];
  const sound = record.audit === "segment" && texts.every((text) => typeof text === "string") && numbers.every(isCount);
  return sound ? (record as unknown as SegmentLine) : undefined;
}

/** The same for the end of a batch. */
export function batchLineOf(record: Readonly<Record<string, unknown>>): BatchLine | undefined {
  const sound = record.audit === "batch" && isCount(record.size) && typeof record.hash === "string";
  return sound ? (record as unknown as BatchLine) : undefined;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** How far the records above have come. */
export interface BatchLine {
  readonly audit: "batch";
  readonly size: number;
  readonly hash: string;
  readonly sum: number;
}

/** A signed note: see note.ts. */
export interface CheckpointLine {
  readonly audit: "checkpoint";
  readonly note: string;
}

/** How far a log has come in its file, signed. */
export interface LogHead {
  readonly origin: string;
  readonly size: number;
  readonly hash: string;
}

/** How far the logs of the other processes have come: none of them can be taken away unseen, nor cut off. */
export interface HeadsLine {
  readonly audit: "heads";
  readonly heads: readonly LogHead[];
  readonly time: string;
}

/** The same of a record; undefined where it is none. */
export function headsLineOf(record: Readonly<Record<string, unknown>>): HeadsLine | undefined {
  const { audit, heads } = record;
  const sound = audit === "heads" && Array.isArray(heads) && heads.every(isHead);
  return sound ? (record as unknown as HeadsLine) : undefined;
}

function isHead(value: unknown): value is LogHead {
  if (typeof value !== "object" || value === null) return false;
  const { origin, size, hash } = value as Partial<LogHead>;
  return typeof origin === "string" && isCount(size) && typeof hash === "string";
}

/** Decisions that could not be kept. */
export interface GapLine {
  readonly audit: "gap";
  readonly lost: number;
  readonly time: string;
}

/** What was judged by from here on. */
export interface RevisionLine {
  readonly audit: "revision";
  readonly revision: string;
  readonly previous: string;
  /** Digest of the configuration, its secrets left out. */
  readonly configuration: string;
  /** SHA-256 of each policy file. */
  readonly files: Readonly<Record<string, string>>;
  readonly time: string;
}

/** What is in force. */
export type InForce = Pick<RevisionLine, "revision" | "configuration" | "files">;

/** The last record of a segment that was ended and not cut off. */
export interface EndLine {
  readonly audit: "end";
  readonly reason: "rotation" | "stop";
  readonly time: string;
}

export type AuditLine = SegmentLine | BatchLine | CheckpointLine | HeadsLine | GapLine | RevisionLine | EndLine;

export function batchLine({ size, hash }: Head, sum: number): string {
  return line({ audit: "batch", size, hash: hash.toString("base64"), sum });
}

/** One line with its line feed. */
export function line(record: AuditLine): string {
  return `${JSON.stringify(record)}\n`;
}
