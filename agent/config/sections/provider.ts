import { X509Certificate } from "node:crypto";
import { dirname, resolve } from "node:path";
import { getCACertificates } from "node:tls";
import { type ForwardProxy, parseProxy, proxyOfEnvironment } from "../../http/proxy.ts";
import { readText } from "../files/read-file.ts";
import type { Environment } from "../files/substitute.ts";
import type { Section } from "../section.ts";

const LARGEST_CA = 1 << 20;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Reads `ca`: PEM text of the certificate authorities to trust; undefined for those that Node brings. */
export function readCa(section: Section): string | undefined {
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

/** Reads `proxy`: what a provider is asked through. A fault names no address: it may hold a password. */
export function readProxy(section: Section, environment: Environment): ForwardProxy | undefined {
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
