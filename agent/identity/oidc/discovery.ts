import { failed, getObject, permitted } from "../../http/document.ts";
import { type Bounds, FetchError, type Get, isLoopback } from "../../http/fetch.ts";

/** Characters of an issuer that a message shows. */
const SHOWN = 150;

/**
 * Where an issuer publishes its keys (OpenID Connect Discovery 1.0, section 4).
 *
 * @returns the document's `jwks_uri`
 * @throws {FetchError} where the document cannot be had, is another issuer's, or names no address that may be asked
 */
export async function discover(get: Get, issuer: string, bounds: Bounds): Promise<URL> {
  const url = discoveryUrl(issuer);
  const document = await getObject(get, url, bounds);
  // Section 4.3: identical, byte for byte. Else one provider could answer for another.
  if (document.issuer !== issuer) {
    throw failed(url, `the document names another issuer: ${shown(document.issuer)}, and not ${shown(issuer)}`);
  }
  const jwks = typeof document.jwks_uri === "string" ? URL.parse(document.jwks_uri) : null;
  if (jwks === null) throw failed(url, "the document has no jwks_uri");
  if (!permitted(jwks, url)) throw failed(url, "the document's jwks_uri may not be asked");
  return jwks;
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
