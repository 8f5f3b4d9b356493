import { join } from "node:path";
import { stranger } from "./strangers.ts";

/** The least that a Node agent can cost. */
export const FLOOR = stranger("constant answer (Node)", ({ processes }, socket) => {
  return processes.start(process.execPath, [join(import.meta.dirname, "floor-agent.ts"), socket]);
});
