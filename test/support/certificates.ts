import { constants, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { bits, boolean, der, integer, none, octets, oid, sequence, set, text, time } from "./der.ts";

/**
 * A certificate for 127.0.0.1 and localhost, with its key, and the authority that signed it (whose key is thrown away).
 * Made with `openssl ca`, P-256, valid from 2020 to 2120; it protects nothing and is trusted by nobody but the tests.
 */
export const SERVER_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIByjCCAXCgAwIBAgIUbYRZ6RaG8QvmvI8MdU+iVnAQbnIwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwaQ291bnRlcnNpZ24gdGVzdCBhdXRob3JpdHkwIBcNMjAwMTAx
MDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZ
MBMGByqGSM49AgEGCCqGSM49AwEHA0IABH7sc/clCqCv9zlFEScRyOn7vjNgwRET
2Z8/unc6XoMqWw+/lYxiokJuvcPS4wk8/mZpmXhsi+Gxk0csQMW++F2jgYwwgYkw
GgYDVR0RBBMwEYcEfwAAAYIJbG9jYWxob3N0MAkGA1UdEwQCMAAwCwYDVR0PBAQD
AgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQWBBSy89gNqSx6nDakv7Ca
HSYBKXgrqjAfBgNVHSMEGDAWgBT+sK/pzpJW7ZFSFDj6oPTqiuuy7zAKBggqhkjO
PQQDAgNIADBFAiEAqE+9HJn0BPC1nrgKAwi0s/guKptHTuGLzCRrWYBBycMCIFyD
TGm61ZSadzBQ1t7d7DGRwb3QdQQZmrJruEe6AX9C
-----END CERTIFICATE-----
`;

export const SERVER_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRwApFo7Z09W3TYs7
ijuOI/Z7IcJlyEC+ujUKOcF7mdqhRANCAAR+7HP3JQqgr/c5RREnEcjp+74zYMER
E9mfP7p3Ol6DKlsPv5WMYqJCbr3D0uMJPP5maZl4bIvhsZNHLEDFvvhd
-----END PRIVATE KEY-----
`;

export const AUTHORITY = `-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIULG4xTcmeYO5Rxwf5zZwK6vZX/lEwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwaQ291bnRlcnNpZ24gdGVzdCBhdXRob3JpdHkwIBcNMjAwMTAx
MDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMCUxIzAhBgNVBAMMGkNvdW50ZXJzaWdu
IHRlc3QgYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4U4KF47F
U3pFLkOi1zFZJ8ALBf2CDH90AC9mL9ynKN7WnjENBRw3mPMJjO7B20g+FgQMg/6m
S3pbtGvWLVy+j6NCMEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAgQw
HQYDVR0OBBYEFP6wr+nOklbtkVIUOPqg9OqK67LvMAoGCCqGSM49BAMCA0gAMEUC
IQDqjVNNFCg4X85yXgjLc06OcIQZpyPwzWgfoB3Nc9JT/wIgS0WfbXLaobw7EAna
mKPto62hOi+Y2nuXwaCSNlivIeE=
-----END CERTIFICATE-----
`;

/** A key of some kind, with what its certificates' signatures are made by. */
export interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  /** The signature's algorithm, as DER. */
  readonly algorithm: Buffer;
  readonly digest: string | null;
  /** Octets of salt, of an RSASSA-PSS signature. */
  readonly salt?: number;
}

const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));

/** A new key on P-256. */
export function newPair(): Pair {
  return { ...generateKeyPairSync("ec", { namedCurve: "P-256" }), algorithm: ECDSA_SHA256, digest: "sha256" };
}

const NULL = der(0x05);
const SHA256 = sequence(oid("2.16.840.1.101.3.4.2.1"), NULL);
const SHA512 = sequence(oid("2.16.840.1.101.3.4.2.3"), NULL);
const MGF1 = "1.2.840.113549.1.1.8";

/** The same on other curves, of RSA, or of Ed25519. */
export const PAIRS = {
  p384: () => pairOf(generateKeyPairSync("ec", { namedCurve: "P-384" }), "1.2.840.10045.4.3.3", "sha384"),
  p521: () => pairOf(generateKeyPairSync("ec", { namedCurve: "P-521" }), "1.2.840.10045.4.3.4", "sha512"),
  secp256k1: () => pairOf(generateKeyPairSync("ec", { namedCurve: "secp256k1" }), "1.2.840.10045.4.3.2", "sha256"),
  ecdsaSha1: () => pairOf(generateKeyPairSync("ec", { namedCurve: "P-256" }), "1.2.840.10045.4.1", "sha1"),
  ed25519: () => pairOf(generateKeyPairSync("ed25519"), "1.3.101.112", null),
  rsa: () => pairOf(rsaKeys(2048), "1.2.840.113549.1.1.11", "sha256", NULL),
  rsaSha1: () => pairOf(rsaKeys(2048), "1.2.840.113549.1.1.5", "sha1", NULL),
  rsaWithoutNull: () => pairOf(rsaKeys(2048), "1.2.840.113549.1.1.11", "sha256"),
  rsaLongNull: () => pairOf(rsaKeys(2048), "1.2.840.113549.1.1.11", "sha256", der(0x05, Buffer.alloc(1))),
  rsa1024: () => pairOf(rsaKeys(1024), "1.2.840.113549.1.1.11", "sha256", NULL),
  pss: () => ({ ...rsaKeys(2048), algorithm: pss(32), digest: "sha256", salt: 32 }),
  pssShortSalt: () => ({ ...rsaKeys(2048), algorithm: pss(20), digest: "sha256", salt: 20 }),
  pssOtherMask: () => ({
    ...rsaKeys(2048),
    algorithm: pss(32, sequence(oid(MGF1), SHA512)),
    digest: "sha256",
    salt: 32,
  }),
  pssNoMask: () => ({
    ...rsaKeys(2048),
    algorithm: pss(32, sequence(oid("1.2.3"), SHA256)),
    digest: "sha256",
    salt: 32,
  }),
} as const satisfies Record<string, () => Pair>;

type Keys = Pick<Pair, "publicKey" | "privateKey">;

function pairOf(keys: Keys, id: string, digest: string | null, ...parameters: readonly Buffer[]): Pair {
  return { ...keys, algorithm: sequence(oid(id), ...parameters), digest };
}

function rsaKeys(modulusLength: number): Keys {
  return generateKeyPairSync("rsa", { modulusLength });
}

/** RFC 4055, section 3.1. */
function pss(salt: number, mask = sequence(oid(MGF1), SHA256)): Buffer {
  const parameters = sequence(der(0xa0, SHA256), der(0xa1, mask), der(0xa2, integer(salt)));
  return sequence(oid("1.2.840.113549.1.1.10"), parameters);
}

export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";

/** An extension as it stands in a certificate. */
export function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), critical ? boolean(true) : none, octets(value));
}

/** Names as subjectAltName has them: `uri:spiffe://…`, `dns:a.example`, `email:…`; or bytes. */
export function namesOf(names: readonly (string | Buffer)[]): Buffer {
  const tags: Readonly<Record<string, number>> = { email: 0x81, dns: 0x82, uri: 0x86 };
  return sequence(
    ...names.map((name) => {
      if (typeof name !== "string") return name;
      const [, kind = "", value = ""] = /^([a-z]+):(.*)$/s.exec(name) ?? [];
      return text(tags[kind] ?? 0, value);
    }),
  );
}

/** A distinguished name of these attributes, such as `{ "2.5.4.3": "alice" }`. */
export function nameOf(attributes: Readonly<Record<string, string>>): Buffer {
  return sequence(...Object.entries(attributes).map(([id, value]) => set(sequence(oid(id), text(0x0c, value)))));
}

/** What a certificate says; what is left out is as in a sound one of a workload. */
export interface Wanted {
  readonly version?: number;
  readonly serial?: number | bigint;
  readonly issuer?: Buffer;
  readonly subject?: Buffer;
  /** Milliseconds since the epoch. */
  readonly from?: number;
  readonly until?: number;
  readonly key?: KeyObject;
  readonly names?: readonly (string | Buffer)[];
  readonly namesCritical?: boolean;
  /** Or the value of basicConstraints. */
  readonly authority?: boolean | Buffer;
  /** Bits; none: no such extension. */
  readonly usage?: readonly number[] | undefined;
  readonly usageCritical?: boolean;
  readonly purposes?: readonly string[] | undefined;
  readonly authorityKeyId?: Buffer | undefined;
  readonly keyId?: Buffer | undefined;
  readonly more?: readonly Buffer[];
  /** The algorithm as it stands within what is signed. */
  readonly algorithm?: Buffer;
}

const HOUR = 3_600_000;

/** DER as a configuration has it. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** What is signed of a certificate. */
export function certificateBody(wanted: Wanted, algorithm: Buffer): Buffer {
  const {
    version = 2,
    serial = 1,
    issuer = nameOf({}),
    subject = nameOf({}),
    key,
    names = [],
    authority = false,
  } = wanted;
  const { from = Date.now() - HOUR, until = Date.now() + HOUR, usage, purposes, keyId, authorityKeyId } = wanted;
  if (key === undefined) throw new Error("whose key?");
  const usageBits = usage?.reduce((octet, bit) => octet | (0x80 >> bit), 0) ?? 0;
  const extensions = [
    extension(
      "2.5.29.19",
      typeof authority === "boolean" ? sequence(authority ? boolean(true) : none) : authority,
      true,
    ),
    usage &&
      extension("2.5.29.15", bits(Buffer.from([usageBits]), unusedBits(usageBits)), wanted.usageCritical ?? true),
    purposes && extension("2.5.29.37", sequence(...purposes.map(oid))),
    names.length > 0 && extension("2.5.29.17", namesOf(names), wanted.namesCritical ?? true),
    keyId && extension("2.5.29.14", octets(keyId)),
    authorityKeyId && extension("2.5.29.35", sequence(der(0x80, authorityKeyId))),
    ...(wanted.more ?? []),
  ];
  return sequence(
    der(0xa0, integer(version)),
    integer(serial),
    wanted.algorithm ?? algorithm,
    issuer,
    sequence(time(from), time(until)),
    subject,
    key.export({ format: "der", type: "spki" }),
    der(0xa3, sequence(...extensions.filter((each) => Buffer.isBuffer(each)))),
  );
}

function unusedBits(octet: number): number {
  return octet === 0 ? 0 : 31 - Math.clz32(octet & -octet);
}

/** A body with its signature. */
export function signed(
  body: Buffer,
  { privateKey, algorithm, digest, salt }: Pick<Pair, "privateKey" | "algorithm" | "digest" | "salt">,
): Buffer {
  const padding = salt === undefined ? {} : { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: salt };
  return sequence(body, algorithm, bits(sign(digest, body, { key: privateKey, ...padding })));
}

export function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** A certificate with its key. */
export interface Issued {
  readonly der: Buffer;
  readonly pem: string;
  readonly key: string;
}

/** An authority of a test, which signs whatever it is told to. */
export class Authority {
  readonly pair: Pair;
  readonly subject: Buffer;
  readonly keyId: Buffer;
  readonly der: Buffer;
  #serial = 0x1000;

  constructor(name: string, changes: Wanted = {}, pair = newPair(), by?: Authority) {
    this.pair = pair;
    this.subject = changes.subject ?? nameOf({ "2.5.4.3": name });
    this.keyId = changes.keyId ?? Buffer.from(name.padEnd(20).slice(0, 20));
    const wanted = {
      subject: this.subject,
      issuer: by?.subject ?? this.subject,
      key: pair.publicKey,
      authority: true,
      usage: [5, 6],
      keyId: this.keyId,
      authorityKeyId: by?.keyId ?? this.keyId,
      ...changes,
    };
    this.der = signed(certificateBody(wanted, (by?.pair ?? pair).algorithm), by?.pair ?? pair);
  }

  get pem(): string {
    return pem("CERTIFICATE", this.der);
  }

  /** A sound certificate of a workload but for the changes. */
  issue(changes: Wanted = {}, { privateKey, publicKey } = newPair()): Issued {
    const wanted: Wanted = {
      serial: ++this.#serial,
      issuer: this.subject,
      key: publicKey,
      usage: [0],
      purposes: [SERVER_AUTH, CLIENT_AUTH],
      authorityKeyId: this.keyId,
      ...changes,
    };
    const bytes = signed(certificateBody(wanted, this.pair.algorithm), this.pair);
    const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    return { der: bytes, pem: pem("CERTIFICATE", bytes), key };
  }

  /** Serial numbers that it has taken back, as a CRL. */
  revoke(
    serials: readonly (number | bigint)[],
    changes: { from?: number; until?: number; more?: readonly Buffer[] } = {},
  ): Buffer {
    const { from = Date.now() - HOUR, until = Date.now() + HOUR, more = [] } = changes;
    const entries = serials.map((serial) => sequence(integer(serial), time(from)));
    const extensions = [
      extension("2.5.29.35", sequence(der(0x80, this.keyId))),
      extension("2.5.29.20", integer(7)),
      ...more,
    ];
    const body = sequence(
      integer(1),
      this.pair.algorithm,
      this.subject,
      time(from),
      time(until),
      entries.length > 0 ? sequence(...entries) : none,
      der(0xa0, sequence(...extensions)),
    );
    return signed(body, this.pair);
  }
}
