/** What the thread of signatures.ts runs. */
import type { KeyObject } from "node:crypto";
import { setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { isSignedBy } from "./signature.ts";
import { type Batch, type Check, OUTCOME } from "./signature-batch.ts";

/** Behind all that answers requests, HAProxy too: where cores are few, new tokens wait rather than known ones. */
const NICE = 10;

const keys = new Map<number, KeyObject>();

function outcomeOf({ text, algorithm, key }: Check): number {
  const known = keys.get(key);
  if (known === undefined) return OUTCOME.failed;
  try {
    return isSignedBy(text, algorithm, known) ? OUTCOME.right : OUTCOME.wrong;
  } catch {
    return OUTCOME.failed;
  }
}

function onBatch({ anew, keys: told, checks }: Batch): void {
  if (anew) keys.clear();
  for (const [id, key] of told) keys.set(id, key);
  parentPort?.postMessage(Uint8Array.from(checks, outcomeOf));
}

// Linux has priorities by thread, and 0 is the calling one; elsewhere it would be the whole process.
if (process.platform === "linux") setPriority(0, NICE);
parentPort?.on("message", onBatch);
