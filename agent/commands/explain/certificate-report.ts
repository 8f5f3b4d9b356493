import { X509Certificate } from "node:crypto";
import type { Reason } from "../../../policies/decision.ts";
import { type CertificateIssuer, isCertificateIssuer } from "../../identity/certificate/section.ts";
import { plainText } from "../../telemetry/safe-text.ts";
import type { Refused } from "./token-report.ts";

const LONGEST = 600;

/** What was found in a client's certificate that proves nobody, and what was expected. */
export function certificateReport(der: Buffer, { refusal, issuers }: Omit<Refused, "text">): readonly string[] {
  const certificate = readable(der);
  if (certificate === undefined) return ["it cannot be read: no X.509 certificate"];
  const { reason, claim } = refusal;
  const lines = FINDINGS[reason]?.(certificate, issuers.filter(isCertificateIssuer), claim) ?? [];
  return lines.map((line) => plainText(line, LONGEST));
}

function readable(der: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(der);
  } catch {
    return undefined;
  }
}

type Finding = (
  certificate: X509Certificate,
  issuers: readonly CertificateIssuer[],
  claim: string | undefined,
) => readonly string[];

const dates: Finding = ({ validFrom, validTo }) => [`it is valid from ${validFrom} until ${validTo}`];

const FINDINGS: Readonly<Partial<Record<Reason, Finding>>> = {
  "token-expired": dates,
  "token-not-yet-valid": dates,
  "issuer-unknown": ({ issuer, subjectAltName = "none" }, issuers) => [
    `its issuer is ${oneLine(issuer)}, its names: ${subjectAltName}`,
    ...issuers.map(expected),
    ...(issuers.length > 0 ? [] : ["no issuer of the configuration is of the type `client-certificate`"]),
  ],
  "signature-invalid": ({ issuer }) => [
    `an authority in \`ca\` has the name ${oneLine(issuer)}, and has not signed it`,
  ],
  "certificate-unsuitable": (_certificate, _issuers, claim) => [
    `${claim ?? "what it says"} is not that of a client's certificate`,
  ],
  "credential-revoked": ({ serialNumber }) => [
    `its serial number ${serialNumber.toLowerCase()} was taken back: in the file of \`revoked\`, or in the issuer's \`crl\``,
  ],
};

function expected({ name, identity, trustDomain, ca }: CertificateIssuer): string {
  const domain = identity === "spiffe" ? `ids in spiffe://${trustDomain}, ` : "";
  const authorities = ca.map((text) => oneLine(new X509Certificate(Buffer.from(text, "base64")).subject));
  return `${name} takes ${domain}certificates signed by: ${authorities.join("; ")}`;
}

function oneLine(names: string | undefined): string {
  return JSON.stringify((names ?? "").split("\n").join(", "));
}
