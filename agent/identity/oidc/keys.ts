import type { Reason } from "../../../policies/decision.ts";
import { FetchError, failed } from "../../http/fetch-error.ts";
import { parseObject } from "../../http/json.ts";
import type { KeyWorld } from "../issuer/world.ts";
import type { Key, Unused } from "../jwt/key.ts";
import { type Jwks, readJwks, unusable } from "./jwks.ts";
import { type Found, JWKS, JwksFetch, type KeyDocument } from "./jwks-fetch.ts";
import type { KeyOwner } from "./section.ts";

/** What of a token tells which key it needs. */
export interface Wanted {
  readonly algorithm: string;
  readonly kid: string | undefined;
  /** The token's `iat`, in seconds since the epoch. */
  readonly issuedAt: number | undefined;
  /** Milliseconds since the epoch at which the token was here. */
  readonly arrivedAt: number;
}

/** The keys a token may be checked with, why there is none, or what to wait for before asking again. */
export type Selection =
  | { readonly keys: readonly Key[] }
  | { readonly reason: Reason }
  | { readonly pending: Promise<void> };

const FIRST_RETRY = 1_000;
/** A token without `kid` is checked against no more keys than this. */
const MOST_CANDIDATES = 4;

/**
 * The public keys of one issuer, kept fresh, or those of a file.
 *
 * One fetch at a time. It asks at once, every `keys.refresh`, sooner after a failure, and when a token names a key that
 * is not known, but for that no more than once a `keys.cooldown`. While the provider fails, the keys stay for
 * `keys.maxStale` after the last success. A key that is gone at the provider is gone here.
 */
export class KeySet {
  readonly #issuer: KeyOwner;
  readonly #world: KeyWorld;
  /** Undefined where the keys are a file's: they are what they are. */
  readonly #fetch: JwksFetch | undefined;
  #keys: readonly Key[] = [];
  /** The end of the attempt under way, or of the one to come. */
  #next = Promise.withResolvers<void>();
  #asking = false;
  #askedAt = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #cancel: () => void = () => {};
  /** When the next attempt begins. */
  #plannedAt = Number.POSITIVE_INFINITY;
  #abort = new AbortController();
  #closed = false;
  /** Counts the changes of the set, for what was concluded from an earlier one. */
  version = 0;
  /** Milliseconds since the epoch. */
  succeededAt: number | undefined;
  failedAt: number | undefined;
  /** What went wrong last, while it still does; safe to show. */
  error: string | undefined;
  /** Members of the last JWKS that no token can be checked with. */
  unused: readonly Unused[] = [];
  /** When the attempt began by which the keys are what they are: whatever is issued later may be of another key. */
  #asOf = Number.NEGATIVE_INFINITY;

  /** @param form of the document that its keys stand in */
  constructor(issuer: KeyOwner, world: KeyWorld, form: KeyDocument = JWKS) {
    this.#issuer = issuer;
    this.#world = world;
    const { source } = issuer.keys;
    this.#fetch = "document" in source ? undefined : new JwksFetch(issuer, world, form);
    if ("document" in source) this.#keep(source.document);
  }

  get keys(): readonly Key[] {
    return this.#keys;
  }

  /** The keys for a token, if need be by asking the provider. */
  select(wanted: Wanted, now: number): Selection {
    const known = this.#known(wanted, now);
    if (known !== undefined) return known;
    // Nobody waits for a provider that fails: it is asked again by the timer, soon, and whatever the requests.
    if (this.#failures > 0 || this.#fetch === undefined) return this.missing();
    if (this.#asking) return { pending: this.#next.promise };
    const left = this.#cooldownLeft(now);
    if (left <= 0) return { pending: this.refresh() };
    if (!this.#mayBeNewer(wanted)) return this.missing();
    this.#hasten(left, now);
    return this.#plannedAt - now < this.#world.deadline ? { pending: this.#next.promise } : { reason: "key-pending" };
  }

  /** As `select`, after having waited: nothing more is waited for. */
  reselect(wanted: Wanted, now: number): { keys: readonly Key[] } | { reason: Reason } {
    const known = this.#known(wanted, now);
    if (known !== undefined) return known;
    if (this.#failures > 0 || this.#closed || !this.#mayBeNewer(wanted)) return this.missing();
    this.#hasten(this.#cooldownLeft(now), now);
    return { reason: "key-pending" };
  }

  /** Why a key is not there: the provider does not have it, or cannot be asked. */
  missing(): { reason: Reason } {
    const asked = this.#failures === 0 && this.succeededAt !== undefined && !this.#closed;
    return { reason: asked ? "key-unknown" : "issuer-unavailable" };
  }

  #known({ algorithm, kid }: Wanted, now: number) {
    const live = this.#keys.filter((key) => now < key.until && (kid === undefined || key.kid === kid));
    const keys = live.filter((key) => key.algorithms.has(algorithm));
    if (keys.length > MOST_CANDIDATES) return { reason: "key-unknown" as const };
    if (keys.length > 0) return { keys };
    if (kid === undefined || live.length === 0) return undefined;
    const weak = live.some(({ weakness }) => weakness !== undefined);
    return { reason: weak ? ("key-weak" as const) : ("algorithm-refused" as const) };
  }

  /** Whether the token may be of a key that came after ours. `iat` has whole seconds, by a clock that may be off. */
  #mayBeNewer({ issuedAt, arrivedAt }: Wanted): boolean {
    if (issuedAt === undefined || arrivedAt <= this.#asOf) return false;
    return (issuedAt + 1) * 1000 + this.#issuer.clockTolerance > this.#asOf;
  }

  #cooldownLeft(now: number): number {
    return this.#issuer.keys.cooldown - Math.abs(now - this.#askedAt);
  }

  /** Has the provider asked when the cool-down ends: whoever waits for a new key does not depend on further requests. */
  #hasten(left: number, now: number): void {
    if (!this.#asking && now + left < this.#plannedAt) this.#askIn(Math.max(0, left));
  }

  #askIn(delay: number): void {
    this.#cancel();
    this.#plannedAt = this.#world.clock() + delay;
    this.#cancel = this.#world.schedule(delay, () => void this.refresh());
  }

  /** Asks the provider, or joins the attempt under way. Never rejects. */
  refresh(): Promise<void> {
    if (this.#closed || this.#fetch === undefined) return Promise.resolve();
    const { promise } = this.#next;
    if (!this.#asking) void this.#ask();
    return promise;
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#abort.abort();
    if (!this.#asking) this.#next.resolve();
    for (const key of this.#keys) key.until = 0;
    this.#keys = [];
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    await this.#attempt();
    this.#asking = false;
    const { resolve } = this.#next;
    if (!this.#closed) this.#next = Promise.withResolvers();
    this.#plan();
    resolve();
  }

  async #attempt(): Promise<void> {
    const begun = this.#world.clock();
    this.#askedAt = begun;
    try {
      const keys = await this.#world.slots.run(() => this.#load());
      if (this.#closed) return;
      this.#adopt(keys, begun);
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
    if (this.#closed) return;
    const { refresh, cooldown } = this.#issuer.keys;
    const retry = Math.min(cooldown, FIRST_RETRY * 2 ** Math.min(this.#failures - 1, 16));
    this.#askIn(this.#failures === 0 ? refresh : Math.max(FIRST_RETRY, retry));
  }

  async #load(): Promise<readonly Key[]> {
    if (this.#closed || this.#fetch === undefined) return [];
    this.#abort = new AbortController();
    return await this.#fetch.run(this.#abort, this.#failures > 0, (found) => this.#taken(found));
  }

  /** What a JWKS holds, where it may take the place of the one before. */
  #taken({ url, jwks }: Found): readonly Key[] {
    this.#tellUnused(jwks);
    const problem = unusable(jwks);
    if (problem !== undefined) throw failed(url, problem);
    return jwks.keys.map((key) => this.#same(key));
  }

  /** The keys of a file, for as long as this issuer lasts: with another file it is another one. */
  #keep(text: string): void {
    const document = parseObject(Buffer.from(text));
    const jwks = document === undefined ? undefined : readJwks(document, this.#issuer.algorithms);
    if (jwks === undefined || typeof jwks === "string") return;
    this.#tellUnused(jwks);
    this.#adopt(jwks.keys, this.#world.clock());
  }

  #tellUnused({ unused }: Jwks): void {
    this.unused = unused;
    this.#world.events.unusable(
      this.#issuer.name,
      unused.filter(({ expected }) => !expected),
    );
  }

  /** A key that is already known keeps its object, and with it the identities that rest on it. */
  #same(key: Key): Key {
    return this.#keys.find((known) => known.fingerprint === key.fingerprint) ?? key;
  }

  #adopt(keys: readonly Key[], asOf: number): void {
    const now = this.#world.clock();
    const gone = this.#keys.filter((key) => !keys.includes(key));
    if (gone.length > 0 || keys.length !== this.#keys.length) this.version++;
    for (const key of gone) key.until = 0;
    const until = this.#fetch === undefined ? Number.POSITIVE_INFINITY : now + this.#issuer.keys.maxStale;
    for (const key of keys) key.until = until;
    this.#keys = keys;
    this.succeededAt = now;
    this.#asOf = asOf;
  }
}
