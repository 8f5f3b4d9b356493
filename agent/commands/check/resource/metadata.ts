import { METADATA_PATH } from "../../../../policies/resource.ts";
import type { HttpAnswer, Send } from "../../../http/fetch.ts";
import { ask, documentIn, textsOf } from "./ask.ts";
import type { Challenged } from "./challenged.ts";
import type { Findings } from "./finding.ts";

/** What clients go by of a resource's metadata. */
export interface Metadata {
  readonly document: Readonly<Record<string, unknown>>;
  /** The first of its authorization servers; clients take no other. */
  readonly server: string | undefined;
  readonly scopes: readonly string[];
}

/** A client that runs in a page sends it. */
const ORIGIN = "https://client.example.com";

/** Reads the metadata of a resource (RFC 9728), where clients look for it; undefined where they find none. */
export async function readMetadata(
  send: Send,
  url: URL,
  { metadata }: Challenged,
  findings: Findings,
): Promise<Metadata | undefined> {
  const expected = placeOf(url.origin, url.pathname);
  const places = metadata !== undefined && URL.canParse(metadata) ? [metadata] : [expected, placeOf(url.origin, "/")];
  const tried: string[] = [];
  for (const place of new Set(places)) {
    const at = new URL(place);
    const answer = await ask(send, at, { headers: { origin: ORIGIN, "mcp-protocol-version": "2025-11-25" } });
    const document = typeof answer === "string" ? answer : documentIn(answer);
    if (typeof answer !== "string" && typeof document !== "string") {
      if (at.href !== expected) {
        const right = `${expected}, where those look that do not read challenges, and some compare`;
        findings.warn(url.href, `metadata at ${at.href}`, right);
      }
      return await checked(send, url, { at, answer, document }, findings);
    }
    tried.push(`${place}: ${document}`);
  }
  const right = "the metadata, for whoever asks: clients take this host for an authorization server otherwise";
  findings.fault(url.href, `no metadata: ${tried.join("; ")}`, right);
  return undefined;
}

/** Metadata as it was found. */
interface Found {
  readonly at: URL;
  readonly answer: HttpAnswer;
  readonly document: Metadata["document"];
}

async function checked(send: Send, url: URL, { at, answer, document }: Found, findings: Findings): Promise<Metadata> {
  checkResource(at.href, url, document, findings);
  await checkPages(send, at, answer, findings);
  const [server] = textsOf(document.authorization_servers);
  if (server === undefined)
    findings.fault(at.href, "no `authorization_servers`", "one at least: clients take this host for one otherwise");
  const scopes = textsOf(document.scopes_supported);
  if (scopes.includes("offline_access"))
    findings.warn(at.href, "the scope `offline_access`", "leave it out: it is no scope of an API");
  return { document, server, scopes };
}

/** RFC 9728, section 3.1, without one `/` at the end, as the SDKs have it. */
function placeOf(origin: string, path: string): string {
  return `${origin}${METADATA_PATH}${path.replace(/\/$/, "")}`;
}

/** The SDKs take a resource for all below it, others for just itself (RFC 9728, section 3.3). */
function checkResource(at: string, url: URL, { resource }: Metadata["document"], findings: Findings): void {
  const asked = `${url.origin}${url.pathname === "/" ? "" : url.pathname}`;
  if (resource === asked) return;
  const found = `the \`resource\` ${JSON.stringify(resource) ?? "is missing"}`;
  const right = `${asked}, letter by letter`;
  if (typeof resource === "string" && URL.canParse(resource) && covers(new URL(resource), url))
    findings.warn(at, found, `${right}: some clients take it only for that`);
  else findings.fault(at, found, `${right}: clients use no token for another`);
}

function covers(resource: URL, { origin, pathname }: URL): boolean {
  const below = (path: string) => (path.endsWith("/") ? path : `${path}/`);
  const longer = pathname.length >= resource.pathname.length;
  return resource.origin === origin && longer && below(pathname).startsWith(below(resource.pathname));
}

async function checkPages(send: Send, at: URL, { headers }: HttpAnswer, findings: Findings): Promise<void> {
  const asked = {
    origin: ORIGIN,
    "access-control-request-method": "GET",
    "access-control-request-headers": "mcp-protocol-version",
  };
  const preflight = await ask(send, at, { method: "OPTIONS", headers: asked });
  const answered = typeof preflight === "string" ? undefined : preflight;
  const open = (value: string | undefined) => value === "*" || value === ORIGIN;
  const passes =
    answered !== undefined && answered.status < 300 && open(answered.headers["access-control-allow-origin"]);
  if (passes && open(headers["access-control-allow-origin"])) return;
  const right = "`Access-Control-Allow-Origin: *`, for preflights too (OPTIONS): it is the same for all";
  findings.warn(at.href, "metadata that pages of other origins cannot read", right);
}
