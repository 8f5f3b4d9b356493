import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { IdentityEvents } from "../../identity/issuer/events.ts";
import type { LoginEvent } from "../events.ts";
import { type Cell, Tally } from "./cells.ts";

const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const DOCUMENTS = ["discovery", "jwks"] as const;
/** What not every issuer is asked for: its series begin with the first time. */
const OTHERS = ["introspection", "groups", "sts", "exchange", "sidecar"] as const;
const OUTCOMES = ["ok", "error"] as const;
const LOGINS = [
  ...(["begun", "completed", "refused", "failed"] as const),
  ...(["refreshed", "ended", "logout-refused", "logout-failed"] as const),
] as const satisfies LoginEvent["outcome"][];
// Issuers come from the configuration; the number only makes certain that the series are bounded.
const MOST_ISSUERS = 1000;

/** The identity cache, and what is fetched from issuers. */
export class IdentityMetrics {
  readonly #lookups: Record<Parameters<IdentityEvents["cache"]>[0], Cell>;
  readonly #fetches;
  readonly #durations;
  readonly #succeeded;
  readonly #unusable;
  readonly #logins;
  readonly #clock: () => number;
  readonly #issuers = new Set<string>();

  constructor(registry: Registry, clock: () => number) {
    this.#clock = clock;
    const lookups = new Tally(registry, "countersign_identity_cache_lookups_total", "Tokens looked up in the cache.", [
      "outcome",
    ]);
    this.#lookups = {
      hit: lookups.cell({ outcome: "hit" }),
      miss: lookups.cell({ outcome: "miss" }),
      refusal_hit: lookups.cell({ outcome: "refusal_hit" }),
    };
    const registers = [registry];
    this.#fetches = new Counter({
      name: "countersign_issuer_fetches_total",
      help: "What an issuer was asked for.",
      labelNames: ["issuer", "what", "outcome"] as const,
      registers,
    });
    this.#durations = new Histogram({
      name: "countersign_issuer_fetch_duration_seconds",
      help: "Until an issuer's answer was there, or was given up.",
      labelNames: ["issuer", "what"] as const,
      buckets: BOUNDS,
      registers,
    });
    this.#succeeded = new Gauge({
      name: "countersign_issuer_keys_last_success_timestamp_seconds",
      help: "When an issuer's keys were last fetched.",
      // Of several workers, the one whose keys are the oldest.
      aggregator: "min",
      labelNames: ["issuer"] as const,
      registers,
    });
    this.#unusable = new Gauge({
      name: "countersign_issuer_keys_unusable",
      help: "Keys that an issuer publishes for signatures and that cannot be used.",
      aggregator: "max",
      labelNames: ["issuer"] as const,
      registers,
    });
    this.#logins = new Counter({
      name: "countersign_logins_total",
      help: "Logins by browsers.",
      labelNames: ["issuer", "outcome"] as const,
      registers,
    });
  }

  login({ issuer, outcome }: LoginEvent): void {
    if (this.#known(issuer)) this.#logins.inc({ issuer, outcome });
  }

  cache(outcome: Parameters<IdentityEvents["cache"]>[0]): void {
    this.#lookups[outcome].count++;
  }

  fetched(...[issuer, what, outcome, durationMs]: Parameters<IdentityEvents["fetched"]>): void {
    if (!this.#known(issuer)) return;
    for (const each of OUTCOMES) this.#fetches.inc({ issuer, what, outcome: each }, each === outcome ? 1 : 0);
    this.#durations.observe({ issuer, what }, durationMs / 1000);
    if (what === "jwks" && outcome === "ok") this.#succeeded.set({ issuer }, this.#clock() / 1000);
  }

  unusable(issuer: string, keys: number): void {
    if (this.#known(issuer)) this.#unusable.set({ issuer }, keys);
  }

  /** Begins the series of new issuers and ends those of issuers that are gone. */
  configured(issuers: readonly string[]): void {
    for (const issuer of [...this.#issuers]) if (!issuers.includes(issuer)) this.#forget(issuer);
    for (const issuer of issuers) this.#known(issuer);
  }

  /** An issuer's first fetch may come before the load that names it has ended. */
  #known(issuer: string): boolean {
    if (this.#issuers.has(issuer)) return true;
    if (this.#issuers.size >= MOST_ISSUERS) return false;
    this.#issuers.add(issuer);
    this.#unusable.set({ issuer }, 0);
    for (const outcome of LOGINS) this.#logins.inc({ issuer, outcome }, 0);
    for (const what of DOCUMENTS) for (const outcome of OUTCOMES) this.#fetches.inc({ issuer, what, outcome }, 0);
    return true;
  }

  #forget(issuer: string): void {
    this.#issuers.delete(issuer);
    this.#succeeded.remove({ issuer });
    this.#unusable.remove({ issuer });
    for (const outcome of LOGINS) this.#logins.remove({ issuer, outcome });
    for (const what of [...DOCUMENTS, ...OTHERS]) {
      this.#durations.remove({ issuer, what });
      for (const outcome of OUTCOMES) this.#fetches.remove({ issuer, what, outcome });
    }
  }
}
