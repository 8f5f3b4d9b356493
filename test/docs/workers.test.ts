import { readFileSync } from "node:fs";
import { test } from "tap";
import { workerMetrics } from "../../agent/processes/workers/merge.ts";

const page = readFileSync(new URL("../../docs/workers.md", import.meta.url), "utf8");

test("the metrics of several workers are on the page with type and labels, and no other", (t) => {
  const documented = [...page.matchAll(/^\| `(countersign_\w+)` \| (\w+) \| `(\w+)` \|/gm)].map((row) => row.slice(1));
  const none = { lastEnd: undefined, problem: undefined };
  const worker = { worker: 1, pid: 7, state: "ready", connections: 0, inFlight: 0, requests: 0, restarts: 0 } as const;
  t.strictSame(
    documented,
    workerMetrics([{ ...worker, ...none }]).map(({ name, type, values }) => [
      name,
      type,
      ...Object.keys(values[0]?.labels ?? {}),
    ]),
  );
  t.end();
});
