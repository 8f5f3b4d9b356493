import { BACKCHANNEL_PATH, WEB_PATH } from "../../../haproxy/input.ts";
import { type SessionsConfig, spellingsOf } from "../../config/config.ts";
import type { Send } from "../../http/fetch.ts";
import type { Claims } from "../../identity/claims/claims.ts";
import { Sealer } from "../../identity/session/sealer.ts";
import { issuerOf, SessionCookies } from "../../identity/session/session.ts";
import type { Mark, StoredSessions } from "../../identity/session/stored.ts";
import type { LoginEvent } from "../../telemetry/events.ts";
import { Allowance } from "../allowance.ts";
import { type Answer, type Asked, framedBy, redirect, toldProvider } from "./answer.ts";
import { noSession, sessionIn } from "./cookies.ts";
import { failureOf, TooManyLogins } from "./failure.ts";
import { type BadLogoutToken, type LoggedOut, LogoutTokens } from "./logout-token.ts";
import { leavingPage, notSignedOutPage, signedOutPage, signOutPage, wrongRequestPage } from "./pages.ts";
import type { LoginProvider } from "./provider.ts";

const LOGOUT_PATH = `${WEB_PATH}logout`;
export const SIGNED_OUT_PATH = `${WEB_PATH}signed-out`;
/** Before the name of an issuer, whose provider asks there. */
const FRONTCHANNEL_PATH = `${WEB_PATH}frontchannel-logout/`;

/** Frames of an issuer by which the store is asked to end a session, at once and a second. */
const MOST_FRAMES = 100;
const PER_SECOND = 20;
/** Characters of a provider's session id. */
const LONGEST_SID = 512;
const STORE_AWAY = "the store of sessions does not answer";
const NOT_ONE: BadLogoutToken = { outcome: "refused", why: "not one `logout_token`" };

/** What of a session that has ended the provider is told. */
interface Ended {
  readonly claims: Claims;
  readonly idToken?: string | undefined;
}

/** Ends sessions where their person asks for it, or their provider. */
export class Logouts {
  readonly #sessions: SessionsConfig;
  readonly #providers: ReadonlyMap<string, LoginProvider>;
  readonly #stored: StoredSessions | undefined;
  readonly #tokens: ReadonlyMap<string, LogoutTokens>;
  readonly #frames: ReadonlyMap<string, Allowance>;
  readonly #sealer: Sealer;
  readonly #cookies: SessionCookies;
  readonly #clock: () => number;
  readonly #tell: (event: LoginEvent) => void;

  /** @param stored where a store keeps sessions @param clock milliseconds since the epoch @param ticks milliseconds that only grow */
  constructor(
    sessions: SessionsConfig,
    providers: ReadonlyMap<string, LoginProvider>,
    stored: StoredSessions | undefined,
    send: Send,
    clock: () => number,
    tell: (event: LoginEvent) => void,
    ticks: () => number,
  ) {
    this.#sessions = sessions;
    this.#providers = providers;
    this.#stored = stored;
    this.#tokens = stored === undefined ? new Map() : tokensOf(providers, send, clock);
    const allowances = [...providers.keys()].map(
      (name) => [name, new Allowance(MOST_FRAMES, PER_SECOND, ticks)] as const,
    );
    this.#frames = new Map(allowances);
    this.#sealer = new Sealer(sessions.ring);
    this.#cookies = new SessionCookies(sessions);
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Whether a path is one of these. */
  static has(path: string): boolean {
    const providers = path.startsWith(BACKCHANNEL_PATH) || path.startsWith(FRONTCHANNEL_PATH);
    return path === LOGOUT_PATH || path === SIGNED_OUT_PATH || providers;
  }

  /** Whether a POST to a path brings a form that is read. */
  static takesForm(path: string): boolean {
    return path.startsWith(BACKCHANNEL_PATH);
  }

  /** The answer to a request for one of these paths; undefined where there is no such page. Never rejects. */
  async answer(asked: Asked): Promise<Answer | undefined> {
    const { path, method } = asked;
    if (path === LOGOUT_PATH && method === "POST") return this.#own(asked);
    if (path.startsWith(BACKCHANNEL_PATH)) return this.#backchannel(asked, path.slice(BACKCHANNEL_PATH.length));
    const provider = this.#providers.get(path.slice(FRONTCHANNEL_PATH.length));
    const page = path.startsWith(FRONTCHANNEL_PATH)
      ? provider?.issuer.login.logout.frontchannel === true && (() => this.#frontchannel(asked, provider))
      : { [LOGOUT_PATH]: () => signOutPage(asked, LOGOUT_PATH), [SIGNED_OUT_PATH]: () => this.#signedOut(asked) }[path];
    if (!page) return undefined;
    return method === "GET" || method === "HEAD" ? page() : wrongRequestPage(asked, 405);
  }

  /** A page of another origin cannot sign anybody out: it may send the form, but not as this origin. */
  async #own(asked: Asked): Promise<Answer> {
    if (!isOwn(asked)) return wrongRequestPage(asked, 400);
    const { cookie } = this.#sessions;
    const lines = noSession(cookie);
    const sealed = sessionIn(asked.cookies, cookie);
    const provider = this.#providers.get(issuerOf(sealed));
    if (provider === undefined) return redirect(SIGNED_OUT_PATH, lines);
    const { name } = provider.issuer;
    try {
      const ended = await this.#end(provider, sealed);
      if (ended !== undefined) this.#tell({ issuer: name, outcome: "ended" });
      const next = ended === undefined ? undefined : await this.#next(asked, provider, ended);
      return next === undefined ? redirect(SIGNED_OUT_PATH, lines) : leavingPage(asked, next.href, lines);
    } catch {
      // The cookie stays, by which it can be tried again.
      this.#tell({ issuer: name, outcome: "logout-failed", why: STORE_AWAY });
      return notSignedOutPage(asked);
    }
  }

  /** Ends the session that a cookie is, or stands for. @throws where the store cannot tell */
  async #end(provider: LoginProvider, sealed: string): Promise<Ended | undefined> {
    const { issuer } = provider;
    const id = this.#stored?.idIn(sealed, issuer);
    if (this.#stored === undefined || id === undefined) return this.#cookies.open(sealed, issuer);
    const stored = await this.#stored.endRead(id, issuer);
    if (stored === undefined) return undefined;
    await this.#trying(issuer.name, () => provider.revoke(stored.tokens));
    return { claims: stored.session.claims, idToken: stored.tokens.id };
  }

  /** What the provider is asked to do besides: where it fails, that is told, and the session has ended all the same. */
  async #trying<Done>(issuer: string, task: () => Promise<Done>): Promise<Done | undefined> {
    try {
      return await task();
    } catch (error) {
      this.#tell({ issuer, outcome: "logout-failed", why: failureOf(error).why });
      return undefined;
    }
  }

  /** Where its person goes on to; whatever is wrong with that, they are signed out here. */
  async #next({ origin }: Asked, provider: LoginProvider, ended: Ended): Promise<URL | undefined> {
    const { name } = provider.issuer;
    const state = this.#sealer.seal(name, this.#context(), this.#clock());
    return this.#trying(name, () => provider.signOut(ended, `${origin.origin}${SIGNED_OUT_PATH}`, state));
  }

  /** Whoever comes back from a provider signs in there again. */
  #signedOut(asked: Asked): Answer {
    const issuer = this.#sealer.open(asked.query.get("state") ?? "", this.#context()) ?? "";
    return signedOutPage(asked, this.#providers.has(issuer) ? issuer : undefined);
  }

  /**
   * The provider ends a session by a frame in the browser that has it (OpenID Connect Front-Channel Logout 1.0, section
   * 3). Anybody can ask so: it ends a session here and nothing else, and the answer is the same whether there was one.
   */
  async #frontchannel(asked: Asked, { issuer, origins }: LoginProvider): Promise<Answer> {
    const { query, cookies } = asked;
    const [iss, sid] = [query.getAll("iss"), query.getAll("sid")];
    const [named = ""] = sid;
    const isOne = iss.length === 1 && spellingsOf(issuer).includes(iss[0] ?? "") && sid.length === 1;
    if (!isOne || named === "" || named.length > LONGEST_SID) return wrongRequestPage(asked, 400);
    const page = framedBy(origins, signedOutPage(asked));
    const session = this.#cookies.open(sessionIn(cookies, this.#sessions.cookie), issuer);
    const isHeld = session?.claims.sid === named;
    const ended = isHeld ? 1 : await this.#trying(issuer.name, () => this.#endNamed(named, issuer));
    if (ended === undefined) return framedBy(origins, notSignedOutPage(asked));
    for (let n = 0; n < ended; n++) this.#tell({ issuer: issuer.name, outcome: "ended" });
    return isHeld ? { ...page, headers: { ...page.headers, "set-cookie": noSession(this.#sessions.cookie) } } : page;
  }

  /** Anybody may ask for it: no more often than so. */
  async #endNamed(sid: string, issuer: LoginProvider["issuer"]): Promise<number> {
    if (this.#stored === undefined) return 0;
    if (this.#frames.get(issuer.name)?.take() !== true) throw new TooManyLogins();
    return this.#stored.endMarked("sid", sid, issuer);
  }

  /**
   * The provider tells that somebody has logged out there (OpenID Connect Back-Channel Logout 1.0, section 2.8). It has
   * neither cookie nor origin: the token says all. Where a session could not be ended, the provider is to ask again.
   */
  async #backchannel({ method, form }: Asked, name: string): Promise<Answer | undefined> {
    const [tokens, provider] = [this.#tokens.get(name), this.#providers.get(name)];
    if (this.#stored === undefined || tokens === undefined || provider === undefined) return undefined;
    if (method !== "POST") return toldProvider(405, "a POST with `logout_token`");
    if (!(form instanceof URLSearchParams)) return toldProvider(form ?? 400, "a form with `logout_token`");
    const [text, ...more] = form.getAll("logout_token");
    const token = text === undefined || more.length > 0 ? NOT_ONE : await tokens.check(text);
    if ("outcome" in token) return this.#untold(name, token);
    try {
      let ended = 0;
      for (const [mark, value] of marksOf(token)) ended += await this.#stored.endMarked(mark, value, provider.issuer);
      for (let n = 0; n < ended; n++) this.#tell({ issuer: name, outcome: "ended" });
      token.done();
      return toldProvider(200);
    } catch {
      return this.#untold(name, { outcome: "failed", why: STORE_AWAY });
    }
  }

  #untold(issuer: string, { outcome, why }: BadLogoutToken): Answer {
    this.#tell({ issuer, outcome: `logout-${outcome}`, why });
    return toldProvider(outcome === "failed" ? 503 : 400, why);
  }

  close(): void {
    for (const tokens of this.#tokens.values()) tokens.close();
  }

  #context(): string {
    return `signed-out\n${this.#sessions.cookie}`;
  }
}

/** With both, a session of that subject whose `sid` nobody knows may be the one that is meant. */
function marksOf({ sid, subject }: LoggedOut): readonly (readonly [Mark, string])[] {
  const bySubject = sid === undefined ? "sub" : "sub-without-sid";
  return [
    ...(sid === undefined ? [] : [["sid", sid] as const]),
    ...(subject === undefined ? [] : [[bySubject, subject] as const]),
  ];
}

function tokensOf(providers: ReadonlyMap<string, LoginProvider>, send: Send, clock: () => number) {
  const hearing = [...providers.values()].filter(({ issuer }) => issuer.login.logout.backchannel);
  return new Map(hearing.map(({ issuer }) => [issuer.name, new LogoutTokens(issuer, send, clock)]));
}

/** Whether a browser says that a page of this origin, or the person, has sent it; only browsers have cookies. */
function isOwn({ headers, origin }: Asked): boolean {
  const site = headers["sec-fetch-site"];
  if (site !== undefined) return site === "same-origin" || site === "none";
  return headers.origin === undefined || headers.origin === origin.origin;
}
