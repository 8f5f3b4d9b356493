import { LRUCache } from "lru-cache";
import { Unknown } from "../../../policies/unknown.ts";
import { Connections } from "../../http/connections.ts";
import type { Bounds } from "../../http/fetch.ts";
import { FetchError } from "../../http/fetch-error.ts";
import { Slots } from "../../http/slots.ts";
import type { World } from "../issuer/world.ts";
import { type Listed, OktaApi } from "./api.ts";
import { pauseAfter } from "./rate.ts";
import type { GroupsConfig } from "./section.ts";

/** Users whose groups are remembered, and who may wait for theirs. */
const MOST_USERS = 10_000;
const MOST_WAITING = 1024;
/** Lists that are asked for at a time: Okta bounds an org's requests that are under way. */
const CONCURRENCY = 4;
/** Milliseconds after which it is tried again. */
const RETRY = 5_000;
const LARGEST_PAGE = 1 << 20;

/** A list, or why there is none, and the milliseconds for which that counts. */
export interface Groups {
  readonly groups: readonly string[] | Unknown;
  readonly lifetime: number;
}

interface Entry {
  readonly groups: readonly string[] | Unknown;
  /** When it was asked for, in milliseconds since the epoch. */
  readonly at: number;
}

/** The groups of an org's users, asked for at its API. */
export class GroupDirectory {
  readonly #name: string;
  readonly #config: GroupsConfig;
  readonly #world: World;
  readonly #bounds;
  readonly #api: OktaApi;
  readonly #slots = new Slots(CONCURRENCY);
  readonly #known = new LRUCache<string, Entry>({ max: MOST_USERS });
  readonly #asking = new Map<string, Promise<Entry | undefined>>();
  readonly #connections = new Connections();
  readonly #aborts = new Set<AbortController>();
  #pausedUntil = 0;
  #closed = false;
  /** What went wrong last, while it still does; safe to show. */
  error: string | undefined;

  constructor(
    { name, ca, proxy }: { readonly name: string } & Partial<Pick<Bounds, "ca" | "proxy">>,
    org: string,
    config: GroupsConfig,
    world: World,
  ) {
    this.#name = name;
    this.#config = config;
    this.#world = world;
    this.#bounds = { ca, proxy, maxSize: LARGEST_PAGE, connections: this.#connections };
    this.#api = new OktaApi(org, config, world, (status, headers) => {
      const pause = pauseAfter(status, headers, Math.random());
      if (pause > 0) this.#pausedUntil = world.clock() + pause;
    });
  }

  /**
   * A user's groups. A list counts for `lifetime` from when it was asked for; from half of that on it is asked for anew
   * while it still counts, so that nobody waits but for the first.
   */
  find(user: string): Groups | Promise<Groups> {
    const now = this.#world.clock();
    const known = this.#known.get(user);
    const left = known === undefined ? 0 : this.#left(known, now);
    if (known === undefined || left <= 0) return this.#ask(user).then((entry) => this.#told(entry));
    const half = this.#config.lifetime / 2;
    if (left > half) return { groups: known.groups, lifetime: left - half };
    void this.#ask(user);
    return { groups: known.groups, lifetime: Math.min(left, RETRY) };
  }

  /** Ends whatever is under way. */
  close(): void {
    this.#closed = true;
    for (const abort of this.#aborts) abort.abort();
    this.#connections.close();
  }

  /** A clock that was set back must not prolong it. */
  #left({ at }: Entry, now: number): number {
    return this.#config.lifetime - Math.abs(now - at);
  }

  #told(entry: Entry | undefined): Groups {
    if (entry === undefined) return { groups: UNAVAILABLE, lifetime: RETRY };
    const left = this.#left(entry, this.#world.clock());
    return { groups: entry.groups, lifetime: Math.max(0, left - this.#config.lifetime / 2) };
  }

  /** Undefined where they cannot be had now. Never rejects. */
  #ask(user: string): Promise<Entry | undefined> {
    const under = this.#asking.get(user);
    if (under !== undefined) return under;
    if (this.#asking.size >= MOST_WAITING) return Promise.resolve(undefined);
    const asked = this.#slots.run(() => this.#list(user)).finally(() => this.#asking.delete(user));
    this.#asking.set(user, asked);
    return asked;
  }

  #isPaused(): boolean {
    return this.#closed || this.#world.clock() < this.#pausedUntil;
  }

  async #list(user: string): Promise<Entry | undefined> {
    if (this.#isPaused()) return undefined;
    const { clock, events, schedule } = this.#world;
    const at = clock();
    const abort = new AbortController();
    this.#aborts.add(abort);
    const cancel = schedule(this.#config.timeout, () => abort.abort());
    try {
      const listed = await this.#api.groups(user, { ...this.#bounds, signal: abort.signal });
      const entry = { groups: known(listed), at };
      this.#known.set(user, entry);
      this.error = undefined;
      events.fetched(this.#name, "groups", "ok", clock() - at);
      return entry;
    } catch (error) {
      this.error = error instanceof FetchError ? error.message : "failed";
      events.fetched(this.#name, "groups", "error", clock() - at, this.error);
      return undefined;
    } finally {
      cancel();
      this.#aborts.delete(abort);
    }
  }
}

const UNAVAILABLE = new Unknown("groups", "Okta, who has them, could not be asked for them", "groups-unavailable");

function known(listed: Listed): readonly string[] | Unknown {
  if (listed === "nobody") return new Unknown("groups", "Okta, who would have them, does not know the user");
  if (listed === "too many") return new Unknown("groups", "Okta has more of them than are read");
  return Object.freeze([...listed]);
}
