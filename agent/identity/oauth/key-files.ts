import { type KeyObject, X509Certificate } from "node:crypto";
import { privateKeyIn } from "../../config/files/pem.ts";
import { namedText } from "../../config/named-file.ts";
import type { Section } from "../../config/section.ts";
import type { ClientCertificate } from "../../http/secure.ts";

/** The key that a client signs with (RFC 7523, section 2.2). */
export interface SigningKey {
  /** PEM text. */
  readonly pem: string;
  readonly id: string | undefined;
  readonly algorithm: string;
  /** Whom a signature is for; undefined for the issuer. */
  readonly audience: string | undefined;
}

const LARGEST = 64 << 10;
const SMALLEST_MODULUS = 2048;
/** Which signatures a key can make, the usual one first. */
const RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
const EDWARDS = ["EdDSA", "Ed25519"];
const CURVES: Readonly<Record<string, string>> = { prime256v1: "ES256", secp384r1: "ES384", secp521r1: "ES512" };

const A_KEY =
  "a PEM file with a private key that is not encrypted: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519";

/** Reads `key`, the path of a private key, with what stands beside it. */
export function readSigningKey(section: Section): SigningKey {
  const pem = namedText(section, "key", A_KEY, LARGEST);
  const algorithms = pem === undefined ? [] : algorithmsOf(privateKeyIn(pem));
  if (pem !== undefined && algorithms.length === 0) {
    section.fault(["key"], A_KEY, `${section.found(["key"])} names a file without such a key`);
  }
  const algorithm = section.optionalText("algorithm") ?? algorithms[0] ?? "";
  if (algorithms.length > 0 && !algorithms.includes(algorithm)) {
    section.fault(["algorithm"], `a signature that this key can make: ${algorithms.join(", ")}`);
  }
  const [id, audience] = [section.optionalText("key_id"), section.optionalText("audience")];
  return { pem: pem ?? "", id, algorithm, audience };
}

/** Reads `certificate` and `key`, the paths of a certificate and of its private key. */
export function readCertificate(section: Section): ClientCertificate {
  const right = "a PEM file with the client's certificate, and its chain behind it";
  const [cert, key] = [namedText(section, "certificate", right, LARGEST), namedText(section, "key", A_KEY, LARGEST)];
  if (cert === undefined || key === undefined) return { cert: "", key: "" };
  const [certificate, secret] = [parsed(cert), privateKeyIn(key)];
  if (certificate === undefined) {
    section.fault(["certificate"], right, `${section.found(["certificate"])} names a file without one`);
  } else if (secret === undefined || !certificate.checkPrivateKey(secret)) {
    section.fault(
      ["key"],
      "a PEM file with the private key of the certificate",
      `${section.found(["key"])} names a file without it`,
    );
  }
  return { cert, key };
}

function parsed(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function algorithmsOf(key: KeyObject | undefined): readonly string[] {
  const { modulusLength = 0, namedCurve = "" } = key?.asymmetricKeyDetails ?? {};
  if (key?.asymmetricKeyType === "rsa") return modulusLength < SMALLEST_MODULUS ? [] : RSA;
  if (key?.asymmetricKeyType === "ed25519") return EDWARDS;
  const algorithm =
    key?.asymmetricKeyType === "ec" && Object.hasOwn(CURVES, namedCurve) ? CURVES[namedCurve] : undefined;
  return algorithm === undefined ? [] : [algorithm];
}
