import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { type SealingKey, sealingKey } from "../../config/files/sealing-ring.ts";
import { isCanonical } from "../jwt/token.ts";

/** NIST SP 800-38D, section 8.2.2: 96 random bits; so a key is good for 2^32 seals. */
const NONCE = 12;
const TAG = 16;
const CIPHER = "aes-256-gcm";

/** Characters of what is sealed beside its text, which take four for three bytes: nonce, tag, dot and a `kid`. */
export const SEAL_OVERHEAD = Math.ceil(((NONCE + TAG) * 4) / 3) + 1 + 64;

/** Seals texts so that nobody reads or changes them, and opens them again: AES-256-GCM by a ring of keys. */
export class Sealer {
  readonly #ring: readonly SealingKey[];
  readonly #secrets: ReadonlyMap<string, Buffer>;

  constructor(ring: readonly SealingKey[]) {
    this.#ring = ring;
    this.#secrets = new Map(ring.map(({ kid, secret }) => [kid, Buffer.from(secret, "base64url")]));
  }

  /**
   * A text that only the ring opens: `KID.BASE64URL`.
   *
   * @param context what it is for and whom it belongs to: it opens in the same context alone
   * @param now milliseconds since the epoch
   * @throws {Error} without a key
   */
  seal(text: string, context: string, now: number): string {
    const kid = sealingKey(this.#ring, now / 1000)?.kid ?? "";
    const secret = this.#secrets.get(kid);
    if (secret === undefined) throw new Error("no key to seal with");
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv(CIPHER, secret, nonce).setAAD(Buffer.from(`${kid}\n${context}`));
    const sealed = Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return `${kid}.${sealed.toString("base64url")}`;
  }

  /** Whether the key that it says to be sealed with is of the ring. */
  hasKeyOf(sealed: string): boolean {
    return this.#secrets.has(kidOf(sealed));
  }

  /** The text; undefined for what no key of the ring has sealed, or for another context. Nothing is thrown. */
  open(sealed: string, context: string): string | undefined {
    const kid = kidOf(sealed);
    const secret = this.#secrets.get(kid);
    const body = sealed.slice(sealed.indexOf(".") + 1);
    if (secret === undefined || !isCanonical(body)) return undefined;
    const bytes = Buffer.from(body, "base64url");
    if (bytes.length < NONCE + TAG) return undefined;
    return opened(secret, bytes, `${kid}\n${context}`);
  }
}

function kidOf(sealed: string): string {
  return sealed.slice(0, Math.max(sealed.indexOf("."), 0));
}

function opened(secret: Buffer, bytes: Buffer, context: string): string | undefined {
  const decipher = createDecipheriv(CIPHER, secret, bytes.subarray(0, NONCE), { authTagLength: TAG });
  decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(bytes.length - TAG));
  try {
    const text = decipher.update(bytes.subarray(NONCE, bytes.length - TAG));
    return Buffer.concat([text, decipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
}
