import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { AuditConfig } from "../../agent/config/sections/audit.ts";
import { AuditLog, keyFileOf, logFileOf } from "../../agent/telemetry/audit/audit-log.ts";
import { segmentFile, segmentsOf } from "../../agent/telemetry/audit/segments.ts";
import { DecisionLines } from "../../agent/telemetry/decision-log.ts";
import { headsLineOf, type LogHead, type SegmentLine } from "../../records/audit/lines.ts";
import { type Checkpoint, privateKeyOf, readNote } from "../../records/audit/note.ts";
import type { Random } from "../fuzz/random.ts";
import { decision, NOON, observation } from "../support/telemetry.ts";

/** One file of a log. */
export interface Segment {
  readonly name: string;
  /** Each with its line feed. */
  readonly lines: readonly string[];
  /** Bytes behind the last line: of a crash. */
  readonly torn: string;
  readonly first: SegmentLine;
  /** The private key of its epoch. */
  readonly key: KeyObject;
}

/** A log as it was written: through rotation, restarts and crashes. */
export interface HonestLog {
  readonly origin: string;
  /** The key that `audit init` made. */
  readonly key: KeyObject;
  readonly segments: readonly Segment[];
  /** The last checkpoint that stands outside. */
  readonly kept: Checkpoint;
  /** How far another log says that this one has come. */
  readonly told: LogHead;
}

/** Bytes of a segment, and milliseconds between two checkpoints. */
const MAX_SIZE = 60_000;
const CHECKPOINT = 10;

/** The logs of two workers, of so many lines in all or some more. */
export async function honestLogs(lines: number, random: Random): Promise<readonly HonestLog[]> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-audit-"));
  // A log keeps no process alive.
  const alive = setInterval(() => {}, 1_000);
  try {
    const writers = [1, 2].map((process) => new Writer(folder, process, random));
    // The last round ends well, so that each is told of the other's end but for its own last lines.
    for (let run = 0; run < 8 || writers.reduce((sum, writer) => sum + writer.asked, 0) < lines; run++) {
      for (const writer of writers) writer.open();
      await Promise.all(writers.map((writer) => writer.write(lines / 16)));
      await exchange(writers);
      await Promise.all(writers.map((writer) => (run % 2 === 0 ? writer.crash() : writer.close())));
    }
    const logs = writers.map((writer) => writer.read());
    return logs.map((log, index) => {
      const other = logs[1 - index]?.segments.flatMap((segment) => segment.lines) ?? [];
      const heads = headsLineOf(JSON.parse(other.findLast((line) => line.startsWith('{"audit":"heads"')) ?? "{}"));
      const told = heads?.heads.find(({ origin }) => origin === log.origin);
      if (told === undefined) throw new Error(`nobody tells of ${log.origin}`);
      return { ...log, told };
    });
  } finally {
    clearInterval(alive);
    rmSync(folder, { recursive: true });
  }
}

/** As the primary does it, until each has the other's last word. */
async function exchange(writers: readonly Writer[]): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const heads = writers.flatMap(({ log }) => log?.exchange([]) ?? []);
    for (const { log } of writers) log?.exchange(heads);
    await Promise.all(writers.map((writer) => writer.checkpoint()));
  }
}

/** One worker's log. */
class Writer {
  readonly config: AuditConfig;
  readonly process: number;
  readonly key: KeyObject;
  readonly #random: Random;
  readonly #file: string;
  /** Of each epoch, from 1. */
  readonly #keys: KeyObject[] = [];
  log: AuditLog | undefined;
  asked = 0;
  #note = "";
  #told: () => void = () => {};

  constructor(folder: string, process: number, random: Random) {
    this.process = process;
    this.#random = random;
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    this.key = publicKey;
    this.config = {
      ...{ name: "ingress", file: join(folder, "audit.log"), key: join(folder, "audit.key"), checkpoint: CHECKPOINT },
      ...{ sync: "never", onFull: "gap", maxSize: MAX_SIZE, pseudonyms: undefined },
    };
    this.#file = logFileOf(this.config, process);
    writeFileSync(keyFileOf(this.config, process), privateKey.export({ type: "pkcs8", format: "pem" }));
  }

  open(): void {
    this.log = new AuditLog(this.config, this.process, new DecisionLines(), () => NOON + this.asked, {
      checkpoint: (note) => {
        this.#note = note;
        this.#told();
      },
      full: () => {},
      room: () => {},
    });
    this.#keys.push(privateKeyOf(readFileSync(keyFileOf(this.config, this.process), "utf8")));
    this.log.inForce({ revision: `r${this.#keys.length}`, configuration: "c", files: { "a.yaml": "d" } });
  }

  /** Several checkpoints, of few records or of several batches. */
  async write(lines: number): Promise<void> {
    for (const end = this.asked + lines; this.asked < end; ) {
      this.#decide(this.#random.below(10) === 0 ? 250 : 1 + this.#random.below(60));
      await this.checkpoint();
    }
  }

  /** Until what was written is signed. */
  async checkpoint(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#told = resolve;
    this.#decide(1);
    await promise;
  }

  async close(): Promise<void> {
    this.#decide(this.#random.below(40));
    await this.log?.close();
  }

  /** As `kill -9`: of what no checkpoint was told for, the file has as much as was written by then. */
  async crash(): Promise<void> {
    const before = this.#note;
    await this.close();
    this.#note = before;
    const last = segmentFile(this.#file, segmentsOf(this.#file).at(-1) ?? 0);
    const text = readFileSync(last, "latin1");
    const told = text.indexOf(JSON.stringify(before).slice(1, -1));
    const least = told < 0 ? text.indexOf("\n") + 1 : text.indexOf("\n", told) + 1;
    truncateSync(last, least + this.#random.below(text.length - least));
  }

  read(): Omit<HonestLog, "told"> {
    const kept = readNote(this.#note);
    if (kept === undefined) throw new Error("no checkpoint");
    const segments = segmentsOf(this.#file).map((number) => {
      const name = segmentFile(this.#file, number);
      const lines = readFileSync(name, "utf8").split(/(?<=\n)/);
      const torn = lines.at(-1)?.endsWith("\n") ? "" : (lines.pop() ?? "");
      const first = JSON.parse(lines[0] ?? "") as SegmentLine;
      const key = this.#keys[first.epoch - 1];
      if (key === undefined) throw new Error(`no key of epoch ${first.epoch}`);
      return { name: basename(name), lines, torn, first, key };
    });
    return { origin: `ingress/${this.process}`, key: this.key, segments, kept };
  }

  #decide(count: number): void {
    for (let n = 0; n < count; n++) {
      const requestId = (this.asked++).toString(16).padStart(32, "0");
      const denied = this.#random.below(3) === 0;
      const judged = decision(denied ? { verdict: "deny", reason: "role-missing" } : {});
      this.log?.decided(observation({ requestId, decision: judged }));
    }
  }
}
