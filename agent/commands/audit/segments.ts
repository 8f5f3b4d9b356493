import type { SegmentLine } from "../../../records/audit/lines.ts";
import { EXIT } from "../../processes/exit.ts";
import { logFileOf, processesOf } from "../../telemetry/audit/audit-log.ts";
import { firstLineOf, segmentFile, segmentsOf } from "../../telemetry/audit/segments.ts";
import { CommandError, type Context, loadOrFail, type Options } from "../command.ts";
import { readWhole } from "../logs/log-files.ts";

/** A segment, by its first record. */
export interface Segment {
  readonly file: string;
  readonly first: SegmentLine;
}

/** The segments of each log, in their order: those named, or the configuration's. @throws CommandError */
export async function logsOf(
  files: readonly string[],
  options: Options,
  context: Context,
): Promise<readonly (readonly Segment[])[]> {
  const named = files.length > 0 ? files : await configured(options, context);
  const segments = named.map((file) => ({ file, first: firstOf(file) }));
  const logs = Map.groupBy(segments, ({ first }) => first.origin);
  return [...logs.values()].map((log) => log.toSorted((a, b) => a.first.segment - b.first.segment));
}

async function configured(options: Options, context: Context): Promise<readonly string[]> {
  const { config } = await loadOrFail(options, context);
  const { audit, workers } = config;
  if (audit === undefined)
    throw new CommandError("no segments are named, and the configuration has no `audit`", EXIT.configuration);
  const files = processesOf(workers).map((process) => logFileOf(audit, process));
  return files.flatMap((file) => segmentsOf(file).map((segment) => segmentFile(file, segment)));
}

function firstOf(file: string): SegmentLine {
  let first: SegmentLine | undefined;
  try {
    first = firstLineOf(file);
  } catch (error) {
    throw new CommandError(`${file}: cannot be read: ${String(error)}`, EXIT.noInput);
  }
  if (first !== undefined) return first;
  throw new CommandError(`${file}: does not begin as a segment of an audit log`, EXIT.bad);
}

/** Bytes; the longest record, of what is in force, has some 300 for each of a thousand policy files. */
const LONGEST_LINE = 16 << 20;

/** Each line of a file with its line feed. @returns the bytes behind the last one @throws CommandError for a line without end */
export async function readLines(file: string, found: (line: Buffer) => void): Promise<number> {
  let rest: Buffer = Buffer.alloc(0);
  await readWhole(file, (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      found(bytes.subarray(start, end + 1));
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (rest.length > LONGEST_LINE) throw new CommandError(`${file}: a line is longer than any record`, EXIT.bad);
  });
  return rest.length;
}
