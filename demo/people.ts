import { readFileSync } from "node:fs";
import { ask, send } from "./ask.ts";
import { logIn } from "./mcp/client.ts";
import type { Places } from "./places.ts";
import type { Outcome, Row } from "./rows.ts";
import type { Stage } from "./stage.ts";

/** One request of somebody's browser, and what must come of it. */
export interface Visit extends Omit<Row, "credential"> {
  /** What they do before it. */
  readonly first?: "sign in" | "sign out";
}

/** What browsers say of a page that somebody has asked for, and of what a script asks for. */
const NAVIGATION = { accept: "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" } as const;
const SCRIPT = { "sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "sec-fetch-site": "same-origin" } as const;

const PAGE = { method: "GET", host: "localhost", path: "/welcome", rule: "home/page", headers: NAVIGATION } as const;
const NOBODY = { who: "nobody", reason: "credential-missing" } as const;
const ALICE = { who: "alice", reason: "allowed" } as const;

/** What the demo shows of them; policies/examples/home.yaml decides it. */
export const VISITS: readonly Visit[] = [
  { ...PAGE, ...NOBODY, kind: "a browser, a page", status: 303 },
  { ...PAGE, ...NOBODY, kind: "a browser, a script", headers: SCRIPT, status: 401 },
  {
    ...PAGE,
    ...ALICE,
    kind: "signed in, by session",
    first: "sign in",
    status: 200,
    received: { "x-auth-subject": "alice" },
  },
  { ...PAGE, ...NOBODY, kind: "alice, signed out", first: "sign out", path: "/goodbye", status: 303 },
];

/** Where people come to, as their browsers have it. */
export function originOf({ tls }: Pick<Places, "tls">): string {
  return `https://localhost:${tls}`;
}

/** As what the agent is known to the provider that people sign in at. */
export function clientOf(places: Places): Readonly<Record<string, unknown>> {
  const origin = originOf(places);
  return {
    client_id: "ingress",
    client_secret: readFileSync(new URL("client-secret", import.meta.url), "utf8").trimEnd(),
    redirect_uris: [callbackOf(origin)],
    post_logout_redirect_uris: [`${origin}/.countersign/signed-out`],
  };
}

/** Shows all of VISITS to one browser. @returns what came of each */
export async function visitAll({ backends, haproxy }: Stage, places: Places): Promise<readonly Outcome[]> {
  const browser = new Browser(places);
  const outcomes: Outcome[] = [];
  for (const visit of VISITS) {
    const around = { places, backends, log: haproxy.log };
    const failed = (error: Error) => ({ status: 0, reason: error.message, rule: "", received: [] });
    outcomes.push(await browser.does(visit).then(() => ask(visit, browser.shown, around), failed));
  }
  return outcomes;
}

/** The little of a browser that a session needs, at HAProxy. */
class Browser {
  readonly #places: Places;
  readonly #cookies = new Map<string, string>();

  constructor(places: Places) {
    this.#places = places;
  }

  /** What it sends with every request. */
  get shown() {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const host = new URL(originOf(this.#places)).host;
    return { headers: { host, ...(cookie === "" ? {} : { cookie }) }, tls: true };
  }

  async does({ first, path }: Visit): Promise<void> {
    if (first === "sign in") await this.#signIn(path);
    if (first === "sign out") await this.#send("/.countersign/logout", "POST");
  }

  /** Asks for a page, logs in where that leads, and comes back to it. @throws Error where it leads elsewhere */
  async #signIn(page: string): Promise<void> {
    const callback = callbackOf(originOf(this.#places));
    const login = await this.#redirected(page);
    const parameters = await logIn(new URL(await this.#redirected(login)), callback);
    const back = await this.#redirected(`${new URL(callback).pathname}?${parameters}`);
    if (back !== page) throw new Error(`signed in, and sent to ${back}`);
  }

  async #redirected(path: string): Promise<string> {
    const { status, headers } = await this.#send(path, "GET");
    if (headers.location === undefined) throw new Error(`no redirect from ${path.split("?")[0]}, but ${status}`);
    return headers.location;
  }

  async #send(path: string, method: string) {
    const headers = { ...NAVIGATION, "sec-fetch-site": "same-origin" };
    const answer = await send(this.#places, { method, host: PAGE.host, path, headers }, this.shown);
    for (const line of answer.headers["set-cookie"] ?? []) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (line.includes("Max-Age=0")) this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    return answer;
  }
}

function callbackOf(origin: string): string {
  return `${origin}/.countersign/callback/login`;
}
