import { once } from "node:events";
import { join } from "node:path";
import { test } from "tap";
import type { Verification } from "../../agent/identity/identity.ts";
import { largestAck } from "../../agent/server/pipelining.ts";
import { SpopServer } from "../../agent/server/spop-server.ts";
import type { Decision } from "../../policies/decision.ts";
import type { Policies } from "../../policies/policies.ts";
import { SpopClient } from "../../protocol/client.ts";
import { encodeFrame, encodeMessages } from "../../protocol/encode.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import {
  ALICE,
  clientOf,
  IDENTITY,
  identityOf,
  messageOf,
  policiesOf,
  Recorder,
  serverOf,
  snapshotOf,
  valuesOf,
} from "../support/agent.ts";
import { folderOf } from "../support/serve.ts";

/** The max-frame-sizes of HAProxys with a tune.bufsize of 16384 and its multiples. */
const [K16, K32, K64, K128] = [16380, 32764, 65532, 131068];
const EVERYTHING = "1:subject:issuer:kind:groups:roles:scopes:h_x-auth-subject";

/** The size in bytes of every ACK that the connection gets. */
function sizesOf(spop: SpopClient): number[] {
  const sizes: number[] = [];
  spop.socket.on("data", (chunk: Buffer) => {
    for (let at = 0; at + 4 < chunk.length; at += 4 + chunk.readUInt32BE(at)) sizes.push(4 + chunk.readUInt32BE(at));
  });
  return sizes;
}

test("pipelining is offered only while twenty of the largest answers cannot wedge HAProxy", async (t) => {
  const small = await serverOf(t, policiesOf(64));
  t.equal((await clientOf(t, small.port, { maxFrameSize: K32 })).hello.capabilities, "pipelining");
  t.equal(small.server.pipeliningAdvice(), undefined);
  t.equal((await clientOf(t, small.port, { capabilities: "" })).hello.capabilities, "");
  t.equal(small.server.pipeliningAdvice(), undefined, "nothing to set for a HAProxy that does not want it");
  const large = await serverOf(t, policiesOf(2000));
  t.equal((await clientOf(t, large.port, { maxFrameSize: K16 })).hello.capabilities, "");
  t.match(large.server.pipeliningAdvice(), /^set tune\.bufsize 65536 in HAProxy: with 16384 and/);
  t.equal(large.events.advice, large.server.pipeliningAdvice(), "the log says so, too");
  t.equal((await clientOf(t, large.port, { maxFrameSize: K128 })).hello.capabilities, "pipelining");
});

test("a reload that makes the answers too large ends pipelined connections, and those without stay", async (t) => {
  const { server, port } = await serverOf(t, policiesOf(64));
  const pipelined = await clientOf(t, port, { maxFrameSize: K32 });
  const wide = await clientOf(t, port, { maxFrameSize: K128 });
  const single = await clientOf(t, port, { maxFrameSize: K32, capabilities: "" });
  server.update(snapshotOf(policiesOf(4000), IDENTITY));
  await once(pipelined.socket, "close");
  t.match(valuesOf(await single.notify(messageOf())), { verdict: "allow" });
  t.match(
    valuesOf(await wide.notify(messageOf())),
    { verdict: "allow" },
    "nor is one ended whose buffer is large enough",
  );
});

test("a contract that makes the answers too large is answered, then ends its HAProxy's pipelined connections", async (t) => {
  const { server, port } = await serverOf(t);
  const of = { maxFrameSize: K32, engineId: "one" };
  const first = await clientOf(t, port, of);
  const other = await clientOf(t, port, of);
  t.strictSame([first.hello.capabilities, other.hello.capabilities], ["pipelining", "pipelining"]);
  const ended = Promise.all([once(first.socket, "close"), once(other.socket, "close")]);
  t.match(valuesOf(await first.notify(messageOf({ contract: EVERYTHING }))), { verdict: "allow", kind: "person" });
  await ended;
  const again = await clientOf(t, port, of);
  t.equal(again.hello.capabilities, "", "it comes back without");
  t.match(valuesOf(await again.notify(messageOf({ contract: EVERYTHING }))), { verdict: "allow" });
  t.match(server.pipeliningAdvice(), /^set tune\.bufsize 65536/);
  server.update(snapshotOf(policiesOf(64), IDENTITY));
  t.equal((await clientOf(t, port, of)).hello.capabilities, "", "nor after a reload");
  t.equal((await clientOf(t, port, { ...of, maxFrameSize: K64 })).hello.capabilities, "pipelining");
});

test("another's contract changes nothing for a HAProxy, while it is connected and after", async (t) => {
  const { server, port } = await serverOf(t);
  for (const [name, foreign] of [
    ["another engine", { engineId: "two" }],
    ["without an engine-id", {}],
    ["an endless engine-id", { engineId: "one".repeat(100) }],
  ] as const) {
    const mine = await clientOf(t, port, { maxFrameSize: K32, engineId: "one" });
    const large = await clientOf(t, port, { maxFrameSize: K32, capabilities: "", ...foreign });
    const pipelined = await clientOf(t, port, { maxFrameSize: K32, ...foreign });
    const ended = once(pipelined.socket, "close");
    for (const client of [pipelined, large])
      t.match(valuesOf(await client.notify(messageOf({ contract: EVERYTHING }))), { kind: "person" }, name);
    await ended;
    t.match(valuesOf(await mine.notify(messageOf())), { verdict: "allow" }, `${name}: mine was not ended`);
    const next = await clientOf(t, port, { maxFrameSize: K32, engineId: "one" });
    t.equal(next.hello.capabilities, "pipelining", `${name}: nor does it come back without`);
    await large.close();
  }
  t.equal(server.pipeliningAdvice(), undefined);
});

test("what HAProxys have shown is kept of few: each reload brings another engine-id", async (t) => {
  const { port } = await serverOf(t);
  const shown = async (engineId: string) => {
    const client = await clientOf(t, port, { maxFrameSize: K32, engineId });
    const { capabilities } = client.hello;
    await client.notify(messageOf({ contract: EVERYTHING }));
    client.socket.destroy();
    return capabilities;
  };
  t.strictSame([await shown("first"), await shown("first")], ["pipelining", ""]);
  for (let i = 0; i < 1100; i++) await shown(`engine ${i}`);
  t.equal(await shown("first"), "pipelining", "forgotten");
});

test("whatever a pipelined connection was reckoned to need, no ACK takes more than its share of the buffer", async (t) => {
  const wide = { ...ALICE, issuer: "i".repeat(250), groups: ["g".repeat(250)], scopes: ["s".repeat(250)] };
  const policies = policiesOf(256, "x".repeat(256));
  const identity = identityOf({ alice: () => ({ principal: wide }) });
  const offered = 21_000;
  for (const [name, overrides, expected] of [
    ["more variables than foreseen", { contract: EVERYTHING }, { verdict: "deny", reason: "header-too-long" }],
    ["an endless id", { id: "x".repeat(3000) }, { verdict: "deny" }],
  ] as const) {
    const { port } = await serverOf(t, policies, identity);
    const spop = await clientOf(t, port, { maxFrameSize: offered });
    t.equal(spop.hello.capabilities, "pipelining");
    const sizes = sizesOf(spop);
    t.match(valuesOf(await spop.notify(messageOf(overrides))), expected, name);
    t.ok(sizes.length > 0 && sizes.every((size) => size < (offered + 4) / 20), `${name}: ${sizes} bytes`);
    await spop.close();
  }
});

test("an answer that the negotiated frame cannot hold is a refusal", async (t) => {
  const { port } = await serverOf(t, policiesOf(4000, "x".repeat(4000)));
  const spop = await clientOf(t, port, { maxFrameSize: 600 });
  t.match(valuesOf(await spop.notify(messageOf())), {
    verdict: "deny",
    reason: "header-too-long",
    header_1: undefined,
  });
  const tiny = await clientOf(t, port, { maxFrameSize: 256 });
  const sizes = sizesOf(tiny);
  const overrides = {
    id: "i".repeat(64),
    host: `${"h".repeat(50)}.com`,
    authorization: null,
    contract: "1:h_x-auth-subject",
  };
  t.match(valuesOf(await tiny.notify(messageOf(overrides))), { verdict: "deny", reason: "header-too-long" });
  t.ok(sizes.length === 1 && sizes.every((size) => size < 256 + 4), `${sizes}`);
});

/** The same policies, which give one decision again and again. */
function keeping(policies: Policies, until: number): Policies {
  let kept: Decision | undefined;
  const decide: Policies["decide"] = (match, principal, request) => {
    if (principal === undefined) return policies.decide(match, principal, request);
    kept ??= { ...policies.decide(match, principal, request), until };
    return kept;
  };
  return { ...policies, decide };
}

test("an answer that one connection cannot carry is what it was on the next, whatever was answered between", async (t) => {
  const value = "x".repeat(1000);
  const policies = policiesOf(2000, value);
  const { port } = await serverOf(t, keeping(policies, Number.POSITIVE_INFINITY));
  const narrow = await clientOf(t, port, { maxFrameSize: 600 });
  t.match(valuesOf(await narrow.notify(messageOf())), { verdict: "deny", reason: "header-too-long" });
  for (let i = 0; i < 3; i++) await narrow.notify(messageOf({ authorization: null, id: "i".repeat(64) }));
  const wide = await clientOf(t, port, { maxFrameSize: K32 });
  const expected = { verdict: "allow", subject: "alice", header_1: value };
  t.match(valuesOf(await wide.notify(messageOf())), expected);
});

/** The same policies, whose route forwards credentials of this kind. */
function forwarding(policies: Policies, kind: string): Policies {
  const uses = { ...policies.uses, credentials: [kind] };
  const route = policies.services[0]?.routes[0];
  if (route === undefined) throw new Error("no route");
  const changed = { ...route, needs: uses, forwardCredential: true };
  return { ...policies, uses, match: (host) => ({ route: changed, params: {}, host, preflight: false }) };
}

test("the largest answer there is reckoned with is at least as large as any", async (t) => {
  const longest = { ...ALICE, subject: "é".repeat(128), issuer: "i".repeat(256), groups: ["g".repeat(256)] };
  // What is forwarded is told by the name of its argument, which the configuration may make long.
  const header = "h".repeat(64);
  const policies = forwarding(policiesOf(2000, "x".repeat(2000)), `header:${header}`);
  const { port } = await serverOf(t, policies, identityOf({ alice: () => ({ principal: longest }) }));
  const spop = await clientOf(t, port, { maxFrameSize: K128 });
  const sizes = sizesOf(spop);
  const contract = { variables: ["subject", "issuer", "groups"] as const, headers: ["x-auth-subject"] };
  const offered = { authorization: null, [`header_${header}`]: "alice" };
  const overrides = { ...offered, contract: "1:subject:issuer:groups:h_x-auth-subject", id: "i".repeat(64) };
  t.match(valuesOf(await spop.notify(messageOf(overrides))), { verdict: "allow", forward: `header_${header}` });
  const bound = largestAck(policies, contract);
  t.ok(
    sizes.every((size) => size > 2000 && size <= bound),
    `${sizes} of at most ${bound} bytes`,
  );
});

test("of many NOTIFYs read in one turn only the newest twenty are answered, in one write", async (t) => {
  const { port, events } = await serverOf(t);
  const spop = await clientOf(t, port);
  const ids = Array.from({ length: 50 }, (_, i) => ({ streamId: BigInt(2 * i + 1001), frameId: 1n }));
  const answered: bigint[] = [];
  const all = ids.map((id) =>
    spop.answerTo(id).then(
      () => answered.push(id.streamId),
      () => {},
    ),
  );
  spop.socket.write(Buffer.concat(ids.map((id) => encodeFrame(FRAME_TYPE.notify, encodeMessages(messageOf()), id))));
  await Promise.race([Promise.all(all), Promise.all(all.slice(30))]);
  t.strictSame(
    answered,
    ids.slice(30).map(({ streamId }) => streamId),
  );
  await spop.close();
  t.equal(events.unanswered, 30);
  t.equal(events.observations.length, 20);
});

test("a burst that takes several reads is answered as one: what came first has timed out, whatever read it was in", async (t) => {
  const path = join(folderOf(t, {}), "spop.sock");
  const events = new Recorder();
  const server = new SpopServer({ snapshot: snapshotOf(policiesOf(), IDENTITY), events, clock: Date.now });
  await server.listen([{ path, mode: 0o600 }]);
  t.teardown(() => server.close());
  const spop = await SpopClient.open({ path });
  const sizes = sizesOf(spop);
  const query = "q".repeat(1000);
  const ids = Array.from({ length: 80 }, (_, i) => ({ streamId: BigInt(2 * i + 1001), frameId: 1n }));
  const burst = Buffer.concat(
    ids.map((id) => encodeFrame(FRAME_TYPE.notify, encodeMessages(messageOf({ query })), id)),
  );
  t.ok(burst.length > 65_536, "more than Node reads at once");
  const last = spop.answerTo(ids.at(-1) ?? { streamId: 0n, frameId: 0n });
  spop.socket.write(burst);
  await last;
  t.equal(sizes.length, 20);
  t.equal(events.unanswered, 60);
  await spop.close();
});

test("a burst on a connection without pipelining never fills the buffer: the newest are refused", async (t) => {
  // HAProxy 3.2 assigns up to twenty requests to a connection before it knows that it may not pipeline them.
  const finish: (() => void)[] = [];
  const slow = () => new Promise<Verification>((resolve) => finish.push(() => resolve({ principal: ALICE })));
  const identity = identityOf({ alice: () => ({ principal: ALICE }), slow });
  for (const authorization of ["Bearer alice", "Bearer slow"]) {
    const { port, events } = await serverOf(t, policiesOf(2000, "x".repeat(1500)), identity, { deadline: 60_000 });
    const spop = await clientOf(t, port, { maxFrameSize: K16 });
    t.equal(spop.hello.capabilities, "");
    const sizes = sizesOf(spop);
    const ids = Array.from({ length: 17 }, (_, i) => ({ streamId: (1n << 32n) + BigInt(i), frameId: 1n }));
    const answers = Promise.all(ids.map((id) => spop.answerTo(id)));
    const payload = encodeMessages(messageOf({ authorization }));
    spop.socket.write(Buffer.concat(ids.map((id) => encodeFrame(FRAME_TYPE.notify, payload, id))));
    if (authorization === "Bearer slow") {
      while (finish.length < ids.length) await new Promise(setImmediate);
      for (const end of finish) end();
    }
    const verdicts = (await answers).map((answer) => valuesOf(answer).verdict);
    const allowed = verdicts.filter((verdict) => verdict === "allow").length;
    t.strictSame(verdicts, [...Array(allowed).fill("allow"), ...Array(17 - allowed).fill("deny")], "all are answered");
    t.ok(allowed >= 8, `${allowed} are allowed`);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    t.ok(total < K16 + 4, `${total} bytes`);
    t.strictSame(
      events.observations.map(({ decision }) => decision.reason),
      [...Array(allowed).fill("allowed"), ...Array(17 - allowed).fill("overloaded")],
      "and telemetry hears what was sent",
    );
  }
});

test("a burst that has no room for all refusals is answered as far as it goes, and never fills the buffer", async (t) => {
  const { port, events } = await serverOf(t, policiesOf(2000, "x".repeat(100)));
  const spop = await clientOf(t, port, { maxFrameSize: 600 });
  const sizes = sizesOf(spop);
  const ids = Array.from({ length: 20 }, (_, i) => ({ streamId: (1n << 32n) + BigInt(i), frameId: 1n }));
  const answered = ids.map((id) => spop.answerTo(id).then(valuesOf, () => undefined));
  const payload = encodeMessages(messageOf());
  spop.socket.write(Buffer.concat(ids.map((id) => encodeFrame(FRAME_TYPE.notify, payload, id))));
  t.match(await answered[0], { verdict: "allow" });
  await spop.close();
  const others = (await Promise.all(answered)).slice(1);
  t.ok(others.every((answer) => answer === undefined || answer.verdict === "deny"));
  const acks = sizes.slice(0, events.observations.length);
  t.ok(acks.reduce((sum, size) => sum + size, 0) < 604, `${sizes}`);
  t.equal(acks.length + events.unanswered, 20);
});
