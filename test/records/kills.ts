import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { segmentFile, segmentsOf } from "../../agent/telemetry/audit/segments.ts";
import type { SegmentLine } from "../../records/audit/lines.ts";
import { readNote } from "../../records/audit/note.ts";
import type { Finding, Known, Summary } from "../../records/audit/verify.ts";
import type { Random } from "../fuzz/random.ts";
import { verifierOf } from "./tampering.ts";

const WRITER = new URL("killed.ts", import.meta.url).pathname;
/** Lines of the writer's output after which it is killed, at most. */
const LATEST = 150;

/** A log whose writers were all killed. */
export interface Killed {
  readonly summary: Summary;
  readonly findings: readonly Finding[];
  /** Checkpoints that stood outside, all of which the log is held against. */
  readonly told: number;
}

/** Kills as many processes that write one log, one after the other, each wherever it is by then. */
export async function kills(count: number, random: Random): Promise<Killed> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-audit-"));
  try {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    writeFileSync(join(folder, "audit.key"), privateKey.export({ type: "pkcs8", format: "pem" }));
    const known: Known[] = [];
    // One in five while it begins.
    for (let n = 0; n < count; n++) known.push(...(await killed(folder, random.once(5) ? 0 : random.below(LATEST))));
    const file = join(folder, "audit.log");
    const segments = segmentsOf(file).map((number) => {
      const name = segmentFile(file, number);
      const lines = readFileSync(name, "utf8").split(/(?<=\n)/);
      const torn = lines.at(-1)?.endsWith("\n") ? "" : (lines.pop() ?? "");
      return { name, lines, torn };
    });
    // A file without one whole line never began.
    const begun = segments.filter(({ lines }) => lines.length > 0);
    const all = begun.map((segment) => ({ ...segment, first: JSON.parse(segment.lines[0] ?? "") as SegmentLine }));
    const { summary, findings } = verifierOf(publicKey, all, known);
    return { summary, findings, told: known.length };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @param lines of its output that are waited for @returns the checkpoints that it told of */
async function killed(folder: string, lines: number): Promise<readonly Known[]> {
  const child = spawn(process.execPath, [WRITER, folder], { stdio: ["ignore", "pipe", "inherit"] });
  const gone = once(child, "exit");
  const known: Known[] = [];
  let read = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    // The last one may be torn.
    const note = line.endsWith("}") ? readNote(JSON.parse(line).note) : undefined;
    if (note !== undefined) known.push({ ...note, by: "what was told outside" });
    if (read++ === lines) child.kill("SIGKILL");
  }
  const [code, signal] = await gone;
  if (signal !== "SIGKILL") throw new Error(`the writer ended with ${code}`);
  return known;
}
