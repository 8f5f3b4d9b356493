import type { Answer } from "../../agent/web/login/answer.ts";
import { cookiesIn, sessionIn } from "../../agent/web/login/cookies.ts";
import type { Logins } from "../../agent/web/login/logins.ts";
import { Browser } from "./browser.ts";

export const ORIGIN = new URL("https://app.example.com");
export const LOGIN = "/.countersign/login";
export const CALLBACK = "/.countersign/callback/idp";
export const COOKIE = "__Host-countersign";

/** A browser of somebody: our pages by this agent, the provider's by the network. */
export class Person {
  readonly cookies = new Map<string, string>();
  readonly #logins: Logins;
  readonly #elsewhere = new Browser({});

  constructor(logins: Logins) {
    this.#logins = logins;
  }

  async ask(
    path: string,
    { method = "GET", headers = {} }: { method?: string; headers?: Readonly<Record<string, string>> } = {},
  ): Promise<Answer & { readonly location: string }> {
    const url = new URL(path, ORIGIN);
    const cookies = cookiesIn([...this.cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    const asked = { method, path: url.pathname, query: url.searchParams, origin: ORIGIN, cookies, headers };
    const answer = await this.#logins.answer(asked);
    if (answer === undefined) throw new Error(`no page ${path}`);
    for (const line of [answer.headers["set-cookie"] ?? []].flat()) {
      const [pair = "", name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      // RFC 6265bis, section 5.6: a browser drops it in silence.
      if (pair.length > 4096) continue;
      if (line.endsWith("Max-Age=0")) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return { ...answer, location: String(answer.headers.location ?? "") };
  }

  /** Begins a login and lets the provider send the browser back: the path and query of the callback. */
  until(login = LOGIN, callback = CALLBACK): Promise<string> {
    return this.goesOn(login, callback);
  }

  /** Asks for a page of ours that sends the browser to the provider, which sends it back. */
  async goesOn(path: string, callback = CALLBACK): Promise<string> {
    const { location, status, body } = await this.ask(path);
    if (status !== 303) throw new Error(body);
    const back = await this.#elsewhere.upTo(location, callback);
    return `${back.pathname}${back.search}`;
  }

  get session(): string {
    return sessionIn(this.cookies, COOKIE);
  }
}
