import { WEB_PATH } from "../../../haproxy/input.ts";
import { type SessionsConfig, spellingsOf } from "../../config/config.ts";
import { Sealer } from "../../identity/session/sealer.ts";
import { issuerOf, SessionCookies } from "../../identity/session/session.ts";
import type { LoginEvent } from "../../telemetry/events.ts";
import { type Answer, type Asked, framedBy, redirect } from "./answer.ts";
import { noSession, sessionIn } from "./cookies.ts";
import { failureOf } from "./failure.ts";
import { leavingPage, signedOutPage, signOutPage, wrongRequestPage } from "./pages.ts";
import type { LoginProvider } from "./provider.ts";

const LOGOUT_PATH = `${WEB_PATH}logout`;
export const SIGNED_OUT_PATH = `${WEB_PATH}signed-out`;
/** Before the name of an issuer, whose provider asks there. */
const BACKCHANNEL_PATH = `${WEB_PATH}backchannel-logout/`;
const FRONTCHANNEL_PATH = `${WEB_PATH}frontchannel-logout/`;

/** Ends sessions where their person asks for it, or their provider. */
export class Logouts {
  readonly #sessions: SessionsConfig;
  readonly #providers: ReadonlyMap<string, LoginProvider>;
  readonly #sealer: Sealer;
  readonly #cookies: SessionCookies;
  readonly #clock: () => number;
  readonly #tell: (event: LoginEvent) => void;

  /** @param clock milliseconds since the epoch */
  constructor(
    sessions: SessionsConfig,
    providers: ReadonlyMap<string, LoginProvider>,
    clock: () => number,
    tell: (event: LoginEvent) => void,
  ) {
    this.#sessions = sessions;
    this.#providers = providers;
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
    this.#tell({ issuer: provider.issuer.name, outcome: "ended" });
    const next = await this.#next(asked, provider, sealed);
    return next === undefined ? redirect(SIGNED_OUT_PATH, lines) : leavingPage(asked, next.href, lines);
  }

  /** Where its person goes on to; whatever is wrong with that, they are signed out here. */
  async #next({ origin }: Asked, provider: LoginProvider, sealed: string): Promise<URL | undefined> {
    const session = this.#cookies.open(sealed, provider.issuer);
    if (session === undefined) return undefined;
    const { name } = provider.issuer;
    const state = this.#sealer.seal(name, this.#context(), this.#clock());
    try {
      return await provider.signOut(session.claims, `${origin.origin}${SIGNED_OUT_PATH}`, state);
    } catch (error) {
      this.#tell({ issuer: name, outcome: "logout-failed", why: failureOf(error).why });
      return undefined;
    }
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
  #frontchannel(asked: Asked, { issuer, origins }: LoginProvider): Answer {
    const { query, cookies } = asked;
    const [iss, sid] = [query.getAll("iss"), query.getAll("sid")];
    const named = iss.length === 1 && spellingsOf(issuer).includes(iss[0] ?? "") && sid.length === 1 && sid[0] !== "";
    if (!named) return wrongRequestPage(asked, 400);
    const session = this.#cookies.open(sessionIn(cookies, this.#sessions.cookie), issuer);
    const page = framedBy(origins, signedOutPage(asked));
    if (session?.claims.sid !== sid[0]) return page;
    this.#tell({ issuer: issuer.name, outcome: "ended" });
    return { ...page, headers: { ...page.headers, "set-cookie": noSession(this.#sessions.cookie) } };
  }

  #context(): string {
    return `signed-out\n${this.#sessions.cookie}`;
  }
}

/** Whether a browser says that a page of this origin, or the person, has sent it; only browsers have cookies. */
function isOwn({ headers, origin }: Asked): boolean {
  const site = headers["sec-fetch-site"];
  if (site !== undefined) return site === "same-origin" || site === "none";
  return headers.origin === undefined || headers.origin === origin.origin;
}
