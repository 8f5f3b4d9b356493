import type { Fault } from "../../policies/fault.ts";
import type { LoadReport, ReloadEvents, ServerEvents } from "../telemetry/events.ts";
import type { ServiceManager } from "../telemetry/service-manager.ts";
import type { CheckedSet, Failed } from "./load.ts";
import { takenAway } from "./silence.ts";
import { Watch } from "./watch.ts";

type Replaceable = Pick<CheckedSet, "checked" | "silent">;
type Outcome<Set extends object> = { readonly read: readonly string[] } & ({ readonly loaded: Set } | Failed);

export interface ReloadsOptions<Set extends Replaceable> {
  /** The configuration. */
  readonly file: string;
  /** The first set in force. */
  readonly set: Set;
  /** Reads and checks everything anew. */
  load(): Promise<Outcome<Set>>;
  /**
   * Puts a sound set in force, or says why that cannot be; then the one before is still in force.
   *
   * @param begun milliseconds since the epoch when its load began
   */
  adopt(set: Set, begun: number): Promise<LoadReport | readonly Fault[]>;
  readonly events: ReloadEvents & Pick<ServerEvents, "unexpected">;
  readonly manager: ServiceManager;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/** Loads everything anew when it is told to and when a file changes, one load at a time; a broken set changes nothing. */
export class Reloads<Set extends Replaceable> {
  readonly #options: ReloadsOptions<Set>;
  readonly #watch = new Watch(() => this.request());
  /** What the set in force was read from: watched on after a failed reload, which may have read less. */
  #read: readonly string[] = [];
  #set: Set;
  /** Whether the last load was. */
  #failed = false;
  #loading: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(options: ReloadsOptions<Set>) {
    this.#options = options;
    this.#set = options.set;
  }

  /** Begins to watch what the first load has read. @param since when it was read, in milliseconds since the epoch */
  async start(read: readonly string[], since: number): Promise<void> {
    this.#read = read;
    await this.#watch.start(read, since);
  }

  /** A load under way is followed by another one. */
  request(): void {
    if (this.#loading !== undefined) {
      this.#again = true;
      return;
    }
    this.#loading = this.#load()
      .catch((error: unknown) => this.#options.events.unexpected("reloading", error))
      .then(() => {
        this.#loading = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.request();
      });
  }

  stop(): void {
    this.#stopped = true;
    this.#watch.stop();
  }

  async #load(): Promise<void> {
    const { manager } = this.#options;
    manager.reloading();
    try {
      await this.#loadAnew();
    } finally {
      if (!this.#stopped) manager.ready(this.#status());
    }
  }

  #status(): string {
    const { revision } = this.#set.checked;
    return this.#failed ? `serving revision ${revision}; the last reload failed` : `serving revision ${revision}`;
  }

  async #loadAnew(): Promise<void> {
    const { file, events, clock, load, adopt } = this.#options;
    this.#failed = true;
    const begun = clock();
    const outcome = await load();
    if (this.#stopped) return;
    const faults = "faults" in outcome ? outcome.faults : takenAway(file, this.#set, outcome.loaded, outcome.read);
    await this.#watch.start(faults.length > 0 ? [...this.#read, ...outcome.read] : outcome.read, begun);
    if ("faults" in outcome || faults.length > 0) {
      events.reloadFailed(faults);
      return;
    }
    const adopted = await adopt(outcome.loaded, begun);
    if (!("revision" in adopted)) {
      events.reloadFailed(adopted);
      return;
    }
    this.#read = outcome.read;
    this.#set = outcome.loaded;
    this.#failed = false;
    events.reloaded(adopted);
  }
}
