import { Gauge, type Registry } from "prom-client";
import type { LoadReport } from "../events.ts";
import { type Cell, Tally } from "./cells.ts";

/** The loads of configuration and policies, the first one included. */
export class LoadMetrics {
  readonly #ok: Cell;
  readonly #failed: Cell;
  readonly #successful;
  readonly #succeeded;
  readonly #policies;

  constructor(registry: Registry) {
    const loads = new Tally(registry, "countersign_reloads_total", "Loads of configuration and policies.", ["outcome"]);
    this.#ok = loads.cell({ outcome: "ok" });
    this.#failed = loads.cell({ outcome: "failed" });
    const registers = [registry];
    this.#successful = new Gauge({
      name: "countersign_last_reload_successful",
      help: "1 if the last load succeeded, 0 if it failed.",
      registers,
    });
    this.#succeeded = new Gauge({
      name: "countersign_last_reload_success_timestamp_seconds",
      help: "When the load that is in force ended.",
      registers,
    });
    this.#policies = new Gauge({
      name: "countersign_policies_info",
      help: "1, labelled with the revision of the policies in force.",
      labelNames: ["revision"] as const,
      registers,
    });
  }

  loaded({ revision, loadedAt }: LoadReport): void {
    this.#ok.count++;
    this.#successful.set(1);
    this.#succeeded.set(loadedAt / 1000);
    this.#policies.reset();
    this.#policies.set({ revision }, 1);
  }

  failed(): void {
    this.#failed.count++;
    this.#successful.set(0);
  }
}
