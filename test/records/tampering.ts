import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { Batch, type Head } from "../../records/audit/chain.ts";
import { batchLine, line as recordLine } from "../../records/audit/lines.ts";
import { signedNote } from "../../records/audit/note.ts";
import { type Finding, type Known, Verifier } from "../../records/audit/verify.ts";
import type { HonestLog, Segment } from "./honest.ts";

/** One thing that somebody did to a log, and what is to be told of it. */
export interface Case {
  readonly what: string;
  readonly file: string;
  /** From 1; 0 where it was done to whole files. */
  readonly line: number;
  /** This kind, and no other where it was done to a line; `any`: that it was altered; `none`: nobody vouches for that. */
  readonly expected: Finding["kind"] | "any" | "none";
  readonly findings: readonly Finding[];
}

/** What was told instead of what was to be told. */
export function faultOf({ expected, findings, file, line }: Case): string | undefined {
  const told = findings.filter(({ severity }) => severity === "tampered");
  const kinds = new Set(told.map(({ kind }) => kind));
  const right = expected === "none" ? kinds.size === 0 : expected === "any" ? kinds.size > 0 : kinds.has(expected);
  const others = line > 0 && expected !== "any" && kinds.size > 1;
  // It is told with the digest of its batch, or where the next file begins.
  const early = told.find((each) => each.file === file && each.line < line - 1);
  if (early !== undefined) return `${early.kind} in line ${early.line}`;
  return right && !others ? undefined : [...kinds].join() || "nothing";
}

type Lines = readonly string[];

const STRANGER = generateKeyPairSync("ed25519");
const isDecision = (line = "") => line.includes('"msg":"decision"');
const isBatch = (line: string) => line.startsWith('{"audit":"batch"');
const isCheckpoint = (line: string) => line.startsWith('{"audit":"checkpoint"');

/** Everything that is done to these logs, at each position that is taken. */
export function* casesOf(
  logs: readonly HonestLog[],
  isTaken: (position: number) => boolean = () => true,
): Generator<Case> {
  let position = 0;
  for (const log of logs) {
    for (const [index, segment] of log.segments.entries()) {
      const place = new Place(log, segment, log.segments[index + 1]);
      for (const at of segment.lines.keys()) {
        if (isTaken(position++)) yield* lineCases(place, at);
      }
      yield* segmentCases(log, index, logs.find((other) => other !== log) ?? log);
    }
  }
}

/** A segment, which is verified by itself and with the first line of what follows: that has the digest of all before. */
class Place {
  readonly log: HonestLog;
  readonly segment: Segment;
  readonly next: Segment | undefined;
  readonly lastBatch: number;
  readonly #lastCheckpoint: number;

  constructor(log: HonestLog, segment: Segment, next: Segment | undefined) {
    this.log = log;
    this.segment = segment;
    this.next = next;
    this.lastBatch = segment.lines.findLastIndex(isBatch);
    this.#lastCheckpoint = segment.lines.findLastIndex(isCheckpoint);
  }

  case(what: string, at: number, lines: Lines, expected: Case["expected"], by?: Known): Case {
    const known = by ?? { ...this.log.kept, by: "what was kept" };
    const rest = by === undefined ? this.next : undefined;
    const findings = findingsOf(
      this.segment.key,
      [{ ...this.segment, lines }],
      rest === undefined ? [known] : [],
      rest,
    );
    return { what, file: this.segment.name, line: at + 1, expected, findings };
  }

  /** How many records there are up to the last batch before this line. */
  sizeAt(at: number): number {
    const batch = this.segment.lines.slice(0, at).findLast(isBatch);
    return batch === undefined ? this.segment.first.size : JSON.parse(batch).size;
  }

  /** Whether the digest of a batch with this line is known to something that is not in this file. */
  isKnownElsewhere(at: number): boolean {
    return this.next !== undefined || this.sizeAt(at) < this.log.kept.head.size;
  }

  /** The same to anything behind it. */
  isVouchedFor(at: number): boolean {
    return (
      this.isKnownElsewhere(at) ||
      this.#lastCheckpoint > this.segment.lines.findIndex((each, n) => n >= at && isBatch(each))
    );
  }
}

function* lineCases(place: Place, at: number): Generator<Case> {
  const { segment, log, lastBatch } = place;
  const { lines } = segment;
  const line = lines[at] ?? "";
  const other = lines[at + 1] ?? "";
  // Behind the last batch of a crash nothing vouches for a record.
  const vouched = at <= lastBatch;
  const as = (kind: Finding["kind"]) => (!vouched ? "none" : isDecision(line) ? kind : "any");
  if (vouched || isDecision(line)) {
    yield place.case("edited", at, lines.with(at, edited(line)), as("edited"));
    // Without its last digest a file ends as by a crash; what follows has it, or who kept a checkpoint.
    const untold = at === lastBatch && !place.isKnownElsewhere(at);
    yield place.case("deleted", at, lines.toSpliced(at, 1), untold ? "none" : as("deleted"));
  }
  if (isCheckpoint(line)) yield place.case("edited", at, lines.with(at, edited(line)), "any");
  if (isDecision(line)) {
    yield place.case("duplicated", at, lines.toSpliced(at, 0, line), as("duplicated"));
    yield place.case("inserted", at, lines.toSpliced(at, 0, edited(line)), as("inserted"));
  }
  if (isDecision(line) && isDecision(other))
    yield place.case("reordered", at, lines.toSpliced(at, 2, other, line), as("reordered"));
  if (at > 0 && vouched) yield* cuts(place, at);
  if (isDecision(line) && vouched) {
    const told = place.isVouchedFor(at) ? "any" : "none";
    const changed = lines.with(at, edited(line));
    yield place.case("edited, with new digests", at, rehashed(segment, changed, at), told);
    const last = log.segments.at(-1)?.key ?? STRANGER.privateKey;
    const later = last === segment.key ? STRANGER.privateKey : last;
    yield place.case("edited, signed by another key", at, rehashed(segment, changed, at, later), told);
    const stolen = rehashed(segment, changed, at, segment.key);
    yield place.case("edited, signed by its own key", at, stolen, place.isKnownElsewhere(at) ? "forked" : "none");
  }
}

function* cuts(place: Place, at: number): Generator<Case> {
  const { log, segment, next } = place;
  const { lines } = segment;
  const left = lines.slice(0, at);
  const size = place.sizeAt(at);
  const what = next === undefined ? "cut off at the end" : "cut off, the next file left";
  yield place.case(what, at, left, place.isKnownElsewhere(at) ? "truncated" : "none");
  const told = { origin: log.origin, head: { size: log.told.size, hash: Buffer.from(log.told.hash, "base64") } };
  const expected = size < told.head.size ? "truncated" : "none";
  yield place.case("cut off with all behind it", at, left, expected, { ...told, by: "the other worker's log" });
  const last = lines.findLastIndex(isCheckpoint);
  if (at < last) yield place.case("cut off but for the last checkpoint", at, [...left, lines[last] ?? ""], "any");
}

function* segmentCases(log: HonestLog, index: number, other: HonestLog): Generator<Case> {
  const [before, segment, next] = [log.segments[index - 1], log.segments[index], log.segments[index + 1]];
  if (segment === undefined) return;
  const kept = [{ ...log.kept, by: "what was kept" }];
  const as = (
    what: string,
    segments: readonly (Segment | undefined)[],
    expected: Case["expected"],
    key?: KeyObject,
  ) => {
    const all = segments.filter((each) => each !== undefined);
    const findings = findingsOf(key ?? all[0]?.key ?? segment.key, all, next === undefined ? kept : []);
    return { what, file: segment.name, line: 0, expected, findings };
  };
  if (before !== undefined) yield as("a file removed", [before, next], next === undefined ? "truncated" : "deleted");
  else yield as("the first file removed", [next], "none");
  yield as("a file twice", [segment, segment, next], "any");
  if (before !== undefined) yield as("an older file in its place", [before, before, next], "any");
  if (next !== undefined) yield as("two files in each other's place", [next, segment], "any");
  yield as("another worker's file behind it", [segment, other.segments[index] ?? other.segments[0]], "replayed");
  yield as("another key", [segment, next], "wrong-key", STRANGER.privateKey);
}

/** What is told of segments. @param key the private half of whom is trusted @param next of which only the first line follows */
function findingsOf(
  key: KeyObject,
  segments: readonly Told[],
  known: readonly Known[],
  next?: Segment,
): readonly Finding[] {
  return verifierOf(createPublicKey(key), segments, known, next).findings;
}

type Told = Pick<Segment, "name" | "lines" | "torn" | "first">;

/** One that has seen all of it. */
export function verifierOf(
  key: KeyObject,
  segments: readonly Told[],
  known: readonly Known[],
  next?: Segment,
): Verifier {
  const verifier = new Verifier({ key, known });
  for (const [index, { name, lines, torn }] of segments.entries()) {
    verifier.open(name);
    for (const line of lines) verifier.line(Buffer.from(line));
    verifier.close(torn.length, (segments[index + 1] ?? next)?.first);
  }
  if (next !== undefined) {
    verifier.open(next.name);
    verifier.line(Buffer.from(next.lines[0] ?? ""));
  }
  verifier.end();
  return verifier;
}

/** With one digit or letter changed that means something. */
function edited(line: string): string {
  if (isDecision(line)) return line.replace('"GET"', '"PUT"');
  return line.replace(/[0-9](?=[^0-9]*$)/, (digit) => String((Number(digit) + 1) % 10));
}

/** All digests made anew, and from that line on the checkpoints too where there is a key. */
function rehashed({ first }: Segment, lines: Lines, from: number, key?: KeyObject): Lines {
  let head: Head = { size: first.size, hash: Buffer.from(first.hash, "base64") };
  let batch = new Batch(head);
  return lines.map((line, at) => {
    if (isBatch(line)) {
      head = batch.end();
      const text = batchLine(head, batch.sum);
      batch = new Batch(head);
      return text;
    }
    const isNew = key !== undefined && at >= from && isCheckpoint(line);
    const text = isNew
      ? recordLine({ audit: "checkpoint", note: signedNote({ origin: first.origin, head }, key) })
      : line;
    batch.add(Buffer.from(text));
    return text;
  });
}
