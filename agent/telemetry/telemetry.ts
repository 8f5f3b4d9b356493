import { isDeepStrictEqual } from "node:util";
import { type Logger, pino } from "pino";
import { type Fault, faultText } from "../../policies/fault.ts";
import type { InForce, LogHead } from "../../records/audit/lines.ts";
import type { AuditConfig } from "../config/sections/audit.ts";
import type { TracesConfig } from "../config/sections/traces.ts";
import type { IdentityEvents } from "../identity/issuer/events.ts";
import { AuditLog, type AuditState } from "./audit/audit-log.ts";
import { DecisionLines, DecisionLog } from "./decision-log.ts";
import type {
  DecisionSink,
  LifecycleEvents,
  LoadReport,
  LoginEvent,
  LogOptions,
  Observation,
  ReloadEvents,
  ServerEvents,
} from "./events.ts";
import { type Gauges, Metrics, type MetricValues } from "./metrics/metrics.ts";
import { openMetricsText } from "./metrics/open-metrics.ts";
import { plainText } from "./safe-text.ts";
import { LineSink } from "./sink.ts";
import { type TapFilter, type Tapped, Taps } from "./taps.ts";
import { Throttle } from "./throttle.ts";
import { type SpanCounts, Spans } from "./traces/spans.ts";

export interface TelemetryOptions {
  /** Countersign's. */
  readonly version: string;
  readonly log: LogOptions;
  /** All codes that a SpopError can have. */
  readonly errorCodes: readonly string[];
  readonly gauges: Gauges;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  /** Which of several workers this is: its lines other than decisions say so. */
  readonly worker?: number;
  /** Whether to measure the process and Node as well; once a process. */
  readonly process: boolean;
  /** File descriptor to write to, for tests; default: as `log.destination` says. */
  readonly fd?: number;
}

/** What is known of the loads of configuration and policies, for /ready and /status. */
export interface LoadState {
  readonly current: LoadReport | undefined;
  /** The last load, where it failed. */
  readonly failure: { readonly at: number; readonly faults: readonly Fault[] } | undefined;
}

// Milliseconds between two lines about the same failure.
const QUIET = 60_000;
const MOST_FAULTS = 50;
const MOST_KEYS = 20;
const LONGEST = 512;

/**
 * Everything the agent tells about itself: decision log, other log lines, metrics. Nothing here throws, waits or
 * grows with the traffic.
 */
export class Telemetry implements ServerEvents, IdentityEvents, ReloadEvents, LifecycleEvents {
  readonly #clock: () => number;
  readonly #sink: LineSink;
  readonly #log: Logger;
  readonly #decisions: DecisionLog;
  readonly #lines = new DecisionLines();
  #sinks: readonly DecisionSink[];
  readonly #taps: Taps;
  #tapped = false;
  readonly #version: string;
  #spans: Spans | undefined;
  #traces: TracesConfig | undefined;
  /** Of collectors before. */
  #pastSpans: SpanCounts = { exported: 0, dropped: 0 };
  #audit: AuditLog | undefined;
  readonly #metrics: Metrics;
  readonly #throttle = new Throttle(QUIET);
  readonly #destination: LogOptions["destination"];
  #listen: readonly string[] = [];
  #load: LoadState = { current: undefined, failure: undefined };

  constructor(options: TelemetryOptions) {
    const { log, clock } = options;
    this.#clock = clock;
    this.#destination = log.destination;
    this.#sink = new LineSink(options.fd ?? (log.destination === "stdout" ? 1 : 2), clock, (n) => this.#recovered(n));
    this.#log = createLog(log.level, this.#sink, clock, options.worker);
    const { version, errorCodes, gauges } = options;
    this.#version = version;
    const linesDropped = () => this.#sink.dropped;
    this.#metrics = new Metrics({ version, errorCodes, gauges, clock, linesDropped, spans: () => this.#spanCounts() });
    if (options.process) this.#metrics.addProcess();
    this.#decisions = new DecisionLog(log.decisions, this.#lines, this.#sink, clock);
    this.#sinks = [this.#metrics.decisions, this.#decisions];
    this.#taps = new Taps(this.#lines, clock, (any) => {
      this.#tapped = any;
      this.#arrange();
    });
  }

  decided(observation: Observation): void {
    for (const sink of this.#sinks) sink.decided(observation);
  }

  /**
   * Begins the audit log: every decision from now on is in it, or counted.
   *
   * @param process which of several
   * @throws Error that says why it cannot be written
   */
  openAudit(config: AuditConfig, process: number, inForce: InForce): void {
    const events = {
      checkpoint: (note: string, size: number) => this.#log.info({ size, note }, "audit checkpoint"),
      full: (error: string) => this.#log.error({ error }, "the audit log cannot be written: decisions are not kept"),
      room: (lost: number) =>
        this.#log.warn({ lost }, "the audit log can be written again: it says how many are missing"),
    };
    try {
      this.#audit = new AuditLog(config, process, this.#lines, this.#clock, events);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`the audit log cannot be written: ${why}; see \`countersign audit init\``, { cause: error });
    }
    this.#arrange();
    this.inForce(inForce);
  }

  /** What is judged by from now on, for the audit log. */
  inForce(inForce: InForce): void {
    this.#sink.flush();
    this.#audit?.inForce(inForce);
  }

  /** Records how far the audit logs of all processes have come. @returns how far this one's has */
  exchangeHeads(all: readonly LogHead[]): LogHead | undefined {
    return this.#audit?.exchange(all);
  }

  /** A reload has another `audit`. */
  auditStays(): void {
    this.#log.warn("audit was changed; that takes a restart");
  }

  /** Whether a decision could not be kept. */
  get auditIsFull(): boolean {
    return this.#audit?.full !== undefined;
  }

  /** How far the audit log has come; undefined where there is none. */
  auditState(): AuditState | undefined {
    return this.#audit?.state;
  }

  /** What was decided since the same tap was read; undefined where there are too many others. */
  tap(name: string, filter: TapFilter): Tapped | undefined {
    return this.#taps.read(name, filter);
  }

  /** Where decisions are told of as spans from now on, if anywhere; another collector than before gets none of its. */
  traceTo(traces: TracesConfig | undefined): void {
    if (isDeepStrictEqual(traces, this.#traces)) return;
    const before = this.#spans;
    void before?.close().then(() => {
      const { exported, dropped } = before.counts;
      this.#pastSpans = { exported: this.#pastSpans.exported + exported, dropped: this.#pastSpans.dropped + dropped };
    });
    this.#traces = traces;
    const events = { exporting: (problem: string | undefined) => this.#exporting(problem) };
    this.#spans = traces && new Spans(traces, this.#version, this.#clock, events);
    this.#arrange();
  }

  connected(): void {
    this.#metrics.server.connected();
    this.#log.debug("HAProxy connected");
  }

  disconnected(): void {
    this.#metrics.server.disconnected();
    this.#log.debug("HAProxy's connection ended");
  }

  healthCheck(): void {
    this.#metrics.server.healthCheck();
    this.#log.debug("HAProxy checked the agent's health");
  }

  unpipelined(advice: string): void {
    const held = this.#throttle.pass("unpipelined", this.#clock());
    if (held === undefined) return;
    this.#log.warn({ advice, ...also(held) }, "HAProxy's buffer is too small to pipeline: every request costs more");
  }

  protocolError(error: string): void {
    const code = this.#metrics.server.protocolError(error);
    const held = this.#throttle.pass(`protocol ${code}`, this.#clock());
    if (held === undefined) return;
    const message = "an SPOP connection was ended: what came is not valid SPOP, or not from HAProxy";
    this.#log.warn({ code, ...also(held) }, message);
  }

  dropped(count: number): void {
    this.#metrics.server.dropped(count);
    const held = this.#throttle.pass("dropped", this.#clock());
    if (held === undefined) return;
    const message = "requests were left unanswered: the agent stood still for longer than HAProxy waits";
    this.#log.warn({ requests: count, ...also(held) }, message);
  }

  cache(outcome: "hit" | "miss" | "refusal_hit"): void {
    this.#metrics.identity.cache(outcome);
  }

  login(event: LoginEvent): void {
    this.#metrics.identity.login(event);
    const { issuer, outcome, why = "" } = event;
    if (outcome === "refused") this.#log.info({ issuer, why: plainText(why, LONGEST) }, "a login was refused");
    if (outcome.startsWith("logout")) this.#logout(event);
    if (outcome !== "failed") return;
    const held = this.#throttle.pass(`login ${issuer}`, this.#clock());
    if (held === undefined) return;
    const message = "nobody can log in at the issuer now: whoever has a session keeps it";
    this.#log.warn({ issuer, error: plainText(why, LONGEST), ...also(held) }, message);
  }

  /** Anybody may send a logout token that is none. */
  #logout({ issuer, outcome, why = "" }: LoginEvent): void {
    const held = this.#throttle.pass(`${outcome} ${issuer}`, this.#clock());
    if (held === undefined) return;
    const fields = { issuer, why: plainText(why, LONGEST), ...also(held) };
    if (outcome === "logout-refused") this.#log.info(fields, "a logout by the provider was refused");
    else this.#log.warn(fields, "what a logout was to end could not be ended");
  }

  fetched(...fetch: Parameters<IdentityEvents["fetched"]>): void {
    this.#metrics.identity.fetched(...fetch);
    const [issuer, what, outcome, durationMs, error = "unknown"] = fetch;
    const fields = { issuer, what, duration_ms: Math.round(durationMs) };
    const kind = `${what} ${issuer}`;
    if (outcome === "ok") {
      if (this.#throttle.forget(kind)) this.#log.info(fields, "the issuer answers again");
      else this.#log.debug(fields, "the issuer answered");
      return;
    }
    const held = this.#throttle.pass(kind, this.#clock());
    if (held === undefined) return;
    const message = "the issuer cannot be asked: what is known stays in use, tokens that need more are refused";
    this.#log.warn({ ...fields, error: plainText(error, LONGEST), ...also(held) }, message);
  }

  unusable(...[issuer, keys]: Parameters<IdentityEvents["unusable"]>): void {
    this.#metrics.identity.unusable(issuer, keys.length);
    const kind = `unusable ${issuer}`;
    if (keys.length === 0) {
      if (this.#throttle.forget(kind)) this.#log.info({ issuer }, "every key of the issuer can be used again");
      return;
    }
    const held = this.#throttle.pass(kind, this.#clock());
    if (held === undefined) return;
    const texts = keys.slice(0, MOST_KEYS).map(({ kid = "without kid", why }) => plainText(`${kid}: ${why}`, LONGEST));
    const message = "keys of the issuer cannot be used: tokens signed with them are refused";
    this.#log.warn({ issuer, keys: texts, count: keys.length, ...also(held) }, message);
  }

  proofStore(problem: string | undefined): void {
    const kind = "proof store";
    if (problem === undefined) {
      if (this.#throttle.forget(kind)) this.#log.info("the store of DPoP proofs can be reached again");
      return;
    }
    const held = this.#throttle.pass(kind, this.#clock());
    if (held === undefined) return;
    const message = "the store of DPoP proofs cannot be reached: requests with a proof are refused";
    this.#log.warn({ error: plainText(problem, LONGEST), ...also(held) }, message);
  }

  sessionStore(issuer: string, problem: string | undefined): void {
    const kind = `session store ${issuer}`;
    if (problem === undefined) {
      if (this.#throttle.forget(kind)) this.#log.info({ issuer }, "the store of sessions can be reached again");
      return;
    }
    const held = this.#throttle.pass(kind, this.#clock());
    if (held === undefined) return;
    const message = "the store of sessions cannot be reached: requests with a session are refused";
    this.#log.warn({ issuer, error: plainText(problem, LONGEST), ...also(held) }, message);
  }

  started(loaded: LoadReport): void {
    this.#loaded(loaded);
    this.#listen = loaded.listen;
    const { version: node, pid } = process;
    this.#log.info({ ...loadedFields(loaded), addresses: loaded.listen, node, pid }, "countersign started");
  }

  ready(): void {
    this.#log.info("ready: listening, and every issuer was asked for its keys");
  }

  reloaded(loaded: LoadReport): void {
    this.#loaded(loaded);
    this.#log.info(loadedFields(loaded), "reloaded: new requests are judged by this revision");
    if (loaded.log.destination !== this.#destination) {
      this.#log.warn("log.destination was changed; that takes a restart");
    }
    if (loaded.listen.join() !== this.#listen.join()) {
      this.#log.warn({ addresses: this.#listen }, "listen or workers was changed; that takes a restart");
    }
  }

  /** What a load changes beside the judging. Of several workers only the primary tells of the load itself. */
  configured({ log, issuers }: Pick<LoadReport, "log" | "issuers">): void {
    this.#metrics.identity.configured(issuers);
    this.#sink.flush();
    this.#decisions.decisions = log.decisions;
    this.#arrange();
    this.#log.level = log.level;
  }

  /** A process that answered HAProxy has ended. @param ms until it is started again */
  workerEnded(worker: number, end: string, ms: number): void {
    this.#log.error({ worker, end, restart_ms: ms }, "a worker ended: the others answer, and it is started again");
  }

  workerReady(worker: number): void {
    this.#log.info({ worker }, "the worker answers again");
  }

  reloadFailed(faults: readonly Fault[]): void {
    this.#load = { current: this.#load.current, failure: { at: this.#clock(), faults: faults.slice(0, MOST_FAULTS) } };
    this.#metrics.loads.failed();
    const fields = { revision: this.#load.current?.revision, faults: texts(faults), count: faults.length };
    this.#log.error(fields, "reload failed: nothing was changed, requests are judged as before");
  }

  passedOver(signal: string): void {
    const held = this.#throttle.pass(signal, this.#clock());
    if (held === undefined) return;
    const message = "a signal that means nothing here: SIGHUP loads anew, SIGTERM and SIGINT end";
    this.#log.warn({ signal, ...also(held) }, message);
  }

  untold(error: unknown): void {
    const held = this.#throttle.pass("untold", this.#clock());
    if (held === undefined) return;
    const text = plainText(error instanceof Error ? error.message : String(error), LONGEST);
    this.#log.warn({ error: text, ...also(held) }, "the service manager cannot be told by systemd-notify");
  }

  draining(signal: string): void {
    this.#log.info({ signal }, "draining: health checks fail from now on, requests are still answered");
  }

  stopped(cause?: Error): void {
    if (cause === undefined) this.#log.info("countersign stopped");
    else this.#log.error({ problems: cause.message.split("\n") }, "countersign cannot start");
  }

  unexpected(where: string, error: unknown): void {
    const held = this.#throttle.pass(`unexpected ${where}`, this.#clock());
    if (held === undefined) return;
    const text = error instanceof Error ? (error.stack ?? String(error)) : String(error);
    this.#log.error(
      { where, error: plainText(text.replaceAll("\n", " | "), 4 * LONGEST), ...also(held) },
      "unexpected error",
    );
  }

  /** State of the loads, for /ready and /status. */
  load(): LoadState {
    return this.#load;
  }

  /** Lines lost since the start, and the error code of the last write where it failed. */
  logState(): { readonly dropped: number; readonly failure: string | undefined } {
    return { dropped: this.#sink.dropped, failure: this.#sink.failure };
  }

  /** Lines that another process has gathered. @param lines ends in a line feed */
  relay(lines: Buffer): void {
    this.#sink.relay(lines);
  }

  /** A line of another process was too long to be passed on. */
  lineLost(): void {
    this.#sink.lose(1);
  }

  /** The metrics as values that can be added to those of other processes. */
  metricValues(): Promise<readonly MetricValues[]> {
    return this.#metrics.values();
  }

  /** @returns Prometheus' text format */
  metrics(): Promise<string> {
    return this.#metrics.text();
  }

  /** @returns OpenMetrics, with exemplars */
  async openMetrics(): Promise<string> {
    return openMetricsText(await this.#metrics.values());
  }

  /** Hands gathered lines to the operating system. */
  flush(): void {
    this.#sink.flush();
  }

  /** Writes what is left while it is read on, for a few seconds at most. Later lines are lost. */
  async close(): Promise<void> {
    this.#metrics.close();
    this.#taps.close();
    this.#sink.flush();
    await Promise.all([this.#audit?.close(), this.#spans?.close()]);
    await this.#sink.close();
  }

  #loaded(loaded: LoadReport): void {
    this.#load = { current: loaded, failure: undefined };
    this.#metrics.loads.loaded(loaded);
    this.configured(loaded);
  }

  /**
   * Who is told of decisions: who is not there costs nothing. A tap and the log stand together: their line is made once.
   * So are an audit log's, where it has just what the log has: then it gets the log's bytes.
   */
  #arrange(): void {
    const audit = this.#audit;
    const shared = audit?.takesLines === true && this.#decisions.decisions === "all";
    this.#sink.copyTo(shared ? (lines, count) => audit.take(lines, count) : undefined);
    this.#sinks = [
      this.#metrics.decisions,
      ...(this.#tapped ? [this.#taps] : []),
      this.#decisions,
      ...(audit === undefined || shared ? [] : [audit]),
      ...[this.#spans ?? []].flat(),
    ];
  }

  #spanCounts(): SpanCounts {
    const { exported, dropped } = this.#pastSpans;
    const now = this.#spans?.counts ?? { exported: 0, dropped: 0 };
    return { exported: exported + now.exported, dropped: dropped + now.dropped };
  }

  /** @param problem undefined once there is none */
  #exporting(problem: string | undefined): void {
    const kind = "spans";
    if (problem === undefined) {
      if (this.#throttle.forget(kind)) this.#log.info("spans are exported again");
      return;
    }
    const held = this.#throttle.pass(kind, this.#clock());
    if (held === undefined) return;
    this.#log.warn({ error: plainText(problem, LONGEST), ...also(held) }, "spans cannot be exported");
  }

  #recovered(lines: number): void {
    this.#log.warn({ lines }, "log lines were lost: whoever reads the log was too slow, or a line too long");
  }
}

/** Opens the log and starts counting. */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  return new Telemetry(options);
}

function createLog(level: LogOptions["level"], sink: LineSink, clock: () => number, worker?: number): Logger {
  const options = {
    level,
    // The decision lines have the same first members.
    base: worker === undefined ? null : { worker },
    timestamp: () => `,"time":"${new Date(clock()).toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, sink);
}

function loadedFields({
  revision,
  services,
  routes,
  issuers,
  warnings,
  durationMs,
}: LoadReport): Record<string, unknown> {
  const fields = { revision, services, routes, issuers: issuers.length, duration_ms: Math.round(durationMs) };
  return warnings.length === 0 ? fields : { ...fields, warnings: texts(warnings) };
}

function texts(faults: readonly Fault[]): string[] {
  return faults.slice(0, MOST_FAULTS).map((fault) => plainText(faultText(fault), LONGEST));
}

/** How many lines of the kind were held back since the last one. */
function also(held: number): { held_back: number } | undefined {
  return held === 0 ? undefined : { held_back: held };
}
