import type { Reason } from "../../policies/decision.ts";
import type { OidcIssuer } from "../config.ts";
import { discover } from "./discovery.ts";
import type { IdentityEvents } from "./events.ts";
import { type Bounds, FetchError, failed, type Get, getJson } from "./fetch.ts";
import { importKey, type Key } from "./key.ts";
import type { Slots } from "./slots.ts";

/** Runs a task once after some milliseconds, without keeping the process alive; the function returned cancels it. */
export type Schedule = (delay: number, task: () => void) => () => void;

/** What a key set needs of the world. */
export interface Surroundings {
  readonly get: Get;
  readonly clock: () => number;
  readonly schedule: Schedule;
  readonly slots: Slots;
  readonly events: IdentityEvents;
}

/** The keys a token may be checked with, why there is none, or what to wait for before asking again. */
export type Selection =
  | { readonly keys: readonly Key[] }
  | { readonly reason: Reason }
  | { readonly pending: Promise<void> };

/** What may be shown of a key. */
export type KeyView = Pick<Key, "kid" | "algorithms" | "weak">;

/** Milliseconds that discovery and JWKS together may take. */
export const FETCH_LIMIT = 5_000;
const DISCOVERY_LIFETIME = 3_600_000;
const FIRST_RETRY = 1_000;
const MOST_KEYS = 100;
/** A token without `kid` is checked against no more keys than this. */
const MOST_CANDIDATES = 4;

/**
 * The public keys of one issuer, kept fresh.
 *
 * One fetch at a time. It asks at once, every `keys.refresh`, sooner after a failure, and when a token names a key that
 * is not known, but for that no more than once a `keys.cooldown`. While the provider fails, the keys stay for
 * `keys.maxStale` after the last success. A key that is gone at the provider is gone here.
 */
export class KeySet {
  readonly #issuer: OidcIssuer;
  readonly #world: Surroundings;
  #keys: readonly Key[] = [];
  #jwks: URL | undefined;
  #discoveredAt = 0;
  #pending: Promise<void> | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #cancel: () => void = () => {};
  #abort = new AbortController();
  #closed = false;
  /** Counts the changes of the set, for what was concluded from an earlier one. */
  version = 0;
  /** Milliseconds since the epoch. */
  succeededAt: number | undefined;
  failedAt: number | undefined;
  /** What went wrong last, while it still does; safe to show. */
  error: string | undefined;

  constructor(issuer: OidcIssuer, world: Surroundings) {
    this.#issuer = issuer;
    this.#world = world;
  }

  get keys(): readonly Key[] {
    return this.#keys;
  }

  /** The keys for a token's header, if need be by asking the provider. */
  select(algorithm: string, kid: string | undefined, now: number): Selection {
    const known = this.#known(algorithm, kid, now);
    if (known !== undefined) return known;
    // Nobody waits for a provider that fails: it is asked again by the timer, soon, and whatever the requests.
    if (this.#failures > 0) return this.missing();
    if (this.#pending !== undefined) return { pending: this.#pending };
    if (Math.abs(now - this.#askedAt) < this.#issuer.keys.cooldown) return this.missing();
    return { pending: this.refresh() };
  }

  /** As `select`, after having waited: nothing more is asked. */
  reselect(algorithm: string, kid: string | undefined, now: number): { keys: readonly Key[] } | { reason: Reason } {
    return this.#known(algorithm, kid, now) ?? this.missing();
  }

  /** Why a key is not there: the provider does not have it, or cannot be asked. */
  missing(): { reason: Reason } {
    const asked = this.#failures === 0 && this.succeededAt !== undefined && !this.#closed;
    return { reason: asked ? "key-unknown" : "issuer-unavailable" };
  }

  #known(algorithm: string, kid: string | undefined, now: number) {
    const live = this.#keys.filter((key) => now < key.until && (kid === undefined || key.kid === kid));
    const keys = live.filter((key) => key.algorithms.has(algorithm));
    if (keys.length > MOST_CANDIDATES) return { reason: "key-unknown" as const };
    if (keys.length > 0) return { keys };
    if (kid === undefined || live.length === 0) return undefined;
    return { reason: live.some((key) => key.weak) ? ("key-weak" as const) : ("algorithm-refused" as const) };
  }

  /** Asks the provider, or joins the attempt under way. Never rejects. */
  refresh(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#pending ??= this.#attempt().then(() => {
      this.#pending = undefined;
      this.#plan();
    });
    return this.#pending;
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#abort.abort();
    for (const key of this.#keys) key.until = 0;
    this.#keys = [];
  }

  async #attempt(): Promise<void> {
    this.#askedAt = this.#world.clock();
    try {
      const keys = await this.#world.slots.run(() => this.#load());
      if (this.#closed) return;
      this.#adopt(keys);
      this.#failures = 0;
      this.error = undefined;
    } catch (error) {
      this.#failures++;
      this.failedAt = this.#world.clock();
      this.error = error instanceof FetchError ? error.message : "failed";
    }
  }

  /** After a failure it asks sooner: a provider that starts later than this agent is found within seconds. */
  #plan(): void {
    this.#cancel();
    if (this.#closed) return;
    const { refresh, cooldown } = this.#issuer.keys;
    const retry = Math.min(cooldown, FIRST_RETRY * 2 ** Math.min(this.#failures - 1, 16));
    const delay = this.#failures === 0 ? refresh : Math.max(FIRST_RETRY, retry);
    this.#cancel = this.#world.schedule(delay, () => void this.refresh());
  }

  async #load(): Promise<readonly Key[]> {
    if (this.#closed) return [];
    const { get, schedule, clock } = this.#world;
    const { issuer, ca, keys } = this.#issuer;
    const abort = new AbortController();
    this.#abort = abort;
    const cancel = schedule(FETCH_LIMIT, () => abort.abort());
    const bounds: Bounds = { signal: abort.signal, ca, maxSize: keys.maxSize };
    try {
      const known = this.#failures === 0 && clock() - this.#discoveredAt < DISCOVERY_LIFETIME ? this.#jwks : undefined;
      const url = known ?? (await this.#told("discovery", () => discover(get, issuer, bounds)));
      if (known === undefined) this.#discoveredAt = clock();
      this.#jwks = url;
      return await this.#told("jwks", async () => this.#import(url, await getJson(get, url, bounds)));
    } finally {
      cancel();
    }
  }

  async #told<T>(what: "discovery" | "jwks", task: () => Promise<T>): Promise<T> {
    const { clock, events } = this.#world;
    const begun = clock();
    try {
      const result = await task();
      events.fetched(this.#issuer.name, what, "ok", clock() - begun);
      return result;
    } catch (error) {
      const text = error instanceof FetchError ? error.message : "failed";
      events.fetched(this.#issuer.name, what, "error", clock() - begun, text);
      throw error;
    }
  }

  /** RFC 7517, section 5. A key that is already known keeps its object, and with it the identities that rest on it. */
  #import(url: URL, jwks: unknown): readonly Key[] {
    const members = typeof jwks === "object" && jwks !== null && "keys" in jwks ? jwks.keys : undefined;
    if (!Array.isArray(members)) throw failed(url, "the document is not a JWKS");
    if (members.length > MOST_KEYS) throw failed(url, `more than ${MOST_KEYS} keys`);
    const keys = new Map<string, Key>();
    for (const member of members) {
      const key = importKey(member, this.#issuer.algorithms);
      if (key !== undefined) keys.set(key.fingerprint, this.#same(key));
    }
    return [...keys.values()];
  }

  #same(key: Key): Key {
    return this.#keys.find((known) => known.fingerprint === key.fingerprint) ?? key;
  }

  #adopt(keys: readonly Key[]): void {
    const now = this.#world.clock();
    const gone = this.#keys.filter((key) => !keys.includes(key));
    if (gone.length > 0 || keys.length !== this.#keys.length) this.version++;
    for (const key of gone) key.until = 0;
    for (const key of keys) key.until = now + this.#issuer.keys.maxStale;
    this.#keys = keys;
    this.succeededAt = now;
  }
}
