import { queryObjects } from "node:v8";
import { type Test, test } from "tap";
import { KeptToken } from "../../agent/identity/recent.ts";
import { reply } from "../../demo/front.ts";
import { startProvider } from "../../demo/provider.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";

async function running(t: Test, setup: Parameters<typeof startIdentity>[1] = {}, changes = {}) {
  const provider = await startProvider({});
  const issuer = oidcIssuer(provider.issuer, changes);
  const started = startIdentity([issuer], setup);
  t.teardown(async () => {
    started.identity.close();
    await provider.close();
  });
  await started.identity.ready();
  const seconds = Math.floor(started.time.now / 1000);
  const good = { iss: provider.issuer, aud: "api://orders", sub: "alice", exp: seconds + 3600, iat: seconds };
  const token = (claims: Record<string, unknown> = {}) => provider.sign({ ...good, ...claims });
  /** Well-formed in everything but its signature. */
  const garbage = async (i: number) => {
    const [head, , signature] = (await token()).split(".");
    return `${head}.${Buffer.from(JSON.stringify({ ...good, i })).toString("base64url")}.${signature}`;
  };
  return { provider, issuer, token, garbage, seconds, ...started };
}

test("a warm identity is answered at once, and is always the same object", async (t) => {
  const { identity, time, told, token } = await running(t);
  const text = await token();
  const first = identity.verify(text, time.now);
  t.ok(first instanceof Promise, "the first use is verified");
  const joined = identity.verify(text, time.now);
  t.equal(joined, first, "and once for all who come meanwhile");
  const proven = await first;
  t.equal(proven.principal?.subject, "alice");
  t.equal(identity.verify(text, time.now), proven);
  t.equal(identity.verify(`${text}`.slice(0), time.now + 299_999), proven);
  t.same(told.all.slice(2), ["miss", "miss", "hit", "hit"]);
  t.ok(identity.verify(text, time.now + 300_000) instanceof Promise, "after its lifetime it is verified anew");
  t.ok(identity.verify(text, time.now - 300_000) instanceof Promise, "a clock that was set back prolongs nothing");
  t.notOk(text in Object(proven));
});

test("a cached identity ends at the very instant at which a fresh check refuses its token", async (t) => {
  for (const [tolerance, fraction] of [
    [0, 0],
    [30_000, 0],
    [1_500, 0],
    [0, 0.25],
    [999, 0.999],
  ] as const) {
    const { provider, issuer, token, seconds, judge, time } = await running(t, {}, { clockTolerance: tolerance });
    const text = await token({ exp: seconds + 100 + fraction, iat: undefined });
    t.equal(await judge(text), "proven");
    const end = Math.round((seconds + 100 + fraction) * 1000) + tolerance;
    for (const [instant, expected] of [
      [end - 1, "proven"],
      [end, "token-expired"],
      [end + 1, "token-expired"],
    ] as const) {
      time.now = instant;
      const fresh = startIdentity([issuer], { time });
      await fresh.identity.ready();
      t.equal(await judge(text), expected, `cached, ${instant - end} ms`);
      t.equal(await fresh.judge(text), expected, `fresh, ${instant - end} ms`);
      fresh.identity.close();
    }
    t.ok(provider);
  }
});

test("a refusal that time does not change is remembered for ten seconds; one that it may change never", async (t) => {
  const { identity, time, told, garbage, judge, token, seconds } = await running(t);
  const forged = await garbage(1);
  t.equal(await judge(forged), "signature-invalid");
  time.advance(9_999);
  t.same(identity.verify(forged, time.now), { principal: undefined, reason: "signature-invalid" });
  t.equal(told.count("refusal_hit"), 1);
  time.advance(1);
  t.ok(identity.verify(forged, time.now) instanceof Promise, "then it is checked again");

  const nameless = await token({ sub: undefined });
  t.equal(await judge(nameless), "claim-missing");
  t.same(identity.verify(nameless, time.now), { principal: undefined, reason: "claim-missing", claim: "sub" });

  const early = await token({ nbf: seconds + 50.5 });
  t.equal(await judge(early), "token-not-yet-valid");
  time.now = (seconds + 20.5) * 1000;
  t.equal(await judge(early), "proven", "the very moment it is valid");
});

test("a refusal ends with the keys it was concluded from", async (t) => {
  const { provider, token, judge, time, told } = await running(t);
  const genuine = await token();
  const key = provider.keys[0];
  await provider.rotate({ keep: false });
  const impostor = { ...provider.keys[0]?.public.export({ format: "jwk" }), kid: key?.kid };
  const publish = async (keys: unknown) => {
    provider.front.behave(reply({ keys }), "/jwks");
    const fetched = told.next("jwks ok");
    time.advance(300_000);
    await fetched;
  };
  await publish([impostor]);
  t.equal(await judge(genuine), "signature-invalid");
  await publish([{ ...key?.public.export({ format: "jwk" }), kid: key?.kid }]);
  time.now -= 299_999; // within the life of the refusal
  t.equal(await judge(genuine), "proven");
});

test("no flood of bad tokens pushes out a good one, and neither cache grows", async (t) => {
  const { identity, time, token, garbage, verify } = await running(t, { identities: 5, refusals: 5 });
  const good = await Promise.all([1, 2, 3, 4, 5].map((i) => token({ sub: `s${i}` })));
  for (const text of good) t.ok((await verify(text)).principal);
  for (let round = 0; round < 5; round++) {
    const flood = await Promise.all(Array.from({ length: 100 }, (_, i) => garbage(round * 100 + i)));
    const answers = await Promise.all(flood.map(verify));
    t.ok(answers.every((answer) => answer.principal === undefined && answer.reason === "signature-invalid"));
  }
  for (const text of good) t.notOk(identity.verify(text, time.now) instanceof Promise);
  t.equal(identity.status()[0]?.identities, 5);
  t.match(identity.caches(), { identities: { entries: 5, limit: 5 }, refusals: { entries: 5, limit: 5 } });
  t.ok((await verify(await token({ sub: "s6" }))).principal);
  t.equal(identity.status()[0]?.identities, 5, "the sixth takes the place of the one used longest ago");
  t.ok(identity.verify(good[0] ?? "", time.now) instanceof Promise);
});

test("signature checks under way are bounded", async (t) => {
  const { identity, time, garbage, token, judge } = await running(t);
  const flood = await Promise.all(Array.from({ length: 1025 }, (_, i) => garbage(i)));
  const answers = flood.map((text) => identity.verify(text, time.now));
  t.same(answers.pop(), { principal: undefined, reason: "overloaded" });
  t.ok(answers.every((answer) => answer instanceof Promise));
  await Promise.all(answers);
  t.equal(await judge(await token()), "proven", "then there is room again");
  t.equal(await judge(flood[1024] ?? ""), "signature-invalid", "and overload is not remembered");
});

test("for who may not wait nothing is begun; what is known is answered all the same", async (t) => {
  const { identity, time, token, garbage, verify } = await running(t);
  const [known, bad, fresh] = [await token({ sub: "known" }), await garbage(1), await token({ sub: "fresh" })];
  await Promise.all([verify(known), verify(bad)]);
  const turnedAway = { wanted: () => false };
  const asked = (text: string) => identity.verify(text, time.now, turnedAway);
  t.match(asked(known), { principal: { subject: "known" } });
  t.match(asked(bad), { reason: "signature-invalid" });
  t.same(asked(fresh), { principal: undefined, reason: "overloaded" });
  const under = identity.verify(fresh, time.now);
  t.ok(under instanceof Promise, "it was not begun");
  t.same(asked(fresh), { principal: undefined, reason: "overloaded" }, "nor is one joined that is under way");
  t.match(await under, { principal: { subject: "fresh" } });
});

test("a reload keeps the keys and identities of unchanged issuers, and nothing else", async (t) => {
  const [kept, changed] = [await startProvider({}), await startProvider({})];
  const issuers = [oidcIssuer(kept.issuer, { name: "kept" }), oidcIssuer(changed.issuer, { name: "changed" })];
  const before = startIdentity(issuers);
  const { time } = before;
  t.teardown(() => Promise.all([kept.close(), changed.close()]));
  await before.identity.ready();
  const exp = Math.floor(time.now / 1000) + 86_400;
  const [one, two] = await Promise.all(
    [kept, changed].map((provider) => provider.sign({ iss: provider.issuer, aud: "api://orders", sub: "alice", exp })),
  );
  if (one === undefined || two === undefined) return t.fail("no tokens");
  const first = await before.verify(one);
  t.equal(await before.judge(two), "proven");
  const asked = kept.front.requests.length;

  const next = [
    oidcIssuer(kept.issuer, { name: "kept" }),
    oidcIssuer(changed.issuer, { name: "changed", audiences: ["api://billing"] }),
  ];
  const after = startIdentity(next, { time, previous: before.identity });
  await after.identity.ready();
  t.equal(after.identity.verify(one, time.now), first, "the identity is the same");
  t.equal(kept.front.requests.length, asked, "and its provider was not asked");
  t.equal(await after.judge(two), "audience-not-accepted", "the changed issuer judges anew");
  t.notOk(before.identity.verify(two, time.now) instanceof Promise, "while the snapshot before goes on as it was");

  const abandoned = startIdentity(next, { time, previous: before.identity });
  abandoned.identity.close();
  t.equal(before.identity.verify(one, time.now), first, "a reload that failed takes nothing with it");

  before.identity.close();
  before.identity.close();
  t.equal(await before.judge(two), "issuer-unavailable", "what nobody has taken over has ended");
  t.equal(after.identity.verify(one, time.now), first, "what was taken over goes on");
  const refreshed = after.told.count("jwks ok");
  const fetched = before.told.next("jwks ok");
  time.advance(300_000);
  await fetched;
  t.ok(refreshed < kept.front.requests.length, "and is refreshed");

  const resized = startIdentity(next, { time, previous: after.identity, identities: 7 });
  const again = await after.verify(one);
  t.equal(resized.identity.verify(one, time.now), again, "also when the cache has another size");
  const strict = startIdentity(next, { time, previous: resized.identity, identities: 7, lifetime: 1 });
  time.advance(1);
  t.ok(strict.identity.verify(one, time.now) instanceof Promise, "a shorter lifetime counts at once");
  after.identity.close();
  resized.identity.close();
  t.equal(strict.identity.status()[0]?.identities, 1);
  strict.identity.close();
});

test("an issuer that came back after its end starts afresh", async (t) => {
  const { identity, issuer, time, token } = await running(t);
  const text = await token();
  await identity.verify(text, time.now);
  identity.close();
  const again = startIdentity([issuer], { time, previous: identity });
  await again.identity.ready();
  t.ok(again.identity.verify(text, time.now) instanceof Promise);
  t.equal(await again.judge(text), "proven");
  again.identity.close();
});

test("two issuers with one URL are a mistake", (t) => {
  const issuer = oidcIssuer("https://issuer.example");
  t.throws(() => startIdentity([issuer, { ...issuer, name: "twin" }]), { message: "two issuers with one URL" });
  t.end();
});

test("no token stays in memory as it came for longer than ten seconds after it ends", async (t) => {
  const { identity, token, time, seconds, verify } = await running(t);
  const kept = () => queryObjects(KeptToken, { format: "count" });
  const use = async (text: string) => {
    const bytes = Buffer.from(text);
    await identity.verify({ kind: "bearer", bytes, start: 0, end: bytes.length }, time.now);
    t.equal((await verify(text)).principal?.subject, "alice");
    identity.verify({ kind: "bearer", bytes, start: 0, end: bytes.length }, time.now);
  };
  await use(await token({ exp: seconds + 60 }));
  await use(await token({ exp: seconds + 120 }));
  t.equal(kept(), 2);
  time.advance(100_000);
  t.equal(kept(), 1, "one is over, with the tolerance of the clock");
  time.advance(60_000);
  t.equal(kept(), 0, "and so is the other");
  await use(await token());
  t.equal(kept(), 1);
  identity.close();
  t.equal(kept(), 0, "a snapshot that has ended keeps none");
});
