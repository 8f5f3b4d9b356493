import { hasPlaceholder } from "../../../policies/signs.ts";
import type { Section } from "../../config/section.ts";
import { isLoopback } from "../../http/fetch.ts";

/** Where anybody of Microsoft may log in; the tokens name the tenant. */
const EVERY_TENANT = /^https:\/\/login\.microsoftonline\.[a-z]+\/(?:common|organizations|consumers)(?:\/|$)/;

const SPIFFE = "spiffe://";
/** SPIFFE ID, section 2.1: the whole of a name without a path. */
const TRUST_DOMAIN = /^spiffe:\/\/[a-z0-9._-]{1,247}$/;

const URL_WORDS =
  'the URL that its tokens have as `iss`, byte for byte, such as "https://example.okta.com/oauth2/default"';

/** Whether a name is that of a SPIFFE trust domain: its tokens may have no `iss`, but a `sub` below it. */
export function isTrustDomain(name: string): boolean {
  return TRUST_DOMAIN.test(name);
}

/**
 * Checks all that an issuer is called.
 *
 * @param derived whether its discovery document is found by the first of them
 */
export function checkNames(section: Section, derived: boolean): void {
  const list = Array.isArray(section.value("issuer"));
  for (const [index, name] of section.texts("issuer").entries()) {
    const right = faultOf(name) ?? (derived && index === 0 ? derivationFault(name) : undefined);
    if (right !== undefined) section.fault(list ? ["issuer", index] : ["issuer"], right);
  }
}

/** What would be right for a name that no token can have. */
function faultOf(name: string): string | undefined {
  const url = URL.parse(name);
  if (url === null && name.includes("://")) return URL_WORDS;
  if (url !== null && (url.username !== "" || url.password !== "")) return "a URL without user name and password";
  if (/[?#]/.test(url?.href ?? name)) return "a URL without query and fragment";
  if (hasPlaceholder(name)) {
    return "the issuer's whole URL, as its tokens have it: an issuer of its own for each that differs in this";
  }
  if (EVERY_TENANT.test(name)) {
    return "the tenant's own issuer, such as https://login.microsoftonline.com/TENANT/v2.0: tokens name their tenant";
  }
  const domain = name.toLowerCase().startsWith(SPIFFE);
  return domain && !isTrustDomain(name)
    ? "a SPIFFE trust domain without a path, such as spiffe://example.org"
    : undefined;
}

/** OpenID Connect Discovery 1.0, section 2: https. */
function derivationFault(name: string): string | undefined {
  if (name.startsWith(SPIFFE))
    return "`keys.url` or `keys.file` beside it: a trust domain does not say where its bundle is";
  const url = URL.parse(name);
  if (url === null || !/^https?:$/.test(url.protocol)) return URL_WORDS;
  if (url.protocol !== "http:" || isLoopback(url.hostname)) return undefined;
  return "https: whoever stands between could swap the keys; http is for loopback only";
}
