import { Connections } from "../../http/connections.ts";
import type { Bounds } from "../../http/fetch.ts";
import { FetchError } from "../../http/fetch-error.ts";
import type { FetchedThing } from "../issuer/events.ts";
import type { AskingWorld } from "../issuer/world.ts";
import type { OAuthClient } from "../oauth/section.ts";
import type { KeyOwner } from "./section.ts";
import { type Sought, Whereabouts } from "./whereabouts.ts";

/** One endpoint of an authorization server, and what one question there may cost. */
export interface Asked {
  readonly owner: KeyOwner;
  readonly name: Sought["name"];
  /** As it is counted and told. */
  readonly what: FetchedThing;
  /** Where it is; undefined for what the issuer's metadata say. */
  readonly endpoint: string | undefined;
  readonly client: OAuthClient;
  /** Milliseconds for one answer, with whatever has to be known before. */
  readonly timeout: number;
  /** Of an answer, in bytes. */
  readonly maxSize: number;
}

/** An endpoint of an authorization server as one client of it asks there: over connections that are kept. */
export class ProviderEndpoint {
  readonly #asked: Asked;
  readonly #world: AskingWorld;
  readonly #where: Whereabouts;
  readonly #connections = new Connections();
  readonly #aborts = new Set<AbortController>();
  #closed = false;
  /** Milliseconds since the epoch. */
  succeededAt: number | undefined;
  failedAt: number | undefined;
  /** What went wrong last, while it still does; safe to show. */
  error: string | undefined;

  constructor(asked: Asked, world: AskingWorld) {
    const { owner, name, endpoint, client } = asked;
    this.#asked = asked;
    this.#world = world;
    this.#where = new Whereabouts({ owner, name, endpoint, shows: client.certificate !== undefined }, world);
  }

  /** Settles when it was looked once for where to ask, if nothing says it; never rejects. */
  async look(): Promise<void> {
    if (!this.#where.isDue) return;
    await this.#bounded((bounds) => this.#where.find(bounds)).catch((error: unknown) => this.#failed(error));
  }

  /**
   * One question and its answer, counted and told.
   *
   * @throws {FetchError} where there is none
   */
  async ask<T>(question: (url: URL, bounds: Bounds) => Promise<T>): Promise<T> {
    const { clock, events } = this.#world;
    const { owner, what } = this.#asked;
    const begun = clock();
    try {
      const answer = await this.#bounded(async (bounds) => question(await this.#place(bounds), bounds));
      this.succeededAt = clock();
      this.error = undefined;
      events.fetched(owner.name, what, "ok", clock() - begun);
      return answer;
    } catch (error) {
      events.fetched(owner.name, what, "error", clock() - begun, this.#failed(error));
      throw error;
    }
  }

  /** Ends whatever is under way. */
  close(): void {
    this.#closed = true;
    for (const abort of this.#aborts) abort.abort();
    this.#connections.close();
  }

  async #place(bounds: Bounds): Promise<URL> {
    // Nobody waits for what is only to be found anew.
    if (this.#where.known !== undefined && this.#where.isDue) void this.look();
    return this.#where.known ?? (await this.#where.find(bounds));
  }

  #failed(error: unknown): string {
    this.failedAt = this.#world.clock();
    this.error = error instanceof FetchError ? error.message : "failed";
    return this.error;
  }

  async #bounded<T>(task: (bounds: Bounds) => Promise<T>): Promise<T> {
    const { owner, timeout, maxSize, client } = this.#asked;
    const abort = new AbortController();
    if (this.#closed) abort.abort();
    this.#aborts.add(abort);
    const cancel = this.#world.schedule(timeout, () => abort.abort());
    try {
      const { ca, proxy } = owner;
      const connections = this.#connections;
      return await task({ signal: abort.signal, ca, proxy, maxSize, client: client.certificate, connections });
    } finally {
      cancel();
      this.#aborts.delete(abort);
    }
  }
}
