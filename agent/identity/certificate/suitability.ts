import { spiffeId } from "../../../policies/spiffe-id.ts";
import { malformed, missing } from "../claims/claims.ts";
import type { Refusal } from "../issuer/refusal.ts";
import type { CertificateName } from "./section.ts";
import { type Certificate, EXTENSION, PURPOSE, USAGE } from "./x509.ts";

/** The part of a certificate that says whose it is, by an issuer's configuration. */
export interface Naming {
  readonly identity: CertificateName;
  readonly trustDomain: string;
}

/** Extensions of a client's certificate that are understood here. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXTENSION.keyId,
  EXTENSION.usage,
  EXTENSION.names,
  EXTENSION.basicConstraints,
  EXTENSION.policies,
  EXTENSION.authorityKeyId,
  EXTENSION.purposes,
]);

const NAMES = "subjectAltName";
const LARGEST_SUBJECT = 1024;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
const DNS_NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** The trust domain that a certificate claims by its first URI; undefined where that is no SPIFFE id. */
export function claimedDomain({ names: { uri } }: Certificate): string | undefined {
  return /^spiffe:\/\/([^/]*)/i.exec(uri[0] ?? "")?.[1];
}

/** Whose it is, or why it is nobody's. @returns the subject, in its one spelling */
export function subjectOf(certificate: Certificate, naming: Naming): string | Refusal {
  return unsuitable(certificate, naming) ?? NAMED[naming.identity](certificate, naming);
}

function unsuitable(certificate: Certificate, { identity }: Naming): Refusal | undefined {
  const { authority, usage, critical, subject, purposes } = certificate;
  if (authority) return unfit("basicConstraints");
  if ([...critical].some((id) => !UNDERSTOOD.has(id))) return unfit("extensions");
  if (usage !== undefined && !isForSigning(usage)) return unfit("keyUsage");
  // X509-SVID, section 4.3, demands what RFC 5280 leaves open.
  if (identity === "spiffe" && !critical.has(EXTENSION.usage)) return unfit("keyUsage");
  if (!isForClients(purposes, identity)) return unfit("extendedKeyUsage");
  // RFC 5280, section 4.1.2.6: who is named there alone. The empty name is an empty SEQUENCE, two octets.
  return subject.length === 2 && !critical.has(EXTENSION.names) ? unfit(NAMES) : undefined;
}

function unfit(claim: string): Refusal {
  return { reason: "certificate-unsuitable", claim };
}

/** A client signs the handshake, and no certificates. */
function isForSigning(usage: NonNullable<Certificate["usage"]>): boolean {
  if (usage.has(USAGE.keyCertSign) || usage.has(USAGE.crlSign)) return false;
  return usage.has(USAGE.digitalSignature);
}

/** An SVID may leave it out, and else is for both sides (X509-SVID, section 4.4). */
function isForClients(purposes: Certificate["purposes"], identity: CertificateName): boolean {
  if (identity !== "spiffe") return purposes?.includes(PURPOSE.clientAuth) === true;
  return purposes === undefined || [PURPOSE.clientAuth, PURPOSE.serverAuth].every((each) => purposes.includes(each));
}

/** How each kind of name is read. */
const NAMED: Readonly<Record<CertificateName, (certificate: Certificate, naming: Naming) => string | Refusal>> = {
  /** X509-SVID, sections 2 and 5.2: one URI, which is the id of a workload in this trust domain. */
  spiffe({ names: { uri } }, { trustDomain }) {
    const [text, ...others] = uri;
    if (text === undefined) return missing(NAMES);
    const id = others.length === 0 ? spiffeId(text) : undefined;
    return id?.trustDomain === trustDomain && id.path !== "" ? text : malformed(NAMES);
  },
  dns({ names: { dns } }) {
    const [text, ...others] = dns;
    if (text === undefined) return missing(NAMES);
    const name = text.toLowerCase();
    return others.length === 0 && DNS_NAME.test(name) ? name : malformed(NAMES);
  },
  subject({ subjectText }) {
    if (subjectText === "") return missing("subject");
    return subjectText.length <= LARGEST_SUBJECT && !CONTROL.test(subjectText) ? subjectText : malformed("subject");
  },
};
