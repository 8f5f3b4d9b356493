import type { Loaded, Surroundings } from "../loading/load.ts";
import { loadBeside } from "../loading/reload.ts";
import type { TapFilter } from "../telemetry/taps.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import { Responder } from "./responder.ts";
import type { Responders } from "./service.ts";

/** The agent in one process: its one responder is here. */
export class Single implements Responders<Loaded> {
  readonly load: Responders<Loaded>["load"];
  readonly telemetry: Telemetry;
  readonly #responder: Responder;
  #listening: Promise<void> = Promise.resolve();

  constructor(file: string, loaded: Loaded, surroundings: Surroundings) {
    this.load = () => loadBeside(file, surroundings);
    this.#responder = new Responder(loaded, surroundings.clock);
    this.telemetry = this.#responder.telemetry;
  }

  get config() {
    return this.#responder.snapshot.config;
  }

  listen(): Promise<void> {
    this.#listening = this.#responder.listen(this.config.listen.spop);
    return this.#listening;
  }

  ready(): Promise<void> {
    return this.#responder.ready();
  }

  async adopt(loaded: Loaded): Promise<undefined> {
    this.#responder.swap(await this.#responder.prepare(loaded));
  }

  async state() {
    return { ...this.#responder.state(), workers: [] };
  }

  metrics(): Promise<string> {
    return this.telemetry.metrics();
  }

  openMetrics(): Promise<string> {
    return this.telemetry.openMetrics();
  }

  tap(name: string, filter: TapFilter) {
    return this.telemetry.tap(name, filter);
  }

  async drain(limit: number): Promise<void> {
    await this.#listening.catch(() => {});
    await this.#responder.drain(limit);
  }

  async close(): Promise<void> {
    await this.#listening.catch(() => {});
    await this.#responder.close();
  }

  crashed(error: unknown): Promise<void> {
    return this.#responder.crashed(error);
  }
}
