import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { decodeNotify } from "../../protocol/decode.ts";
import { encodeFrame, encodeList } from "../../protocol/encode.ts";
import { SpopError } from "../../protocol/errors.ts";
import { type Frame, FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, encodeDisconnect, readDisconnect, readHello } from "../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import type { Value } from "../../protocol/value.ts";

const FOLDER = join(import.meta.dirname, "../vectors");
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));

/** Decodes one frame whole and byte by byte, which must say the same, and hands back what `look` made of it. */
function decoded<T>(bytes: Buffer, look: (frame: Frame) => T): T[] {
  const results: T[] = [];
  new FrameDecoder(65536).push(bytes, (frame) => results.push(look(frame)));
  const decoder = new FrameDecoder(65536);
  for (const byte of bytes) decoder.push(Buffer.of(byte), (frame) => results.push(look(frame)));
  return results;
}

test("frames of real HAProxys", (t) => {
  t.ok(FILES.length >= 3, FILES.join(", "));
  for (const file of FILES) {
    const frames = JSON.parse(readFileSync(join(FOLDER, file), "utf8"));
    const bytes = (name: string) => Buffer.from(frames[name], "hex");
    const hellos = decoded(bytes("hello"), readHello);
    t.match(
      hellos,
      [{ pipelining: true, healthcheck: false, engineId: /^[0-9a-f-]{36}$/ }, { pipelining: true }],
      file,
    );
    t.match(decoded(bytes("check"), readHello), [{ pipelining: false, healthcheck: true, engineId: "" }, {}], file);
    const [whole, bytewise] = decoded(bytes("notify"), decodeNotify);
    t.strictSame(whole, bytewise);
    t.equal(whole?.length, 1);
    t.equal(whole?.[0]?.name, "authorize");
    t.match(Object.fromEntries((whole?.[0]?.args ?? []).map(({ name, value }) => [name, value])), {
      id: { type: "string", value: /^[0-9a-f]{32}$/ },
      src: { type: "ipv4", value: "127.0.0.1" },
      tls: { type: "bool", value: false },
      method: { type: "string", value: "GET" },
      host: { type: "string", value: "orders.example.com" },
      path: { type: "string", value: "/v1/orders" },
      authorization: { type: "string", value: "Bearer example" },
      contract: { type: "string", value: "1:subject:h_x-auth-subject" },
    });
  }
  t.end();
});

const text = (value: string): Value => ({ type: "string", value });
const size = (value: bigint): Value => ({ type: "uint32", value });
const HELLO = { "supported-versions": text("2.0"), "max-frame-size": size(16380n), capabilities: text("pipelining") };

const HELLOS: readonly (readonly [string, Readonly<Record<string, Value | undefined>>, string])[] = [
  ["as it should be", {}, "ok"],
  ["a list of versions", { "supported-versions": text("1.0, 2.0") }, "ok"],
  ["blanks and zeros", { "supported-versions": text(" 2.00 ") }, "ok"],
  ["version 2", { "supported-versions": text("2") }, "ok"],
  ["version 1.0", { "supported-versions": text("1.0") }, "VERSION_UNSUPPORTED"],
  ["version 2.1", { "supported-versions": text("2.1") }, "VERSION_UNSUPPORTED"],
  ["version 3.0", { "supported-versions": text("3.0") }, "VERSION_UNSUPPORTED"],
  ["no version", { "supported-versions": undefined }, "VERSION_MISSING"],
  ["a version that is a number", { "supported-versions": size(2n) }, "HELLO_MALFORMED"],
  ["no max-frame-size", { "max-frame-size": undefined }, "MAX_FRAME_SIZE_MISSING"],
  ["a max-frame-size of text", { "max-frame-size": text("16380") }, "HELLO_MALFORMED"],
  ["a max-frame-size of 255", { "max-frame-size": size(255n) }, "MAX_FRAME_SIZE_BAD"],
  ["a negative max-frame-size", { "max-frame-size": { type: "int32", value: -1n } }, "MAX_FRAME_SIZE_BAD"],
  ["no capabilities", { capabilities: undefined }, "CAPABILITIES_MISSING"],
  ["empty capabilities", { capabilities: text("") }, "ok"],
  ["old capabilities", { capabilities: text("pipelining,async,fragmentation") }, "ok"],
  ["unknown keys", { "x-new": { type: "null" } }, "ok"],
];

test("a HELLO is refused with the status of what is wrong with it", (t) => {
  for (const [name, change, expected] of HELLOS) {
    const list = Object.entries({ ...HELLO, ...change }).flatMap(([key, value]) =>
      value ? [[key, value] as const] : [],
    );
    const outcome = decoded(encodeFrame(FRAME_TYPE.haproxyHello, encodeList(list)), (frame) => {
      try {
        readHello(frame);
        return "ok";
      } catch (error) {
        return error instanceof SpopError ? error.code : String(error);
      }
    });
    t.strictSame(outcome, [expected, expected], name);
  }
  t.end();
});

test("an AGENT-HELLO has version, size and capabilities, ids 0 and FIN; a DISCONNECT its status", (t) => {
  for (const pipelining of [true, false]) {
    const bytes = encodeAgentHello({ maxFrameSize: 16380, pipelining });
    t.equal(bytes.subarray(4, 11).toString("hex"), "65000000010000");
    const capabilities = pipelining ? "0a706970656c696e696e67" : "00";
    t.ok(bytes.toString("hex").endsWith(`${Buffer.from("capabilities").toString("hex")}08${capabilities}`));
  }
  const [disconnect] = decoded(encodeDisconnect("agent", 3, "too big"), readDisconnect);
  t.strictSame(disconnect, { status: 3, message: "too big" });
  const unknown = encodeFrame(FRAME_TYPE.haproxyDisconnect, encodeList([["reason", text("x")]]));
  t.strictSame(decoded(unknown, readDisconnect)[0], { status: 99, message: "" });
  t.end();
});
