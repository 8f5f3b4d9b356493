import { createHmac, createPublicKey, type KeyObject } from "node:crypto";
import { existsSync, realpathSync, rmSync } from "node:fs";
import { Batch, type Head } from "../../../records/audit/chain.ts";
import { type Beginning, batchLine, type InForce, type LogHead, line } from "../../../records/audit/lines.ts";
import { privateKeyOf, rawKey, signedNote, succession } from "../../../records/audit/note.ts";
import type { AuditConfig } from "../../config/sections/audit.ts";
import type { DecisionLines } from "../decision-log.ts";
import type { DecisionSink, Observation } from "../events.ts";
import { Append } from "./append.ts";
import { Ownership } from "./owner.ts";
import { beginSegment, positionOf, readText, replaceFile, segmentFile } from "./segments.ts";

/** Characters that are gathered into one batch, and milliseconds that a record waits for others. */
const BATCH = 64 * 1024;
const DELAY = 100;
/** Bytes of lines that come together; fewer have waited for others already. */
const FULL = 16 * 1024;
/** Bytes that wait for the disk; past them the log is full. */
const LARGEST_BACKLOG = 4 * 1024 * 1024;
/** Milliseconds for what waits at the end. */
const LONGEST_CLOSE = 5_000;

/** What the log tells about itself. None of these throws or waits. */
export interface AuditEvents {
  /** One is in the file. @param note the signed note; who keeps it elsewhere can hold the log to it */
  checkpoint(note: string, size: number): void;
  /** Decisions cannot be kept, or can again. @param lost how many were not, meanwhile */
  full(why: string): void;
  room(lost: number): void;
}

/** The processes that have a log each: the only one, 0, or each of several, which count from 1. */
export function processesOf(workers: number): readonly number[] {
  return workers === 1 ? [0] : Array.from({ length: workers }, (_, index) => index + 1);
}

/** What the names of a log's segments begin with. @param process which of several; 0 where there is one */
export function logFileOf({ file }: Pick<AuditConfig, "file">, process: number): string {
  return process === 0 ? file : `${file}.worker${process}`;
}

export function keyFileOf({ key }: Pick<AuditConfig, "key">, process: number): string {
  return process === 0 ? key : `${key}.worker${process}`;
}

/** How far a log has come, as plain data. */
export interface AuditState {
  readonly origin: string;
  /** Records, and how many of them are signed in the file. */
  readonly records: number;
  readonly signed: number;
  /** Decisions that were not kept, since the start. */
  readonly lost: number;
  /** The error code of the last attempt to write, where it failed. */
  readonly error: string | undefined;
}

/**
 * Decisions in an order that nobody can change unseen: a digest of each batch and all before it, and once a while a
 * signature. The digests are of batches, which costs a tenth of one for each record.
 *
 * Each process has a log, and each start a key of its own, for which the one before vouches and is then forgotten: who
 * takes the key cannot rewrite what was signed before.
 */
export class AuditLog implements DecisionSink {
  readonly #config: AuditConfig;
  readonly #origin: string;
  readonly #file: string;
  readonly #lines: DecisionLines;
  readonly #clock: () => number;
  readonly #events: AuditEvents;
  readonly #key: KeyObject;
  readonly #word: string;
  readonly #epoch: number;
  /** Whether a checkpoint is to outlive a loss of power: what others say of this log must, as what they say may. */
  readonly #sync: boolean;
  readonly #pseudonym: ((subject: string) => string) | undefined;
  readonly #checkpoints: NodeJS.Timeout;
  readonly #ownership: Ownership;
  #isAnothers = false;
  #segment: number;
  readonly #append: Append;
  #written = 0;
  #batch: Batch;
  #head: Head;
  #signed = 0;
  /** How many are in the file, with their signature; and how far that is for the other processes. */
  #kept = 0;
  #told: LogHead | undefined;
  /** Whether there is more to be told than of whom this log was told. */
  #news = true;
  #others = "";
  /** What is to be the next batch: bytes, and behind them text. */
  #parts: Buffer[] = [];
  #size = 0;
  #text = "";
  #timer: NodeJS.Timeout | undefined;
  #lost = 0;
  #allLost = 0;
  #revision = "";
  /** What is in force and could not be said. */
  #unsaid: InForce | undefined;
  #closed = false;

  /**
   * Begins a segment.
   *
   * @param process which of several; 0 where there is one
   * @throws Error where file or key cannot be read or written, or are none
   */
  constructor(config: AuditConfig, process: number, lines: DecisionLines, clock: () => number, events: AuditEvents) {
    this.#config = config;
    this.#origin = `${config.name}/${process}`;
    this.#file = logFileOf(config, process);
    this.#sync = config.sync === "checkpoint" || process > 0;
    this.#lines = lines;
    this.#clock = clock;
    this.#events = events;
    const { pseudonyms } = config;
    this.#pseudonym =
      pseudonyms === undefined
        ? undefined
        : (subject) => `p:${createHmac("sha256", pseudonyms).update(subject).digest("base64url").slice(0, 22)}`;
    const keyFile = keyFileOf(config, process);
    const last = privateKeyOf(readText(keyFile));
    const position = positionOf(this.#file, this.#origin);
    this.#epoch = position.epoch + 1;
    const { key, word } = succession(this.#origin, this.#epoch, last);
    this.#key = key;
    this.#word = word;
    this.#segment = position.segment;
    this.#head = position.head;
    this.#batch = new Batch(this.#head);
    this.#ownership = new Ownership(this.#file, () => this.#takenOver());
    try {
      this.#append = new Append(this.#begin(position.reason)());
      // Only once the word for the next key is on the disk may the last one go.
      this.#keep(keyFile);
    } catch (error) {
      this.#ownership.release();
      throw error;
    }
    this.#checkpoints = setInterval(() => this.#checkpoint(), config.checkpoint).unref();
  }

  /** Why no more can be kept; undefined while it can. Once some were lost, there is room when half is written. */
  get full(): string | undefined {
    if (this.#isAnothers) return "another agent writes it";
    const most = this.#lost > 0 ? LARGEST_BACKLOG / 2 : LARGEST_BACKLOG;
    return this.#append.waiting > most ? (this.#append.failure ?? "slow") : undefined;
  }

  /** For /status and metrics: how many records there are, how many of them are signed, and why nothing can be written. */
  get state(): AuditState {
    const error = this.#append.failure;
    return { origin: this.#origin, records: this.#head.size, signed: this.#kept, lost: this.#allLost, error };
  }

  decided(observation: Observation): void {
    this.#catchUp();
    const { full } = this;
    if (full !== undefined && !this.#mustKeep(observation)) {
      this.#allLost++;
      if (this.#lost++ === 0) this.#events.full(full);
      return;
    }
    this.#add(`${this.#lines.line(this.#pseudonymous(observation), this.#clock())}}\n`);
  }

  /** Whether a line here is just what it is in the decision log. */
  get takesLines(): boolean {
    return this.#pseudonym === undefined;
  }

  /** Decisions as the decision log has them: lines, each with its line feed, which are written twice and made once. */
  take(lines: Buffer, count: number): void {
    this.#catchUp();
    const { full } = this;
    const kept = full === undefined ? lines : this.#mustBeKept(lines);
    const lost = full === undefined ? 0 : count - linesIn(kept);
    if (full !== undefined && lost > 0 && this.#lost === 0) this.#events.full(full);
    this.#lost += lost;
    this.#allLost += lost;
    if (this.#closed || kept.length === 0) return;
    this.#asPart();
    this.#parts.push(kept);
    this.#news = true;
    this.#size += kept.length;
    if (this.#size >= BATCH || lines.length < FULL) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), DELAY).unref();
  }

  /** A record of what is in force from now on. While the log is full, the last one alone waits for room. */
  inForce(inForce: InForce): void {
    if (this.#closed) return;
    this.#unsaid = inForce;
    this.#catchUp();
    this.#gather();
  }

  /**
   * Records how far the logs of all processes have come, with the next checkpoint.
   *
   * @returns how far this one has, in its file and signed, but for what it was told of the others: they would never end
   * telling each other of that
   */
  exchange(all: readonly LogHead[]): LogHead | undefined {
    const heads = all.filter(({ origin }) => origin !== this.#origin);
    const others = JSON.stringify(heads);
    if (heads.length > 0 && others !== this.#others && !this.#closed && this.full === undefined) {
      this.#others = others;
      this.#text += line({ audit: "heads", heads, time: this.#now() });
    }
    return this.#told;
  }

  /** Ends the segment, signed, and tells where that could not be written in time. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#checkpoints);
    clearTimeout(this.#timer);
    this.#catchUp();
    this.#end("stop");
    // Where the disk hangs, what is under way may still come to be written: the log is nobody else's until then.
    if (await this.#append.end(LONGEST_CLOSE)) this.#ownership.release();
    if (this.#append.waiting > 0) this.#events.full(this.#append.failure ?? "slow");
  }

  /** What was let through while there was room is kept: no more than what was being asked when there was none any more. */
  #mustKeep({ decision }: Observation): boolean {
    return this.#config.onFull === "deny" && decision.verdict === "allow" && !this.#isAnothers;
  }

  /** The same of lines; what a client has sent has its quotes escaped there. */
  #mustBeKept(lines: Buffer): Buffer {
    if (this.#config.onFull !== "deny" || this.#isAnothers) return lines.subarray(0, 0);
    const kept = lines
      .toString()
      .split(/(?<=\n)/)
      .filter((line) => line.includes('"verdict":"allow"'));
    return Buffer.from(kept.join(""));
  }

  #pseudonymous(observation: Observation): Observation {
    const { principal } = observation;
    if (this.#pseudonym === undefined || principal === undefined) return observation;
    const actor = Array.isArray(principal.actor)
      ? principal.actor.map((each) => ({ ...each, subject: this.#pseudonym?.(each.subject) ?? "" }))
      : principal.actor;
    const known = { ...principal, subject: this.#pseudonym(principal.subject), actor };
    return Object.defineProperty(Object.create(observation) as Observation, "principal", { value: known });
  }

  #add(text: string): void {
    if (this.#closed) return;
    this.#news = true;
    this.#text += text;
    this.#gather();
  }

  /** What is text by now is written once there is enough of it, or soon. */
  #gather(): void {
    if (this.#text.length >= BATCH) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), DELAY).unref();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asPart();
    if (this.#parts.length === 0) return;
    for (const bytes of this.#parts) {
      this.#batch.addAll(bytes);
      this.#write(bytes);
    }
    this.#parts = [];
    this.#size = 0;
    this.#head = this.#batch.end();
    this.#write(Buffer.from(batchLine(this.#head, this.#batch.sum)));
    this.#batch = new Batch(this.#head);
  }

  #asPart(): void {
    if (this.#text === "") return;
    const bytes = Buffer.from(this.#text);
    this.#text = "";
    this.#parts.push(bytes);
    this.#size += bytes.length;
  }

  #write(bytes: Buffer): void {
    this.#written += bytes.length;
    this.#append.add(bytes);
  }

  /** What would be written from now on would be a second history: nothing is, and what `on_full` says counts. */
  #takenOver(): void {
    this.#isAnothers = true;
    void this.#append.end(0);
    this.#events.full("another agent writes it");
  }

  #checkpoint(): void {
    if (this.#isAnothers) return;
    this.#catchUp();
    this.#flush();
    if (this.#head.size > this.#signed) {
      this.#batch.addAll(this.#sign());
    }
    if (this.#closed || this.#append.turning) return;
    if (this.#written > this.#config.maxSize || this.#isMoved()) this.#rotate();
  }

  /** What stands outside of the log is told once it is in the file: a crash must not make it untrue. */
  #sign(): Buffer {
    const [origin, { size, hash }, news] = [this.#origin, this.#head, this.#news];
    const note = signedNote({ origin, head: { size, hash } }, this.#key);
    const bytes = Buffer.from(line({ audit: "checkpoint", note }));
    this.#write(bytes);
    this.#signed = size;
    this.#news = false;
    this.#append.mark(this.#sync, () => {
      this.#kept = size;
      if (news) this.#told = { origin, size, hash: hash.toString("base64") };
      this.#events.checkpoint(note, size);
    });
    return bytes;
  }

  /** Says how many were lost, and what is in force by now, once there is room for that again, or at the end. */
  #catchUp(): void {
    if (this.#lost === 0 && this.#unsaid === undefined) return;
    if (this.full === undefined || this.#closed) {
      this.#sayLost();
      this.#sayInForce();
    }
  }

  #sayLost(): void {
    const lost = this.#lost;
    if (lost === 0) return;
    this.#lost = 0;
    this.#news = true;
    this.#text += line({ audit: "gap", lost, time: this.#now() });
    this.#events.room(lost);
  }

  #sayInForce(): void {
    if (this.#unsaid === undefined) return;
    const { revision, configuration, files } = this.#unsaid;
    this.#unsaid = undefined;
    const previous = this.#revision;
    this.#revision = revision;
    this.#news = true;
    this.#text += line({ audit: "revision", revision, previous, configuration, files, time: this.#now() });
  }

  /** Whether somebody has given the segment another name, or removed it. */
  #isMoved(): boolean {
    return !existsSync(segmentFile(this.#file, this.#segment));
  }

  /** What follows stands in the next segment, which begins once this one is whole: a crash leaves none between the two. */
  #rotate(): void {
    this.#end("rotation");
    this.#append.turn(this.#begin("rotation"));
  }

  #end(reason: "rotation" | "stop"): void {
    this.#text += line({ audit: "end", reason, time: this.#now() });
    this.#news = true;
    this.#flush();
    this.#sign();
    this.#batch = new Batch(this.#head);
  }

  /** @returns what makes its file */
  #begin(reason: Beginning): () => number {
    this.#segment++;
    const first = line({
      audit: "segment",
      version: 1,
      origin: this.#origin,
      segment: this.#segment,
      reason,
      epoch: this.#epoch,
      key: rawKey(createPublicKey(this.#key)).toString("base64"),
      word: this.#word,
      size: this.#head.size,
      hash: this.#head.hash.toString("base64"),
      time: this.#now(),
    });
    this.#batch = new Batch(this.#head);
    this.#batch.addAll(Buffer.from(first));
    this.#written = first.length;
    const segment = this.#segment;
    return () => beginSegment(this.#file, segment, first);
  }

  /** A segment whose key cannot be kept would only be in the way of the next start. */
  #keep(keyFile: string): void {
    try {
      replaceFile(realpathSync(keyFile), this.#key.export({ type: "pkcs8", format: "pem" }) as string);
    } catch (error) {
      rmSync(segmentFile(this.#file, this.#segment), { force: true });
      throw error;
    }
  }

  #now(): string {
    return new Date(this.#clock()).toISOString();
  }
}

function linesIn(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}
