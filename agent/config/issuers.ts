import { X509Certificate } from "node:crypto";
import { dirname, resolve } from "node:path";
import { getCACertificates } from "node:tls";
import { isLoopback } from "../http/fetch.ts";
import { type ForwardProxy, parseProxy, proxyOfEnvironment } from "../http/proxy.ts";
import type { OidcIssuer } from "./config.ts";
import { readKind } from "./kinds.ts";
import { readAudiences, readClaim } from "./names.ts";
import { readText } from "./read-file.ts";
import type { Section } from "./section.ts";
import type { Environment } from "./substitute.ts";

const LARGEST_CA = 1 << 20;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/**
 * Reads `issuers`. No two may have one URL: a token belongs to exactly one of them, by its `iss`.
 *
 * @param environment what may name a proxy
 */
export function readIssuers(issuers: Section, environment: Environment): readonly OidcIssuer[] {
  const first = new Map<string, Section>();
  return issuers.keys().map((name) => {
    const section = issuers.section(name);
    const issuer = readIssuer(name, section, environment);
    const before = first.get(issuer.issuer);
    if (issuer.issuer === "") return issuer;
    if (before === undefined) first.set(issuer.issuer, section);
    else section.fault(["issuer"], `a URL of its own: that of the issuer at ${before.place} is the same`);
    return issuer;
  });
}

function readIssuer(name: string, section: Section, environment: Environment): OidcIssuer {
  const claims = section.section("claims");
  checkUrl(section);
  return {
    name,
    type: "oidc",
    issuer: section.text("issuer"),
    audiences: readAudiences(section),
    algorithms: section.texts("algorithms"),
    claims: {
      subject: readClaim(claims, "subject") ?? "",
      groups: readClaim(claims, "groups") ?? "",
      scopes: readClaim(claims, "scopes") ?? "",
      kind: readClaim(claims, "kind"),
      client: readClaim(claims, "client"),
    },
    ...readKind(section),
    tokenTypes: section.texts("token_types"),
    idTokens: section.choice<OidcIssuer["idTokens"]>("id_tokens"),
    clockTolerance: section.milliseconds("clock_tolerance"),
    keys: readKeys(section.section("keys")),
    ca: readCa(section),
    proxy: readProxy(section, environment),
  };
}

/** What stands for a part that differs; in no URL of an issuer does it stand for itself. */
const PLACEHOLDER = /[*{}<>^|]|%7[bd]|%3[ce]|\/:[a-z_]|\$$/i;

/** Where anybody of Microsoft may log in; the tokens name the tenant. */
const EVERY_TENANT = /^https:\/\/login\.microsoftonline\.[a-z]+\/(?:common|organizations|consumers)(?:\/|$)/;

/** OpenID Connect Discovery 1.0, section 2: https without query and fragment. */
function checkUrl(section: Section): void {
  const text = section.optionalText("issuer");
  if (text === undefined) return;
  const url = URL.parse(text);
  const fault = (right: string) => section.fault(["issuer"], right);
  if (url === null) fault("the URL that the tokens have as `iss`, such as https://example.okta.com/oauth2/default");
  else if (url.username !== "" || url.password !== "") fault("a URL without user name and password");
  else if (url.href.includes("?") || url.href.includes("#")) fault("a URL without query and fragment");
  else if (PLACEHOLDER.test(text)) {
    fault("the issuer's whole URL, as its tokens have it: an issuer of its own for each that differs in this");
  } else if (EVERY_TENANT.test(text)) {
    fault("the tenant's own issuer, such as https://login.microsoftonline.com/TENANT/v2.0: tokens name their tenant");
  } else if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    fault("https: whoever stands between could swap the keys; http is for loopback only");
  }
}

function readKeys(section: Section): OidcIssuer["keys"] {
  const keys = {
    refresh: section.milliseconds("refresh"),
    cooldown: section.milliseconds("cooldown"),
    maxStale: section.milliseconds("max_stale"),
    maxSize: section.bytes("max_size"),
    timeout: section.milliseconds("timeout"),
  };
  if (keys.maxStale < keys.refresh) {
    const key = section.keys().includes("max_stale") ? "max_stale" : "refresh";
    section.fault([key], "`max_stale` at least as long as `refresh`: else keys would end before they are fetched anew");
  }
  return keys;
}

function readCa(section: Section): string | undefined {
  const named = section.optionalText("ca");
  if (named === undefined) return undefined;
  if (named === "system") return systemCa(section);
  const { document, files } = section.reading;
  const file = resolve(dirname(document.file), named);
  files.push(file);
  const read = readText(file, LARGEST_CA);
  const problem = "text" in read ? certificateProblem(read.text) : `names a file that cannot be read: ${read.problem}`;
  if (problem !== undefined)
    section.fault(["ca"], "a readable PEM file with certificates", `${section.found(["ca"])} ${problem}`);
  return "text" in read ? read.text : undefined;
}

/** The store of OpenSSL's own place, or of SSL_CERT_FILE and SSL_CERT_DIR; read once a process. */
function systemCa(section: Section): string {
  const certificates = new Set(getCACertificates("system"));
  if (certificates.size === 0)
    section.fault(["ca"], "a PEM file: this system has no certificate authorities of its own");
  return [...certificates].join("\n");
}

/** A fault names no address: it may hold a password. */
function readProxy(section: Section, environment: Environment): ForwardProxy | undefined {
  const named = section.text("proxy");
  if (named === "none") return undefined;
  if (named === "environment") {
    const proxy = proxyOfEnvironment(environment);
    if (proxy === undefined || "url" in proxy) return proxy;
    section.fault([], "HTTPS_PROXY as http://HOST:PORT, or `proxy: none` for this issuer", proxy.fault);
    return undefined;
  }
  const url = parseProxy(named);
  const right = "`environment`, `none`, or a proxy's address, such as http://proxy.example.com:3128";
  if (url === undefined) section.fault(["proxy"], right, "an address that is not http://HOST:PORT");
  return url === undefined ? undefined : { url: url.href, except: [] };
}

function certificateProblem(text: string): string | undefined {
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) return "names a file without a certificate";
  const broken = certificates.findIndex((pem) => !isCertificate(pem));
  return broken < 0 ? undefined : `names a file whose certificate ${broken + 1} is broken`;
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
