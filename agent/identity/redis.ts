// Before ioredis, which derives a class from String.
import "./fast-strings.ts";

import { Redis } from "ioredis";
import type { StoreConfig } from "../config/config.ts";

/** Milliseconds between two attempts to connect, at most. */
const LONGEST_PAUSE = 1_000;
/** Milliseconds of silence after which a connection is given up, with the questions on it that nobody waits for any more. */
const SILENCE = 2_000;

/**
 * A connection to a Redis or Valkey. While it is away nothing can be told, and nothing waits for it to come back: what it
 * is asked is refused at once, or after the time-out.
 *
 * @param told called when it has become reachable or not, with why not; no address and no password
 */
export function openRedis({ url, timeout, ca }: StoreConfig, told: (problem: string | undefined) => void): Redis {
  const redis = new Redis(url, {
    commandTimeout: timeout,
    connectTimeout: 2_000,
    socketTimeout: Math.max(SILENCE, timeout),
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 10), LONGEST_PAUSE),
    ...(ca === undefined ? {} : { tls: { ca } }),
  });
  redis.on("ready", () => told(undefined));
  redis.on("error", (error: NodeJS.ErrnoException) => told(problemOf(error)));
  return redis;
}

/** With what a server's refusal begins, such as WRONGPASS. */
const REFUSAL = /^[A-Z]{2,20}\b/;

/** Neither an address nor what the server has answered besides, which may hold what it was sent. */
function problemOf({ code, name, message }: NodeJS.ErrnoException): string {
  if (code !== undefined) return code;
  return name === "ReplyError" ? (REFUSAL.exec(message)?.[0] ?? name) : "no answer in time";
}
