import { isMapping } from "../../../policies/claim-path.ts";
import { parseValue } from "../../http/json.ts";
import type { Sealer } from "../../identity/session/sealer.ts";
import { besides, LARGEST_COOKIE, setCookie } from "./cookies.ts";

/** A login that was begun in a browser, and perhaps ended. Times are milliseconds since the epoch. */
export interface Pending {
  readonly state: string;
  readonly nonce: string;
  /** Of PKCE (RFC 7636). */
  readonly verifier: string;
  /** Name of the issuer. */
  readonly issuer: string;
  readonly returnTo: string;
  readonly begunAt: number;
  /** Where it was asked for anew: authentication contexts of which it has to be one, and seconds since it at most. */
  readonly acr?: readonly string[];
  readonly maxAge?: number;
  /** When it came to a session; 0 where it has not. */
  readonly doneAt: number;
}

/** What a state tells, which a browser brings back: enough to begin its login anew, and to prove nothing. */
export interface Begun extends Pick<Pending, "issuer" | "returnTo" | "begunAt" | "acr" | "maxAge"> {
  /** How many were begun before in its place, which the browser has lost. */
  readonly lost: number;
}

/** Milliseconds that somebody has to log in: with a password manager, a second factor, and a telephone call. */
export const LOGIN_LIMIT = 900_000;
/** Logins of one browser at a time; with one more the oldest is forgotten. */
const MOST = 5;
/** Logins that come to a session within so many milliseconds, and more of which make a loop. */
const LOOP_TIME = 60_000;
const LOOP = 3;

/**
 * The logins that are under way in one browser. They are kept by the browser alone, in one sealed cookie: so a state
 * that comes back is known to have been given to it (RFC 9700, section 4.7), and no other agent has to be asked.
 */
export class PendingLogins {
  readonly #sealer: Sealer;
  readonly #name: string;
  readonly #context: string;
  readonly #stateContext: string;

  /** @param cookie the session cookie's name @param host that they were begun at */
  constructor(sealer: Sealer, cookie: string, host: string) {
    this.#sealer = sealer;
    this.#name = besides(cookie, "login");
    this.#context = `login\n${cookie}\n${host}`;
    this.#stateContext = `state\n${cookie}\n${host}`;
  }

  /** A new login, by a state that nobody guesses. It leads to `/` where a cookie has no room for its path. */
  begin(begun: Begun, secrets: Pick<Pending, "nonce" | "verifier">): Pending {
    const { lost: _, ...wanted } = begun;
    const state = this.#sealer.seal(JSON.stringify(begun), this.#stateContext, begun.begunAt);
    const pending = { state, ...secrets, ...wanted, doneAt: 0 };
    const fits = this.#line([pending], begun.begunAt).length <= LARGEST_COOKIE;
    return fits || begun.returnTo === "/" ? pending : this.begin({ ...begun, returnTo: "/" }, secrets);
  }

  /** What a state of ours tells, whichever browser has it; undefined for any other, and for one from too long ago. */
  begunBy(state: string, now: number): Begun | undefined {
    const text = this.#sealer.open(state, this.#stateContext);
    const begun = text === undefined ? undefined : (JSON.parse(text) as Begun);
    return begun !== undefined && Math.abs(now - begun.begunAt) < LOGIN_LIMIT ? begun : undefined;
  }

  /** Those of the browser that sent these cookies, the oldest first. */
  read(cookies: ReadonlyMap<string, string>, now: number): readonly Pending[] {
    const text = this.#sealer.open(this.sealedIn(cookies), this.#context);
    const list = text === undefined ? undefined : parseValue(Buffer.from(text));
    const all = Array.isArray(list) ? list.filter(isPending) : [];
    return all.filter(({ begunAt }) => Math.abs(now - begunAt) < LOGIN_LIMIT);
  }

  /** Whether a browser holds the cookie, whatever is in it. */
  isKept(cookies: ReadonlyMap<string, string>): boolean {
    return cookies.has(this.#name);
  }

  /** The cookie as it was sealed, which one browser has; empty for none. */
  sealedIn(cookies: ReadonlyMap<string, string>): string {
    return cookies.get(this.#name) ?? "";
  }

  /** The Set-Cookie line that keeps them; the oldest are forgotten where there are too many. */
  write(pending: readonly Pending[], now: number): string {
    let kept = pending.slice(-MOST);
    let line = "";
    do {
      line = this.#line(kept, now);
      kept = kept.slice(1);
    } while (line.length > LARGEST_COOKIE && kept.length > 0);
    return line;
  }

  #line(pending: readonly Pending[], now: number): string {
    return setCookie(this.#name, this.#sealer.seal(JSON.stringify(pending), this.#context, now), LOGIN_LIMIT / 1000);
  }
}

/** Whether a browser logs in again and again, and each time comes back without a session that does. */
export function isLoop(pending: readonly Pending[], now: number): boolean {
  return pending.filter(({ doneAt }) => now - doneAt < LOOP_TIME).length >= LOOP;
}

function isPending(value: unknown): value is Pending {
  if (!isMapping(value)) return false;
  const { state, nonce, verifier, issuer, returnTo, begunAt, doneAt, acr = [], maxAge = 0 } = value;
  return (
    Array.isArray(acr) &&
    acr.every((each) => typeof each === "string") &&
    [state, nonce, verifier, issuer, returnTo].every((each) => typeof each === "string") &&
    [begunAt, doneAt, maxAge].every((each) => typeof each === "number")
  );
}
