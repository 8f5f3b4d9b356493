import { getObject, permitted } from "../../http/document.ts";
import type { Bounds, Send } from "../../http/fetch.ts";
import { failed } from "../../http/fetch-error.ts";

/** What an issuer publishes about itself (OpenID Connect Discovery 1.0, section 3). */
export interface Metadata {
  /** Where it was asked for. */
  readonly url: URL;
  readonly document: Readonly<Record<string, unknown>>;
}

/** Characters of an issuer that a message shows. */
const SHOWN = 150;

/**
 * Asks an issuer what it publishes about itself (OpenID Connect Discovery 1.0, section 4).
 *
 * @param url the document's, as `discoveryUrl` has it or as it is configured
 * @param names what the issuer's tokens may call it: the document must name one of them, byte for byte (section 4.3).
 * Else one provider could answer for another
 * @param headers of the request
 * @throws {FetchError} where the document cannot be had, or is another issuer's
 */
export async function discover(
  send: Send,
  url: URL,
  names: readonly string[],
  bounds: Bounds,
  headers: Readonly<Record<string, string>> = {},
): Promise<Metadata> {
  const document = await getObject(send, url, bounds, headers);
  // AD FS calls itself otherwise in its access tokens than in the others.
  const said = [document.issuer, document.access_token_issuer];
  if (said.some((name) => typeof name === "string" && names.includes(name))) return { url, document };
  const expected = names.map(shown).join(" or ");
  throw failed(url, `the document names another issuer: ${shown(document.issuer)}, and not ${expected}`);
}

/**
 * An address that the document names, such as `jwks_uri`.
 *
 * @throws {FetchError} where it names none, or one that may not be asked
 */
export function endpointOf({ url, document }: Metadata, name: string): URL {
  const value = document[name];
  const endpoint = typeof value === "string" ? URL.parse(value) : null;
  if (endpoint === null) throw failed(url, `the document has no ${name}`);
  if (!permitted(endpoint, url)) throw failed(url, `the document's ${name} may not be asked`);
  return endpoint;
}

function shown(issuer: unknown): string {
  if (typeof issuer !== "string") return issuer === undefined ? "none" : "something that is no text";
  return JSON.stringify(issuer.length <= SHOWN ? issuer : `${issuer.slice(0, SHOWN)}...`);
}

/** Where an issuer's document is: a terminating slash is removed before the well-known path is appended (section 4.1). */
export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
}
