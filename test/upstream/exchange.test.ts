import type { RequestListener } from "node:http";
import { text } from "node:stream/consumers";
import { type Test, test } from "tap";
import { send } from "../../agent/http/fetch.ts";
import type { ExchangingIssuer } from "../../agent/identity/oidc/section.ts";
import { UpstreamTokens } from "../../agent/upstream/upstream-tokens.ts";
import { type Behaviour, reply, startFront } from "../../demo/front.ts";
import type { UpstreamToken } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import { explain } from "../../policies/tools/explain.ts";
import { clientOf, identityOf, messageOf, snapshotOf, startServer, valuesOf } from "../support/agent.ts";
import { Clockwork } from "../support/clockwork.ts";
import { oidcIssuer, Told } from "../support/identity.ts";
import { policiesFrom, principalFrom } from "../support/policies.ts";

const ACCESS = "urn:ietf:params:oauth:token-type:access_token";
const BEARER = { issued_token_type: ACCESS, token_type: "Bearer" };
const GOOD = { access_token: "for-stock", ...BEARER, expires_in: 300 };
const HOUR = 3_600_000;

type Changes = Partial<ExchangingIssuer["exchange"]>;

function issuerOf(url: string, changes: Changes = {}): ExchangingIssuer {
  const secret = { method: "client_secret_basic", secret: "hush" } as const;
  const client = { id: "gateway", authentication: secret, certificate: undefined };
  const exchange = { client, endpoint: `${url}/token`, timeout: 5_000, maxSize: 65_536, concurrency: 16, ...changes };
  return { ...oidcIssuer(url), exchange };
}

function wantedOf(audience = "api://stock", scopes: readonly string[] = []): UpstreamToken {
  return { exchange: "provider", audience, scopes, key: JSON.stringify([audience, ...scopes]) };
}
const WANTED = wantedOf();

function bearer(token: string, kind: "bearer" | `session:${string}` = "bearer") {
  const bytes = Buffer.from(`Bearer ${token}`);
  return { kind, bytes, start: 7, end: bytes.length };
}

/** A token endpoint that answers as the test says, and what exchanges there; the clock and all timers are the test's. */
async function stage(t: Test, changes: Changes = {}) {
  const forms: URLSearchParams[] = [];
  const headers: (string | undefined)[] = [];
  let answer: RequestListener = reply(GOOD);
  const front = await startFront(async (request, response) => {
    headers.push(request.headers.authorization);
    forms.push(new URLSearchParams(await text(request)));
    answer(request, response);
  });
  t.teardown(() => front.close());
  const [time, told] = [new Clockwork(), new Told()];
  const world = { send, clock: time.clock, schedule: time.schedule, events: told };
  const issuer = issuerOf(front.url, changes);
  const tokens = new UpstreamTokens([issuer], world);
  t.teardown(() => tokens.close());
  const principal = principalFrom({ issuer: "provider", expiresAt: time.now + HOUR });
  const exchange = (wanted = WANTED, token = "mine", who: Principal = principal, waits = () => true) =>
    tokens.exchange(who, wanted, bearer(token), { wanted: waits });
  return {
    ...{ front, forms, headers, time, told, world, issuer, tokens, principal, exchange },
    answers: (behaviour: Behaviour) => {
      if (typeof behaviour === "function") answer = behaviour;
      else front.behave(behaviour);
    },
    known: (wanted = WANTED) => tokens.find(principal, wanted, time.now),
  };
}

test("what is asked is what RFC 8693 says, with the client's own authentication, and no token of an actor", async (t) => {
  const { exchange, forms, headers, answers } = await stage(t);
  answers(reply({ ...GOOD, scope: "openid a b" }));
  t.equal(await exchange(wantedOf("api://stock", ["a", "b"])), "Bearer for-stock", "it may be good for more");
  t.strictSame(Object.fromEntries(forms[0] ?? []), {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token: "mine",
    subject_token_type: ACCESS,
    requested_token_type: ACCESS,
    audience: "api://stock",
    scope: "a b",
  });
  t.equal(headers[0], `Basic ${Buffer.from("gateway:hush").toString("base64")}`);
});

test("a token is kept until shortly before its end, for one credential and what is wanted for it", async (t) => {
  const { exchange, known, forms, time, principal } = await stage(t);
  t.equal(known(), undefined);
  t.equal(await exchange(), "Bearer for-stock");
  t.equal(known(), "Bearer for-stock", "at once, without a promise");
  const again = { ...principal };
  t.equal(exchange(WANTED, "mine", again), "Bearer for-stock", "to whoever brings the same credential, verified anew");
  t.equal(forms.length, 1);
  await exchange(wantedOf("api://bills"));
  await exchange(wantedOf("api://stock", ["a"]));
  await exchange(WANTED, "another");
  t.equal(forms.length, 4, "another audience, other scopes, another credential");
  time.advance(289_999);
  t.equal(known(), "Bearer for-stock");
  time.advance(1);
  t.equal(known(), undefined, "10 s before its end");
  t.equal(await exchange(), "Bearer for-stock");
  t.equal(forms.length, 5);
  time.now -= 60_000;
  t.equal(known(), undefined, "a clock that was set back prolongs nothing");
});

test("no token outlives the credential that it was had for", async (t) => {
  const { exchange, tokens, time, answers } = await stage(t);
  answers(reply({ ...GOOD, expires_in: 1e9 }));
  const brief = principalFrom({ issuer: "provider", expiresAt: time.now + 20_000 });
  await exchange(WANTED, "mine", brief);
  t.ok(tokens.find(brief, WANTED, time.now + 19_999));
  t.equal(tokens.find(brief, WANTED, time.now + 20_000), undefined);
});

test("many who wait for the same are one question, and those who left are none", async (t) => {
  const { exchange, forms, front, answers, tokens } = await stage(t, { concurrency: 1 });
  const all = await Promise.all(Array.from({ length: 20 }, () => exchange()));
  t.ok(all.every((each) => each === "Bearer for-stock"));
  t.equal(forms.length, 1);
  const held: (() => void)[] = [];
  answers(
    (_request, response) =>
      void held.push(() => response.setHeader("content-type", "application/json").end(JSON.stringify(GOOD))),
  );
  const arrived = front.arrival("/token");
  const first = exchange(WANTED, "first");
  await arrived;
  let waits = true;
  const second = exchange(WANTED, "second", undefined, () => waits);
  const third = exchange(WANTED, "third", undefined, () => waits);
  const joined = exchange(WANTED, "third");
  waits = false;
  while (held.length === 0) await new Promise(setImmediate);
  held[0]?.();
  t.equal(await first, "Bearer for-stock");
  t.match(await second, { reason: "overloaded" }, "nobody waits for it any more");
  while (held.length === 1) await new Promise(setImmediate);
  held[1]?.();
  t.strictSame(await Promise.all([third, joined]), ["Bearer for-stock", "Bearer for-stock"], "one of two still waits");
  t.strictSame(
    forms.map((form) => form.get("subject_token")),
    ["mine", "first", "third"],
  );
  t.equal(tokens.use?.entries, 3);
});

test("more than may wait are refused at once", async (t) => {
  const { exchange, answers, tokens } = await stage(t, { concurrency: 1 });
  answers("silent");
  const waiting = Array.from({ length: 1024 }, (_, n) => exchange(WANTED, `token-${n}`));
  t.match(exchange(WANTED, "one-more"), { reason: "overloaded" });
  tokens.close();
  t.ok(
    (await Promise.all(waiting)).every((each) => typeof each === "object"),
    "nobody is let through by an end",
  );
});

test("an answer that is not one token for here is none", async (t) => {
  const { exchange, known, answers, tokens, told } = await stage(t);
  const { expires_in: _lifetime, ...endless } = GOOD;
  const { issued_token_type: _type, ...untyped } = GOOD;
  const rows: readonly (readonly [name: string, answer: Behaviour, reason?: string])[] = [
    ["no JSON", reply("{")],
    ["a list", reply([GOOD])],
    ["another media type", reply(GOOD, 200, { "content-type": "text/html" })],
    ["no token", reply({ ...BEARER, expires_in: 300 })],
    ["a token that is no text", reply({ ...GOOD, access_token: 7 })],
    ["an empty one", reply({ ...GOOD, access_token: "" })],
    ["two words", reply({ ...GOOD, access_token: "a b" })],
    ["a line break", reply({ ...GOOD, access_token: "a\r\nx-auth-subject: admin" })],
    ["the client's own", reply({ ...GOOD, access_token: "mine" })],
    ["no type of token", reply(untyped)],
    ["a JWT's type", reply({ ...GOOD, issued_token_type: "urn:ietf:params:oauth:token-type:jwt" })],
    ["a refresh token's", reply({ ...GOOD, issued_token_type: "urn:ietf:params:oauth:token-type:refresh_token" })],
    ["no use", reply({ ...GOOD, token_type: "N_A" })],
    ["DPoP", reply({ ...GOOD, token_type: "DPoP" })],
    ["no end", reply(endless)],
    ["an end that is over", reply({ ...GOOD, expires_in: 0 })],
    ["an end before", reply({ ...GOOD, expires_in: -5 })],
    ["an end in words", reply({ ...GOOD, expires_in: "soon" })],
    ["too much", reply({ ...GOOD, x: "x".repeat(70_000) })],
    ["created", reply(GOOD, 201)],
    ["an error", reply({ error: "server_error" }, 500)],
    ["no such grant", reply({ error: "unsupported_grant_type" }, 400)],
    ["not for this client", reply({ error: "unauthorized_client" }, 400)],
    ["an error that nobody knows", reply({ error: "mine" }, 400)],
    ["not this client", reply({ error: "invalid_client" }, 401)],
    ["not this client, by a word for tokens", reply({ error: "invalid_grant" }, 401, { "www-authenticate": "Basic" })],
    ["elsewhere", reply("", 307, { location: "/elsewhere" })],
    ["fewer scopes", reply({ ...GOOD, scope: "a" }), "exchange-refused"],
    ["too long", reply({ ...GOOD, access_token: "x".repeat(4090) }), "header-too-long"],
    ...["invalid_request", "invalid_grant", "invalid_target", "invalid_scope", "access_denied"].map(
      (error) => [error, reply({ error }, error === "access_denied" ? 403 : 400), "exchange-refused"] as const,
    ),
  ];
  for (const [name, answer, reason = "exchange-unavailable"] of rows) {
    answers(answer);
    const wanted = wantedOf(name, ["a", "b"]);
    t.match(await exchange(wanted), { reason }, name);
    t.equal(known(wanted), undefined, name);
  }
  t.equal(tokens.use?.entries, 0);
  t.ok(told.count("exchange error") > 20 && told.count("exchange ok") === 7);
});

test("a refusal is remembered for 10 s, a failure not at all", async (t) => {
  const { exchange, forms, answers, time } = await stage(t);
  answers(reply({ error: "invalid_target" }, 400));
  const refused = { reason: "exchange-refused", claim: "invalid_target" };
  t.match(await exchange(), refused);
  t.match(exchange(), refused, "at once");
  answers(reply(GOOD));
  time.advance(10_000);
  t.equal(await exchange(), "Bearer for-stock");
  answers(reply({}, 500));
  t.match(await exchange(wantedOf("other")), { reason: "exchange-unavailable" });
  answers(reply(GOOD));
  t.equal(await exchange(wantedOf("other")), "Bearer for-stock");
  t.equal(forms.length, 4);
});

test("of more refusals than are kept the first is asked for again", async (t) => {
  const { exchange, forms, answers } = await stage(t);
  answers(reply({ error: "invalid_target" }, 400));
  await Promise.all(Array.from({ length: 1_000 }, (_, n) => exchange(WANTED, `token-${n}`)));
  t.notOk(exchange(WANTED, "token-0") instanceof Promise, "kept");
  await exchange(WANTED, "one-more");
  t.equal(forms.length, 1_001);
  await exchange(WANTED, "token-1");
  t.equal(forms.length, 1_002, "it has given way");
});

test("an issuer that says nothing is given up in time", async (t) => {
  const { exchange, answers, front, time } = await stage(t);
  answers("silent");
  const arrived = front.arrival("/token");
  const outcome = exchange();
  await arrived;
  time.advance(5_000);
  t.match(await outcome, { reason: "exchange-unavailable" });
  answers("reset");
  t.match(await exchange(), { reason: "exchange-unavailable" });
});

test("nobody's token goes to another issuer, and who has none gets none", async (t) => {
  const { tokens, principal, forms } = await stage(t);
  const waiter = { wanted: () => true };
  const impossible = { reason: "exchange-impossible" };
  t.match(tokens.exchange(principal, WANTED, bearer("a", "session:sid"), waiter), impossible);
  t.match(tokens.exchange({ ...principal, issuer: "other" }, WANTED, bearer("a"), waiter), impossible);
  t.match(tokens.exchange(principal, WANTED, undefined, waiter), impossible);
  t.match(tokens.exchange(principal, WANTED, bearer("a b"), waiter), impossible);
  const elsewhere = { ...WANTED, exchange: "other" };
  t.match(tokens.exchange(principal, elsewhere, bearer("a"), waiter), { reason: "exchange-unavailable" });
  t.equal(forms.length, 0, "nobody was asked");
});

test("a reload keeps what an unchanged issuer knows, and forgets what another one does", async (t) => {
  const { tokens, issuer, world, exchange, principal, time } = await stage(t);
  await exchange();
  const same = new UpstreamTokens([structuredClone(issuer)], world, tokens);
  tokens.close();
  t.equal(same.find(principal, WANTED, time.now), "Bearer for-stock");
  const other = new UpstreamTokens([issuerOf(issuer.issuer, { timeout: 1_000 })], world, same);
  same.close();
  t.equal(other.find(principal, WANTED, time.now), undefined);
  t.equal(same.find(principal, WANTED, time.now), undefined, "what was ended says nothing more");
  other.close();
  t.equal(new UpstreamTokens([oidcIssuer(issuer.issuer)], world, other).use, undefined, "where nothing is exchanged");
});

const POLICY = `
services:
  orders:
    hosts: [orders.example.com]
    issuers: [provider]
    backend: orders
    routes: [{ name: read, match: [GET /v1/orders], allow: [authenticated], upstream_token: { exchange: provider, audience: api://stock } }]
`;

test("HAProxy is told of the token before the verdict, or of a refusal, and one that would not pass it on is outdated", async (t) => {
  const { tokens, principal, answers, forms, time } = await stage(t);
  const provider = { name: "provider", audiences: [], credentials: ["bearer"], kinds: undefined, exchanges: true };
  const policies = policiesFrom(POLICY, { issuers: [provider] });
  const written = { method: "GET", host: "orders.example.com", path: "/v1/orders", query: "", tls: true, headers: {} };
  const request = { ...written, src: "192.0.2.7", time: time.now };
  const explained = explain(policies, request, { principal }).steps.find(({ about }) => about === "upstream");
  t.match(explained?.text, /^the backend gets a token of provider for "api:\/\/stock", in place of the client's/);
  const released: (() => void)[] = [];
  const identity = identityOf({
    mine: () => ({ principal }),
    cold: () => new Promise((found) => released.push(() => found({ principal: { ...principal } }))),
    revoked: () => ({ principal: undefined, reason: "credential-revoked" }),
  });
  const snapshot = { ...snapshotOf(policies, identity, { deadline: 60_000 }), upstreamTokens: tokens };
  const { server, port } = await startServer(snapshot, time.clock);
  t.teardown(() => server.close());
  const client = await clientOf(t, port, { maxFrameSize: 131_068 });
  const told = async (token: string, contract = "1:subject:upstream_token") =>
    client.notify(messageOf({ authorization: `Bearer ${token}`, contract }));
  const names = (await told("mine")).map(({ name }) => name);
  t.ok(names.indexOf("upstream_token") > 0 && names.at(-1) === "verdict", names.join());
  const good = { verdict: "allow", upstream_token: "Bearer for-stock" };
  t.match(valuesOf(await told("mine")), good);
  const cold = told("cold");
  while (released.length === 0) await new Promise(setImmediate);
  // Their bytes lie where its own have lain.
  for (let i = 0; i < 50; i++) await told("mine");
  released[0]?.();
  t.match(valuesOf(await cold), good, "of somebody who had to be found out first");
  t.strictSame(
    forms.map((form) => form.get("subject_token")),
    ["mine", "cold"],
  );
  t.match(valuesOf(await told("mine", "1:subject")), { verdict: "deny", reason: "haproxy-config-outdated" });
  const revoked = valuesOf(await told("revoked"));
  t.match(revoked, { verdict: "deny", reason: "credential-revoked" });
  t.notOk("upstream_token" in revoked);
  time.advance(HOUR / 2);
  answers(reply({ error: "invalid_grant" }, 400));
  const refused = valuesOf(await told("mine"));
  t.match(refused, { verdict: "deny", status: 403n, reason: "exchange-refused" });
  t.notOk("upstream_token" in refused);
  const without = await startServer(snapshotOf(policies, identity));
  t.teardown(() => without.server.close());
  const other = await clientOf(t, without.port);
  const unset = await other.notify(messageOf({ authorization: "Bearer mine", contract: "1:subject:upstream_token" }));
  t.match(valuesOf(unset), { verdict: "deny", reason: "exchange-unavailable" });
});
