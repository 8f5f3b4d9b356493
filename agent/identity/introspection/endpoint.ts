import { Connections } from "../../http/connections.ts";
import { exchange } from "../../http/exchange.ts";
import type { Bounds, HttpAnswer } from "../../http/fetch.ts";
import { FetchError, failed } from "../../http/fetch-error.ts";
import type { Claims } from "../claims/claims.ts";
import type { World } from "../issuer/world.ts";
import { authenticationOf, type ClientAuth } from "../oauth/authentication.ts";
import { knownOf, plainAnswer } from "./answer.ts";
import type { IntrospectionIssuer } from "./section.ts";
import { SIGNED_TYPE, SignedAnswers } from "./signed-answers.ts";
import { Whereabouts } from "./whereabouts.ts";

/** An authorization server's introspection endpoint (RFC 7662, section 2), as one client of it asks. */
export class Endpoint {
  readonly #config: IntrospectionIssuer;
  readonly #world: World;
  readonly #authenticate: ClientAuth;
  readonly #where: Whereabouts;
  /** Undefined where answers are plain JSON. */
  readonly #signed: SignedAnswers | undefined;
  readonly #connections = new Connections();
  readonly #aborts = new Set<AbortController>();
  #closed = false;
  /** Milliseconds since the epoch. */
  succeededAt: number | undefined;
  failedAt: number | undefined;
  /** What went wrong last, while it still does; safe to show. */
  error: string | undefined;

  constructor(config: IntrospectionIssuer, world: World) {
    this.#config = config;
    this.#world = world;
    this.#authenticate = authenticationOf(config.client.authentication);
    this.#where = new Whereabouts(config, world);
    this.#signed = config.answers === "signed" ? new SignedAnswers(config, world) : undefined;
  }

  /** Settles when it was looked once for whatever has to be known before anything is asked. */
  async ready(): Promise<void> {
    await Promise.all([this.#look(), this.#signed?.ready()]);
  }

  /**
   * What the authorization server knows of a token.
   *
   * @returns undefined for a token that is not active
   * @throws {FetchError} where it cannot be told
   */
  async ask(token: string): Promise<Claims | undefined> {
    const { clock, events } = this.#world;
    const begun = clock();
    try {
      const known = await this.#bounded((bounds) => this.#told(token, bounds));
      this.succeededAt = clock();
      this.error = undefined;
      events.fetched(this.#config.name, "introspection", "ok", clock() - begun);
      return known;
    } catch (error) {
      events.fetched(this.#config.name, "introspection", "error", clock() - begun, this.#failed(error));
      throw error;
    }
  }

  /** Looks where it is to be asked; never rejects. */
  async #look(): Promise<void> {
    if (!this.#where.isDue) return;
    await this.#bounded((bounds) => this.#where.find(bounds)).catch((error: unknown) => this.#failed(error));
  }

  /** Ends whatever is under way. */
  close(): void {
    this.#closed = true;
    this.#signed?.close();
    for (const abort of this.#aborts) abort.abort();
    this.#connections.close();
  }

  #failed(error: unknown): string {
    this.failedAt = this.#world.clock();
    this.error = error instanceof FetchError ? error.message : "failed";
    return this.error;
  }

  async #bounded<T>(task: (bounds: Bounds) => Promise<T>): Promise<T> {
    const { timeout, ca, proxy, maxSize, client } = this.#config;
    const abort = new AbortController();
    if (this.#closed) abort.abort();
    this.#aborts.add(abort);
    const cancel = this.#world.schedule(timeout, () => abort.abort());
    try {
      const connections = this.#connections;
      return await task({ signal: abort.signal, ca, proxy, maxSize, client: client.certificate, connections });
    } finally {
      cancel();
      this.#aborts.delete(abort);
    }
  }

  async #told(token: string, bounds: Bounds): Promise<Claims | undefined> {
    // Nobody waits for what is only to be found anew.
    if (this.#where.known !== undefined && this.#where.isDue) void this.#look();
    const url = this.#where.known ?? (await this.#where.find(bounds));
    const answer = await this.#answer(url, token, bounds);
    // RFC 7662, section 2.3. Elsewhere it would be the token that is refused.
    if (answer.status === 401) throw failed(url, "status 401 instead of 200: it refuses what `client` says");
    return knownOf(url, await (this.#signed?.read(url, answer) ?? plainAnswer(url, answer)));
  }

  async #answer(url: URL, token: string, bounds: Bounds): Promise<HttpAnswer> {
    const { client, issuer } = this.#config;
    const form = new URLSearchParams({ token, token_type_hint: "access_token" });
    const headers = new Headers({
      accept: this.#signed === undefined ? "application/json" : SIGNED_TYPE,
      "content-type": "application/x-www-form-urlencoded",
    });
    await this.#authenticate({ issuer }, { client_id: client.id }, form, headers);
    return exchange(this.#world.send, url, bounds, {
      method: "POST",
      headers: Object.fromEntries(headers),
      body: form.toString(),
    });
  }
}
