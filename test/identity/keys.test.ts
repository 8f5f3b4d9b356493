import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign as signBytes } from "node:crypto";
import { type Test, test } from "tap";
import type { Send } from "../../agent/http/fetch.ts";
import { isRoca } from "../../agent/identity/jwt/roca.ts";
import { type Behaviour, reply, startFront } from "../../demo/front.ts";
import { startProvider } from "../../demo/provider.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";
import { rocaKeyPair } from "./roca.ts";

/** A key that is never the matter. */
const SOUND = { ...generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }), kid: "sound" };
const PARTIES = { billing: { kind: "workload" }, alice: { kind: "person" } } as const;

async function running(t: Test, changes = {}, setup = {}) {
  const provider = await startProvider(PARTIES);
  const started = startIdentity([oidcIssuer(provider.issuer, changes)], setup);
  t.teardown(async () => {
    started.identity.close();
    await provider.close();
  });
  const jwks = () => provider.front.requests.filter((path) => path === "/jwks").length;
  return { provider, jwks, ...started };
}

test("real access tokens of persons, workloads and agents are proven, by RS256, ES256 and EdDSA", async (t) => {
  const provider = await startProvider({
    alice: {
      kind: "person",
      groups: ["Orders Readers", "Everyone"],
      scope: "orders:read",
      claims: { amr: ["pwd", "mfa"], tenant: "emea" },
    },
    billing: { kind: "workload", scope: "orders:read orders:write", algorithm: "ES256", lifetime: 120 },
    assistant: { kind: "agent", algorithm: "EdDSA", claims: { act: { sub: "planner", act: { sub: "alice" } } } },
  });
  const { identity, verify } = startIdentity([oidcIssuer(provider.issuer)]);
  t.teardown(async () => {
    identity.close();
    await provider.close();
  });
  const alice = (await verify(await provider.token("alice"))).principal;
  t.match(alice, {
    issuer: "provider",
    subject: "alice",
    kind: "person",
    groups: ["Orders Readers", "Everyone"],
    scopes: ["orders:read"],
    audiences: ["api://orders"],
    client: "portal",
    actor: [],
    bound: "",
    claims: { tenant: "emea", amr: ["pwd", "mfa"], iss: provider.issuer },
  });
  const billing = (await verify(await provider.token("billing"))).principal;
  t.match(billing, { subject: "billing", kind: "workload", scopes: ["orders:read", "orders:write"], groups: [] });
  t.equal(billing?.expiresAt, Number(billing?.authenticatedAt) + 120_000 + 30_000, "expiry with the tolerance");
  const assistant = (await verify(await provider.token("assistant"))).principal;
  t.match(assistant, { kind: "agent", actor: [{ subject: "planner" }, { subject: "alice" }] });
  t.match(identity.status(), [
    { name: "provider", issuer: provider.issuer, details: { keys: 3 }, identities: 3, error: undefined },
  ]);
});

test("the keys are fetched once for all who wait, and again only when they must be", async (t) => {
  const { provider, jwks, judge, identity, time } = await running(t);
  const tokens = await Promise.all(Array.from({ length: 20 }, () => provider.token("billing")));
  t.same(new Set(await Promise.all(tokens.map(judge))), new Set(["proven"]));
  t.equal(jwks(), 1, "twenty first tokens, one fetch");

  await provider.rotate({ keep: true });
  const fresh = await Promise.all(Array.from({ length: 20 }, () => provider.token("billing")));
  time.advance(1_000);
  t.equal(await judge(fresh[0] ?? ""), "key-pending", "a new key within the cool-down of the last fetch");
  t.equal(jwks(), 1);
  time.advance(9_000);
  t.same(new Set(await Promise.all(fresh.map(judge))), new Set(["proven"]), "a new key after it");
  t.equal(jwks(), 2, "twenty tokens of a new key, one fetch");
  t.not(identity.verify(tokens[0] ?? "", time.now) instanceof Promise, true, "identities of the old key are kept");
});

test("unknown key ids ask the provider once a cool-down, whatever their number", async (t) => {
  const { provider, jwks, judge, identity, time } = await running(t);
  await identity.ready();
  const claims = { iss: provider.issuer, sub: "x", aud: "api://orders", exp: Math.floor(time.now / 1000) + 9000 };
  const flood = (round: number) =>
    Promise.all(Array.from({ length: 200 }, (_, i) => provider.sign(claims, { kid: `${round}-${i}` }).then(judge)));
  for (let round = 0; round < 3; round++) {
    t.same(new Set(await flood(round)), new Set(["key-unknown"]));
    t.equal(jwks(), round + 1);
    time.advance(10_000);
  }
});

test("a key that is gone at the provider takes its cached identities with it", async (t) => {
  const { provider, judge, identity, time, told } = await running(t, {}, { lifetime: 3_600_000 });
  const old = await provider.token("billing");
  t.equal(await judge(old), "proven");
  await provider.rotate({ keep: false });
  t.equal(await judge(old), "proven", "until the keys are refreshed");
  const refreshed = told.next("jwks ok");
  time.advance(300_000);
  await refreshed;
  const verification = identity.verify(old, time.now);
  t.same(verification, { principal: undefined, reason: "key-unknown" });
  t.equal(identity.status()[0]?.identities, 0);
  t.equal(await judge(await provider.token("billing")), "proven", "the new key needs no further fetch");
});

test("while the provider fails, its keys are kept for max_stale and no longer", async (t) => {
  const { provider, judge, identity, time, told } = await running(t, { clockTolerance: 86_400_000 * 2 });
  const warm = await provider.token("billing");
  const cold = await provider.token("alice");
  t.equal(await judge(warm), "proven");
  const failures: readonly [delay: number, behaviour: Behaviour, path: string][] = [
    [300_000, "reset", ""],
    [1_000, "error", ""],
    [2_000, reply("<html>login</html>"), "/jwks"],
    [4_000, reply({ keys: "none" }), "/jwks"],
  ];
  for (const [delay, behaviour, path] of failures) {
    provider.front.behave("up");
    provider.front.behave(behaviour, path);
    const failed = told.next("error");
    time.advance(delay);
    await failed;
    t.equal(await judge(warm), "proven", "a cached identity");
  }
  t.equal(await judge(cold), "proven", "a token that was not seen before");
  t.match(identity.status(), [{ details: { keys: 3 }, error: /not a JWKS/ }], "and it says so");
  const unknown = await provider.sign({ ...claimsOf(cold) }, { kid: "new" });
  t.equal(await judge(unknown), "issuer-unavailable", "a key that may exist is not called unknown");

  time.now += 86_400_000;
  t.equal(await judge(cold), "issuer-unavailable", "keys too old");
  const other = tokenBy(generateKeyPairSync("ed25519").privateKey, provider.issuer, time.now, "EdDSA", undefined);
  t.equal(await judge(other), "issuer-unavailable", "nor do they say that a signature is wrong");
  t.equal(await judge(warm), "issuer-unavailable", "and nothing cached outlives them");
  provider.front.behave("up", "/jwks");
  const recovered = told.next("jwks ok");
  time.advance(0);
  await recovered;
  t.equal(await judge(warm), "proven", "recovered");
  t.match(identity.status(), [{ error: undefined }]);
});

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
}

test("a provider that was never there is unavailable at once, and is found when it comes", async (t) => {
  const { provider, judge, identity, time, told } = await running(t);
  provider.front.behave("reset");
  await identity.ready();
  const token = await tokenOf(provider);
  t.same(identity.verify(token, time.now), { principal: undefined, reason: "issuer-unavailable" }, "without waiting");

  provider.front.behave("silent");
  const asked = provider.front.arrival("/openid-configuration");
  time.advance(1_000);
  await asked;
  t.same(
    identity.verify(token, time.now),
    { principal: undefined, reason: "issuer-unavailable" },
    "nobody waits again",
  );
  const ended = told.next("error");
  time.advance(5_000);
  await ended;

  provider.front.behave("up");
  const found = told.next("jwks ok");
  time.advance(2_000);
  await found;
  t.equal(await judge(token), "proven", "found by its timer, not by a request");

  async function tokenOf({ sign, issuer }: typeof provider) {
    const exp = Math.floor(time.now / 1000) + 600;
    return sign({ iss: issuer, sub: "alice", aud: "api://orders", exp, jti: `${Math.random()}` });
  }
});

test("a silent provider holds nobody longer than five seconds", async (t) => {
  const { provider, identity, time, told, judge } = await running(t);
  provider.front.behave("silent");
  const exp = Math.floor(time.now / 1000) + 600;
  const token = await provider.sign({ iss: provider.issuer, sub: "alice", aud: "api://orders", exp });
  const waiting = identity.verify(token, time.now);
  const ready = identity.ready();
  time.advance(5_000);
  await ready;
  t.same(await waiting, { principal: undefined, reason: "issuer-unavailable" });
  t.match(identity.status(), [{ details: { keys: 0 }, error: /no answer in time/ }]);
  provider.front.behave("up");
  const found = told.next("jwks ok");
  time.advance(1_000);
  await found;
  t.equal(await judge(token), "proven", "and that refusal is not remembered");
});

test("no more tokens wait for a provider than there is room for", async (t) => {
  const { provider, identity, time } = await running(t);
  provider.front.behave("silent");
  const exp = Math.floor(time.now / 1000) + 600;
  const claims = { iss: provider.issuer, sub: "alice", aud: "api://orders", exp };
  const [head = "", , signature = ""] = (await provider.sign(claims)).split(".");
  const token = (i: number) =>
    `${head}.${Buffer.from(JSON.stringify({ ...claims, i })).toString("base64url")}.${signature}`;
  const waiting = Array.from({ length: 1024 }, (_, i) => identity.verify(token(i), time.now));
  t.ok(waiting.every((verification) => verification instanceof Promise));
  t.same(identity.verify(token(1024), time.now), { principal: undefined, reason: "overloaded" });
  t.equal(identity.verify(token(1023), time.now), waiting[1023], "one that waits already is joined");
  time.advance(5_000);
  await Promise.all(waiting);
});

test("a provider that lies about itself is not believed", async (t) => {
  const elsewhere = await startFront(reply({ keys: [SOUND] }));
  t.teardown(() => elsewhere.close());
  const documents: readonly [name: string, error: RegExp, document: (issuer: string) => unknown][] = [
    [
      "another issuer",
      /another issuer: "https:\/\/evil.example", and not "http:\/\/127.0.0.1:\d+"/,
      () => ({ issuer: "https://evil.example", jwks_uri: `${elsewhere.url}/jwks` }),
    ],
    [
      "almost its issuer",
      /another issuer: "(http:.*)\/", and not "\1"/,
      (issuer) => ({ issuer: `${issuer}/`, jwks_uri: `${issuer}/jwks` }),
    ],
    ["no issuer", /another issuer: none, and not/, (issuer) => ({ jwks_uri: `${issuer}/jwks` })],
    ["no text", /another issuer: something that is no text, and not/, (issuer) => ({ issuer: [issuer] })],
    [
      "a hostile one",
      /another issuer: "\\u001b\[31m\?x+\.\.\.", and not/,
      () => ({ issuer: `\u001b[31m\u202e${"x".repeat(5000)}` }),
    ],
    ["no jwks_uri", /no jwks_uri/, (issuer) => ({ issuer })],
    ["a jwks_uri that is none", /no jwks_uri/, (issuer) => ({ issuer, jwks_uri: "jwks" })],
    ["plain http elsewhere", /may not be asked/, (issuer) => ({ issuer, jwks_uri: "http://169.254.169.254/latest" })],
    ["a file", /may not be asked/, (issuer) => ({ issuer, jwks_uri: "file:///etc/passwd" })],
    ["a password", /may not be asked/, (issuer) => ({ issuer, jwks_uri: "https://a:b@keys.example/" })],
    ["a list", /not an object/, () => []],
    [
      "two issuers",
      /a member twice/,
      (issuer) => `{"issuer":"https://evil.example","issuer":"${issuer}","jwks_uri":"${issuer}/jwks"}`,
    ],
    ["no JSON", /not JSON/, () => "<html>"],
  ];
  const provider = await startProvider(PARTIES);
  t.teardown(() => provider.close());
  const token = await provider.token("alice");
  for (const [name, error, document] of documents) {
    provider.front.behave(reply(document(provider.issuer)), "/openid-configuration");
    const { identity, judge, told } = startIdentity([oidcIssuer(provider.issuer)]);
    await identity.ready();
    t.match(identity.status(), [{ details: { keys: 0 }, error }], name);
    t.equal(await judge(token), "issuer-unavailable", name);
    t.same(told.all.slice(0, 1), ["discovery error"], name);
    identity.close();
  }
  t.same(elsewhere.requests, []);
});

/** A token signed with a key of our own, whatever the provider publishes. */
function tokenBy(key: KeyObject, issuer: string, now: number, alg: string, kid: string | undefined): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(now / 1000) + 600;
  const input = `${encode({ alg, kid })}.${encode({ iss: issuer, sub: "alice", aud: "api://orders", exp })}`;
  const options = alg.startsWith("ES") ? { key, dsaEncoding: "ieee-p1363" as const } : key;
  return `${input}.${signBytes(alg === "EdDSA" ? null : "sha256", Buffer.from(input), options).toString("base64url")}`;
}

/** With an exponent of 1 a signature is its own padded message: anybody can write it. */
function tokenByNobody(issuer: string, now: number, kid: string): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(now / 1000) + 600;
  const input = `${encode({ alg: "RS256", kid })}.${encode({ iss: issuer, sub: "root", aud: "api://orders", exp })}`;
  const digest = createHash("sha256").update(input).digest();
  const digestInfo = Buffer.concat([Buffer.from("3031300d060960864801650304020105000420", "hex"), digest]);
  const padding = Buffer.alloc(256 - 3 - digestInfo.length, 0xff);
  return `${input}.${Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), digestInfo]).toString("base64url")}`;
}

test("keys that are weak, private, symmetric or for something else prove nothing", async (t) => {
  const good = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const curve = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const other = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
  const roca = rocaKeyPair();
  const jwk = { ...good.publicKey.export({ format: "jwk" }), kid: "k" };
  const curveJwk = { ...curve.publicKey.export({ format: "jwk" }), kid: "k" };
  const published: readonly [
    name: string,
    reason: string,
    why: RegExp | undefined,
    jwk: unknown,
    KeyObject?,
    string?,
  ][] = [
    ["a good key", "proven", undefined, jwk],
    [
      "a good key with use and alg",
      "proven",
      undefined,
      { ...jwk, use: "sig", alg: "RS256", key_ops: ["verify"], x5c: ["junk"] },
    ],
    ["a key with an operation more", "proven", undefined, { ...jwk, key_ops: ["sign", "verify"], ext: "yes" }],
    ["another algorithm", "algorithm-refused", /none of the issuer's algorithms/, { ...jwk, alg: "RS384" }],
    ["for encryption", "key-unknown", /something else/, { ...jwk, use: "enc" }],
    ["for signing only", "key-unknown", /something else/, { ...jwk, key_ops: ["sign"] }],
    ["operations that are no list", "key-unknown", /something else/, { ...jwk, key_ops: "verify" }],
    [
      "published with its private part",
      "key-unknown",
      /private part/,
      { ...good.privateKey.export({ format: "jwk" }), kid: "k" },
    ],
    ["1,024 bits", "key-weak", /1024 bits/, { ...weak.publicKey.export({ format: "jwk" }), kid: "k" }, weak.privateKey],
    ["1,024 bits behind zeros", "key-weak", /1024 bits/, padded(weak.publicKey), weak.privateKey],
    ["exponent 1", "key-weak", /exponent/, { ...jwk, e: "AQ" }],
    ["an even exponent", "key-weak", /exponent/, { ...jwk, e: "AQAA" }],
    [
      "an exponent of 65 bits",
      "key-weak",
      /exponent/,
      { ...jwk, e: Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 1]).toString("base64url") },
    ],
    ["16,384 bits", "key-weak", /16384 bits/, { ...jwk, n: Buffer.alloc(2048, 0xff).toString("base64url") }],
    [
      "a modulus of ROCA's kind",
      "key-weak",
      /ROCA/,
      { ...roca.publicKey.export({ format: "jwk" }), kid: "k" },
      roca.privateKey,
    ],
    ["symmetric", "key-unknown", /symmetric/, { kty: "oct", k: "c2VjcmV0", kid: "k" }],
    ["an unknown type", "key-unknown", /type or curve/, { ...jwk, kty: "XYZ" }],
    ["no modulus", "key-unknown", /base64url/, { ...jwk, n: undefined }],
    ["padded base64", "key-unknown", /base64url/, { ...jwk, n: `${jwk.n}==` }],
    ["base64 of the other alphabet", "key-unknown", /base64url/, { ...jwk, n: `+/${jwk.n}` }],
    ["another kid", "key-unknown", undefined, { ...jwk, kid: "K" }],
    ["a kid that is no text", "key-unknown", /not a text/, { ...jwk, kid: ["k"] }],
    ["a kid of 1,025 characters", "key-unknown", /longer than 1024/, { ...jwk, kid: "k".repeat(1025) }],
    ["an alg that is no text", "key-unknown", /alg is not a text/, { ...jwk, alg: 7 }],
    ["not even an object", "key-unknown", /not an object/, "k"],
    ["null", "key-unknown", /not an object/, null],
    ["a good curve", "proven", undefined, curveJwk, curve.privateKey, "ES256"],
    ["a point off the curve", "key-unknown", /not a key/, { ...curveJwk, y: curveJwk.x }, curve.privateKey, "ES256"],
    ["another curve", "key-unknown", /type or curve/, { ...curveJwk, crv: "secp256k1" }, other.privateKey, "ES256"],
    [
      "a curve named __proto__",
      "key-unknown",
      /type or curve/,
      { ...curveJwk, crv: "__proto__" },
      curve.privateKey,
      "ES256",
    ],
  ];
  const { provider, judge, time, told, identity } = await running(t);
  await identity.ready();
  for (const [name, reason, why, member, key = good.privateKey, alg = "RS256"] of published) {
    provider.front.behave(reply({ keys: [member, SOUND] }), "/jwks");
    const fetched = told.next("jwks ok");
    time.advance(300_000);
    await fetched;
    t.equal(await judge(tokenBy(key, provider.issuer, time.now, alg, "k")), reason, name);
    t.match(
      identity.status(),
      [{ details: { unused_keys: why === undefined ? [] : [{ why }], keys: why === undefined ? 2 : 1 } }],
      name,
    );
    const loud = why !== undefined && !/something else|type or curve|none of/.test(`${why}`);
    t.equal(told.unusables.at(-1)?.length, loud ? 1 : 0, `${name}: is it told?`);
    if (name === "exponent 1")
      t.equal(await judge(tokenByNobody(provider.issuer, time.now, "k")), reason, "forged by arithmetic");
  }
});

function padded(key: KeyObject) {
  const { n = "", ...rest } = key.export({ format: "jwk" });
  const zeros = Buffer.concat([Buffer.alloc(160), Buffer.from(n, "base64url")]);
  return { ...rest, n: zeros.toString("base64url"), kid: "k" };
}

test("two keys with one kid, and tokens without any", async (t) => {
  const pairs = Array.from({ length: 5 }, () => generateKeyPairSync("ec", { namedCurve: "P-256" }));
  const jwks = pairs.map(({ publicKey }) => ({ ...publicKey.export({ format: "jwk" }), kid: "k" }));
  const { provider, judge, time, told, identity } = await running(t);
  await identity.ready();
  const publish = async (keys: unknown) => {
    provider.front.behave(reply({ keys }), "/jwks");
    const fetched = told.next("jwks ok");
    time.advance(300_000);
    await fetched;
  };
  const judged = (i: number, kid?: string) => {
    const key = pairs[i]?.privateKey;
    return key === undefined ? "" : judge(tokenBy(key, provider.issuer, time.now, "ES256", kid));
  };
  await publish(jwks.slice(0, 3));
  for (const i of [0, 1, 2]) t.equal(await judged(i), "proven");
  t.equal(await judged(2, "k"), "proven");
  t.equal(await judged(3), "signature-invalid");
  await publish(jwks);
  t.equal(await judged(0), "key-unknown", "among too many keys none is tried");
});

test("a JWKS without a key that can be used changes nothing but what is said", async (t) => {
  const { provider, judge, identity, time, told } = await running(t, { clockTolerance: 86_400_000 });
  const token = await provider.token("billing");
  t.equal(await judge(token), "proven");
  const [key] = provider.keys;
  const jwk = { ...key?.public.export({ format: "jwk" }), kid: key?.kid };
  const useless: readonly [name: string, error: RegExp, keys: unknown[]][] = [
    ["padded base64", /no key that can be used \(key "RS256-.*": .*base64url/, [{ ...jwk, n: `${jwk.n}=` }]],
    ["an empty list", /no key that can be used \(it is empty\)/, []],
    ["encryption only", /something else/, [{ ...jwk, use: "enc" }]],
    ["other algorithms only", /none of the issuer's algorithms/, [{ ...jwk, alg: "PS512" }]],
    ["junk", /a key without kid: it is not an object; .*; a key/, [null, 7, "k", {}, []]],
  ];
  for (const [name, error, keys] of useless) {
    provider.front.behave(reply({ keys }), "/jwks");
    const failed = told.next("jwks error");
    time.advance(300_000);
    await failed;
    t.match(identity.status(), [{ details: { keys: 3, unused_keys: keys.map(() => ({ why: /./ })) }, error }], name);
    t.equal(await judge(token), "proven", "what is known");
    t.equal(await judge(await provider.token("alice")), "proven", "and what is new");
    provider.front.behave("up", "/jwks");
    const mended = told.next("jwks ok");
    time.advance(1_000);
    await mended;
    t.match(identity.status(), [{ details: { keys: 3, unused_keys: [] }, error: undefined }], `after ${name}`);
  }
});

test("an issuer that never had a key that can be used is told so, and asked again soon", async (t) => {
  const provider = await startProvider(PARTIES);
  provider.front.behave(reply({ keys: [] }), "/jwks");
  const { identity, judge, time, told } = startIdentity([oidcIssuer(provider.issuer)]);
  t.teardown(async () => {
    identity.close();
    await provider.close();
  });
  await identity.ready();
  t.match(identity.status(), [{ details: { keys: 0 }, error: /no key that can be used/ }]);
  const token = await provider.token("alice");
  t.equal(await judge(token), "issuer-unavailable");
  provider.front.behave("up", "/jwks");
  const mended = told.next("jwks ok");
  time.advance(1_000);
  await mended;
  t.equal(await judge(token), "proven");
});

/** A token of a key that the provider has changed to, and what its claims say of when it was issued. */
const issuedAt = (provider: Awaited<ReturnType<typeof startProvider>>, seconds: number | undefined, kid?: string) => {
  const claims = { iss: provider.issuer, sub: "alice", aud: "api://orders", exp: 4e9, jti: `${Math.random()}` };
  return provider.sign({ ...claims, iat: seconds }, kid === undefined ? {} : { kid });
};

test("a key that may have come after ours is waited for, and not called unknown", async (t) => {
  const { provider, jwks, judge, identity, time, told } = await running(t, { clockTolerance: 5_000 });
  await identity.ready();
  const asOf = Math.floor(time.now / 1000);
  await provider.rotate({ keep: false });
  const fresh = await issuedAt(provider, asOf + 2);
  time.advance(2_000);
  t.equal(await judge(fresh), "key-pending", "the cool-down is longer than anybody waits");
  t.equal(await judge(await issuedAt(provider, asOf - 7)), "key-unknown", "older than the keys, by any clock");
  t.equal(await judge(await issuedAt(provider, undefined)), "key-unknown", "nothing says that it is newer");
  t.equal(await judge(await issuedAt(provider, asOf - 4)), "key-pending", "the clocks may differ by the tolerance");
  t.equal(await judge(await issuedAt(provider, asOf)), "key-pending", "within the second of the fetch");
  t.equal(jwks(), 1);

  time.advance(7_700);
  const waiting = judge(fresh);
  t.equal(jwks(), 1, "0.3 s before its end");
  const fetched = told.next("jwks ok");
  time.advance(300);
  await fetched;
  t.equal(await waiting, "proven", "the provider is asked at the end of the cool-down");
  t.equal(jwks(), 2);
  t.equal(
    await judge(await issuedAt(provider, asOf + 9, "none")),
    "key-unknown",
    "it was here before the keys were fetched",
  );
  time.advance(1);
  t.equal(await judge(await issuedAt(provider, asOf + 9, "none")), "key-pending");
});

test("the provider is asked at the end of a cool-down although nobody asks any more", async (t) => {
  const { provider, jwks, judge, identity, time, told } = await running(t);
  await identity.ready();
  await provider.rotate({ keep: true });
  time.advance(1);
  t.equal(await judge(await provider.token("alice")), "key-pending");
  const fetched = told.next("jwks ok");
  time.advance(9_999);
  await fetched;
  t.equal(jwks(), 2);
  t.equal(await judge(await provider.token("alice")), "proven");
  time.advance(299_999);
  t.equal(jwks(), 2, "and then as ever");
});

test("a clock that is set back makes no cool-down longer", async (t) => {
  const { provider, jwks, judge, identity, time } = await running(t);
  await identity.ready();
  await provider.rotate({ keep: false });
  time.now -= 3_600_000;
  t.equal(await judge(await issuedAt(provider, undefined)), "proven");
  t.equal(jwks(), 2);
});

test("keys that were read when their issuer ends prove nobody", async (t) => {
  const provider = await startProvider(PARTIES);
  t.teardown(() => provider.close());
  const token = await provider.token("alice");
  const { identity, time, told } = startIdentity([oidcIssuer(provider.issuer)]);
  told.fetched = (_issuer, what) => what === "jwks" && identity.close();
  const waiting = identity.verify(token, time.now);
  t.match(await waiting, { principal: undefined, reason: "issuer-unavailable" });
  t.match(identity.status(), [{ details: { keys: 0 } }]);
});

test("a token that ends while it is checked, or waits for its key, proves nobody", async (t) => {
  const { provider, judge, identity, time, told } = await running(t);
  await identity.ready();
  const signed = () => {
    const exp = Math.floor(time.now / 1000) + 5;
    return provider.sign({ iss: provider.issuer, sub: "alice", aud: "api://orders", exp });
  };
  const token = await signed();
  const checking = judge(token);
  time.now += 60_000;
  t.equal(await checking, "token-expired");
  t.equal(await judge(token), "token-expired", "nor later");
  await provider.rotate({ keep: false });
  const fetched = told.next("jwks ok");
  const waiting = judge(await signed());
  time.now += 60_000;
  await fetched;
  t.equal(await waiting, "token-expired");
});

test("whoever sends unknown key ids neither keeps a new key out, nor has the provider asked more often", async (t) => {
  const { provider, jwks, judge, identity, time, told } = await running(t);
  await identity.ready();
  for (let round = 1; round <= 5; round++) {
    if (round === 3) await provider.rotate({ keep: true });
    const asked = told.next("jwks ok");
    for (let second = 1; second <= 10; second++) {
      time.advance(999);
      const junk = Array.from({ length: 5 }, (_, i) =>
        issuedAt(provider, Math.floor(time.now / 1000), `${round}-${second}-${i}`),
      );
      for (const token of await Promise.all(junk)) void identity.verify(token, time.now);
      time.advance(1);
    }
    await asked;
    t.equal(jwks(), round + 1);
    if (round === 3)
      t.equal(await judge(await provider.token("alice")), "proven", "the new key is there within one cool-down");
  }
});

test("no more tokens wait for the end of a cool-down than there is room for, and none for ever", async (t) => {
  const { provider, identity, time } = await running(t);
  await identity.ready();
  time.advance(9_900);
  const seconds = Math.floor(time.now / 1000);
  const [head = "", , signature = ""] = (await issuedAt(provider, seconds, "none")).split(".");
  const claims = { iss: provider.issuer, sub: "alice", aud: "api://orders", exp: 4e9, iat: seconds };
  const token = (i: number) =>
    `${head}.${Buffer.from(JSON.stringify({ ...claims, i })).toString("base64url")}.${signature}`;
  const waiting = Array.from({ length: 1024 }, (_, i) => identity.verify(token(i), time.now));
  t.ok(waiting.every((verification) => verification instanceof Promise));
  t.same(identity.verify(token(1024), time.now), { principal: undefined, reason: "overloaded" });
  identity.close();
  t.same(
    new Set((await Promise.all(waiting)).map((each) => "reason" in each && each.reason)),
    new Set(["issuer-unavailable"]),
  );
});

test("no more checks are begun than there is room for, of tokens that have waited for their keys either", async (t) => {
  const issuer = "https://issuer.example";
  const [old, fresh] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
  const jwks = [old, fresh].map(({ publicKey }, i) => ({ ...publicKey.export({ format: "jwk" }), kid: `${i}` }));
  const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let times = 0;
  const told: Send = async ({ pathname }) => {
    const isJwks = pathname === "/jwks";
    const again = isJwks && ++times > 1;
    if (again) asked.resolve();
    if (again) await answered.promise;
    const document = isJwks ? { keys: jwks.slice(0, again ? 2 : 1) } : { issuer, jwks_uri: `${issuer}/jwks` };
    return { status: 200, headers: {}, body: Buffer.from(JSON.stringify(document)) };
  };
  const { identity, time } = startIdentity([oidcIssuer(issuer)], { send: told });
  t.teardown(() => identity.close());
  await identity.ready();
  time.advance(10_000);
  const waiting = identity.verify(tokenBy(fresh.privateKey, issuer, time.now, "EdDSA", "1"), time.now);
  await asked.promise;
  const [head, body = "", signature] = tokenBy(old.privateKey, issuer, time.now, "EdDSA", "0").split(".");
  const claims = JSON.parse(Buffer.from(body, "base64url").toString());
  const forged = (i: number) =>
    `${head}.${Buffer.from(JSON.stringify({ ...claims, i })).toString("base64url")}.${signature}`;
  const checking = Array.from({ length: 1024 }, (_, i) => identity.verify(forged(i), time.now));
  answered.resolve();
  t.match(await waiting, { principal: undefined, reason: "overloaded" });
  const reasons = (await Promise.all(checking)).map((found) => "reason" in found && found.reason);
  t.strictSame(new Set(reasons), new Set(["signature-invalid"]));
});

test("of a thousand moduli made at random none has ROCA's fingerprint", (t) => {
  for (let i = 0; i < 1000; i++) {
    const modulus = randomBytes(256);
    if (isRoca(modulus)) t.fail(modulus.toString("hex"));
  }
  for (let i = 0; i < 3; i++) {
    const { n = "" } = rocaKeyPair().publicKey.export({ format: "jwk" });
    t.ok(isRoca(Buffer.from(n, "base64url")));
  }
  t.end();
});

test("a document is bounded, and a set that breaks the bounds changes nothing", async (t) => {
  const { provider, judge, time, told, identity } = await running(t, {
    keys: { maxSize: 20_000 },
  });
  t.equal(await judge(await provider.token("billing")), "proven");
  const many = Array.from({ length: 101 }, (_, i) => ({ kty: "oct", kid: `${i}` }));
  const fields: readonly [string, RegExp, unknown][] = [
    ["101 keys", /more than 100 keys/, { keys: many }],
    ["20,001 bytes", /larger than 20000 bytes/, { keys: [], filler: "x".repeat(20_000) }],
    ["no keys at all", /not a JWKS/, { key: [] }],
    ["null", /not an object/, null],
    ["two lists of keys", /a member twice/, '{"keys":[],"keys":[]}'],
  ];
  for (const [name, error, document] of fields) {
    provider.front.behave(reply(document), "/jwks");
    const failed = told.next("jwks error");
    time.advance(300_000);
    await failed;
    t.match(identity.status(), [{ details: { keys: 3 }, error }], name);
    provider.front.behave("up", "/jwks");
    const mended = told.next("jwks ok");
    time.advance(1_000);
    await mended;
  }
});

test("when the keys move to another address, they are found", async (t) => {
  const { provider, judge, time, told } = await running(t);
  t.equal(await judge(await provider.token("billing")), "proven");
  provider.front.behave(reply("gone", 404), "/jwks");
  const failed = told.next("jwks error");
  time.advance(300_000);
  await failed;
  const key = provider.keys[0];
  const moved = { ...key?.public.export({ format: "jwk" }), kid: "moved" };
  provider.front.behave(
    reply({ issuer: provider.issuer, jwks_uri: `${provider.issuer}/keys-2` }),
    "/openid-configuration",
  );
  provider.front.behave(reply({ keys: [moved] }), "/keys-2");
  const found = told.next("jwks ok");
  time.advance(1_000);
  await found;
  const exp = Math.floor(time.now / 1000) + 600;
  const claims = { iss: provider.issuer, sub: "alice", aud: "api://orders", exp };
  t.equal(await judge(await provider.sign(claims, { kid: "moved" })), "proven");
});

test("no more than `fetches` providers are asked at a time", async (t) => {
  let open = 0;
  let most = 0;
  const release: (() => void)[] = [];
  const counting: Send = async (url) => {
    most = Math.max(most, ++open);
    await new Promise<void>((resolve) => release.push(resolve));
    open--;
    const issuer = url.origin;
    const document = url.pathname === "/jwks" ? { keys: [SOUND] } : { issuer, jwks_uri: `${issuer}/jwks` };
    return { status: 200, headers: {}, body: Buffer.from(JSON.stringify(document)) };
  };
  const issuers = Array.from({ length: 40 }, (_, i) => oidcIssuer(`https://i${i}.example`, { name: `i${i}` }));
  const { identity } = startIdentity(issuers, { send: counting });
  t.teardown(() => identity.close());
  let done = false;
  const ready = identity.ready().then(() => {
    done = true;
  });
  while (!done) {
    for (const go of release.splice(0)) go();
    await new Promise(setImmediate);
  }
  await ready;
  t.equal(most, 16);
  t.same(new Set(identity.status().map(({ error }) => error)), new Set([undefined]));
});

test("closing ends timers and fetches under way", async (t) => {
  const { provider, identity, time, verify } = await running(t);
  const token = await provider.token("billing");
  t.ok((await verify(token)).principal);
  const asked = provider.front.requests.length;
  identity.close();
  identity.close();
  time.advance(3_600_000);
  t.equal(provider.front.requests.length, asked);

  const other = startIdentity([oidcIssuer(provider.issuer)]);
  provider.front.behave("silent");
  const arrival = provider.front.arrival("/openid-configuration");
  await arrival;
  other.identity.close();
  await other.identity.ready();
  t.match(other.identity.status(), [{ details: { keys: 0 } }], "ready although nothing was answered");
});
