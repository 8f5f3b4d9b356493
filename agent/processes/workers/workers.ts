import type { Fault } from "../../../policies/fault.ts";
import type { WorkerState } from "../../admin/status.ts";
import type { Config } from "../../config/config.ts";
import type { Due } from "../../identity/issuer/world.ts";
import type { CheckedSet, Surroundings } from "../../loading/load.ts";
import { examineBeside } from "../../loading/reload.ts";
import { addressesOf } from "../../net/addresses.ts";
import { allOf } from "../../net/listen.ts";
import { ERROR_CODES } from "../../server/error-codes.ts";
import type { MetricValues } from "../../telemetry/metrics/metrics.ts";
import { openMetricsText, withExemplars } from "../../telemetry/metrics/open-metrics.ts";
import { mergedTaps, type TapFilter, type Tapped } from "../../telemetry/taps.ts";
import { createTelemetry, type Telemetry } from "../../telemetry/telemetry.ts";
import type { Responders } from "../service.ts";
import { VERSION } from "../version.ts";
import type { Relay } from "./child.ts";
import { added, addedText, labelled, lasting, mergedState, workerMetrics } from "./merge.ts";
import type { Report } from "./messages.ts";
import { Seat } from "./seat.ts";

/** Milliseconds in which a worker ends when it is told to end at once, and after the limit of a drain; an audit log has 5 s. */
const CLOSE_LIMIT = 2_000;
const AUDITED_CLOSE_LIMIT = 7_000;

/** The agent in several processes: this one loads and merges what is told of it, the workers answer HAProxy. */
export class Workers implements Responders<CheckedSet> {
  readonly load: Responders<CheckedSet>["load"];
  readonly telemetry: Telemetry;
  due: Responders<CheckedSet>["due"] = () => {};
  readonly #file: string;
  readonly #seats: readonly Seat[];
  /** What a worker begins with. */
  #set: CheckedSet;
  /** What ended processes had counted. */
  #retired: Promise<readonly MetricValues[]> = Promise.resolve([]);
  /** While it is `serving`, a worker that ends is started again. */
  #phase: "starting" | "serving" | "ending" = "starting";
  #exchanges: NodeJS.Timeout | undefined;
  readonly #restarts = new Set<NodeJS.Timeout>();

  constructor(file: string, set: CheckedSet, surroundings: Surroundings) {
    const { clock } = surroundings;
    const { listen, log, workers } = set.config;
    this.load = () => examineBeside(file, surroundings);
    this.#file = file;
    this.#set = set;
    this.telemetry = createTelemetry({
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
    const relay: Relay = {
      lines: (lines) => this.telemetry.relay(lines),
      lost: () => this.telemetry.lineLost(),
    };
    const due = (each: Due) => this.due(each);
    this.#seats = Array.from({ length: workers }, (_, index) => {
      return new Seat(index + 1, addressesOf(listen.spop, index + 1), relay, due, clock);
    });
  }

  get config(): Config {
    return this.#set.config;
  }

  async listen(): Promise<void> {
    await allOf(this.#seats.map((seat) => this.#begin(seat)));
  }

  async ready(): Promise<void> {
    await Promise.all(this.#seats.map((seat) => seat.ready()));
    // Told to end meanwhile.
    if (this.#phase !== "starting") return;
    this.#phase = "serving";
    const { audit } = this.config;
    if (audit !== undefined) this.#exchanges = setInterval(() => this.#exchangeHeads(), audit.checkpoint).unref();
    // One that ended while the others were waited for.
    for (const seat of this.#seats) if (!seat.isReady) void this.#restart(seat);
  }

  async drain(limit: number): Promise<void> {
    this.#restartNoMore();
    await Promise.all(this.#seats.map((seat) => seat.end({ kind: "drain", limit }, limit + this.#closeLimit)));
  }

  async close(): Promise<void> {
    this.#restartNoMore();
    clearInterval(this.#exchanges);
    await Promise.all(this.#seats.map((seat) => seat.end({ kind: "close" }, this.#closeLimit)));
  }

  get #closeLimit(): number {
    return this.config.audit === undefined ? CLOSE_LIMIT : AUDITED_CLOSE_LIMIT;
  }

  #restartNoMore(): void {
    this.#phase = "ending";
    for (const timer of this.#restarts) clearTimeout(timer);
    this.#restarts.clear();
  }

  /** The workers end with this process. */
  async crashed(error: unknown): Promise<void> {
    this.telemetry.unexpected("the primary process", error);
    await this.telemetry.close();
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
    this.telemetry.workerEnded(seat.worker, end, delay);
    const timer = setTimeout(() => {
      this.#restarts.delete(timer);
      void this.#restart(seat);
    }, delay);
    this.#restarts.add(timer);
  }

  async #restart(seat: Seat): Promise<void> {
    if (this.#phase !== "serving") return;
    try {
      await this.#begin(seat);
      await seat.ready();
      this.telemetry.workerReady(seat.worker);
    } catch {
      // Its process has ended, and #ended was told why.
    }
  }

  /**
   * Has all workers prepare the set, and judge by it only when all have: none is of another mind than the others for
   * longer than a message takes. A worker that ends meanwhile begins again with what is then in force.
   */
  async adopt(set: CheckedSet): Promise<readonly Fault[] | undefined> {
    const prepared: Seat[] = [];
    try {
      const prepare = async (seat: Seat) => (await seat.prepare(set)) && prepared.push(seat);
      await Promise.all(this.#seats.map(prepare));
    } catch (error) {
      return [this.#refused(error instanceof Error ? error.message : String(error))];
    }
    if (prepared.length === 0) return [this.#refused("no worker could prepare it")];
    this.#set = set;
    await Promise.all(prepared.map((seat) => seat.commit(set)));
    for (;;) {
      const behind = this.#seats.filter((seat) => seat.isBehind(set));
      if (behind.length === 0) return undefined;
      await Promise.all(behind.map(async (seat) => (await seat.prepare(set)) && (await seat.commit(set))));
    }
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

  async state() {
    const reports = await this.#reports();
    const states = reports.flatMap(({ report }) => (report === undefined ? [] : [report.state]));
    return { ...mergedState(states, this.telemetry.logState()), workers: this.#workers() };
  }

  async metrics(): Promise<string> {
    return addedText(await this.#metrics());
  }

  async openMetrics(): Promise<string> {
    const processes = await this.#metrics();
    return openMetricsText(withExemplars(await added(processes), processes));
  }

  /** This process decides nothing: its own tap only counts how many there are. */
  async tap(name: string, filter: TapFilter): Promise<Tapped | undefined> {
    const own = this.telemetry.tap(name, filter);
    if (own === undefined) return undefined;
    const each = await Promise.all(this.#seats.map((seat) => seat.tap(name, filter)));
    return mergedTaps([own, ...each.filter((tapped) => tapped !== undefined)]);
  }

  #workers(): readonly WorkerState[] {
    const asked = this.#seats.some((seat) => seat.wasAsked);
    return this.#seats.map((seat) => seat.state(asked));
  }

  /** Of all processes. */
  async #metrics(): Promise<readonly (readonly MetricValues[])[]> {
    const reports = await this.#reports();
    const own = labelled(await this.telemetry.metricValues(), "primary");
    const each = reports.map(({ seat, report }) => labelled(report?.metrics ?? [], String(seat.worker)));
    return [own, ...each, await this.#retired, workerMetrics(this.#workers())];
  }
}
