import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { AuditState } from "../audit/audit-log.ts";
import type { SpanCounts } from "../traces/spans.ts";
import { DecisionMetrics } from "./decisions.ts";
import { EventLoopMetrics } from "./event-loop.ts";
import { IdentityMetrics } from "./identity.ts";
import { lastUses } from "./last-uses.ts";
import { LoadMetrics } from "./loads.ts";
import type { Exemplar } from "./open-metrics.ts";
import { askedCounter, askedGauge } from "./registered.ts";
import { ServerMetrics } from "./server.ts";

/** Numbers that somebody else keeps; they are asked for at each scrape. */
export interface Gauges {
  connections(): number;
  /** Milliseconds since the epoch at which the certificate ends that HAProxy is shown; 0 where it is shown none. */
  certificateUntil(): number;
  /** NOTIFYs that have no ACK yet. */
  inFlight(): number;
  /** Identities in the caches of all issuers. */
  cached(): number;
  /** How far the audit log has come; undefined where there is none. */
  audit(): AuditState | undefined;
  /** DPoP proofs that this process remembers. */
  remembered(): number;
  /** When each API key was last used, in milliseconds since the epoch, 0 for never. */
  lastUses(): readonly { readonly issuer: string; readonly key: string; readonly at: number }[];
}

/** A family of metrics with its samples, as plain data. */
export interface MetricValues {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  /** How the samples of several processes become one. */
  readonly aggregator: string;
  readonly values: readonly {
    readonly value: number;
    readonly labels: Readonly<Record<string, string | number>>;
    /** Of a histogram's parts. */
    readonly metricName?: string;
    /** Null in prom-client's own histograms, such as that of garbage collections. */
    readonly exemplar?: Exemplar | null;
  }[];
}

export interface MetricsOptions {
  /** Countersign's. */
  readonly version: string;
  /** All codes that a SpopError can have. */
  readonly errorCodes: readonly string[];
  readonly gauges: Gauges;
  /** Log lines lost since the start. */
  readonly linesDropped: () => number;
  readonly spans: () => SpanCounts;
  readonly clock: () => number;
}

/**
 * All metrics of one agent, in a registry of their own. docs/observability.md explains each; a test holds both equal.
 *
 * Every label value comes from a list known at the start or from the configuration, never from a request.
 */
export class Metrics {
  readonly decisions: DecisionMetrics;
  readonly identity: IdentityMetrics;
  readonly server: ServerMetrics;
  readonly loads: LoadMetrics;
  readonly #registry = new Registry();
  readonly #eventLoop: EventLoopMetrics;

  constructor({ version, errorCodes, gauges, linesDropped, spans, clock }: MetricsOptions) {
    const registry = this.#registry;
    this.decisions = new DecisionMetrics(registry, clock);
    this.identity = new IdentityMetrics(registry, clock);
    this.server = new ServerMetrics(registry, errorCodes);
    this.loads = new LoadMetrics(registry);
    this.#eventLoop = new EventLoopMetrics(registry);
    askedGauge(registry, "countersign_cached_identities", "Identities in the cache.", () => gauges.cached());
    askedGauge(registry, "countersign_remembered_proofs", "DPoP proofs in memory.", () => gauges.remembered());
    askedGauge(registry, "countersign_connections", "Open SPOP connections.", () => gauges.connections());
    const [ends, about] = ["countersign_spop_certificate_end_timestamp_seconds", "End of the certificate of SPOP."];
    askedGauge(registry, ends, about, () => gauges.certificateUntil() / 1000, "max");
    askedGauge(registry, "countersign_requests_in_flight", "NOTIFYs without an ACK yet.", () => gauges.inFlight());
    askedGauge(registry, "countersign_audit_records", "Records of the audit log.", () => gauges.audit()?.records ?? 0);
    askedGauge(registry, "countersign_audit_checkpoint_size", "Records of the audit log that are signed.", () => {
      return gauges.audit()?.signed ?? 0;
    });
    askedCounter(registry, "countersign_audit_lost_total", "Decisions that the audit log has not.", () => {
      return gauges.audit()?.lost ?? 0;
    });
    askedCounter(registry, "countersign_log_lines_dropped_total", "Log lines that nobody read in time.", linesDropped);
    askedCounter(registry, "countersign_spans_exported_total", "Spans that the collector has.", () => spans().exported);
    askedCounter(registry, "countersign_spans_dropped_total", "Spans that it has not.", () => spans().dropped);
    lastUses(registry, () => gauges.lastUses());
    const build = new Gauge({
      name: "countersign_build_info",
      help: "1, labelled with the versions of Countersign and Node.",
      labelNames: ["version", "node_version"] as const,
      aggregator: "first",
      registers: [registry],
    });
    build.set({ version, node_version: process.version }, 1);
  }

  /** Adds prom-client's metrics of the process and of Node. Once a process: they cannot be taken away again. */
  addProcess(): void {
    // Ours takes the place of its view of the event loop's delay, whose timer need not run then: at its default of
    // 10 ms it costs 3.4 ms of CPU a second.
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: 3_600_000 });
    for (const { name } of this.#registry.getMetricsAsArray()) {
      if (name.startsWith("nodejs_eventloop_lag")) this.#registry.removeSingleMetric(name);
    }
    this.#eventLoop.start();
  }

  /** Stops measuring; counting goes on. */
  close(): void {
    this.#eventLoop.stop();
  }

  async values(): Promise<readonly MetricValues[]> {
    // prom-client's type leaves out what it says of each value.
    return (await this.#registry.getMetricsAsJSON()) as unknown as readonly MetricValues[];
  }

  /** Prometheus' text format, version 0.0.4. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
