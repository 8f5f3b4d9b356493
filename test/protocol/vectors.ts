/** Byte vectors of SPOP values and frames, written from the specification and from what HAProxy was seen to send. */
import type { Value } from "../../protocol/value.ts";

/** SPOE.txt, section 3.1: value, encoding */
export const VARINTS: readonly (readonly [bigint, string])[] = [
  [0n, "00"],
  [1n, "01"],
  [239n, "ef"],
  [240n, "f000"],
  [241n, "f100"],
  [255n, "ff00"],
  [256n, "f001"],
  [2287n, "ff7f"],
  [2288n, "f08000"],
  [16380n, "fcf006"],
  [264431n, "ffff7f"],
  [264432n, "f0808000"],
  [0xffff_ffffn, "fff0fefe7e"],
  [1n << 32n, "f0f1fefe7e"],
  [(1n << 53n) - 1n, "fff0fefefefefe7e"],
  [(1n << 63n) - 1n, "fff0fefefefefefefe06"],
  [1n << 63n, "f0f1fefefefefefefe06"],
  [(1n << 64n) - 1n, "fff0fefefefefefefe0e"],
];

/** Varints that are cut off or wider than 64 bits. */
export const BAD_VARINTS: readonly (readonly [string, string])[] = [
  ["", "VARINT_TRUNCATED"],
  ["f0", "VARINT_TRUNCATED"],
  ["ff80", "VARINT_TRUNCATED"],
  ["f0808080808080808080", "VARINT_TRUNCATED"],
  ["f080808080808080808000", "VARINT_TOO_LONG"],
];

/** What HAProxy sends as arguments, and every other type: bytes, meaning. */
export const VALUES: readonly (readonly [string, Value])[] = [
  ["00", { type: "null" }],
  ["01", { type: "bool", value: false }],
  ["11", { type: "bool", value: true }],
  ["0205", { type: "int32", value: 5n }],
  ["02fbf0fefefefefefefe0e", { type: "int32", value: -5n }],
  ["03ef", { type: "uint32", value: 239n }],
  ["03fff0fefe7e", { type: "uint32", value: 0xffff_ffffn }],
  ["0405", { type: "int64", value: 5n }],
  ["04fff0fefefefefefefe06", { type: "int64", value: (1n << 63n) - 1n }],
  ["04f0f1fefefefefefefe06", { type: "int64", value: -(1n << 63n) }],
  ["04fbf0fefefefefefefe0e", { type: "int64", value: -5n }],
  ["05fff0fefefefefefefe0e", { type: "uint64", value: (1n << 64n) - 1n }],
  ["0600000000", { type: "ipv4", value: "0.0.0.0" }],
  ["06ffffffff", { type: "ipv4", value: "255.255.255.255" }],
  ["067f000001", { type: "ipv4", value: "127.0.0.1" }],
  ["0700000000000000000000000000000001", { type: "ipv6", value: "::1" }],
  ["0700000000000000000000000000000000", { type: "ipv6", value: "::" }],
  ["0720010db8000000010000000000000001", { type: "ipv6", value: "2001:db8:0:1::1" }],
  ["0720010db8000100020003000400050006", { type: "ipv6", value: "2001:db8:1:2:3:4:5:6" }],
  ["0700010000000000010000000000000000", { type: "ipv6", value: "1:0:0:1::" }],
  ["0800", { type: "string", value: "" }],
  ["0803474554", { type: "string", value: "GET" }],
  ["0804c3a9c3a9", { type: "string", value: "éé" }],
  ["08050d0a000909", { type: "string", value: "\r\n\0\t\t" }],
  [`08f000${"61".repeat(240)}`, { type: "string", value: "a".repeat(240) }],
  [`08f08000${"61".repeat(2288)}`, { type: "string", value: "a".repeat(2288) }],
  ["0900", { type: "binary", value: Buffer.alloc(0) }],
  ["09020001", { type: "binary", value: Buffer.of(0, 1) }],
];

/** Values that nobody encodes so, as HAProxy reads them: bytes, meaning. */
export const ODD_VALUES: readonly (readonly [string, Value])[] = [
  ["10", { type: "null" }],
  ["21", { type: "bool", value: false }],
  ["31", { type: "bool", value: false }],
  ["f1", { type: "bool", value: false }],
  ["1803474554", { type: "binary", value: Buffer.from("GET") }],
  ["f803474554", { type: "binary", value: Buffer.from("GET") }],
  ["1903474554", { type: "binary", value: Buffer.from("GET") }],
  ["0801ff", { type: "string", value: "\ufffd" }],
  // A wider number than the type has is cut to it.
  ["02f0f1fefe7e", { type: "int32", value: 0n }],
  ["03fff1fefe7e", { type: "uint32", value: 15n }],
];

/** Payloads of a NOTIFY that are broken: what, bytes, error. */
export const BAD_PAYLOADS: readonly (readonly [string, string, string])[] = [
  ["name longer than the frame", "05616263", "NAME_TRUNCATED"],
  ["no argument count", "0161", "ARGUMENTS_MISSING"],
  ["fewer arguments than announced", "016102016200", "VARINT_TRUNCATED"],
  ["argument without a value", "0161010162", "VALUE_TRUNCATED"],
  ["string longer than the frame", "01610101620805ab", "VALUE_TRUNCATED"],
  ["string of 2^64-1 bytes", "016101016208fff0fefefefefefefe0e", "VALUE_TRUNCATED"],
  ["string length wider than 64 bits", "016101016208f08080808080808080808000", "VARINT_TOO_LONG"],
  ["half an IPv4 address", "01610101620601", "VALUE_TRUNCATED"],
  ["half an IPv6 address", `016101016207${"00".repeat(15)}`, "VALUE_TRUNCATED"],
  ["integer cut off", "016101016204f0", "VARINT_TRUNCATED"],
  ["reserved type 10", "01610101620a", "VALUE_TYPE_UNKNOWN"],
  ["reserved type 15", "01610101620f", "VALUE_TYPE_UNKNOWN"],
  ["rubbish after the last argument", "016101016200ff", "VARINT_TRUNCATED"],
];

/** Whole frames after which the stream cannot be read on: what, bytes, error, DISCONNECT status. */
export const BAD_FRAMES: readonly (readonly [string, string, string, number])[] = [
  ["length 0", "00000000", "FRAME_TOO_SHORT", 4],
  ["length 6", "00000006030000000101", "FRAME_TOO_SHORT", 4],
  ["length one past the limit", "00003ffd", "FRAME_TOO_BIG", 3],
  ["length 2^32-1", "ffffffff", "FRAME_TOO_BIG", 3],
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n").toString("hex"), "FRAME_TOO_BIG", 3],
  ["no FIN", "0000000703000000000101", "FRAGMENTED", 10],
  ["ABORT without FIN", "0000000700000000020101", "FRAGMENTED", 10],
  ["stream-id cut off", "000000070300000001fff0", "VARINT_TRUNCATED", 4],
  ["frame-id missing", "000000070300000001f000", "VARINT_TRUNCATED", 4],
];
