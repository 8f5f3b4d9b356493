import type { Config } from "../config/config.ts";
import type { LoginEvent } from "../telemetry/events.ts";
import { ownPages } from "./own-pages.ts";
import { PageListener } from "./page-listener.ts";

/** Milliseconds for a whole connection: within a login, a provider is asked up to three times. */
const CONNECTION_LIMIT = 20_000;

/** Bytes; browsers have cookies, of which a session's may have 8,000. What HAProxy passes on with larger buffers, too. */
const LARGEST_HEAD = 32 << 10;

interface WebEvents {
  unexpected(where: string, error: unknown): void;
  login(event: LoginEvent): void;
}

/** What the agent has for backends and browsers, through HAProxy. @param config the one in force */
export function webListener(config: () => Config, events: WebEvents, clock: () => number): PageListener {
  return new PageListener(ownPages(config, clock), {
    failed: (error) => events.unexpected("answering the web listener", error),
    told: (event) => events.login(event),
    limit: CONNECTION_LIMIT,
    largestHead: LARGEST_HEAD,
  });
}
