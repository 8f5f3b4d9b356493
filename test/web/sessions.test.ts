import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { type Test, test } from "tap";
import { type Offer, prove } from "../../agent/answer/prove.ts";
import type { Revocation } from "../../agent/config/files/revoked.ts";
import { parseSealingRing, rotatedSealing } from "../../agent/config/files/sealing-ring.ts";
import { type Send, send } from "../../agent/http/fetch.ts";
import { FetchError } from "../../agent/http/fetch-error.ts";
import type { Evidence } from "../../agent/identity/issuer/evidence.ts";
import type { Issuer } from "../../agent/identity/issuer/issuer.ts";
import type { Due, World } from "../../agent/identity/issuer/world.ts";
import { sessionKind } from "../../agent/identity/session/section.ts";
import { withSessions } from "../../agent/identity/session/sessions.ts";
import { SessionStore, SessionTooLarge, StoreUnavailable } from "../../agent/identity/session/store.ts";
import { StoredSessions } from "../../agent/identity/session/stored.ts";
import type { LoginEvent } from "../../agent/telemetry/events.ts";
import { Logins } from "../../agent/web/login/logins.ts";
import { PageListener } from "../../agent/web/page-listener.ts";
import { reply } from "../../demo/front.ts";
import { Browser, NAVIGATION } from "../support/browser.ts";
import { AUTHORITY, Authority, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { Clockwork } from "../support/clockwork.ts";
import { freePort } from "../support/haproxy.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";
import { listen } from "../support/listener.ts";
import { CLIENT, startLoginProvider } from "../support/login-provider.ts";
import { CALLBACK, COOKIE, ORIGIN, Person } from "../support/person.ts";
import { RedisServer } from "../support/redis.ts";
import { command, folderOf } from "../support/serve.ts";

const RING = rotatedSealing([], 0, 0);
const WHOSE = { name: "idp", issuer: "https://idp.example", login: { client: { id: "countersign" } } };
const NOW = 1_800_000_000_000;
const TOKENS = { access: "the-access-token", refresh: "the-refresh-token", id: "the-id-token" };

/** A session of somebody that has just begun. */
function sessionOf(subject: string, claims: Readonly<Record<string, unknown>> = {}, lasts = 3_600_000) {
  return {
    ...{ host: "app.example.com", begunAt: NOW, endsAt: NOW + lasts, scopes: ["openid"], refreshAt: NOW + 60_000 },
    ...{ subject, claims: { sub: subject, ...claims } },
  };
}

/** Whether the store could not tell. */
function isUntold(asked: Promise<unknown>): Promise<boolean> {
  return asked.then(
    () => false,
    (error: unknown) => error instanceof StoreUnavailable,
  );
}

/** A real server, agents that share it, and a look at what it holds. */
async function shared(t: Test) {
  const redis = await RedisServer.start(t, "the-password");
  const spy = new Redis(redis.url);
  t.teardown(() => spy.disconnect());
  const agent = async (timeout = 5_000) => {
    const store = new SessionStore({ url: redis.url, timeout });
    t.teardown(() => store.close());
    await store.ready();
    return new StoredSessions({ cookie: COOKIE, ring: RING }, store);
  };
  return { redis, spy, agent };
}

test("a session that is kept by a store is whoever's has its cookie, at every agent, until it ends", async (t) => {
  const { agent, spy } = await shared(t);
  const [one, other] = [await agent(), await agent()];
  const cookie = await one.begin(sessionOf("alice", { sid: "a" }), TOKENS, WHOSE, NOW);
  t.match(cookie, /^idp~[\w-]{43}$/);
  const session = await other.open(cookie, WHOSE);
  t.match(session, { host: "app.example.com", claims: { sub: "alice" }, subject: "alice", refreshAt: NOW + 60_000 });
  t.strictSame((await other.read(session?.id ?? "", WHOSE))?.tokens, TOKENS);
  for (const elsewhere of [
    { ...WHOSE, name: "other" },
    { ...WHOSE, issuer: "https://other.example" },
    { ...WHOSE, login: { client: { id: "other" } } },
  ]) {
    t.equal(await one.open(cookie.replace(/^idp/, elsewhere.name), elsewhere), undefined, "nor another issuer's");
  }
  const renamed = cookie.replace(/^idp/, "pid");
  for (const bad of [
    "",
    "idp~",
    "idp~x",
    `${cookie}A`,
    cookie.slice(0, -1),
    `idp~${session?.id}`,
    "idp~k.AAAA",
    renamed,
  ])
    t.equal(await one.open(bad, WHOSE), undefined, bad);

  t.equal(await one.endOf(cookie, WHOSE), true);
  t.equal(await one.endOf(cookie, WHOSE), false);
  t.equal(await other.open(cookie, WHOSE), undefined);
  await one.begin(sessionOf("alice", {}, 5), TOKENS, WHOSE, NOW);
  while ((await spy.dbsize()) > 0) await new Promise(setImmediate);
  t.pass("every key ends by itself, those that list sessions too");
});

test("sessions are found by what a provider or an operator calls them, and all of them end", async (t) => {
  const { agent, spy } = await shared(t);
  const sessions = await agent();
  const begin = (subject: string, sid: string, whose = WHOSE) =>
    sessions.begin({ ...sessionOf(subject, { sid }), subject: `${subject}@a` }, TOKENS, whose, NOW);
  const other = { ...WHOSE, name: "other", issuer: "https://other.example" };
  const cookies = [await begin("alice", "1"), await begin("alice", "2"), await begin("bob", "3")] as const;
  const elsewhere = await begin("alice", "1", other);
  const alive = async () => {
    const opened = await Promise.all([
      ...cookies.map((each) => sessions.open(each, WHOSE)),
      sessions.open(elsewhere, other),
    ]);
    return opened.map((each) => each !== undefined);
  };
  t.equal(await sessions.endMarked("sid", "9", WHOSE), 0);
  t.equal(await sessions.endMarked("sid", "2", WHOSE), 1);
  t.strictSame(await alive(), [true, false, true, true]);
  t.equal(await sessions.endMarked("subject", "alice@a", WHOSE), 1);
  t.strictSame(await alive(), [false, false, true, true], "of this issuer alone");
  t.equal(await sessions.endMarked("sub", "bob", WHOSE), 1);
  await begin("carol", "4");
  t.equal(await sessions.endAll(WHOSE), 1);
  t.strictSame(await alive(), [false, false, false, true]);
  t.ok((await spy.keys("*")).every((key) => /^countersign:session:[\w:-]+$/.test(key)));
});

test("an operator signs people out everywhere by a command", async (t) => {
  const { redis } = await shared(t);
  const login = (name: string) =>
    `  ${name}: { type: oidc, issuer: "https://${name}.example", audiences: [a], login: { client: { id: countersign, secret: s } } }\n`;
  const kept = `, store: { url: "${redis.url}" }`;
  const text = (store: string) =>
    `listen: { spop: [127.0.0.1:9000], web: 127.0.0.1:9902 }\npolicies: policies\nissuers:\n${login("idp")}${login("other")}sessions: { origins: ["${ORIGIN.origin}"], keys: ring.json${store} }\nhaproxy: { version: "3.2", bind: ["*:80"], scheme: http, backends: { a: ["127.0.0.1:8080"] } }\n`;
  const policy = `services: { a: { hosts: [${ORIGIN.hostname}], backend: a, routes: [{ name: a, match: [GET /a], allow: [authenticated] }] } }\n`;
  const files = { "policies/a.yaml": policy, "countersign.yaml": text(kept), "by-value.yaml": text("") };
  const folder = folderOf(t, files);
  const run = (...args: readonly string[]) => command(args, { cwd: folder });
  await run("keys", "rotate", "ring.json", "--algorithm", "A256GCM");
  const ring = parseSealingRing(readFileSync(join(folder, "ring.json"), "utf8"));
  const store = new SessionStore({ url: redis.url, timeout: 5_000 });
  t.teardown(() => store.close());
  await store.ready();
  if ("problem" in ring) throw new Error(ring.problem);
  const sessions = new StoredSessions({ cookie: COOKIE, ring }, store);
  const other = { ...WHOSE, name: "other", issuer: "https://other.example" };
  const begin = (subject: string, whose = WHOSE) =>
    sessions.begin({ ...sessionOf(subject), subject: `${subject}@example.com` }, TOKENS, whose, NOW);
  const all: [string, typeof WHOSE][] = [];
  for (const whose of [WHOSE, other]) for (const name of ["alice", "bob"]) all.push([await begin(name, whose), whose]);
  const alive = async () => {
    const opened = await Promise.all(all.map(([cookie, whose]) => sessions.open(cookie, whose)));
    return opened.map((each) => (each === undefined ? 0 : 1)).join("");
  };
  for (const [args, code, said] of [
    [["revoke"], 64, /whose sessions: --subject, --issuer or --all/],
    [["revoke", "--all", "--subject", "alice"], 64, /--all is everybody/],
    [["revoke", "--subject", ""], 64, /not empty/],
    [["end", "--all"], 64, /There is sessions revoke, not end/],
    [["revoke", "--issuer", "idq"], 78, /people log in at no issuer idq, but at idp, other/],
    [["revoke", "--all", "--config", "by-value.yaml"], 78, /A new key ring ends all of them: remove .*ring\.json/],
    [["revoke", "--subject", "a", "--config", "by-value.yaml"], 78, /- \{ issuer: idp, subject: "a", issued_before: 2/],
  ] as const) {
    const ended = await run("sessions", ...args);
    t.match([ended.code, ended.err], [code, said], args.join(" "));
  }
  t.equal(await alive(), "1111");
  t.match(await run("sessions", "revoke", "--subject", "alice", "--issuer", "other"), {
    code: 0,
    out: "1 session ended\n",
  });
  t.equal(await alive(), "1101");
  const known = await run("sessions", "revoke", "--subject", "alice@example.com", "--json");
  t.strictSame([known.code, JSON.parse(known.out)], [0, { ended: 1 }], "as policies know them");
  t.equal(await alive(), "0101");
  t.match(await run("sessions", "revoke", "--issuer", "idp"), { code: 0, out: "1 session ended\n" });
  t.equal(await alive(), "0001");
  t.match(await run("sessions", "revoke", "--all"), { code: 0, out: "1 session ended\n" });
  t.match(await run("sessions", "revoke", "--all"), { code: 0, out: "0 sessions ended\n" });
  await redis.stop();
  const away = await run("sessions", "revoke", "--all");
  t.match([away.code, away.err], [1, /sessions.store does not answer/]);
  t.notMatch(away.err, /the-password/);
});

test("what has ended does not come back, and of two who renew a session one reads again", async (t) => {
  const { agent } = await shared(t);
  const [one, other] = [await agent(), await agent()];
  const read = async (cookie: string) => {
    const id = one.idIn(cookie, WHOSE) ?? "";
    const stored = await one.read(id, WHOSE);
    if (stored === undefined) throw new Error("no session");
    return stored;
  };
  const cookie = await one.begin(sessionOf("alice", { sid: "1" }), TOKENS, WHOSE, NOW);
  const first = await read(cookie);
  const renewed = { ...first.session, subject: "alicia", refreshAt: NOW + 120_000 };
  t.equal(await one.replace(first, renewed, { ...TOKENS, refresh: "2" }, NOW), "written");
  t.equal(await other.replace(first, renewed, { ...TOKENS, refresh: "3" }, NOW), "changed");
  t.equal(await other.end(first, true), false, "nor is it ended by who has read what it was");
  const second = await read(cookie);
  t.match([second.tokens.refresh, second.session.refreshAt], ["2", NOW + 120_000]);
  t.equal(await one.endMarked("subject", "alicia", WHOSE), 1, "it is found by what it has become");
  t.equal(await other.replace(second, renewed, TOKENS, NOW), "gone");
  t.equal(await one.open(cookie, WHOSE), undefined);

  const id = first.session.id;
  const inside = await one.alone(id, 60_000, () => other.alone(id, 60_000, async () => "both"));
  t.equal(inside, undefined, "one at a time");
  t.equal(await other.alone(id, 60_000, async () => "then"), "then");
  await t.rejects(
    one.alone(id, 60_000, () => Promise.reject(new Error("failed"))),
    /failed/,
  );
  const [begun, late] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const tooSlow = one.alone(id, 1, () => {
    begun.resolve();
    return late.promise;
  });
  await begun.promise;
  const meanwhile = async () => {
    late.resolve();
    await tooSlow;
    return (await one.alone(id, 60_000, async () => "both")) ?? "alone";
  };
  let outcome: string | undefined;
  while (outcome === undefined) outcome = await other.alone(id, 60_000, meanwhile);
  t.equal(outcome, "alone", "who was too slow frees nobody else's turn");
  t.equal(await other.alone(id, 1, () => one.alone("another", 1, async () => "side by side")), "side by side");
});

test("of one person's sessions a thousand are kept, and the oldest ends", async (t) => {
  const { agent, spy } = await shared(t);
  const sessions = await agent();
  const begin = (n: number) => sessions.begin(sessionOf("robot", {}, 3_600_000 + n), TOKENS, WHOSE, NOW);
  const [first = "", second = ""] = await Promise.all(Array.from({ length: 1000 }, (_, n) => begin(n)));
  t.not(await sessions.open(first, WHOSE), undefined);
  await begin(1000);
  t.equal(await sessions.open(first, WHOSE), undefined);
  t.not(await sessions.open(second, WHOSE), undefined);
  t.equal(await sessions.endMarked("sub", "robot", WHOSE), 1000);
  t.strictSame(await spy.keys("*:of:*"), []);
});

test("an agent whose clock is ahead loses none of a person's sessions", async (t) => {
  const { agent } = await shared(t);
  const [one, ahead] = [await agent(), await agent()];
  const cookie = await one.begin(sessionOf("alice", {}, 600_000), TOKENS, WHOSE, NOW);
  await ahead.begin(sessionOf("alice"), TOKENS, WHOSE, NOW + 1_800_000);
  t.equal(await one.endMarked("sub", "alice", WHOSE), 2);
  t.equal(await one.open(cookie, WHOSE), undefined);
});

test("a session that is renewed while it is ended ends as what it has become", async (t) => {
  const { redis } = await shared(t);
  const store = new SessionStore({ url: redis.url, timeout: 5_000 });
  t.teardown(() => store.close());
  await store.ready();
  const sessions = new StoredSessions({ cookie: COOKIE, ring: RING }, store);
  const end = store.end.bind(store);
  /** Each time that somebody would end it, another has renewed it just before. */
  const endedWhile = async (renewals: number) => {
    const cookie = await sessions.begin(sessionOf("alice"), TOKENS, WHOSE, NOW);
    const id = sessions.idIn(cookie, WHOSE) ?? "";
    let renewed = 0;
    store.end = async (...args) => {
      const stored = renewed < renewals ? await sessions.read(id, WHOSE) : undefined;
      if (stored !== undefined)
        await sessions.replace(stored, stored.session, { ...TOKENS, refresh: `renewed ${++renewed}` }, NOW);
      return end(...args);
    };
    const ended = await sessions.endRead(id, WHOSE);
    t.equal(await sessions.open(cookie, WHOSE), undefined);
    t.equal(await sessions.endRead(id, WHOSE), undefined, "and once");
    return ended?.tokens.refresh;
  };
  t.equal(await endedWhile(0), "the-refresh-token");
  t.equal(await endedWhile(2), "renewed 2", "by which the provider can take back the last of its tokens");
  t.match(await endedWhile(1000), /^renewed/, "in any case");
});

test("who logs in anew leaves no session behind", async (t) => {
  const { one, other, alice, issuer } = await refreshing(t);
  const before = alice.session;
  const again = new Person(other.logins);
  again.cookies.set(COOKIE, before);
  await again.ask(await again.until());
  t.not(again.session, before);
  t.equal(await one.stored.open(before, issuer), undefined);
  t.match(await one.stored.open(again.session, issuer), { subject: "alice" });
});

test("the store's user may do what the documentation says, and no more", async (t) => {
  const { redis, spy } = await shared(t);
  const page = readFileSync(new URL("../../docs/login.md", import.meta.url), "utf8");
  const [, keys = "", commands = ""] = /needs `(~\S+)` and `([^`]+)`/.exec(page) ?? [];
  await spy.call("ACL", "SETUSER", "agent", "on", ">secret", keys, ...commands.split(" "));
  const store = new SessionStore({ url: `redis://agent:secret@127.0.0.1:${redis.port}`, timeout: 5_000 });
  t.teardown(() => store.close());
  await store.ready();
  const sessions = new StoredSessions({ cookie: COOKIE, ring: RING }, store);
  const begin = () => sessions.begin(sessionOf("alice"), TOKENS, WHOSE, NOW);
  const cookie = await begin();
  const before = await sessions.read(sessions.idIn(cookie, WHOSE) ?? "", WHOSE);
  if (before === undefined) throw new Error("no session");
  t.equal(await sessions.alone("x", 1000, () => sessions.replace(before, before.session, TOKENS, NOW)), "written");
  t.equal(await sessions.endOf(cookie, WHOSE), true);
  await begin();
  t.equal(await sessions.endMarked("sub", "alice", WHOSE), 1);
  await begin();
  t.equal(await sessions.endAll(WHOSE), 1);
});

test("a store is asked over TLS, by a user of its own, and only one whose certificate is vouched for", async (t) => {
  const authority = new Authority("of somebody else");
  const { pem, key } = authority.issue({ names: ["dns:other.example"] });
  const files = folderOf(t, {
    ...{ cert: SERVER_CERTIFICATE, key: SERVER_KEY },
    ...{ "other-cert": pem, "other-key": key },
  });
  const at = (name: string) => join(files, name);
  const redis = await RedisServer.startTls(t, "the-password", at("cert"), at("key"));
  const other = await RedisServer.startTls(t, "the-password", at("other-cert"), at("other-key"));
  const spy = new Redis(redis.url, { tls: { ca: AUTHORITY } });
  t.teardown(() => spy.disconnect());
  const page = readFileSync(new URL("../../docs/login.md", import.meta.url), "utf8");
  const [, keys = "", commands = ""] = /needs `(~\S+)` and `([^`]+)`/.exec(page) ?? [];
  await spy.call("ACL", "SETUSER", "agent", "on", ">secret", keys, ...commands.split(" "));
  const begun = async (url: string, ca?: string) => {
    const told: (string | undefined)[] = [];
    const store = new SessionStore({ url, timeout: 5_000, ca }, (problem) => told.push(problem));
    t.teardown(() => store.close());
    const sessions = new StoredSessions({ cookie: COOKIE, ring: RING }, store);
    const cookie = await sessions.begin(sessionOf("alice"), TOKENS, WHOSE, NOW).catch(() => undefined);
    return { told: told[0], problems: store.problems(), opened: cookie && (await sessions.open(cookie, WHOSE)) };
  };
  const url = `rediss://agent:secret@127.0.0.1:${redis.port}`;
  t.match(await begun(url, AUTHORITY), { told: undefined, opened: { subject: "alice" } });
  const stranger = new Authority("a stranger").pem;
  for (const [what, problem, address, ca] of [
    ["another's authority", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", url, stranger],
    ["those that Node brings", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", url, undefined],
    ["another host's name", "ERR_TLS_CERT_ALTNAME_INVALID", other.url, authority.pem],
    ["a wrong password", "WRONGPASS", url.replace("secret", "secrets"), AUTHORITY],
    ["a user that is not there", "WRONGPASS", url.replace("agent", "nobody"), AUTHORITY],
  ] as const) {
    const { told, problems, opened } = await begun(address, ca);
    t.strictSame(
      [told, problems, opened],
      [problem, [`the store of sessions cannot be reached: ${problem}`], undefined],
      what,
    );
  }
});

test("a store that may drop what ends sessions is told of, with what to set instead", async (t) => {
  const { redis, spy } = await shared(t);
  const store = new SessionStore({ url: redis.url, timeout: 5_000 });
  t.teardown(() => store.close());
  await store.ready();
  t.strictSame(store.problems(), []);
  const until = async (problems: readonly string[]) => {
    while (String(store.problems()) !== String(problems)) await new Promise(setImmediate);
  };
  for (const policy of ["allkeys-lru", "volatile-lru", "volatile-ttl", "allkeys-random"]) {
    await spy.config("SET", "maxmemory-policy", policy);
    const why = `the store of sessions may drop lists that sessions are ended by (maxmemory-policy ${policy})`;
    await until([`${why}: set maxmemory-policy noeviction`]);
  }
  await spy.config("SET", "maxmemory-policy", "noeviction");
  await until([]);
  await redis.stop();
  await until(["the store of sessions cannot be reached: ECONNREFUSED"]);
  t.pass("all of it is told");
});

test("who has all that the store holds has no session, and no token", async (t) => {
  const { agent, spy } = await shared(t);
  const sessions = await agent();
  const cookie = await sessions.begin(sessionOf("alice@example.com", { sid: "the-sid" }), TOKENS, WHOSE, NOW);
  const held: string[] = [];
  for (const key of await spy.keys("*")) {
    const values = (await spy.type(key)) === "zset" ? await spy.zrange(key, 0, "-1") : [await spy.get(key)];
    held.push(key, ...values.map(String));
  }
  const secrets = [cookie.slice(4), ...Object.values(TOKENS), "alice", "the-sid", "app.example.com", "openid"];
  for (const secret of secrets)
    t.notOk(
      held.some((text) => text.includes(secret)),
      secret,
    );
  const words = held.flatMap((text) => text.split(/[:. ]/));
  t.ok(words.length > 6);
  for (const word of words) t.equal(await sessions.open(`idp~${word}`, WHOSE), undefined, "no word of it is an id");
});

test("a store that is away, stands still or lies tells nothing, and nothing is lost", async (t) => {
  const { agent, redis, spy } = await shared(t);
  const sessions = await agent(50);
  const cookie = await sessions.begin(sessionOf("alice"), TOKENS, WHOSE, NOW);
  const other = await sessions.begin(sessionOf("mallory"), TOKENS, WHOSE, NOW);
  const keyOf = async (each: string) => (await spy.keys(`*:of:*:${sessions.idIn(each, WHOSE)}`))[0] ?? "";
  const key = await keyOf(cookie);
  const good = (await spy.get(key)) ?? "";
  const lies = ["x", " ", good.slice(0, -1), good.replace(/^[^.]+\./, "$&A"), "a".repeat(100_000)];
  for (const lie of [...lies, await spy.get(await keyOf(other))]) {
    await spy.set(key, lie ?? "");
    t.ok(await isUntold(sessions.read(key.split(":").at(-1) ?? "", WHOSE)), String(lie).slice(0, 20));
  }
  await spy.del(key);
  await spy.lpush(key, "x");
  t.ok(await isUntold(sessions.open(cookie, WHOSE)), "nor what is no text");
  await spy.del(key);
  await spy.set(key, good);
  t.match(await sessions.open(cookie, WHOSE), { subject: "alice" });

  const all = (): readonly Promise<unknown>[] => [
    sessions.open(cookie, WHOSE),
    sessions.begin(sessionOf("bob"), TOKENS, WHOSE, NOW),
    sessions.endOf(cookie, WHOSE),
    sessions.endMarked("sub", "alice", WHOSE),
    sessions.endAll(WHOSE),
    sessions.alone("id", 1000, async () => {}),
  ];
  redis.freeze();
  t.strictSame(await Promise.all(all().map(isUntold)), [true, true, true, true, true, true]);
  redis.thaw();
  const back = async () => {
    for (;;) {
      const found = await sessions.open(cookie, WHOSE).catch(() => "away");
      if (found !== "away") return found;
      await new Promise(setImmediate);
    }
  };
  // What it was asked before it stood still it does all the same.
  await back();
  await redis.stop();
  t.strictSame(await Promise.all(all().map(isUntold)), [true, true, true, true, true, true]);
  await redis.begin();
  t.equal(await back(), undefined, "it has lost all, and says so");
});

test("who asks before the store was ever reached waits for that, and no longer than it takes to know that it is away", async (t) => {
  const { redis } = await shared(t);
  const begun = (port = redis.port) => {
    const store = new SessionStore({ url: `redis://:the-password@127.0.0.1:${port}`, timeout: 5_000 });
    t.teardown(() => store.close());
    return new StoredSessions({ cookie: COOKIE, ring: RING }, store);
  };
  const cookie = await begun().begin(sessionOf("alice"), TOKENS, WHOSE, NOW);
  t.match(await begun().open(cookie, WHOSE), { subject: "alice" });
  const silent = await listen(t, () => {});
  for (const port of [await freePort(), silent]) t.ok(await isUntold(begun(port).open(cookie, WHOSE)), "not for ever");
});

test("a browser that comes before the thread has reached the store waits for it", async (t) => {
  const { redis, alice, sessions, issuer, stored } = await refreshing(t);
  const listener = new PageListener({}, { failed: (error) => t.error(error), limit: 20_000 });
  t.teardown(() => listener.close());
  const setup = { sessions: { ...sessions, store: { ...sessions.store, timeout: 5_000 } }, issuers: [issuer] };
  redis.freeze();
  await listener.listen({ host: "127.0.0.1", port: 0 }, setup);
  const browser = new Browser({ [ORIGIN.hostname]: listener.port ?? 0 });
  browser.cookies(ORIGIN.hostname).set(COOKIE, alice.session);
  const here = { ...NAVIGATION, "sec-fetch-site": "same-origin" };
  const out = browser.ask(`${ORIGIN.origin}/.countersign/logout`, here, "POST");
  t.equal((await browser.ask(`${ORIGIN.origin}/.countersign/style.css`)).status, 200);
  redis.thaw();
  t.equal((await out).status, 303);
  await t.rejects(stored(), /no session/);
});

test("a session that is larger than any entry may be is not kept", async (t) => {
  const { agent, spy } = await shared(t);
  const session = sessionOf("alice", { more: "x".repeat(65_536) });
  const kept = await (await agent()).begin(session, TOKENS, WHOSE, NOW).catch((error: unknown) => error);
  t.ok(kept instanceof SessionTooLarge);
  t.equal(await spy.dbsize(), 0);
});

test("a session that a former key has sealed is none", async (t) => {
  const { redis } = await shared(t);
  const store = new SessionStore({ url: redis.url, timeout: 5_000 });
  t.teardown(() => store.close());
  await store.ready();
  const former = new StoredSessions({ cookie: COOKIE, ring: rotatedSealing([], 0, 0) }, store);
  const cookie = await former.begin(sessionOf("alice"), TOKENS, WHOSE, NOW);
  const sessions = new StoredSessions({ cookie: COOKIE, ring: RING }, store);
  t.equal(await sessions.open(cookie, WHOSE), undefined);
});

/** Agents that share a store and a provider that gives refresh tokens, and somebody who logs in at the first. */
async function refreshing(t: Test) {
  const { redis, spy } = await shared(t);
  const accounts: Record<string, Record<string, unknown>> = { alice: { groups: ["readers"] } };
  const provider = await startLoginProvider(t, accounts, [`${ORIGIN.origin}${CALLBACK}`], { refresh: true });
  const sessions = {
    ...{ origins: [ORIGIN.origin], cookie: COOKIE, keys: "", ring: RING },
    ...{ idle: 3_600_000, lifetime: 28_800_000, largest: 8192, store: { url: redis.url, timeout: 300 } },
  };
  const authentication = { method: "client_secret_basic", secret: CLIENT.secret } as const;
  const login = {
    client: { id: CLIENT.id, authentication, certificate: undefined },
    ...{ scopes: ["openid"], parameters: {}, title: "Idp", sessions },
    claims: { subject: "sub", groups: "groups" },
    logout: { provider: false, hint: undefined, backchannel: false, frontchannel: false },
  } as const;
  const issuer = { ...oidcIssuer(provider.issuer, { name: "idp" }), login };
  const time = { now: Date.now() };
  const events: LoginEvent[] = [];
  /** Done before each request to the provider, and what its token endpoint refuses with. */
  const before = { asking: async (_url: URL) => {}, refusal: "" };
  const agent = async () => {
    const store = new SessionStore(sessions.store);
    t.teardown(() => store.close());
    await store.ready();
    const asking: Send = async (url, ...rest) => {
      await before.asking(url);
      if (before.refusal !== "" && url.pathname === "/token") {
        const body = Buffer.from(JSON.stringify({ error: before.refusal }));
        return { status: 400, headers: { "content-type": "application/json" }, body };
      }
      return send(url, ...rest);
    };
    const tell = (event: LoginEvent) => events.push(event);
    const logins = new Logins({ sessions, issuers: [issuer] }, asking, () => time.now, tell, store);
    return { logins, stored: new StoredSessions(sessions, store) };
  };
  const [one, other] = [await agent(), await agent()];
  const alice = new Person(one.logins);
  await alice.ask(await alice.until());
  const id = one.stored.idIn(alice.session, issuer) ?? "";
  const stored = async () => {
    const found = await one.stored.read(id, issuer);
    if (found === undefined) throw new Error("no session");
    return found;
  };
  const due = { issuer: "idp", id };
  return {
    ...{ redis, spy, sessions, accounts, provider, issuer, time, events, before, one, other, alice, id, stored, due },
  };
}

test("a session is refreshed once by all agents, ahead of its tokens' end, and who it is is judged anew", async (t) => {
  const { accounts, provider, time, events, one, other, alice, stored, due, spy, id } = await refreshing(t);
  t.match(alice.session, /^idp~[\w-]{43}$/);
  const all = () => Promise.all([one, other, one, other, one, other].map(({ logins }) => logins.refresh(due)));
  const fresh = await stored();
  t.match(fresh.session.claims, { sub: "alice", groups: ["readers"] });
  // As of a login long ago.
  const claims = { ...fresh.session.claims, iat: 1_000_000, auth_time: 1_000_000 };
  await one.stored.replace(fresh, { ...fresh.session, claims }, fresh.tokens, time.now);
  const first = await stored();
  await all();
  t.equal(provider.tokenCalls, 1, "not before it is due");
  accounts.alice = { groups: ["writers"] };
  time.now += 3_600_000;
  await all();
  t.equal(provider.tokenCalls, 2);
  const second = await stored();
  t.match(second.session.claims, { sub: "alice", groups: ["writers"] }, "what the provider says now");
  t.match(second.session, { begunAt: first.session.begunAt, endsAt: first.session.endsAt });
  t.strictSame(
    [second.session.claims.iat, second.session.claims.auth_time],
    [1_000_000, 1_000_000],
    "nobody has logged in anew: what was taken back from before a time stays so",
  );
  t.not(second.tokens.refresh, first.tokens.refresh, "the token is another one");
  t.not(second.tokens.access, first.tokens.access);
  time.now += 3_600_000;
  await all();
  t.equal(provider.tokenCalls, 3, "which is the one that counts");
  t.match((await stored()).session.subject, "alice");
  t.equal(events.filter(({ outcome }) => outcome === "refreshed").length, 2);
  t.strictSame(await spy.keys("*lock*"), []);
  t.ok((await spy.pttl(`countersign:session:of:x:${id}`)) === -2);
});

test("what a provider refuses to refresh ends, unless another agent has refreshed it meanwhile", async (t) => {
  const { provider, time, events, before, one, stored, due } = await refreshing(t);
  time.now += 3_600_000;
  const first = await stored();
  const changed = { ...first.session, subject: "by another" };
  t.equal(await one.stored.replace(first, first.session, { ...first.tokens, refresh: "used up" }, time.now), "written");
  const used = await stored();
  before.asking = async ({ pathname }) => {
    if (pathname === "/token") await one.stored.replace(used, changed, first.tokens, time.now);
  };
  await one.logins.refresh(due);
  t.match((await stored()).session.subject, "by another");
  t.equal(provider.tokenCalls, 2);
  before.asking = async () => {};
  const again = await stored();
  await one.stored.replace(again, again.session, { ...first.tokens, refresh: "used up" }, time.now);
  await one.logins.refresh(due);
  await t.rejects(stored(), /no session/);
  t.match(events.at(-1), { outcome: "ended" });
});

test("a token that the provider has given in place of another is not lost, whatever fails after it", async (t) => {
  const { accounts, spy, time, events, before, one, other, stored, due } = await refreshing(t);
  time.now += 3_600_000;
  const first = await stored();
  before.asking = async ({ pathname }) => {
    if (pathname === "/jwks") throw new FetchError("its keys are away");
  };
  accounts.alice = { groups: ["writers"] };
  await one.logins.refresh(due);
  t.match(events.at(-1), { outcome: "failed", why: "its keys are away" });
  const second = await stored();
  t.not(second.tokens.refresh, first.tokens.refresh);
  t.match(second.session.claims, { groups: ["readers"] }, "nobody could tell what else has changed");
  before.asking = async () => {};
  await other.logins.refresh(due);
  const third = await stored();
  t.match([events.at(-1)?.outcome, third.session.claims.groups], ["refreshed", ["writers"]]);

  const tried = async () => Number(/cmdstat_eval:.*failed_calls=(\d+)/.exec(await spy.info("commandstats"))?.[1] ?? 0);
  for (const givesUp of [false, true]) {
    time.now += 3_600_000;
    before.asking = async ({ pathname }) => {
      if (pathname === "/token") await spy.config("SET", "maxmemory", "1");
    };
    const begun = await tried();
    let isOver = false;
    const refreshed = other.logins.refresh(due).finally(() => {
      isOver = true;
    });
    while (!isOver && (await tried()) < begun + (givesUp ? 1 : 7)) await new Promise(setImmediate);
    t.equal(isOver, false, "as long as the store takes nothing");
    if (givesUp) time.now += 180_001;
    else await spy.config("SET", "maxmemory", "0");
    await refreshed;
    t.match(events.at(-1), givesUp ? { outcome: "failed", why: "session-unavailable" } : { outcome: "refreshed" });
  }
});

test("what a provider says of one session changes nothing for any other", async (t) => {
  const { provider, time, events, before, one, stored, due, issuer } = await refreshing(t);
  const bob = new Person(one.logins);
  await bob.ask(await bob.until());
  const others = { ...due, id: one.stored.idIn(bob.session, issuer) ?? "" };
  time.now += 3_600_000;
  before.refusal = "invalid_request";
  await one.logins.refresh(due);
  t.match(events.at(-1), { outcome: "failed", why: "refresh: invalid_request" });
  const asked = provider.tokenCalls;
  before.refusal = "";
  await one.logins.refresh(others);
  t.match(events.at(-1), { outcome: "refreshed" });
  await one.logins.refresh(due);
  t.equal(provider.tokenCalls, asked + 1, "and that one is asked about later");
  time.now += 300_001;
  await one.logins.refresh(due);
  t.match(events.at(-1), { outcome: "refreshed" });
  time.now += 3_600_000;
  before.refusal = "login_required";
  await one.logins.refresh(due);
  await t.rejects(stored(), /no session/, "nor is it over until its person has logged in");
});

test("what UserInfo says of a new token is of that session alone, and ends it where the token is no good", async (t) => {
  const { provider, issuer, time, events, one, stored, due } = await refreshing(t);
  const others: (typeof due)[] = [];
  for (let n = 0; n < 2; n++) {
    const person = new Person(one.logins);
    await person.ask(await person.until());
    others.push({ ...due, id: one.stored.idIn(person.session, issuer) ?? "" });
  }
  const challenged = (challenge: string, status = 401) => reply("{}", status, { "www-authenticate": challenge });
  const token = { access_token: "a", refresh_token: "another", token_type: "Bearer", expires_in: 3600 };
  // No ID token: who it is UserInfo has to tell.
  const given = () => provider.front.behave(reply(token), "/token");
  given();
  time.now += 3_600_000;
  for (const [said, code] of [
    [challenged('DPoP error="invalid_dpop_proof"'), "invalid_dpop_proof"],
    [challenged('Bearer error="<b>SECRET"'), "provider-error"],
    [challenged('Bearer error="insufficient_scope"', 403), "insufficient_scope"],
    [reply({ error: "SECRET" }, 403), "OAUTH_RESPONSE_IS_NOT_CONFORM"],
  ] as const) {
    const first = await stored();
    provider.front.behave(said, "/me");
    for (const each of [due, ...others]) {
      const before = events.length;
      await one.logins.refresh(each);
      t.match(events.slice(before), [{ outcome: "failed", why: `refresh: ${code}` }]);
    }
    const second = await stored();
    t.match([second.tokens.refresh, second.session.claims], ["another", first.session.claims], "nothing is lost");
    t.equal(second.session.refreshAt, time.now + 300_000, "and that one is asked about later");
    time.now += 300_000;
  }
  provider.front.behave(challenged('Basic realm="x"'), "/token");
  await one.logins.refresh(due);
  t.match(events.at(-1), { outcome: "failed", why: "invalid_client" });
  time.now += 300_000;

  const ends = async (each: typeof due, what: string) => {
    await one.logins.refresh(each);
    t.match([events.at(-1), await one.stored.read(each.id, issuer)], [{ outcome: "ended" }, undefined], what);
  };
  const [bob = due, carol = due] = others;
  given();
  provider.front.behave(challenged('Bearer error="invalid_token", error_description="SECRET"'), "/me");
  await ends(due, "who is gone at the provider");
  provider.front.behave(challenged("Bearer"), "/me");
  await ends(bob, "in fewer words");
  provider.front.behave(reply({ error: "invalid_grant" }, 403), "/token");
  await ends(carol, "and by whichever status it is said");
  t.notMatch(JSON.stringify(events), /SECRET|unexpected/);
});

test("what comes for a session that was ended meanwhile is taken back at the provider", async (t) => {
  const { provider, time, events, before, one, stored, due } = await refreshing(t);
  time.now += 3_600_000;
  const first = await stored();
  before.asking = async ({ pathname }) => {
    if (pathname === "/token") await one.stored.end(first);
  };
  await one.logins.refresh(due);
  t.equal(provider.front.requests.filter((path) => path === "/token/revocation").length, 2);
  t.equal(events.filter(({ outcome }) => outcome === "refreshed").length, 0);
});

test("a session whose claims are no longer enough is told of to be refreshed, and its refusal is not remembered", async (t) => {
  const { issuer, one, alice, stored, time } = await refreshing(t);
  const due: unknown[] = [];
  const told = { events: { sessionStore: () => {} }, due: (each: unknown) => due.push(each) };
  const inner = { ready: async () => {}, close: () => {} } as unknown as Issuer;
  const sessions = withSessions(inner, issuer as never, { ...told, clock: () => time.now } as unknown as World);
  t.teardown(() => sessions.close());
  await sessions.ready();
  const evidence = { kind: sessionKind({ cookie: COOKIE }), text: alice.session } as unknown as Evidence;
  const found = async () => sessions.verify(evidence, time.now, () => true);
  t.match(
    await found(),
    { principal: { subject: "alice" }, lifetime: 5_000 },
    "for so long the store is not asked again",
  );
  const first = await stored();
  const { sub: _, ...claims } = first.session.claims;
  await one.stored.replace(first, { ...first.session, claims, refreshAt: time.now }, first.tokens, time.now);
  t.strictSame(Object.keys(await found()), ["reason"], "nothing of it is remembered");
  t.equal(due.length, 1);
  time.now = first.session.endsAt;
  t.match(await found(), { reason: "session-expired", lasting: true });
  t.equal(due.length, 1, "nor is one that is over to be refreshed");
});

test("a provider is asked about sessions that are used, and about no other", async (t) => {
  const { issuer, one, alice, time } = await refreshing(t);
  const kind = sessionKind({ cookie: COOKIE });
  const bytes = Buffer.from(alice.session);
  const credential = { kind, bytes, start: 0, end: bytes.length };
  /** What three requests at a time are told at an agent that has just begun, and how often it says that alice's is due. */
  const used = async (after: number, host: string, revoked: readonly Revocation[] = []) => {
    const due: Due[] = [];
    const clock = new Clockwork(time.now + after);
    const told = { time: clock, revoked, due: (each: Due) => due.push(each) };
    const { identity } = startIdentity([{ ...issuer, credentials: [kind] }], told);
    t.teardown(() => identity.close());
    await identity.ready();
    const offer = { credential, host, now: clock.now, route: { needs: { proofs: [] } } } as unknown as Offer;
    const outcomes = [];
    for (let n = 0; n < 3; n++) {
      const found = await prove(identity.verify(credential, clock.now), offer);
      outcomes.push(found.principal === undefined ? found.reason : found.principal.subject);
    }
    return [...new Set(outcomes), ...due.map(({ id }) => id === one.stored.idIn(alice.session, issuer))];
  };
  const [late, over] = [3_550_000, 3_600_000];
  const here = ORIGIN.hostname;
  t.strictSame(await used(0, here), ["alice"], "it is not due");
  t.strictSame(await used(late, here), ["alice", true], "once");
  t.strictSame(await used(over, here), ["session-expired"], "idle for too long");
  t.strictSame(await used(late, "other.example.com"), ["session-invalid"], "at another host");
  const revoked = [{ issuer: "idp", by: { subject: "alice" }, issuedBefore: undefined }];
  t.strictSame(await used(late, here, revoked), ["credential-revoked"]);
});

test("no more sessions are asked for at a time than there is room for", async (t) => {
  const { redis, issuer, alice, time } = await refreshing(t);
  const inner = { ready: async () => {}, close: () => {} } as unknown as Issuer;
  const world = { events: { sessionStore: () => {} }, clock: () => time.now } as unknown as World;
  const sessions = withSessions(inner, issuer as never, world);
  t.teardown(() => sessions.close());
  await sessions.ready();
  const evidence = { kind: sessionKind({ cookie: COOKIE }), text: alice.session } as unknown as Evidence;
  const ask = () => sessions.verify(evidence, time.now, () => true);
  redis.freeze();
  const asked = Array.from({ length: 1024 }, ask);
  t.strictSame(ask(), { reason: "overloaded" });
  redis.thaw();
  await Promise.all(asked);
  t.match(await ask(), { principal: { subject: "alice" } }, "then there is room again");
});

test("who waits for the store while a reload puts another in the issuer's place is answered", async (t) => {
  const { redis, spy, sessions: config, issuer, alice, time } = await refreshing(t);
  const inner = { ready: async () => {}, close: () => {} } as unknown as Issuer;
  const world = { events: { sessionStore: () => {} }, clock: () => time.now } as unknown as World;
  const login = { ...issuer.login, sessions: { ...config, store: { ...config.store, timeout: 5_000 } } };
  const sessions = withSessions(inner, { ...issuer, login } as never, world);
  t.teardown(() => sessions.close());
  await sessions.ready();
  const evidence = { kind: sessionKind({ cookie: COOKIE }), text: alice.session } as unknown as Evidence;
  const ask = () => sessions.verify(evidence, time.now, () => true);
  const connections = async () => /connected_clients:(\d+)/.exec(await spy.info("clients"))?.[1];
  const before = await connections();
  redis.freeze();
  const asked = [ask(), ask()];
  sessions.close();
  t.strictSame(ask(), { reason: "issuer-unavailable" }, "and nobody else");
  redis.thaw();
  for (const finding of await Promise.all(asked)) t.match(finding, { principal: { subject: "alice" } });
  while ((await connections()) === before) await new Promise(setImmediate);
  t.pass("then the store is left");
});

test("a session ends where the provider speaks of somebody else", async (t) => {
  const { time, one, stored, due } = await refreshing(t);
  time.now += 3_600_000;
  const first = await stored();
  const claims = { ...first.session.claims, sub: "bob" };
  await one.stored.replace(first, { ...first.session, claims }, first.tokens, time.now);
  await one.logins.refresh(due);
  await t.rejects(stored(), /no session/);
});

test("while a provider is away sessions last, and it is asked less and less", async (t) => {
  const { provider, time, events, one, stored, due } = await refreshing(t);
  time.now += 3_600_000;
  provider.front.behave("reset");
  const asked = () => provider.front.requests.length;
  await one.logins.refresh(due);
  t.match(events.at(-1), { outcome: "failed" });
  const before = asked();
  await one.logins.refresh(due);
  t.equal(asked(), before, "not at once");
  time.now += 5_001;
  await one.logins.refresh(due);
  t.match((await stored()).session.subject, "alice");
  provider.front.behave("up");
  time.now += 5_001;
  await one.logins.refresh(due);
  t.equal(events.filter(({ outcome }) => outcome === "refreshed").length, 0, "each time for longer");
  time.now += 5_001;
  await one.logins.refresh(due);
  t.match(events.at(-1), { outcome: "refreshed" });
});

test("while the store is away nobody is signed in or out, and what was ended by a sign-out is no more", async (t) => {
  const { redis, events, one, alice, due, time, provider } = await refreshing(t);
  const out = () => alice.ask("/.countersign/logout", { method: "POST", headers: { "sec-fetch-site": "same-origin" } });
  const bob = new Person(one.logins);
  const callback = await bob.until();
  redis.freeze();
  t.match(await out(), { status: 503, headers: { "retry-after": "5" } });
  t.not(alice.session, "");
  t.match([(await bob.ask(callback)).status, bob.session], [503, ""]);
  t.match(events.at(-1), { outcome: "failed", why: "session-unavailable" });
  time.now += 3_600_000;
  const calls = provider.tokenCalls;
  await one.logins.refresh(due);
  t.equal(provider.tokenCalls, calls, "and nothing is refreshed");
  redis.thaw();
  const held = alice.session;
  while ((await out()).status === 503) await new Promise(setImmediate);
  t.equal(alice.session, "");
  alice.cookies.set(COOKIE, held);
  t.match((await alice.ask("/.countersign/login")).location, /\/auth\?/);
  t.equal(await one.stored.open(held, { name: "idp", issuer: provider.issuer, login: { client: CLIENT } }), undefined);
});
