import { SPOP_ERRORS } from "../protocol/errors.ts";
import { get } from "./identity/fetch.ts";
import { createIdentity, type Identity } from "./identity/identity.ts";
import type { Loaded, Surroundings } from "./load.ts";
import { loadBeside } from "./reload.ts";
import { addressText } from "./server/listen.ts";
import { SpopServer } from "./server/spop-server.ts";
import type { Snapshot } from "./snapshot.ts";
import { AdminListener } from "./telemetry/admin.ts";
import type { Loaded as LoadReport } from "./telemetry/events.ts";
import type { Phase } from "./telemetry/status.ts";
import { createTelemetry, type Telemetry } from "./telemetry/telemetry.ts";
import { VERSION } from "./version.ts";
import { Watch } from "./watch.ts";

/** Milliseconds that a draining agent goes on answering at most; Kubernetes kills after 30 s by default. */
const DRAIN_LIMIT = 25_000;

/** The running agent: one snapshot in force, the listeners, and what tells of them. */
export class Agent {
  readonly #file: string;
  readonly #surroundings: Surroundings;
  readonly #telemetry: Telemetry;
  readonly #server: SpopServer;
  readonly #admin: AdminListener;
  readonly #watch: Watch;
  #snapshot: Snapshot;
  #phase: Phase = "starting";
  #report: LoadReport;
  /** What the snapshot in force was read from: watched on after a failed reload, which may have read less. */
  #read: readonly string[] = [];
  #reloading: Promise<void> | undefined;
  #again = false;

  /** @param begun milliseconds since the epoch when the load began */
  constructor(file: string, loaded: Loaded, surroundings: Surroundings, begun: number) {
    const { clock } = surroundings;
    const startedAt = begun;
    this.#file = file;
    this.#surroundings = surroundings;
    this.#telemetry = createTelemetry({
      version: VERSION,
      log: loaded.config.log,
      errorCodes: Object.keys(SPOP_ERRORS),
      gauges: {
        connections: () => this.#server.connections,
        inFlight: () => this.#server.inFlight,
        cached: () => this.#snapshot.identity.caches().identities.entries,
      },
      clock,
      process: true,
    });
    this.#snapshot = this.#build(loaded, undefined);
    this.#server = new SpopServer({ snapshot: this.#snapshot, events: this.#telemetry, clock });
    this.#admin = new AdminListener(
      {
        version: VERSION,
        startedAt,
        clock,
        phase: () => this.#phase,
        issuers: () => this.#snapshot.identity.status(),
        caches: () => ({ ...this.#snapshot.identity.caches() }),
        connections: () => this.#server.connections,
        inFlight: () => this.#server.inFlight,
        pipeliningAdvice: () => this.#server.pipeliningAdvice(),
        telemetry: this.#telemetry,
      },
      (error) => this.#telemetry.unexpected("answering the admin listener", error),
    );
    this.#watch = new Watch(() => this.reload());
    this.#report = reportOf(loaded, this.#snapshot, clock() - begun);
  }

  /**
   * Binds the listeners, and resolves once every issuer was asked for its keys.
   *
   * @param read what the load has read, to be watched
   * @throws Error that names an address which cannot be bound
   */
  async start(read: readonly string[]): Promise<void> {
    const { listen } = this.#snapshot.config;
    if (listen.admin !== undefined) await this.#admin.listen(listen.admin);
    await this.#server.listen(listen.spop);
    this.#telemetry.started(this.#report);
    this.#read = read;
    await this.#watch.start(read, this.#report.loadedAt - this.#report.durationMs);
    await this.#snapshot.identity.ready();
    if (this.#phase !== "starting") return;
    this.#phase = "serving";
    this.#telemetry.ready();
  }

  /** Loads everything anew. A load under way is followed by another one; a broken set changes nothing. */
  reload(): void {
    if (this.#reloading !== undefined) {
      this.#again = true;
      return;
    }
    this.#reloading = this.#reload()
      .catch((error: unknown) => this.#telemetry.unexpected("reloading", error))
      .then(() => {
        this.#reloading = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.reload();
      });
  }

  async #reload(): Promise<void> {
    const { clock } = this.#surroundings;
    const begun = clock();
    const outcome = await loadBeside(this.#file, this.#surroundings);
    if (this.#phase === "draining") return;
    await this.#watch.start(outcome.loaded === undefined ? [...this.#read, ...outcome.read] : outcome.read, begun);
    if (outcome.loaded === undefined) {
      this.#telemetry.reloadFailed(outcome.faults);
      return;
    }
    this.#read = outcome.read;
    const previous = this.#snapshot;
    const next = this.#build(outcome.loaded, previous.identity);
    // The old snapshot judges on until the new one's issuers were asked: no request has to wait for them.
    await next.identity.ready();
    this.#snapshot = next;
    this.#server.update(next);
    previous.identity.close();
    this.#telemetry.reloaded(reportOf(outcome.loaded, next, clock() - begun));
  }

  #build({ config, policies }: Loaded, previous: Identity | undefined): Snapshot {
    const { clock } = this.#surroundings;
    const { cache, limits, issuers } = config;
    const identity = createIdentity(issuers, { cache, limits, fetch: get, clock, events: this.#telemetry, previous });
    return { config, policies, identity, revision: policies.revision, loadedAt: clock() };
  }

  /** Answers on while HAProxy leaves, then ends. */
  async drain(signal: string): Promise<void> {
    this.#phase = "draining";
    this.#watch.stop();
    this.#telemetry.draining(signal);
    await this.#server.drain(DRAIN_LIMIT);
    await this.close();
  }

  /** Ends everything now; what was answered is still sent, and what was logged written. */
  async close(): Promise<void> {
    this.#watch.stop();
    await Promise.all([this.#server.close(), this.#admin.close()]);
    this.#snapshot.identity.close();
    this.#telemetry.stopped();
    await this.#telemetry.close();
  }

  /** Tells of a bug before the process ends by it. From now on nothing is answered: nobody knows by what. */
  async crashed(error: unknown): Promise<void> {
    this.#telemetry.unexpected("the process", error);
    await Promise.all([this.#server.close(), this.#telemetry.close()]);
  }
}

function reportOf(
  { config, warnings }: Loaded,
  { revision, loadedAt, policies }: Snapshot,
  durationMs: number,
): LoadReport {
  return {
    revision,
    loadedAt,
    durationMs,
    services: policies.services.length,
    routes: policies.services.reduce((sum, { routes }) => sum + routes.length, 0),
    issuers: config.issuers.map(({ name }) => name),
    warnings,
    log: config.log,
    listen: [...config.listen.spop, ...(config.listen.admin === undefined ? [] : [config.listen.admin])].map(
      addressText,
    ),
  };
}
