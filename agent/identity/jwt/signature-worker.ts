/** What the thread of signatures.ts runs. */
import type { KeyObject } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { standBack } from "../../threads/stand-back.ts";
import { isSignedBy } from "./signature.ts";
import { type Batch, OUTCOME } from "./signature-batch.ts";

const keys = new Map<number, KeyObject>();

function outcomeOf(token: Buffer, algorithm: string | undefined, key: KeyObject | undefined): number {
  if (algorithm === undefined || key === undefined) return OUTCOME.failed;
  try {
    return isSignedBy(token, algorithm, key) ? OUTCOME.right : OUTCOME.wrong;
  } catch {
    return OUTCOME.failed;
  }
}

function onBatch({ anew, keys: told, tokens, lengths, algorithms, keyIds }: Batch): void {
  if (anew) keys.clear();
  for (const [id, key] of told) keys.set(id, key);
  const bytes = Buffer.from(tokens, "latin1");
  let end = 0;
  const outcomes = Uint8Array.from(lengths, (length, i) => {
    const token = bytes.subarray(end, end + length);
    end += length;
    return outcomeOf(token, algorithms[i], keys.get(keyIds[i] ?? 0));
  });
  parentPort?.postMessage(outcomes);
}

standBack();
parentPort?.on("message", onBatch);
