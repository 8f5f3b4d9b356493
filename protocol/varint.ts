import { SpopError } from "./errors.ts";

/**
 * Variable-length integers (SPOE.txt, section 3.1): below 240 one byte; else the low four bits with 0xF0, then
 * seven bits a byte, 0x80 for "more follows". Every value up to 64 bits has exactly one encoding, of at most ten bytes.
 */
export const LONGEST_VARINT = 10;

const LARGEST = 0xffff_ffff_ffff_ffffn;

/** Position after the varint at `at`. @throws SpopError where it is cut off, or longer than 64 bits */
export function skipVarint(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) throw new SpopError("VARINT_TRUNCATED");
  let next = at + 1;
  if ((bytes[at] as number) < 240) return next;
  while (next < end) {
    if (next - at >= LONGEST_VARINT) throw new SpopError("VARINT_TOO_LONG");
    if ((bytes[next++] as number) < 128) return next;
  }
  throw new SpopError("VARINT_TRUNCATED");
}

/** The value of a varint that `skipVarint` has passed, exact to 64 bits. @throws SpopError past 64 bits */
export function varintToBigInt(bytes: Uint8Array, at: number, next: number): bigint {
  let value = BigInt(bytes[at] as number);
  let shift = 4n;
  for (let i = at + 1; i < next; i++, shift += 7n) value += BigInt(bytes[i] as number) << shift;
  if (value > LARGEST) throw new SpopError("VARINT_TOO_LONG");
  return value;
}

/**
 * The value of a varint as a number, for lengths: anything past 2^53 comes out as Infinity, which no bound admits.
 */
export function varintToNumber(bytes: Uint8Array, at: number, next: number): number {
  let value = bytes[at] as number;
  let unit = 16;
  for (let i = at + 1; i < next; i++, unit *= 128) value += (bytes[i] as number) * unit;
  return value <= Number.MAX_SAFE_INTEGER ? value : Number.POSITIVE_INFINITY;
}

/** Writes a varint and returns the position after it. The caller has made room for ten bytes. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  if (value < 240) {
    bytes[at] = value;
    return at + 1;
  }
  bytes[at++] = (value % 16) | 0xf0;
  let rest = Math.floor((value - 240) / 16);
  while (rest >= 128) {
    bytes[at++] = (rest % 128) | 0x80;
    rest = Math.floor((rest - 128) / 128);
  }
  bytes[at++] = rest;
  return at;
}

/** A varint of any value up to 64 bits, as bytes. @throws RangeError outside of them */
export function encodeVarint(value: bigint | number): Buffer {
  let rest = BigInt(value);
  if (rest < 0n || rest > LARGEST) throw new RangeError(`not an unsigned integer of 64 bits: ${value}`);
  if (rest < 240n) return Buffer.of(Number(rest));
  const bytes = [Number(rest & 15n) | 0xf0];
  rest = (rest - 240n) >> 4n;
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 0x80);
    rest = (rest - 128n) >> 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
