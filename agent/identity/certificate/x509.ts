import { constructedTag, contextTag, Der, DerError, TAG } from "./der.ts";
import { distinguishedName, type Names, readNames } from "./names.ts";

/** Bits of a key's usage (RFC 5280, section 4.2.1.3). */
export const USAGE = { digitalSignature: 0, keyCertSign: 5, crlSign: 6 } as const;

/** Purposes of a key (RFC 5280, section 4.2.1.12). */
export const PURPOSE = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" } as const;

/** What an authority has signed: a certificate or a list of revocations. Views on the bytes that were read. */
export interface Signed {
  /** What the signature is over. */
  readonly body: Buffer;
  /** The algorithm whole, with its parameters. */
  readonly algorithm: Buffer;
  readonly signature: Buffer;
}

/** A certificate of version 3, read and not verified (RFC 5280, section 4.1). Dates are milliseconds since the epoch. */
export interface Certificate extends Signed {
  readonly der: Buffer;
  /** In hexadecimal digits, as its octets are. */
  readonly serial: string;
  /** Names as DER: they are compared octet by octet. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** The same as texts (RFC 4514). */
  readonly issuerText: string;
  readonly subjectText: string;
  readonly from: number;
  /** From here on it is over. */
  readonly until: number;
  /** SubjectPublicKeyInfo as DER. */
  readonly publicKey: Buffer;
  /** Whether it is an authority's. */
  readonly authority: boolean;
  /** Bits of `USAGE`; undefined where it does not say. */
  readonly usage: ReadonlySet<number> | undefined;
  /** Object identifiers, as in `PURPOSE`; undefined where it does not say. */
  readonly purposes: readonly string[] | undefined;
  readonly names: Names;
  readonly keyId: Buffer | undefined;
  readonly authorityKeyId: Buffer | undefined;
  /** Object identifiers of the extensions that must be understood. */
  readonly critical: ReadonlySet<string>;
}

/** Object identifiers of extensions (RFC 5280, section 4.2.1). */
export const EXTENSION = {
  keyId: "2.5.29.14",
  usage: "2.5.29.15",
  names: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  policies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  authorityKeyId: "2.5.29.35",
  policyConstraints: "2.5.29.36",
  purposes: "2.5.29.37",
  inhibitAnyPolicy: "2.5.29.54",
} as const;

/** More than one certificate ever has. */
const MOST_EXTENSIONS = 64;
const LONGEST_SERIAL = 20;

export interface Extension {
  readonly critical: boolean;
  readonly value: Buffer;
}

/**
 * Reads a certificate that fills its bytes.
 *
 * @param der kept: what is read are views on it
 * @throws DerError where it is none, or one that two programs could read differently
 */
export function readCertificate(der: Buffer): Certificate {
  const whole = new Der(der);
  const signed = readSigned(whole.inside(TAG.sequence));
  whole.finish();
  const body = new Der(signed.body).inside(TAG.sequence);
  const version = body.inside(constructedTag(0));
  if (version.small() !== 2) throw new DerError("version 3");
  version.finish();
  const serial = body.integer();
  if (serial.length > 2 * LONGEST_SERIAL + 2) throw new DerError("a serial number");
  sameAlgorithm(body, signed);
  const issuer = body.whole(TAG.sequence);
  const validity = body.inside(TAG.sequence);
  const [from, until] = [validity.time(), validity.time()];
  validity.finish();
  const subject = body.whole(TAG.sequence);
  const publicKey = readPublicKey(body);
  // Unique identifiers, which may stand here, no authority gives any more (section 4.1.2.8).
  const extensions = readExtensions(body.inside(constructedTag(3)));
  body.finish();
  const texts = { issuerText: distinguishedName(issuer), subjectText: distinguishedName(subject) };
  return { der, ...signed, serial, issuer, subject, ...texts, from, until, publicKey, ...readKnown(extensions) };
}

/** An algorithm and whole octets; what they mean is told where a key is made of it. */
function readPublicKey(body: Der): Buffer {
  const whole = body.whole(TAG.sequence);
  const info = new Der(whole).inside(TAG.sequence);
  info.inside(TAG.sequence);
  info.bits();
  info.finish();
  return whole;
}

/** Certificates and lists of revocations are made alike: what is signed, by what, and the signature. */
export function readSigned(outer: Der): Signed {
  const body = outer.whole(TAG.sequence);
  const algorithm = outer.whole(TAG.sequence);
  const signature = outer.bits();
  outer.finish();
  return { body, algorithm, signature };
}

/** The algorithm is named twice, and only once is it signed (section 4.1.1.2). */
export function sameAlgorithm(body: Der, { algorithm }: Signed): void {
  if (!body.whole(TAG.sequence).equals(algorithm)) throw new DerError("one algorithm");
}

/** Extensions by their object identifiers, each once. */
export function readExtensions(outer: Der): ReadonlyMap<string, Extension> {
  const list = outer.inside(TAG.sequence);
  outer.finish();
  const extensions = new Map<string, Extension>();
  while (!list.done) {
    const one = list.inside(TAG.sequence);
    const id = one.oid();
    const critical = one.tag === TAG.boolean && one.boolean();
    const value = one.content(TAG.octetString);
    one.finish();
    if (extensions.has(id) || extensions.size >= MOST_EXTENSIONS) throw new DerError("an extension once");
    extensions.set(id, { critical, value });
  }
  return extensions;
}

function readKnown(extensions: ReadonlyMap<string, Extension>) {
  const read = <T>(id: string, as: (value: Der) => T): T | undefined => {
    const extension = extensions.get(id);
    if (extension === undefined) return undefined;
    const value = new Der(extension.value);
    const content = as(value);
    value.finish();
    return content;
  };
  return {
    authority: read(EXTENSION.basicConstraints, readAuthority) ?? false,
    usage: read(EXTENSION.usage, (value) => value.namedBits()),
    purposes: read(EXTENSION.purposes, readPurposes),
    names: read(EXTENSION.names, readNames) ?? NO_NAMES,
    keyId: read(EXTENSION.keyId, (value) => value.content(TAG.octetString)),
    authorityKeyId: read(EXTENSION.authorityKeyId, readAuthorityKeyId),
    critical: new Set([...extensions].filter(([, { critical }]) => critical).map(([id]) => id)),
  };
}

const NO_NAMES: Names = { dns: [], uri: [], email: [] };

/** Section 4.2.1.9. How many may follow below is of no use here: only what signs clients' certificates is looked at. */
function readAuthority(value: Der): boolean {
  const constraints = value.inside(TAG.sequence);
  const authority = constraints.tag === TAG.boolean && constraints.boolean();
  if (authority && !constraints.done) constraints.small();
  constraints.finish();
  return authority;
}

function readPurposes(value: Der): readonly string[] {
  const list = value.inside(TAG.sequence);
  const purposes = [list.oid()];
  while (!list.done) purposes.push(list.oid());
  return purposes;
}

/** Section 4.2.1.1. It may name the authority's certificate besides, which nothing is concluded from. */
export function readAuthorityKeyId(value: Der): Buffer | undefined {
  const identifier = value.inside(TAG.sequence);
  const keyId = identifier.tag === contextTag(0) ? identifier.content(contextTag(0)) : undefined;
  if (identifier.tag === constructedTag(1)) identifier.inside(constructedTag(1));
  if (identifier.tag === contextTag(2)) identifier.content(contextTag(2));
  identifier.finish();
  return keyId;
}
