import { createHash, type Hash } from "node:crypto";

const LINE_FEED = 0x0a;
/** Tells these digests from all others that somebody may sign. */
const TAG = Buffer.from("countersign audit batch 1\n");

/** How far a chain has come: how many records, and the digest that stands for all of them and their order. */
export interface Head {
  readonly size: number;
  /** SHA-256, 32 bytes. */
  readonly hash: Buffer;
}

export const BEGINNING: Head = { size: 0, hash: Buffer.alloc(32) };

/**
 * The records since the last head, as bytes. A digest is of the bytes that stand in the file, never of what they mean: two
 * ways of writing one value are two records.
 *
 *     SHA-256(tag, the head before, the bytes of all lines since, their number in all as 8 bytes, big-endian)
 */
export class Batch {
  readonly before: Head;
  readonly #hash: Hash;
  #records = 0;
  #sum = 0;

  constructor(before: Head) {
    this.before = before;
    this.#hash = createHash("sha256").update(TAG).update(before.hash);
  }

  /** @param line with its line feed */
  add(line: Uint8Array): void {
    this.addAll(line);
  }

  /** Several at once, which costs a tenth. @param lines each with its line feed */
  addAll(lines: Uint8Array): void {
    this.#hash.update(lines);
    for (let start = 0, end = lines.indexOf(LINE_FEED); end >= 0; end = lines.indexOf(LINE_FEED, start)) {
      this.#sum = (this.#sum + checksum(lines, start, end)) >>> 0;
      this.#records++;
      start = end + 1;
    }
  }

  get records(): number {
    return this.#records;
  }

  /** Of the lines' checksums, whatever their order: it proves nothing, and tells a change of order from one of content. */
  get sum(): number {
    return this.#sum;
  }

  /** Nothing can be added any more. */
  end(): Head {
    const size = this.before.size + this.#records;
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(size));
    return { size, hash: this.#hash.update(bytes).digest() };
  }
}

/** Fletcher's, of 32 bits: a quarter of what a call of CRC-32 for each line costs. */
function checksum(bytes: Uint8Array, start: number, end: number): number {
  let sum = 1;
  let sums = 0;
  for (let at = start; at < end; at++) {
    sum = (sum + (bytes[at] as number)) | 0;
    sums = (sums + sum) | 0;
  }
  return sums ^ (sum << 16);
}
