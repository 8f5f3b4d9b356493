import { Redis } from "ioredis";
import { type Test, test } from "tap";
import { rotatedSealing } from "../../agent/config/files/sealing-ring.ts";
import { SessionStore, StoreUnavailable } from "../../agent/identity/session/store.ts";
import { StoredSessions } from "../../agent/identity/session/stored.ts";
import { RedisServer } from "../support/redis.ts";

const COOKIE = "__Host-countersign";
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
  for (const bad of ["", "idp~", "idp~x", `${cookie}A`, cookie.slice(0, -1), `idp~${session?.id}`, "idp~k.AAAA"])
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
