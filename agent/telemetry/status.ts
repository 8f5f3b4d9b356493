import { faultText } from "../../policies/fault.ts";
import type { IssuerStatus } from "../identity/identity.ts";
import { plainText } from "./safe-text.ts";
import type { LoadState } from "./telemetry.ts";

/**
 * `starting` until the listeners are bound and every issuer was asked for its keys once; `draining` from the signal
 * to stop until the end.
 */
export type Phase = "starting" | "serving" | "draining";

/** What the admin listener reads at the moment it is asked. Everything in it may be shown: none of it is secret. */
export interface AdminState {
  /** Countersign's. */
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly clock: () => number;
  phase(): Phase;
  issuers(): readonly IssuerStatus[];
  /** Entries and largest number of entries of each cache, by name. */
  caches(): Readonly<Record<string, { readonly entries: number; readonly limit: number }>>;
  connections(): number;
  inFlight(): number;
  /** What to set in HAProxy so that connections can be pipelined; undefined where they are. */
  pipeliningAdvice(): string | undefined;
  readonly telemetry: {
    load(): LoadState;
    logState(): { readonly dropped: number; readonly failure: string | undefined };
    /** Prometheus' text format. */
    metrics(): Promise<string>;
    readonly metricsType: string;
  };
}

const MOST_TEXTS = 50;
const LONGEST_TEXT = 512;

/** The body of /ready. A failed reload or issuer is named, and does not take the agent out of service. */
export function readiness(state: AdminState) {
  const phase = state.phase();
  const revision = state.telemetry.load().current?.revision ?? null;
  return { ready: phase === "serving", phase, revision, problems: problems(state) };
}

/** The body of /status; docs/observability.md explains each member. */
export function statusReport(state: AdminState) {
  const { current, failure } = state.telemetry.load();
  const { dropped, failure: logError } = state.telemetry.logState();
  return {
    version: state.version,
    phase: state.phase(),
    uptime_seconds: Math.floor((state.clock() - state.startedAt) / 1000),
    revision: current?.revision ?? null,
    loaded_at: time(current?.loadedAt),
    services: current?.services ?? 0,
    routes: current?.routes ?? 0,
    issuers: state.issuers().map(issuerReport),
    caches: state.caches(),
    connections: state.connections(),
    in_flight: state.inFlight(),
    pipelining_advice: state.pipeliningAdvice() ?? null,
    log: { lines_dropped: dropped, error: logError ?? null },
    last_failed_reload: failure === undefined ? null : { at: time(failure.at), faults: failure.faults.map(shown) },
    warnings: (current?.warnings ?? []).slice(0, MOST_TEXTS).map(shown),
    problems: problems(state),
  };
}

/** What somebody should look at, most urgent first. */
function problems(state: AdminState): string[] {
  const { failure } = state.telemetry.load();
  const { failure: logError } = state.telemetry.logState();
  const found: string[] = [];
  if (failure !== undefined) {
    found.push(`the reload of ${time(failure.at)} failed and changed nothing:`, ...failure.faults.map(shown));
  }
  for (const { name, error } of state.issuers()) {
    if (error !== undefined) found.push(`issuer ${name} cannot be asked: ${plainText(error, LONGEST_TEXT)}`);
  }
  if (logError !== undefined) found.push(`the log cannot be written: ${logError}`);
  return found.slice(0, MOST_TEXTS);
}

function issuerReport({ name, issuer, keys, identities, succeededAt, failedAt, error }: IssuerStatus) {
  return {
    name,
    issuer,
    keys,
    identities,
    last_success: time(succeededAt),
    last_failure: time(failedAt),
    error: error === undefined ? null : plainText(error, LONGEST_TEXT),
  };
}

function shown(fault: Parameters<typeof faultText>[0]): string {
  return plainText(faultText(fault), LONGEST_TEXT);
}

/** RFC 3339, UTC. */
function time(milliseconds: number | undefined): string | null {
  return milliseconds === undefined ? null : new Date(milliseconds).toISOString();
}
