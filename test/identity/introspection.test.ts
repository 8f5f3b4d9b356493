import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { RequestListener } from "node:http";
import { text } from "node:stream/consumers";
import { CompactSign } from "jose";
import { type Test, test } from "tap";
import type { IntrospectionIssuer } from "../../agent/identity/introspection/section.ts";
import { prefixesOf } from "../../agent/identity/introspection/token-form.ts";
import { ALGORITHMS } from "../../agent/identity/jwt/signature.ts";
import { type Behaviour, reply, startFront } from "../../demo/front.ts";
import { startProvider } from "../../demo/provider.ts";
import { Files, file, SHORTEST } from "../config/example.ts";
import { startBackend } from "../support/backend.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { Clockwork } from "../support/clockwork.ts";
import { freePort, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";
import { ASKERS, type OpaqueProvider, SIGNER_KEY, startOpaqueProvider } from "../support/opaque-provider.ts";
import { configuration, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";
import { mallory } from "./forge.ts";
import { behavesAsIssuer, LIFETIME, outlivesItsProvider, type Started, type Subject } from "./suite.ts";

const AUDIENCE = "api://orders";

/** An issuer's configuration with the documented defaults, as the client `basic` of the test's provider. */
function introspectionIssuer(issuer: string, changes: Partial<IntrospectionIssuer> = {}): IntrospectionIssuer {
  const { id, secret } = ASKERS.basic;
  const { type: _type, tokenTypes: _types, idTokens: _idTokens, ...shared } = oidcIssuer(issuer);
  const own: IntrospectionIssuer = {
    ...shared,
    type: "introspection",
    tokens: "opaque",
    prefix: undefined,
    endpoint: undefined,
    client: { id, authentication: { method: "client_secret_basic", secret }, certificate: undefined },
    answers: "plain",
    untyped: "refuse",
    lifetime: 30_000,
    timeout: 5_000,
    maxSize: 65_536,
    concurrency: 16,
    ...changes,
  };
  return { ...own, ...prefixesOf(own) };
}

/** Opaque tokens of a real provider. */
async function subject(t: Test, changes: Partial<IntrospectionIssuer> = {}): Promise<Subject> {
  const provider = await startOpaqueProvider();
  t.teardown(() => provider.close());
  let given: string[] = [];
  return {
    issuer: introspectionIssuer(provider.issuer, { lifetime: 2 * LIFETIME, ...changes }),
    async good() {
      const token = await provider.token("alice");
      given.push(token);
      return token;
    },
    foreign: () => provider.token("alice", { audience: "api://billing" }),
    forged: async () => "MTWUsSMLJz9Q9lMxpZVwUhl4LnXZ_UY-T7mTWYpqBqY",
    provider: {
      front: provider.front,
      path: "/token/introspection",
      lies: [
        reply({}),
        reply({ active: "true" }),
        reply({ active: 1 }),
        reply({ active: null, sub: "alice" }),
        reply([{ active: true }]),
        reply('{"active":false,"active":true}'),
      ],
      again: async () => {},
    },
    async revoke({ time }) {
      for (const token of given) await provider.revoke(token);
      given = [];
      time.advance(2 * LIFETIME);
      return undefined;
    },
  };
}

const WORDING = { forged: "token-inactive", revoked: "token-inactive" } as const;
behavesAsIssuer("introspection", (t) => subject(t), WORDING);
outlivesItsProvider("introspection", (t) => subject(t));

const { id, secret } = ASKERS.signed;
const SIGNED = {
  answers: "signed",
  client: { id, authentication: { method: "client_secret_basic", secret }, certificate: undefined },
} as const;
const SIGNED_TYPE = "application/token-introspection+jwt";

/** Somebody who signs answers by the test's clock; keys and signatures are a real provider's. */
async function signer(t: Test, time: { readonly now: number }) {
  const provider = await startProvider({});
  t.teardown(() => provider.close());
  const exp = Math.floor(time.now / 1000) + LIFETIME / 1000;
  const told = (aud: string) => ({ active: true, sub: "alice", aud, exp, token_type: "Bearer" });
  const outer = () => ({ iss: provider.issuer, aud: id, iat: Math.floor(time.now / 1000) });
  const sign = (claims: unknown, header = {}) => provider.sign(claims, { typ: "token-introspection+jwt", ...header });
  const changes = { ...SIGNED, endpoint: `${provider.issuer}/introspect` };
  return { provider, issuer: introspectionIssuer(provider.issuer, changes), told, outer, sign };
}

/** Signed, but not by the issuer's key. */
function forgedAnswer(claims: unknown, kid: string): Promise<string> {
  const header = { alg: "RS256", kid, typ: "token-introspection+jwt" };
  return new CompactSign(Buffer.from(JSON.stringify(claims))).setProtectedHeader(header).sign(mallory.privateKey);
}

/** An answer that is this JWT. */
function says(jwt: string | Promise<string>, type = SIGNED_TYPE, status = 200): RequestListener {
  return async (request, response) => reply(await jwt, status, { "content-type": type })(request, response);
}

async function signedSubject(t: Test, time: { readonly now: number }): Promise<Subject> {
  const { issuer, told, outer, sign } = await signer(t, time);
  const known = new Map<string, unknown>();
  const about = (token: string, aud: string) => {
    known.set(token, told(aud));
    return token;
  };
  const front = await startFront(async (request, response) => {
    const form = new URLSearchParams(await text(request));
    const token_introspection = known.get(form.get("token") ?? "") ?? { active: false };
    says(sign({ ...outer(), token_introspection }))(request, response);
  });
  t.teardown(() => front.close());
  return {
    issuer: { ...issuer, endpoint: `${front.url}/introspect`, lifetime: 2 * LIFETIME } as IntrospectionIssuer,
    good: async (twin = 0) => about(`token-${twin}`, AUDIENCE),
    foreign: async () => about("token-for-billing", "api://billing"),
    forged: async () => "nobodys",
    provider: { front, path: "/introspect", lies: [reply(told(AUDIENCE)), says("a.b.c")], again: async () => {} },
    async revoke(started: Started) {
      known.clear();
      started.time.advance(2 * LIFETIME);
      return undefined;
    },
  };
}

behavesAsIssuer("introspection, answers signed", signedSubject, WORDING);
outlivesItsProvider("introspection, answers signed", signedSubject);

test("introspection: a signed answer counts if it is the issuer's, for this client, of now, and about a token", async (t) => {
  const time = new Clockwork();
  const { provider, issuer, told, outer, sign } = await signer(t, time);
  const { identity, judge } = startIdentity([issuer], { time });
  t.teardown(() => identity.close());
  await identity.ready();
  const token_introspection = told(AUDIENCE);
  const whole = { ...outer(), token_introspection };
  const [head = "", body = "", signature = ""] = (await sign(whole)).split(".");
  const { iat } = whole;
  let tokens = 0;
  for (const [name, answer, why] of [
    ["whole", says(sign(whole))],
    ["for the audience", says(sign({ ...whole, aud: [AUDIENCE] }))],
    ["unsigned", reply(token_introspection), "is not signed"],
    ["of another type", says(sign(whole), "application/jwt"), "is not signed"],
    ["of another status", says(sign(whole), SIGNED_TYPE, 203), "status 203 instead of 200"],
    ["typ JWT", says(sign(whole, { typ: "JWT" })), "its typ"],
    ["typ at+jwt", says(sign(whole, { typ: "at+jwt" })), "its typ"],
    ["of another issuer", says(sign({ ...whole, iss: `${provider.issuer}/` })), "another issuer"],
    ["for another client", says(sign({ ...whole, aud: "another" })), "its aud"],
    ["for nobody", says(sign({ ...whole, aud: undefined })), "its aud"],
    ["of no time", says(sign({ ...whole, iat: undefined })), "no iat"],
    ["of before", says(sign({ ...whole, iat: iat - 36 })), "too long ago"],
    ["of later", says(sign({ ...whole, iat: iat + 31 })), "yet to be made"],
    ["about nothing", says(sign({ ...outer(), ...token_introspection })), "nothing of the token"],
    ["about a list", says(sign({ ...outer(), token_introspection: [token_introspection] })), "nothing of the token"],
    [
      "active otherwise",
      says(sign({ ...whole, token_introspection: { active: "true" } })),
      "whether the token is active",
    ],
    ["another signature", says(`${head}.${body}.AAAA${signature.slice(4)}`), "signature"],
    ["another's key", says(forgedAnswer(whole, provider.keys[0]?.kid ?? "")), "signature"],
    ["a key that is not known", says(forgedAnswer(whole, "other")), "key"],
    [
      "no algorithm",
      says(`${Buffer.from('{"alg":"none","typ":"token-introspection+jwt"}').toString("base64url")}.${body}.`),
      "no JWT",
    ],
    ["no JWT", says("nothing"), "no JWT"],
    ["encrypted", says(`${head}.${body}.${signature}.x.y`), "token-encrypted"],
  ] as const) {
    provider.front.behave(answer, "/introspect");
    t.equal(await judge(`token-${++tokens}`), why === undefined ? "proven" : "issuer-unavailable", name);
    t.match(identity.status()[0]?.error ?? "", why ?? /^$/, name);
  }
});

test("introspection: what a signed answer may not be signed with is refused before it is checked", async (t) => {
  const time = new Clockwork();
  const { provider, issuer, told, outer, sign } = await signer(t, time);
  const { identity, judge } = startIdentity([{ ...issuer, algorithms: ["ES256"] } as IntrospectionIssuer], { time });
  t.teardown(() => identity.close());
  provider.front.behave(says(sign({ ...outer(), token_introspection: told(AUDIENCE) })), "/introspect");
  t.equal(await judge("token"), "issuer-unavailable");
  t.match(identity.status()[0]?.error, "`algorithms`");
});

test("introspection: a signed answer is no token", async (t) => {
  const time = new Clockwork();
  const { provider, told, outer, sign } = await signer(t, time);
  const { identity, judge } = startIdentity([oidcIssuer(provider.issuer)], { time });
  t.teardown(() => identity.close());
  await identity.ready();
  t.equal(await judge(await sign({ ...told(AUDIENCE), ...outer(), aud: AUDIENCE })), "token-type");
});

test("introspection: a real provider's signed answers are read", async (t) => {
  const provider = await startOpaqueProvider();
  t.teardown(() => provider.close());
  const { identity, judge } = startIdentity([introspectionIssuer(provider.issuer, SIGNED)]);
  t.teardown(() => identity.close());
  const token = await provider.token("alice");
  t.equal(await judge(token), "proven");
  t.equal(await judge(`${token}x`), "token-inactive");
  t.equal(await judge(await provider.token("alice", { audience: "api://billing" })), "audience-not-accepted");
});

/** An issuer that answers whatever the test says, and what its token comes to. */
async function answering(t: Test, changes: Partial<IntrospectionIssuer> = {}) {
  const front = await startFront(reply({ active: false }));
  t.teardown(() => front.close());
  const issuer = introspectionIssuer(front.url, { endpoint: `${front.url}/introspect`, ...changes });
  const started = startIdentity([issuer], { lifetime: 10 * LIFETIME });
  t.teardown(() => started.identity.close());
  let tokens = 0;
  return {
    ...{ ...started, issuer, front },
    /** A token that was never here before. */
    async judge(behaviour: Behaviour, token = `token-${++tokens}`) {
      front.behave(behaviour, "/introspect");
      return started.judge(token);
    },
  };
}

test("introspection: each thing that an answer says of a token is checked", async (t) => {
  const { judge, issuer, time, identity } = await answering(t, { clockTolerance: 10_000 });
  const now = Math.floor(time.now / 1000);
  const good = {
    active: true,
    iss: issuer.issuer,
    sub: "alice",
    aud: ["api://orders"],
    exp: now + 60,
    token_type: "Bearer",
  };
  for (const [changes, expected] of [
    [{}, "proven"],
    [{ active: false }, "token-inactive"],
    [{ iss: undefined }, "proven"],
    [{ iss: `${issuer.issuer}/` }, "issuer-unknown"],
    [{ iss: [issuer.issuer] }, "issuer-unknown"],
    [{ aud: "api://orders" }, "proven"],
    [{ aud: "api://billing" }, "audience-not-accepted"],
    [{ aud: ["api://orders/"] }, "audience-not-accepted"],
    [{ aud: undefined }, "claim-missing"],
    [{ aud: 7 }, "claim-malformed"],
    [{ exp: now - 9 }, "proven"],
    [{ exp: now - 11 }, "token-expired"],
    [{ exp: undefined }, "claim-missing"],
    [{ exp: `${now + 60}` }, "claim-malformed"],
    [{ nbf: now + 8 }, "proven"],
    [{ nbf: now + 12 }, "token-not-yet-valid"],
    [{ iat: now + 12 }, "token-not-yet-valid"],
    [{ sub: undefined }, "claim-missing"],
    [{ sub: "" }, "claim-malformed"],
    [{ token_type: "BEARER" }, "proven"],
    [{ token_type: undefined }, "token-not-access"],
    [{ token_type: "refresh_token" }, "token-not-access"],
    [{ token_type: "N_A" }, "token-not-access"],
    [{ token_type: ["Bearer"] }, "claim-malformed"],
    [{ typ: "Refresh" }, "token-not-access"],
    [{ typ: "ID" }, "token-not-access"],
    [{ token_type: undefined, typ: "Bearer" }, "proven"],
    [{ token_use: "refresh_token" }, "token-not-access"],
    [{ token_type: undefined, token_use: "access_token" }, "proven"],
    [{ cnf: { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }, "proof-missing"],
    [{ cnf: {} }, "proof-missing"],
    // It is bound, to a key that is not told.
    [{ token_type: "dpop" }, "proof-missing"],
    [{ typ: "DPoP" }, "proof-missing"],
    [{ token_type: "DPoP", cnf: { "x5t#S256": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }, "proof-missing"],
  ] as const) {
    t.equal(await judge(reply({ ...good, ...changes })), expected, JSON.stringify(changes));
  }
  t.equal(identity.status()[0]?.error, undefined, "none of it is the provider's fault");
  const soon = reply({ ...good, nbf: now + 12 });
  t.equal(await judge(soon, "soon"), "token-not-yet-valid");
  time.now += 2_000;
  t.equal(await judge(soon, "soon"), "proven", "as soon as it is valid");
  const untyped = await answering(t, { untyped: "accept" });
  const answer = { ...good, iss: untyped.issuer.issuer, token_type: undefined };
  t.equal(await untyped.judge(reply(answer)), "proven", "where that is configured");
  t.equal(
    await untyped.judge(reply({ ...answer, typ: "Refresh" })),
    "token-not-access",
    "but what says that it is none",
  );
});

test("introspection: a number that an answer tells is that number, and not the next one that a double holds", async (t) => {
  const require = [{ path: "tenant", wanted: 9007199254740993n }];
  const { judge, time } = await answering(t, { require });
  const exp = Math.floor(time.now / 1000) + 60;
  const told = { active: true, sub: "alice", aud: "api://orders", exp, token_type: "Bearer" };
  for (const [tenant, expected] of [
    ["9007199254740993", "proven"],
    ["9007199254740992", "claim-not-accepted"],
    ["9007199254740993.0", "issuer-unavailable"],
    ["18446744073709551616", "issuer-unavailable"],
  ] as const)
    t.equal(await judge(reply(JSON.stringify(told).replace("}", `,"tenant":${tenant}}`))), expected, tenant);
});

test("introspection: a token that is bound to a key proves nobody without it, and is refused where proofs are not taken", async (t) => {
  const { identity, issuer, time, front } = await answering(t, { proofs: ["dpop"], credentials: ["bearer", "dpop"] });
  const jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
  const good = { active: true, iss: issuer.issuer, sub: "alice", aud: AUDIENCE };
  const answer = { ...good, token_type: "Bearer", exp: Math.floor(time.now / 1000) + 60 };
  const found = (token: string, cnf: unknown, token_type = "DPoP") => {
    front.behave(reply({ ...answer, cnf, token_type }), "/introspect");
    return identity.verify(token, time.now);
  };
  t.match(await found("bound", { jkt }), { principal: { bound: "dpop" }, confirmation: { jkt } });
  t.match(await found("bound", { jkt }), { confirmation: { jkt } }, "known, too");
  t.match(await found("free", undefined, "Bearer"), { principal: { bound: "" }, confirmation: undefined });
  t.match(await found("to what is not told", undefined), { principal: undefined, reason: "proof-missing" });
  t.match(await found("by certificate", { "x5t#S256": jkt }), { principal: undefined, reason: "proof-missing" });
  t.match(await found("by both", { jkt, "x5t#S256": jkt }), { principal: undefined, reason: "proof-missing" });
  const strict = await answering(t, { proofs: ["dpop"], unbound: "refuse", credentials: ["bearer", "dpop"] });
  t.equal(await strict.judge(reply({ ...answer, iss: strict.issuer.issuer })), "token-unbound");
});

test("introspection: what is no answer never lets anybody in", async (t) => {
  const { judge, issuer, time, identity, told } = await answering(t);
  const good = {
    ...{ active: true, iss: issuer.issuer, sub: "alice", aud: "api://orders", token_type: "Bearer" },
    exp: Math.floor(time.now / 1000) + 600,
  };
  for (const status of [201, 202, 204, 206, 301, 302, 307, 400, 401, 403, 404, 429, 500, 503]) {
    const answer = await judge(reply(status === 204 ? "" : good, status, { location: "/introspect" }));
    t.equal(answer, "issuer-unavailable", String(status));
    t.match(identity.status()[0]?.error, `/introspect: status ${status} instead of 200`);
  }
  for (const [name, behaviour] of [
    ["HTML", reply("<html>log in</html>", 200, { "content-type": "text/html" })],
    ["another type", reply(good, 200, { "content-type": "text/plain" })],
    ["a signed one that nobody asked for", reply(good, 200, { "content-type": "application/token-introspection+jwt" })],
    ["`active` twice", reply(JSON.stringify(good).replace("}", ',"active":true}'))],
    ["a number that is no double", reply(JSON.stringify(good).replace("}", ',"uid":1e999}'))],
    ["too large", reply({ ...good, more: "x".repeat(66_000) })],
  ] as const) {
    t.equal(await judge(behaviour), "issuer-unavailable", name);
  }
  t.equal(told.count("refusal_hit"), 0);
  t.equal(await judge(reply(good, 200, { "content-type": "Application/JSON; charset=utf-8" })), "proven");
});

test("introspection: a token that is taken back counts until its answer is `lifetime` old, and no longer", async (t) => {
  const provider = await startOpaqueProvider();
  t.teardown(() => provider.close());
  const { identity, judge, time } = startIdentity([introspectionIssuer(provider.issuer)]);
  t.teardown(() => identity.close());
  const token = await provider.token("alice");
  t.equal(await judge(token), "proven");
  await provider.revoke(token);
  time.now += 29_999;
  t.equal(await judge(token), "proven", "bounded, as it is documented");
  time.now += 1;
  t.equal(await judge(token), "token-inactive");
  const asked = asks(provider);
  time.now += 9_999;
  t.equal(await judge(token), "token-inactive");
  t.equal(asks(provider), asked, "a refusal is remembered briefly");
  time.now += 1;
  t.equal(await judge(token), "token-inactive");
  t.equal(asks(provider), asked + 1);
});

test("introspection: what is told of a token when its issuer ends proves nobody", async (t) => {
  const { judge, issuer, time, identity, told } = await answering(t);
  const exp = Math.floor(time.now / 1000) + 600;
  told.fetched = () => identity.close();
  const answer = { active: true, iss: issuer.issuer, sub: "alice", aud: AUDIENCE, token_type: "Bearer", exp };
  t.equal(await judge(reply(answer)), "issuer-unavailable");
});

test("introspection: the time that an answer took counts as its age", async (t) => {
  const { judge, front, time, issuer, identity } = await answering(t);
  const body = { active: true, iss: issuer.issuer, sub: "alice", aud: "api://orders", token_type: "Bearer" };
  const answer = await judge((_request, response) => {
    time.now += 20_000;
    reply({ ...body, exp: Math.floor(time.now / 1000) + 600 })(_request, response);
  }, "slow");
  t.equal(answer, "proven");
  time.now += 9_999;
  t.notOk(identity.verify("slow", time.now) instanceof Promise);
  time.now += 1;
  t.equal(await judge(reply({ active: false }), "slow"), "token-inactive");
  t.equal(front.requests.length, 2);
});

test("introspection: all who bring one token at a time wait for one question", async (t) => {
  const provider = await startOpaqueProvider();
  t.teardown(() => provider.close());
  const { identity, time } = startIdentity([introspectionIssuer(provider.issuer)]);
  t.teardown(() => identity.close());
  const token = await provider.token("alice");
  const answers = await Promise.all(Array.from({ length: 50 }, () => identity.verify(token, time.now)));
  for (const answer of answers) t.equal(answer, answers[0]);
  t.match(answers[0], { principal: { subject: "alice", scopes: ["orders:read"], client: "portal" } });
  t.equal(asks(provider), 1);
});

test("introspection: an endpoint that does not answer takes nothing from other issuers, and little from its own", async (t) => {
  const { front, identity, time, ...slow } = await answering(t, { concurrency: 2 });
  const provider = await startProvider({ bob: { kind: "person" } });
  t.teardown(() => provider.close());
  const issuers = [slow.issuer, oidcIssuer(provider.issuer)];
  const both = startIdentity(issuers, { time, previous: identity, fetches: 1 });
  t.teardown(() => both.identity.close());
  front.behave("silent", "/introspect");
  const arrived = front.arrival("/introspect");
  let wanted = true;
  const waiter = { wanted: () => wanted };
  const waiting = ["one", "two", "three", "four"].map((token) => both.identity.verify(token, time.now, waiter));
  await arrived;
  await both.identity.ready();
  t.equal(await both.judge(await provider.token("bob")), "proven", "with one fetch at a time");
  wanted = false;
  time.advance(5_000);
  const found = await Promise.all(waiting);
  t.strictSame(
    found.map((each) => each.principal === undefined && each.reason),
    ["issuer-unavailable", "issuer-unavailable", "overloaded", "overloaded"],
  );
  t.equal(front.requests.length, 2, "what nobody waits for any more is not asked");
});

test("introspection: no more tokens wait for an endpoint than it can be expected to answer", async (t) => {
  const { front, identity, time } = await answering(t, { concurrency: 1 });
  front.behave("silent", "/introspect");
  const waiting = Array.from({ length: 1 + 1024 }, (_, i) => identity.verify(`many-${i}`, time.now));
  t.match(await identity.verify("one-more", time.now), { principal: undefined, reason: "overloaded" });
  identity.close();
  for (const each of await Promise.all(waiting)) t.match(each, { principal: undefined, reason: "issuer-unavailable" });
});

function asks({ front, endpoint }: Pick<OpaqueProvider, "front" | "endpoint">): number {
  return front.requests.filter((path) => endpoint.endsWith(path)).length;
}

test("introspection: a JWT that is refused, or is nobody's, is never asked about", async (t) => {
  const { identity, judge, front, time } = await answering(t);
  const provider = await startProvider({ bob: { kind: "person" } });
  t.teardown(() => provider.close());
  const issuers = [
    introspectionIssuer(front.url, { endpoint: `${front.url}/introspect` }),
    oidcIssuer(provider.issuer),
  ];
  const both = startIdentity(issuers, { time, previous: identity });
  t.teardown(() => both.identity.close());
  await both.identity.ready();
  const good = await provider.token("bob");
  const [head = "", body = "", signature = ""] = good.split(".");
  for (const [token, reason] of [
    [good, "proven"],
    [`${head}.${body}.${signature.slice(0, -8)}AAAAAAAA`, "signature-invalid"],
    [await provider.sign({ iss: "https://elsewhere.example" }), "issuer-unknown"],
    [await provider.sign({ iss: front.url, sub: "alice" }), "issuer-unknown"],
    [`${head}.${body}.`, "token-malformed"],
    [`${head}.${body}`, "token-malformed"],
    [head, "token-malformed"],
    [`${head}.${body}.${signature}.x.y`, "token-encrypted"],
    ["a.b.c", "token-malformed"],
  ] as const) {
    t.equal(await both.judge(token), reason, token.slice(0, 60));
  }
  t.equal(front.requests.length, 0);
  t.equal(await judge(reply({ active: false }), "opaque.with-a-dot"), "token-inactive");
  t.equal(front.requests.length, 1);
});

test("introspection: what no bearer token looks like (RFC 6750, section 2.1) is never asked about", async (t) => {
  const { identity, front, time } = await answering(t);
  for (const text of ["one two", "one, Bearer two", "one;two", '"one"', "=one", "on\u00e9", "one\t", "one\0"]) {
    const bytes = Buffer.from(text, "latin1");
    const found = identity.verify({ kind: "bearer", bytes, start: 0, end: bytes.length }, time.now);
    t.match(found, { principal: undefined, reason: "credential-malformed" }, JSON.stringify(text));
  }
  t.equal(front.requests.length, 0);
});

test("introspection: tokens are told by a prefix, or as JWTs by their issuer", async (t) => {
  const provider = await startProvider({});
  t.teardown(() => provider.close());
  const prefixed = await answering(t, { prefix: "pat_" });
  t.equal(await prefixed.judge(reply({ active: false }), "pat_x"), "token-inactive");
  t.equal(await prefixed.judge(reply({ active: false }), "Pat_x"), "issuer-unknown");
  t.equal(prefixed.front.requests.length, 1);
  const jwts = await answering(t, { tokens: "jwt" });
  const iss = jwts.issuer.issuer;
  t.equal(await jwts.judge(reply({ active: false }), await provider.sign({ iss })), "token-inactive");
  t.equal(await jwts.judge(reply({ active: false }), await provider.sign({ iss: `${iss}/` })), "issuer-unknown");
  t.equal(await jwts.judge(reply({ active: false }), "opaque"), "token-malformed");
  t.equal(jwts.front.requests.length, 1);
  for (const typ of ["oauth-id-jag+jwt", "application/TxnToken+jwt", "DPOP+jwt", "logout+jwt"]) {
    const other = await provider.sign({ iss, jti: typ }, { typ });
    t.equal(await jwts.judge(reply({ active: true, token_type: "Bearer" }), other), "token-type", typ);
  }
  t.equal(jwts.front.requests.length, 1, "what says that it is something else is not asked about");
});

test("introspection: the client authenticates in each of its ways, and is told where it is not known", async (t) => {
  const provider = await startOpaqueProvider({}, { tls: true });
  t.teardown(() => provider.close());
  const pem = SIGNER_KEY.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  const signing = { pem, id: "signer-1", algorithm: "ES256", audience: undefined };
  const { basic, post, signer, shower } = ASKERS;
  const certificate = { cert: SERVER_CERTIFICATE, key: SERVER_KEY };
  for (const [name, client, expected] of [
    ["basic", { id: basic.id, authentication: { method: "client_secret_basic", secret: basic.secret } }, "proven"],
    [
      "basic, wrong",
      { id: basic.id, authentication: { method: "client_secret_basic", secret: "no" } },
      "issuer-unavailable",
    ],
    ["post", { id: post.id, authentication: { method: "client_secret_post", secret: post.secret } }, "proven"],
    [
      "post, wrong",
      { id: post.id, authentication: { method: "client_secret_post", secret: "no" } },
      "issuer-unavailable",
    ],
    ["key", { id: signer.id, authentication: { method: "private_key_jwt", key: signing } }, "proven"],
    [
      "key, for somebody else",
      {
        id: signer.id,
        authentication: { method: "private_key_jwt", key: { ...signing, audience: "https://a.example" } },
      },
      "issuer-unavailable",
    ],
    ["certificate", { id: shower.id, authentication: { method: "tls_client_auth" }, certificate }, "proven"],
    ["certificate, none", { id: shower.id, authentication: { method: "tls_client_auth" } }, "issuer-unavailable"],
  ] as const) {
    const issuer = introspectionIssuer(provider.issuer, {
      ca: AUTHORITY,
      client: { certificate: undefined, ...client },
    });
    const { identity, judge, told } = startIdentity([issuer]);
    t.equal(await judge(await provider.token("alice")), expected, name);
    const { error = "none" } = identity.status()[0] ?? {};
    t.match(
      error,
      expected === "proven" ? /^none$/ : /introspection: status 401 instead of 200: it refuses what `client` says/,
    );
    t.notMatch(JSON.stringify([identity.status(), told.all]), /secret|assertion|PRIVATE/);
    identity.close();
  }
});

test("introspection: whoever shows a certificate asks where the metadata say", async (t) => {
  const front = await startFront(reply({ active: false }));
  t.teardown(() => front.close());
  const endpoint = (path: string) => `${front.url}${path}`;
  front.behave(
    reply({
      ...{ issuer: front.url, introspection_endpoint: endpoint("/plain") },
      mtls_endpoint_aliases: { introspection_endpoint: endpoint("/mtls") },
    }),
    "openid-configuration",
  );
  const certificate = { cert: SERVER_CERTIFICATE, key: SERVER_KEY };
  const client = { id: "a", authentication: { method: "tls_client_auth" }, certificate } as const;
  for (const [changes, path] of [
    [{}, "/plain"],
    [{ client }, "/mtls"],
  ] as const) {
    const { identity, judge } = startIdentity([introspectionIssuer(front.url, changes)]);
    t.equal(await judge("token"), "token-inactive");
    t.equal(front.requests.at(-1), path);
    identity.close();
  }
});

test("introspection: where to ask is looked for once, again after an hour, and stays in use while it cannot be found", async (t) => {
  const provider = await startOpaqueProvider();
  t.teardown(() => provider.close());
  const { identity, judge, time } = startIdentity([introspectionIssuer(provider.issuer)]);
  t.teardown(() => identity.close());
  const looks = () => provider.front.requests.filter((path) => path.endsWith("openid-configuration")).length;
  await identity.ready();
  for (let i = 0; i < 3; i++) t.equal(await judge(await provider.token("alice")), "proven");
  t.equal(looks(), 1);
  provider.front.behave("error", "openid-configuration");
  time.now += 3_600_000;
  const token = await provider.token("alice");
  t.equal(await judge(token), "token-expired", "it was asked about");
  t.equal(looks(), 2);
  // Nobody waits for what does not answer, and it is not asked again and again.
  provider.front.behave("silent", "openid-configuration");
  time.now += 3_600_000;
  for (let i = 0; i < 3; i++) t.equal(await judge(await provider.token("alice")), "token-expired");
  t.equal(looks(), 3);
});

const SECTION = `issuers:
  portal:
    type: introspection
    issuer: https://id.example.com
    audiences: [api://orders]
    token_prefix: pat_
    endpoint: https://id.example.com/introspect
    client:
      id: orders-gateway
      secret: "${file("secret")}"
      method: client_secret_post
    answers: signed
    algorithms: [ES256]
    untyped: accept
    lifetime: 10s
    timeout: 2s
    max_size: 8KiB
    concurrency: 4
`;

function filesOf(t: Test): Files {
  const files = new Files(t.testdir());
  files.write("secret", "s3cr3t\n");
  files.write("ec.pem", pemOf(SIGNER_KEY.privateKey));
  files.write("rsa.pem", pemOf(mallory.privateKey));
  files.write("small.pem", pemOf(generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey));
  files.write("client.crt", SERVER_CERTIFICATE);
  files.write("client.key", SERVER_KEY);
  return files;
}

function pemOf(key: KeyObject): string {
  return key.export({ format: "pem", type: "pkcs8" }).toString();
}

const withIssuers = (section: string) => SHORTEST.replace(/^issuers: .*\n/m, () => section);

test("introspection: its section is taken as it says, or with the documented defaults", (t) => {
  const files = filesOf(t);
  const loaded = (section: string) => {
    const outcome = files.load(withIssuers(section));
    if (!("config" in outcome)) throw new Error(JSON.stringify(outcome.faults));
    return { issuer: outcome.config.issuers[0], ...outcome };
  };
  t.match(loaded(SECTION), {
    warnings: [],
    files: [/countersign.yaml$/, /secret$/],
    issuer: {
      ...{ name: "portal", type: "introspection", issuer: "https://id.example.com", audiences: ["api://orders"] },
      ...{ credentials: ["bearer"], prefixes: ["pat_"], prefix: "pat_", tokens: "opaque", answers: "signed" },
      endpoint: "https://id.example.com/introspect",
      client: { id: "orders-gateway", authentication: { method: "client_secret_post", secret: "s3cr3t" } },
      ...{ algorithms: ["ES256"], untyped: "accept", lifetime: 10_000, timeout: 2_000, maxSize: 8192, concurrency: 4 },
    },
  });
  const short = (client: string) =>
    loaded(`issuers: { a: { type: introspection, issuer: "https://a.example", audiences: [x], client: ${client} } }\n`);
  t.match(short(`{ id: a, secret: "${file("secret")}" }`).issuer, {
    ...introspectionIssuer("https://a.example"),
    ...{ name: "a", audiences: ["x"], client: { authentication: { method: "client_secret_basic" } } },
    ...{ algorithms: ALGORITHMS, claims: { kind: undefined, scopes: { first: ["scp", "scope"] } }, kinds: ["person"] },
  });
  for (const [key, algorithm] of [
    ["ec.pem", "ES256"],
    ["rsa.pem", "RS256"],
  ] as const) {
    const { issuer, files: read } = short(`{ id: a, key: ${key} }`);
    t.match(issuer, { client: { authentication: { method: "private_key_jwt", key: { algorithm } } } }, key);
    t.match(read, [/countersign.yaml$/, new RegExp(`${key}$`)], "a change of it loads everything anew");
  }
  t.match(short("{ id: a, certificate: client.crt, key: client.key }").issuer, {
    client: {
      authentication: { method: "tls_client_auth" },
      certificate: { cert: SERVER_CERTIFICATE, key: SERVER_KEY },
    },
  });
  t.match(short("{ id: a, secret: written-here }").warnings, [{ found: "the secret itself", line: 3 }]);
  t.end();
});

test("introspection: each mistake of its section is told where it is", (t) => {
  const files = filesOf(t);
  const secret = `secret: "${file("secret")}"\n      method: client_secret_post`;
  const key =
    "a PEM file with a private key that is not encrypted: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519";
  const either = "`id` and `secret`, or `key`, or `certificate` and `key`: by that the issuer knows it";
  t.strictSame(files.faults(withIssuers(SECTION)), []);
  for (const [from, to, ...expected] of [
    [
      "https://id.example.com\n",
      "https://id.example.com?a=b\n",
      '6:13: the text "https://id.example.com?a=b"; a URL without query and fragment',
    ],
    [
      "token_prefix: pat_",
      "token_prefix: p",
      '8:19: the text "p"; what its tokens begin with, by which they are told from other opaque ones: 2 to 64 letters, digits, `-`, `.`, `_`, `~`, `+` and `/`, such as "pat_"',
    ],
    ["token_prefix: pat_", "token_prefix: eyJ", '8:19: the text "eyJ"; another beginning: every JWT begins with ey'],
    [
      "token_prefix: pat_",
      "token_prefix: pat_\n    tokens: jwt",
      '8:19: the text "pat_"; no `token_prefix` with `tokens: jwt`: JWTs are told by their `iss`',
    ],
    [
      "token_prefix: pat_",
      "tokens: all",
      '8:13: the text "all"; `opaque` or `jwt`: whether its tokens are bearer tokens that are no JWTs, or JWTs with its `iss`',
    ],
    [
      "endpoint: https",
      "endpoint: http",
      '9:15: the text "http://id.example.com/introspect"; https: tokens and the client\'s secret are sent there; http is for loopback only',
    ],
    [
      "endpoint: https://",
      "endpoint: https://a:b@",
      '9:15: the text "https://…@id.example.com/introspect"; a URL without user name and password',
    ],
    ["introspect\n", "introspect#x\n", '9:15: the text "https://id.example.com/introspect#x"; a URL without fragment'],
    [
      "https://id.example.com/introspect",
      "https://id.example.com:x/introspect",
      '9:15: the text "https://id.example.com:x/introspect"; the URL of the introspection endpoint, such as https://id.example.com/oauth2/introspect',
    ],
    [
      secret,
      "method: client_secret_post",
      `11:7: a mapping; ${either}`,
      '12:15: the text "client_secret_post"; no `method` beside `key`',
    ],
    [
      secret,
      "key: none.pem",
      `12:12: the text "none.pem" names a file that cannot be read: there is no such file; ${key}`,
    ],
    [secret, "key: secret", `12:12: the text "secret" names a file without such a key; ${key}`],
    [secret, "key: small.pem", `12:12: the text "small.pem" names a file without such a key; ${key}`],
    [
      secret,
      "key: ec.pem\n      algorithm: RS256",
      '13:18: the text "RS256"; a signature that this key can make: ES256',
    ],
    [secret, "certificate: client.crt", `11:7: a mapping; ${either}`],
    [
      secret,
      "certificate: client.crt\n      key: ec.pem",
      '13:12: the text "ec.pem" names a file without it; a PEM file with the private key of the certificate',
    ],
    [
      secret,
      "certificate: secret\n      key: ec.pem",
      '12:20: the text "secret" names a file without one; a PEM file with the client\'s certificate, and its chain behind it',
    ],
    ["method: client_secret_post", "key_id: a", '13:15: the text "a"; no `key_id` beside `secret`'],
    [
      "method: client_secret_post",
      "method: none",
      '13:15: the text "none"; `client_secret_basic` or `client_secret_post`: where the secret is sent',
    ],
    ["answers: signed", "answers: both", '14:14: the text "both"; `plain`, or `signed` for answers that are JWTs'],
    [
      "untyped: accept",
      "untyped: yes",
      '16:14: the text "yes"; `refuse` or `accept`: what is done with an answer that does not say that it is about an access token',
    ],
    ["lifetime: 10s", "lifetime: 2h", '17:15: the text "2h"; from 1s to 1h'],
    [
      "concurrency: 4",
      "concurrency: 0",
      "20:18: the number 0; a whole number from 1 to 256: most questions at a time; the others wait",
    ],
    [
      "answers:",
      "token_types: [JWT]\n    answers:",
      '14:5: unknown key "token_types"; Known keys: type, issuer, discovery, credentials, audiences, require, proofs, unbound, algorithms, claims, kind, clock_tolerance, keys, ca, proxy, okta, exchange, tokens, token_prefix, endpoint, client, answers, untyped, lifetime, timeout, max_size, concurrency',
    ],
  ] as const) {
    t.ok(SECTION.includes(from), from);
    t.strictSame(files.faults(withIssuers(SECTION.replace(from, () => to))), expected, to);
  }
  const twice = (one: string, two: string) =>
    ["a", "b"].map(
      (name) =>
        `  ${name}: { type: introspection, issuer: "https://${name}.example", audiences: [x], client: { id: a, secret: "${file("secret")}" }${name === "a" ? one : two} }\n`,
    );
  const both = (one: string, two: string) => files.faults(withIssuers(`issuers:\n${twice(one, two).join("")}`));
  t.strictSame(both("", ", token_prefix: pat_"), []);
  t.strictSame(both(", token_prefix: pat", ", token_prefix: tap"), []);
  t.match(both("", ""), [/^5:6: .*has none either/]);
  t.match(both(", token_prefix: pat", ", token_prefix: pat_"), [/^5:\d+: .*a beginning of its own/]);
  t.end();
});

const POLICY = `
roles:
  reader:
    - { issuer: portal, group: Orders Readers, scope: orders:read }
    - { issuer: idp, subject: bob }
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject, x-auth-issuer: principal.issuer }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [reader] }
`;

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: an opaque token goes the whole way, beside JWTs of another issuer`, async (t) => {
    const readers = { groups: ["Orders Readers"] };
    const portal = await startOpaqueProvider({ alice: readers, carol: {} });
    t.teardown(() => portal.close());
    const idp = await startProvider({ bob: { kind: "person" } });
    t.teardown(() => idp.close());
    const [backend, front] = [await startBackend(t), await freePort()];
    const { text: config, ...ports } = await configuration(`
issuers:
  portal:
    type: introspection
    issuer: ${portal.issuer}
    audiences: [api://orders]
    client: { id: "${ASKERS.basic.id}", secret: "${file("secret")}" }
    lifetime: 1s
  idp: { type: oidc, issuer: "${idp.issuer}", audiences: [api://orders] }
deadline: 5s
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
    const files = { "countersign.yaml": config, "policies/orders.yaml": POLICY, secret: ASKERS.basic.secret };
    const folder = folderOf(t, files);
    const served = await serve(t, folder, ports);
    await startHaproxy(t, binary, await generated(folder), front);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    const ask = async (token: string) => {
      const before = backend.received.length;
      const lines = ["host: orders.example.com", `authorization: Bearer ${token}`];
      const { status, body } = await client.request("GET /v1/orders HTTP/1.1", lines);
      if (status !== 200) t.equal(backend.received.length, before, "nothing of it arrived");
      return status === 200 ? "allowed" : `${status} ${JSON.parse(body).reason}`;
    };
    const [good, bound] = [await portal.token("alice"), await portal.token("alice")];
    Object.assign(portal.stored(bound) ?? {}, { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    for (const [token, subject, issuer] of [
      [good, "alice", "portal"],
      [good, "alice", "portal"],
      [await idp.token("bob"), "bob", "idp"],
    ] as const) {
      t.equal(await ask(token), "allowed", subject);
      const { headers = [] } = backend.received.at(-1) ?? {};
      t.match(Object.fromEntries(headers), { "x-auth-subject": subject, "x-auth-issuer": issuer });
      t.notMatch(JSON.stringify(headers), token, "and no backend sees the token");
    }
    for (const [token, expected] of [
      [`${good}x`, "401 token-inactive"],
      [await portal.token("alice", { audience: "api://billing" }), "401 audience-not-accepted"],
      [await portal.token("carol"), "403 role-missing"],
      [await portal.token("alice", { scope: "" }), "403 role-missing"],
      [bound, "401 proof-missing"],
      [await idp.sign({ iss: portal.issuer, aud: "api://orders", sub: "alice" }), "401 issuer-unknown"],
    ] as const) {
      t.equal(await ask(token), expected);
    }
    await portal.revoke(good);
    let answer = "allowed";
    for (let i = 0; i < 200 && answer === "allowed"; i++) {
      await new Promise((done) => setTimeout(done, 50));
      answer = await ask(good);
    }
    t.equal(answer, "401 token-inactive", "once its answer is too old");
    const other = await portal.token("alice");
    portal.front.behave("error", "/introspection");
    t.equal(await ask(other), "503 issuer-unavailable");
    t.match(await served.page("/ready"), { status: 200, text: /issuer portal cannot be asked: .* status 500/ });
    portal.front.behave("up", "/introspection");
    t.equal(await ask(other), "allowed");
    t.notMatch(JSON.stringify(served.lines), new RegExp([good, other, "odd&signs"].join("|")), "no secret is logged");
    t.match(
      (await served.page("/metrics")).text,
      /issuer_fetches_total\{issuer="portal",what="introspection",outcome="error"\} 1/,
    );
  });
}
