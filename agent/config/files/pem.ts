import { createPrivateKey, type KeyObject } from "node:crypto";

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----/g;
const BEGIN = /-----BEGIN /g;

/**
 * The blocks of a PEM text with this label, as bytes (RFC 7468). What stands between blocks is a comment; another block
 * is a mistake, above all a private key.
 *
 * @returns what else is there, in words that follow "a file"
 */
export function pemBlocks(text: string, label: string): readonly Buffer[] | string {
  const blocks = [...text.matchAll(BLOCK)];
  const [other] = blocks.filter(([, found]) => found !== label);
  if (other !== undefined) return `with a block \`${other[1]}\``;
  if (blocks.length < [...text.matchAll(BEGIN)].length) return "with a block that does not end, or is not base64";
  if (blocks.length === 0) return `without a block \`${label}\``;
  return blocks.map(([, , body = ""]) => Buffer.from(body, "base64"));
}

/** The private key of a PEM text; undefined where it holds none. */
export function privateKeyIn(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
