import { hash } from "node:crypto";
import { dirname, resolve } from "node:path";
import type { Kind } from "../../../policies/principal.ts";
import { spiffeId } from "../../../policies/spiffe-id.ts";
import type { IssuerConfig } from "../../config/config.ts";
import { readText } from "../../config/files/read-file.ts";
import { readAudiences } from "../../config/names.ts";
import type { Section } from "../../config/section.ts";
import { type AuthorityFiles, type FileFault, readAuthorities, readLists } from "./authorities.ts";
import { readCertificate } from "./x509.ts";

/** What of a certificate says whose it is. */
export type CertificateName = "spiffe" | "dns" | "subject";

/** Authorities whose certificates clients show in the TLS handshake with HAProxy. */
export interface CertificateIssuer extends IssuerConfig, AuthorityFiles {
  readonly type: "client-certificate";
  readonly identity: CertificateName;
  /** Of `spiffe`; empty for the others. */
  readonly trustDomain: string;
  readonly kind: Kind;
}

const LARGEST_CA = 1 << 20;
const LARGEST_CRL = 8 << 20;

export function isCertificateIssuer(issuer: IssuerConfig): issuer is CertificateIssuer {
  return issuer.type === "client-certificate";
}

/** Reads the section of an issuer of this type. */
export function readCertificateIssuer(name: string, section: Section): CertificateIssuer {
  const identity = section.choice<CertificateName>("identity");
  const kind = section.choice<Kind>("kind");
  const trustDomain = readTrustDomain(section, identity);
  const ca = readFile(section, "ca", LARGEST_CA, readAuthorities) ?? [];
  if (identity === "spiffe") checkDomains(section, ca, trustDomain);
  return {
    name,
    type: "client-certificate",
    issuer: identity === "spiffe" ? `spiffe://${trustDomain}` : `${identity} of ${name}`,
    credentials: ["client-certificate"],
    marks: marksOf(ca, trustDomain),
    audiences: readAudiences(section),
    kinds: [kind],
    trustDomains: identity === "spiffe" ? [trustDomain] : [],
    identity,
    trustDomain,
    ca,
    crl: readFile(section, "crl", LARGEST_CRL, (text) => readLists(text, ca)),
    kind,
  };
}

function readTrustDomain(section: Section, identity: CertificateName): string {
  const written = section.optionalText("trust_domain");
  if (identity === "spiffe") {
    const right = "`trust_domain`, the part of the SPIFFE ids behind `spiffe://`: these authorities vouch for no other";
    if (written === undefined) section.fault([], right, "`identity: spiffe` without a `trust_domain`");
    return written ?? "";
  }
  if (written !== undefined) section.fault(["trust_domain"], "no trust domain: only `identity: spiffe` has one");
  return "";
}

/** An authority's own SPIFFE id names the domain that it signs for (X509-SVID, section 3.2). */
function checkDomains(section: Section, ca: readonly string[], trustDomain: string): void {
  for (const [index, certificate] of ca.entries()) {
    const { uri } = readCertificate(Buffer.from(certificate, "base64")).names;
    const other = uri.map(spiffeId).find((id) => id !== undefined && id.trustDomain !== trustDomain);
    if (other === undefined) continue;
    const found = `a file whose certificate ${index + 1} is that of the trust domain ${other.trustDomain}`;
    section.fault(["ca"], "the authorities of this trust domain alone, and an issuer of its own for each other", found);
  }
}

/**
 * An authority's key, which it may keep when it is renewed; and by its trust domain an SVID is told from whatever else
 * the same authority signs.
 */
function marksOf(ca: readonly string[], trustDomain: string): Readonly<Record<string, readonly string[]>> {
  const keys = ca.map((certificate) => readCertificate(Buffer.from(certificate, "base64")).publicKey);
  const sort = trustDomain === "" ? "names" : "SVIDs";
  const signed = keys.map((key) => `${sort} signed with ${hash("sha256", key, "base64url")}`);
  return { trust_domain: trustDomain === "" ? [] : [trustDomain], ca: [...new Set(signed)] };
}

/** What a PEM file holds; its name is relative to the configuration, and it is watched. */
function readFile(
  section: Section,
  key: "ca" | "crl",
  limit: number,
  read: (text: string) => readonly string[] | FileFault,
): readonly string[] | undefined {
  const named = section.optionalText(key);
  if (named === undefined) return undefined;
  const { document, files } = section.reading;
  const file = resolve(dirname(document.file), named);
  files.push(file);
  const text = readText(file, limit);
  const content = "text" in text ? read(text.text) : { fault: `that cannot be read: ${text.problem}` };
  if (!("fault" in content)) return content;
  section.fault([key], RIGHT[key], `${section.found([key])}, a file ${content.fault}`);
  return undefined;
}

const RIGHT = {
  ca: "a PEM file with the certificates of the authorities that sign the clients' own, and nothing else",
  crl: "a PEM file with a list of revocations (CRL) of each authority in `ca`, whole and signed by it",
};
