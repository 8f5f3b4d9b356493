import { BlockList, isIP } from "node:net";

/** A proxy that opens tunnels (HTTP CONNECT) to https addresses, and the hosts that are asked without it. */
export interface ForwardProxy {
  /** http or https; it may hold a user and a password. */
  readonly url: string;
  /** As NO_PROXY has them: names, with all below them; addresses; networks; each name with a port if need be; `*`. */
  readonly except: readonly string[];
}

/** The address of a proxy; undefined for anything else than http and https addresses without a path. */
export function parseProxy(text: string): URL | undefined {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") return undefined;
  return isDecodable(url.username) && isDecodable(url.password) ? url : undefined;
}

/**
 * The proxy that HTTPS_PROXY and NO_PROXY name, in upper or lower case; as with curl, the latter counts first, and an
 * address without a scheme is http.
 *
 * @returns undefined where they name none; `fault` where it cannot be used, in words that hold nothing of it
 */
export function proxyOfEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ForwardProxy | undefined | { readonly fault: string } {
  const name = environment.https_proxy ? "https_proxy" : "HTTPS_PROXY";
  const text = environment[name] ?? "";
  if (text === "") return undefined;
  const url = parseProxy(text.includes("://") ? text : `http://${text}`);
  if (url === undefined) return { fault: `the environment's ${name}, which is not http://HOST:PORT` };
  const except = (environment.no_proxy || environment.NO_PROXY || "").split(/[\s,]+/).filter((entry) => entry !== "");
  return { url: url.href, except };
}

/** The proxy to ask an address through. Plain http is never asked through one: it is for loopback only. */
export function proxyFor(to: URL, proxy: ForwardProxy | undefined): URL | undefined {
  if (proxy === undefined || to.protocol !== "https:") return undefined;
  const host = to.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  const port = to.port === "" ? "443" : to.port;
  return proxy.except.some((entry) => isExcepted(host, port, entry.toLowerCase())) ? undefined : parseProxy(proxy.url);
}

function isExcepted(host: string, port: string, entry: string): boolean {
  if (entry === "*") return true;
  const network = networkOf(entry);
  if (network !== undefined) return isIP(host) !== 0 && network.check(host, isIP(host) === 6 ? "ipv6" : "ipv4");
  const [, written = "", only = port] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  const name = written.replace(/^\*?\.|\.$|^\[|\]$/g, "");
  return only === port && name !== "" && (host === name || (isIP(host) === 0 && host.endsWith(`.${name}`)));
}

/** An address, or a network as ADDRESS/LENGTH. */
function networkOf(entry: string): BlockList | undefined {
  const [address = "", length, more] = entry.split("/");
  const family = isIP(address);
  const bits = length === undefined ? (family === 4 ? 32 : 128) : Number(length);
  if (family === 0 || more !== undefined || !Number.isInteger(bits) || bits > (family === 4 ? 32 : 128))
    return undefined;
  const list = new BlockList();
  list.addSubnet(address, bits, family === 4 ? "ipv4" : "ipv6");
  return list;
}

function isDecodable(text: string): boolean {
  try {
    return decodeURIComponent(text) !== undefined;
  } catch {
    return false;
  }
}
