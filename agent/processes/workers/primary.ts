import type { Fault } from "../../../policies/fault.ts";
import { AdminListener } from "../../admin/admin.ts";
import type { AdminState, Phase, WorkerState } from "../../admin/status.ts";
import type { CheckedSet, Surroundings } from "../../loading/load.ts";
import { examineBeside } from "../../loading/reload.ts";
import { Reloads } from "../../loading/reloads.ts";
import { reportOf } from "../../loading/report.ts";
import { addressesOf } from "../../net/addresses.ts";
import { allOf } from "../../net/listen.ts";
import { ERROR_CODES } from "../../server/error-codes.ts";
import type { LoadReport } from "../../telemetry/events.ts";
import type { MetricValues } from "../../telemetry/metrics/metrics.ts";
import { openMetricsText, withExemplars } from "../../telemetry/metrics/open-metrics.ts";
import { ServiceManager } from "../../telemetry/service-manager.ts";
import { mergedTaps, type TapFilter, type Tapped } from "../../telemetry/taps.ts";
import { createTelemetry, type Telemetry } from "../../telemetry/telemetry.ts";
import { loginSetup } from "../../web/login/setup.ts";
import type { PageListener } from "../../web/page-listener.ts";
import { webListener } from "../../web/web-listener.ts";
import { DRAIN_LIMIT, type Service } from "../agent.ts";
import { VERSION } from "../version.ts";
import { added, addedText, labelled, lasting, mergedState, workerMetrics } from "./merge.ts";
import type { Report } from "./messages.ts";
import { Seat } from "./seat.ts";

/** Milliseconds in which a worker ends when it is told to end at once, and after the limit of a drain. */
const CLOSE_LIMIT = 2_000;

/**
 * The agent in several processes. This one loads, is told of signals and changes, and answers for all on the admin
 * listener; the workers answer HAProxy.
 */
export class Primary implements Service {
  readonly #file: string;
  readonly #clock: () => number;
  readonly #startedAt: number;
  readonly #telemetry: Telemetry;
  readonly #admin: AdminListener;
  readonly #web: PageListener;
  readonly #reloads: Reloads<CheckedSet>;
  readonly #seats: readonly Seat[];
  readonly #report: LoadReport;
  readonly #manager: ServiceManager;
  /** What a worker begins with. */
  #set: CheckedSet;
  #phase: Phase = "starting";
  #exchanges: NodeJS.Timeout | undefined;
  /** What ended processes had counted. */
  #retired: Promise<readonly MetricValues[]> = Promise.resolve([]);
  #listening: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** @param begun milliseconds since the epoch when the load began */
  constructor(file: string, set: CheckedSet, surroundings: Surroundings, begun: number) {
    const { clock } = surroundings;
    const { listen, log, workers } = set.config;
    this.#file = file;
    this.#clock = clock;
    this.#startedAt = begun;
    this.#set = set;
    this.#telemetry = createTelemetry({
      version: VERSION,
      log,
      errorCodes: ERROR_CODES,
      gauges: {
        connections: () => 0,
        certificateUntil: () => 0,
        inFlight: () => 0,
        audit: () => undefined,
        cached: () => 0,
        remembered: () => 0,
        lastUses: () => [],
      },
      clock,
      process: true,
    });
    const sources = {
      state: () => this.#state(),
      metrics: async () => addedText(await this.#metrics()),
      openMetrics: async () => openMetricsText(await this.#openMetrics()),
      tap: (name: string, filter: TapFilter) => this.#tap(name, filter),
    };
    this.#admin = new AdminListener(sources, {
      failed: (error) => this.#telemetry.unexpected("answering the admin listener", error),
    });
    this.#web = webListener(() => this.#set.config, this.#telemetry, clock);
    this.#manager = new ServiceManager(surroundings.environment, (error) => this.#telemetry.untold(error));
    this.#reloads = new Reloads({
      file,
      set,
      load: () => examineBeside(file, surroundings),
      adopt: (next, began) => this.#adopt(next, began),
      events: this.#telemetry,
      manager: this.#manager,
      clock,
    });
    const relay = (lines: Buffer) => this.#telemetry.relay(lines);
    this.#seats = Array.from({ length: workers }, (_, index) => {
      return new Seat(index + 1, addressesOf(listen.spop, index + 1), relay, clock);
    });
    this.#report = reportOf(set, { loadedAt: clock(), durationMs: clock() - begun });
  }

  async start(read: readonly string[]): Promise<void> {
    const { admin, web } = this.#set.config.listen;
    this.#listening = allOf([this.#admin.listen(admin), this.#web.listen(web, loginSetup(this.#set.config))]);
    try {
      await allOf([this.#listening, ...this.#seats.map((seat) => this.#begin(seat))]);
      this.#telemetry.started(this.#report);
      await this.#reloads.start(read, this.#report.loadedAt - this.#report.durationMs);
      await Promise.all(this.#seats.map((seat) => seat.ready()));
    } catch (error) {
      // Told to end meanwhile.
      if (this.#phase !== "starting") return;
      throw error;
    }
    if (this.#phase !== "starting") return;
    this.#phase = "serving";
    const { audit } = this.#set.config;
    if (audit !== undefined) this.#exchanges = setInterval(() => this.#exchangeHeads(), audit.checkpoint).unref();
    this.#telemetry.ready();
    this.#manager.ready(`serving revision ${this.#report.revision}`);
  }

  reload(): void {
    this.#reloads.request();
  }

  passOver(signal: string): void {
    this.#telemetry.passedOver(signal);
  }

  async drain(signal: string): Promise<void> {
    this.#phase = "draining";
    this.#reloads.stop();
    this.#telemetry.draining(signal);
    void this.#manager.stopping();
    const order = { kind: "drain", limit: DRAIN_LIMIT } as const;
    await Promise.all(this.#seats.map((seat) => seat.end(order, DRAIN_LIMIT + CLOSE_LIMIT)));
    await this.close();
  }

  close(cause?: Error): Promise<void> {
    this.#closing ??= this.#close(cause);
    return this.#closing;
  }

  /** The workers end with this process. */
  async crashed(error: unknown): Promise<void> {
    this.#telemetry.unexpected("the primary process", error);
    await this.#telemetry.close();
  }

  async #close(cause: Error | undefined): Promise<void> {
    this.#phase = "draining";
    clearInterval(this.#exchanges);
    this.#reloads.stop();
    const ended = this.#seats.map((seat) => seat.end({ kind: "close" }, CLOSE_LIMIT));
    await this.#listening.catch(() => {});
    await Promise.all([...ended, this.#admin.close(), this.#web.close(), this.#manager.stopping()]);
    this.#telemetry.stopped(cause);
    await this.#telemetry.close();
  }

  #begin(seat: Seat): Promise<void> {
    const joining = this.#seats.some(({ isReady }) => isReady);
    return seat.begin(this.#set, joining, (end) => this.#ended(seat, end));
  }

  /** A worker that ends while the agent serves is started again; one that ends before that ends the start. */
  #ended(seat: Seat, end: string): void {
    const last = lasting(seat.takeReport()?.metrics ?? []);
    this.#retired = this.#retired.then((sum) => added([sum, last]));
    if (this.#phase !== "serving") return;
    const delay = seat.restartDelay();
    this.#telemetry.workerEnded(seat.worker, end, delay);
    setTimeout(() => void this.#restart(seat), delay);
  }

  async #restart(seat: Seat): Promise<void> {
    if (this.#phase !== "serving") return;
    try {
      await this.#begin(seat);
      await seat.ready();
      this.#telemetry.workerReady(seat.worker);
    } catch {
      // Its process has ended, and #ended was told why.
    }
  }

  /**
   * Has all workers prepare the set, and judge by it only when all have: none is of another mind than the others for
   * longer than a message takes. A worker that ends meanwhile begins again with what is then in force.
   */
  async #adopt(set: CheckedSet, begun: number): Promise<LoadReport | readonly Fault[]> {
    const prepared: Seat[] = [];
    try {
      const prepare = async (seat: Seat) => (await seat.prepare(set)) && prepared.push(seat);
      await Promise.all(this.#seats.map(prepare));
    } catch (error) {
      return [this.#refused(error instanceof Error ? error.message : String(error))];
    }
    if (prepared.length === 0) return [this.#refused("no worker could prepare it")];
    this.#set = set;
    this.#web.renew(loginSetup(set.config));
    await Promise.all(prepared.map((seat) => seat.commit(set)));
    for (;;) {
      const behind = this.#seats.filter((seat) => seat.isBehind(set));
      if (behind.length === 0) break;
      await Promise.all(behind.map(async (seat) => (await seat.prepare(set)) && (await seat.commit(set))));
    }
    return reportOf(set, { loadedAt: this.#clock(), durationMs: this.#clock() - begun });
  }

  /** Each audit log tells of all others, once all have begun. */
  #exchangeHeads(): void {
    const heads = this.#seats.flatMap(({ head }) => head ?? []);
    for (const seat of this.#seats) seat.exchangeHeads(heads.length === this.#seats.length ? heads : []);
  }

  #refused(found: string): Fault {
    return { file: this.#file, line: 1, column: 1, found, right: "see `countersign check`, and the lines before" };
  }

  /** @returns what the workers last reported, after a bounded time */
  async #reports(): Promise<readonly { readonly report: Report | undefined; readonly seat: Seat }[]> {
    return await Promise.all(this.#seats.map(async (seat) => ({ seat, report: await seat.report() })));
  }

  async #state(): Promise<AdminState> {
    const reports = await this.#reports();
    const workers = this.#workers();
    return {
      version: VERSION,
      startedAt: this.#startedAt,
      now: this.#clock(),
      phase: this.#phase === "serving" && !workers.some(({ state }) => state === "ready") ? "starting" : this.#phase,
      load: this.#telemetry.load(),
      ...mergedState(
        reports.flatMap(({ report }) => (report === undefined ? [] : [report.state])),
        this.#telemetry.logState(),
      ),
      workers,
    };
  }

  #workers(): readonly WorkerState[] {
    const asked = this.#seats.some((seat) => seat.wasAsked);
    return this.#seats.map((seat) => seat.state(asked));
  }

  /** Of all processes. */
  async #metrics(): Promise<readonly (readonly MetricValues[])[]> {
    const reports = await this.#reports();
    const own = labelled(await this.#telemetry.metricValues(), "primary");
    const each = reports.map(({ seat, report }) => labelled(report?.metrics ?? [], String(seat.worker)));
    return [own, ...each, await this.#retired, workerMetrics(this.#workers())];
  }

  async #openMetrics(): Promise<readonly MetricValues[]> {
    const processes = await this.#metrics();
    return withExemplars(await added(processes), processes);
  }

  /** This process decides nothing: its own tap only counts how many there are. */
  async #tap(name: string, filter: TapFilter): Promise<Tapped | undefined> {
    const own = this.#telemetry.tap(name, filter);
    if (own === undefined) return undefined;
    const each = await Promise.all(this.#seats.map((seat) => seat.tap(name, filter)));
    return mergedTaps([own, ...each.filter((tapped) => tapped !== undefined)]);
  }
}
