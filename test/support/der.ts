/** Writes one value in DER: tag, length, content. Wrong ones too, where a test says so. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const octets = Buffer.from(length.toString(16).padStart(2 * Math.ceil(length.toString(16).length / 2), "0"), "hex");
  return Buffer.concat([Buffer.from([0x80 | octets.length]), octets]);
}

export const sequence = (...contents: readonly Uint8Array[]) => der(0x30, ...contents);
export const set = (...contents: readonly Uint8Array[]) => der(0x31, ...contents);
export const octets = (...contents: readonly Uint8Array[]) => der(0x04, ...contents);
export const bits = (content: Uint8Array, unused = 0) => der(0x03, Buffer.from([unused]), content);
export const boolean = (value: boolean) => der(0x01, Buffer.from([value ? 0xff : 0]));
export const text = (tag: number, value: string) => der(tag, Buffer.from(value));
export const none = Buffer.alloc(0);

/** A whole number that is not negative. */
export function integer(value: number | bigint): Buffer {
  const hex = value.toString(16);
  const content = Buffer.from(hex.padStart(2 * Math.ceil(hex.length / 2), "0"), "hex");
  return der(0x02, (content[0] ?? 0) >= 0x80 ? Buffer.from([0]) : none, content);
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return der(0x06, ...[40 * first + second, ...rest].map(base128));
}

function base128(arc: number): Buffer {
  const groups = [arc & 0x7f];
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left & 0x7f) | 0x80);
  return Buffer.from(groups);
}

/** UTCTime until 2049, then GeneralizedTime (RFC 5280, section 4.1.2.5). @param time milliseconds since the epoch */
export function time(time: number): Buffer {
  const digits = new Date(time).toISOString().replaceAll(/\.\d+|[^0-9]/g, "");
  return digits < "2050" ? text(0x17, `${digits.slice(2)}Z`) : text(0x18, `${digits}Z`);
}
