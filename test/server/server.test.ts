import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import type { Identity, Verification, Waiter } from "../../agent/identity/identity.ts";
import { SpopServer } from "../../agent/server/spop-server.ts";
import { encodeHaproxyHello, SpopClient } from "../../protocol/client.ts";
import { encodeFrame, encodeMessages } from "../../protocol/encode.ts";
import { FrameDecoder } from "../../protocol/frame-decoder.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { BAD_PAYLOADS } from "../protocol/vectors.ts";
import {
  ALICE,
  argumentsFor,
  clientOf,
  IDENTITY,
  identityOf,
  messageOf,
  policiesOf,
  Recorder,
  serverOf,
  snapshotOf,
  startServer,
  valuesOf,
} from "../support/agent.ts";

test("an allow carries the id back, names who it is, and says its verdict last", async (t) => {
  const { port, events } = await serverOf(t);
  const spop = await clientOf(t, port);
  const actions = await spop.notify(messageOf());
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
  t.match(valuesOf(actions), {
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
  const { port } = await serverOf(t);
  const spop = await clientOf(t, port);
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
    const answer = valuesOf(await spop.notify(messageOf(overrides)));
    t.match(
      answer,
      { ...expected, verdict: "deny", id: "0123456789abcdef0123456789abcdef" },
      JSON.stringify(overrides).slice(0, 60),
    );
    t.notOk("header_1" in answer || "backend" in answer || "forward" in answer);
  }
});

test("telemetry hears for which claim a token was refused, the client never does", async (t) => {
  const refused = { principal: undefined, reason: "claim-missing", claim: "the-claim" } as const;
  const slow = () => new Promise<Verification>((resolve) => setImmediate(() => resolve(refused)));
  const { port, events } = await serverOf(t, policiesOf(), identityOf({ known: () => refused, slow }));
  const spop = await clientOf(t, port);
  for (const authorization of ["Bearer known", "Bearer slow"]) {
    const answer = valuesOf(await spop.notify(messageOf({ authorization })));
    t.match(answer, { reason: "claim-missing", status: 401n });
    t.notOk(Object.values(answer).some((value) => String(value).includes("the-claim")));
  }
  await spop.notify(messageOf());
  t.strictSame(
    events.observations.map(({ claim }) => claim),
    ["the-claim", "the-claim", undefined],
  );
});

test("client and actor travel where the contract names them", async (t) => {
  const actor = ["planner", "front"].map((subject) => ({ subject, issuer: undefined }));
  const acted = () => ({ principal: { ...ALICE, client: "assistants", actor } });
  const { port } = await serverOf(t, policiesOf(), identityOf({ alice: () => ({ principal: ALICE }), acted }));
  const spop = await clientOf(t, port);
  const contract = "1:subject:client:actor:h_x-auth-subject";
  const named = valuesOf(await spop.notify(messageOf({ authorization: "Bearer acted", contract })));
  t.match(named, { verdict: "allow", subject: "alice", client: "assistants", actor: "planner" });
  t.match(valuesOf(await spop.notify(messageOf({ contract }))), { subject: "alice", client: "", actor: "" });
  const silent = valuesOf(await spop.notify(messageOf({ authorization: "Bearer acted" })));
  t.notOk("client" in silent || "actor" in silent);
});

test("the scheme's case and its blanks do not matter", async (t) => {
  const { port } = await serverOf(t);
  const spop = await clientOf(t, port);
  for (const authorization of ["bearer alice", "BEARER   alice"]) {
    t.match(valuesOf(await spop.notify(messageOf({ authorization }))), { verdict: "allow" });
  }
});

test("whatever begins like the Bearer scheme and is not exactly that is a bad credential, never none", async (t) => {
  const { port } = await serverOf(t);
  const spop = await clientOf(t, port);
  const reasonFor = async (authorization: string) =>
    valuesOf(await spop.notify(messageOf({ authorization }))).reason as string;
  const between = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).filter((one) => one !== " ");
  const found = new Map<string, string>();
  for (const one of between) {
    found.set(`Bearer${one}alice`, await reasonFor(`Bearer${one}alice`));
    found.set(`bEARER${one} alice`, await reasonFor(`bEARER${one} alice`));
    found.set(`Bearer ${one}`, await reasonFor(`Bearer ${one}`));
    if (!/[A-Za-z]/.test(one)) found.set(`${one}Bearer alice`, await reasonFor(`${one}Bearer alice`));
  }
  for (const text of [
    "bearer",
    "Bearer ",
    "Bearer:",
    'Bearer="alice"',
    " Bearer alice",
    '"Bearer alice"',
    "Bearer, x",
  ]) {
    found.set(text, await reasonFor(text));
  }
  // One byte that a token may have is a token, though nobody's.
  const tokens = new Set(between.filter((one) => /[\w.~+/-]/.test(one)).map((one) => `Bearer ${one}`));
  const odd = [...found].filter(([text, reason]) => reason !== "credential-malformed" && !tokens.has(text));
  t.strictSame(odd, []);
  for (const other of ["Basic YTpi", "DPoP alice", "Negotiate", "Bear alice", "Token Bearer alice", "b"]) {
    t.equal(await reasonFor(other), "credential-missing", other);
  }
});

test("every NOTIFY is answered with a refusal: malformed, empty, unknown, double, without id", async (t) => {
  const { port } = await serverOf(t);
  const spop = await clientOf(t, port);
  const id = "0123456789abcdef0123456789abcdef";
  const payloads: [string, Buffer][] = [
    ["no message", encodeMessages([])],
    ["another message", encodeMessages([{ name: "check-client-ip", args: argumentsFor() }])],
    ["two messages", encodeMessages([...messageOf(), ...messageOf()])],
    ["no arguments", encodeMessages([{ name: "authorize", args: [] }])],
    ["no id", encodeMessages(messageOf({ id: undefined }))],
    ["NULL id", encodeMessages(messageOf({ id: null }))],
    ["endless id", encodeMessages(messageOf({ id: "x".repeat(65) }))],
    ["no contract", encodeMessages(messageOf({ contract: undefined }))],
    ["cut off", encodeMessages(messageOf()).subarray(0, -3)],
    ...BAD_PAYLOADS.map(([name, text]): [string, Buffer] => [name, Buffer.from(text, "hex")]),
  ];
  let streamId = 1000n;
  for (const [name, payload] of payloads) {
    const ids = { streamId: streamId++, frameId: 1n };
    const answer = spop.answerTo(ids);
    spop.socket.write(encodeFrame(FRAME_TYPE.notify, payload, ids));
    t.match(valuesOf(await answer), { verdict: "deny", reason: "message-malformed", status: 503n }, name);
  }
  t.match(valuesOf(await spop.notify(messageOf())), { id, verdict: "allow" }, "and the connection lives on");
});

test("a changed order or number of arguments is learned anew", async (t) => {
  const { port } = await serverOf(t);
  const spop = await clientOf(t, port);
  t.match(valuesOf(await spop.notify(messageOf())), { verdict: "allow" });
  t.match(valuesOf(await spop.notify([{ name: "authorize", args: argumentsFor().reverse() }])), { verdict: "allow" });
  t.match(valuesOf(await spop.notify(messageOf({ h_x: "1", contract: "1:h_x-auth-subject" }))), {
    verdict: "allow",
    subject: undefined,
  });
  t.match(valuesOf(await spop.notify(messageOf({ path: undefined }))), { verdict: "allow" });
});

test("the HELLO is answered in one piece, its size clamped, and a health check counted", async (t) => {
  const { port, events } = await serverOf(t);
  for (const [offered, expected] of [
    [16380, 16380],
    [256, 256],
    [1_000_000, 262_144],
  ]) {
    const spop = await clientOf(t, port, { maxFrameSize: offered as number });
    t.equal(spop.hello.maxFrameSize, expected);
    t.equal(spop.hello.version, "2.0");
  }
  const check = await clientOf(t, port, { healthcheck: true, capabilities: "" });
  t.equal(check.hello.capabilities, "");
  t.equal(events.checks, 1);
  await t.rejects(SpopClient.open({ host: "127.0.0.1", port }, { maxFrameSize: 255 }), {
    code: "DISCONNECTED",
    status: 9,
  });
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
  const { port, server, events } = await serverOf(t, policiesOf(), identity, { deadline: 500 });
  const spop = await clientOf(t, port);
  const slow = spop.notify(messageOf({ authorization: "Bearer slow" }));
  t.match(valuesOf(await spop.notify(messageOf())), { verdict: "allow" });
  t.match(valuesOf(await slow), { verdict: "deny", reason: "deadline-exceeded", status: 503n });
  t.equal(server.inFlight, 0);
  finish({ principal: ALICE });
  const late = spop.notify(messageOf({ authorization: "Bearer slow" }));
  await spop.notify(messageOf());
  finish({ principal: ALICE });
  t.match(valuesOf(await late), { verdict: "allow", reason: "allowed" }, "an answer in time counts");
  for (const authorization of ["Bearer broken", "Bearer thrown"]) {
    t.match(valuesOf(await spop.notify(messageOf({ authorization }))), { verdict: "deny", reason: "agent-error" });
  }
  t.strictSame(events.bugs, ["deciding: Error: a bug", "deciding: Error: a bug"], "and telemetry hears of it");
});

/** A verification that never ends; as the real ones, it is not begun for who may not wait. */
function endless(begun: (waiter: Waiter) => void = () => {}) {
  return (waiter?: Waiter): Verification | Promise<Verification> => {
    if (waiter?.wanted() === false) return { principal: undefined, reason: "overloaded" };
    if (waiter !== undefined) begun(waiter);
    return new Promise(() => {});
  };
}

test("a verification is told when nobody waits for it any more: answered, overloaded, or HAProxy is gone", async (t) => {
  const waiters: Waiter[] = [];
  const slow = endless((waiter) => waiters.push(waiter));
  const limits = { token: 8192, connections: 64, inFlight: 3, fetches: 1 };
  const { port, server } = await serverOf(t, policiesOf(), identityOf({ slow }), { deadline: 1_000, limits });
  const wanted = () => waiters.map((waiter) => waiter.wanted());
  const [staying, leaving, ending] = await Promise.all([1, 2, 3].map(() => clientOf(t, port)));
  const asked = [staying, leaving, ending].map((spop) => spop?.notify(messageOf({ authorization: "Bearer slow" })));
  for (const lost of asked.slice(1)) lost?.catch(() => {});
  while (server.inFlight < 3) await new Promise(setImmediate);
  t.match(valuesOf((await staying?.notify(messageOf({ authorization: "Bearer slow" }))) ?? []), {
    reason: "overloaded",
  });
  t.strictSame(wanted(), [true, true, true], "nothing is begun for who is refused at once");
  leaving?.socket.resetAndDestroy();
  ending?.socket.end();
  while (server.connections > 1) await new Promise(setImmediate);
  t.strictSame(wanted().slice(1), [false, false], "who is gone does not wait");
  t.match(valuesOf((await asked[0]) ?? []), { reason: "deadline-exceeded" });
  t.strictSame(wanted(), [false, false, false], "nor who has been answered");
});

test("requests past the limit in flight are refused at once", async (t) => {
  const identity = identityOf({ alice: () => ({ principal: ALICE }), slow: endless() });
  const { port } = await serverOf(t, policiesOf(), identity, {
    deadline: 60,
    limits: { token: 8192, connections: 64, inFlight: 2, fetches: 1 },
  });
  const spop = await clientOf(t, port);
  const answers = await Promise.all([1, 2, 3].map(() => spop.notify(messageOf({ authorization: "Bearer slow" }))));
  t.strictSame(answers.map((answer) => valuesOf(answer).reason).sort(), [
    "deadline-exceeded",
    "deadline-exceeded",
    "overloaded",
  ]);
});

test("an answer that cannot be written is a refusal, and leaves nothing in the one after it", async (t) => {
  const policies = policiesOf();
  const broken = { name: "x-auth-subject", value: 7 as unknown as string };
  let headers = [broken];
  const decide: typeof policies.decide = (...asked) => ({ ...policies.decide(...asked), headers });
  const cold = () => new Promise<Verification>((resolve) => setImmediate(() => resolve({ principal: ALICE })));
  const identity = identityOf({ alice: () => ({ principal: ALICE }), cold });
  const { port, events } = await serverOf(t, { ...policies, decide }, identity);
  const spop = await clientOf(t, port);
  const refused = ["id", "reason", "rule", "revision", "status", "verdict"];
  for (const authorization of ["Bearer alice", "Bearer cold"]) {
    headers = [broken];
    const answer = valuesOf(await spop.notify(messageOf({ authorization })));
    t.match(answer, { verdict: "deny", reason: "agent-error", status: 503n });
    t.strictSame(Object.keys(answer), refused);
    headers = [];
    const actions = await spop.notify(messageOf({ authorization }));
    const names = actions.map(({ name }) => name);
    t.strictSame(names, ["id", "reason", "rule", "revision", "subject", "backend", "verdict"]);
  }
  t.equal(events.bugs.length, 2);
});

test("a credential that is bound to a key proves nobody while no proof can be checked, warm or not", async (t) => {
  const bound = { principal: ALICE, confirmation: { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } };
  const cold = () => new Promise<Verification>((resolve) => setImmediate(() => resolve(bound)));
  const { port, events } = await serverOf(t, policiesOf(), identityOf({ warm: () => bound, cold }));
  const spop = await clientOf(t, port);
  for (const authorization of ["Bearer warm", "Bearer cold"]) {
    const answer = valuesOf(await spop.notify(messageOf({ authorization })));
    t.match(answer, { verdict: "deny", reason: "proof-missing", status: 401n }, authorization);
    t.notOk("subject" in answer || "header_1" in answer || "backend" in answer);
  }
  await spop.close();
  t.strictSame(
    events.observations.map(({ principal }) => principal),
    [undefined, undefined],
  );
});

test("a proof that fails, is late, or cannot be looked at for a bug proves nobody, and keeps nothing waiting", async (t) => {
  const bound = { principal: ALICE, confirmation: { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } };
  const cold = () => new Promise<Verification>((resolve) => setImmediate(() => resolve(bound)));
  const never = new Promise<never>(() => {});
  const refusal = { reason: "proof-replayed", claim: "jti" } as const;
  const policies = policiesOf();
  const uses = { ...policies.uses, proofs: ["dpop"] };
  const [route] = policies.services[0]?.routes ?? [];
  if (route === undefined) throw new Error("no route");
  const match: typeof policies.match = (host) => ({
    route: { ...route, needs: uses },
    params: {},
    host,
    preflight: false,
  });
  const outcomes: Partial<Record<string, Identity["prove"]>> = {
    refused: () => ({ refusal }),
    "refused later": async () => ({ refusal }),
    "a bug": () => {
      throw new Error("a bug");
    },
    "a bug later": () => Promise.reject(new Error("a bug")),
    late: () => never,
    proven: async () => ({ refusal: undefined, nonce: "next" }),
    "proven at once": () => ({ refusal: undefined }),
  };
  let prove: Identity["prove"] = () => never;
  const identity = {
    ...identityOf({ warm: () => bound, cold }),
    prove: ((...asked) => prove(...asked)) as typeof prove,
  };
  const { port, server, events } = await serverOf(t, { ...policies, uses, match }, identity, { deadline: 60 });
  const spop = await clientOf(t, port);
  for (const authorization of ["Bearer warm", "Bearer cold"]) {
    for (const [name, outcome] of Object.entries(outcomes)) {
      if (outcome !== undefined) prove = outcome;
      const answer = valuesOf(await spop.notify(messageOf({ authorization, dpop: "a proof" })));
      const reason = name.startsWith("refused")
        ? "proof-replayed"
        : name.startsWith("a bug")
          ? "agent-error"
          : name === "late"
            ? "deadline-exceeded"
            : "allowed";
      t.match(answer, { verdict: reason === "allowed" ? "allow" : "deny", reason }, `${authorization} ${name}`);
      t.equal("backend" in answer, reason === "allowed");
      t.equal(answer.nonce, name === "proven" ? "next" : undefined, "what a client is told, it is told once");
    }
  }
  t.equal(server.inFlight, 0);
  t.equal(events.bugs.length, 4);
  const without = valuesOf(await spop.notify(messageOf({ authorization: "Bearer warm" })));
  t.match(without, { verdict: "deny", reason: "haproxy-config-outdated" }, "nor where HAProxy would send none");
});

test("what was made of a decision is told again with it, but never past the instant that it names", async (t) => {
  const now = { at: 1_000 };
  let made = 0;
  const policies = policiesOf();
  const known = {
    rule: "orders/read",
    roles: [],
    scopes: [],
    shadow: undefined,
    verdict: "allow",
    reason: "allowed",
  } as const;
  const decision = {
    ...known,
    until: 2_000,
    get headers() {
      return [{ name: "x-auth-subject", value: `made ${++made}` }];
    },
  };
  const { server, port } = await startServer(
    snapshotOf({ ...policies, decide: () => decision }, IDENTITY),
    () => now.at,
  );
  t.teardown(() => server.close());
  const spop = await clientOf(t, port);
  const told: unknown[] = [];
  for (now.at of [1_000, 1_500, 1_999, 2_000, 2_001]) told.push(valuesOf(await spop.notify(messageOf())).header_1);
  t.strictSame(told, ["made 1", "made 1", "made 1", "made 2", "made 3"]);
});

test("connections past the limit are turned away with a reason", async (t) => {
  const { port } = await serverOf(t, policiesOf(), IDENTITY, {
    limits: { token: 8192, connections: 1, inFlight: 2, fetches: 1 },
  });
  await clientOf(t, port);
  await t.rejects(SpopClient.open({ host: "127.0.0.1", port }), { code: "DISCONNECTED", status: 13 });
});

test("who never says HELLO keeps nobody out: the one that waits longest makes room", async (t) => {
  const { port, server } = await serverOf(t, policiesOf(), IDENTITY, {
    limits: { token: 8192, connections: 8, inFlight: 2, fetches: 1 },
  });
  const silent: Socket[] = [];
  const ended: number[] = [];
  for (let i = 0; i < 8; i++) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    await once(socket, "connect");
    socket.on("close", () => ended.push(i));
    silent.push(socket);
  }
  while (server.connections < 8) await new Promise(setImmediate);
  for (let i = 0; i < 3; i++) {
    t.match(valuesOf(await (await clientOf(t, port)).notify(messageOf())), { verdict: "allow" });
  }
  while (ended.length < 3) await new Promise(setImmediate);
  t.strictSame(ended, [0, 1, 2]);
  t.equal(server.connections, 8);
});

test("draining answers what is asked, refuses health checks, and then ends", async (t) => {
  const { server, port } = await serverOf(t);
  const spop = await clientOf(t, port);
  const drained = server.drain(10_000);
  t.match(valuesOf(await spop.notify(messageOf())), { verdict: "allow" });
  await t.rejects(SpopClient.open({ host: "127.0.0.1", port }, { healthcheck: true, capabilities: "" }), {
    code: "DISCONNECTED",
    status: 0,
  });
  await drained;
  await t.rejects(spop.notify(messageOf()), { code: "CONNECTION_CLOSED" });
  t.equal(server.connections, 0);
});

test("a drain ends at its limit, whoever still waits", async (t) => {
  const { server, port } = await serverOf(t, policiesOf(), identityOf({ slow: endless() }), { deadline: 4_000 });
  const spop = await clientOf(t, port);
  const lost = t.rejects(spop.notify(messageOf({ authorization: "Bearer slow" })));
  while (server.inFlight < 1) await new Promise(setImmediate);
  await server.drain(50);
  await lost;
  t.equal(server.connections, 0);
});

test("resets and half-closed connections leave nothing behind", async (t) => {
  const { server, port, events } = await serverOf(t);
  for (let i = 0; i < 20; i++) {
    const spop = await SpopClient.open({ host: "127.0.0.1", port });
    const closed = once(spop.socket, "close");
    if (i % 2 === 0) spop.socket.resetAndDestroy();
    else spop.socket.end();
    await closed;
  }
  await (await clientOf(t, port)).close();
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
  t.match(valuesOf(await spop.notify(messageOf())), { verdict: "allow" });
  await t.rejects(make().listen([{ path, mode: 0o660 }]), new RegExp(`\\(pid ${process.pid}\\) is listening there`));
  await spop.close();
  await first.close();
  t.notOk(existsSync(path));
  const file = join(folder, "file");
  writeFileSync(file, "precious");
  await t.rejects(make().listen([{ path: file, mode: 0o660 }]), /not a socket/);
  t.ok(existsSync(file));
  for (const directory of [join(folder, "nowhere"), file]) {
    const nowhere = join(directory, "spop.sock");
    await t.rejects(make().listen([{ path: nowhere, mode: 0o660 }]), {
      message: `cannot listen on unix:${nowhere}: there is no directory ${directory}`,
    });
  }
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const port = (taken.address() as { port: number }).port;
  await t.rejects(make().listen([{ host: "127.0.0.1", port }]), {
    message: `cannot listen on 127.0.0.1:${port}: node (pid ${process.pid}) is listening there`,
  });
  taken.close();
});

test("a unix socket is given to a group, or the agent does not start", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "spop.sock");
  const make = () =>
    new SpopServer({ snapshot: snapshotOf(policiesOf(), IDENTITY), events: new Recorder(), clock: Date.now });
  // Root may give it to any group, others to one of their own.
  const isRoot = process.getuid?.() === 0;
  const others = process.getgroups?.() ?? [];
  const group = isRoot ? "nogroup" : String(others.at(-1));
  const server = make();
  await server.listen([{ path, mode: 0o620, group }]);
  const { mode, gid } = statSync(path);
  t.equal(mode & 0o777, 0o620);
  if (isRoot) t.match(readFileSync("/etc/group", "utf8"), new RegExp(`^nogroup:[^:]*:${gid}:`, "m"));
  else t.equal(String(gid), group);
  await server.close();
  await t.rejects(make().listen([{ path, mode: 0o660, group: "no-such" }]), /this machine has no group "no-such"/);
  t.notOk(existsSync(path));
});

test("the HELLO and the answers survive a HAProxy that sends byte by byte", async (t) => {
  const { port } = await serverOf(t);
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
    encodeFrame(FRAME_TYPE.notify, encodeMessages(messageOf()), { streamId: 1n, frameId: 1n }),
  ]);
  for (const byte of bytes) {
    socket.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  await done;
  t.strictSame(types, [FRAME_TYPE.agentHello, FRAME_TYPE.ack]);
});

test("where nothing may pass that is not recorded, nothing does while nothing can be", async (t) => {
  let unrecorded = true;
  const snapshot = {
    ...snapshotOf(policiesOf(), identityOf({ good: () => ({ principal: ALICE }) })),
    unrecorded: () => unrecorded,
  };
  const { port, server } = await startServer(snapshot);
  t.teardown(() => server.close());
  const spop = await clientOf(t, port);
  const ask = async () => valuesOf(await spop.notify(messageOf({ authorization: "Bearer good" })));
  t.match(await ask(), { verdict: "deny", reason: "audit-unavailable", status: 503n });
  unrecorded = false;
  t.match(await ask(), { verdict: "allow", reason: "allowed" });
});
