import type { SessionsConfig } from "../../config/config.ts";
import { parseValue } from "../../http/json.ts";
import { Sealer } from "./sealer.ts";

/** How somebody has to log in anew, for what they have asked for (OpenID Connect Core 1.0, section 3.1.2.1). */
export interface Step {
  /** Authentication contexts of which the new login has to be one; empty where any will do. */
  readonly acr: readonly string[];
  /** Seconds since the login at most; undefined where it may be any. */
  readonly maxAge: number | undefined;
}

/** Characters of a sealed one at most. It bounds the ACK. */
export const LARGEST_STEP = 512;

/** What is told of a step by way of the browser: sealed, so that it is the policies' to say and not the browser's. */
export class Steps {
  readonly #sealer: Sealer;
  readonly #context: string;

  constructor({ ring, cookie }: SessionsConfig) {
    this.#sealer = new Sealer(ring);
    this.#context = `step\n${cookie}`;
  }

  /** Undefined where it is too long to be told. @param now milliseconds since the epoch */
  seal({ acr, maxAge }: Step, now: number): string | undefined {
    const sealed = this.#sealer.seal(JSON.stringify([acr, maxAge ?? null]), this.#context, now);
    return sealed.length <= LARGEST_STEP ? sealed : undefined;
  }

  /** Undefined for what was not sealed here. */
  open(sealed: string): Step | undefined {
    const text = this.#sealer.open(sealed, this.#context);
    const list = text === undefined ? undefined : parseValue(Buffer.from(text));
    if (!Array.isArray(list)) return undefined;
    const [acr, maxAge] = list;
    const sound = Array.isArray(acr) && acr.every((each) => typeof each === "string");
    return sound ? { acr, maxAge: typeof maxAge === "number" ? maxAge : undefined } : undefined;
  }
}
