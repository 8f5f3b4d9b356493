import type { Target } from "./shown.ts";

const DEFAULT_PORTS = { http: "80", https: "443" } as const;
/** RFC 3986: scheme, authority without user, path, and what RFC 9449 leaves out of account. Nothing that needs repair. */
const HTTP_URI = /^(https?):\/\/([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{0,5}))?(\/[^?#]*)?(?:[?#].*)?$/i;
const HOST = /^([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{0,5}))?$/;

/**
 * Whether an `htu` names a request's URL, as the client sees it: without query and fragment, and both normalized by
 * syntax and by scheme (RFC 9449, section 4.3, check 9; RFC 3986, sections 6.2.2 and 6.2.3).
 *
 * Host names no port that nobody serves: else a proof for another origin of the same host would do.
 *
 * @param ports those that clients' URLs may have beside the scheme's own
 */
export function isTarget(htu: string, { scheme, host, path }: Target, ports: readonly number[]): boolean {
  const [, theirScheme = "", theirHost = "", theirPort, theirPath = "/"] = HTTP_URI.exec(htu) ?? [];
  const [, ourHost, ourPort] = HOST.exec(host) ?? [];
  if (ourHost === undefined || theirScheme.toLowerCase() !== scheme) return false;
  const port = portOf(ourPort, scheme);
  if (port !== DEFAULT_PORTS[scheme] && !ports.includes(Number(port))) return false;
  if (portOf(theirPort, scheme) !== port || theirHost.toLowerCase() !== ourHost.toLowerCase()) return false;
  return normalized(theirPath) === normalized(path);
}

function portOf(written: string | undefined, scheme: Target["scheme"]): string {
  return written === undefined || written === "" ? DEFAULT_PORTS[scheme] : String(Number(written));
}

function normalized(path: string): string {
  return withoutDots(path.replace(/%[0-9A-Fa-f]{2}/g, normalEscape));
}

/** RFC 3986, section 6.2.2.1 and 6.2.2.2. */
function normalEscape(written: string): string {
  const character = String.fromCharCode(Number.parseInt(written.slice(1), 16));
  return /[A-Za-z0-9\-._~]/.test(character) ? character : written.toUpperCase();
}

/** RFC 3986, section 5.2.4, of a path that begins with a slash. */
function withoutDots(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  for (const [index, segment] of segments.entries()) {
    if (segment === "..") kept.pop();
    if (segment !== "." && segment !== "..") kept.push(segment);
    else if (index === segments.length - 1) kept.push("");
  }
  return `/${kept.join("/")}`;
}
