import { readFileSync } from "node:fs";
import type { SegmentLine } from "../../../records/audit/lines.ts";
import { readNote } from "../../../records/audit/note.ts";
import { Verifier } from "../../../records/audit/verify.ts";
import { mutatedBytes, mutatedText } from "../mutate.ts";
import { hold, type Target } from "../target.ts";
import { KEYS } from "./signing-keys.ts";

/** Two segments of two starts of an agent, as it has written them, and the last checkpoint in them. */
const LOG = readFileSync(new URL("../keys/audit.jsonl", import.meta.url));
const LINES = LOG.toString().split("\n");
const KEPT = [readNote(JSON.parse(LINES.at(-2) ?? "").note) ?? []]
  .flat()
  .map((note) => ({ ...note, by: "the checkpoint that was kept" }));
/** What it vouches for: all up to the last digest. */
const VOUCHED = Buffer.from(
  `${LINES.slice(0, LINES.findLastIndex((each) => each.startsWith('{"audit":"batch"')) + 1).join("\n")}\n`,
);

/** The last digest of a segment that another one follows, and the signature behind it, which is no record. */
const BEHIND = `${LINES[7]}\n{"audit":"checkpoint"`;

function withoutBehind(log: Buffer): Buffer {
  const text = log.toString("latin1");
  const at = text.indexOf(BEHIND);
  if (at < 0) return log;
  const start = at + (LINES[7]?.length ?? 0) + 1;
  return Buffer.from(text.slice(0, start) + text.slice(text.indexOf("\n", start) + 1), "latin1");
}

/** The segments of a text: each begins with a line that says so. */
function segmentsOf(text: Buffer): readonly Buffer[] {
  const starts = [0];
  for (let at = text.indexOf('\n{"audit":"segment"'); at >= 0; at = text.indexOf('\n{"audit":"segment"', at + 1))
    starts.push(at + 1);
  return starts.map((start, n) => text.subarray(start, starts[n + 1]));
}

function isAltered(text: Buffer): boolean {
  const verifier = new Verifier({ key: KEYS.EdDSA.public, known: KEPT });
  const segments = segmentsOf(text);
  for (const [index, bytes] of segments.entries()) {
    verifier.open(`audit.log.${index}`);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      verifier.line(bytes.subarray(start, end + 1));
      start = end + 1;
    }
    verifier.close(bytes.length - start, firstOf(segments[index + 1]));
  }
  verifier.end();
  return verifier.findings.some(({ severity }) => severity === "tampered");
}

/** As agent/telemetry/audit/segments.ts reads the first line of the next file; undefined for what is none. */
function firstOf(bytes: Buffer | undefined): SegmentLine | undefined {
  if (bytes === undefined) return undefined;
  try {
    const record = JSON.parse(bytes.toString().split("\n")[0] ?? "") as SegmentLine;
    return record.audit === "segment" && typeof record.origin === "string" ? record : undefined;
  } catch {
    return undefined;
  }
}

export const AUDIT: Target = {
  name: "audit",
  oracle:
    "Segments of an audit log that somebody has changed, beside a checkpoint that was kept: whatever was done to the records that it vouches for is told as tampering, and the log as it was written is not",
  tested: 1_000,
  share: 20,
  reaches: ["altered", "vouched for"],
  open: () => ({
    input(random) {
      if (random.once(50)) return LOG;
      if (random.once(2)) return mutatedBytes(LOG, random, 2);
      // Whole records of this log in other places, and texts that look like some.
      return Buffer.from(
        mutatedText(LOG.toString(), random, { others: LINES, words: LINES.map((each) => `${each}\n`), most: 3 }),
      );
    },
    check(input) {
      const altered = isAltered(input);
      if (input.equals(LOG)) hold(!altered, "the log as it was written is told to be altered");
      const vouched = withoutBehind(VOUCHED);
      if (withoutBehind(input).subarray(0, vouched.length).equals(vouched)) return "vouched for";
      hold(altered, "changed, and not told");
      return "altered";
    },
  }),
};
