import { getObject, permitted } from "../../http/document.ts";
import { type Bounds, isLoopback, type Send } from "../../http/fetch.ts";
import { FetchError, failed } from "../../http/fetch-error.ts";

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
 * @throws {FetchError} where the document cannot be had, or is another issuer's
 */
export async function discover(send: Send, issuer: string, bounds: Bounds): Promise<Metadata> {
  const url = discoveryUrl(issuer);
  const document = await getObject(send, url, bounds);
  // Section 4.3: identical, byte for byte. Else one provider could answer for another.
  if (document.issuer !== issuer) {
    throw failed(url, `the document names another issuer: ${shown(document.issuer)}, and not ${shown(issuer)}`);
  }
  return { url, document };
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

/** Section 4.1: a terminating slash is removed before the well-known path is appended. */
function discoveryUrl(issuer: string): URL {
  const url = URL.parse(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  const plain = url?.protocol === "http:" && !isLoopback(url.hostname);
  if (url === null || plain || !permitted(url, url)) throw new FetchError("the issuer is not an https address");
  return url;
}
