import { createHash, randomBytes } from "node:crypto";
import type { SessionsConfig } from "../../config/config.ts";
import { parseObject } from "../../http/json.ts";
import { Sealer } from "./sealer.ts";
import { END_OF_NAME, issuerOf, readSession, type Session, sessionText, textOf, type Whose } from "./session.ts";
import { LARGEST_ENTRY, type Place, PREFIX, type SessionStore, SessionTooLarge, StoreUnavailable } from "./store.ts";

/** What the provider gave at a login, and later in place of that. */
export interface Tokens {
  readonly access: string;
  readonly refresh?: string | undefined;
  readonly id?: string | undefined;
}

/**
 * What sessions are found by, beside their ids: of the ID token, and what policies know somebody as. Of a session without
 * `sid` nobody knows which of its subject's logins it is.
 */
export type Mark = "sid" | "sub" | "subject" | "sub-without-sid";

/** A session that is kept by a store. */
export interface StoredSession extends Session {
  /** The principal's. */
  readonly subject: string;
  /** When the provider is to be asked anew, in milliseconds since the epoch; 0 for never. */
  readonly refreshAt: number;
}

/** A session with its tokens, as it was read. */
export interface Stored {
  readonly session: StoredSession;
  readonly tokens: Tokens;
  readonly whose: Whose;
  /** The entry, by which a later one is told from it. */
  readonly text: string;
}

/** How often a session is read that others renew while it is to end. */
const READS = 5;
/** Bytes of a reference: nobody guesses one. */
const RANDOM = 32;
const REFERENCE = /^[\w-]{43}$/;
/** What a ring has sealed. */
const SEALED = /^[^. ]{1,64}\.[\w-]+$/;
/** Between the session and its tokens, which are sealed apart: a verdict needs none. */
const APART = " ";

/**
 * Sessions by reference. A browser holds a random id and nothing else; the store knows only its digest, and what is kept
 * under that is sealed for it, for the provider, its client and the cookie's name: put under another key it does not open.
 *
 * What the store cannot tell, or tells wrongly, is thrown as `StoreUnavailable`.
 */
export class StoredSessions {
  readonly #cookie: string;
  readonly #sealer: Sealer;
  readonly #store: SessionStore;

  constructor({ cookie, ring }: Pick<SessionsConfig, "cookie" | "ring">, store: SessionStore) {
    this.#cookie = cookie;
    this.#sealer = new Sealer(ring);
    this.#store = store;
  }

  /** Keeps a new session. @returns what the browser is to hold @throws {SessionTooLarge} */
  async begin(session: Omit<StoredSession, "id">, tokens: Tokens, whose: Whose, now: number): Promise<string> {
    const reference = randomBytes(RANDOM).toString("base64url");
    const begun = { ...session, id: this.#idOf(reference, whose) };
    const text = this.#seal(begun, tokens, whose, now);
    if ((await this.#write(begun, whose, "", text, now)) !== "written") throw new StoreUnavailable("it was there");
    return `${whose.name}${END_OF_NAME}${reference}`;
  }

  /** The session that a cookie stands for, without its tokens; undefined where there is none of this issuer. */
  async open(cookie: string, whose: Whose): Promise<StoredSession | undefined> {
    const id = this.idIn(cookie, whose);
    const text = id === undefined ? undefined : await this.#store.read(this.#key(id, whose));
    return id === undefined || text === undefined ? undefined : this.#session(text, id, whose);
  }

  /** A session with its tokens. @param id as `idIn` and `StoredSession.id` have it */
  async read(id: string, whose: Whose): Promise<Stored | undefined> {
    const text = await this.#store.read(this.#key(id, whose));
    const session = text === undefined ? undefined : this.#session(text, id, whose);
    if (text === undefined || session === undefined) return undefined;
    const opened = this.#sealer.open(text.slice(text.indexOf(APART) + 1), this.#context("tokens", id, whose));
    const tokens = opened === undefined ? undefined : parseObject(Buffer.from(opened));
    if (tokens === undefined) throw new StoreUnavailable("tokens that are none");
    return { session, tokens: tokens as unknown as Tokens, whose, text };
  }

  /**
   * Keeps something else in place of what was read. One that has ended meanwhile does not come back.
   *
   * @returns `changed` where another has done so since, `gone` where it has ended
   */
  replace({ session: { id }, whose, text }: Stored, session: StoredSession, tokens: Tokens, now: number) {
    const own = { ...session, id };
    return this.#write(own, whose, text, this.#seal(own, tokens, whose, now), now);
  }

  /** Ends a session. @param unchanged only as long as it is what was read @returns whether it was there */
  end({ session, whose, text }: Stored, unchanged = false): Promise<boolean> {
    return this.#store.end(this.#place(session, whose), unchanged ? text : "");
  }

  /** Ends a session whatever becomes of it meanwhile. @returns what it was at its end; undefined where it was none */
  async endRead(id: string, whose: Whose): Promise<Stored | undefined> {
    for (let reads = 1; ; reads++) {
      const stored = await this.read(id, whose);
      if (stored === undefined || (await this.end(stored, reads < READS))) return stored;
      if (reads >= READS) return undefined;
    }
  }

  /** Ends the session that a cookie stands for. @returns whether there was one */
  async endOf(cookie: string, whose: Whose): Promise<boolean> {
    const session = await this.open(cookie, whose);
    return session !== undefined && (await this.#store.end(this.#place(session, whose)));
  }

  /** Ends every session of an issuer that has this mark. @returns how many */
  endMarked(mark: Mark, value: string, whose: Whose): Promise<number> {
    return this.#store.endListed(this.#list(mark, value, whose));
  }

  /** Ends every session of an issuer. @returns how many */
  endAll(whose: Whose): Promise<number> {
    return this.#store.endAll(this.#key("", whose));
  }

  /** The id of the session that a cookie stands for, which is no secret; undefined where it can be none of this issuer. */
  idIn(cookie: string, whose: Whose): string | undefined {
    const reference = cookie.slice(whose.name.length + 1);
    return issuerOf(cookie) === whose.name && REFERENCE.test(reference) ? this.#idOf(reference, whose) : undefined;
  }

  /**
   * Does something to a session that no other agent does at the same time.
   *
   * @param limit milliseconds in which it has to be done
   * @returns undefined, with nothing done, where another does it
   */
  async alone<Done>(id: string, limit: number, task: () => Promise<Done>): Promise<Done | undefined> {
    const key = `${PREFIX}lock:${id}`;
    const owner = randomBytes(RANDOM).toString("base64url");
    if (!(await this.#store.lock(key, owner, limit))) return undefined;
    try {
      return await task();
    } finally {
      // It is free in a while in any case.
      await this.#store.unlock(key, owner).catch(() => {});
    }
  }

  #write(session: StoredSession, whose: Whose, before: string, text: string, now: number) {
    return this.#store.write(this.#place(session, whose), before, text, session.endsAt - now, now);
  }

  #seal(session: StoredSession, tokens: Tokens, whose: Whose, now: number): string {
    const { id, subject, refreshAt } = session;
    const own = `${JSON.stringify([subject, refreshAt])}\n${sessionText(session)}`;
    const sealed = [
      this.#sealer.seal(own, this.#context("stored", id, whose), now),
      this.#sealer.seal(JSON.stringify(tokens), this.#context("tokens", id, whose), now),
    ].join(APART);
    if (sealed.length > LARGEST_ENTRY) throw new SessionTooLarge();
    return sealed;
  }

  /** Undefined where its key is gone from the ring, which ends it; what else does not open is not what was put there. */
  #session(text: string, id: string, whose: Whose): StoredSession | undefined {
    const sealed = text.slice(0, Math.max(text.indexOf(APART), 0));
    const opened = this.#sealer.open(sealed, this.#context("stored", id, whose));
    if (opened === undefined && SEALED.test(sealed) && !this.#sealer.hasKeyOf(sealed)) return undefined;
    if (opened === undefined) throw new StoreUnavailable("an entry that is none");
    const end = opened.indexOf("\n");
    const [subject, refreshAt] = JSON.parse(opened.slice(0, end)) as [string, number];
    const session = readSession(opened.slice(end + 1));
    return session === undefined ? undefined : { ...session, subject, refreshAt };
  }

  #place(session: StoredSession, whose: Whose): Place {
    const { sid, sub } = session.claims;
    const found = { sid, sub, subject: session.subject, "sub-without-sid": sid === undefined ? sub : undefined };
    const marks = Object.entries(found satisfies Record<Mark, unknown>);
    const lists = marks.flatMap(([mark, value]) =>
      typeof value === "string" ? [this.#list(mark as Mark, value, whose)] : [],
    );
    return { key: this.#key(session.id, whose), lists };
  }

  #key(id: string, whose: Whose): string {
    return `${PREFIX}of:${digestOf(this.#cookie, textOf(whose)).slice(0, 22)}:${id}`;
  }

  #list(mark: Mark, value: string, whose: Whose): string {
    return `${PREFIX}by:${digestOf(this.#cookie, textOf(whose), mark, value)}`;
  }

  #idOf(reference: string, whose: Whose): string {
    return digestOf(this.#cookie, textOf(whose), reference);
  }

  #context(what: "stored" | "tokens", id: string, whose: Whose): string {
    return `${what}\n${this.#cookie}\n${textOf(whose)}\n${id}`;
  }
}

function digestOf(...parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}
