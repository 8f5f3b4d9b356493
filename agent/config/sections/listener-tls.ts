import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { ListenerTls } from "../../net/address.ts";
import { pemBlocks, privateKeyIn } from "../files/pem.ts";
import { namedText } from "../named-file.ts";
import type { Section } from "../section.ts";

const LARGEST = 256 << 10;

const RIGHT = {
  cert: "a PEM file with the agent's certificate, those between it and HAProxy's authority behind it, and nothing else",
  key: "a PEM file with the private key of the certificate, not encrypted",
  client_ca: "a PEM file with the certificates of the authorities that sign HAProxy's, and nothing else",
};
type File = keyof typeof RIGHT;

/** Reads `tls` of a listener, and its files, which are watched. @returns undefined after a fault */
export function readListenerTls(section: Section): ListenerTls | undefined {
  const [cert, key, clientCa] = [
    readCertificates(section, "cert"),
    namedText(section, "key", RIGHT.key, LARGEST),
    readAuthorities(section),
  ];
  if (cert === undefined || key === undefined || clientCa === undefined) return undefined;
  const tls = { cert, key, clientCa, clientNames: section.texts("client_names") };
  return isPair(section, tls) && isTaken(section, tls) ? tls : undefined;
}

function isPair(section: Section, { cert, key }: ListenerTls): boolean {
  const secret = privateKeyIn(key);
  const isIts = secret !== undefined && new X509Certificate(cert).checkPrivateKey(secret);
  if (!isIts) section.fault(["key"], RIGHT.key, `${section.found(["key"])} names a file without it`);
  return isIts;
}

/** OpenSSL has a last word, on keys that are too weak for one. */
function isTaken(section: Section, { cert, key, clientCa }: ListenerTls): boolean {
  try {
    createSecureContext({ cert, key, ca: clientCa });
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    section.fault([], "files that OpenSSL takes", `files that OpenSSL does not take: ${code}`);
    return false;
  }
}

function readAuthorities(section: Section): string | undefined {
  const text = readCertificates(section, "client_ca");
  if (text === undefined) return undefined;
  const other = certificatesOf(text).findIndex(({ ca }) => !ca);
  if (other < 0) return text;
  const found = `${section.found(["client_ca"])} names a file whose certificate ${other + 1} is no authority's`;
  section.fault(["client_ca"], RIGHT.client_ca, found);
  return undefined;
}

/** The text of a file with certificates alone. */
function readCertificates(section: Section, key: File): string | undefined {
  const text = namedText(section, key, RIGHT[key], LARGEST);
  if (text === undefined) return undefined;
  const fault = certificatesFault(text);
  if (fault === undefined) return text;
  section.fault([key], RIGHT[key], `${section.found([key])} names a file ${fault}`);
  return undefined;
}

function certificatesFault(text: string): string | undefined {
  const blocks = pemBlocks(text, "CERTIFICATE");
  if (typeof blocks === "string") return blocks;
  try {
    certificatesOf(text);
    return undefined;
  } catch {
    return "with a certificate that is broken";
  }
}

function certificatesOf(text: string): readonly X509Certificate[] {
  const blocks = pemBlocks(text, "CERTIFICATE");
  return typeof blocks === "string" ? [] : blocks.map((block) => new X509Certificate(block));
}
