import type { Socket } from "node:net";
import { test } from "tap";
import { SpopClient } from "../../protocol/client.ts";
import { encodeFrame, encodeList } from "../../protocol/encode.ts";
import type { Frame } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, encodeDisconnect, readDisconnect, readHello } from "../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import type { Value } from "../../protocol/value.ts";
import { listen } from "../support/listener.ts";
import { frameOf, readings } from "./ways.ts";

const text = (value: string): Value => ({ type: "string", value });
const size = (value: bigint): Value => ({ type: "uint32", value });
const TRUE: Value = { type: "bool", value: true };
const HELLO = { "supported-versions": text("2.0"), "max-frame-size": size(16380n), capabilities: text("pipelining") };
const READ = { maxFrameSize: 16380, pipelining: true, healthcheck: false, engineId: "" };

type Keys = Readonly<Record<string, Value | undefined>>;

/** A HAPROXY-HELLO as it should be, with other keys. */
function helloOf(keys: Keys): Buffer {
  const list = Object.entries({ ...HELLO, ...keys }).flatMap(([key, value]) => (value ? [[key, value] as const] : []));
  return encodeFrame(FRAME_TYPE.haproxyHello, encodeList(list));
}

/** HELLOs: what the row says, what is different, what was read or the error. */
const HELLOS: readonly (readonly [string, Keys, Partial<typeof READ> | string])[] = [
  ["as it should be", {}, {}],
  ["old: pipelining and async", { capabilities: text("pipelining,async"), "engine-id": text("e") }, { engineId: "e" }],
  [
    "a check of 3.0: no engine-id, no capability",
    { capabilities: text(""), healthcheck: TRUE },
    { healthcheck: true, pipelining: false },
  ],
  ["no healthcheck", { healthcheck: { type: "bool", value: false } }, {}],
  ["healthcheck that is no boolean", { healthcheck: text("true") }, {}],
  ["an engine-id that is no text", { "engine-id": size(1n) }, {}],
  ["blanks around the version", { "supported-versions": text(" 2.0 ") }, {}],
  ["version 2.00", { "supported-versions": text("2.00") }, {}],
  ["a list of versions", { "supported-versions": text("1.0, 2.0") }, {}],
  ["a list of versions, ours first", { "supported-versions": text("2.0,3.0") }, {}],
  ["version 1.0", { "supported-versions": text("1.0") }, "VERSION_UNSUPPORTED"],
  ["version 2.1, which implies 2.0", { "supported-versions": text("2.1") }, {}],
  ["a higher major, and a higher minor of ours", { "supported-versions": text("3.0,2.1") }, {}],
  ["version 2.10", { "supported-versions": text("2.10") }, {}],
  ["version 12.0", { "supported-versions": text("12.0") }, "VERSION_UNSUPPORTED"],
  ["version 2.1.0", { "supported-versions": text("2.1.0") }, "VERSION_UNSUPPORTED"],
  ["version 2.x", { "supported-versions": text("2.x") }, "VERSION_UNSUPPORTED"],
  ["version -2.1", { "supported-versions": text("-2.1") }, "VERSION_UNSUPPORTED"],
  ["version 3.0", { "supported-versions": text("3.0") }, "VERSION_UNSUPPORTED"],
  ["version 2", { "supported-versions": text("2") }, "VERSION_UNSUPPORTED"],
  ["version 2.", { "supported-versions": text("2.") }, "VERSION_UNSUPPORTED"],
  ["version 20", { "supported-versions": text("20") }, "VERSION_UNSUPPORTED"],
  ["version abc", { "supported-versions": text("abc") }, "VERSION_UNSUPPORTED"],
  ["an empty version", { "supported-versions": text("") }, "VERSION_UNSUPPORTED"],
  ["no version", { "supported-versions": undefined }, "VERSION_MISSING"],
  ["a version that is a number", { "supported-versions": size(2n) }, "HELLO_MALFORMED"],
  [
    "a version that is binary",
    { "supported-versions": { type: "binary", value: Buffer.from("2.0") } },
    "HELLO_MALFORMED",
  ],
  ["no max-frame-size", { "max-frame-size": undefined }, "MAX_FRAME_SIZE_MISSING"],
  ["a max-frame-size of text", { "max-frame-size": text("16380") }, "HELLO_MALFORMED"],
  ["a max-frame-size of NULL", { "max-frame-size": { type: "null" } }, "HELLO_MALFORMED"],
  ["a max-frame-size of 256", { "max-frame-size": size(256n) }, { maxFrameSize: 256 }],
  ["a max-frame-size of 255", { "max-frame-size": size(255n) }, "MAX_FRAME_SIZE_BAD"],
  ["a max-frame-size of 0", { "max-frame-size": size(0n) }, "MAX_FRAME_SIZE_BAD"],
  ["a negative max-frame-size", { "max-frame-size": { type: "int32", value: -1n } }, "MAX_FRAME_SIZE_BAD"],
  [
    "a max-frame-size of 64 bits",
    { "max-frame-size": { type: "uint64", value: (1n << 64n) - 1n } },
    { maxFrameSize: 0xffff_ffff },
  ],
  ["a tune.bufsize of 128 KiB", { "max-frame-size": size(131_068n) }, { maxFrameSize: 131_068 }],
  ["no capabilities", { capabilities: undefined }, "CAPABILITIES_MISSING"],
  ["empty capabilities", { capabilities: text("") }, { pipelining: false }],
  ["capabilities that are no text", { capabilities: TRUE }, "HELLO_MALFORMED"],
  ["capabilities with blanks, others among them", { capabilities: text("async, pipelining ,fragmentation") }, {}],
  ["a capability that only begins so", { capabilities: text("pipelining2") }, { pipelining: false }],
  ["unknown keys", { "x-new": { type: "null" }, "supported-versions-2": text("3.0") }, {}],
  ["an empty key", { "": text("x") }, {}],
];

function headersOf({ type, streamId, frameId, flags }: Frame) {
  return { type, streamId, frameId, flags };
}

test("a HELLO is read, or refused by the code of what is wrong with it", (t) => {
  for (const [name, keys, expected] of HELLOS) {
    const outcome = typeof expected === "string" ? expected : { ...READ, ...expected };
    t.strictSame(readings(helloOf(keys), readHello), [outcome, outcome, outcome], name);
  }
  const list = encodeList(Object.entries(HELLO));
  for (const [name, bytes, code] of [
    ["a key of a reserved type", frameOf(1, `${list.toString("hex")}01780a`, "0000"), "VALUE_TYPE_UNKNOWN"],
    ["a key that is cut off", frameOf(1, `${list.toString("hex")}0978`, "0000"), "NAME_TRUNCATED"],
    ["a value that is cut off", frameOf(1, list.subarray(0, -3).toString("hex"), "0000"), "VALUE_TRUNCATED"],
    ["no FIN", frameOf(1, list.toString("hex"), "0000", "00000000"), "FRAGMENTED"],
    ["nothing", frameOf(1, "", "0000"), "VERSION_MISSING"],
    ["a NOTIFY instead", frameOf(3, "", "0101"), "HELLO_EXPECTED"],
    ["a DISCONNECT instead", encodeDisconnect("haproxy", 0, ""), "HELLO_EXPECTED"],
    ["an agent's HELLO instead", encodeAgentHello({ maxFrameSize: 16380, pipelining: true }), "HELLO_EXPECTED"],
  ] as const) {
    t.strictSame(readings(bytes, readHello), [code, code, code], name);
  }
  t.end();
});

test("an AGENT-HELLO has version, size and capabilities, ids 0 and FIN", (t) => {
  for (const pipelining of [true, false]) {
    const bytes = encodeAgentHello({ maxFrameSize: 16380, pipelining });
    const expected = { type: 101, streamId: 0n, frameId: 0n, flags: 1 };
    t.strictSame(readings(bytes, headersOf), [expected, expected, expected]);
    // Keys are matched by their beginnings there: none of ours may begin another one's way.
    const keys = [
      "0776657273696f6e0803322e30",
      "0e6d61782d6672616d652d73697a6503fcf006",
      "0c6361706162696c697469657308",
    ];
    t.equal(bytes.subarray(11).toString("hex"), keys.join("") + (pipelining ? "0a706970656c696e696e67" : "00"));
  }
  t.end();
});

const CODES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99, 100, 4711, 0xffff_ffff];

/** DISCONNECTs: what the row says, its keys, what was read. */
const DISCONNECTS: readonly (readonly [string, readonly (readonly [string, Value])[], unknown])[] = [
  ["no code", [["message", text("m")]], { status: 99, message: "m" }],
  ["a code of text", [["status-code", text("3")]], { status: 99, message: "" }],
  ["a signed code", [["status-code", { type: "int32", value: 3n }]], { status: 3, message: "" }],
  [
    "a message that is no text",
    [
      ["status-code", size(3n)],
      ["message", TRUE],
    ],
    { status: 3, message: "" },
  ],
  [
    "unknown keys, any order",
    [
      ["x", TRUE],
      ["message", text("m")],
      ["status-code", size(2n)],
    ],
    { status: 2, message: "m" },
  ],
  [
    "a long message is cut",
    [
      ["status-code", size(2n)],
      ["message", text("m".repeat(900))],
    ],
    { status: 2, message: "m".repeat(128) },
  ],
  ["nothing", [], { status: 99, message: "" }],
];

test("a DISCONNECT of either side says its status", (t) => {
  for (const side of ["agent", "haproxy"] as const)
    for (const code of CODES) {
      const expected = { status: code, message: "why" };
      t.strictSame(readings(encodeDisconnect(side, code, "why"), readDisconnect), [expected, expected, expected]);
    }
  for (const [name, list, expected] of DISCONNECTS) {
    const bytes = encodeFrame(FRAME_TYPE.haproxyDisconnect, encodeList(list));
    t.strictSame(readings(bytes, readDisconnect), [expected, expected, expected], name);
  }
  const code = "VALUE_TRUNCATED";
  t.strictSame(readings(frameOf(2, "0178", "0000"), readDisconnect), [code, code, code], "cut off");
  t.end();
});

/** What an agent does at the HELLO: what the row says, how, what our client's caller is told. */
const AGENTS: readonly (readonly [string, (socket: Socket) => unknown, { code: string; status?: number }])[] = [
  ["closes", (socket) => socket.end(), { code: "CONNECTION_CLOSED" }],
  ["resets", (socket) => socket.resetAndDestroy(), { code: "CONNECTION_CLOSED" }],
  [
    "sends half a HELLO and closes",
    (socket) => socket.end(encodeAgentHello({ maxFrameSize: 256, pipelining: true }).subarray(0, 20)),
    { code: "CONNECTION_CLOSED" },
  ],
  ...CODES.map((status): (typeof AGENTS)[number] => [
    `DISCONNECT ${status}`,
    (socket) => socket.end(encodeDisconnect("agent", status, "why")),
    { code: "DISCONNECTED", status },
  ]),
  ["an ACK", (socket) => socket.write(frameOf(103, "", "0101")), { code: "HELLO_EXPECTED" }],
  ["another protocol", (socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"), { code: "FRAME_TOO_BIG" }],
  ["a HELLO without FIN", (socket) => socket.write(frameOf(101, "", "0000", "00000000")), { code: "FRAGMENTED" }],
  ["an empty frame", (socket) => socket.write(Buffer.alloc(4)), { code: "FRAME_TOO_SHORT" }],
];

test("our client tells how the handshake failed", async (t) => {
  for (const [name, answer, expected] of AGENTS) {
    const port = await listen(t, (socket) => socket.once("data", () => answer(socket)));
    await t.rejects(SpopClient.open({ host: "127.0.0.1", port }), expected, name);
  }
  await t.rejects(SpopClient.open({ host: "127.0.0.1", port: 1 }), { code: "CONNECTION_CLOSED" }, "nobody listens");
});

test("our client pairs answers by both ids, and every waiting one hears of the end", async (t) => {
  const hello = encodeAgentHello({ maxFrameSize: 16380, pipelining: true });
  const verdict = (ids: string, value: string) => frameOf(103, `0103020176${value}`, ids);
  const port = await listen(t, (socket) => {
    socket.once("data", () => {
      socket.write(hello);
      socket.once("data", () => {
        // Out of order, one that nobody asked for, one twice, an unknown type, and half of one at the end.
        const frames = [verdict("0301", "11"), verdict("0901", "11"), verdict("0101", "01"), verdict("0101", "11")];
        socket.end(Buffer.concat([...frames, frameOf(99, ""), verdict("0501", "11").subarray(0, -1)]));
      });
    });
  });
  const client = await SpopClient.open({ host: "127.0.0.1", port });
  const answers = await Promise.allSettled([1n, 3n, 5n].map(() => client.notify([])));
  t.match(answers, [
    { status: "fulfilled", value: [{ value: { value: false } }] },
    { status: "fulfilled", value: [{ value: { value: true } }] },
    { status: "rejected", reason: { code: "CONNECTION_CLOSED" } },
  ]);
  await t.rejects(client.notify([]), { code: "CONNECTION_CLOSED" });
});
