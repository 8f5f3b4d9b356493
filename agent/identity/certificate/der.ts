/** Tags of the values that certificates are made of (X.690, section 8; X.680, section 8.4). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

/** A value of this number whose tag depends on what it is in: a primitive one. */
export function contextTag(number: number): number {
  return 0x80 | number;
}

/** The same for one that is made of others. */
export function constructedTag(number: number): number {
  return 0xa0 | number;
}

/** Bytes that are not DER, or not what they should be. */
export class DerError extends Error {
  override readonly name = "DerError";
}

/** More octets of a length than any certificate or list of revocations has. */
const MOST_LENGTH_OCTETS = 3;
const LARGEST_ARC = 2 ** 31;

/**
 * Values one after the other, in the one spelling that DER has for each (X.690, sections 8 and 10): a length in another
 * spelling, or past the end of what holds it, is refused, and so is all that is left over. It copies nothing.
 *
 * Every function throws a DerError where the bytes are something else.
 */
export class Der {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Whether no value is left. */
  get done(): boolean {
    return this.#at === this.#end;
  }

  /** Tag of the next value; undefined where none is left. */
  get tag(): number | undefined {
    return this.done ? undefined : this.#bytes[this.#at];
  }

  /** The next value, whose tag must be this one, as the values that it is made of. */
  inside(tag: number): Der {
    const { start, end } = this.#next(tag);
    return new Der(this.#bytes, start, end);
  }

  /** The same; undefined where the next value has another tag, or none is left. */
  optional(tag: number): Der | undefined {
    return this.tag === tag ? this.inside(tag) : undefined;
  }

  /** The content of the next value, which must have this tag: a view. */
  content(tag: number): Buffer {
    const { start, end } = this.#next(tag);
    return this.#bytes.subarray(start, end);
  }

  /** The next value whole, tag and length too: a view. */
  whole(tag: number): Buffer {
    const from = this.#at;
    const { end } = this.#next(tag);
    return this.#bytes.subarray(from, end);
  }

  boolean(): boolean {
    const content = this.content(TAG.boolean);
    // X.690, section 11.1.
    if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw new DerError("a boolean");
    return content[0] === 0xff;
  }

  /** A whole number in hexadecimal digits, two for each octet; it must not be negative. */
  integer(): string {
    const content = this.content(TAG.integer);
    const [first, second = 0x80] = content;
    if (first === undefined || first >= 0x80 || (first === 0 && second < 0x80)) throw new DerError("an integer");
    return content.toString("hex");
  }

  /** A whole number below 2^31. */
  small(): number {
    const number = Number.parseInt(this.integer(), 16);
    if (number >= LARGEST_ARC) throw new DerError("a small integer");
    return number;
  }

  /** In dotted form (X.690, section 8.19). */
  oid(): string {
    const content = this.content(TAG.oid);
    const arcs: number[] = [];
    let arc = 0;
    for (const octet of content) {
      if (arc === 0 && octet === 0x80) throw new DerError("an object identifier");
      arc = arc * 128 + (octet & 0x7f);
      if (arc >= LARGEST_ARC) throw new DerError("an object identifier");
      if (octet >= 0x80) continue;
      arcs.push(
        ...(arcs.length > 0
          ? [arc]
          : [Math.min(2, Math.floor(arc / 40)), arc - 40 * Math.min(2, Math.floor(arc / 40))]),
      );
      arc = 0;
    }
    if (arcs.length === 0 || (content.at(-1) ?? 0) >= 0x80) throw new DerError("an object identifier");
    return arcs.join(".");
  }

  /** The numbers of the bits that are set, the first being 0 (X.690, section 11.2.2: no zero bits at the end). */
  namedBits(): ReadonlySet<number> {
    const [unused = 8, ...octets] = this.content(TAG.bitString);
    const last = octets.at(-1);
    const sound = last === undefined ? unused === 0 : unused < 8 && Math.clz32(last & -last) === 31 - unused;
    if (!sound || octets.length > 4) throw new DerError("named bits");
    const bits = octets.flatMap((octet, index) => [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => ({ octet, bit, index })));
    return new Set(bits.filter(({ octet, bit }) => octet & (0x80 >> bit)).map(({ bit, index }) => 8 * index + bit));
  }

  /** A bit string of whole octets: a view. */
  bits(): Buffer {
    const content = this.content(TAG.bitString);
    if (content[0] !== 0) throw new DerError("a bit string");
    return content.subarray(1);
  }

  /** Text of ASCII characters that can be seen. */
  ascii(tag: number = TAG.ia5String): string {
    const content = this.content(tag);
    if (content.some((octet) => octet < 0x20 || octet > 0x7e)) throw new DerError("a text");
    return content.toString("latin1");
  }

  /** RFC 5280, section 4.1.2.5, in milliseconds since the epoch: seconds are given, and the zone is Z. */
  time(): number {
    const generalized = this.tag === TAG.generalizedTime;
    const text = this.content(generalized ? TAG.generalizedTime : TAG.utcTime).toString("latin1");
    const [, written = "", month, day, hour, minute, second] = (generalized ? GENERALIZED : UTC).exec(text) ?? [];
    const year = generalized ? written : `${written < "50" ? 20 : 19}${written}`;
    const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
    const time = Date.parse(iso);
    // Only what is printed again as it was read: 30 February is none.
    if (Number.isNaN(time) || new Date(time).toISOString() !== iso) throw new DerError("a time");
    return time;
  }

  /** @throws DerError where a value is left */
  finish(): void {
    if (!this.done) throw new DerError("the end");
  }

  /** Goes past the next value, and says where its content is. */
  #next(tag: number): { readonly start: number; readonly end: number } {
    const bytes = this.#bytes;
    if (this.#end - this.#at < 2 || bytes[this.#at] !== tag) throw new DerError(`the tag ${tag}`);
    let start = this.#at + 2;
    let length = bytes[this.#at + 1] as number;
    if (length >= 0x80) {
      const octets = length - 0x80;
      if (octets === 0 || octets > MOST_LENGTH_OCTETS || this.#end - start < octets) throw new DerError("a length");
      length = bytes.readUIntBE(start, octets);
      if (length < 0x80 || length < 2 ** (8 * (octets - 1))) throw new DerError("a length");
      start += octets;
    }
    if (length > this.#end - start) throw new DerError("a length");
    this.#at = start + length;
    return { start, end: this.#at };
  }
}

const UTC = /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/;
const GENERALIZED = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/;
