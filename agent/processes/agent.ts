import { AdminListener } from "../admin/admin.ts";
import type { AdminState, Phase } from "../admin/status.ts";
import type { Loaded, Surroundings } from "../loading/load.ts";
import { loadBeside } from "../loading/reload.ts";
import { Reloads } from "../loading/reloads.ts";
import { reportOf } from "../loading/report.ts";
import { allOf } from "../net/listen.ts";
import type { LoadReport } from "../telemetry/events.ts";
import { ServiceManager } from "../telemetry/service-manager.ts";
import type { TapFilter } from "../telemetry/taps.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import { loginSetup } from "../web/login/setup.ts";
import type { PageListener } from "../web/page-listener.ts";
import { webListener } from "../web/web-listener.ts";
import { Responder } from "./responder.ts";
import { VERSION } from "./version.ts";

/** Milliseconds that a draining agent goes on answering at most; Kubernetes kills after 30 s by default. */
export const DRAIN_LIMIT = 25_000;

/** What `countersign serve` runs, in one process or in several. */
export interface Service {
  /**
   * Binds the listeners, and resolves once every issuer was asked for its keys.
   *
   * @param read what the load has read, to be watched
   * @throws Error that says, a line each, what cannot be had, such as an address
   */
  start(read: readonly string[]): Promise<void>;
  /** Loads everything anew; a broken set changes nothing. */
  reload(): void;
  /** Tells of a signal that does nothing. */
  passOver(signal: string): void;
  /** Answers on while HAProxy leaves, then ends. */
  drain(signal: string): Promise<void>;
  /** Ends everything now; what was answered is still sent, and what was logged written. @param cause why it cannot start */
  close(cause?: Error): Promise<void>;
  /** Tells of a bug before the process ends by it. */
  crashed(error: unknown): Promise<void>;
}

/** The agent in one process. */
export class Agent implements Service {
  readonly #clock: () => number;
  readonly #startedAt: number;
  readonly #responder: Responder;
  readonly #telemetry: Telemetry;
  readonly #admin: AdminListener;
  readonly #web: PageListener;
  readonly #reloads: Reloads<Loaded>;
  readonly #report: LoadReport;
  readonly #manager: ServiceManager;
  #phase: Phase = "starting";
  #listening: Promise<void> = Promise.resolve();

  /** @param begun milliseconds since the epoch when the load began */
  constructor(file: string, loaded: Loaded, surroundings: Surroundings, begun: number) {
    const { clock } = surroundings;
    this.#clock = clock;
    this.#startedAt = begun;
    this.#responder = new Responder(loaded, clock, (due) => this.#web.refresh(due));
    this.#telemetry = this.#responder.telemetry;
    const sources = {
      state: () => this.#state(),
      metrics: () => this.#telemetry.metrics(),
      openMetrics: () => this.#telemetry.openMetrics(),
      tap: (name: string, filter: TapFilter) => this.#telemetry.tap(name, filter),
    };
    this.#admin = new AdminListener(sources, {
      failed: (error) => this.#telemetry.unexpected("answering the admin listener", error),
    });
    this.#web = webListener(() => this.#responder.snapshot.config, this.#telemetry, clock);
    this.#manager = new ServiceManager(surroundings.environment, (error) => this.#telemetry.untold(error));
    this.#reloads = new Reloads({
      file,
      set: loaded,
      load: () => loadBeside(file, surroundings),
      adopt: (next, began) => this.#adopt(next, began),
      events: this.#telemetry,
      manager: this.#manager,
      clock,
    });
    const { loadedAt } = this.#responder.snapshot;
    this.#report = reportOf(loaded, { loadedAt, durationMs: clock() - begun });
  }

  async start(read: readonly string[]): Promise<void> {
    this.#listening = this.#listen();
    await this.#listening;
    if (this.#phase !== "starting") return;
    this.#telemetry.started(this.#report);
    await this.#reloads.start(read, this.#report.loadedAt - this.#report.durationMs);
    await this.#responder.ready();
    if (this.#phase !== "starting") return;
    this.#phase = "serving";
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
    await this.#listening.catch(() => {});
    await this.#responder.drain(DRAIN_LIMIT);
    await this.close();
  }

  async close(cause?: Error): Promise<void> {
    this.#phase = "draining";
    this.#reloads.stop();
    await this.#listening.catch(() => {});
    await Promise.all([this.#responder.close(), this.#admin.close(), this.#web.close(), this.#manager.stopping()]);
    this.#telemetry.stopped(cause);
    await this.#telemetry.close();
  }

  crashed(error: unknown): Promise<void> {
    return this.#responder.crashed(error);
  }

  async #listen(): Promise<void> {
    const { config } = this.#responder.snapshot;
    const { admin, web, spop } = config.listen;
    await allOf([this.#admin.listen(admin), this.#web.listen(web, loginSetup(config)), this.#responder.listen(spop)]);
  }

  async #adopt(loaded: Loaded, begun: number): Promise<LoadReport> {
    const next = await this.#responder.prepare(loaded);
    this.#responder.swap(next);
    this.#web.renew(loginSetup(next.config));
    return reportOf(loaded, { loadedAt: next.loadedAt, durationMs: this.#clock() - begun });
  }

  #state(): AdminState {
    return {
      version: VERSION,
      startedAt: this.#startedAt,
      now: this.#clock(),
      phase: this.#phase,
      load: this.#telemetry.load(),
      ...this.#responder.state(),
      workers: [],
    };
  }
}
