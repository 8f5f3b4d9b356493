import { type Test, test } from "tap";
import type { Send } from "../../agent/http/fetch.ts";
import type { World } from "../../agent/identity/issuer/world.ts";
import type { OidcIssuer } from "../../agent/identity/oidc/section.ts";
import { GroupDirectory } from "../../agent/identity/okta/groups.ts";
import { groupsUnasked } from "../../agent/identity/okta/okta.ts";
import type { GroupsConfig, OktaConfig } from "../../agent/identity/okta/section.ts";
import { reply } from "../../demo/front.ts";
import type { Principal } from "../../policies/principal.ts";
import { Unknown } from "../../policies/unknown.ts";
import { env, Files, SHORTEST } from "../config/example.ts";
import { startBackend } from "../support/backend.ts";
import { Clockwork } from "../support/clockwork.ts";
import { freePort, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { oidcIssuer, startIdentity, Told } from "../support/identity.ts";
import { APP, type Okta, oktaError, startOkta } from "../support/okta.ts";
import { configuration, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";
import { behavesAsIssuer, LIFETIME, type Started, type Subject } from "./suite.ts";

const USER = "00u47ijy7sRLaeSdC0g7";

function groupsConfig(org: string, changes: Partial<GroupsConfig> = {}): GroupsConfig {
  const pem = APP.key.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  const key = { pem, id: "app-1", algorithm: "RS256", audience: `${org}/oauth2/v1/token` };
  const client = { id: APP.id, authentication: { method: "private_key_jwt", key }, certificate: undefined } as const;
  return { client, dpop: true, values: "name", lifetime: 300_000, timeout: 5_000, ...changes };
}

function oktaIssuer(
  { org, issuer }: Okta,
  groups: GroupsConfig | undefined,
  changes: Partial<OidcIssuer> = {},
): OidcIssuer {
  const okta: OktaConfig = { org, groups };
  const claims = { ...oidcIssuer(issuer).claims, scopes: { first: ["scp", "scope"] }, kind: undefined, client: "cid" };
  return oidcIssuer(issuer, { okta, claims, ...changes });
}

/** An org, and an agent that asks it for groups. */
async function start(t: Test, changes: Partial<GroupsConfig> = {}) {
  const time = new Clockwork();
  const okta = await startOkta(time.clock);
  t.teardown(() => okta.close());
  okta.groups.set(USER, ["Everyone", "Orders Readers", "Orders Admins", "A, B", "Étage"]);
  const issuer = oktaIssuer(okta, groupsConfig(okta.org, changes));
  const started = startIdentity([issuer], { time, lifetime: 10 * LIFETIME });
  t.teardown(() => started.identity.close());
  await started.identity.ready();
  const groupsOf = async (token: string) => shown((await started.verify(token)).principal);
  return { okta, issuer, ...started, groupsOf, fresh: async () => groupsOf(await okta.token()) };
}

/** A principal's groups, or why they are unknown. */
function shown(principal: Principal | undefined): readonly string[] | string {
  const groups = principal?.groups ?? "nobody";
  return groups instanceof Unknown ? `${groups.reason}: ${groups.found}` : groups;
}

async function subject(t: Test, time: { readonly now: number }): Promise<Subject> {
  const okta = await startOkta(() => time.now);
  t.teardown(() => okta.close());
  okta.groups.set(USER, ["Everyone"]);
  const claims = { sub: "alice", exp: Math.floor(time.now / 1000) + LIFETIME / 1000 };
  const forged = await startOkta(() => time.now);
  t.teardown(() => forged.close());
  return {
    issuer: oktaIssuer(okta, groupsConfig(okta.org, { lifetime: 6 * LIFETIME }), { clockTolerance: 0 }),
    good: () => okta.token(claims),
    foreign: () => okta.token({ ...claims, aud: "api://billing" }),
    forged: () => forged.token({ ...claims, iss: okta.issuer }),
    async revoke(started: Started) {
      const { n, e } = APP.key.publicKey.export({ format: "jwk" });
      okta.front.behave(reply({ keys: [{ kty: "RSA", n, e, kid: "another" }] }), "/keys");
      const fetched = started.told.next("jwks ok");
      started.time.advance(300_000);
      await fetched;
      return undefined;
    },
  };
}

behavesAsIssuer("okta", subject, { forged: "signature-invalid", revoked: "key-unknown" });

test("okta: groups that a token lists are whole, and nobody is asked for them", async (t) => {
  const { okta, groupsOf, verify } = await start(t);
  t.strictSame(await groupsOf(await okta.token({ groups: ["Orders Readers"] })), ["Orders Readers"]);
  t.strictSame(await groupsOf(await okta.token({ groups: [] })), []);
  t.match(await groupsOf(await okta.token({ groups: 7 })), /^claim-unknown: a number/);
  t.equal(okta.count("groups"), 0);
  t.match(await verify(await okta.token({ groups: [] })), {
    principal: { subject: "alice@example.com", client: "0oa4dr9kzkykPrLhq0g7", scopes: ["orders:read"] },
  });
});

test("okta: groups that nobody tells are unknown, and never none", async (t) => {
  const okta = await startOkta();
  t.teardown(() => okta.close());
  const { identity, verify } = startIdentity([oktaIssuer(okta, undefined)]);
  t.teardown(() => identity.close());
  await identity.ready();
  const groupsOf = async (claims: object) => shown((await verify(await okta.token({ ...claims }))).principal);
  t.match(await groupsOf({}), /^claim-unknown: the token has none, and nothing says where else/);
  t.match(await groupsOf({ uid: undefined }), /^claim-unknown/, "a person, by `sub`");
  t.match(await groupsOf({ uid: 7, sub: "0oaService", cid: "0oaService" }), /^claim-unknown/);
  const ofClient = { uid: undefined, sub: "0oaService", cid: "0oaService" };
  t.strictSame(await groupsOf(ofClient), [], "a service app has no groups");
});

test("okta: an explanation of claims knows what is unknown of them", async (t) => {
  const okta = await startOkta();
  t.teardown(() => okta.close());
  const issuer = oktaIssuer(okta, undefined);
  const principal = { claims: {}, groups: [] } as unknown as Principal;
  t.match(groupsUnasked(principal, issuer), { reason: "claim-unknown" });
  t.same(groupsUnasked({ ...principal, claims: { sub: "0oa", cid: "0oa" } }, issuer), []);
  t.same(groupsUnasked({ ...principal, claims: { groups: ["a"] }, groups: ["a"] }, issuer), ["a"]);
  t.same(groupsUnasked(principal, oidcIssuer(okta.issuer)), [], "of another provider, none are none");
});

test("okta: groups that a token does not list are asked for, all of them, by a service app", async (t) => {
  const { okta, groupsOf, fresh, verify, time, told } = await start(t);
  const all = ["Everyone", "Orders Readers", "Orders Admins", "A, B", "Étage"];
  const token = await okta.token();
  t.strictSame(await groupsOf(token), all);
  t.equal(okta.count("groups"), 3, "three pages");
  t.equal(okta.count("token"), 2, "one without nonce, one with it");
  t.equal(told.count("groups ok"), 1);
  const known = await verify(token);
  t.ok(Object.isFrozen(known.principal?.groups));
  t.equal((await verify(token)).principal, known.principal, "the warm path asks nobody");
  t.strictSame(await fresh(), all, "another token of the same user");
  t.equal(okta.count("groups"), 3, "is told from memory");
  okta.groups.set("00uBob", ["Everyone"]);
  t.strictSame(await groupsOf(await okta.token({ uid: "00uBob" })), ["Everyone"]);
  t.equal(okta.count("token"), 2, "the service app's token is kept");
  time.now += 3_600_000;
  okta.groups.set("00uCarol", ["Everyone"]);
  t.strictSame(await groupsOf(await okta.token({ uid: "00uCarol" })), ["Everyone"]);
  t.equal(okta.count("token"), 3, "for as long as it is good, and the nonce is known now");
});

test("okta: groups can be called by their ids, and tokens need not be bound", async (t) => {
  const { okta, fresh } = await start(t, { values: "id", dpop: false });
  okta.ways.dpop = false;
  okta.groups.set(USER, ["a", "b"]);
  t.strictSame(await fresh(), ["00ga", "00gb"]);
  okta.groups.set(USER, ["c"]);
});

test("okta: an org that demands a proof is told so where none is given", async (t) => {
  const { fresh, identity } = await start(t, { dpop: false });
  t.match(await fresh(), /^groups-unavailable/);
  t.match(identity.status()[0]?.error, /\/oauth2\/v1\/token: no token: invalid_dpop_proof$/);
});

test("okta: all tokens of a user that come at a time wait for one list", async (t) => {
  const { okta, groupsOf } = await start(t);
  okta.ways.page = 100;
  const tokens = await Promise.all(Array.from({ length: 20 }, () => okta.token()));
  for (const groups of await Promise.all(tokens.map(groupsOf))) t.equal(groups.length, 5);
  t.equal(okta.count("groups"), 1);
  t.equal(okta.count("token"), 2);
});

test("okta: a list counts for its lifetime and no longer, and is asked for anew before that without anybody waiting", async (t) => {
  const { okta, groupsOf, identity, time, told } = await start(t);
  const token = await okta.token({ exp: Math.floor(time.now / 1000) + 3600 });
  t.equal((await groupsOf(token)).length, 5);
  okta.groups.set(USER, ["Everyone"]);
  time.now += 149_999;
  t.equal(identity.verify(token, time.now) instanceof Promise, false, "until half its lifetime nothing is done");
  t.equal(okta.count("groups"), 3);
  time.now += 1;
  const listed = told.next("groups ok");
  t.equal((await groupsOf(token)).length, 5, "then it is asked for, and nobody waits");
  await listed;
  time.now += 5_000;
  t.strictSame(await groupsOf(token), ["Everyone"]);
  okta.front.behave("error", "limit=200");
  time.now += 299_999;
  const failed = told.next("groups error");
  const left = await groupsOf(token);
  await failed;
  t.match(left, /^groups-unavailable/, "a list that is too old is no list");
});

test("okta: a clock that is set back prolongs no list", async (t) => {
  const { okta, groupsOf, time } = await start(t);
  const token = await okta.token({ exp: Math.floor(time.now / 1000) + 3600, iat: undefined });
  t.equal((await groupsOf(token)).length, 5);
  okta.groups.set(USER, ["Everyone"]);
  time.now -= 300_000;
  t.strictSame(await groupsOf(token), ["Everyone"]);
});

test("okta: a list that is refreshed in vain counts to its end, and not a moment longer", async (t) => {
  const { okta, groupsOf, time, told } = await start(t);
  const token = await okta.token({ exp: Math.floor(time.now / 1000) + 3600 });
  t.equal((await groupsOf(token)).length, 5);
  okta.front.behave("error", "limit=200");
  time.now += 299_999;
  const failed = told.next("groups error");
  t.equal((await groupsOf(token)).length, 5);
  await failed;
  time.now += 1;
  t.match(await groupsOf(token), /^groups-unavailable/);
  okta.front.behave("up", "limit=200");
  t.match(await groupsOf(token), /^groups-unavailable/, "which counts for a little while");
  time.now += 5_000;
  t.equal((await groupsOf(token)).length, 5);
});

test("okta: whatever Okta answers that is no whole list of groups makes them unknown", async (t) => {
  const { okta, fresh, identity, time } = await start(t);
  const url = `${okta.org}/api/v1/users/${USER}/groups`;
  const good = [{ id: "00g1", profile: { name: "Everyone" } }];
  const link = (to: string) => ({ link: `<${to}>; rel="next"` });
  for (const [name, body, status, headers, expected, error] of [
    ["403", oktaError("E0000006"), 403, {}, "groups-unavailable", /status 403 instead of 200 \(E0000006\)/],
    ["404", oktaError("E0000007"), 404, {}, "claim-unknown", undefined],
    ["500", oktaError("E0000009"), 500, {}, "groups-unavailable", /status 500/],
    ["302", "", 302, { location: url }, "groups-unavailable", /status 302/],
    ["201", good, 201, {}, "groups-unavailable", /status 201/],
    ["HTML", "<html>", 200, {}, "groups-unavailable", /not a list/],
    ["an object", {}, 200, {}, "groups-unavailable", /not a list/],
    ["a group without a name", [...good, { id: "00g2" }], 200, {}, "groups-unavailable", /no name/],
    ["an empty name", [{ profile: { name: "" } }], 200, {}, "groups-unavailable", /no name/],
    ["a very long name", [{ profile: { name: "a".repeat(1025) } }], 200, {}, "groups-unavailable", /no name/],
    [
      "more for somebody",
      good,
      200,
      link(`${url.replace("//", "//user@")}?after=1`),
      "groups-unavailable",
      /may not be asked/,
    ],
    ["a name twice", '[{"profile":{"name":"a","name":"b"}}]', 200, {}, "groups-unavailable", /two ways/],
    ["more than a body may have", `[${"1,".repeat(600_000)}1]`, 200, {}, "groups-unavailable", /larger than/],
    [
      "more elsewhere",
      good,
      200,
      link(`https://evil.example/api/v1/users/${USER}/groups?after=1`),
      "groups-unavailable",
      /may not be asked/,
    ],
    [
      "more of another",
      good,
      200,
      link(`${okta.org}/api/v1/users/other/groups?after=1`),
      "groups-unavailable",
      /may not be asked/,
    ],
    ["more without end", good, 200, link(`${url}?after=1`), "claim-unknown", undefined],
  ] as const) {
    okta.ways.answer = (response) => reply(body, status, headers)({} as never, response);
    t.match(await fresh(), new RegExp(`^${expected}: `), name);
    if (error !== undefined) t.match(identity.status()[0]?.error, error, name);
    time.now += 300_000;
  }
  t.equal(okta.count("groups"), 15 + 25, "25 pages are read at most");
  okta.ways.answer = (response) => reply([], 200, link(`${url}?after=1`))({} as never, response);
  t.strictSame(await fresh(), [], "a list ends with an empty page, whatever that names as the next");
  time.now += 300_000;
  okta.ways.answer = undefined;
  t.equal((await fresh()).length, 5);
  t.equal(identity.status()[0]?.error, undefined);
});

test("okta: the rate limits that Okta tells are obeyed", async (t) => {
  const { okta, fresh, groupsOf, time } = await start(t);
  const seconds = () => Math.floor(time.now / 1000);
  const limited = { "x-rate-limit-limit": "600", "x-rate-limit-remaining": "0" };
  const date = () => ({ date: new Date(time.now).toUTCString() });
  okta.ways.answer = (response) => {
    const headers = { ...limited, ...date(), "x-rate-limit-reset": String(seconds() + 30) };
    reply(oktaError("E0000047"), 429, headers)({} as never, response);
  };
  t.match(await fresh(), /^groups-unavailable/);
  okta.ways.answer = undefined;
  time.now += 28_000;
  t.match(await fresh(), /^groups-unavailable/);
  t.equal(okta.count("groups"), 1, "nothing is asked before the end of the window");
  time.now += 5_000;
  t.equal((await fresh()).length, 5);
  okta.ways.remaining = 0;
  okta.ways.reset = seconds() + 30;
  okta.ways.page = 100;
  okta.groups.set("00uBob", ["Everyone"]);
  t.strictSame(await groupsOf(await okta.token({ uid: "00uBob" })), ["Everyone"], "the last that may be asked");
  const asked = okta.count("groups");
  okta.groups.set("00uCarol", ["Everyone"]);
  t.match(await groupsOf(await okta.token({ uid: "00uCarol" })), /^groups-unavailable/);
  t.equal(okta.count("groups"), asked);
  const hint = { ...limited, "x-rate-limit-limit": "0", "x-rate-limit-reset": String(seconds() + 86_400) };
  time.now += 32_000;
  okta.ways.answer = (response) => reply(oktaError("E0000047"), 429, { ...hint, ...date() })({} as never, response);
  t.match(await groupsOf(await okta.token({ uid: "00uCarol" })), /^groups-unavailable/);
  okta.ways.answer = undefined;
  okta.ways.remaining = 599;
  time.now += 62_000;
  t.strictSame(await groupsOf(await okta.token({ uid: "00uCarol" })), ["Everyone"], "after a minute at the latest");
  okta.ways.answer = (response) => reply(oktaError("E0000047"), 429)({} as never, response);
  t.match(await groupsOf(await okta.token({ uid: "00uDave" })), /^groups-unavailable/);
  okta.ways.answer = undefined;
  const before = okta.count("groups");
  okta.groups.set("00uDave", ["Everyone"]);
  t.match(await groupsOf(await okta.token({ uid: "00uDave" })), /^groups-unavailable/, "without a word for how long");
  t.equal(okta.count("groups"), before);
});

test("okta: a token of the service app that was taken back is replaced once", async (t) => {
  const { okta, fresh, groupsOf, identity } = await start(t);
  t.equal((await fresh()).length, 5);
  const before = okta.count("token");
  okta.forget();
  okta.groups.set("00uBob", ["Everyone"]);
  t.strictSame(await groupsOf(await okta.token({ uid: "00uBob" })), ["Everyone"]);
  t.equal(okta.count("token"), before + 1);
  okta.ways.answer = (response) =>
    reply(oktaError("E0000011"), 401, { "www-authenticate": 'DPoP error="invalid_token"' })({} as never, response);
  t.match(await groupsOf(await okta.token({ uid: "00uCarol" })), /^groups-unavailable/);
  t.match(identity.status()[0]?.error, /groups: status 401 instead of 200/);
  const granted = '"token_type":"DPoP","expires_in":3600,"scope":"okta.users.read"';
  okta.front.behave(reply(`{"access_token":"one","access_token":"two",${granted}}`), "/oauth2/v1/token");
  okta.groups.set("00uDave", ["Everyone"]);
  t.match(await groupsOf(await okta.token({ uid: "00uDave" })), /^groups-unavailable/);
  t.match(identity.status()[0]?.error, /token: the body can be read in two ways/);
});

test("okta: an org that does not answer delays nobody for longer than `timeout`, and no other issuer at all", async (t) => {
  const { okta, issuer, time, identity } = await start(t);
  const asked = okta.front.arrival("limit=200");
  okta.front.behave("silent", "limit=200");
  const waiting = identity.verify(await okta.token(), time.now);
  t.ok(waiting instanceof Promise);
  await asked;
  const other = await startOkta(time.clock);
  t.teardown(() => other.close());
  const both = startIdentity([issuer, oktaIssuer(other, undefined)], { time, previous: identity, fetches: 1 });
  t.teardown(() => both.identity.close());
  await both.identity.ready();
  t.equal(await both.judge(await other.token()), "proven");
  time.advance(5_000);
  t.match(shown((await waiting).principal), /^groups-unavailable/);
  t.match(identity.status()[0]?.error, /no answer in time/);
});

test("okta: no more users wait for their groups than there is room for", async (t) => {
  const time = new Clockwork();
  const org = "https://acme.okta.com";
  const world = { ...time, send: () => new Promise<never>(() => {}), events: new Told() };
  const directory = new GroupDirectory({ name: "okta" }, org, groupsConfig(org), world as unknown as World);
  t.teardown(() => directory.close());
  let settled = 0;
  const ask = (n: number) => Promise.resolve(directory.find(`user-${n}`)).finally(() => settled++);
  for (let n = 0; n < 1024; n++) void ask(n);
  const { groups } = await ask(1024);
  t.match(groups, { reason: "groups-unavailable" });
  t.equal(settled, 1, "the others wait");
});

test("okta: no more lists are asked for at a time than an org bears", async (t) => {
  const time = new Clockwork();
  const org = "https://acme.okta.com";
  const headers = { "content-type": "application/json" };
  const answer = (body: unknown) => ({ status: 200, headers, body: Buffer.from(JSON.stringify(body)) });
  const open: (() => void)[] = [];
  let most = 0;
  const send: Send = async ({ pathname }) => {
    if (pathname.endsWith("/token")) return answer({ access_token: "a", token_type: "Bearer", expires_in: 3600 });
    most = Math.max(most, open.length + 1);
    await new Promise<void>((resolve) => open.push(resolve));
    return answer([{ profile: { name: "Everyone" } }]);
  };
  const world = { ...time, send, events: new Told() };
  const config = groupsConfig(org, { dpop: false });
  const directory = new GroupDirectory({ name: "okta" }, org, config, world as unknown as World);
  t.teardown(() => directory.close());
  let waiting = 12;
  const found = Array.from({ length: waiting }, (_, n) =>
    Promise.resolve(directory.find(`user-${n}`)).finally(() => waiting--),
  );
  while (waiting > 0) {
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    for (const go of open.splice(0)) go();
  }
  for (const { groups } of await Promise.all(found)) t.strictSame(groups, ["Everyone"]);
  t.equal(most, 4);
});

test("okta: a token that ends while groups are asked for proves nobody", async (t) => {
  const { okta, identity, time } = await start(t);
  const asked = okta.front.arrival("limit=200");
  okta.ways.answer = (response) => {
    time.now += 60_000;
    reply([{ profile: { name: "Everyone" } }])({} as never, response);
  };
  const exp = Math.floor(time.now / 1000) + 10;
  const waiting = identity.verify(await okta.token({ exp }), time.now);
  await asked;
  t.match(await waiting, { principal: undefined, reason: "token-expired" });
});

test("okta: a token that is bound to a key stays bound with the groups that Okta has of its user", async (t) => {
  const time = new Clockwork();
  const okta = await startOkta(time.clock);
  t.teardown(() => okta.close());
  okta.groups.set(USER, ["Everyone"]);
  const jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
  const proofs = { proofs: ["dpop"], credentials: ["bearer", "dpop"] } as const;
  for (const groups of [groupsConfig(okta.org), undefined]) {
    const { identity, verify } = startIdentity([oktaIssuer(okta, groups, proofs)], { time });
    t.teardown(() => identity.close());
    await identity.ready();
    t.match(await verify(await okta.token({ cnf: { jkt } })), { principal: { bound: "dpop" }, confirmation: { jkt } });
  }
});

test("okta: an issuer that ends while groups are asked for proves nobody", async (t) => {
  const { okta, identity, time } = await start(t);
  const asked = okta.front.arrival("limit=200");
  okta.front.behave("silent", "limit=200");
  const waiting = identity.verify(await okta.token(), time.now);
  await asked;
  identity.close();
  t.match(await waiting, { principal: undefined, reason: "issuer-unavailable" });
});

test("okta: what an id could do to an address it cannot", async (t) => {
  const { okta, groupsOf } = await start(t);
  for (const uid of ["..", "a/b", "00u?x", "a%2e", "", "x".repeat(65), "é"]) {
    t.match(await groupsOf(await okta.token({ uid })), /^claim-unknown/, uid);
  }
  t.equal(okta.count("groups"), 0);
});

test("okta: tokens of an org authorization server are asked about, and groups are theirs, too", async (t) => {
  const { okta, identity, time } = await start(t);
  const { type: _type, tokenTypes: _types, idTokens: _idTokens, ...shared } = oktaIssuer(okta, groupsConfig(okta.org));
  const issuer = {
    ...{ ...shared, type: "introspection", issuer: okta.org, audiences: [okta.org], tokens: "jwt", prefix: undefined },
    ...{ endpoint: `${okta.org}/oauth2/v1/introspect`, answers: "plain", untyped: "refuse" },
    client: { id: "0oa", authentication: { method: "client_secret_basic", secret: "s" }, certificate: undefined },
    ...{ lifetime: 30_000, timeout: 5_000, maxSize: 65_536, concurrency: 4 },
  };
  const started = startIdentity([issuer], { time, previous: identity });
  t.teardown(() => started.identity.close());
  const answer = {
    ...{ active: true, token_type: "Bearer", scope: "openid profile", client_id: "a9VpZDRCeFh3Nkk2VdYa" },
    ...{ username: "john.doe@example.com", sub: "john.doe@example.com", uid: USER, jti: "AT.7P4K" },
    ...{ iss: okta.org, aud: okta.org, exp: Math.floor(time.now / 1000) + 600 },
  };
  okta.front.behave(reply(answer), "/introspect");
  const token = await okta.token({ iss: okta.org, aud: okta.org });
  const { principal } = await started.verify(token);
  t.match(principal, { subject: "john.doe@example.com", scopes: ["openid", "profile"] });
  t.equal(shown(principal).length, 5);
  time.now += 30_000;
  okta.front.behave(reply({ active: false }), "/introspect");
  t.equal(await started.judge(token), "token-inactive", "however long the list of groups counts");
});

const SECTION = `issuers:
  okta:
    type: oidc
    issuer: https://example.okta.com/oauth2/default
    audiences: [api://orders]
    okta:
      org: https://example.okta.com
      groups:
        client: { id: 0oa, key: okta.pem, key_id: a }
        dpop: false
        values: id
        lifetime: 1m
        timeout: 2s
`;

const withIssuers = (section: string) => SHORTEST.replace(/^issuers: .*\n/m, () => section);

test("okta: its section is taken as it says, or with the documented defaults", (t) => {
  const files = filesOf(t);
  const issuerOf = (section: string) => {
    const loaded = files.load(withIssuers(section));
    if (!("config" in loaded)) throw new Error(JSON.stringify(loaded.faults));
    t.strictSame(loaded.warnings, []);
    return loaded.config.issuers[0];
  };
  const key = { id: "a", algorithm: "RS256", audience: "https://example.okta.com/oauth2/v1/token" };
  const groups = {
    client: { id: "0oa", authentication: { method: "private_key_jwt", key } },
    ...{ dpop: false, values: "id", lifetime: 60_000, timeout: 2_000 },
  };
  t.match(issuerOf(SECTION), {
    okta: { org: "https://example.okta.com", groups },
    claims: { client: { first: ["cid", "client_id"] } },
  });
  const short = SECTION.replace(/^ {6}org.*\n/m, "").replace(/^ {8}(?:dpop|values|lifetime|timeout).*\n/gm, "");
  t.match(issuerOf(short), {
    okta: {
      org: "https://example.okta.com",
      groups: { dpop: true, values: "name", lifetime: 300_000, timeout: 5_000 },
    },
  });
  t.match(issuerOf(SECTION.replace(/okta:\n {6}org(?:.*\n)+/, "okta: {}\n")), { okta: { groups: undefined } });
  t.end();
});

test("okta: each mistake of its section is told where it is", (t) => {
  const files = filesOf(t);
  const server =
    "a custom authorization server, such as https://example.okta.com/oauth2/default. Tokens of the org authorization server can be checked by nobody but Okta: ask it about them, with `type: introspection` and `tokens: jwt`";
  const org = "the org's URL, such as https://example.okta.com: https, and nothing behind the host";
  const client = "a mapping with `id` and `key`: Okta gives its scopes to who signs, and to nobody else";
  t.strictSame(files.faults(withIssuers(SECTION)), []);
  for (const [from, to, expected] of [
    ["com/oauth2/default", "com", `6:13: the text "https://example.okta.com"; ${server}`],
    ["okta.com/oauth2/default", "org", `6:13: the text "https://example.org"; ${server}`],
    ["org: https", "org: http", `9:12: the text "http://example.okta.com"; ${org}`],
    [
      "org: https://example.okta.com",
      "org: https://example.okta.com/oauth2/x",
      `9:12: the text "https://example.okta.com/oauth2/x"; ${org}`,
    ],
    ["key: okta.pem, key_id: a", `secret: "${env("S")}"`, `11:17: a mapping; ${client}`],
    [
      "dpop: false",
      "dpop: maybe",
      '12:15: the text "maybe"; true or false: whether its tokens are bound to a key of the agent\'s (DPoP), which orgs demand of new apps',
    ],
    [
      "values: id",
      "values: ids",
      '13:17: the text "ids"; did you mean "id"? `name` or `id`: what a group is called by',
    ],
    ["lifetime: 1m", "lifetime: 1s", '14:19: the text "1s"; from 10s to 1h'],
  ] as const) {
    t.ok(SECTION.includes(from), from);
    t.strictSame(files.faults(withIssuers(SECTION.replace(from, () => to)), { S: "s" }), [expected], to);
  }
  const bare = "https://example.oktapreview.com";
  const oidc = `issuers: { a: { type: oidc, issuer: "${bare}", audiences: [x] } }\n`;
  t.strictSame(
    files.faults(withIssuers(oidc)),
    [`3:37: the text "${bare}"; ${server}`],
    "whether it says that it is Okta or not",
  );
  const asked = oidc.replace("oidc", "introspection, tokens: jwt, client: { id: a, key: okta.pem }");
  t.strictSame(files.faults(withIssuers(asked)), [], "and that is what it says");
  t.end();
});

function filesOf(t: Test): Files {
  const files = new Files(t.testdir());
  files.write("okta.pem", APP.key.privateKey.export({ format: "pem", type: "pkcs8" }).toString());
  return files;
}

const POLICY = `
roles:
  reader:
    - { issuer: okta, group: Orders Readers }
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [reader], headers: { x-auth-subject: principal.subject, x-auth-groups: list(principal.groups) } }
      - { name: mine, match: [GET /v1/mine], allow: [authenticated] }
`;

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: groups of Okta's users reach the backend, and unknown ones let nobody in`, async (t) => {
    const okta = await startOkta();
    t.teardown(() => okta.close());
    const [backend, front] = [await startBackend(t), await freePort()];
    const { text: config, ...ports } = await configuration(`
issuers:
  okta:
    type: oidc
    issuer: ${okta.issuer}
    audiences: [api://orders]
    okta: { groups: { client: { id: ${APP.id}, key: okta.pem } } }
deadline: 5s
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
    const pem = APP.key.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    const folder = folderOf(t, { "countersign.yaml": config, "policies/orders.yaml": POLICY, "okta.pem": pem });
    const served = await serve(t, folder, ports);
    await startHaproxy(t, binary, await generated(folder), front);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    const ask = async (token: string, path = "/v1/orders") => {
      const before = backend.received.length;
      const lines = ["host: orders.example.com", `authorization: Bearer ${token}`];
      const { status, body } = await client.request(`GET ${path} HTTP/1.1`, lines);
      if (status !== 200) t.equal(backend.received.length, before, "nothing of it arrived");
      return status === 200 ? "allowed" : `${status} ${JSON.parse(body).reason}`;
    };
    okta.groups.set("00uAlice", ["Everyone", "Orders Readers", "Étage"]);
    okta.groups.set("00uBob", ["Everyone"]);
    const alice = await okta.token({ uid: "00uAlice" });
    for (let i = 0; i < 2; i++) {
      t.equal(await ask(alice), "allowed");
      const { headers = [] } = backend.received.at(-1) ?? {};
      const { "x-auth-groups": sent, ...others } = Object.fromEntries(headers);
      t.match(others, { "x-auth-subject": "alice@example.com" });
      t.equal(Buffer.from(sent ?? "", "latin1").toString(), "Everyone,Orders Readers,Étage");
    }
    for (const [claims, expected] of [
      [{ uid: "00uBob" }, "403 role-missing"],
      [{ uid: "00uNobody" }, "403 claim-unknown"],
      [{ groups: ["Orders Readers"] }, "allowed"],
      [{ groups: [] }, "403 role-missing"],
      [{ aud: "api://billing" }, "401 audience-not-accepted"],
      [{ iss: okta.org }, "401 issuer-unknown"],
      [{ cnf: { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }, "401 proof-missing"],
    ] as const) {
      t.equal(await ask(await okta.token(claims)), expected, JSON.stringify(claims));
    }
    okta.front.behave("error", "limit=200");
    const carol = await okta.token({ uid: "00uCarol" });
    t.equal(await ask(carol), "503 groups-unavailable");
    t.equal(await ask(carol, "/v1/mine"), "allowed", "what needs no groups goes on");
    t.equal(await ask(alice), "allowed", "and so does who is known");
    t.match(await served.page("/ready"), { status: 200, text: /issuer okta cannot be asked: .*groups: status 500/ });
    t.notMatch(JSON.stringify(served.lines), /PRIVATE KEY|client_assertion|eyJ/, "no secret is logged");
  });
}
