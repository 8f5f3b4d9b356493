import { createHash } from "node:crypto";
import { closeSync, openSync, writeFileSync } from "node:fs";
import type { DecisionRecord } from "../../../records/decision.ts";
import { eventOf } from "../../../records/event.ts";
import { EXIT } from "../../processes/exit.ts";
import { VERSION } from "../../processes/version.ts";
import { CommandError, type Context, instantOf, jsonText, type Options, textOption, UsageError } from "../command.ts";
import { FORMATS } from "./formats.ts";
import { HaproxyLog, type Reconciliation } from "./reconcile.ts";
import { logsOf, readLines } from "./segments.ts";

/** What an export is: enough to do it again, and to hold it against HAProxy's own count. */
interface Manifest {
  readonly tool: string;
  readonly made: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly format: string;
  readonly segments: readonly string[];
  readonly decisions: number;
  readonly allowed: number;
  readonly denied: number;
  /** That the log says it has not; whenever it says so in this time. */
  readonly lost: number;
  readonly first: string | null;
  readonly last: string | null;
  /** The last one in the segments, of each log. */
  readonly checkpoints: readonly string[];
  /** HAProxy's count, where its log was given. */
  readonly haproxy?: Reconciliation;
  /** Of the export's bytes. */
  readonly sha256: string;
}

/** Writes the decisions of a time in a format that others read, with its manifest. */
export async function exportDecisions(files: readonly string[], options: Options, context: Context): Promise<number> {
  const format = textOption(options, "format") ?? "json";
  const writer = Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  if (writer === undefined) throw new UsageError(`--format: ${format}; one of ${Object.keys(FORMATS).join(", ")}`);
  const [from, to] = [instant(options, "from"), instant(options, "to")];
  const logs = await logsOf(files, options, context);
  const output = textOption(options, "output");
  const hash = createHash("sha256");
  const counts = { decisions: 0, allowed: 0, denied: 0, lost: 0 };
  const times = { first: null as string | null, last: null as string | null };
  const checkpoints = new Map<string, string>();
  const file = output === undefined ? undefined : new Output(output);
  const put = (text: string) => {
    hash.update(text);
    if (file === undefined) context.out(text);
    else file.add(text);
  };
  const within = (time: string) =>
    (from === undefined || Date.parse(time) >= from) && (to === undefined || Date.parse(time) < to);
  const named = [options.haproxy ?? []].flat().map(String);
  const asked =
    named.length === 0 ? undefined : await HaproxyLog.read(named, (at) => within(new Date(at).toISOString()));
  put(writer.head);
  for (const segment of logs.flat()) {
    await readLines(segment.file, (bytes) => {
      const line = bytes.toString();
      if (line.startsWith('{"audit":')) {
        const record = auditOf(line);
        if (record.note !== undefined) checkpoints.set(segment.first.origin, record.note);
        if (record.audit === "gap" && within(record.time ?? "")) counts.lost += record.lost ?? 0;
        return;
      }
      const event = eventOf(line);
      if (event?.log !== "decisions" || !within(event.record.time)) return;
      count(event.record, counts, times);
      asked?.decided(event.record.request_id);
      put(writer.row(event.record));
    });
  }
  const haproxy = asked?.against(counts.decisions, counts.lost);
  const manifest: Manifest = {
    tool: `countersign ${VERSION}`,
    made: new Date(context.clock()).toISOString(),
    from: from === undefined ? null : new Date(from).toISOString(),
    to: to === undefined ? null : new Date(to).toISOString(),
    format,
    segments: logs.flat().map(({ file }) => file),
    ...counts,
    ...times,
    checkpoints: [...checkpoints.values()],
    ...(haproxy === undefined ? {} : { haproxy }),
    sha256: hash.digest("hex"),
  };
  if (file === undefined) context.err(jsonText(manifest));
  else file.end(jsonText(manifest));
  if (haproxy === undefined || haproxy.unexplained === 0) return EXIT.fine;
  context.err(
    `the counts differ: ${Math.abs(haproxy.unexplained)} ${haproxy.unexplained > 0 ? "decisions without a line of HAProxy's" : "lines of HAProxy's without a decision"}\n`,
  );
  return EXIT.bad;
}

function count(
  record: DecisionRecord,
  counts: { decisions: number; allowed: number; denied: number },
  times: { first: string | null; last: string | null },
) {
  counts.decisions++;
  if (record.verdict === "allow") counts.allowed++;
  else counts.denied++;
  if (times.first === null || record.time < times.first) times.first = record.time;
  if (times.last === null || record.time > times.last) times.last = record.time;
}

/** A line that somebody has broken says nothing; `verify` tells of it. */
function auditOf(line: string): { readonly audit?: string; note?: string; lost?: number; time?: string } {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}

/** Characters that are gathered for one write. */
const PIECE = 1 << 20;

/** An export's file, which may be larger than any text can be. Its manifest comes last: without it, it is not whole. */
class Output {
  readonly #path: string;
  readonly #fd: number;
  #text = "";

  constructor(path: string) {
    this.#path = path;
    this.#fd = this.#try(() => openSync(path, "w", 0o600));
  }

  add(text: string): void {
    this.#text += text;
    if (this.#text.length >= PIECE) this.#write();
  }

  end(manifest: string): void {
    this.#write();
    closeSync(this.#fd);
    this.#try(() => writeFileSync(`${this.#path}.manifest.json`, manifest, { mode: 0o600 }));
  }

  #write(): void {
    this.#try(() => writeFileSync(this.#fd, this.#text));
    this.#text = "";
  }

  #try<T>(write: () => T): T {
    try {
      return write();
    } catch (error) {
      throw new CommandError(`${this.#path}: cannot be written: ${String(error)}`, EXIT.cannotCreate);
    }
  }
}

function instant(options: Options, name: "from" | "to"): number | undefined {
  const text = textOption(options, name);
  if (text === undefined) return undefined;
  const at = instantOf(text);
  if (at === undefined) throw new UsageError(`--${name}: ${text} is no time such as 2026-11-23T16:00:00Z`);
  return at;
}
