import { WEB_PATH } from "../../haproxy/input.ts";
import { publishedKeys } from "../assertion/ring.ts";
import type { Config } from "../config/config.ts";
import type { Pages } from "./page-listener.ts";

/** How long others may go without asking again. A new key is published much longer before it signs. */
const CACHE = "public, max-age=300";
/** RFC 7517, section 8.5.2. */
const JWK_SET = "application/jwk-set+json";

/**
 * What the agent itself has for backends and browsers; all of it is public.
 *
 * @param config the one in force @param clock milliseconds since the epoch
 */
export function ownPages(config: () => Pick<Config, "assertion">, clock: () => number): Pages {
  return {
    [`${WEB_PATH}jwks.json`]: () => {
      const keys = publishedKeys(config().assertion?.ring ?? [], clock() / 1000);
      return { status: 200, type: JWK_SET, cache: CACHE, body: `${JSON.stringify(keys, undefined, 2)}\n` };
    },
  };
}
