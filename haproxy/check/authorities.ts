import { X509Certificate } from "node:crypto";

const BEGINNING = /-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/g;
const CERTIFICATE = /-----BEGIN ((?:X509 )?CERTIFICATE)-----[^-]*-----END \1-----/g;

/**
 * The public keys of a file's certificates, as Base64 of their SubjectPublicKeyInfo: an authority is its key, whoever has
 * signed its certificate.
 *
 * @returns undefined where there is none, or one that cannot be read
 */
export function keysIn(pem: string): readonly string[] | undefined {
  const texts = [...pem.matchAll(CERTIFICATE)].map(([text]) => text);
  if (texts.length === 0 || texts.length !== [...pem.matchAll(BEGINNING)].length) return undefined;
  try {
    return texts.map((text) => new X509Certificate(text).publicKey.export(SPKI).toString("base64"));
  } catch {
    return undefined;
  }
}

const SPKI = { type: "spki", format: "der" } as const;
