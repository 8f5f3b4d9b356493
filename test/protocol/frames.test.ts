import { test } from "tap";
import { decodeActions, decodeNotify, type Message } from "../../protocol/decode.ts";
import { encodeMessages } from "../../protocol/encode.ts";
import type { Frame } from "../../protocol/frame-decoder.ts";
import type { Value } from "../../protocol/value.ts";
import { BAD_FRAMES, BAD_PAYLOADS, ODD_VALUES, VALUES, VARINTS } from "./vectors.ts";
import { frameOf, readings } from "./ways.ts";

const NOTIFY = 3;
const ACK = 103;

const idsOf = ({ streamId, frameId }: Frame) => ({ streamId, frameId });
const NULL: Value = { type: "null" };
const text = (length: number) => "6e".repeat(length);
const message = (name: string, ...names: string[]): Message => ({
  name,
  args: names.map((argument) => ({ name: argument, value: NULL })),
});

/** Frames and their ids: what the row says, the frame, stream-id and frame-id or the error. */
const IDS: readonly (readonly [string, Buffer, readonly [bigint, bigint] | string])[] = [
  ["seven bytes are a frame", frameOf(NOTIFY, "", "0000"), [0n, 0n]],
  ["stream 0, as HAProxy before 3.1 begins", frameOf(NOTIFY, "", "0001"), [0n, 1n]],
  ["reserved flags", frameOf(NOTIFY, "", "0101", "fffffffd"), [1n, 1n]],
  ["ABORT beside FIN", frameOf(NOTIFY, "", "0101", "00000003"), [1n, 1n]],
  ["a type nobody knows", frameOf(99, "ffffff", "0502"), [5n, 2n]],
  ["the last fragment of a fragmented NOTIFY", frameOf(0, "ffff", "0502"), [5n, 2n]],
  ["the first fragment", frameOf(NOTIFY, "", "0502", "00000000"), "FRAGMENTED"],
  ["a fragment in the middle", frameOf(0, "", "0502", "00000000"), "FRAGMENTED"],
  ["an aborted fragment", frameOf(0, "", "0502", "00000002"), "FRAGMENTED"],
  ["FIN in another byte of the flags", frameOf(NOTIFY, "", "0101", "01000000"), "FRAGMENTED"],
  ...VARINTS.flatMap(([value, bytes]): (typeof IDS)[number][] => [
    [`stream-id ${value}`, frameOf(NOTIFY, "", `${bytes}01`), [value, 1n]],
    [`frame-id ${value}`, frameOf(NOTIFY, "", `01${bytes}`), [1n, value]],
  ]),
  ["stream-id 2^64", frameOf(NOTIFY, "", "f0f1fefefefefefefe0e01"), "VARINT_TOO_LONG"],
  ["a stream-id of eleven bytes", frameOf(NOTIFY, "", "f08080808080808080800001"), "VARINT_TOO_LONG"],
  ["a frame-id of eleven bytes", frameOf(NOTIFY, "", "01f080808080808080808000"), "VARINT_TOO_LONG"],
  ...BAD_FRAMES.map(([name, bytes, code]): (typeof IDS)[number] => [name, Buffer.from(bytes, "hex"), code]),
];

test("frames and their ids", (t) => {
  for (const [name, bytes, expected] of IDS) {
    const ids = typeof expected === "string" ? expected : { streamId: expected[0], frameId: expected[1] };
    t.strictSame(readings(bytes, idsOf), [ids, ids, ids], name);
  }
  t.end();
});

/** Payloads of a NOTIFY: what the row says, the payload, its messages or the error. */
const NOTIFIES: readonly (readonly [string, string, readonly Message[] | string])[] = [
  ["no message, as 3.1 to 3.3-dev6 may send", "", []],
  ["a message without arguments", "016100", [message("a")]],
  ["two messages", "016101016200016302016400016500", [message("a", "b"), message("c", "d", "e")]],
  ["an argument without a name", "0161010000", [message("a", "")]],
  ["a message without a name", "0001016200", [message("", "b")]],
  ["one name twice", "016102016200016200", [message("a", "b", "b")]],
  ["a name of 240 bytes", `f000${text(240)}00`, [message("n".repeat(240))]],
  ["a name of 2288 bytes", `f08000${text(2288)}00`, [message("n".repeat(2288))]],
  ["a name outside ASCII", "01e900", [message("é")]],
  ["255 arguments", `0161ff${"016200".repeat(255)}`, [message("a", ...Array<string>(255).fill("b"))]],
  [
    "256 arguments, which HAProxy counts as none",
    `016100${"016200".repeat(256)}`,
    [message("a"), ...Array<Message>(256).fill(message("b"))],
  ],
  ...[...VALUES, ...ODD_VALUES].map(([bytes, value]): (typeof NOTIFIES)[number] => [
    `an argument ${bytes.slice(0, 40)}`,
    `0161010162${bytes}`,
    [{ name: "a", args: [{ name: "b", value }] }],
  ]),
  ...Array.from({ length: 6 }, (_, i): (typeof NOTIFIES)[number] => [
    `reserved type ${10 + i}, whose length nobody knows`,
    `01610101620${(10 + i).toString(16)}00`,
    "VALUE_TYPE_UNKNOWN",
  ]),
  ...BAD_PAYLOADS,
];

test("what a NOTIFY says", (t) => {
  for (const [name, payload, expected] of NOTIFIES)
    t.strictSame(readings(frameOf(NOTIFY, payload), decodeNotify), [expected, expected, expected], name);
  t.throws(() => encodeMessages([message("a", ...Array<string>(256).fill("b"))]), RangeError);
  t.end();
});

const SCOPES = ["process", "session", "transaction", "request", "response"] as const;
const unset = (scope: (typeof SCOPES)[number]) => ({ action: "unset", scope, name: "v", value: NULL });
const set = (scope: (typeof SCOPES)[number], value: Value) => ({ action: "set", scope, name: "v", value });

/** Payloads of an ACK, as our client reads them: what the row says, the payload, its actions or the error. */
const ACKS: readonly (readonly [string, string, readonly unknown[] | string])[] = [
  ["no action", "", []],
  ...SCOPES.flatMap((scope, i): (typeof ACKS)[number][] => [
    [`set in ${scope}`, `01030${i}017611`, [set(scope, { type: "bool", value: true })]],
    [`unset in ${scope}`, `02020${i}0176`, [unset(scope)]],
  ]),
  ...[...VALUES, ...ODD_VALUES].map(([bytes, value]): (typeof ACKS)[number] => [
    `set to ${bytes.slice(0, 40)}`,
    `0103020176${bytes}`,
    [set("transaction", value)],
  ]),
  [
    "in order",
    "0103020176110202020176010302017601",
    [
      set("transaction", { type: "bool", value: true }),
      unset("transaction"),
      set("transaction", { type: "bool", value: false }),
    ],
  ],
  ["an action 0", "000302017611", "ACTION_UNKNOWN"],
  ["an action 3", "030302017611", "ACTION_UNKNOWN"],
  ["two arguments to set", "010202017611", "ACTION_MALFORMED"],
  ["three arguments to unset", "02030201760101", "ACTION_MALFORMED"],
  ["scope 5", "010305017611", "ACTION_MALFORMED"],
  ["a good action before a bad one", "01030201761109", "ACTION_MALFORMED"],
  ["no value", "0103020176", "VALUE_TRUNCATED"],
  ["a reserved type", "01030201760a", "VALUE_TYPE_UNKNOWN"],
  ["a name past the end", "0103020976", "NAME_TRUNCATED"],
  ["a string past the end", "01030201760805ab", "VALUE_TRUNCATED"],
  ["a string of 2^64-1 bytes", "010302017608fff0fefefefefefefe0e", "VALUE_TRUNCATED"],
];

test("what an ACK says", (t) => {
  for (const [name, payload, expected] of ACKS)
    t.strictSame(readings(frameOf(ACK, payload), decodeActions), [expected, expected, expected], name);
  t.end();
});
