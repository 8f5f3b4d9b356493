import { execFileSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import fs, {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { type Test, test } from "tap";
import type { AuditConfig } from "../../agent/config/sections/audit.ts";
import { Append } from "../../agent/telemetry/audit/append.ts";
import { AuditLog } from "../../agent/telemetry/audit/audit-log.ts";
import { segmentFile, segmentsOf } from "../../agent/telemetry/audit/segments.ts";
import { DecisionLines } from "../../agent/telemetry/decision-log.ts";
import { Batch, BEGINNING } from "../../records/audit/chain.ts";
import { batchLine, type SegmentLine } from "../../records/audit/lines.ts";
import { type Checkpoint, privateKeyOf, readNote } from "../../records/audit/note.ts";
import { type Finding, Verifier } from "../../records/audit/verify.ts";
import { Random } from "../fuzz/random.ts";
import { folderOf } from "../support/serve.ts";
import { decision, NOON, observation, principal, recorded } from "../support/telemetry.ts";
import { honestLogs } from "./honest.ts";
import { kills } from "./kills.ts";
import { casesOf, faultOf, verifierOf } from "./tampering.ts";

/** A log in a folder of its own, and what it has told. */
class Stage {
  readonly folder: string;
  config: AuditConfig;
  readonly first: KeyObject;
  readonly notes: string[] = [];
  readonly told: string[] = [];
  now = NOON;
  asked = 0;

  constructor(t: Test, changes: Partial<AuditConfig> = {}) {
    this.folder = folderOf(t, {});
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    this.first = publicKey;
    const key = join(this.folder, "key");
    for (const file of [key, `${key}.worker1`])
      writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }));
    this.config = {
      name: "ingress",
      file: join(this.folder, "audit.log"),
      key,
      checkpoint: 3_600_000,
      sync: "never",
      onFull: "gap",
      maxSize: 1 << 30,
      pseudonyms: undefined,
      ...changes,
    };
  }

  open(process = 0): AuditLog {
    return new AuditLog(this.config, process, new DecisionLines(), () => this.now, {
      checkpoint: (note) => this.notes.push(note),
      full: (why) => this.told.push(`full ${why}`),
      room: (lost) => this.told.push(`room ${lost}`),
    });
  }

  /** Decisions, each with an id of its own. */
  decide(log: AuditLog, count: number): void {
    for (let n = 0; n < count; n++) {
      this.now += 3;
      const denied = this.asked % 3 === 0;
      const requestId = (this.asked++).toString(16).padStart(32, "0");
      log.decided(
        observation({ requestId, decision: decision(denied ? { verdict: "deny", reason: "role-missing" } : {}) }),
      );
    }
  }

  segments(): readonly string[] {
    return segmentsOf(this.config.file).map((segment) => segmentFile(this.config.file, segment));
  }
}

function verified(files: readonly string[], key: KeyObject, from?: Checkpoint) {
  return verifiedTexts(
    files.map((file) => ({ file, bytes: readFileSync(file) })),
    key,
    from,
  );
}

function verifiedTexts(all: readonly { file: string; bytes: Buffer }[], key: KeyObject, from?: Checkpoint) {
  const known = from === undefined ? [] : [{ ...from, by: "the checkpoint that was kept" }];
  const verifier = new Verifier({ key, known });
  for (const [index, { file, bytes }] of all.entries()) {
    verifier.open(file);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      verifier.line(bytes.subarray(start, end + 1));
      start = end + 1;
    }
    const next = all[index + 1]?.bytes.toString().split("\n")[0];
    verifier.close(bytes.length - start, next === undefined ? undefined : (JSON.parse(next) as SegmentLine));
  }
  verifier.end();
  return verifier;
}

function kinds(findings: readonly Finding[], severity: Finding["severity"]): readonly string[] {
  return [...new Set(findings.filter((each) => each.severity === severity).map(({ kind }) => kind))].sort();
}

/** Waits for what the log has begun to write: it writes beside the event loop. */
async function written(log: AuditLog): Promise<void> {
  await log.close();
}

test("an honest log is sound: through restarts, rotation, and a key for each start", async (t) => {
  const stage = new Stage(t, { maxSize: 40_000, checkpoint: 100 });
  for (let start = 0; start < 3; start++) {
    const log = stage.open();
    log.inForce({ revision: `r${start}`, configuration: "c", files: { "a.yaml": "d" } });
    for (let round = 0; round < 5; round++) {
      stage.decide(log, 60);
      const before = stage.notes.length;
      while (stage.notes.length === before) await new Promise((done) => setTimeout(done, 20));
    }
    await written(log);
  }
  const files = stage.segments();
  t.ok(files.length > 3, `${files.length} segments`);
  const { findings, summary } = verified(files, stage.first);
  t.strictSame(findings, []);
  t.match(summary, { origin: "ingress/0", segments: files.length, decisions: { allowed: 600, denied: 300 }, lost: 0 });
  t.equal(summary.checkpoint, stage.notes.at(-1));
  t.not(readFileSync(stage.config.key, "utf8"), "");
  // The key of a later start vouches for nothing before it.
  const last = createPublicKey(privateKeyOf(readFileSync(stage.config.key, "utf8")));
  t.strictSame(kinds(verified(files, last).findings, "tampered"), ["wrong-key"]);
  const later = verified(files.slice(-1), last);
  t.strictSame([kinds(later.findings, "tampered"), kinds(later.findings, "warning")], [[], ["history"]]);
});

/** Whether this process has such a file open. */
function isOpen(file: string): boolean {
  return readdirSync("/proc/self/fd").some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === file;
    } catch {
      return false;
    }
  });
}

/** Has all threads that read and write hang. @returns ends that */
async function hang(folder: string): Promise<() => Promise<void>> {
  const pipes = Array.from({ length: 4 }, (_, n) => join(folder, `pipe${n}`));
  execFileSync("mkfifo", pipes);
  const held = pipes.map((pipe) => open(pipe));
  return async () => {
    for (const pipe of pipes) closeSync(openSync(pipe, "w"));
    for (const handle of await Promise.all(held)) await handle.close();
  };
}

/** A log of some segments, as texts that can be tampered with. */
async function honest(t: Test) {
  const stage = new Stage(t);
  for (let start = 0; start < 3; start++) {
    const log = stage.open();
    stage.decide(log, 100);
    await written(log);
  }
  const files = stage.segments();
  const texts = files.map((file) => readFileSync(file, "utf8").split(/(?<=\n)/));
  return { stage, files, texts };
}

test("every way of tampering is told, wherever it is done, and told apart: rotation, crashes, workers", async (t) => {
  const logs = await honestLogs(10_000, new Random(1));
  for (const { key, segments, kept, told, origin } of logs) {
    t.ok(segments.length > 8 && segments.some(({ first }) => first.reason === "crash"), origin);
    const head = { size: told.size, hash: Buffer.from(told.hash, "base64") };
    const known = [kept, { origin, head }].map((each) => ({ ...each, by: "elsewhere" }));
    t.strictSame(kinds(verifierOf(key, segments, known).findings, "tampered"), [], `${origin} as it was written`);
  }
  // `npm run tamper` takes every position.
  const counts = new Map<string, number>();
  for (const each of casesOf(logs, (position) => position % 101 === 0)) {
    const told = faultOf(each);
    if (told !== undefined) t.fail(`${each.file}:${each.line}: ${each.what}, ${each.expected}, told as ${told}`);
    counts.set(each.what, (counts.get(each.what) ?? 0) + 1);
  }
  t.ok(counts.size >= 18, [...counts].join(" "));
});

test("kill -9 is no tampering, wherever the writer is by then", async (t) => {
  const { findings, summary, told } = await kills(10, new Random(1));
  t.strictSame(kinds(findings, "tampered"), []);
  t.ok(told > 10 && summary.decisions.allowed > 100, JSON.stringify({ ...summary, told }));
});

test("another history, and another's log, are told by what was kept elsewhere", async (t) => {
  const { stage, files } = await honest(t);
  const kept = readNote(stage.notes.at(-1) ?? "");
  const other = await honest(t);
  const foreign = verified(other.files, stage.first);
  t.ok(kinds(foreign.findings, "tampered").includes("wrong-key"));
  // Who has the first key and time can make a log that is sound by itself.
  const forged = verified(other.files, other.stage.first, kept);
  t.strictSame(kinds(forged.findings, "tampered"), ["forked"]);
  t.strictSame(verified(files, stage.first, kept).findings, []);
  const mixed = [files[0] ?? "", other.files[1] ?? ""];
  t.ok(kinds(verified(mixed, stage.first).findings, "tampered").length > 0);
});

test("a crash is no tampering: whatever was written last", async (t) => {
  const { stage, texts } = await honest(t);
  const whole = (texts[2] ?? []).join("");
  const bytes = Buffer.from(whole);
  const first = bytes.indexOf(10) + 1;
  // As after `kill -9`: the file ends anywhere behind its first line, and the next start goes on from there.
  const anywhere = Array.from({ length: 50 }, (_, n) => first + Math.floor(((bytes.length - first) * n) / 50));
  const ends = [...whole.matchAll(/\n/g)].map(({ index }) => index + 1).slice(-6);
  for (const at of [...anywhere, ...ends]) {
    const crashed = new Stage(t);
    for (const [index, lines] of texts.slice(0, 2).entries())
      writeFileSync(segmentFile(crashed.config.file, index + 1), lines.join(""));
    writeFileSync(segmentFile(crashed.config.file, 3), bytes.subarray(0, at));
    writeFileSync(crashed.config.key, readFileSync(stage.config.key));
    const log = crashed.open();
    crashed.decide(log, 5);
    await written(log);
    const { findings } = verified(crashed.segments(), stage.first);
    t.strictSame(kinds(findings, "tampered"), [], `cut at ${at} of ${bytes.length}`);
  }
});

test("a start that is ended between segment and key leaves a log that goes on", async (t) => {
  const { stage, files } = await honest(t);
  const key = readFileSync(stage.config.key);
  const log = stage.open();
  await written(log);
  // The segment is there, with nothing but its first line, and the key is still the one before.
  const begun = segmentFile(stage.config.file, 4);
  writeFileSync(begun, `${readFileSync(begun, "utf8").split("\n")[0]}\n`);
  writeFileSync(stage.config.key, key);
  const again = stage.open();
  stage.decide(again, 5);
  await written(again);
  t.equal(stage.segments().length, files.length + 2);
  t.strictSame(kinds(verified(stage.segments(), stage.first).findings, "tampered"), []);
});

test("what cannot be kept is counted in the log, or asked to be refused", async (t) => {
  const stage = new Stage(t, { checkpoint: 100 });
  const log = stage.open();
  // As on a full disk: nothing more is written for a while.
  for (let n = 0; n < 40 && log.full === undefined; n++) stage.decide(log, 1_000);
  t.equal(log.full, "slow");
  stage.decide(log, 10);
  while (stage.told.length < 2) await new Promise((done) => setTimeout(done, 20));
  const lost = Number(/^room (\d+)$/.exec(stage.told[1] ?? "")?.[1]);
  t.ok(lost >= 10, String(stage.told));
  stage.decide(log, 1);
  await written(log);
  const { findings, summary } = verified(stage.segments(), stage.first);
  t.strictSame([kinds(findings, "tampered"), kinds(findings, "warning")], [[], ["gap"]]);
  t.equal(summary.lost, lost);
  t.equal(summary.decisions.allowed + summary.decisions.denied + lost, stage.asked, "all are accounted for");
});

test("a slow disk: nobody waits for it, and what waits is written in its order, or counted", async (t) => {
  const stage = new Stage(t, { checkpoint: 50, sync: "checkpoint" });
  const log = stage.open();
  // Every thread that writes is busy: nothing is written while these pipes have no other end.
  const goOn = await hang(stage.folder);
  stage.decide(log, 100);
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => setTimeout(done, 10));
  t.equal(readFileSync(stage.segments()[0] ?? "", "utf8").split("\n").length, 2, "nothing but its first line");
  t.strictSame([log.full, stage.notes], [undefined, []], "the event loop goes on, and no checkpoint is told");
  while (log.full === undefined) {
    stage.decide(log, 1_000);
    await new Promise((done) => setImmediate(done));
  }
  stage.decide(log, 10);
  await goOn();
  while (stage.told.length < 2) await new Promise((done) => setTimeout(done, 20));
  await written(log);
  const { findings, summary } = verified(stage.segments(), stage.first);
  t.strictSame([kinds(findings, "tampered"), kinds(findings, "warning")], [[], ["gap"]]);
  t.equal(summary.decisions.allowed + summary.decisions.denied + summary.lost, stage.asked, "all are accounted for");
  t.equal(summary.checkpoint, stage.notes.at(-1), "the last checkpoint is told, once the machine keeps it");
});

test("of reloads while nothing can be written the last one alone is kept, and said once there is room", async (t) => {
  const stage = new Stage(t, { onFull: "deny", checkpoint: 100 });
  const log = stage.open();
  const inForce = (revision: string) => log.inForce({ revision, configuration: "c", files: { "a.yaml": "x" } });
  inForce("before");
  for (let n = 0; n < 40 && log.full === undefined; n++) stage.decide(log, 1_000);
  t.equal(log.full, "slow");
  for (let n = 0; n < 1_000; n++) inForce(`reload-${n}`);
  while (log.full !== undefined) await new Promise((done) => setImmediate(done));
  inForce("after");
  await written(log);
  const revisions = readFileSync(stage.segments()[0] ?? "", "utf8")
    .split("\n")
    .flatMap((line) => (line.startsWith('{"audit":"revision"') ? [JSON.parse(line)] : []))
    .map(({ revision, previous }) => [revision, previous]);
  // What waited is said by whichever comes first: a checkpoint, or the next reload, which takes its place.
  t.strictSame(revisions[0], ["before", ""]);
  t.ok(revisions.length <= 3, `${revisions.length} records`);
  t.equal(revisions.at(-1)?.[0], "after");
  t.strictSame(kinds(verified(stage.segments(), stage.first).findings, "tampered"), []);
});

test("a segment that was moved away is ended, and another begun", async (t) => {
  const stage = new Stage(t, { checkpoint: 100 });
  const log = stage.open();
  stage.decide(log, 10);
  while (stage.notes.length < 1) await new Promise((done) => setTimeout(done, 20));
  const [first = ""] = stage.segments();
  const moved = join(stage.folder, "moved");
  renameSync(first, moved);
  while (stage.segments().length < 1) await new Promise((done) => setTimeout(done, 20));
  stage.decide(log, 10);
  await written(log);
  t.strictSame(verified([moved, ...stage.segments()], stage.first).findings, []);
});

test("subjects can be pseudonyms, the same for the same", async (t) => {
  const stage = new Stage(t, { pseudonyms: "s".repeat(32) });
  const log = stage.open();
  const actor = [{ subject: "assistant", issuer: undefined }];
  for (const subject of ["carol", "carol", "dave"])
    log.decided(observation({ principal: principal({ subject, actor }) }));
  await written(log);
  const text = readFileSync(stage.segments()[0] ?? "", "utf8");
  t.notMatch(text, /carol|dave|assistant/);
  const subjects = [...text.matchAll(/"subject":"([^"]+)"/g)].map(([, subject]) => subject);
  t.equal(new Set(subjects).size, 2);
  t.match(subjects, ["p:", "p:", "p:"]);
});

test("lines that are no records, or stand where none can be, are told", async (t) => {
  const { stage, files } = await honest(t);
  const [last = ""] = files.slice(-1);
  appendFileSync(last, "not json\n");
  t.ok(kinds(verified(files, stage.first).findings, "tampered").includes("malformed"));

  // Whatever a record of the log's own says, in whatever form.
  const lines = readFileSync(files[0] ?? "", "utf8")
    .split("\n")
    .slice(0, -1);
  const own = lines.filter((line) => line.startsWith('{"audit":'));
  for (const line of own) {
    const record: Record<string, unknown> = JSON.parse(line);
    for (const name of Object.keys(record)) {
      for (const value of [undefined, null, 1.5, -1, "x", {}, []]) {
        const odd = JSON.stringify({ ...record, [name]: value });
        const changed = lines.map((each) => (each === line ? odd : each)).join("\n");
        const all = [{ file: files[0] ?? "", bytes: Buffer.from(`${changed}\n`) }];
        t.ok(kinds(verifiedTexts(all, stage.first).findings, "tampered").length > 0, odd);
      }
    }
  }
});

test("nothing that was let through is missing where it has to be refused instead", async (t) => {
  const stage = new Stage(t, { onFull: "deny" });
  const log = stage.open();
  for (let n = 0; n < 40 && log.full === undefined; n++) stage.decide(log, 1_000);
  t.equal(log.full, "slow");
  const refused = observation({ decision: decision({ verdict: "deny", reason: "audit-unavailable" }) });
  log.decided(refused);
  // Asked while there was room, and answered when there was none.
  log.decided(observation({ requestId: "a".repeat(32) }));
  while (log.full !== undefined) await new Promise((done) => setImmediate(done));
  // There is room again, and so it is let through.
  log.decided(observation({ requestId: "b".repeat(32) }));
  await written(log);
  const text = readFileSync(stage.segments()[0] ?? "", "utf8");
  for (const id of ["a", "b"]) t.ok(text.includes(id.repeat(32)), id);
  const { findings, summary } = verified(stage.segments(), stage.first);
  t.strictSame(kinds(findings, "tampered"), []);
  t.equal(summary.decisions.allowed + summary.decisions.denied + summary.lost, stage.asked + 3);
});

test("a segment that cannot be begun is begun later, and nothing is lost meanwhile", async (t) => {
  const stage = new Stage(t, { checkpoint: 50, maxSize: 10_000 });
  const log = stage.open();
  const inTheWay = segmentFile(stage.config.file, 2);
  mkdirSync(inTheWay);
  stage.decide(log, 60);
  while (log.state.error === undefined && stage.told.length === 0) await new Promise((done) => setTimeout(done, 20));
  stage.decide(log, 60);
  for (const { signed, records } = log.state; log.state.records === records; ) {
    t.equal(log.state.signed, signed, "nothing is told that is not in a file");
    await new Promise((done) => setTimeout(done, 20));
  }
  rmdirSync(inTheWay);
  await written(log);
  const { findings, summary } = verified(stage.segments(), stage.first);
  t.strictSame(findings, []);
  t.equal(summary.decisions.allowed + summary.decisions.denied, 120);
});

test("a segment begins once the one before is whole, so that no crash can come between", async (t) => {
  const stage = new Stage(t, { checkpoint: 50, maxSize: 10_000 });
  const log = stage.open();
  stage.decide(log, 8_000);
  while (!existsSync(segmentFile(stage.config.file, 2))) await new Promise((done) => setImmediate(done));
  const copy = join(stage.folder, "copy");
  mkdirSync(copy);
  for (const file of stage.segments()) writeFileSync(file.replace(stage.folder, copy), readFileSync(file));
  const files = stage.segments().map((file) => file.replace(stage.folder, copy));
  await written(log);
  t.strictSame(kinds(verified(files, stage.first).findings, "tampered"), []);
});

test("a segment that was ended before its first line is no hindrance to the next start", async (t) => {
  for (const rest of ["", '{"audit":"segm']) {
    const { stage, files } = await honest(t);
    writeFileSync(segmentFile(stage.config.file, files.length + 1), rest);
    const log = stage.open();
    stage.decide(log, 5);
    await written(log);
    t.equal(stage.segments().length, files.length + 1);
    t.strictSame(verified(stage.segments(), stage.first).findings, []);
  }
});

test("a key that cannot be kept stops the start, which leaves nothing behind", async (t) => {
  const { stage, files } = await honest(t);
  const inTheWay = join(stage.folder, ".key.next");
  mkdirSync(inTheWay);
  for (let start = 0; start < 3; start++) t.throws(() => stage.open(), { code: "EISDIR" });
  t.strictSame(stage.segments(), files);
  rmdirSync(inTheWay);
  await written(stage.open());
  t.strictSame(verified(stage.segments(), stage.first).findings, []);
});

test("another history without any signature is told as what nobody vouches for", async (t) => {
  const { stage, files, texts } = await honest(t);
  const [lines = []] = texts;
  const first = lines[0] ?? "";
  const batch = new Batch(BEGINNING);
  const forged = [first, ...lines.filter((line) => /"msg":"decision"|"audit":"end"/.test(line))].map((line) =>
    line.replace('"GET"', '"PUT"'),
  );
  for (const line of forged) batch.add(Buffer.from(line));
  const bytes = Buffer.from([...forged, batchLine(batch.end(), batch.sum)].join(""));
  const { findings, summary } = verifiedTexts([{ file: files[0] ?? "", bytes }], stage.first);
  t.strictSame([kinds(findings, "warning"), summary.checkpoint], [["unsigned"], undefined]);
});

test("a key that is a link is replaced where it lies", async (t) => {
  const stage = new Stage(t);
  const kept = join(stage.folder, "kept.key");
  renameSync(stage.config.key, kept);
  symlinkSync(kept, stage.config.key);
  const before = readFileSync(kept, "utf8");
  await written(stage.open());
  t.ok(lstatSync(stage.config.key).isSymbolicLink());
  t.not(readFileSync(kept, "utf8"), before);
});

test("what cannot be written until the end is told, and not written elsewhere later", async (t) => {
  const stage = new Stage(t, { checkpoint: 50, maxSize: 10_000 });
  const log = stage.open();
  const inTheWay = segmentFile(stage.config.file, 2);
  mkdirSync(inTheWay);
  stage.decide(log, 60);
  while (log.state.error === undefined) await new Promise((done) => setTimeout(done, 20));
  stage.decide(log, 60);
  await log.close();
  t.strictSame(stage.told, ["full EEXIST"]);
  const { findings, summary } = verified(stage.segments().slice(0, 1), stage.first);
  t.strictSame([findings, summary.decisions.allowed + summary.decisions.denied], [[], 60]);
});

test("what the decision log has is in the audit log byte for byte, through every change of either", async (t) => {
  const stage = new Stage(t);
  const { telemetry, text } = recorded(t);
  const decide = (from: number, count: number) => {
    for (let n = from; n < from + count; n++)
      telemetry.decided(observation({ requestId: n.toString(16).padStart(32, "0") }));
  };
  decide(0, 3);
  telemetry.openAudit(stage.config, 0, { revision: "r1", configuration: "c", files: {} });
  decide(3, 200);
  telemetry.passedOver("SIGUSR1");
  decide(203, 10);
  telemetry.inForce({ revision: "r2", configuration: "c", files: {} });
  decide(213, 10);
  const log = (decisions: "all" | "refused" | "replayable") =>
    ({ level: "info", decisions, destination: "stdout" }) as const;
  for (const [index, decisions] of (["refused", "replayable", "all"] as const).entries()) {
    telemetry.configured({ log: log(decisions), issuers: [] });
    decide(223 + 10 * index, 10);
  }
  const written = await text();
  const { findings, summary } = verified(stage.segments(), stage.first);
  t.strictSame(findings, []);
  t.equal(summary.decisions.allowed, 250, "all since it was opened");
  const audited = readFileSync(stage.segments()[0] ?? "", "utf8");
  const lines = audited.split("\n").filter((line) => line.includes('"msg":"decision"'));
  t.strictSame(
    lines.map((line) => Number.parseInt(JSON.parse(line).request_id, 16)),
    Array.from({ length: 250 }, (_, n) => n + 3),
    "each once, in their order",
  );
  t.notMatch(audited, /"replay"|SIGUSR1/);
  const own = new Set(written.split("\n"));
  t.equal(lines.filter((line) => own.has(line)).length, 230, "but for refusals alone, and with what policies read");
  t.ok(audited.indexOf('"revision":"r2"') > audited.indexOf("d4"), "where it came into force");
});

test("lines that come together are counted, or kept, as each would be by itself", async (t) => {
  for (const onFull of ["gap", "deny"] as const) {
    const stage = new Stage(t, { onFull });
    const log = stage.open();
    const lines = new DecisionLines();
    const line = (denied: boolean) => {
      const refused = decision({ verdict: "deny", reason: "role-missing" });
      const path = '/"verdict":"allow"';
      return `${lines.line(observation(denied ? { decision: refused, path } : {}), NOON)}}\n`;
    };
    const some = (count: number) => Buffer.from(Array.from({ length: count }, (_, n) => line(n % 3 === 0)).join(""));
    let asked = 0;
    for (; log.full === undefined; asked += 300) log.take(some(300), 300);
    log.take(some(300), 300);
    asked += 300;
    await written(log);
    const { findings, summary } = verified(stage.segments(), stage.first);
    t.strictSame([kinds(findings, "tampered"), kinds(findings, "warning")], [[], ["gap"]]);
    t.equal(summary.decisions.allowed + summary.decisions.denied + summary.lost, asked, "all are accounted for");
    t.equal(summary.lost, onFull === "gap" ? 300 : 100, onFull);
    t.equal(summary.decisions.allowed, ((onFull === "gap" ? asked - 300 : asked) * 2) / 3);
  }
});

test("a log has one writer: another is refused while the first is there, and never after", async (t) => {
  const stage = new Stage(t);
  const log = stage.open();
  stage.decide(log, 10);
  t.throws(() => stage.open(), {
    message: new RegExp(
      `audit\\.log is written by process ${process.pid} of .*: each agent needs an \`audit\\.file\` of its own`,
    ),
  });
  await written(log);
  const owner = join(stage.folder, ".audit.log.owner");
  t.notOk(existsSync(owner), "it is let go at the end");
  // One whose process has ended, a number that is another's now, another machine's, one that cannot be read.
  const me = {
    host: "h",
    boot: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    space: readlinkSync("/proc/self/ns/pid"),
  };
  const far = { ...me, boot: "another", pid: 1, since: "1" };
  for (const [text, age, free] of [
    [JSON.stringify({ ...me, pid: 4_194_304, since: "1" }), 0, true],
    [JSON.stringify({ ...me, pid: process.pid, since: "1" }), 0, true],
    [JSON.stringify(far), 0, false],
    [JSON.stringify(far), 60, true],
    ["{", 0, false],
    ["{", 60, true],
  ] as const) {
    writeFileSync(owner, text);
    const at = new Date(Date.now() - age * 1_000);
    utimesSync(owner, at, at);
    if (!free) t.throws(() => stage.open(), { message: /is written by/ }, text);
    else {
      const next = stage.open();
      stage.decide(next, 5);
      await written(next);
    }
    rmSync(owner, { force: true });
  }
  t.strictSame(verified(stage.segments(), stage.first).findings, []);
});

test("a log that another agent has taken over is not written any more", async (t) => {
  for (const onFull of ["gap", "deny"] as const) {
    const stage = new Stage(t, { onFull, checkpoint: 50 });
    const log = stage.open();
    stage.decide(log, 10);
    // What is told of is in the file.
    while (stage.notes.length < 1) await new Promise((done) => setTimeout(done, 20));
    writeFileSync(join(stage.folder, ".audit.log.owner"), "somebody else");
    while (log.full === undefined) await new Promise((done) => setTimeout(done, 20));
    stage.decide(log, 10);
    t.strictSame(
      [log.full, stage.told[0], log.state.lost],
      ["another agent writes it", "full another agent writes it", 10],
    );
    await written(log);
    const { findings, summary } = verified(stage.segments(), stage.first);
    t.strictSame([kinds(findings, "tampered"), summary.decisions.allowed + summary.decisions.denied], [[], 10]);
    t.equal(readFileSync(join(stage.folder, ".audit.log.owner"), "utf8"), "somebody else");
  }
});

test("a file is closed once: no number that is another's by then", async (t) => {
  const stage = new Stage(t);
  const log = stage.open();
  const [segment = ""] = stage.segments();
  writeFileSync(join(stage.folder, ".audit.log.owner"), "somebody else");
  while (isOpen(segment)) await new Promise((done) => setTimeout(done, 20));
  const others = Array.from({ length: 20 }, (_, n) => openSync(join(stage.folder, `other${n}`), "w"));
  await written(log);
  for (const fd of others) {
    t.doesNotThrow(() => fstatSync(fd), "it is still open");
    closeSync(fd);
  }
});

test("a disk that hangs: the end comes in time, and the files are left once it goes on", async (t) => {
  for (const turning of [false, true]) {
    const folder = folderOf(t, {});
    const [first, second] = [join(folder, "first"), join(folder, "second")];
    const append = new Append(openSync(first, "a"));
    const goOn = await hang(folder);
    if (turning) append.turn(() => openSync(second, "a"));
    append.add(Buffer.from("what was decided\n"));
    t.equal(await append.end(50), false, "it may still be written to");
    t.equal(await append.end(5_000), false);
    t.equal(isOpen(first), true, "as long as it is written to");
    await goOn();
    while (isOpen(first) || isOpen(second)) await new Promise((done) => setTimeout(done, 20));
    t.equal(readFileSync(first, "utf8"), turning ? "" : "what was decided\n");
  }
});

test("one of several is told of once the machine keeps it: nobody has more of it after a loss of power", async (t) => {
  const stage = new Stage(t, { checkpoint: 50 });
  const log = stage.open(1);
  const { fdatasync } = fs;
  t.teardown(() => {
    fs.fdatasync = fdatasync;
    syncBuiltinESMExports();
  });
  // The disk's own cache takes whatever it is given, and keeps nothing yet.
  const keep: (() => void)[] = [];
  const later = (fd: number, done: fs.NoParamCallback) => void keep.push(() => fdatasync(fd, done));
  fs.fdatasync = Object.assign(later, { __promisify__: fdatasync.__promisify__ });
  syncBuiltinESMExports();
  stage.decide(log, 10);
  const isWritten = () => readFileSync(segmentFile(`${stage.config.file}.worker1`, 1), "utf8").includes("checkpoint");
  while (!isWritten()) await new Promise((done) => setTimeout(done, 20));
  for (let turn = 0; turn < 5; turn++) await new Promise((done) => setImmediate(done));
  t.strictSame([log.exchange([]), stage.notes], [undefined, []]);
  fs.fdatasync = fdatasync;
  syncBuiltinESMExports();
  for (const each of keep) each();
  while (stage.notes.length === 0) await new Promise((done) => setTimeout(done, 20));
  t.match(log.exchange([]), { origin: "ingress/1", size: readNote(stage.notes[0] ?? "")?.head.size });
  await written(log);
});

test("another's log is not gone on with", async (t) => {
  const stage = new Stage(t);
  await written(stage.open());
  stage.config = { ...stage.config, name: "other" };
  t.throws(() => stage.open(), {
    message: /audit\.log\.000001 is the log of ingress\/0, and not of other\/0: `audit\.name`/,
  });
});

test("however much is wrong, what is kept of it is bounded, and the rest counted", async (t) => {
  const { stage, files } = await honest(t);
  const verifier = new Verifier({ key: stage.first });
  verifier.open(files[0] ?? "");
  for (let n = 0; n < 5_000; n++) verifier.line(Buffer.from("not json\n"));
  verifier.close(0, undefined);
  verifier.end();
  t.ok(verifier.findings.length <= 2_000, String(verifier.findings.length));
  t.ok(verifier.findings.length + verifier.more > 5_000);
});
