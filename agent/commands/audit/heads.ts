import { headsLineOf, type LogHead } from "../../../records/audit/lines.ts";
import { readLines, type Segment } from "./segments.ts";

const HEADS = Buffer.from('{"audit":"heads"');
const CHECKPOINT = Buffer.from('{"audit":"checkpoint"');

/** How far a log had come, as another log says. */
export interface Mention extends LogHead {
  /** Whose log says so, and where. */
  readonly by: string;
  readonly file: string;
  readonly line: number;
}

/**
 * What a log says last of the others with a checkpoint behind it: whoever adds to its end takes nothing of that back. All
 * before hangs together with it. A process that is none any more is not among them.
 */
export async function mentionsIn(log: readonly Segment[]): Promise<readonly Mention[]> {
  let last: { readonly text: string; readonly file: string; readonly line: number } | undefined;
  let signed: typeof last;
  for (const { file } of log) {
    let line = 0;
    await readLines(file, (bytes) => {
      line++;
      if (begins(bytes, HEADS)) last = { text: bytes.toString(), file, line };
      else if (begins(bytes, CHECKPOINT)) signed = last;
    });
  }
  if (signed === undefined) return [];
  const { text, ...place } = signed;
  const by = log[0]?.first.origin ?? "";
  return headsOf(text).map((head) => ({ ...head, ...place, by }));
}

function begins(bytes: Buffer, text: Buffer): boolean {
  return bytes.subarray(0, text.length).equals(text);
}

/** One that somebody has broken says nothing; what is wrong with it, its own log tells. */
function headsOf(text: string): readonly LogHead[] {
  try {
    return headsLineOf(JSON.parse(text))?.heads ?? [];
  } catch {
    return [];
  }
}
