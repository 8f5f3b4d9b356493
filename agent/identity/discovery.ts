import { type Bounds, FetchError, failed, type Get, getJson, isLoopback, permitted } from "./fetch.ts";

/** Of an issuer in a failure, in characters. */
const LONGEST_NAME = 100;

/**
 * Where an issuer publishes its keys (OpenID Connect Discovery 1.0, section 4).
 *
 * @returns the document's `jwks_uri`
 * @throws {FetchError} where the document cannot be had, is another issuer's, or names no address that may be asked
 */
export async function discover(get: Get, issuer: string, bounds: Bounds): Promise<URL> {
  const url = discoveryUrl(issuer);
  const document = await getJson(get, url, bounds);
  if (typeof document !== "object" || document === null) throw failed(url, "the document is not an object");
  // Section 4.3: identical, byte for byte. Else one provider could answer for another.
  const named = "issuer" in document ? document.issuer : undefined;
  if (named !== issuer) throw failed(url, `the document names another issuer: ${nameOf(named)} instead of ${issuer}`);
  const jwks = "jwks_uri" in document && typeof document.jwks_uri === "string" ? URL.parse(document.jwks_uri) : null;
  if (jwks === null) throw failed(url, "the document has no jwks_uri");
  if (!permitted(jwks, url)) throw failed(url, "the document's jwks_uri may not be asked");
  return jwks;
}

function nameOf(issuer: unknown): string {
  return typeof issuer === "string" ? issuer.slice(0, LONGEST_NAME) : "none";
}

/** Section 4.1: a terminating slash is removed before the well-known path is appended. */
function discoveryUrl(issuer: string): URL {
  const url = URL.parse(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  const plain = url?.protocol === "http:" && !isLoopback(url.hostname);
  if (url === null || plain || !permitted(url, url)) throw new FetchError("the issuer is not an https address");
  return url;
}
