import type { Test } from "./acls.ts";
import type { Evaluator } from "./evaluate.ts";
import { headerOf } from "./fetches.ts";
import type { Bind } from "./proxies.ts";

/**
 * A request that takes the way of the model, as a curl command, and in words what curl cannot say.
 *
 * @param bind where it goes
 */
export function exampleOf(model: ReadonlyMap<number, boolean>, evaluator: Evaluator, bind: Bind | undefined): string {
  const request = new Example();
  for (const [number, holds] of model) {
    const atom = evaluator.atomOf(number);
    if (atom?.test !== undefined && atom.origin === "request") request.take(atom.test, atom.pattern ?? "", holds);
  }
  return request.text(bind);
}

class Example {
  #path = "/";
  #query = "";
  #method = "";
  readonly #headers: string[] = [];
  readonly #words: string[] = [];

  take({ sample, match, patterns, file }: Test, pattern: string, holds: boolean): void {
    const fetch = sample.calls[0];
    const name = fetch?.name ?? "";
    const header = headerOf(sample);
    // The scheme of the URL says it.
    if (name === "ssl_fc") return;
    if (sample.calls.length > 1 || file || match === "reg") this.#word(sample.text, match, pattern, holds);
    else if (name === "path" && holds) this.#path = pathOf(match, pattern);
    else if (name === "path" && this.#path === pattern) this.#path = "/secret";
    else if (name === "method" && holds) this.#method = pattern;
    else if (name === "method" && pattern === "GET") this.#method = "POST";
    else if (name === "urlp" && holds) this.#query = `?${fetch?.values[0]}=${pattern}`;
    else if (/^req\.f?hdr$/.test(name) && holds) this.#headers.push(`${header}: ${match === "found" ? "x" : pattern}`);
    else if (holds || !/^(?:path|method|urlp|req\.|src$)/.test(name))
      this.#word(sample.text, match, patterns.length > 0 ? pattern : "", holds);
  }

  #word(sample: string, match: string | undefined, pattern: string, holds: boolean): void {
    const test = [
      "{",
      sample,
      ...(match === undefined ? [] : ["-m", match]),
      ...(pattern === "" ? [] : [pattern]),
      "}",
    ].join(" ");
    this.#words.push(holds ? test : `no ${test}`);
  }

  text(bind: Bind | undefined): string {
    const [address] = bind?.addresses ?? [];
    const host =
      address === undefined || address.host === "any" || address.host === "loopback" ? "127.0.0.1" : address.host;
    const scheme = bind?.statement.words.some(({ text }) => text === "ssl") ? "https" : "http";
    const port = address?.port === undefined ? "" : `:${address.port}`;
    const where =
      address?.kind === "path" ? `--unix-socket ${address.host} http://localhost` : `${scheme}://${host}${port}`;
    const url = `${where}${this.#path}${this.#query}`;
    const options = [
      ...(this.#method === "" ? [] : [`-X ${this.#method}`]),
      ...this.#headers.map((header) => `-H '${header}'`),
    ];
    const command = ["curl", ...options, /[?*&]/.test(url) ? `'${url}'` : url].join(" ");
    return this.#words.length === 0 ? command : `${command} where ${[...new Set(this.#words)].slice(0, 4).join(", ")}`;
  }
}

function pathOf(match: string | undefined, pattern: string): string {
  const rooted = pattern.startsWith("/") ? pattern : `/${pattern}`;
  return match === "beg" || match === "str" || match === undefined ? rooted : `/x${rooted}`;
}
