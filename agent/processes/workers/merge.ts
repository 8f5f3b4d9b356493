import { AggregatorRegistry, type Registry } from "prom-client";
import type { ResponderState, WorkerState } from "../../admin/status.ts";
import type { IssuerStatus } from "../../identity/identity.ts";
import type { Detail } from "../../identity/issuer/issuer.ts";
import type { MetricValues } from "../../telemetry/metrics/metrics.ts";

/** What is of one process, and would mean nothing as a sum. */
const OWN = /^(?:process|nodejs|countersign_event_loop)_/;

/** The state of several workers as if they were one; the log is the primary's own, but for lines that workers lost. */
export function mergedState(states: readonly ResponderState[], log: ResponderState["log"]): ResponderState {
  const sum = (of: (state: ResponderState) => number) => states.reduce((total, state) => total + of(state), 0);
  return {
    issuers: mergedIssuers(states.flatMap(({ issuers }) => issuers)),
    caches: mergedCaches(states),
    connections: sum(({ connections }) => connections),
    opened: sum(({ opened }) => opened),
    inFlight: sum(({ inFlight }) => inFlight),
    requests: sum(({ requests }) => requests),
    pipeliningAdvice: states.find(({ pipeliningAdvice }) => pipeliningAdvice !== undefined)?.pipeliningAdvice,
    audit: states.flatMap(({ audit }) => audit),
    log: { dropped: log.dropped + sum((state) => state.log.dropped), failure: log.failure },
  };
}

/** Of each issuer what is worst: the worst of its details, the oldest success, an error if any worker has one. */
function mergedIssuers(all: readonly IssuerStatus[]): readonly IssuerStatus[] {
  const merged = new Map<string, IssuerStatus>();
  for (const one of all) {
    const before = merged.get(one.name);
    merged.set(one.name, before === undefined ? one : worse(before, one));
  }
  return [...merged.values()];
}

function worse(a: IssuerStatus, b: IssuerStatus): IssuerStatus {
  const { name, issuer } = b;
  const bothSucceeded = a.succeededAt !== undefined && b.succeededAt !== undefined;
  return {
    ...{ name, issuer },
    identities: a.identities + b.identities,
    succeededAt: bothSucceeded ? Math.min(a.succeededAt, b.succeededAt) : undefined,
    failedAt: a.failedAt === undefined || (b.failedAt ?? 0) > a.failedAt ? b.failedAt : a.failedAt,
    error: a.error ?? b.error,
    details: Object.fromEntries(Object.entries(b.details).map(([key, one]) => [key, worseDetail(a.details[key], one)])),
  };
}

/** Fewer of what there should be, more of what there should not. */
function worseDetail(a: Detail | undefined, b: Detail): Detail {
  if (typeof a === "number" && typeof b === "number") return Math.min(a, b);
  if (typeof a === "object" && typeof b === "object") return a.length < b.length ? b : a;
  return b;
}

function mergedCaches(states: readonly ResponderState[]): ResponderState["caches"] {
  const merged: Record<string, { readonly entries: number; readonly limit: number }> = {};
  for (const { caches } of states) {
    for (const [name, { entries, limit }] of Object.entries(caches)) {
      const { entries: before = 0, limit: room = 0 } = merged[name] ?? {};
      merged[name] = { entries: before + entries, limit: room + limit };
    }
  }
  return merged;
}

/** The metrics of one process, those that are its own labelled with who it is. */
export function labelled(metrics: readonly MetricValues[], worker: string): readonly MetricValues[] {
  return metrics.map((family) => {
    if (!OWN.test(family.name)) return family;
    return { ...family, values: family.values.map((value) => ({ ...value, labels: { worker, ...value.labels } })) };
  });
}

/** What has to be kept of a process that has ended, so that no counter of all workers ever falls. */
export function lasting(metrics: readonly MetricValues[]): readonly MetricValues[] {
  return metrics.filter(({ name, type }) => (type === "counter" || type === "histogram") && !OWN.test(name));
}

/** Adds up what several processes have counted; the first one's word counts where a sum means nothing. */
export async function added(processes: readonly (readonly MetricValues[])[]): Promise<readonly MetricValues[]> {
  return (await aggregated(processes).getMetricsAsJSON()) as unknown as readonly MetricValues[];
}

/** The same as Prometheus' text format. */
export function addedText(processes: readonly (readonly MetricValues[])[]): Promise<string> {
  return aggregated(processes).metrics();
}

function aggregated(processes: readonly (readonly MetricValues[])[]): Registry {
  return AggregatorRegistry.aggregate([...processes]);
}

/** What the primary knows of its workers, as metrics. */
export function workerMetrics(workers: readonly WorkerState[]): readonly MetricValues[] {
  const inState = (name: WorkerState["state"]) => workers.filter(({ state }) => state === name).length;
  const states = (["ready", "starting", "silent", "down"] as const).map((state) => {
    return { labels: { state }, value: inState(state) };
  });
  const restarts = workers.map(({ worker, restarts }) => ({ labels: { worker: String(worker) }, value: restarts }));
  return [
    family("countersign_workers", "gauge", "Worker processes by state.", states),
    family("countersign_worker_restarts_total", "counter", "Worker processes started again.", restarts),
  ];
}

function family(name: string, type: string, help: string, values: MetricValues["values"]): MetricValues {
  return { name, type, help, aggregator: "sum", values };
}
