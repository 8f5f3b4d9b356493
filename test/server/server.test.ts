import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import type { Verification } from "../../agent/identity/identity.ts";
import { SpopServer } from "../../agent/server/spop-server.ts";
import { encodeHaproxyHello, SpopClient } from "../../protocol/client.ts";
import type { Action } from "../../protocol/decode.ts";
import { encodeFrame, encodeMessages } from "../../protocol/encode.ts";
import { SpopError } from "../../protocol/errors.ts";
import { FrameDecoder } from "../../protocol/frame-decoder.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { BAD_FRAMES, BAD_PAYLOADS } from "../protocol/vectors.ts";
import { ALICE, argumentsFor, identityOf, policiesOf, Recorder, snapshotOf, startServer } from "../support/agent.ts";

const IDENTITY = identityOf({ alice: () => ({ principal: ALICE }) });

async function start(t: Test, policies = policiesOf(), identity = IDENTITY, config = {}) {
  const running = await startServer(snapshotOf(policies, identity, config));
  t.teardown(() => running.server.close());
  return running;
}

async function client(t: Test, port: number, options = {}) {
  const opened = await SpopClient.open({ host: "127.0.0.1", port }, options);
  t.teardown(() => opened.socket.destroy());
  return opened;
}

const values = (actions: readonly Action[]) =>
  Object.fromEntries(actions.map(({ name, value }) => [name, value.value]));
const message = (overrides = {}) => [{ name: "authorize", args: argumentsFor(overrides) }];

test("an allow carries the id back, names who it is, and says its verdict last", async (t) => {
  const { port, events } = await start(t);
  const spop = await client(t, port);
  const actions = await spop.notify(message());
  t.strictSame(
    actions.map(({ name, scope }) => `${scope}.${name}`),
    [
      "transaction.id",
      "transaction.reason",
      "transaction.rule",
      "transaction.revision",
      "transaction.subject",
      "transaction.header_1",
      "transaction.backend",
      "transaction.verdict",
    ],
  );
  t.match(values(actions), {
    id: "0123456789abcdef0123456789abcdef",
    verdict: "allow",
    subject: "alice",
    header_1: "alice",
    backend: "orders",
  });
  await spop.close();
  t.match(events.observations, [
    { requestId: "0123456789abcdef0123456789abcdef", src: "192.0.2.7", status: 200, cached: true },
  ]);
});

test("refusals carry status and challenge, and no identity header and no backend", async (t) => {
  const { port } = await start(t);
  const spop = await client(t, port);
  for (const [overrides, expected] of [
    [
      { authorization: null },
      { reason: "credential-missing", status: 401n, challenge: 'Bearer realm="orders.example.com"' },
    ],
    [{ authorization: "Basic YTpi" }, { reason: "credential-missing", status: 401n }],
    [
      { authorization: "Bearer mallory" },
      {
        reason: "signature-invalid",
        status: 401n,
        challenge: 'Bearer realm="orders.example.com", error="invalid_token"',
      },
    ],
    [{ authorization: "Bearer alice, Bearer alice" }, { reason: "credential-malformed", status: 401n }],
    [{ authorization: "Bearer" }, { reason: "credential-malformed", status: 401n }],
    [{ authorization: `Bearer ${"a".repeat(8193)}` }, { reason: "token-too-large", status: 401n }],
    [{ contract: "1:subject:h_x-auth-roles" }, { reason: "haproxy-config-outdated", status: 503n }],
    [{ contract: "2:subject" }, { reason: "haproxy-config-outdated", status: 503n }],
  ] as const) {
    const answer = values(await spop.notify(message(overrides)));
    t.match(
      answer,
      { ...expected, verdict: "deny", id: "0123456789abcdef0123456789abcdef" },
      JSON.stringify(overrides).slice(0, 60),
    );
    t.notOk("header_1" in answer || "backend" in answer || "forward" in answer);
  }
});

test("the scheme's case and its blanks do not matter", async (t) => {
  const { port } = await start(t);
  const spop = await client(t, port);
  for (const authorization of ["bearer alice", "BEARER   alice"]) {
    t.match(values(await spop.notify(message({ authorization }))), { verdict: "allow" });
  }
});

test("every NOTIFY is answered with a refusal: malformed, empty, unknown, double, without id", async (t) => {
  const { port } = await start(t);
  const spop = await client(t, port);
  const id = "0123456789abcdef0123456789abcdef";
  const payloads: [string, Buffer][] = [
    ["no message", encodeMessages([])],
    ["another message", encodeMessages([{ name: "check-client-ip", args: argumentsFor() }])],
    ["two messages", encodeMessages([...message(), ...message()])],
    ["no arguments", encodeMessages([{ name: "authorize", args: [] }])],
    ["no id", encodeMessages(message({ id: undefined }))],
    ["NULL id", encodeMessages(message({ id: null }))],
    ["endless id", encodeMessages(message({ id: "x".repeat(65) }))],
    ["no contract", encodeMessages(message({ contract: undefined }))],
    ["cut off", encodeMessages(message()).subarray(0, -3)],
    ...BAD_PAYLOADS.map(([name, text]): [string, Buffer] => [name, Buffer.from(text, "hex")]),
  ];
  let streamId = 1000n;
  for (const [name, payload] of payloads) {
    const ids = { streamId: streamId++, frameId: 1n };
    const answer = spop.answerTo(ids);
    spop.socket.write(encodeFrame(FRAME_TYPE.notify, payload, ids));
    t.match(values(await answer), { verdict: "deny", reason: "message-malformed", status: 503n }, name);
  }
  t.match(values(await spop.notify(message())), { id, verdict: "allow" }, "and the connection lives on");
});

test("a changed order or number of arguments is learned anew", async (t) => {
  const { port } = await start(t);
  const spop = await client(t, port);
  t.match(values(await spop.notify(message())), { verdict: "allow" });
  t.match(values(await spop.notify([{ name: "authorize", args: argumentsFor().reverse() }])), { verdict: "allow" });
  t.match(values(await spop.notify(message({ h_x: "1", contract: "1:h_x-auth-subject" }))), {
    verdict: "allow",
    subject: undefined,
  });
  t.match(values(await spop.notify(message({ path: undefined }))), { verdict: "allow" });
});

test("broken frames end the connection with the status the specification names", async (t) => {
  const { port, events } = await start(t);
  for (const [name, text, code, status] of BAD_FRAMES) {
    const spop = await client(t, port);
    const answer = spop.answerTo({ streamId: 1n, frameId: 1n });
    spop.socket.write(Buffer.from(text, "hex"));
    const error = await answer.then(
      () => undefined,
      (reason) => reason,
    );
    t.ok(error instanceof SpopError && error.code === "DISCONNECTED" && error.status === status, `${name}: ${error}`);
    t.equal(events.errors.at(-1), code);
  }
});

test("what cannot be a HELLO is refused by its own status", async (t) => {
  const { port } = await start(t);
  const socket = connect(port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(socket.resume(), "close");
  const early = connect(port, "127.0.0.1");
  early.write(encodeFrame(FRAME_TYPE.notify, encodeMessages(message())));
  await once(early.resume(), "close");
  t.match(values(await (await client(t, port)).notify(message())), { verdict: "allow" }, "others are not disturbed");
});

test("the HELLO is answered in one piece, its size clamped, and a health check counted", async (t) => {
  const { port, events } = await start(t);
  for (const [offered, expected] of [
    [16380, 16380],
    [256, 256],
    [1_000_000, 262_144],
  ]) {
    const spop = await client(t, port, { maxFrameSize: offered as number });
    t.equal(spop.hello.maxFrameSize, expected);
    t.equal(spop.hello.version, "2.0");
  }
  const check = await client(t, port, { healthcheck: true, capabilities: "" });
  t.equal(check.hello.capabilities, "");
  t.equal(events.checks, 1);
  await t.rejects(SpopClient.open({ host: "127.0.0.1", port }, { maxFrameSize: 255 }), {
    code: "DISCONNECTED",
    status: 9,
  });
});

test("pipelining is offered only while twenty of the largest answers cannot wedge HAProxy", async (t) => {
  const small = await start(t, policiesOf(64));
  t.equal((await client(t, small.port, { maxFrameSize: 32764 })).hello.capabilities, "pipelining");
  t.equal((await client(t, small.port, { capabilities: "" })).hello.capabilities, "");
  const large = await start(t, policiesOf(2000));
  t.equal((await client(t, large.port, { maxFrameSize: 16380 })).hello.capabilities, "");
  t.equal((await client(t, large.port, { maxFrameSize: 131068 })).hello.capabilities, "pipelining");
});

test("a reload that makes the answers too large ends pipelined connections, and those without stay", async (t) => {
  const { server, port } = await start(t, policiesOf(64));
  const pipelined = await client(t, port, { maxFrameSize: 32764 });
  const single = await client(t, port, { maxFrameSize: 32764, capabilities: "" });
  server.update(snapshotOf(policiesOf(4000), IDENTITY));
  await once(pipelined.socket, "close");
  t.match(values(await single.notify(message())), { verdict: "allow" });
});

test("an answer that the negotiated frame cannot hold is a refusal", async (t) => {
  const { port } = await start(t, policiesOf(4000, "x".repeat(4000)));
  const spop = await client(t, port, { maxFrameSize: 600 });
  t.match(values(await spop.notify(message())), { verdict: "deny", reason: "header-too-long", header_1: undefined });
});

test("a slow verification is refused at the deadline, and others are answered meanwhile", async (t) => {
  let finish: (verification: Verification) => void = () => {};
  const identity = identityOf({
    alice: () => ({ principal: ALICE }),
    slow: () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
    broken: () => Promise.reject(new Error("a bug")),
    thrown: () => {
      throw new Error("a bug");
    },
  });
  const { port, server, events } = await start(t, policiesOf(), identity, { deadline: 500 });
  const spop = await client(t, port);
  const slow = spop.notify(message({ authorization: "Bearer slow" }));
  t.match(values(await spop.notify(message())), { verdict: "allow" });
  t.match(values(await slow), { verdict: "deny", reason: "deadline-exceeded", status: 503n });
  t.equal(server.inFlight, 0);
  finish({ principal: ALICE });
  const late = spop.notify(message({ authorization: "Bearer slow" }));
  await spop.notify(message());
  finish({ principal: ALICE });
  t.match(values(await late), { verdict: "allow", reason: "allowed" }, "an answer in time counts");
  for (const authorization of ["Bearer broken", "Bearer thrown"]) {
    t.match(values(await spop.notify(message({ authorization }))), { verdict: "deny", reason: "agent-error" });
  }
  t.strictSame(events.bugs, ["deciding: Error: a bug", "deciding: Error: a bug"], "and telemetry hears of it");
});

test("requests past the limit in flight are refused at once", async (t) => {
  const identity = identityOf({ slow: () => new Promise(() => {}) });
  const { port } = await start(t, policiesOf(), identity, {
    deadline: 60,
    limits: { token: 8192, connections: 64, inFlight: 2, fetches: 1 },
  });
  const spop = await client(t, port);
  const answers = await Promise.all([1, 2, 3].map(() => spop.notify(message({ authorization: "Bearer slow" }))));
  t.strictSame(answers.map((answer) => values(answer).reason).sort(), [
    "deadline-exceeded",
    "deadline-exceeded",
    "overloaded",
  ]);
});

test("of many NOTIFYs read in one turn only the newest twenty are answered, in one write", async (t) => {
  const { port, events } = await start(t);
  const spop = await client(t, port);
  const ids = Array.from({ length: 50 }, (_, i) => ({ streamId: BigInt(2 * i + 1001), frameId: 1n }));
  const answered: bigint[] = [];
  const all = ids.map((id) =>
    spop.answerTo(id).then(
      () => answered.push(id.streamId),
      () => {},
    ),
  );
  spop.socket.write(Buffer.concat(ids.map((id) => encodeFrame(FRAME_TYPE.notify, encodeMessages(message()), id))));
  await Promise.race([Promise.all(all), Promise.all(all.slice(30))]);
  t.strictSame(
    answered,
    ids.slice(30).map(({ streamId }) => streamId),
  );
  await spop.close();
  t.equal(events.unanswered, 30);
  t.equal(events.observations.length, 20);
});

test("connections past the limit are turned away with a reason", async (t) => {
  const { port } = await start(t, policiesOf(), IDENTITY, {
    limits: { token: 8192, connections: 1, inFlight: 2, fetches: 1 },
  });
  await client(t, port);
  await t.rejects(SpopClient.open({ host: "127.0.0.1", port }), { code: "DISCONNECTED", status: 13 });
});

test("draining answers what is asked, refuses health checks, and then ends", async (t) => {
  const { server, port } = await start(t);
  const spop = await client(t, port);
  const drained = server.drain(10_000);
  t.match(values(await spop.notify(message())), { verdict: "allow" });
  await t.rejects(SpopClient.open({ host: "127.0.0.1", port }, { healthcheck: true, capabilities: "" }), {
    code: "DISCONNECTED",
    status: 0,
  });
  await drained;
  await t.rejects(spop.notify(message()), { code: "CONNECTION_CLOSED" });
  t.equal(server.connections, 0);
});

test("resets and half-closed connections leave nothing behind", async (t) => {
  const { server, port, events } = await start(t);
  for (let i = 0; i < 20; i++) {
    const spop = await SpopClient.open({ host: "127.0.0.1", port });
    const closed = once(spop.socket, "close");
    if (i % 2 === 0) spop.socket.resetAndDestroy();
    else spop.socket.end();
    await closed;
  }
  await (await client(t, port)).close();
  t.equal(events.open, server.connections);
  t.ok(server.connections <= 1);
  t.strictSame(events.errors, []);
});

test("a unix socket has its mode, replaces a stale file, and nothing that lives", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "spop.sock");
  const make = () =>
    new SpopServer({ snapshot: snapshotOf(policiesOf(), IDENTITY), events: new Recorder(), clock: Date.now });
  const first = make();
  await first.listen([{ path, mode: 0o660 }]);
  t.equal(statSync(path).mode & 0o777, 0o660);
  const spop = await SpopClient.open({ path });
  t.match(values(await spop.notify(message())), { verdict: "allow" });
  await t.rejects(make().listen([{ path, mode: 0o660 }]), /another process is listening/);
  await spop.close();
  await first.close();
  t.notOk(existsSync(path));
  const file = join(folder, "file");
  writeFileSync(file, "precious");
  await t.rejects(make().listen([{ path: file, mode: 0o660 }]), /not a socket/);
  t.ok(existsSync(file));
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const port = (taken.address() as { port: number }).port;
  await t.rejects(make().listen([{ host: "127.0.0.1", port }]), new RegExp(`127.0.0.1:${port}: another process`));
  taken.close();
});

test("the HELLO and the answers survive a HAProxy that sends byte by byte", async (t) => {
  const { port } = await start(t);
  const socket = connect(port, "127.0.0.1").setNoDelay(true);
  t.teardown(() => socket.destroy());
  const types: number[] = [];
  const done = new Promise<void>((resolve) => {
    const decoder = new FrameDecoder(16380);
    socket.on("data", (chunk: Buffer) =>
      decoder.push(chunk, (frame) => {
        types.push(frame.type);
        if (types.length === 2) resolve();
      }),
    );
  });
  const bytes = Buffer.concat([
    encodeHaproxyHello(),
    encodeFrame(FRAME_TYPE.notify, encodeMessages(message()), { streamId: 1n, frameId: 1n }),
  ]);
  for (const byte of bytes) {
    socket.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  await done;
  t.strictSame(types, [FRAME_TYPE.agentHello, FRAME_TYPE.ack]);
});
