import { test } from "tap";
import { decodeActions, decodeNotify, type Message } from "../../protocol/decode.ts";
import { AckWriter, encodeFrame, encodeMessages, encodeSetVar } from "../../protocol/encode.ts";
import { SPOP_ERRORS, SpopError } from "../../protocol/errors.ts";
import { FrameDecoder } from "../../protocol/frame-decoder.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { decodeValue, encodeValue, skipValue } from "../../protocol/value.ts";
import { encodeVarint, skipVarint, varintToBigInt, varintToNumber, writeVarint } from "../../protocol/varint.ts";
import { BAD_FRAMES, BAD_PAYLOADS, BAD_VARINTS, VALUES, VARINTS } from "./vectors.ts";

const LIMIT = 16380;
const hex = (text: string) => Buffer.from(text, "hex");

/** The code of the SpopError that the call ends in. */
function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof SpopError) return error.code;
    throw error;
  }
  return "no error";
}

test("every varint has one encoding, exact to 64 bits", (t) => {
  for (const [value, text] of VARINTS) {
    const bytes = hex(text);
    t.equal(encodeVarint(value).toString("hex"), text, `encodes ${value}`);
    t.equal(skipVarint(bytes, 0, bytes.length), bytes.length, `ends after ${text}`);
    t.equal(varintToBigInt(bytes, 0, bytes.length), value, `decodes ${text}`);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      t.equal(varintToNumber(bytes, 0, bytes.length), Number.POSITIVE_INFINITY, "no bound admits an inexact length");
      continue;
    }
    const written = Buffer.alloc(10);
    t.equal(writeVarint(written, 0, Number(value)), bytes.length);
    t.equal(written.subarray(0, bytes.length).toString("hex"), text, `writes ${value}`);
    t.equal(varintToNumber(bytes, 0, bytes.length), Number(value));
  }
  for (const [text, code] of BAD_VARINTS) {
    const bytes = hex(text);
    const read = () => varintToBigInt(bytes, 0, skipVarint(bytes, 0, bytes.length));
    t.equal(codeOf(read), code, `refuses ${text || "nothing"}`);
  }
  t.throws(() => encodeVarint(1n << 64n), RangeError);
  t.throws(() => encodeVarint(-1n), RangeError);
  t.end();
});

test("typed values read as HAProxy reads them", (t) => {
  for (const [text, value] of VALUES) {
    const bytes = hex(text);
    t.equal(skipValue(bytes, 0, bytes.length), bytes.length, `skips ${text}`);
    t.strictSame(decodeValue(bytes, 0, bytes.length), value, `decodes ${text}`);
    for (let end = 0; end < Math.min(bytes.length, 40); end++)
      t.not(
        codeOf(() => skipValue(bytes, 0, end)),
        "no error",
        "cut off",
      );
    t.equal(encodeValue(value).toString("hex"), text, `encodes ${text}`);
  }
  t.end();
});

const MESSAGES: readonly (readonly [string, readonly Message[]])[] = [
  ["no message", []],
  ["a message without arguments", [{ name: "authorize", args: [] }]],
  ["an argument without a name", [{ name: "authorize", args: [{ name: "", value: { type: "null" } }] }]],
  ["every type of value", [{ name: "all", args: VALUES.map(([, value], i) => ({ name: `a${i}`, value })) }]],
  [
    "two messages",
    [
      { name: "first", args: [{ name: "method", value: { type: "string", value: "GET" } }] },
      { name: "second", args: [{ name: "src", value: { type: "ipv4", value: "10.0.0.1" } }] },
    ],
  ],
  [
    "a long argument",
    [{ name: "authorize", args: [{ name: "t", value: { type: "string", value: "x".repeat(9000) } }] }],
  ],
];
const IDS = [0n, 1n, 239n, 240n, 0xffff_ffffn, 1n << 32n, (1n << 64n) - 1n];

test("frames decode the same whole, byte by byte, at every cut and joined with others", (t) => {
  const cases = MESSAGES.flatMap(([name, messages], i) => {
    const ids = { streamId: IDS[i % IDS.length] as bigint, frameId: IDS[(i + 3) % IDS.length] as bigint };
    return [{ name, ids, messages, bytes: encodeFrame(FRAME_TYPE.notify, encodeMessages(messages), ids) }];
  });
  const all = Buffer.concat(cases.map(({ bytes }) => bytes));
  const expected = cases.map(({ ids, messages }) => ({ ...ids, messages }));
  const read = (chunks: readonly Buffer[]) => {
    const decoder = new FrameDecoder(LIMIT);
    const frames: unknown[] = [];
    for (const chunk of chunks) {
      decoder.push(chunk, (frame) => {
        frames.push({ streamId: frame.streamId, frameId: frame.frameId, messages: decodeNotify(frame) });
      });
    }
    return frames;
  };
  for (const [i, { name, bytes }] of cases.entries()) t.strictSame(read([bytes]), [expected[i]], name);
  t.strictSame(read([all]), expected, "joined");
  t.strictSame(read(Array.from(all, (byte) => Buffer.of(byte))), expected, "byte by byte");
  for (let cut = 1; cut < 300; cut++)
    t.strictSame(read([all.subarray(0, cut), all.subarray(cut)]), expected, `cut ${cut}`);
  for (const size of [2, 3, 5, 7, 11, 64, 1000]) {
    const chunks = Array.from({ length: Math.ceil(all.length / size) }, (_, i) =>
      all.subarray(i * size, (i + 1) * size),
    );
    t.strictSame(read(chunks), expected, `pieces of ${size}`);
  }
  t.end();
});

test("a malformed payload is one named error, and the frame's ids are still known", (t) => {
  for (const [name, payload, code] of BAD_PAYLOADS) {
    const bytes = encodeFrame(FRAME_TYPE.notify, hex(payload), { streamId: 7n, frameId: 9n });
    new FrameDecoder(LIMIT).push(bytes, (frame) => {
      t.equal(
        codeOf(() => decodeNotify(frame)),
        code,
        name,
      );
      t.strictSame([frame.streamId, frame.frameId], [7n, 9n]);
    });
  }
  t.end();
});

test("a broken frame is refused as soon as that is certain, before anything is kept for it", (t) => {
  for (const [name, text, code, status] of BAD_FRAMES) {
    const bytes = hex(text);
    t.equal(
      codeOf(() => new FrameDecoder(LIMIT).push(bytes, () => t.fail(name))),
      code,
      name,
    );
    const decoder = new FrameDecoder(LIMIT);
    const bytewise = () => {
      for (const byte of bytes) decoder.push(Buffer.of(byte), () => t.fail(name));
    };
    t.equal(codeOf(bytewise), code, `${name}, byte by byte`);
    t.equal(SPOP_ERRORS[code as keyof typeof SPOP_ERRORS], status, `${name}: DISCONNECT status`);
  }
  t.end();
});

test("unknown frame types are ordinary frames, for the reader to skip", (t) => {
  const types: number[] = [];
  const bytes = Buffer.concat([99, 200, 0].map((type) => encodeFrame(type, Buffer.from("whatever"))));
  new FrameDecoder(LIMIT).push(bytes, (frame) => types.push(frame.type));
  t.strictSame(types, [99, 200, 0]);
  t.end();
});

test("an ACK repeats its ids bit for bit and holds the actions in order", (t) => {
  const writer = new AckWriter();
  const frames: unknown[] = [];
  for (const [i, streamId] of IDS.entries()) {
    const ids = { streamId, frameId: IDS[IDS.length - 1 - i] as bigint };
    new FrameDecoder(LIMIT).push(encodeFrame(FRAME_TYPE.notify, Buffer.alloc(0), ids), (frame) => {
      writer.begin(frame.bytes, frame.idsStart, frame.payloadStart);
      writer.setString(encodeSetVar("transaction", "id"), "é".repeat(i * 300));
      writer.append(
        Buffer.concat([encodeSetVar("transaction", "verdict"), encodeValue({ type: "string", value: "deny" })]),
      );
      writer.finish();
    });
    frames.push({ ...ids, id: "é".repeat(i * 300), verdict: "deny" });
  }
  writer.begin(hex("0101"), 0, 2);
  writer.abandon();
  const read: unknown[] = [];
  new FrameDecoder(LIMIT).push(writer.take(), (frame) => {
    const [id, verdict] = decodeActions(frame);
    read.push({ streamId: frame.streamId, frameId: frame.frameId, id: id?.value.value, verdict: verdict?.value.value });
  });
  t.strictSame(read, frames);
  t.equal(writer.size, 0);
  t.end();
});

test("bytes that were handed out are never written again", (t) => {
  const writer = new AckWriter();
  const write = (text: string) => {
    writer.begin(hex("0101"), 0, 2);
    writer.setString(encodeSetVar("transaction", "v"), text);
    writer.finish();
    return writer.take();
  };
  const first = write("first");
  const copy = Buffer.from(first);
  for (let i = 0; i < 100; i++) write("x".repeat(i * 100));
  t.strictSame(first, copy);
  t.end();
});

test("a variable that HAProxy would silently not set cannot be encoded", (t) => {
  for (const name of ["", "mesh-identity", "a b", "é", "x".repeat(49)])
    t.throws(() => encodeSetVar("transaction", name));
  t.end();
});
