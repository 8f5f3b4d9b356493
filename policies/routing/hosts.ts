import type { TextFault } from "../fault.ts";
import { normalizeHost } from "./host.ts";

/** What hosts lead to: the exact name before wildcards, and of those the longest. */
export class HostTable<T> {
  readonly #exact = new Map<string, T>();
  /** By what follows `*.`. */
  readonly #wildcards = new Map<string, T>();
  readonly #longest: number;

  /** @param entries with hosts as `parseHostPattern` gives them, none of them twice */
  constructor(entries: readonly { readonly host: string; readonly value: T }[]) {
    for (const { host, value } of entries) {
      if (host.startsWith("*.")) this.#wildcards.set(host.slice(2), value);
      else this.#exact.set(host, value);
    }
    this.#longest = Math.max(0, ...[...this.#wildcards.keys()].map((name) => name.length));
  }

  /** @param host as `normalizeHost` gives it */
  find(host: string): T | undefined {
    return this.#exact.get(host) ?? this.#findWildcard(host);
  }

  /** Looks only at the end of a host that a wildcard could be, since a client chooses how many labels there are. */
  #findWildcard(host: string): T | undefined {
    let dot = host.indexOf(".", host.length - this.#longest - 1);
    while (dot >= 0) {
      const value = this.#wildcards.get(host.slice(dot + 1));
      if (value !== undefined) return value;
      dot = host.indexOf(".", dot + 1);
    }
    return undefined;
  }
}

/** Whether a host is one that a policy means. @param pattern as `parseHostPattern` gives it @param host as `normalizeHost` gives it */
export function coversHost(pattern: string, host: string): boolean {
  return pattern === host || (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)));
}

/**
 * Reads a host as a policy names it: a lower-case name, `*.` and a name (one label or more before it), or an address
 * literal, IPv6 in brackets and in its short form; without scheme, port and path.
 */
export function parseHostPattern(text: string): { readonly host: string } | TextFault {
  if (isHostPattern(text)) return { host: text };
  for (const { at, found } of MISTAKES) {
    const offset = text.search(at);
    if (offset >= 0) return { offset, found, right: suggestionFor(text) };
  }
  return { offset: 0, found: "neither a host name nor an address", right: suggestionFor(text) };
}

function isHostPattern(text: string): boolean {
  if (!text.startsWith("*.")) return normalizeHost(text) === text;
  const name = text.slice(2);
  return normalizeHost(name) === name && !ADDRESS.test(name);
}

const ADDRESS = /^\[|(?:^|\.)\d+$/;
const SCHEME = /^[a-z][a-z\d+.-]*:\/\//i;

const MISTAKES: readonly { readonly at: RegExp; readonly found: string }[] = [
  { at: /^$/, found: "an empty host" },
  { at: SCHEME, found: "a scheme before the host" },
  { at: /[/?#]/, found: "a path behind the host" },
  { at: /^[\da-f.]*:[\da-f.]*:[\da-f:.]*$/i, found: "an IPv6 address without brackets" },
  { at: /:\d*$/, found: "a port behind the host" },
  { at: /\.$/, found: "a dot behind the host" },
  { at: /(?<!^(?=\*\.))\*/, found: "a * that does not stand for the first labels" },
  { at: /[A-Z]/, found: "a host in upper case" },
  { at: /[^!-~]/, found: "a character that no host has" },
  { at: /^\*\.(?:\[|(?:.*\.)?\d+$)/, found: "a wildcard before an address" },
  { at: /^\[/, found: "an IPv6 address that is malformed, or not in its short form" },
];

/** What was probably meant, if the URL standard's reading of it is a host for policies. */
function suggestionFor(text: string): string {
  const authority = text.replace(SCHEME, "");
  const url = URL.parse(`http://${authority}`) ?? URL.parse(`http://[${authority}]`);
  const host = url?.hostname.replace(/\.$/, "") ?? "";
  return isHostPattern(host) ? `\`${host}\`` : "a host such as `orders.example.com`, `*.example.com` or `127.0.0.1`";
}
