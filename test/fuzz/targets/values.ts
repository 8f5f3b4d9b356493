import { isDeepStrictEqual } from "node:util";
import { type Action, decodeActions, decodeNotify, type Message } from "../../../protocol/decode.ts";
import { AckWriter, encodeFrame, encodeMessages, encodeSetVar } from "../../../protocol/encode.ts";
import { FrameDecoder } from "../../../protocol/frame-decoder.ts";
import { FRAME_TYPE, SCOPE, type Scope } from "../../../protocol/spop.ts";
import { encodeValue, type Value } from "../../../protocol/value.ts";
import type { Random } from "../random.ts";
import { hold, type Target } from "../target.ts";

const NUMBERS = [
  0n,
  1n,
  239n,
  240n,
  2287n,
  2288n,
  264_431n,
  264_432n,
  2n ** 31n - 1n,
  2n ** 32n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
];
const SCOPES = Object.keys(SCOPE) as Scope[];

/** Any value, in the one way in which it is written. */
function someValue(random: Random): Value {
  const number = random.pick(NUMBERS) + BigInt(random.below(3));
  switch (random.below(9)) {
    case 0:
      return { type: "null" };
    case 1:
      return { type: "bool", value: random.once(2) };
    case 2:
      return { type: "int32", value: BigInt.asIntN(32, random.once(2) ? number : -number) };
    case 3:
      return { type: "uint32", value: BigInt.asUintN(32, number) };
    case 4:
      return { type: "int64", value: BigInt.asIntN(64, random.once(2) ? number : -number) };
    case 5:
      return { type: "uint64", value: BigInt.asUintN(64, random.once(2) ? number : -number) };
    case 6:
      return { type: "ipv4", value: [...random.bytes(4)].join(".") };
    case 7:
      return { type: "string", value: textOf(random) };
    default:
      return { type: "binary", value: random.bytes(random.below(300)) };
  }
}

function textOf(random: Random): string {
  const unit = () => String.fromCodePoint(random.pick([random.below(0x80), 0xe9, 0x20ac, 0x1f600]));
  return Array.from({ length: random.below(random.once(10) ? 300 : 12) }, unit).join("");
}

function messagesOf(random: Random): readonly Message[] {
  return Array.from({ length: random.below(3) }, () => ({
    name: Buffer.from(textOf(random)).toString("latin1"),
    args: Array.from({ length: random.below(6) }, (_, n) => ({
      name: random.once(9) ? "" : `argument${n}`,
      value: someValue(random),
    })),
  }));
}

/** A frame's payload as it is decoded, whatever pieces it comes in. */
function payloadOf<T>(type: number, payload: Buffer, decode: (frame: Parameters<typeof decodeNotify>[0]) => T): T {
  let found: { readonly value: T } | undefined;
  new FrameDecoder(1 << 24).push(encodeFrame(type, payload), (frame) => {
    found = { value: decode(frame) };
  });
  if (found === undefined) throw new Error("no frame");
  return found.value;
}

/** Sets variables to texts as the agent does, and reads the ACK as HAProxy would. */
function acked(messages: readonly Message[]): void {
  const writer = new AckWriter();
  const texts = messages.flatMap(({ args }) =>
    args.flatMap(({ value }) => (value.type === "string" ? [value.value] : [])),
  );
  const expected: Action[] = [];
  writer.begin(Buffer.of(7, 1), 0, 2);
  for (const [n, value] of texts.entries()) {
    const scope = SCOPES[n % SCOPES.length] as Scope;
    const variable = encodeSetVar(scope, `v_${n}`);
    const short = Buffer.from(value);
    if (n % 2 === 0 && short.length < 240) writer.setText(variable, short, 0, short.length);
    else if (n % 3 === 0) writer.append(Buffer.concat([variable, encodeValue({ type: "string", value })]));
    else writer.setString(variable, value);
    expected.push({ action: "set", scope, name: `v_${n}`, value: { type: "string", value } });
  }
  const size = writer.finish();
  const bytes = writer.take();
  hold(size === bytes.length, "the size of the ACK is not that of its bytes");
  const read: Action[][] = [];
  new FrameDecoder(1 << 24).push(bytes, (frame) => void read.push([...decodeActions(frame)]));
  hold(isDeepStrictEqual(read, [expected]), "HAProxy would read another ACK than was written");
}

export const SPOP_VALUES: Target = {
  name: "values",
  oracle:
    "SPOP messages and values, written and read: the same values, and the same bytes when they are written again; ACKs, written by each way that the agent has, are read as they were meant",
  tested: 6_000,
  share: 1_000,
  reaches: ["messages", "nothing"],
  open: () => ({
    input: (random) => encodeMessages(messagesOf(random)),
    check(input) {
      const messages = payloadOf(FRAME_TYPE.notify, input, decodeNotify);
      const written = encodeMessages(messages);
      hold(written.equals(input), "written again it has other bytes");
      hold(
        isDeepStrictEqual(payloadOf(FRAME_TYPE.notify, written, decodeNotify), messages),
        "read again it is something else",
      );
      acked(messages);
      return messages.length > 0 ? "messages" : "nothing";
    },
  }),
};
