import { createHash, randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import { LOGIN_PATH, STYLE_PATH, WEB_PATH } from "../../../haproxy/input.ts";
import type { SessionsConfig } from "../../config/config.ts";
import type { Send } from "../../http/fetch.ts";
import type { Due } from "../../identity/issuer/world.ts";
import { Sealer } from "../../identity/session/sealer.ts";
import { issuerOf, type Session, SessionCookies, type Whose } from "../../identity/session/session.ts";
import { SessionClaims } from "../../identity/session/sessions.ts";
import { Steps } from "../../identity/session/step.ts";
import { type SessionStore, StoreUnavailable } from "../../identity/session/store.ts";
import { StoredSessions } from "../../identity/session/stored.ts";
import type { LoginEvent } from "../../telemetry/events.ts";
import { type Answer, type Asked, css, redirect } from "./answer.ts";
import { sessionIn, sessionLines } from "./cookies.ts";
import { type Failure, failureOf } from "./failure.ts";
import { Logouts } from "./logouts.ts";
import {
  chooserPage,
  loopPage,
  noCookiesPage,
  type Reader,
  refusedPage,
  unavailablePage,
  unknownPage,
  wrongRequestPage,
} from "./pages.ts";
import { type Begun, isLoop, type Pending, PendingLogins } from "./pending.ts";
import { type LoggedIn, type LoginIssuer, LoginProvider } from "./provider.ts";
import { Refresher, refreshAt } from "./refresher.ts";
import { returnTo } from "./return-to.ts";
import { STYLE } from "./style.ts";

/** What people log in by. Plain data, which goes to the thread of the web listener. */
export interface LoginSetup {
  readonly sessions: SessionsConfig;
  readonly issuers: readonly LoginIssuer[];
}

/** Before the name of an issuer: each has a redirect URI of its own (RFC 9700, section 4.4.2.2). */
export const CALLBACK_PATH = `${WEB_PATH}callback/`;

/** Bytes of state, nonce, verifier and session ids: nobody guesses one. */
const RANDOM = 32;
/** What a provider adds to the redirect URI; each of them once. */
const PARAMETERS = ["state", "code", "iss", "error", "response"];
/** How often a login is begun anew that a browser has lost: of tabs that begin at once, one is through each time. */
const MOST_LOST = 4;
/** Logins that have just ended, and milliseconds for which a repetition of one is answered alike. */
const MOST_ENDED = 1000;
const REPEATED = 30_000;

/** What a login came to, and the digest of the request that it answers. */
interface Ended {
  readonly request: string;
  readonly answer: Promise<Answer>;
}

/** Lets people log in by their browsers. Of one configuration; whatever a browser has to keep, it keeps sealed. */
export class Logins {
  readonly #sessions: SessionsConfig;
  readonly #providers: ReadonlyMap<string, LoginProvider>;
  readonly #sealer: Sealer;
  readonly #cookies: SessionCookies;
  /** Undefined where browsers keep their sessions themselves. */
  readonly #stored: StoredSessions | undefined;
  readonly #refreshers: ReadonlyMap<string, Refresher>;
  readonly #steps: Steps;
  readonly #logouts: Logouts;
  readonly #clock: () => number;
  readonly #tell: (event: LoginEvent) => void;
  /**
   * By their states. A browser that reloads the callback while it is answered would else use the code a second time, at
   * which a provider takes back the tokens of the first. The answer is for that very request of that very browser.
   */
  readonly #ended = new LRUCache<string, Ended>({ max: MOST_ENDED, ttl: REPEATED });

  /**
   * @param clock milliseconds since the epoch
   * @param store what keeps sessions; undefined where browsers do
   * @param ticks milliseconds that only grow
   */
  constructor(
    { sessions, issuers }: LoginSetup,
    send: Send,
    clock: () => number,
    tell: (event: LoginEvent) => void,
    store?: SessionStore,
    ticks = () => performance.now(),
  ) {
    this.#sessions = sessions;
    this.#providers = new Map(issuers.map((issuer) => [issuer.name, new LoginProvider(issuer, send, ticks)]));
    this.#sealer = new Sealer(sessions.ring);
    this.#cookies = new SessionCookies(sessions);
    const stored = store === undefined ? undefined : new StoredSessions(sessions, store);
    this.#stored = stored;
    const refreshers = [...this.#providers].flatMap(([name, provider]): [string, Refresher][] =>
      stored === undefined ? [] : [[name, new Refresher(provider, stored, clock, tell)]],
    );
    this.#refreshers = new Map(refreshers);
    this.#steps = new Steps(sessions);
    this.#logouts = new Logouts(sessions, this.#providers, stored, send, clock, tell, ticks);
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Ends what goes on by itself. */
  close(): void {
    this.#logouts.close();
  }

  /** Whether a path is one of these pages'. */
  static has(path: string): boolean {
    return path.startsWith(CALLBACK_PATH) || [LOGIN_PATH, STYLE_PATH].includes(path) || Logouts.has(path);
  }

  /** Whether a POST to a path brings a form that is read. */
  static takesForm(path: string): boolean {
    return Logouts.takesForm(path);
  }

  /** The origin of the configuration that a Host header names; undefined where it names none. */
  originOf(host: string | undefined): URL | undefined {
    if (host === undefined || !/^[A-Za-z0-9.:[\]-]{1,300}$/.test(host)) return undefined;
    const named = this.#sessions.origins.map((origin) => new URL(origin));
    return named.find(({ protocol, origin }) => URL.parse(`${protocol}//${host}`)?.origin === origin);
  }

  /** Has a provider say anew who has this session, where that is due. Never rejects. */
  async refresh({ issuer, id }: Due): Promise<void> {
    await this.#refreshers.get(issuer)?.refresh(id);
  }

  /** The answer to a request for one of these pages; undefined where it is for another one. Never rejects. */
  async answer(asked: Asked): Promise<Answer | undefined> {
    try {
      return await this.#answer(asked);
    } catch (error) {
      if (error instanceof StoreUnavailable) return unavailablePage(asked);
      throw error;
    }
  }

  async #answer(asked: Asked): Promise<Answer | undefined> {
    const { path, method } = asked;
    if (Logouts.has(path)) return await this.#logouts.answer(asked);
    const page = {
      [CALLBACK_PATH]: () => this.#callback(asked, path.slice(CALLBACK_PATH.length)),
      [LOGIN_PATH]: () => this.#login(asked),
      [STYLE_PATH]: () => css(this.#sessions.style ?? STYLE),
    }[path.startsWith(CALLBACK_PATH) ? CALLBACK_PATH : path];
    if (page === undefined) return undefined;
    return method === "GET" || method === "HEAD" ? await page() : wrongRequestPage(asked, 405);
  }

  async #login(asked: Asked): Promise<Answer> {
    const { query, cookies, origin } = asked;
    const now = this.#clock();
    const pendings = this.#pendings(origin);
    const before = pendings.read(cookies, now);
    if (isLoop(before, now)) return (await this.#session(asked)) === undefined ? noCookiesPage(asked) : loopPage(asked);
    const to = returnTo(query.get("rt") ?? undefined);
    const provider = this.#chosen(query.getAll("provider"));
    if (provider === undefined) return this.#choice(asked, to, query.get("step") ?? "");
    const begun = { issuer: provider.issuer.name, returnTo: to, begunAt: now, lost: 0, ...this.#stepOf(query) };
    return this.#begin(asked, provider, before, begun);
  }

  /** @param before the logins that the browser has under way */
  async #begin(asked: Asked, provider: LoginProvider, before: readonly Pending[], begun: Begun): Promise<Answer> {
    const { issuer, begunAt } = begun;
    const pendings = this.#pendings(asked.origin);
    const pending = pendings.begin(begun, { nonce: random(), verifier: random() });
    try {
      const location = await provider.begin(pending, `${asked.origin.origin}${CALLBACK_PATH}${issuer}`);
      this.#tell({ issuer, outcome: "begun" });
      return redirect(location.href, [pendings.write([...before, pending], begunAt)]);
    } catch (error) {
      return this.#failed(asked, issuer, failureOf(error));
    }
  }

  /** @param issuer whose redirect URI it is; a login that was begun at another one does not end here */
  async #callback(asked: Asked, issuer: string): Promise<Answer> {
    const { query, cookies, origin } = asked;
    if (PARAMETERS.some((name) => query.getAll(name).length > 1)) return wrongRequestPage(asked, 400);
    const now = this.#clock();
    const pendings = this.#pendings(origin);
    const before = pendings.read(cookies, now);
    const state = query.get("state") ?? "";
    const pending = before.find((each) => each.state === state);
    const session = await this.#session(asked);
    // Another tab was first, or the page is reloaded.
    const isOther = pending?.acr === undefined && (session?.begunAt ?? 0) > (pending?.begunAt ?? 0);
    const isOver = pending === undefined || pending.doneAt > 0 || isOther;
    if (session !== undefined && isOver) return redirect(pendings.begunBy(state, now)?.returnTo ?? "/");
    const provider = this.#providers.get(issuer);
    if (pending === undefined) return this.#lost(asked, provider, before, state);
    if (provider === undefined || pending.issuer !== issuer || pending.doneAt > 0) return unknownPage(asked);
    const others = before.filter((each) => each !== pending);
    const request = digestOf(asked, pendings.sealedIn(cookies));
    const known = this.#ended.get(state);
    if (known !== undefined) return known.request === request ? known.answer : unknownPage(asked);
    const ended = this.#complete(asked, provider, pending, (doneAt) =>
      pendings.write([...others, { ...pending, doneAt }], doneAt),
    );
    this.#ended.set(state, { request, answer: ended });
    const answer = await ended;
    // What has failed by itself may be tried again.
    if (answer.status === 503) this.#ended.delete(state);
    return answer;
  }

  /**
   * A login of which this browser knows nothing. Tabs that begin one at the same time keep only the last, since each
   * writes the cookie without the others: it is begun anew, and whoever was brought here by another is asked who
   * they are themselves.
   */
  async #lost(
    asked: Asked,
    provider: LoginProvider | undefined,
    before: readonly Pending[],
    state: string,
  ): Promise<Answer> {
    const now = this.#clock();
    const pendings = this.#pendings(asked.origin);
    if (!pendings.isKept(asked.cookies)) return noCookiesPage(asked);
    const begun = pendings.begunBy(state, now);
    if (provider === undefined || begun?.issuer !== provider.issuer.name || begun.lost === MOST_LOST)
      return unknownPage(asked);
    return this.#begin(asked, provider, before, { ...begun, begunAt: now, lost: begun.lost + 1 });
  }

  /** @param done the Set-Cookie line by which the login counts as ended at that instant */
  async #complete(
    asked: Asked,
    provider: LoginProvider,
    pending: Pending,
    done: (at: number) => string,
  ): Promise<Answer> {
    const url = new URL(`${asked.origin.origin}${asked.path}?${asked.query}`);
    const { issuer } = provider;
    try {
      const loggedIn = await provider.complete(pending, url);
      const now = this.#clock();
      const session = this.#begun(loggedIn, url.hostname, now);
      const principal = new SessionClaims(issuer, issuer.login).principalOf(session, session.endsAt);
      const { acr } = session.claims;
      if (pending.acr !== undefined && pending.acr.length > 0 && !pending.acr.some((each) => each === acr)) {
        return this.#failed(asked, issuer.name, { outcome: "refused", why: "authentication-weak" });
      }
      if ("reason" in principal) return this.#failed(asked, issuer.name, { outcome: "refused", why: principal.reason });
      const sealed = await this.#kept(session, principal.subject, loggedIn, issuer, now);
      const lines = sessionLines(this.#sessions.cookie, sealed, this.#sessions.largest);
      if (lines === undefined)
        return this.#failed(asked, issuer.name, { outcome: "refused", why: "session-too-large" });
      await this.#leave(asked);
      this.#tell({ issuer: issuer.name, outcome: "completed" });
      return redirect(pending.returnTo, [...lines, done(now)]);
    } catch (error) {
      return this.#failed(asked, issuer.name, failureOf(error));
    }
  }

  /** What the browser is to hold of a session. */
  #kept(session: Session, subject: string, loggedIn: LoggedIn, issuer: Whose, now: number): string | Promise<string> {
    if (this.#stored === undefined) return this.#cookies.seal(session, issuer, now);
    const stored = { ...session, subject, refreshAt: refreshAt(loggedIn, now) };
    return this.#stored.begin(stored, loggedIn.tokens, issuer, now);
  }

  /** The session that a browser has had until now would else stay in the store; where it cannot be ended, it does. */
  async #leave({ cookies }: Asked): Promise<void> {
    const sealed = sessionIn(cookies, this.#sessions.cookie);
    const provider = this.#providers.get(issuerOf(sealed));
    if (provider !== undefined) await this.#stored?.endOf(sealed, provider.issuer).catch(() => {});
  }

  /** Never the one that a browser has shown: whoever has put that there must not have a part in it. */
  #begun({ claims, scopes }: Pick<LoggedIn, "claims" | "scopes">, host: string, now: number): Session {
    return { id: random(), host, begunAt: now, endsAt: now + this.#sessions.lifetime, claims, scopes };
  }

  #failed(reader: Reader, issuer: string, { outcome, why }: Failure): Answer {
    this.#tell({ issuer, outcome, why });
    if (outcome === "failed") return unavailablePage(reader);
    return why === "invalid_grant" ? unknownPage(reader) : refusedPage(reader, why);
  }

  /** The provider that is asked for, or the only one. */
  #chosen([name, ...others]: readonly string[]): LoginProvider | undefined {
    const [only, ...more] = this.#providers.values();
    if (name === undefined) return more.length === 0 ? only : undefined;
    return others.length === 0 ? this.#providers.get(name) : undefined;
  }

  /** How the agent, and not the browser, says that it has to be. */
  #stepOf(query: URLSearchParams): Pick<Pending, "acr" | "maxAge"> {
    const step = this.#steps.open(query.get("step") ?? "");
    if (step === undefined) return {};
    return { acr: step.acr, ...(step.maxAge === undefined ? {} : { maxAge: step.maxAge }) };
  }

  #choice(reader: Reader, to: string, step: string): Answer {
    const more = step === "" ? {} : { step };
    const links = [...this.#providers.values()].map(({ issuer }) => ({
      href: `${LOGIN_PATH}?${new URLSearchParams({ provider: issuer.name, rt: to, ...more })}`,
      text: issuer.login.title,
    }));
    return chooserPage(reader, links);
  }

  /** The session that a browser has here, as far as its cookie tells. One that is yet to begin counts nowhere. */
  async #session({ cookies, origin }: Asked): Promise<Session | undefined> {
    const sealed = sessionIn(cookies, this.#sessions.cookie);
    const provider = this.#providers.get(issuerOf(sealed));
    if (provider === undefined) return undefined;
    const sessions = this.#stored ?? this.#cookies;
    const session = await sessions.open(sealed, provider.issuer);
    if (session === undefined || session.host !== origin.hostname) return undefined;
    const now = this.#clock();
    const lasts = session.begunAt <= now + provider.issuer.clockTolerance && now < session.endsAt;
    return lasts ? session : undefined;
  }

  #pendings(origin: URL): PendingLogins {
    return new PendingLogins(this.#sealer, this.#sessions.cookie, origin.hostname);
  }
}

/** All of a callback that what it comes to depends on. @param browser the cookie of the browser that asks */
function digestOf({ origin, path, query }: Asked, browser: string): string {
  return createHash("sha256")
    .update(JSON.stringify([origin.origin, path, `${query}`, browser]))
    .digest("base64url");
}

function random(): string {
  return randomBytes(RANDOM).toString("base64url");
}
