import { once } from "node:events";
import { connect } from "node:net";
import { type Test, test } from "tap";
import type { Verification } from "../../agent/identity/identity.ts";
import { encodeHaproxyHello } from "../../protocol/client.ts";
import { decodeActions } from "../../protocol/decode.ts";
import { encodeFrame, encodeList, encodeMessages } from "../../protocol/encode.ts";
import { type Frame, FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, encodeDisconnect, readDisconnect } from "../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import type { Value } from "../../protocol/value.ts";
import { BAD_FRAMES, BAD_PAYLOADS, VARINTS } from "../protocol/vectors.ts";
import { frameOf } from "../protocol/ways.ts";
import { ALICE, clientOf, identityOf, messageOf, serverOf, valuesOf } from "../support/agent.ts";

const PAYLOAD = encodeMessages(messageOf()).toString("hex");
const notify = (ids: string) => frameOf(FRAME_TYPE.notify, PAYLOAD, ids);
const HELLO = encodeHaproxyHello();
const GOODBYE = "DISCONNECT 0";

/** What the agent says to these bytes and a FIN, each frame in a word or two. The pieces are sent in turns of their own. */
async function said(port: number, pieces: readonly Buffer[]): Promise<readonly string[]> {
  const socket = connect(port, "127.0.0.1")
    .setNoDelay(true)
    .on("error", () => {});
  const frames: string[] = [];
  const decoder = new FrameDecoder(65536);
  socket.on("data", (chunk: Buffer) => decoder.push(chunk, (frame) => frames.push(inWords(frame))));
  const closed = new Promise((done) => socket.on("close", done));
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise(setImmediate);
  }
  socket.end();
  await closed;
  return frames;
}

function inWords(frame: Frame): string {
  if (frame.type === FRAME_TYPE.agentHello) return "HELLO";
  if (frame.type === FRAME_TYPE.agentDisconnect) return `DISCONNECT ${readDisconnect(frame).status}`;
  const ids = frame.bytes.subarray(frame.idsStart, frame.payloadStart).toString("hex");
  return `${valuesOf(decodeActions(frame)).verdict} ${ids}`;
}

const status = (code: number): Value => ({ type: "uint32", value: BigInt(code) });
const CODES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99, 4711];
const SKIPPED = [0, 1, 4, 99, 100, 101, 102, 103, 104, 255];

/** What is sent after the HELLO, and what comes back after the agent's. */
const TALKS: readonly (readonly [string, readonly Buffer[], readonly string[]])[] = [
  ...VARINTS.map(([id, bytes]): (typeof TALKS)[number] => [
    `ids ${id} come back bit by bit`,
    [notify(`${bytes}01`), notify(`01${bytes}`)],
    [`allow ${bytes}01`, `allow 01${bytes}`],
  ]),
  ["stream 0, frame 0", [notify("0000")], ["allow 0000"]],
  [
    "several in one read",
    [Buffer.concat([notify("0101"), notify("0301"), notify("0501")])],
    ["allow 0101", "allow 0301", "allow 0501"],
  ],
  ["one twice", [notify("0101"), notify("0101")], ["allow 0101", "allow 0101"]],
  ["reserved flags", [frameOf(FRAME_TYPE.notify, PAYLOAD, "0101", "fffffffd")], ["allow 0101"]],
  ["no message", [frameOf(FRAME_TYPE.notify, "", "0101"), notify("0301")], ["deny 0101", "allow 0301"]],
  [
    "256 arguments, counted as none",
    [frameOf(FRAME_TYPE.notify, `09617574686f72697a6500${"016200".repeat(256)}`)],
    ["deny 0101"],
  ],
  ...BAD_PAYLOADS.map(([name, payload]): (typeof TALKS)[number] => [
    name,
    [frameOf(FRAME_TYPE.notify, payload, "0101"), notify("0301")],
    ["deny 0101", "allow 0301"],
  ]),
  ...SKIPPED.map((type): (typeof TALKS)[number] => [
    `type ${type} is skipped`,
    [Buffer.concat([frameOf(type, "ffff", "0101"), notify("0301")])],
    ["allow 0301"],
  ]),
  ["a second HELLO is skipped", [HELLO, notify("0101")], ["allow 0101"]],
  ...CODES.map((code): (typeof TALKS)[number] => [
    `HAProxy's DISCONNECT ${code}, and nothing after it`,
    [Buffer.concat([notify("0101"), encodeDisconnect("haproxy", code, "why"), notify("0301")])],
    ["allow 0101", GOODBYE],
  ]),
  [
    "a DISCONNECT with unknown keys",
    [encodeFrame(FRAME_TYPE.haproxyDisconnect, encodeList([["x", status(1)]]))],
    [GOODBYE],
  ],
  ["a DISCONNECT that is cut off", [frameOf(FRAME_TYPE.haproxyDisconnect, "0178", "0000")], ["DISCONNECT 4"]],
  ...BAD_FRAMES.map(([name, bytes, , code]): (typeof TALKS)[number] => [
    `${name}, after a good one`,
    [Buffer.concat([notify("0101"), Buffer.from(bytes, "hex"), notify("0301")])],
    ["allow 0101", `DISCONNECT ${code}`],
  ]),
  ["a fragment", [frameOf(FRAME_TYPE.notify, PAYLOAD, "0101", "00000000")], ["DISCONNECT 10"]],
  ["half a NOTIFY and the end", [notify("0101"), notify("0301").subarray(0, -1)], ["allow 0101"]],
  ["half a length and the end", [Buffer.of(0, 0)], []],
];

test("what the agent answers on a connection", async (t) => {
  const { port, events, server } = await serverOf(t);
  for (const [name, pieces, expected] of TALKS) {
    t.strictSame(await said(port, [HELLO, ...pieces]), ["HELLO", ...expected], name);
    t.strictSame(
      await said(port, [Buffer.concat([HELLO, ...pieces])]),
      ["HELLO", ...expected],
      `${name}, in one piece`,
    );
  }
  t.equal(server.inFlight, 0);
  t.strictSame(events.bugs, []);
});

test("of HAProxy's own DISCONNECTs those that complain are counted", async (t) => {
  const { port, events } = await serverOf(t);
  for (const code of CODES) await said(port, [HELLO, encodeDisconnect("haproxy", code, "why")]);
  t.strictSame(
    events.errors,
    CODES.filter((code) => code > 2).map(() => "DISCONNECTED"),
  );
});

const list = (keys: Readonly<Record<string, Value>>) =>
  encodeFrame(FRAME_TYPE.haproxyHello, encodeList(Object.entries(keys)));
const text = (value: string): Value => ({ type: "string", value });
const VERSION = { "supported-versions": text("2.0") };
const SIZE = { "max-frame-size": status(16380) };
const CAPABILITIES = { capabilities: text("pipelining") };

/** What can stand in a HELLO's place, and the code that refuses it. */
const REFUSED: readonly (readonly [string, Buffer, number])[] = [
  ["a NOTIFY", notify("0101"), 4],
  ["an agent's HELLO", encodeAgentHello({ maxFrameSize: 16380, pipelining: true }), 4],
  ["a DISCONNECT", encodeDisconnect("haproxy", 0, ""), 4],
  ["a request of HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 3],
  ["TLS", Buffer.from("16030100c8010000c40303", "hex"), 3],
  ["an empty frame", Buffer.alloc(4), 4],
  ["a HELLO without FIN", frameOf(FRAME_TYPE.haproxyHello, "", "0000", "00000000"), 10],
  ["no version", list({ ...SIZE, ...CAPABILITIES }), 5],
  ["no size", list({ ...VERSION, ...CAPABILITIES }), 6],
  ["no capabilities", list({ ...VERSION, ...SIZE }), 7],
  ["another version", list({ ...SIZE, ...CAPABILITIES, "supported-versions": text("1.0") }), 8],
  ["too small a size", list({ ...VERSION, ...CAPABILITIES, "max-frame-size": status(255) }), 9],
  ["a version of another type", list({ ...SIZE, ...CAPABILITIES, "supported-versions": status(2) }), 4],
  ["a HELLO that is larger than any", list({ ...VERSION, ...SIZE, ...CAPABILITIES, x: text("x".repeat(5000)) }), 3],
];

test("what is no HELLO is refused by its own code, and nothing more is read", async (t) => {
  const { port, server } = await serverOf(t);
  for (const [name, bytes, code] of REFUSED)
    t.strictSame(await said(port, [Buffer.concat([bytes, notify("0101")])]), [`DISCONNECT ${code}`], name);
  t.match(
    valuesOf(await (await clientOf(t, port)).notify(messageOf())),
    { verdict: "allow" },
    "others are not disturbed",
  );
  t.equal(server.connections, 1);
});

test("a frame may be as large as was agreed, and no larger", async (t) => {
  const { port } = await serverOf(t);
  const hello = encodeHaproxyHello({ maxFrameSize: 1024 });
  const fill = (size: number) => {
    const shortest = encodeFrame(FRAME_TYPE.notify, encodeMessages(messageOf({ h_x: "" }))).length - 4;
    return frameOf(
      FRAME_TYPE.notify,
      encodeMessages(messageOf({ h_x: "x".repeat(size - shortest - 1) })).toString("hex"),
    );
  };
  t.equal(fill(1024).readUInt32BE(0), 1024);
  t.strictSame(await said(port, [hello, fill(1024)]), ["HELLO", "allow 0101"]);
  t.strictSame(await said(port, [hello, fill(1025)]), ["HELLO", "DISCONNECT 3"]);
});

/** Half a frame of so many bytes, on a connection that is open. */
async function half(t: Test, port: number, size: number) {
  const client = await clientOf(t, port, { maxFrameSize: size });
  const start = Buffer.alloc(size - 1);
  start.writeUInt32BE(size - 4);
  start[4] = FRAME_TYPE.notify;
  const closed = once(client.socket, "close");
  return { client, start, closed };
}

test("a frame that is begun and not ended in time ends its connection, however it drips", async (t) => {
  const { port, events, server } = await serverOf(t, undefined, undefined, {}, { frame: 100 });
  const dripping = await half(t, port, 4096);
  const drip = setInterval(() => dripping.client.socket.write("x"), 10);
  t.teardown(() => clearInterval(drip));
  dripping.client.socket.write(dripping.start.subarray(0, 5));
  const short = await half(t, port, 4096);
  short.client.socket.write(short.start.subarray(0, 2));
  const idle = await clientOf(t, port);
  await Promise.all([dripping.closed, short.closed]);
  t.strictSame(events.errors, ["FRAME_TIMEOUT", "FRAME_TIMEOUT"]);
  t.match(valuesOf(await idle.notify(messageOf())), { verdict: "allow" }, "who sends nothing may stay");
  t.equal(server.connections, 1);
});

test("a HAProxy that is slow is answered: each frame has a time of its own", async (t) => {
  const { port } = await serverOf(t, undefined, undefined, {}, { frame: 200 });
  const client = await clientOf(t, port);
  const frame = notify("0101");
  let answers = 0;
  client.socket.on("data", () => answers++);
  client.socket.write(frame.subarray(0, 9));
  // Each read ends one frame and begins the next, so that there is always one that is not whole, for longer than one may take.
  for (const until = performance.now() + 600; performance.now() < until; ) {
    await new Promise((done) => setTimeout(done, 5));
    client.socket.write(Buffer.concat([frame.subarray(9), frame.subarray(0, 9)]));
  }
  client.socket.write(frame.subarray(9));
  t.match(valuesOf(await client.notify(messageOf())), { verdict: "allow" });
  t.ok(answers > 1);
});

test("half frames take no more than their share of memory: the oldest goes first", async (t) => {
  const { port, server } = await serverOf(t, undefined, undefined, {}, { held: 4 * 65_536 + 10_000 });
  const honest = await clientOf(t, port, { maxFrameSize: 65_536 });
  const halves = [];
  for (let i = 0; i < 8; i++) {
    const one = await half(t, port, 65_536);
    one.client.socket.write(one.start);
    // Answered by the server after what it has read of the others.
    await honest.notify(messageOf());
    halves.push(one);
  }
  const frame = notify("0101");
  honest.socket.write(frame.subarray(0, 40));
  await Promise.all(halves.slice(0, 4).map(({ closed }) => closed));
  while (server.connections > 5) await new Promise(setImmediate);
  const answer = honest.answerTo({ streamId: 1n, frameId: 1n });
  honest.socket.write(frame.subarray(40));
  t.match(valuesOf(await answer), { verdict: "allow" }, "who has just begun is not the oldest");
  t.strictSame(
    halves.map(({ client }) => client.socket.destroyed),
    [true, true, true, true, false, false, false, false],
  );
});

test("the AGENT-HELLO leaves in one piece, however the other one came", async (t) => {
  const { port } = await serverOf(t);
  const socket = connect(port, "127.0.0.1").setNoDelay(true);
  t.teardown(() => socket.destroy());
  const first = new Promise<Buffer>((done) => socket.once("data", done));
  for (const byte of HELLO) {
    socket.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  const piece = await first;
  t.equal(piece.length, 4 + piece.readUInt32BE(0));
});

test("the same ids on two connections are two requests", async (t) => {
  const finish: ((verification: Verification) => void)[] = [];
  const slow = () => new Promise<Verification>((done) => finish.push(done));
  const { port } = await serverOf(t, undefined, identityOf({ slow, other: slow }), { deadline: 10_000 });
  const [one, two] = [await clientOf(t, port), await clientOf(t, port)];
  const first = one.notify(messageOf({ authorization: "Bearer slow" }));
  await one.notify([]);
  const second = two.notify(messageOf({ authorization: "Bearer other" }));
  await two.notify([]);
  for (const [i, subject] of ["carol", "dave"].entries()) finish[i]?.({ principal: { ...ALICE, subject } });
  t.match(valuesOf(await first), { verdict: "allow", subject: "carol" });
  t.match(valuesOf(await second), { verdict: "allow", subject: "dave" });
});

test("what HAProxy has given up while the agent stood still is not answered", async (t) => {
  const { port, events, server } = await serverOf(t, undefined, identityOf({ slow: () => new Promise(() => {}) }), {
    deadline: 200,
  });
  const spop = await clientOf(t, port);
  let answered = false;
  spop.notify(messageOf({ authorization: "Bearer slow" })).then(
    () => (answered = true),
    () => {},
  );
  while (server.inFlight === 0) await new Promise(setImmediate);
  // Nothing else stands still: no timer, no socket, as after SIGSTOP.
  const until = performance.now() + 600;
  while (performance.now() < until);
  await new Promise((done) => setTimeout(done, 20));
  await spop.notify([]);
  t.notOk(answered);
  t.equal(events.unanswered, 1);
  t.equal(server.inFlight, 0);
});
