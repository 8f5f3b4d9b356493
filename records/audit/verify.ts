import type { KeyObject } from "node:crypto";
import { Batch, BEGINNING, type Head } from "./chain.ts";
import { type AuditLine, type BatchLine, batchLine, batchLineOf, type SegmentLine, segmentLineOf } from "./lines.ts";
import { type Checkpoint, isSignedBy, isSuccession, publicKeyOf, readNote } from "./note.ts";

/** What is wrong with a log, or should be known of it. */
export interface Finding {
  /** `tampered`: somebody has changed it; `warning`: it may be what it is by itself. */
  readonly severity: "tampered" | "warning";
  readonly kind:
    | "edited"
    | "deleted"
    | "inserted"
    | "duplicated"
    | "reordered"
    | "truncated"
    | "replayed"
    | "forked"
    | "wrong-key"
    | "malformed"
    | "gap"
    | "torn"
    | "unsigned"
    | "history"
    | "clock";
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** How far the log had come, as is known from elsewhere. */
export interface Known extends Checkpoint {
  /** Who says so: such as `the checkpoint that was kept`. */
  readonly by: string;
}

export interface Trust {
  /** Public key of the first epoch that is presented, or of the one before it. */
  readonly key: KeyObject;
  readonly known?: readonly Known[];
}

/** What was read. */
export interface Summary {
  readonly origin: string;
  readonly segments: number;
  readonly records: number;
  readonly decisions: { readonly allowed: number; readonly denied: number };
  /** Decisions that the log itself says it has not. */
  readonly lost: number;
  /** The last one that is signed. */
  readonly checkpoint: string | undefined;
}

/** Milliseconds by which a clock may go back. */
const CLOCK = 5_000;
/** Findings of each severity that are kept; the others are counted. */
const MOST_FINDINGS = 1_000;
/** Lines of one batch that are kept for telling what was changed. */
const MOST_KEPT = 100_000;

/** Reads the segments of one log in their order, a line at a time, and tells what is wrong. */
export class Verifier {
  readonly #findings: Record<Finding["severity"], Finding[]> = { tampered: [], warning: [] };
  #more = 0;
  readonly #trust: Trust;
  /** What the records were not held against yet, by their number. */
  readonly #known: Map<number, readonly Known[]>;
  #file = "";
  #line = 0;
  #origin = "";
  #segments = 0;
  #segment: SegmentLine | undefined;
  #key: KeyObject;
  /** The key of the epoch before, and whether this one's has signed nothing yet. */
  #last: KeyObject;
  #idle = true;
  #head: Head = BEGINNING;
  #batch = new Batch(BEGINNING);
  #kept: string[] = [];
  /** Records before those that are presented; and whether anybody vouches for there having been as many. */
  #start = 0;
  #proven = false;
  #signed = 0;
  #checkpoint: string | undefined;
  /** Whether a record says so that no batch has ended behind; and whether one has. */
  #ending = false;
  #ended = false;
  #begun = false;
  #allowed = 0;
  #denied = 0;
  #lost = 0;
  #time = Number.NEGATIVE_INFINITY;

  constructor(trust: Trust) {
    this.#trust = trust;
    this.#known = Map.groupBy(trust.known ?? [], ({ head }) => head.size);
    this.#key = trust.key;
    this.#last = trust.key;
  }

  /** The grave ones first: no number of others keeps them from being told. */
  get findings(): readonly Finding[] {
    return [...this.#findings.tampered, ...this.#findings.warning];
  }

  /** How many more there were. */
  get more(): number {
    return this.#more;
  }

  get summary(): Summary {
    return {
      origin: this.#origin,
      segments: this.#segments,
      records: this.#head.size,
      decisions: { allowed: this.#allowed, denied: this.#denied },
      lost: this.#lost,
      checkpoint: this.#checkpoint,
    };
  }

  /** The lines that follow are of this segment. */
  open(file: string): void {
    this.#file = file;
    this.#line = 0;
    this.#begun = false;
  }

  /** @param bytes a line with its line feed */
  line(bytes: Uint8Array): void {
    this.#line++;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
    const record = recordOf(text);
    if (record === undefined) this.#malformed("no record: no JSON object in one line");
    if (!this.#begun) {
      this.#begun = true;
      const first = record === undefined ? undefined : segmentLineOf(record);
      if (first !== undefined) this.#begin(first);
      else this.#tampered("deleted", "the segment does not begin with its first record");
    } else if (record?.audit === "segment") this.#tampered("inserted", "a segment within a segment");
    if (this.#ended && !["batch", "checkpoint"].includes(String(record?.audit)))
      this.#tampered("inserted", "a record behind the end of the segment");
    const ending = record === undefined ? undefined : batchLineOf(record);
    if (ending !== undefined) this.#endBatch(ending, text);
    else {
      if (record?.audit === "batch") this.#malformed("the end of a batch that does not say of how many records");
      this.#batch.add(bytes);
      if (this.#kept.length < MOST_KEPT) this.#kept.push(text);
      if (record !== undefined) this.#look(record);
    }
  }

  /**
   * The segment is over.
   *
   * @param torn bytes behind its last line feed
   * @param next the first record of the segment behind it, where there is one
   */
  close(torn: number, next: SegmentLine | undefined): void {
    if (torn > 0)
      this.#say("warning", "torn", `${torn} bytes behind the last whole record: the agent was ended in mid-write`);
    const unsigned = this.#batch.records - this.#checkpointsBehind();
    if (this.#ended) {
      if (unsigned > 0) this.#tampered("inserted", "records behind the end of the segment");
    } else if (next === undefined) {
      if (unsigned > 0)
        this.#say("warning", "torn", `${unsigned} records behind the last batch: the agent writes on, or was ended`);
    } else if (next.reason !== "crash")
      this.#tampered("truncated", "the segment has no end, and the next one follows no crash");
    else if (unsigned > 0) this.#say("warning", "torn", `${unsigned} records behind the last batch: lost in a crash`);
    if (next === undefined && this.#head.size > this.#signed)
      this.#say(
        "warning",
        "unsigned",
        `${this.#head.size - this.#signed} records behind the last checkpoint: nothing vouches for them`,
      );
    this.#ending = false;
    this.#ended = false;
    this.#batch = new Batch(this.#head);
    this.#kept = [];
  }

  /** There are no more segments. */
  end(): void {
    for (const { by, head } of [...this.#known.values()].flat()) {
      if (head.size > this.#head.size)
        this.#tampered("truncated", `${by} has ${head.size} records, and these are ${this.#head.size}`);
      else if (head.size < this.#start && this.#proven)
        this.#say("warning", "history", `${by} has ${head.size} records, all of them from before what is presented`);
      else this.#tampered("forked", `no batch ends at the ${head.size} records of ${by}: this is another history`);
    }
  }

  #begin(record: SegmentLine): void {
    const before = this.#segment;
    this.#segments++;
    const at: Head = { size: record.size, hash: Buffer.from(record.hash, "base64") };
    if (before === undefined) this.#beginFirst(record, at);
    else this.#follow(before, record, at);
    this.#segment = record;
    this.#head = at;
    this.#batch = new Batch(at);
    this.#kept = [];
  }

  #beginFirst(record: SegmentLine, at: Head): void {
    this.#origin = record.origin;
    const key = publicKeyOf(record.key);
    const known = key !== undefined && (key.equals(this.#trust.key) || this.#vouched(record, key, this.#trust.key));
    if (!known) this.#tampered("wrong-key", "the segment's key is neither the given one nor vouched for by it");
    this.#key = key ?? this.#key;
    this.#signed = at.size;
    this.#start = at.size;
    this.#hold(at);
    if (record.segment === 1 && at.size === 0 && at.hash.equals(BEGINNING.hash)) return;
    this.#say(
      "warning",
      "history",
      `the history before segment ${record.segment} (${at.size} records) is not presented`,
    );
  }

  #follow(before: SegmentLine, record: SegmentLine, at: Head): void {
    if (record.origin !== before.origin) {
      this.#tampered("replayed", `a segment of ${record.origin} in a log of ${before.origin}`);
      return;
    }
    if (record.segment === before.segment || record.epoch < before.epoch) {
      const kind = record.size === before.size && record.hash === before.hash ? "forked" : "replayed";
      this.#tampered(
        kind,
        `segment ${record.segment} of epoch ${record.epoch} behind segment ${before.segment} of epoch ${before.epoch}`,
      );
    } else if (record.segment !== before.segment + 1) {
      this.#tampered("deleted", `segment ${record.segment} follows ${before.segment}: those between are missing`);
    } else if (!at.hash.equals(this.#head.hash) || at.size !== this.#head.size) {
      const kind = at.size > this.#head.size ? "truncated" : "forked";
      this.#tampered(kind, `the segment before had ${at.size} records when this one began, and has ${this.#head.size}`);
    }
    this.#changeKey(before, record);
  }

  #changeKey(before: SegmentLine, record: SegmentLine): void {
    if (record.key === before.key && record.epoch === before.epoch) return;
    const key = publicKeyOf(record.key);
    const next = record.epoch === before.epoch + 1;
    // An epoch whose key was never kept, nor used: the agent was ended between the two.
    const unused = this.#idle && key !== undefined && this.#vouched(record, key, this.#last);
    if (key === undefined || !next || !(unused || this.#vouched(record, key, this.#key)))
      this.#tampered("wrong-key", `nobody has vouched for the key of epoch ${record.epoch}`);
    if (!unused) this.#last = this.#key;
    this.#key = key ?? this.#key;
    this.#idle = true;
  }

  #vouched(record: SegmentLine, key: KeyObject, last: KeyObject): boolean {
    return isSuccession(record.origin, record.epoch, key, last, record.word);
  }

  #endBatch(record: BatchLine, text: string): void {
    const found = this.#batch.end();
    const said: Head = { size: record.size, hash: Buffer.from(String(record.hash), "base64") };
    if (!said.hash.equals(found.hash) || said.size !== found.size) this.#mismatch(record, found);
    else if (text !== batchLine(found, this.#batch.sum))
      this.#tampered("edited", "the line that ends the batch was changed");
    this.#head = said;
    this.#ended ||= this.#ending;
    this.#hold(said);
    this.#batch = new Batch(said);
    this.#kept = [];
  }

  /** Against what is known of as many records. */
  #hold({ size, hash }: Head): void {
    for (const { by, head } of this.#known.get(size) ?? [])
      if (!head.hash.equals(hash)) this.#tampered("forked", `the ${size} records up to here are not those of ${by}`);
    this.#known.delete(size);
  }

  /** What was done to a batch: as far as its bytes tell. */
  #mismatch(record: BatchLine, found: Head): void {
    const records = record.size - this.#batch.before.size;
    const here = `in the ${this.#batch.records} records before this line`;
    const twice = this.#kept.length - new Set(this.#kept).size;
    if (found.size < record.size)
      this.#tampered("deleted", `${record.size - found.size} of ${records} records are missing ${here}`);
    else if (found.size > record.size && twice > 0)
      this.#tampered("duplicated", `${twice} records stand twice ${here}`);
    else if (found.size > record.size)
      this.#tampered("inserted", `${found.size - record.size} records too many ${here}`);
    else if (record.sum === this.#batch.sum) this.#tampered("reordered", `the order was changed ${here}`);
    else if (twice > 0) this.#tampered("duplicated", `${twice} records stand twice, in place of others, ${here}`);
    else this.#tampered("edited", `a record was changed ${here}`);
  }

  #look(record: Looked): void {
    if (typeof record.time === "string") this.#clock(Date.parse(record.time));
    if (record.audit === "checkpoint") this.#checkNote(String(record.note));
    else if (record.audit === "gap") {
      this.#lost += Number(record.lost);
      this.#say("warning", "gap", `${record.lost} decisions were not kept`);
    } else if (record.audit === "end") this.#ending = true;
    else if (record.msg === "decision") {
      if (record.verdict === "allow") this.#allowed++;
      else this.#denied++;
    }
  }

  #checkNote(text: string): void {
    const note = readNote(text);
    if (note === undefined || note.origin !== this.#origin) {
      this.#tampered("edited", "a checkpoint that is none of this log");
      return;
    }
    const known = isSignedBy(note, this.#key);
    if (!known) this.#tampered("wrong-key", "the checkpoint is not signed by the key of its epoch");
    const same = note.head.size === this.#head.size && note.head.hash.equals(this.#head.hash);
    this.#proven ||= known && same;
    if (!same) this.#tampered("edited", `the checkpoint is of other records than the ${this.#head.size} before it`);
    this.#signed = note.head.size;
    this.#checkpoint = text;
    this.#idle = false;
  }

  /** Checkpoint and end behind the last batch are signed by themselves, or not at all. */
  #checkpointsBehind(): number {
    return this.#kept.filter((text) => text.startsWith('{"audit":"checkpoint"')).length;
  }

  #clock(time: number): void {
    if (time < this.#time - CLOCK)
      this.#say("warning", "clock", `the clock went back by ${Math.round((this.#time - time) / 1000)} s`);
    if (!Number.isNaN(time)) this.#time = Math.max(time, this.#time - CLOCK > time ? time : this.#time);
  }

  #malformed(text: string): void {
    this.#tampered("malformed", text);
  }

  #tampered(kind: Finding["kind"], text: string): void {
    this.#say("tampered", kind, text);
  }

  #say(severity: Finding["severity"], kind: Finding["kind"], text: string): void {
    const known = this.#findings[severity];
    if (known.length < MOST_FINDINGS) known.push({ severity, kind, file: this.#file, line: this.#line, text });
    else this.#more++;
  }
}

type Looked = Partial<Record<string, unknown>> & { readonly audit?: AuditLine["audit"] };

function recordOf(text: string): Looked | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Looked) : undefined;
  } catch {
    return undefined;
  }
}
