import { isMapping } from "../../../policies/claim-path.ts";
import type { SessionsConfig } from "../../config/config.ts";
import { parseValue } from "../../http/json.ts";
import type { Claims } from "../claims/claims.ts";
import type { TokenBytes } from "../jwt/token.ts";
import { SEAL_OVERHEAD, Sealer } from "./sealer.ts";

/** What somebody's browser holds of a login. Times are milliseconds since the epoch. */
export interface Session {
  /** New at every login. */
  readonly id: string;
  /** The host that it was begun at, as in `sessions.origins`; it counts nowhere else. */
  readonly host: string;
  readonly begunAt: number;
  /** When it ends, whatever happens. */
  readonly endsAt: number;
  /** Of the ID token, without those that were for the login alone. */
  readonly claims: Claims;
  /** The scopes that the provider granted. */
  readonly scopes: readonly string[];
}

/** A session as it is sealed; what is of another version is none. */
const VERSION = 1;

/** What stands between a session and when it was last seen, in what HAProxy tells. */
const SEEN = "~";

/** Characters of when a session was last seen, sealed: seconds since the epoch have at most 12. It bounds the ACK. */
export const LARGEST_SEEN = SEAL_OVERHEAD + 16;

/** The name of an issuer has no such sign. */
export const END_OF_NAME = "~";

/** Where a session's login was: with another provider, or as another client of it, that name is somebody else. */
export interface Whose {
  /** Of the issuer. */
  readonly name: string;
  readonly issuer: string;
  readonly login: { readonly client: { readonly id: string } };
}

/**
 * Turns sessions of one configuration into what browsers keep, and back. A cookie says in the clear whose session it
 * is, and opens for that issuer, that cookie's name and that host alone.
 */
export class SessionCookies {
  readonly #config: SessionsConfig;
  readonly #sealer: Sealer;

  constructor(config: SessionsConfig) {
    this.#config = config;
    this.#sealer = new Sealer(config.ring);
  }

  /** @param now milliseconds since the epoch */
  seal(session: Session, whose: Whose, now: number): string {
    const text = sessionText(session);
    return `${whose.name}${END_OF_NAME}${this.#sealer.seal(text, this.#context("session", textOf(whose)), now)}`;
  }

  /** The session that a cookie holds; undefined where it holds none of this issuer's. */
  open(cookie: string, whose: Whose): Session | undefined {
    if (issuerOf(cookie) !== whose.name) return undefined;
    const text = this.#sealer.open(cookie.slice(whose.name.length + 1), this.#context("session", textOf(whose)));
    return text === undefined ? undefined : readSession(text);
  }

  /** That a session was seen now, for a cookie beside the session's. */
  sealSeen(id: string, now: number): string {
    return this.#sealer.seal(String(Math.floor(now / 1000)), this.#context("seen", id), now);
  }

  /** When the session of this id was last seen, in milliseconds since the epoch; undefined where nothing says it. */
  openSeen(seen: string, id: string): number | undefined {
    if (seen === "" || seen.length > LARGEST_SEEN) return undefined;
    const text = this.#sealer.open(seen, this.#context("seen", id));
    return text === undefined || !/^\d{1,12}$/.test(text) ? undefined : Number(text) * 1000;
  }

  #context(what: "session" | "seen", whose: string): string {
    return `${what}\n${this.#config.cookie}\n${whose}`;
  }
}

/** Of two logins at one provider, as one client, by issuers of one name, the same text. */
export function textOf({ name, issuer, login }: Whose): string {
  return JSON.stringify([name, issuer, login.client.id]);
}

/** Whose session a cookie says to be: the name of an issuer, or nothing that is one. */
export function issuerOf(cookie: string): string {
  return cookie.slice(0, Math.max(cookie.indexOf(END_OF_NAME), 0));
}

/** Where in what HAProxy tells the session ends, and when it was last seen begins one byte later; its end for never. */
export function endOfSession({ bytes, start, end }: TokenBytes): number {
  const name = bytes.subarray(start, end).indexOf(SEEN);
  const length = name < 0 ? -1 : bytes.subarray(start, end).indexOf(SEEN, name + 1);
  return length < 0 ? end : start + length;
}

/** As V8 has it (ECMAScript proposal "JSON.parse source text access"). */
const RAW = JSON as unknown as { rawJSON(text: string): unknown };

/** A claim that is an integer which no double holds stays itself. */
function exactly(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? RAW.rawJSON(String(value)) : value;
}

/** A session as it is sealed. */
export function sessionText({ id, host, begunAt, endsAt, claims, scopes }: Session): string {
  return JSON.stringify([VERSION, id, host, begunAt, endsAt, claims, scopes], exactly);
}

/** The session of such a text; undefined where it is one of another version, or none. */
export function readSession(text: string): Session | undefined {
  const list = parseValue(Buffer.from(text));
  if (!Array.isArray(list) || list[0] !== VERSION) return undefined;
  const [, id, host, begunAt, endsAt, claims, scopes] = list;
  const sound =
    [id, host].every((each) => typeof each === "string") &&
    [begunAt, endsAt].every((each) => Number.isSafeInteger(each)) &&
    isMapping(claims) &&
    Array.isArray(scopes) &&
    scopes.every((scope) => typeof scope === "string");
  return sound ? { id, host, begunAt, endsAt, claims, scopes } : undefined;
}
