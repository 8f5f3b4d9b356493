/** Longer texts hardly ever come again. */
const LONGEST = 128;
const SLOTS = 512;

/**
 * Texts that come again and again in requests: hosts, methods, paths. A text that is known is the very same string, with
 * its hash: neither is made once more. The last of those that share a slot is kept, so it takes at most 64 KiB.
 *
 * Measured with host, method and path of one request: 0.15 us instead of 0.9, and look-ups by them take a third.
 */
export class Texts {
  readonly #slots: string[] = new Array<string>(SLOTS).fill("");

  /** The bytes as latin1. */
  of(bytes: Buffer, start: number, end: number): string {
    const length = end - start;
    if (length === 0) return "";
    if (length > LONGEST) return bytes.toString("latin1", start, end);
    // Of the end of a path more is different than of its start.
    const middle = bytes[start + (length >> 1)] as number;
    const slot = ((bytes[end - 1] as number) * 31 + middle * 7 + length) % SLOTS;
    const known = this.#slots[slot] as string;
    if (known.length === length && isAt(bytes, start, known)) return known;
    const text = bytes.toString("latin1", start, end);
    this.#slots[slot] = text;
    return text;
  }
}

function isAt(bytes: Buffer, start: number, text: string): boolean {
  for (let i = text.length - 1; i >= 0; i--) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}
