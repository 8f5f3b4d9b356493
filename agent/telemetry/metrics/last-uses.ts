import { Gauge, type Registry } from "prom-client";
import type { Gauges } from "./metrics.ts";

/** Keys come from a file of the configuration; the number only makes certain that the series are bounded. */
const MOST_KEYS = 2_000;

/** When each API key was last used; a key that was not since the agent has started, or since their file changed, is 0. */
export function lastUses(registry: Registry, ask: Gauges["lastUses"]): void {
  new Gauge({
    name: "countersign_api_key_last_used_timestamp_seconds",
    help: "When an API key was last used; 0 for not since the start, or since the file of the keys changed.",
    // Of several workers, the one that has seen it last.
    aggregator: "max",
    labelNames: ["issuer", "key"] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { issuer, key, at } of ask().slice(0, MOST_KEYS)) this.set({ issuer, key }, at / 1000);
    },
  });
}
