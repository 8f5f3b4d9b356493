import { SpopError } from "./errors.ts";
import { BOOL_TRUE, VALUE_TYPE } from "./spop.ts";
import { encodeVarint, skipVarint, varintToBigInt, varintToNumber } from "./varint.ts";

/** A typed value, told apart as HAProxy tells them: a string is text, an address is text of its own kind. */
export type Value =
  | { readonly type: "null"; readonly value?: undefined }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "int32" | "uint32" | "int64" | "uint64"; readonly value: bigint }
  | { readonly type: "ipv4" | "ipv6"; readonly value: string }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "binary"; readonly value: Buffer };

/** Position after the typed value at `at`. @throws SpopError where it is cut off or of a reserved type */
export function skipValue(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) throw new SpopError("VALUE_TRUNCATED");
  const next = at + 1;
  switch ((bytes[at] as number) & 0x0f) {
    case VALUE_TYPE.null:
    case VALUE_TYPE.bool:
      return next;
    case VALUE_TYPE.int32:
    case VALUE_TYPE.uint32:
    case VALUE_TYPE.int64:
    case VALUE_TYPE.uint64:
      return skipVarint(bytes, next, end);
    case VALUE_TYPE.ipv4:
      return within(next + 4, end);
    case VALUE_TYPE.ipv6:
      return within(next + 16, end);
    case VALUE_TYPE.string:
    case VALUE_TYPE.binary: {
      const start = skipVarint(bytes, next, end);
      return within(start + varintToNumber(bytes, next, start), end);
    }
    default:
      throw new SpopError("VALUE_TYPE_UNKNOWN", String(bytes[at]));
  }
}

function within(position: number, end: number): number {
  if (position > end) throw new SpopError("VALUE_TRUNCATED");
  return position;
}

/** Where the content of a string or binary begins; the value starts at `at`. */
export function contentStart(bytes: Uint8Array, at: number): number {
  return skipVarint(bytes, at + 1, bytes.length);
}

/** Decodes the value between two positions that `skipValue` has passed. Text is UTF-8. */
export function decodeValue(bytes: Buffer, at: number, end: number): Value {
  const type = (bytes[at] as number) & 0x0f;
  switch (type) {
    case VALUE_TYPE.null:
      return { type: "null" };
    case VALUE_TYPE.bool:
      return { type: "bool", value: bytes[at] === BOOL_TRUE };
    case VALUE_TYPE.ipv4:
    case VALUE_TYPE.ipv6:
      return { type: type === VALUE_TYPE.ipv4 ? "ipv4" : "ipv6", value: addressText(bytes, at, end) };
    case VALUE_TYPE.string:
    case VALUE_TYPE.binary: {
      const content = bytes.subarray(contentStart(bytes, at), end);
      // A string with any flag is binary to HAProxy.
      if (bytes[at] === VALUE_TYPE.string) return { type: "string", value: content.toString() };
      return { type: "binary", value: Buffer.from(content) };
    }
    default:
      return integer(type, varintToBigInt(bytes, at + 1, end));
  }
}

function integer(type: number, value: bigint): Value {
  if (type === VALUE_TYPE.int32) return { type: "int32", value: BigInt.asIntN(32, value) };
  if (type === VALUE_TYPE.uint32) return { type: "uint32", value: BigInt.asUintN(32, value) };
  return type === VALUE_TYPE.int64 ? { type: "int64", value: BigInt.asIntN(64, value) } : { type: "uint64", value };
}

/** Text of a typed IPv4 or IPv6 value; IPv6 in the form of RFC 5952. */
export function addressText(bytes: Uint8Array, at: number, end: number): string {
  if (end - at === 5) return `${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}.${bytes[at + 4]}`;
  return ipv6Text(bytes, at + 1);
}

/** RFC 5952: the longest run of two or more zero words becomes `::`, the first of equals. */
function ipv6Text(bytes: Uint8Array, at: number): string {
  const words: number[] = [];
  for (let i = at; i < at + 16; i += 2) words.push(((bytes[i] as number) << 8) | (bytes[i + 1] as number));
  let [start, length] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (words[i + run] === 0) run++;
    if (run > length) [start, length] = [i, run];
  }
  const text = (part: number[]) => part.map((word) => word.toString(16)).join(":");
  if (length === 1) return text(words);
  return `${text(words.slice(0, start))}::${text(words.slice(start + length))}`;
}

/** A typed value as bytes (SPOE.txt, section 3.1). */
export function encodeValue(value: Value): Buffer {
  switch (value.type) {
    case "null":
      return Buffer.of(VALUE_TYPE.null);
    case "bool":
      return Buffer.of(value.value ? BOOL_TRUE : VALUE_TYPE.bool);
    case "int32":
    case "uint32":
    case "int64":
    case "uint64":
      return Buffer.concat([Buffer.of(VALUE_TYPE[value.type]), encodeVarint(BigInt.asUintN(64, value.value))]);
    case "ipv4":
      return Buffer.of(VALUE_TYPE.ipv4, ...value.value.split(".").map(Number));
    case "ipv6":
      return Buffer.concat([Buffer.of(VALUE_TYPE.ipv6), ipv6Bytes(value.value)]);
    case "string":
    case "binary": {
      const content = typeof value.value === "string" ? Buffer.from(value.value) : value.value;
      return Buffer.concat([Buffer.of(VALUE_TYPE[value.type]), encodeVarint(content.length), content]);
    }
  }
}

function ipv6Bytes(text: string): Buffer {
  const [head = "", tail] = text.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = new Array<string>(8 - left.length - right.length).fill("0");
  const bytes = Buffer.alloc(16);
  for (const [i, word] of [...left, ...zeros, ...right].entries())
    bytes.writeUInt16BE(Number.parseInt(word, 16), i * 2);
  return bytes;
}
