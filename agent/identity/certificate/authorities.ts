import type { KeyObject } from "node:crypto";
import { pemBlocks } from "../../config/files/pem.ts";
import type { Basis } from "../issuer/issuer.ts";
import { DerError } from "./der.ts";
import { type Revocations, readRevocations } from "./revocations.ts";
import { isSignedBy, strongKey } from "./signature.ts";
import { type Certificate, EXTENSION, readCertificate, USAGE } from "./x509.ts";

/** A certificate whose key may sign those of clients, with what it has taken back. Identities rest on it. */
export interface Authority extends Basis {
  readonly certificate: Certificate;
  readonly key: KeyObject;
  readonly revocations: Revocations | undefined;
}

/** What authorities are made from: DER in base64, which a configuration can hold. */
export interface AuthorityFiles {
  readonly ca: readonly string[];
  /** Undefined where nobody asks what was taken back. */
  readonly crl: readonly string[] | undefined;
}

/** A fault's words for what was found in a file, which follow "a file". */
export interface FileFault {
  readonly fault: string;
}

/** Of an authority's extensions those that are understood here, and those that HAProxy holds a chain to. */
const UNDERSTOOD: ReadonlySet<string> = new Set(Object.values(EXTENSION));

/** The certificates of a PEM file, each of an authority. */
export function readAuthorities(text: string): readonly string[] | FileFault {
  const blocks = pemBlocks(text, "CERTIFICATE");
  if (typeof blocks === "string") return { fault: blocks };
  for (const [index, block] of blocks.entries()) {
    const fault = authorityFault(block);
    if (fault !== undefined) return { fault: `whose certificate ${index + 1} ${fault}` };
  }
  return blocks.map((block) => block.toString("base64"));
}

/** The lists of a PEM file, each of one of these authorities. @param ca as `readAuthorities` has given them */
export function readLists(text: string, ca: readonly string[]): readonly string[] | FileFault {
  const blocks = pemBlocks(text, "X509 CRL");
  if (typeof blocks === "string") return { fault: blocks };
  const authorities = createAuthorities({ ca, crl: undefined });
  for (const [index, block] of blocks.entries()) {
    const list = reading(readRevocations, block);
    if (list === undefined) {
      return {
        fault: `whose list ${index + 1} is broken, does not say when the next one comes, or is about some certificates only`,
      };
    }
    if (!authorities.some((authority) => isOf(list, authority)))
      return { fault: `whose list ${index + 1} is signed by none of the authorities in \`ca\`` };
  }
  return blocks.map((block) => block.toString("base64"));
}

/** @param files which were found to be sound @returns in no order */
export function createAuthorities({ ca, crl }: AuthorityFiles): readonly Authority[] {
  const lists = (crl ?? []).map((list) => readRevocations(Buffer.from(list, "base64")));
  return ca.map((written) => {
    const certificate = readCertificate(Buffer.from(written, "base64"));
    const key = strongKey(certificate.publicKey);
    if (key === undefined) throw new Error("an authority with a weak key, which the configuration does not allow");
    const own = lists.filter((list) => isOf(list, { certificate, key }));
    const revocations = own.sort((a, b) => b.from - a.from)[0];
    // Where lists are asked for, an authority without one vouches for nobody.
    const last = crl === undefined ? certificate.until : (revocations?.until ?? 0);
    return { certificate, key, revocations, until: Math.min(certificate.until, last), identities: 0 };
  });
}

/** RFC 5280, section 6.3.3: the same name, and the same key, which is for signing lists. */
function isOf(list: Revocations, { certificate, key }: Pick<Authority, "certificate" | "key">): boolean {
  if (!list.issuer.equals(certificate.subject) || certificate.usage?.has(USAGE.crlSign) === false) return false;
  return isSignedBy(list, key);
}

/** Why a certificate is no authority's, in words that follow it. */
function authorityFault(der: Buffer): string | undefined {
  const certificate = reading(readCertificate, der);
  if (certificate === undefined) return "is broken";
  if (!certificate.authority) return "is no authority's: its basicConstraints do not say cA";
  if (certificate.usage?.has(USAGE.keyCertSign) === false) return "is not for signing others: its keyUsage says so";
  const strange = [...certificate.critical].find((id) => !UNDERSTOOD.has(id));
  if (strange !== undefined) return `has the critical extension ${strange}, which is not known here`;
  return strongKey(certificate.publicKey) === undefined
    ? "has a key that is weak, or of a kind that is not known here"
    : undefined;
}

/** What is read; undefined where it is broken. */
export function reading<T>(read: (der: Buffer) => T, der: Buffer): T | undefined {
  try {
    return read(der);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}
