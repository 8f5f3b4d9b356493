import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import type { Head } from "./chain.ts";

/**
 * A checkpoint as a signed note (C2SP signed-note and tlog-checkpoint): whose log, how many records, their digest; an empty
 * line; who has signed it. Its key id begins SHA-256 of name, line feed, 1 (Ed25519) and the key.
 */
export interface Checkpoint {
  readonly origin: string;
  readonly head: Head;
}

/** Names of logs and of keys: no space, no plus, nothing that could end a line. */
export const ORIGIN = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/;

export function signedNote({ origin, head }: Checkpoint, key: KeyObject): string {
  const body = bodyOf(origin, head);
  const signature = sign(null, Buffer.from(body), key);
  const id = keyId(origin, rawKey(createPublicKey(key)));
  return `${body}\n\u2014 ${origin} ${Buffer.concat([id, signature]).toString("base64")}\n`;
}

/** Reads a note strictly. @returns undefined for what is none */
export function readNote(
  text: string,
): (Checkpoint & { readonly signature: Buffer; readonly keyId: Buffer }) | undefined {
  const [, origin = "", size = "", hash = "", name = "", signed = ""] =
    /^([^\n]+)\n(0|[1-9]\d{0,14})\n([A-Za-z0-9+/]{43}=)\n\n\u2014 ([^ \n]+) ([A-Za-z0-9+/]{90,92}={0,2})\n$/.exec(
      text,
    ) ?? [];
  const bytes = Buffer.from(signed, "base64");
  if (!ORIGIN.test(origin) || name !== origin || bytes.length !== 68) return undefined;
  const head = { size: Number(size), hash: Buffer.from(hash, "base64") };
  // Base64 has several ways of writing the same bytes; one of them is a note.
  if (bytes.toString("base64") !== signed || head.hash.toString("base64") !== hash) return undefined;
  return { origin, head, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) };
}

/** Whether a note that was read is signed by this key. */
export function isSignedBy(note: NonNullable<ReturnType<typeof readNote>>, key: KeyObject): boolean {
  const { origin, head, keyId: id, signature } = note;
  return id.equals(keyId(origin, rawKey(key))) && verify(null, Buffer.from(bodyOf(origin, head)), key, signature);
}

function bodyOf(origin: string, { size, hash }: Head): string {
  return `${origin}\n${size}\n${hash.toString("base64")}\n`;
}

function keyId(name: string, raw: Buffer): Buffer {
  return createHash("sha256").update(`${name}\n`).update(Buffer.of(1)).update(raw).digest().subarray(0, 4);
}

/** The 32 bytes of an Ed25519 public key. */
export function rawKey(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: "jwk" }).x ?? "", "base64url");
}

/** @returns undefined for what is no such key */
export function publicKeyOf(raw: string): KeyObject | undefined {
  const bytes = Buffer.from(raw, "base64");
  if (bytes.length !== 32 || bytes.toString("base64") !== raw) return undefined;
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: bytes.toString("base64url") }, format: "jwk" });
}

/** The next epoch's key, and the word of the last one's for it. */
export function succession(
  origin: string,
  epoch: number,
  last: KeyObject,
): { readonly key: KeyObject; readonly word: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const word = sign(null, wordOf(origin, epoch, rawKey(publicKey)), last).toString("base64");
  return { key: privateKey, word };
}

/** Whether the last epoch's key has given its word for this one. */
export function isSuccession(origin: string, epoch: number, key: KeyObject, last: KeyObject, word: string): boolean {
  return verify(null, wordOf(origin, epoch, rawKey(key)), last, Buffer.from(word, "base64"));
}

function wordOf(origin: string, epoch: number, raw: Buffer): Buffer {
  return Buffer.from(`countersign audit epoch\n${origin}\n${epoch}\n${raw.toString("base64")}\n`);
}

/** An Ed25519 private key of a PEM text. @throws Error for another */
export function privateKeyOf(pem: string): KeyObject {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== "ed25519") throw new Error(`a key of the type ${key.asymmetricKeyType}, not Ed25519`);
  return key;
}
