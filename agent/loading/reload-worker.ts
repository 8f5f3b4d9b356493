import { parentPort, workerData } from "node:worker_threads";
import { examine } from "./load.ts";

// A thread of its own for what takes long: reading YAML, and finding every fault. See reload.ts.
const { file, environment } = workerData;
parentPort?.postMessage(await examine(file, { environment, clock: Date.now }));
