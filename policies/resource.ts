import type { TextFault } from "./fault.ts";
import { normalizeHost } from "./routing/host.ts";
import { isPlain } from "./routing/path.ts";

/** What an OAuth client is told of an API: where to get a token for it (RFC 9728). */
export interface Resource {
  /** The resource identifier, in the one form in which all compare it. */
  readonly url: string;
  /** As policies name it. */
  readonly host: string;
  /** Its path; empty for a whole host. */
  readonly path: string;
  /** Where clients find its metadata. */
  readonly metadata: string;
  /** Issuer identifiers of authorization servers, at least one. Clients take the first. */
  readonly servers: readonly string[];
  /** What every client should get. */
  readonly scopes: readonly string[];
  readonly name: string | undefined;
  readonly documentation: string | undefined;
  /** The `aud` of tokens for it. */
  readonly audience: string;
  /** Names of the issuers that make such tokens: no other of theirs does here. */
  readonly issuers: ReadonlySet<string>;
}

/** How the paths of all metadata begin (RFC 9728, section 3). HAProxy answers there, and no route may lie below. */
export const METADATA_PATH = "/.well-known/oauth-protected-resource";

/** The parts of a resource identifier. */
export type ResourceUrl = Pick<Resource, "url" | "host" | "path" | "metadata">;

const HTTP = /^https?:\/\/[^/]*/;
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])$/;
/** A client that reads `name=` anywhere in a challenge would read it here; quotes end words for HAProxy. */
const TROUBLESOME = /[='$,]/;

/** Reads a resource identifier; or why some client would not take it, or would take it for another. */
export function readResourceUrl(text: string): ResourceUrl | TextFault {
  const url = URL.parse(text);
  const [origin] = HTTP.exec(text) ?? [];
  if (url === null || origin === undefined)
    return fault(0, "no URL", "what clients are given, such as `https://mcp.example.com/mcp`");
  const end = text.search(/[?#]/);
  if (end >= 0) return fault(end, "a query or fragment", "the URL without it: clients leave it out, or compare it");
  if (url.username !== "" || url.password !== "") return fault(0, "a user in a URL", "the URL without it");
  if (url.protocol === "http:" && !LOOPBACK.test(url.hostname))
    return fault(0, "http", "https: tokens are sent there; http is for loopback only");
  const path = text.slice(origin.length);
  if (path.endsWith("/")) {
    const right = "the URL without the `/` at its end: clients compare it letter by letter";
    return fault(text.length - 1, "a `/` at the end", right);
  }
  const written = url.href.slice(0, path === "" ? -1 : undefined);
  if (written !== text) return fault(0, "another form than the one that clients compare", `\`${written}\``);
  if (path !== "" && (!isPlain(path) || TROUBLESOME.test(path)))
    return fault(
      origin.length,
      "a path that not all read alike",
      "segments of letters, digits and `-._~!&()*+:@` alone",
    );
  const host = normalizeHost(url.hostname);
  if (host === undefined) return fault(0, "a host that no service can have", "a host name or an address");
  return { url: text, host, path, metadata: `${origin}${METADATA_PATH}${path}` };
}

function fault(offset: number, found: string, right: string): TextFault {
  return { offset, found, right };
}
