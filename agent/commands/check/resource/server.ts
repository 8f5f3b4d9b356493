import type { Send } from "../../../http/fetch.ts";
import { isLoopback } from "../../../http/fetch.ts";
import { ask, documentIn, textsOf } from "./ask.ts";
import type { Findings } from "./finding.ts";

type Document = Readonly<Record<string, unknown>>;

/** Looks at the authorization server that clients are sent to. @param scopes what they will ask it for */
export async function checkServer(
  send: Send,
  issuer: string,
  scopes: readonly string[],
  findings: Findings,
): Promise<void> {
  const url = URL.parse(issuer);
  if (url === null) {
    findings.fault(issuer, "an authorization server that is no URL", "its issuer identifier");
    return;
  }
  const tried: string[] = [];
  for (const place of placesOf(url)) {
    const answer = await ask(send, place, { headers: { "mcp-protocol-version": "2025-11-25" } });
    const document = typeof answer === "string" ? answer : documentIn(answer);
    if (typeof document !== "string") return checkDocument(place.href, issuer, document, scopes, findings);
    tried.push(`${place.href}: ${document}`);
  }
  findings.fault(
    issuer,
    `no metadata of this authorization server: ${tried.join("; ")}`,
    "RFC 8414, or OpenID Connect",
  );
}

/** In the order of the SDKs (RFC 8414, section 3.1; OpenID Connect Discovery, section 4). */
function placesOf({ origin, pathname }: URL): readonly URL[] {
  const path = pathname.replace(/\/$/, "");
  const [oauth, openid] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
  const places = [`${oauth}${path}`, `${openid}${path}`, ...(path === "" ? [] : [`${path}${openid}`])];
  return places.map((place) => new URL(origin + place));
}

function checkDocument(
  at: string,
  issuer: string,
  document: Document,
  scopes: readonly string[],
  findings: Findings,
): void {
  const same = (text: unknown) => typeof text === "string" && text.replace(/\/$/, "") === issuer.replace(/\/$/, "");
  if (!same(document.issuer)) {
    const right = `${JSON.stringify(issuer)}, as the resource's metadata names it: clients compare them`;
    findings.fault(at, `the \`issuer\` ${JSON.stringify(document.issuer) ?? "is missing"}`, right);
  }
  checkEndpoints(at, document, findings);
  if (!textsOf(document.code_challenge_methods_supported).includes("S256"))
    findings.fault(at, "no `S256` in `code_challenge_methods_supported`", "PKCE: clients refuse to go on without it");
  if (document.registration_endpoint === undefined && document.client_id_metadata_document_supported !== true) {
    const right = "a client id that users are given: nobody can register by himself, nor by a document of his own";
    findings.warn(at, "neither `registration_endpoint` nor `client_id_metadata_document_supported`", right);
  }
  const known = textsOf(document.scopes_supported);
  const missing = known.length === 0 ? [] : scopes.filter((scope) => !known.includes(scope));
  if (missing.length > 0) {
    const found = `\`scopes_supported\` without ${missing.map((scope) => `\`${scope}\``).join(", ")}`;
    findings.warn(at, found, "all that clients are told to ask for: some servers refuse to register them otherwise");
  }
}

function checkEndpoints(at: string, document: Document, findings: Findings): void {
  for (const name of ["authorization_endpoint", "token_endpoint"]) {
    const value = document[name];
    const url = typeof value === "string" ? URL.parse(value) : null;
    if (url === null) findings.fault(at, `no \`${name}\``, "its URL: clients go nowhere without it");
    else if (url.protocol !== "https:" && !isLoopback(url.hostname))
      findings.fault(at, `\`${name}\` over http`, "https: clients send nothing there");
  }
}
