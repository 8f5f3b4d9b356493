import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { test } from "tap";
import { SpopServer } from "../../agent/server/spop-server.ts";
import type { ServerEvents } from "../../agent/telemetry/events.ts";
import { encodeHaproxyHello } from "../../protocol/client.ts";
import { decodeActions, decodeNotify } from "../../protocol/decode.ts";
import { encodeFrame, encodeMessages } from "../../protocol/encode.ts";
import { type Frame, FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeDisconnect } from "../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { mutated, type Random, seeded } from "../protocol/mutate.ts";
import { clientOf, IDENTITY, messageOf, policiesOf, snapshotOf, valuesOf } from "../support/agent.ts";

const FRAMES = 100_000;
/** After so many the server must still answer a new connection as it should. */
const BATCH = 5_000;
/** Frames in one write: HAProxy has no more in flight, and of more the oldest are not answered. */
const WRITE = 20;
const LIMIT = 65532;
const MIB = 2 ** 20;
/** More memory than this between the first batch and the last would be a leak. */
const GROWTH = 8 * MIB;

/** Counts, and keeps nothing. */
class Counter implements ServerEvents {
  bugs: unknown[] = [];
  unanswered = 0;
  connected() {}
  disconnected() {}
  decided() {}
  protocolError() {}
  healthCheck() {}
  unpipelined() {}
  dropped(count: number) {
    this.unanswered += count;
  }
  unexpected(_where: string, error: unknown) {
    this.bugs.push(error);
  }
}

const ORIGINALS = [
  encodeFrame(FRAME_TYPE.notify, encodeMessages(messageOf()), { streamId: 1n, frameId: 1n }),
  encodeFrame(FRAME_TYPE.notify, encodeMessages(messageOf({ h_accept: "text/html", query: null })), {
    streamId: 301n,
    frameId: 70_000n,
  }),
];
const OTHERS = [encodeHaproxyHello(), encodeDisconnect("haproxy", 2, "idle"), encodeFrame(99, Buffer.alloc(9))];

/** Where the payload begins, the length prefix counted. */
function payloadStart(frame: Buffer): number {
  let start = 0;
  new FrameDecoder(LIMIT).push(frame, (read) => {
    start = read.payloadStart;
  });
  return start;
}

/** One frame, mostly a NOTIFY whose payload is mutated; sometimes its header, or another frame. */
function frame(random: Random): Buffer {
  if (random(200) === 0) return mutated(OTHERS[random(OTHERS.length)] as Buffer, random, 0, 3);
  const original = ORIGINALS[random(ORIGINALS.length)] as Buffer;
  if (random(60) === 0) return mutated(original, random, 0, 2);
  if (random(20) === 0) return mutated(original, random, 4, 2);
  return mutated(original, random, payloadStart(original), 4);
}

/** What must come back for a stream of bytes, told without the decoder that is tested. */
interface Expected {
  /** Every NOTIFY, in order: its ids as they came, and its bytes. */
  readonly notifies: readonly { readonly ids: string; readonly bytes: Buffer }[];
  readonly frames: number;
  /** `open`: at a frame's end; `within` one; `over`: the agent says DISCONNECT and closes. */
  readonly state: "open" | "within" | "over";
}

function expected(stream: Buffer): Expected {
  const notifies: { ids: string; bytes: Buffer }[] = [];
  let frames = 0;
  for (let at = 0; ; frames++) {
    if (at === stream.length) return { notifies, frames, state: "open" };
    if (stream.length - at < 4) return { notifies, frames, state: "within" };
    const length = stream.readUInt32BE(at);
    if (length < 7 || length > LIMIT) return { notifies, frames, state: "over" };
    const bytes = stream.subarray(at, at + 4 + length);
    if (bytes.length < 4 + length) return { notifies, frames, state: "within" };
    const ids = idsOf(bytes.subarray(9));
    if (ids === undefined || (bytes.readUInt32BE(5) & 1) === 0) return { notifies, frames, state: "over" };
    if (bytes[4] === FRAME_TYPE.haproxyDisconnect) return { notifies, frames: frames + 1, state: "over" };
    if (bytes[4] === FRAME_TYPE.notify) notifies.push({ ids, bytes });
    at += 4 + length;
  }
}

/** Two varints of at most ten bytes each, as hexadecimal text. */
function idsOf(bytes: Buffer): string | undefined {
  let at = 0;
  for (let n = 0; n < 2; n++) {
    const start = at;
    const first = bytes[at++];
    if (first === undefined) return undefined;
    if (first < 240) continue;
    do {
      if (at >= bytes.length || at - start >= 10) return undefined;
    } while ((bytes[at++] as number) >= 128);
  }
  return bytes.subarray(0, at).toString("hex");
}

/** One conversation after a HELLO. */
class Talk {
  readonly socket: Socket;
  readonly acks: { ids: string; verdict: unknown; id: unknown }[] = [];
  disconnected = false;
  closed = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    const decoder = new FrameDecoder(LIMIT);
    const woken = () => this.#wake();
    socket
      .on("error", () => {})
      .on("close", () => {
        this.closed = true;
        woken();
      });
    socket.on("data", (chunk: Buffer) => {
      decoder.push(chunk, (read) => this.#frame(read));
      woken();
    });
  }

  static async open(port: number): Promise<Talk> {
    const socket = connect(port, "127.0.0.1").setNoDelay(true);
    const talk = new Talk(socket);
    socket.write(encodeHaproxyHello({ maxFrameSize: LIMIT }));
    await once(socket, "data");
    return talk;
  }

  #frame(read: Frame): void {
    if (read.type === FRAME_TYPE.agentDisconnect) this.disconnected = true;
    if (read.type !== FRAME_TYPE.ack) return;
    const ids = read.bytes.subarray(read.idsStart, read.payloadStart).toString("hex");
    const { verdict, id } = valuesOf(decodeActions(read));
    this.acks.push({ ids, verdict, id });
  }

  /** Waits for so many ACKs, or for the end. */
  async until(acks: number): Promise<void> {
    while (!this.closed && this.acks.length < acks) await new Promise<void>((done) => (this.#wake = done));
  }

  async end(): Promise<void> {
    this.socket.end();
    await this.until(Number.POSITIVE_INFINITY);
  }
}

/** Whether a NOTIFY, mutated or not, is one that may be allowed with this id: whole, with contract and credential. */
function allowable(bytes: Buffer, id: unknown): boolean {
  let may = false;
  new FrameDecoder(LIMIT).push(bytes, (read) => {
    const messages = decodeNotify(read);
    const args = Object.fromEntries((messages[0]?.args ?? []).map(({ name, value }) => [name, value]));
    may =
      messages.length === 1 &&
      messages[0]?.name === "authorize" &&
      args.id?.type === "string" &&
      args.id.value === id &&
      args.contract?.type === "string" &&
      args.contract.value.split(":").includes("h_x-auth-subject") &&
      args.authorization?.type === "string" &&
      /^bearer +alice$/i.test(args.authorization.value);
  });
  return may;
}

/** Sends frames in one piece or two until the conversation is over. Returns how many were read, and what was wrong. */
async function converse(port: number, random: Random, wanted: number): Promise<{ frames: number; allowed: number }> {
  const talk = await Talk.open(port);
  let [frames, acks, allowed] = [0, 0, 0];
  for (;;) {
    const stream = Buffer.concat(Array.from({ length: WRITE }, () => frame(random)));
    const should = expected(stream);
    const cut = random(4) === 0 ? random(stream.length) : stream.length;
    talk.socket.write(stream.subarray(0, cut));
    if (cut < stream.length) await new Promise(setImmediate);
    if (!talk.socket.destroyed) talk.socket.write(stream.subarray(cut));
    await talk.until(acks + should.notifies.length);
    const last = should.state !== "open" || frames + should.frames >= wanted;
    if (last) await talk.end();
    for (const { ids, bytes } of should.notifies) {
      const ack = talk.acks[acks++];
      if (ack?.ids !== ids) throw new Error(`NOTIFY ${bytes.toString("hex")}: no ACK of its own, but ${ack?.ids}`);
      if (ack.verdict !== "deny" && ack.verdict !== "allow")
        throw new Error(`${bytes.toString("hex")}: ${ack.verdict}`);
      if (ack.verdict === "allow" && ++allowed && !allowable(bytes, ack.id))
        throw new Error(`allowed: ${bytes.toString("hex")}`);
    }
    frames += should.frames;
    if (talk.acks.length > acks) throw new Error("more ACKs than NOTIFYs");
    if (should.state === "over" && !talk.disconnected)
      throw new Error(`closed without a word: ${stream.toString("hex")}`);
    if (should.state !== "over" && talk.disconnected)
      throw new Error(`DISCONNECT for good frames: ${stream.toString("hex")}`);
    if (last) return { frames, allowed };
  }
}

/** Bytes in use when all that can be collected has been. */
async function used(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  // What lies outside the heap goes one turn after the objects that held it.
  for (let i = 0; i < 4; i++) {
    collect();
    await new Promise((done) => setTimeout(done, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test(`${FRAMES} mutated frames on live connections: each NOTIFY is answered, or the connection ended`, async (t) => {
  const { seed, random } = seeded(t);
  const events = new Counter();
  const server = new SpopServer({ snapshot: snapshotOf(policiesOf(), IDENTITY), events, clock: Date.now });
  await server.listen([{ host: "127.0.0.1", port: 0 }]);
  t.teardown(() => server.close());
  const [address] = server.addresses;
  const port = address !== undefined && "port" in address ? address.port : 0;
  let [frames, allowed, connections, first] = [0, 0, 0, 0];
  while (frames < FRAMES) {
    const until = frames + BATCH;
    while (frames < until) {
      connections++;
      const talked = await converse(port, random, until - frames).catch((error: unknown) => {
        throw new Error(`SEED=${seed}: after ${frames} frames`, { cause: error });
      });
      frames += talked.frames;
      allowed += talked.allowed;
    }
    const client = await clientOf(t, port);
    t.match(valuesOf(await client.notify(messageOf())), { verdict: "allow" }, `after ${frames} frames`);
    await client.close();
    if (first === 0) first = await used();
  }
  const growth = (await used()) - first;
  t.ok(growth < GROWTH, `${Math.round(growth / MIB)} MiB more than after the first batch`);
  t.comment(`${connections} connections, ${allowed} of the mutated NOTIFYs were still good`);
  t.ok(allowed > 0 && allowed < frames / 2, "some mutations hurt nothing, most do");
  t.ok(connections > 100, "many ended their connection");
  t.equal(events.unanswered, 0);
  t.strictSame(events.bugs, []);
  t.equal(server.inFlight, 0);
});

test("mutated HELLOs are answered or refused, and their connections end", async (t) => {
  const { random } = seeded(t);
  const events = new Counter();
  const server = new SpopServer({ snapshot: snapshotOf(policiesOf(), IDENTITY), events, clock: Date.now });
  await server.listen([{ host: "127.0.0.1", port: 0 }]);
  t.teardown(() => server.close());
  const [address] = server.addresses;
  const port = address !== undefined && "port" in address ? address.port : 0;
  const hello = encodeHaproxyHello({ healthcheck: true });
  let answered = 0;
  for (let i = 0; i < 1000; i++) {
    const bytes = mutated(hello, random, random(10) === 0 ? 0 : 4, 3);
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    let said = 0;
    socket.on("data", (chunk: Buffer) => (said += chunk.length));
    socket.end(bytes);
    await once(socket, "close");
    if (said > 0) answered++;
  }
  t.ok(answered > 500, `${answered} were whole frames, and got an answer`);
  t.strictSame(events.bugs, []);
  for (let i = 0; i < 100 && server.connections > 0; i++) await new Promise((done) => setTimeout(done, 20));
  t.equal(server.connections, 0);
});
