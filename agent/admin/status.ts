import { faultText } from "../../policies/fault.ts";
import type { IssuerStatus } from "../identity/identity.ts";
import type { Detail } from "../identity/issuer/issuer.ts";
import type { AuditState } from "../telemetry/audit/audit-log.ts";
import { plainText } from "../telemetry/safe-text.ts";
import type { LoadState } from "../telemetry/telemetry.ts";

/**
 * `starting` until the listeners are bound and every issuer was asked for its keys once; `draining` from the signal
 * to stop until the end.
 */
export type Phase = "starting" | "serving" | "draining";

/** What one process that answers HAProxy tells of itself, as plain data; none of it is secret. */
export interface ResponderState {
  readonly issuers: readonly IssuerStatus[];
  /** Entries and largest number of entries of each cache, by name. */
  readonly caches: Readonly<Record<string, { readonly entries: number; readonly limit: number }>>;
  readonly connections: number;
  /** Connections that were ever accepted. */
  readonly opened: number;
  readonly inFlight: number;
  /** Requests that were decided. */
  readonly requests: number;
  /** What to set in HAProxy so that connections can be pipelined; undefined where they are. */
  readonly pipeliningAdvice: string | undefined;
  readonly log: { readonly dropped: number; readonly failure: string | undefined };
  /** Of each audit log; of several workers each has its own. */
  readonly audit: readonly AuditState[];
}

/** What one of several workers is doing. */
export interface WorkerState {
  /** From 1. */
  readonly worker: number;
  readonly pid: number | undefined;
  /** `down` until it is started again; `silent` while it serves but does not answer the primary. */
  readonly state: "starting" | "ready" | "silent" | "down";
  readonly connections: number;
  readonly inFlight: number;
  /** Requests that its present process has decided. */
  readonly requests: number;
  readonly restarts: number;
  /** How its last process ended, such as `signal SIGKILL`; undefined where none has. */
  readonly lastEnd: string | undefined;
  /** What somebody should look at. */
  readonly problem: string | undefined;
}

/** What the admin listener shows, at the moment it is asked. */
export interface AdminState extends ResponderState {
  /** Countersign's. */
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly now: number;
  readonly phase: Phase;
  readonly load: LoadState;
  /** Empty where one process is all. */
  readonly workers: readonly WorkerState[];
}

const MOST_TEXTS = 50;
const LONGEST_TEXT = 512;

/** The body of /ready. A failed reload or issuer is named, and does not take the agent out of service. */
export function readiness(state: AdminState) {
  const { phase } = state;
  const revision = state.load.current?.revision ?? null;
  return { ready: phase === "serving", phase, revision, problems: problems(state) };
}

/** The body of /status; docs/observability.md explains each member. */
export function statusReport(state: AdminState) {
  const { current, failure } = state.load;
  return {
    version: state.version,
    phase: state.phase,
    uptime_seconds: Math.floor((state.now - state.startedAt) / 1000),
    revision: current?.revision ?? null,
    loaded_at: time(current?.loadedAt),
    services: current?.services ?? 0,
    routes: current?.routes ?? 0,
    issuers: state.issuers.map(issuerReport),
    caches: state.caches,
    connections: state.connections,
    in_flight: state.inFlight,
    pipelining_advice: state.pipeliningAdvice ?? null,
    log: { lines_dropped: state.log.dropped, error: state.log.failure ?? null },
    audit: state.audit.map(({ error, ...told }) => ({ ...told, error: error ?? null })),
    last_failed_reload: failure === undefined ? null : { at: time(failure.at), faults: failure.faults.map(shown) },
    warnings: (current?.warnings ?? []).slice(0, MOST_TEXTS).map(shown),
    workers: state.workers.map(workerReport),
    problems: problems(state),
  };
}

/** What somebody should look at, most urgent first. */
function problems(state: AdminState): string[] {
  const { failure } = state.load;
  const found: string[] = [];
  if (failure !== undefined) {
    found.push(`the reload of ${time(failure.at)} failed and changed nothing:`, ...failure.faults.map(shown));
  }
  found.push(...(state.load.current?.silent ?? []).map(shown));
  for (const { name, error } of state.issuers) {
    if (error !== undefined) found.push(`issuer ${name} cannot be asked: ${plainText(error, LONGEST_TEXT)}`);
  }
  for (const { name, details } of state.issuers) {
    const problems = typeof details.session_store === "object" ? details.session_store : [];
    for (const { problem = "" } of problems) found.push(`issuer ${name}: ${plainText(problem, LONGEST_TEXT)}`);
  }
  for (const { worker, problem } of state.workers) if (problem !== undefined) found.push(`worker ${worker} ${problem}`);
  for (const { origin, error } of state.audit) {
    if (error !== undefined) found.push(`the audit log ${origin} cannot be written: ${error}`);
  }
  if (state.log.failure !== undefined) found.push(`the log cannot be written: ${state.log.failure}`);
  return found.slice(0, MOST_TEXTS);
}

function issuerReport({ name, issuer, details, identities, succeededAt, failedAt, error }: IssuerStatus) {
  return {
    name,
    issuer,
    ...Object.fromEntries(Object.entries(details).map(([key, detail]) => [key, shownDetail(detail)])),
    identities,
    last_success: time(succeededAt),
    last_failure: time(failedAt),
    error: error === undefined ? null : plainText(error, LONGEST_TEXT),
  };
}

function shownDetail(detail: Detail) {
  if (typeof detail === "number") return detail;
  return detail.map((item) =>
    Object.fromEntries(Object.entries(item).map(([key, text]) => [key, plainText(text, LONGEST_TEXT)])),
  );
}

function workerReport({ worker, pid, state, connections, inFlight, requests, restarts, lastEnd }: WorkerState) {
  return {
    ...{ worker, pid: pid ?? null, state, connections, in_flight: inFlight, requests, restarts },
    last_end: lastEnd ?? null,
  };
}

function shown(fault: Parameters<typeof faultText>[0]): string {
  return plainText(faultText(fault), LONGEST_TEXT);
}

/** RFC 3339, UTC. */
function time(milliseconds: number | undefined): string | null {
  return milliseconds === undefined ? null : new Date(milliseconds).toISOString();
}
