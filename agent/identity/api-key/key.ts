import { createHash, randomInt, timingSafeEqual } from "node:crypto";
import { crc32 } from "node:zlib";

/**
 * A key is PREFIX ID SECRET CHECKSUM: 8 letters and digits by which it is found, 32 that nobody can guess (190 bits), and
 * 6 by which a typo, or a text that is no key, is told without looking anything up. The checksum is the CRC-32 of all
 * before it, in base 62 with 0-9, A-Z, a-z: whoever searches texts for secrets can tell one, and it proves nothing.
 */
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LETTERS = ALPHABET.slice(10);
const ID = 8;
const SECRET = 32;
const CHECKSUM = 6;

/** What stands behind the prefix. */
const BODY = new RegExp(`^[A-Za-z][0-9A-Za-z]{${ID + SECRET + CHECKSUM - 1}}$`);

/** A new key, and the id that it is found by. */
export interface NewKey {
  readonly id: string;
  /** The secret whole; it is nowhere else. */
  readonly text: string;
}

/** Makes a key. Its id begins with a letter, so that no YAML takes it for a number. */
export function makeKey(prefix: string): NewKey {
  const id = pick(LETTERS, 1) + pick(ALPHABET, ID - 1);
  const unchecked = prefix + id + pick(ALPHABET, SECRET);
  return { id, text: unchecked + checksumOf(unchecked) };
}

/** The id of a key; undefined for a text that is none, by its form or its checksum. */
export function idOf(text: string, prefix: string): string | undefined {
  const body = text.slice(prefix.length);
  if (!text.startsWith(prefix) || !BODY.test(body)) return undefined;
  const end = text.length - CHECKSUM;
  return checksumOf(text.slice(0, end)) === text.slice(end) ? body.slice(0, ID) : undefined;
}

/** SHA-256 in hexadecimal digits: a key is random enough that nothing slower is needed. */
export function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Whether a key is the one with this digest, in a time that does not tell how much of it is right. */
export function isKey(text: string, digest: string): boolean {
  const [found, wanted] = [Buffer.from(digestOf(text)), Buffer.from(digest)];
  return found.length === wanted.length && timingSafeEqual(found, wanted);
}

function pick(alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join("");
}

function checksumOf(text: string): string {
  let rest = crc32(text);
  let digits = "";
  for (let i = 0; i < CHECKSUM; i++) {
    digits = ALPHABET.charAt(rest % ALPHABET.length) + digits;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return digits;
}
