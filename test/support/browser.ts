import { request } from "node:http";

export interface BrowserAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
  /** Where it came from. */
  readonly url: URL;
}

/** What a browser says of itself when it shows a page that somebody has asked for. */
export const NAVIGATION = {
  accept: "text/html,application/xhtml+xml,*/*;q=0.8",
  "sec-fetch-mode": "navigate",
  "sec-fetch-dest": "document",
  "sec-fetch-site": "none",
};

/** The little of a browser that a login needs: it keeps cookies for each host, and follows redirects. */
export class Browser {
  readonly #ports: Readonly<Record<string, number>>;
  readonly #jars = new Map<string, Map<string, string>>();
  /** Every place that it was sent to. */
  readonly visited: string[] = [];

  /** @param ports of the hosts that are elsewhere than their URLs say */
  constructor(ports: Readonly<Record<string, number>>) {
    this.#ports = ports;
  }

  cookies(host: string): Map<string, string> {
    const jar = this.#jars.get(host) ?? new Map<string, string>();
    this.#jars.set(host, jar);
    return jar;
  }

  /** One request and its answer. */
  async ask(
    href: string,
    headers: Readonly<Record<string, string>> = NAVIGATION,
    method = "GET",
  ): Promise<BrowserAnswer> {
    const url = new URL(href);
    const jar = this.cookies(url.hostname);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await this.#exchange(url, method, { ...headers, ...(cookie === "" ? {} : { cookie }) });
    for (const line of [answer.headers["set-cookie"] ?? []].flat()) keep(jar, line);
    return answer;
  }

  /** Shows a page: follows redirects until there is one. */
  async show(href: string, headers: Readonly<Record<string, string>> = NAVIGATION): Promise<BrowserAnswer> {
    let answer = await this.ask(href, headers);
    for (let hops = 0; answer.status >= 300 && answer.status < 400; hops++) {
      if (hops > 20) throw new Error(`too many redirects: ${this.visited.slice(-4).join(" ")}`);
      const next = new URL(String(answer.headers.location), answer.url).href;
      this.visited.push(next);
      answer = await this.ask(next, headers);
    }
    return answer;
  }

  /** Follows redirects until one leads to a page with this path, which is not asked for. */
  async upTo(href: string, path: string): Promise<URL> {
    for (let at = href, hops = 0; hops < 20; hops++) {
      const answer = await this.ask(at);
      const next = new URL(String(answer.headers.location), answer.url);
      if (next.pathname === path) return next;
      at = next.href;
    }
    throw new Error(`never at ${path}`);
  }

  #exchange(url: URL, method: string, headers: Readonly<Record<string, string>>): Promise<BrowserAnswer> {
    const port = this.#ports[url.hostname] ?? Number(url.port);
    const options = { host: "127.0.0.1", port, path: `${url.pathname}${url.search}`, method, agent: false as const };
    const host = this.#ports[url.hostname] === undefined ? url.host : url.host;
    return new Promise((resolve, reject) => {
      const asked = request({ ...options, headers: { host, ...headers } }, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => (body += text));
        response.once("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body, url }));
      });
      asked.once("error", reject).end();
    });
  }
}

function keep(jar: Map<string, string>, line: string): void {
  const [pair = "", ...attributes] = line.split("; ");
  const at = pair.indexOf("=");
  const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
  // RFC 6265bis, section 5.7: a browser drops it in silence otherwise.
  if (name.startsWith("__Host-") && !(attributes.includes("Secure") && attributes.includes("Path=/"))) return;
  if (pair.length > 4096) return;
  if (attributes.includes("Max-Age=0")) jar.delete(name);
  else jar.set(name, value);
}
