import type { Registry } from "prom-client";
import { REASONS, type Reason, type Verdict } from "../../../policies/decision.ts";
import type { DecisionSink, Observation } from "../events.ts";
import { parentOf } from "../traces/traceparent.ts";
import { type Cell, DurationHistogram, type Durations, Tally } from "./cells.ts";

/** HAProxy answers with these itself; the agent never decides them, so a zero here would tell nothing. */
export const HAPROXY_REASONS: ReadonlySet<Reason> = new Set([
  "credential-in-query",
  "mesh-bypassed",
  "agent-unavailable",
  "verdict-unbound",
  "backend-unavailable",
]);

const VERDICTS: readonly Verdict[] = ["allow", "deny", "login"];
const BOUNDS = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
];

/** What was decided, and how long it took. */
export class DecisionMetrics implements DecisionSink {
  readonly #decisions: Record<Verdict, Map<Reason, Cell>>;
  readonly #warm: Durations;
  readonly #cold: Durations;
  readonly #agrees: Cell;
  readonly #stricter: Cell;
  readonly #laxer: Cell;

  readonly #clock: () => number;

  constructor(registry: Registry, clock: () => number) {
    this.#clock = clock;
    this.#decisions = decisionCells(
      new Tally(registry, "countersign_decisions_total", "Decided requests.", ["verdict", "reason"]),
    );
    const name = "countersign_decision_duration_seconds";
    const durations = new DurationHistogram(registry, name, "From reading a NOTIFY to handing over its ACK.", BOUNDS);
    this.#warm = durations.series({ cached: "true" });
    this.#cold = durations.series({ cached: "false" });
    const shadow = new Tally(registry, "countersign_shadow_decisions_total", "Requests that a shadow judged as well.", [
      "outcome",
    ]);
    this.#agrees = shadow.cell({ outcome: "agrees" });
    this.#stricter = shadow.cell({ outcome: "stricter" });
    this.#laxer = shadow.cell({ outcome: "laxer" });
  }

  decided({ decision, durationUs, cached, trace }: Observation): void {
    const { verdict, reason, shadow } = decision;
    const cell = this.#decisions[verdict].get(reason);
    if (cell !== undefined) cell.count++;
    const durations = cached ? this.#warm : this.#cold;
    const seconds = durationUs > 0 ? durationUs / 1e6 : 0;
    durations.observe(seconds);
    if (trace !== "") this.#exemplify(durations, seconds, trace);
    if (shadow !== undefined) this.#shadowed(verdict, shadow.verdict).count++;
  }

  #exemplify(durations: Durations, value: number, trace: string): void {
    const parent = parentOf(trace);
    if (parent !== undefined) durations.exemplify({ traceId: parent.traceId, value, at: this.#clock() });
  }

  #shadowed(verdict: Verdict, shadow: Verdict): Cell {
    if ((verdict === "allow") === (shadow === "allow")) return this.#agrees;
    return verdict === "allow" ? this.#stricter : this.#laxer;
  }
}

/** One cell for each verdict and reason; those that can be expected are there from the start. */
function decisionCells(tally: Tally<"verdict" | "reason">): Record<Verdict, Map<Reason, Cell>> {
  const cells: Record<Verdict, Map<Reason, Cell>> = { allow: new Map(), deny: new Map(), login: new Map() };
  for (const [reason, status] of Object.entries(REASONS) as [Reason, number][]) {
    for (const verdict of VERDICTS) {
      const usual = verdict === (status === 200 ? "allow" : "deny") && !HAPROXY_REASONS.has(reason);
      cells[verdict].set(reason, tally.cell({ verdict, reason }, usual));
    }
  }
  return cells;
}
