import type { Redis } from "ioredis";
import type { StoreConfig } from "../../config/config.ts";
import { openRedis } from "../redis.ts";
import type { Replays, Seen } from "./replays.ts";

/** Before each key; nothing else of the store is touched. */
const PREFIX = "countersign:dpop:";

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
  constructor(config: StoreConfig, kept: number, told: (problem: string | undefined) => void) {
    this.#kept = kept;
    this.#redis = openRedis(config, told);
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
