import type { Fault } from "../../policies/fault.ts";
import { AdminListener, type Sources } from "../admin/admin.ts";
import type { AdminState, Phase, ResponderState, WorkerState } from "../admin/status.ts";
import type { Config } from "../config/config.ts";
import type { Due } from "../identity/issuer/world.ts";
import type { CheckedSet, Surroundings } from "../loading/load.ts";
import { Reloads, type ReloadsOptions } from "../loading/reloads.ts";
import { reportOf } from "../loading/report.ts";
import { allOf } from "../net/listen.ts";
import type { LoadReport } from "../telemetry/events.ts";
import { ServiceManager } from "../telemetry/service-manager.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import { loginSetup } from "../web/login/setup.ts";
import type { PageListener } from "../web/page-listener.ts";
import { webListener } from "../web/web-listener.ts";
import { VERSION } from "./version.ts";

/** Milliseconds that a draining agent goes on answering at most; Kubernetes kills after 30 s by default. */
const DRAIN_LIMIT = 25_000;
/** Milliseconds of it, or beyond it, that logins have at least which were begun while HAProxy was leaving. */
const LAST_LOGINS = 3_000;

/** What answers HAProxy, in this process or in several others. */
export interface Responders<Set extends CheckedSet> extends Omit<Sources, "state"> {
  readonly telemetry: Telemetry;
  /** Told of sessions that their providers are to be asked about. */
  due: (due: Due) => void;
  /** The one in force. */
  readonly config: Config;
  /** Reads and checks everything anew, beside what is in force. */
  readonly load: ReloadsOptions<Set>["load"];
  /** @throws Error that says, a line each, what cannot be had, such as an address */
  listen(): Promise<void>;
  /** Settles once every issuer was asked for its keys, well or not. */
  ready(): Promise<void>;
  /** Puts a sound set in force. @returns why that cannot be; then the one before is still in force */
  adopt(set: Set): Promise<readonly Fault[] | undefined>;
  state(): Promise<ResponderState & { readonly workers: readonly WorkerState[] }>;
  /** Answers on while HAProxy leaves, then ends all connections. @param limit milliseconds */
  drain(limit: number): Promise<void>;
  /** Ends everything now; what was answered is still sent. The telemetry is left open. */
  close(): Promise<void>;
  /** Tells of a bug before the process ends by it. */
  crashed(error: unknown): Promise<void>;
}

/** What `countersign serve` runs: what answers HAProxy, and around it the other listeners, reloads and the end. */
export class Service<Set extends CheckedSet> {
  readonly #responders: Responders<Set>;
  readonly #clock: () => number;
  readonly #begun: number;
  readonly #telemetry: Telemetry;
  readonly #admin: AdminListener;
  readonly #web: PageListener;
  readonly #reloads: Reloads<Set>;
  readonly #report: LoadReport;
  readonly #manager: ServiceManager;
  #phase: Phase = "starting";
  #listening: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** @param begun milliseconds since the epoch when the load began */
  constructor(file: string, set: Set, responders: Responders<Set>, surroundings: Surroundings, begun: number) {
    const { clock, environment } = surroundings;
    const { telemetry } = responders;
    this.#responders = responders;
    this.#clock = clock;
    this.#begun = begun;
    this.#telemetry = telemetry;
    this.#admin = new AdminListener(
      {
        state: () => this.#state(),
        metrics: () => responders.metrics(),
        openMetrics: () => responders.openMetrics(),
        tap: (name, filter) => responders.tap(name, filter),
      },
      { failed: (error) => telemetry.unexpected("answering the admin listener", error) },
    );
    this.#web = webListener(() => responders.config, telemetry, clock);
    responders.due = (due) => this.#web.refresh(due);
    this.#manager = new ServiceManager(environment, (error) => telemetry.untold(error));
    this.#reloads = new Reloads({
      file,
      set,
      load: () => responders.load(),
      adopt: (next, began) => this.#adopt(next, began),
      events: telemetry,
      manager: this.#manager,
      clock,
    });
    this.#report = this.#reportOf(set, begun);
  }

  /**
   * Binds the listeners, and resolves once every issuer was asked for its keys.
   *
   * @param read what the load has read, to be watched
   * @throws Error that says, a line each, what cannot be had, such as an address
   */
  async start(read: readonly string[]): Promise<void> {
    const { config } = this.#responders;
    const { admin, web } = config.listen;
    this.#listening = allOf([this.#admin.listen(admin), this.#web.listen(web, loginSetup(config))]);
    try {
      await allOf([this.#listening, this.#responders.listen()]);
      if (this.#phase !== "starting") return;
      this.#telemetry.started(this.#report);
      await this.#reloads.start(read, this.#begun);
      await this.#responders.ready();
    } catch (error) {
      // Told to end meanwhile.
      if (this.#phase !== "starting") return;
      throw error;
    }
    if (this.#phase !== "starting") return;
    this.#phase = "serving";
    this.#telemetry.ready();
    this.#manager.ready(`serving revision ${this.#report.revision}`);
  }

  /** Loads everything anew; a broken set changes nothing. */
  reload(): void {
    this.#reloads.request();
  }

  /** Tells of a signal that does nothing. */
  passOver(signal: string): void {
    this.#telemetry.passedOver(signal);
  }

  /** Answers on while HAProxy leaves, then ends. */
  async drain(signal: string): Promise<void> {
    this.#phase = "draining";
    this.#reloads.stop();
    this.#telemetry.draining(signal);
    void this.#manager.stopping();
    const until = performance.now() + DRAIN_LIMIT;
    // The next agent refreshes what is due from now on.
    this.#responders.due = () => {};
    await this.#responders.drain(DRAIN_LIMIT);
    await this.#web.finish(Math.max(LAST_LOGINS, until - performance.now()));
    await this.close();
  }

  /** Ends everything now; what was answered is still sent, and what was logged written. @param cause why it cannot start */
  close(cause?: Error): Promise<void> {
    this.#closing ??= this.#close(cause);
    return this.#closing;
  }

  /** Tells of a bug before the process ends by it. */
  crashed(error: unknown): Promise<void> {
    return this.#responders.crashed(error);
  }

  async #close(cause: Error | undefined): Promise<void> {
    this.#phase = "draining";
    this.#reloads.stop();
    const ended = this.#responders.close();
    await this.#listening.catch(() => {});
    await Promise.all([ended, this.#admin.close(), this.#web.close(), this.#manager.stopping()]);
    this.#telemetry.stopped(cause);
    await this.#telemetry.close();
  }

  async #adopt(set: Set, began: number): ReturnType<ReloadsOptions<Set>["adopt"]> {
    const faults = await this.#responders.adopt(set);
    if (faults !== undefined) return faults;
    this.#web.renew(loginSetup(set.config));
    return this.#reportOf(set, began);
  }

  #reportOf(set: Set, began: number): LoadReport {
    const now = this.#clock();
    return reportOf(set, { loadedAt: now, durationMs: now - began });
  }

  async #state(): Promise<AdminState> {
    const state = await this.#responders.state();
    const unanswered = state.workers.length > 0 && !state.workers.some((worker) => worker.state === "ready");
    return {
      ...state,
      version: VERSION,
      startedAt: this.#begun,
      now: this.#clock(),
      phase: this.#phase === "serving" && unanswered ? "starting" : this.#phase,
      load: this.#telemetry.load(),
    };
  }
}
