import { hash } from "node:crypto";
import type { Principal } from "../../../policies/principal.ts";
import type { Evidence } from "../issuer/evidence.ts";
import type { Finding, Issuer, IssuerReport, IssuerType, Unproven } from "../issuer/issuer.ts";
import type { Refusal } from "../issuer/refusal.ts";
import type { World } from "../issuer/world.ts";
import { type Authority, createAuthorities, reading } from "./authorities.ts";
import { type CertificateIssuer, readCertificateIssuer } from "./section.ts";
import { isSignedBy, strongKey } from "./signature.ts";
import { claimedDomain, subjectOf } from "./suitability.ts";
import { type Certificate, readCertificate } from "./x509.ts";

/** Certificates that clients show in the TLS handshake: HAProxy has checked that they have the key. */
export const CLIENT_CERTIFICATE: IssuerType<CertificateIssuer> = {
  read: readCertificateIssuer,
  revocable: ["serial"],
  create: (config, world) => new CertificateVerifier(config, world),
};

const UNAVAILABLE: Unproven = { reason: "issuer-unavailable" };

/** Each read once, for all issuers that are asked whose it is. */
const READ = new WeakMap<Evidence, Certificate | undefined>();

function certificateOf(evidence: Evidence): Certificate | undefined {
  if (!READ.has(evidence)) READ.set(evidence, reading(readCertificate, evidence.bytes));
  return READ.get(evidence);
}

/** Keys of one name that are tried: an authority that was renewed has two. */
const MOST_TRIED = 8;

/**
 * One issuer of type `client-certificate`. All is known at once: who checks a new certificate waits for nobody, some
 * 200 us, and only those come so far that HAProxy has verified itself.
 */
class CertificateVerifier implements Issuer {
  readonly config: CertificateIssuer;
  /** Whatever its refusals rest on is in its configuration: with another one it is another issuer. */
  readonly version = 0;
  readonly patience = 0;
  readonly #authorities: readonly Authority[];
  readonly #clock: () => number;

  constructor(config: CertificateIssuer, { clock }: World) {
    this.config = config;
    this.#clock = clock;
    this.#authorities = createAuthorities(config);
  }

  owns(evidence: Evidence): boolean {
    const certificate = certificateOf(evidence);
    if (certificate === undefined) return false;
    const domain = claimedDomain(certificate);
    if (this.config.identity === "spiffe") return domain === this.config.trustDomain;
    return domain === undefined && this.#authorities.some((authority) => isNamed(authority, certificate));
  }

  verify(evidence: Evidence, now: number): Finding {
    const certificate = certificateOf(evidence);
    if (certificate === undefined) return { reason: "credential-malformed", lasting: true };
    if (now < certificate.from) return { reason: "token-not-yet-valid" };
    if (now >= certificate.until) return { reason: "token-expired" };
    const authority = this.#authorityOf(certificate, now);
    if ("reason" in authority) return { ...authority, lasting: true };
    const subject = subjectOf(certificate, this.config);
    if (typeof subject !== "string") return { ...subject, lasting: true };
    if (!isInForce(authority, now)) return UNAVAILABLE;
    if (authority.revocations?.serials.has(certificate.serial)) return { reason: "credential-revoked", lasting: true };
    return { principal: this.#principal(certificate, subject), basis: authority };
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  status(): IssuerReport {
    const now = this.#clock();
    const lost = this.#authorities.filter((authority) => !isInForce(authority, now));
    return {
      identities: this.#authorities.reduce((sum, { identities }) => sum + identities, 0),
      succeededAt: undefined,
      failedAt: undefined,
      error: lost.length > 0 ? errorOf(lost, this.#authorities) : undefined,
      details: { authorities: this.#authorities.length - lost.length },
    };
  }

  close(): void {
    for (const authority of this.#authorities) authority.until = 0;
  }

  /** Whose key has signed it, rather one in force: what it says of that itself is only where to look. */
  #authorityOf(certificate: Certificate, now: number): Authority | Refusal {
    const named = this.#authorities
      .filter((authority) => isNamed(authority, certificate))
      .sort((a, b) => Number(isInForce(b, now)) - Number(isInForce(a, now)))
      .slice(0, MOST_TRIED);
    if (named.length === 0) return { reason: "issuer-unknown" };
    if (strongKey(certificate.publicKey) === undefined) return { reason: "key-weak" };
    return named.find(({ key }) => isSignedBy(certificate, key)) ?? { reason: "signature-invalid" };
  }

  #principal(certificate: Certificate, subject: string): Principal {
    const { name, kind, audiences, identity } = this.config;
    return Object.freeze({
      issuer: name,
      subject,
      kind,
      groups: NONE,
      scopes: NONE,
      audiences,
      claims: claimsOf(certificate),
      client: undefined,
      actor: NONE,
      arn: undefined,
      uri: identity === "spiffe" ? subject : undefined,
      authenticatedAt: certificate.from,
      expiresAt: certificate.until,
      bound: "",
    });
  }
}

const NONE = Object.freeze([]);

/** Whether an authority may be the one that a certificate names. */
function isNamed({ certificate: { subject, keyId } }: Authority, { issuer, authorityKeyId }: Certificate): boolean {
  if (!subject.equals(issuer)) return false;
  return keyId === undefined || authorityKeyId === undefined || keyId.equals(authorityKeyId);
}

/** Whether it may vouch for anybody at this instant: it is valid, and so is its list, where lists are asked for. */
function isInForce({ certificate, revocations, until }: Authority, now: number): boolean {
  return now >= Math.max(certificate.from, revocations?.from ?? 0) && now < until;
}

function errorOf(lost: readonly Authority[], all: readonly Authority[]): string {
  return `${lost.length} of ${all.length} authorities cannot vouch for anybody now: the certificate or the list of revocations is missing, over, or not valid yet`;
}

/** What a certificate says, for conditions. Dates are seconds since the epoch, as those of tokens are. */
function claimsOf(certificate: Certificate): Principal["claims"] {
  const { names, serial, issuerText, subjectText, from, until, der } = certificate;
  const lists = Object.entries(names).map(([kind, list]) => [kind, Object.freeze([...list])]);
  return Object.freeze({
    ...Object.fromEntries(lists),
    serial: serial.replace(/^00/, ""),
    issuer: issuerText,
    subject: subjectText,
    nbf: from / 1000,
    exp: until / 1000,
    "x5t#S256": hash("sha256", der, "base64url"),
  });
}
