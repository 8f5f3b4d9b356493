import { X509Certificate } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import * as asn1 from "@peculiar/asn1-x509";
import { DerError } from "../../agent/identity/certificate/der.ts";
import { type Certificate, readCertificate } from "../../agent/identity/certificate/x509.ts";

/** What ours reads; undefined where it reads none. */
export function read(bytes: Buffer): Certificate | undefined {
  try {
    return readCertificate(bytes);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

/** What ours says, as one value. */
export function ourView(own: Certificate) {
  const { names, usage, purposes, authority, serial, from, until, critical } = own;
  return {
    ...names,
    usage: usage && [...usage],
    purposes,
    authority,
    serial,
    from,
    until,
    issuer: own.issuer.toString("hex"),
    subject: own.subject.toString("hex"),
    keyId: own.keyId?.toString("hex"),
    authorityKeyId: own.authorityKeyId?.toString("hex"),
    critical: [...critical].sort(),
    body: own.body.toString("hex"),
  };
}

function theirView({ tbsCertificate: own, tbsCertificateRaw: body }: asn1.Certificate): ReturnType<typeof ourView> {
  const find = (id: string) => own.extensions?.find(({ extnID }) => extnID === id)?.extnValue;
  const parse = <T>(id: string, type: new () => T): T | undefined => {
    const value = find(id);
    return value && AsnConvert.parse(value, type);
  };
  const names = [...(parse("2.5.29.17", asn1.SubjectAlternativeName) ?? [])];
  const purposes = parse("2.5.29.37", asn1.ExtendedKeyUsage);
  const usage = parse("2.5.29.15", asn1.KeyUsage)?.toNumber();
  const hex = (value: unknown) => Buffer.from(AsnConvert.serialize(value)).toString("hex");
  const key = (value: { readonly buffer: ArrayBuffer } | undefined) =>
    value && Buffer.from(value.buffer).toString("hex");
  return {
    dns: names.flatMap(({ dNSName = [] }) => dNSName),
    uri: names.flatMap(({ uniformResourceIdentifier = [] }) => uniformResourceIdentifier),
    email: names.flatMap(({ rfc822Name = [] }) => rfc822Name),
    usage: usage === undefined ? undefined : [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((bit) => usage & (1 << bit)),
    purposes: purposes && [...purposes],
    authority: parse("2.5.29.19", asn1.BasicConstraints)?.cA ?? false,
    serial: Buffer.from(own.serialNumber).toString("hex"),
    from: own.validity.notBefore.getTime().getTime(),
    until: own.validity.notAfter.getTime().getTime(),
    issuer: hex(own.issuer),
    subject: hex(own.subject),
    keyId: key(parse("2.5.29.14", asn1.SubjectKeyIdentifier)),
    authorityKeyId: key(parse("2.5.29.35", asn1.AuthorityKeyIdentifier)?.keyIdentifier),
    critical: [...(own.extensions ?? [])].flatMap(({ extnID, critical }) => (critical ? [extnID] : [])).sort(),
    body: Buffer.from(body ?? new ArrayBuffer(0)).toString("hex"),
  };
}

/** The same of asn1-x509; undefined where it reads none. */
export function theirViewOf(bytes: Buffer): ReturnType<typeof ourView> | undefined {
  try {
    return theirView(AsnConvert.parse(bytes, asn1.Certificate));
  } catch {
    return undefined;
  }
}

/** What node took for the whole certificate; undefined where it reads none. */
export function rawOf(bytes: Buffer): Buffer | undefined {
  try {
    return new X509Certificate(bytes).raw;
  } catch {
    return undefined;
  }
}
