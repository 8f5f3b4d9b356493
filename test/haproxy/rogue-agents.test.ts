import type { Socket } from "node:net";
import { type Test, test } from "tap";
import { encodeFrame, encodeList, encodeName, encodeSetVar } from "../../protocol/encode.ts";
import { encodeAgentHello, encodeDisconnect } from "../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { encodeValue, type Value } from "../../protocol/value.ts";
import { startBackend } from "../support/backend.ts";
import { freePort, type HaproxyBinary, haproxies, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { filesFor } from "../support/rendered.ts";
import { type Asked, actions, startRogue } from "../support/rogue.ts";

// What HAProxys do with bytes that no agent should send: whatever it is, nobody gets through.
const HOST = "host: orders.example.com";
const TOKEN = "authorization: Bearer alice";

const allowed = (id: string) =>
  [
    ["id", id],
    ["backend", "orders"],
    ["header_1", "mallory"],
    ["verdict", "allow"],
  ] as const;
const ack = (ids: { streamId: bigint; frameId: bigint }, payload: Buffer) => encodeFrame(FRAME_TYPE.ack, payload, ids);
const whole = (asked: Asked) => actions(allowed(asked.id));
const allBut = (asked: Asked) => actions(allowed(asked.id).slice(0, 3));
const verdict = (value: Buffer) => Buffer.concat([encodeSetVar("transaction", "verdict"), value]);
const ALLOW = encodeValue({ type: "string", value: "allow" });

/** Answers to a NOTIFY, each of which would allow if it were in order. */
const ANSWERS: Readonly<Record<string, (asked: Asked, socket: Socket) => unknown>> = {
  "the end, without an ACK": (_asked, socket) => socket.end(),
  "an ACK for stream and frame 0": (asked, socket) => socket.write(ack({ streamId: 0n, frameId: 0n }, whole(asked))),
  "a frame of an unknown type": (asked, socket) => socket.write(encodeFrame(77, whole(asked), asked)),
  "a frame of an unknown type, ids 0": (asked, socket) => socket.write(encodeFrame(77, whole(asked))),
  "a NOTIFY": (asked, socket) => socket.write(encodeFrame(FRAME_TYPE.notify, whole(asked), asked)),
  "an action with a wrong number of arguments": (asked, socket) =>
    socket.write(ack(asked, Buffer.concat([allBut(asked), Buffer.of(1, 2, 2), encodeName("verdict"), ALLOW]))),
  "an action in a scope that there is not": (asked, socket) =>
    socket.write(ack(asked, Buffer.concat([allBut(asked), Buffer.of(1, 3, 9), encodeName("verdict"), ALLOW]))),
  "a text that is longer than the frame": (asked, socket) =>
    socket.write(ack(asked, Buffer.concat([allBut(asked), verdict(Buffer.of(8, 200, 97, 108))]))),
  "a verdict with a flag for true that is another": (asked, socket) =>
    socket.write(ack(asked, Buffer.concat([allBut(asked), verdict(Buffer.of(0x21))]))),
  "a verdict of a reserved type": (asked, socket) =>
    socket.write(ack(asked, Buffer.concat([allBut(asked), verdict(Buffer.of(0x0c)), whole(asked).subarray(0, 0)]))),
  "a verdict that is set, then unset": (asked, socket) =>
    socket.write(ack(asked, Buffer.concat([whole(asked), Buffer.of(2, 2, 2), encodeName("verdict")]))),
  "an ACK of just the largest frame's size": (asked, socket) => {
    const short = ack(asked, Buffer.concat([whole(asked), actions([["rule", ""]])]));
    const filler = "x".repeat(16380 - (short.length - 4) - 2);
    socket.write(ack(asked, Buffer.concat([actions([["rule", filler]]), allBut(asked)])));
  },
  "an ACK for a stream of later": (asked, socket) =>
    socket.write(ack({ ...asked, streamId: asked.streamId + 2n }, whole(asked))),
};

const list = (...pairs: (readonly [string, Value])[]) => encodeFrame(FRAME_TYPE.agentHello, encodeList(pairs));
const text = (value: string): Value => ({ type: "string", value });
const size = (value: bigint): Value => ({ type: "uint32", value });
const [VERSION, SIZE, CAPABILITIES] = [
  ["version", text("2.0")],
  ["max-frame-size", size(16380n)],
  ["capabilities", text("pipelining")],
] as const;

/** HELLOs that no HAProxy takes. What comes after them would allow. */
const HELLOS: Readonly<Record<string, Buffer>> = {
  "version 1.0": list(["version", text("1.0")], SIZE, CAPABILITIES),
  "version 3.0": list(["version", text("3.0")], SIZE, CAPABILITIES),
  "a version that is none": list(["version", text("abc")], SIZE, CAPABILITIES),
  "no version": list(SIZE, CAPABILITIES),
  "a version that is a number": list(["version", size(2n)], SIZE, CAPABILITIES),
  "a max-frame-size of 255": list(VERSION, ["max-frame-size", size(255n)], CAPABILITIES),
  "a max-frame-size above the offered one": list(VERSION, ["max-frame-size", size(1n << 20n)], CAPABILITIES),
  "a max-frame-size that is a text": list(VERSION, ["max-frame-size", text("16380")], CAPABILITIES),
  "an empty key": list(VERSION, SIZE, CAPABILITIES, ["", text("x")]),
  "stream and frame 1": encodeFrame(FRAME_TYPE.agentHello, encodeList([VERSION, SIZE, CAPABILITIES]), {
    streamId: 1n,
    frameId: 1n,
  }),
  "no FIN": encodeFrame(FRAME_TYPE.agentHello, encodeList([VERSION, SIZE, CAPABILITIES]), undefined, 0),
  "a DISCONNECT": encodeDisconnect("agent", 0, "bye"),
  "an ACK": encodeFrame(FRAME_TYPE.ack, actions(allowed("0".repeat(32)))),
  "an HTTP answer": Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
};

async function front(t: Test, binary: HaproxyBinary, agent: number) {
  const backend = await startBackend(t);
  const port = await freePort();
  await startHaproxy(t, binary, { ...filesFor(binary, `127.0.0.1:${port}`, agent, backend.port) }, port);
  const ask = async () => {
    const client = await RawClient.open(port);
    const answer = await client.request("GET /v1/orders HTTP/1.1", [HOST, TOKEN]);
    client.close();
    return answer;
  };
  return { backend, ask };
}

async function untilAllowed(ask: () => Promise<{ status: number }>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if ((await ask()).status === 200) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error("never allowed");
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: no answer that is out of order lets anybody through`, async (t) => {
    let answer: (asked: Asked, socket: Socket) => unknown = () => {};
    const agent = await startRogue(t, (asked, socket) => answer(asked, socket));
    const { backend, ask } = await front(t, binary, agent);
    for (const [name, rogue] of Object.entries(ANSWERS)) {
      answer = rogue;
      t.match(await ask(), { status: 503 }, name);
    }
    t.equal(backend.received.length, 0);
    answer = (asked, socket) => socket.write(ack(asked, whole(asked)));
    await untilAllowed(ask);
    // An ACK that comes after HAProxy has given up is for nobody, and the connection goes on.
    answer = (asked, socket) => setTimeout(() => socket.write(ack(asked, whole(asked))), 700);
    t.match(await ask(), { status: 503 }, "too late");
    answer = (asked, socket) => socket.write(ack(asked, whole(asked)));
    await untilAllowed(ask);
    answer = (asked, socket) => socket.end(ack(asked, whole(asked)));
    t.match(await ask(), { status: 200 }, "an ACK and the end is an ACK");
  });

  test(`HAProxy ${binary.version}: a HELLO that is out of order lets nobody through`, async (t) => {
    let hello: Buffer = Buffer.alloc(0);
    const agent = await startRogue(
      t,
      (asked, socket) => socket.write(ack(asked, whole(asked))),
      (_hello, socket) => socket.write(hello),
    );
    const { backend, ask } = await front(t, binary, agent);
    for (const [name, bytes] of Object.entries(HELLOS)) {
      hello = bytes;
      t.match(await ask(), { status: 503 }, name);
    }
    t.equal(backend.received.length, 0);
    hello = encodeAgentHello({ maxFrameSize: 16380, pipelining: true });
    await untilAllowed(ask);
  });
}
