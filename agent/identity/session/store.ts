import type { Redis } from "ioredis";
import type { StoreConfig } from "../../config/config.ts";
import { openRedis } from "../redis.ts";

/** Before each key; nothing else of the store is touched. */
export const PREFIX = "countersign:session:";
/** Characters of one entry at most: with tokens of which each is as long as HAProxy would take it. */
export const LARGEST_ENTRY = 65_536;
/** Sessions of one person, or of one login at a provider; with one more the oldest ends. */
const MOST_LISTED = 1000;
/** Milliseconds by which an agent's clock may be ahead of others': so long a list names what has ended. */
const CLOCKS_APART = 3_600_000;
/** The `maxmemory-policy` of a store that loses nothing while it is full. */
const KEEPS_ALL = "noeviction";
/** Keys that are looked at in one go, where all of an issuer are looked for. */
const BATCH = 1000;

/** Milliseconds in which a store is reached for the first time, or is away; one that still reads its file says neither. */
const FIRST_REACHED = 2_500;

/** The store is away, slow, or holds what nobody of ours has put there: what was asked cannot be told. */
export class StoreUnavailable extends Error {}

/** A session that no store is to keep: its claims, or its tokens, are too many. */
export class SessionTooLarge extends Error {}

/** Where an entry is, and the lists that it is found by. */
export interface Place {
  readonly key: string;
  readonly lists: readonly string[];
}

/**
 * Writes an entry, if what is there is still what the writer has read: nothing for a new one. So what was ended stays
 * ended, and of two writers one has to read again. Each list names those entries that have not ended yet, by whichever
 * agent's clock, and ends with the last of them.
 */
const WRITE = `
local is = redis.call('GET', KEYS[1])
if (is or '') ~= ARGV[1] then return is and 'changed' or 'gone' end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
for i = 2, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ARGV[4] - ARGV[6])
  redis.call('ZADD', KEYS[i], ARGV[4] + ARGV[3], KEYS[1])
  for _, key in ipairs(redis.call('ZRANGE', KEYS[i], 0, -1 - ARGV[5])) do
    redis.call('ZREM', KEYS[i], key)
    redis.call('UNLINK', key)
  end
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
end
return 'written'`;

/** Ends an entry; if something is said of what it is, only as long as it is that. */
const END = `
local is = redis.call('GET', KEYS[1])
if not is or (ARGV[1] ~= '' and is ~= ARGV[1]) then return 0 end
for i = 2, #KEYS do redis.call('ZREM', KEYS[i], KEYS[1]) end
return redis.call('UNLINK', KEYS[1])`;

/** Ends all that a list names. */
const END_LISTED = `
local ended = 0
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do ended = ended + redis.call('UNLINK', key) end
redis.call('UNLINK', KEYS[1])
return ended`;

const UNLOCK = `return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('UNLINK', KEYS[1]) or 0`;

/**
 * Sessions in a Redis or Valkey, as texts of which it understands nothing. Every key ends by itself. Whatever cannot be
 * told is thrown as `StoreUnavailable`, and nothing else is.
 */
export class SessionStore {
  readonly #redis: Redis;
  readonly #known: Promise<void>;
  #unreached: string | undefined;
  /** What it does when it is full; undefined where it has not said that. */
  #whenFull: string | undefined;
  #isLooking = false;

  /** @param told called when it has become reachable or not, with why not; safe to show */
  constructor(config: StoreConfig, told: (problem: string | undefined) => void = () => {}) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#known = promise;
    const late = setTimeout(resolve, FIRST_REACHED).unref();
    this.#redis = openRedis(config, (problem) => {
      clearTimeout(late);
      resolve();
      this.#unreached = problem;
      if (problem === undefined) void this.#look();
      told(problem);
    });
  }

  /** Settles when it was reached once, or could not be. */
  ready(): Promise<void> {
    return this.#known;
  }

  /** What of it somebody should look at, as far as that is known; it is looked for anew. Safe to show. */
  problems(): readonly string[] {
    if (this.#unreached !== undefined) return [`the store of sessions cannot be reached: ${this.#unreached}`];
    void this.#look();
    if (this.#whenFull === undefined || this.#whenFull === KEEPS_ALL) return [];
    const drops = `the store of sessions may drop lists that sessions are ended by (maxmemory-policy ${this.#whenFull})`;
    return [`${drops}: set maxmemory-policy ${KEEPS_ALL}`];
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const told = await this.#ask(() => this.#redis.info("memory")).catch(() => "");
    this.#whenFull = /^maxmemory_policy:([a-z-]{1,32})\r?$/m.exec(told)?.[1] ?? this.#whenFull;
    this.#isLooking = false;
  }

  /** An entry's text; undefined where there is none. */
  async read(key: string): Promise<string | undefined> {
    const text = await this.#ask(() => this.#redis.getrange(key, 0, LARGEST_ENTRY));
    if (typeof text !== "string" || text.length > LARGEST_ENTRY) throw new StoreUnavailable("an entry that is none");
    return text === "" ? undefined : text;
  }

  /**
   * @param before what was read; empty for a new entry
   * @param lifetime milliseconds from now
   * @param now milliseconds since the epoch
   * @returns `changed` where another was faster, `gone` where it has ended: then nothing was written
   */
  async write(
    { key, lists }: Place,
    before: string,
    text: string,
    lifetime: number,
    now: number,
  ): Promise<"written" | "changed" | "gone"> {
    const words = [before, text, Math.max(1, Math.ceil(lifetime)), now, MOST_LISTED, CLOCKS_APART];
    const said = await this.#ask(() => this.#redis.eval(WRITE, 1 + lists.length, key, ...lists, ...words));
    if (said !== "written" && said !== "changed" && said !== "gone") throw new StoreUnavailable("no answer");
    return said;
  }

  /** Whether it was there to be ended. @param before where only what was read is to end */
  async end({ key, lists }: Place, before = ""): Promise<boolean> {
    return (await this.#count(() => this.#redis.eval(END, 1 + lists.length, key, ...lists, before))) > 0;
  }

  /** How many have ended of those that a list names. */
  endListed(list: string): Promise<number> {
    return this.#count(() => this.#redis.eval(END_LISTED, 1, list));
  }

  /** How many have ended of those whose keys begin so. It takes as long as the store is large. */
  async endAll(beginning: string): Promise<number> {
    let ended = 0;
    for (let cursor = "0", begun = false; !begun || cursor !== "0"; begun = true) {
      const from = cursor;
      const [next, keys] = await this.#ask(() => this.#redis.scan(from, "MATCH", `${beginning}*`, "COUNT", BATCH));
      if (keys.length > 0) ended += await this.#count(() => this.#redis.unlink(keys));
      cursor = next;
    }
    return ended;
  }

  /** Whether nobody else has this name now. @param owner what no other has @param milliseconds after which it is free */
  async lock(key: string, owner: string, milliseconds: number): Promise<boolean> {
    return (await this.#ask(() => this.#redis.set(key, owner, "PX", milliseconds, "NX"))) === "OK";
  }

  async unlock(key: string, owner: string): Promise<void> {
    await this.#ask(() => this.#redis.eval(UNLOCK, 1, key, owner));
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #count(ask: () => Promise<unknown>): Promise<number> {
    const said = await this.#ask(ask);
    if (typeof said !== "number") throw new StoreUnavailable("no answer");
    return said;
  }

  /** Who asks before it was ever reached waits for that. What the store says of an error may hold what it was sent. */
  async #ask<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    await this.#known;
    try {
      return await ask();
    } catch {
      throw new StoreUnavailable("the store of sessions does not answer");
    }
  }
}
