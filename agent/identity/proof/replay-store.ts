import { Redis } from "ioredis";
import type { Replays, Seen } from "./replays.ts";

/** Where agents that share a store keep the proofs that have come, and how long they wait for it. */
export interface StoreConfig {
  readonly url: string;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Before each key; nothing else of the store is touched. */
const PREFIX = "countersign:dpop:";
/** Milliseconds between two attempts to connect, at most. */
const LONGEST_PAUSE = 1_000;
/** Milliseconds without an answer after which a connection is dead: nothing else tells of a store that was replaced. */
const LONGEST_SILENCE = 2_000;

/**
 * The proofs that have come to any of the agents that share a Redis or Valkey: `SET … NX PX`, once for each. Only digests
 * are kept there. While it is away nothing can be told, and nothing waits for it to come back.
 */
export class ReplayStore implements Replays {
  readonly #redis: Redis;
  readonly #kept: number;

  /**
   * @param kept milliseconds for which a proof has to be known after it has come
   * @param told called when it has become reachable or not, with why not; no address and no password
   */
  constructor({ url, timeout }: StoreConfig, kept: number, told: (problem: string | undefined) => void) {
    this.#kept = kept;
    this.#redis = new Redis(url, {
      commandTimeout: timeout,
      connectTimeout: 2_000,
      socketTimeout: LONGEST_SILENCE,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 10), LONGEST_PAUSE),
    });
    this.#redis.on("ready", () => told(undefined));
    this.#redis.on("error", (error: NodeJS.ErrnoException) => told(problemOf(error)));
  }

  async note(digest: string): Promise<Seen> {
    const key = PREFIX + Buffer.from(digest, "latin1").toString("base64url");
    try {
      const answer = await this.#redis.set(key, "", "PX", this.#kept, "NX");
      return answer === "OK" ? "new" : "before";
    } catch {
      return "unavailable";
    }
  }

  close(): void {
    this.#redis.disconnect();
  }
}

/** Neither an address nor what the server has answered, which may hold what it was sent. */
function problemOf({ code, name }: NodeJS.ErrnoException): string {
  return code ?? name;
}
