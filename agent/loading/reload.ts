import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { compileChecked } from "../../policies/compile/compile.ts";
import { workerScript } from "../threads/worker-script.ts";
import {
  type CheckedSet,
  type Examined,
  type Load,
  type Loaded,
  policyEnvironment,
  type Surroundings,
} from "./load.ts";

/** Milliseconds that an examination may take, and memory in MiB: past them the files are refused. */
const LIMIT = 30_000;
const MEMORY = 512;
/** Milliseconds of compiling between two looks at the requests that have come. */
const SLICE = 5;

/**
 * Loads everything while requests are answered: another thread reads and checks the files, and what it has found sound
 * is compiled here. Measured with 1,000 routes: without it answers stood still for 350 ms.
 */
export async function loadBeside(file: string, surroundings: Surroundings): Promise<Load> {
  const examined = await examineBeside(file, surroundings);
  if (examined.loaded === undefined) return examined;
  return { read: examined.read, loaded: await compileBeside(examined.loaded, surroundings.clock) };
}

/** Reads and checks everything in another thread. */
export function examineBeside(file: string, { environment }: Surroundings): Promise<Examined> {
  return inThread(file, environment).catch((error: unknown) => unexamined(file, error));
}

/** Compiles what was found sound, a few milliseconds at a time. */
export async function compileBeside(set: CheckedSet, clock: () => number): Promise<Loaded> {
  const steps = compileChecked(set.checked, policyEnvironment(set.config, clock()));
  let step = steps.next();
  for (let until = performance.now() + SLICE; step.done !== true; step = steps.next()) {
    if (performance.now() < until) continue;
    await setImmediate();
    until = performance.now() + SLICE;
  }
  return { ...set, policies: step.value };
}

/** Files that are too much to read are refused like those with a fault. */
function unexamined(file: string, error: unknown): Examined {
  const what = error instanceof Error && "code" in error ? String(error.code) : String(error);
  const found = `the files could not be checked within ${LIMIT / 1000} s and ${MEMORY} MiB: ${what}`;
  const fault = { file, line: 1, column: 1, found, right: "fewer or smaller policy files; see `countersign check`" };
  return { read: [file], loaded: undefined, faults: [fault], warnings: [], unseen: true };
}

async function inThread(file: string, environment: Surroundings["environment"]): Promise<Examined> {
  const worker = new Worker(workerScript("loading/reload-worker"), {
    workerData: { file, environment: { ...environment } },
    resourceLimits: { maxOldGenerationSizeMb: MEMORY },
  });
  try {
    // `once` rejects at an "error", which is what a worker that runs out of memory has.
    const [examined] = await once(worker, "message", { signal: AbortSignal.timeout(LIMIT) });
    return examined;
  } finally {
    await worker.terminate();
  }
}
