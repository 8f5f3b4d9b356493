import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { type CryptoKey, decodeJwt, exportJWK, generateKeyPair, type JWK, type KeyObject, SignJWT } from "jose";
import { type Test, test } from "tap";
import { rotatedSealing, type SealingKey } from "../../agent/config/files/sealing-ring.ts";
import { type Send, send } from "../../agent/http/fetch.ts";
import type { LogoutConfig } from "../../agent/identity/session/section.ts";
import { issuerOf, SessionCookies } from "../../agent/identity/session/session.ts";
import { Steps } from "../../agent/identity/session/step.ts";
import { SessionStore } from "../../agent/identity/session/store.ts";
import { StoredSessions } from "../../agent/identity/session/stored.ts";
import type { LoginEvent } from "../../agent/telemetry/events.ts";
import type { Answer, Asked } from "../../agent/web/login/answer.ts";
import { cookiesIn } from "../../agent/web/login/cookies.ts";
import { Logins } from "../../agent/web/login/logins.ts";
import { returnTo } from "../../agent/web/login/return-to.ts";
import { PageListener } from "../../agent/web/page-listener.ts";
import { reply } from "../../demo/front.ts";
import { rocaKeyPair } from "../identity/roca.ts";
import { oidcIssuer } from "../support/identity.ts";
import { CLIENT, startLoginProvider } from "../support/login-provider.ts";
import { CALLBACK, COOKIE, LOGIN, ORIGIN, Person } from "../support/person.ts";
import { RedisServer } from "../support/redis.ts";

const RING: readonly SealingKey[] = rotatedSealing([], 0, 0);

/** What browsers make of a text after one decoding: whether it is gone to, the text, and where that is. */
const INPUTS = readFileSync(join(import.meta.dirname, "return-to.txt"), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => line.split("\t"))
  .map(([verdict, text = '""', , kind = ""]) => ({ verdict, text: JSON.parse(text) as string, kind }));

interface Options {
  readonly par?: boolean;
  readonly providers?: number;
  readonly style?: string;
  readonly logout?: Partial<LogoutConfig>;
  /** Where sessions are kept. */
  readonly redis?: RedisServer;
  readonly asking?: Send;
}

/** Logins of an agent, and browsers that talk to it without HAProxy between. */
async function stage(t: Test, { par = true, providers = 1, style, logout, redis, asking = send }: Options = {}) {
  const redirects = Array.from({ length: providers }, (_, n) => `${ORIGIN.origin}${CALLBACK}${n === 0 ? "" : n}`);
  const accounts = { alice: { groups: ["readers"] } };
  const deliver = async (to: URL, body: string) => (await told(to.pathname, new URLSearchParams(body)))?.status ?? 404;
  const provider = await startLoginProvider(t, accounts, redirects, { par, deliver });
  const sessions = {
    ...{ origins: [ORIGIN.origin], cookie: COOKIE, keys: "", ring: RING },
    ...{ idle: 3_600_000, lifetime: 28_800_000, largest: 8192, style },
  };
  const login = {
    client: {
      id: CLIENT.id,
      authentication: { method: "client_secret_basic", secret: CLIENT.secret },
      certificate: undefined,
    },
    ...{ scopes: ["openid", "email"], parameters: { ui_locales: "de" }, title: "<b>Idp", sessions },
    claims: { subject: "sub", groups: "groups" },
    logout: { provider: true, hint: "sid", backchannel: true, frontchannel: true, ...logout },
  } as const;
  // Whatever is counted by the second is allowed, as long as a test does not stop the ticks.
  const time = { now: Date.now(), ticks: 0, perTick: 1000 };
  const events: LoginEvent[] = [];
  const issuers = Array.from({ length: providers }, (_, n) => ({
    ...oidcIssuer(provider.issuer, { name: `idp${n === 0 ? "" : n}` }),
    login,
  }));
  const store = redis === undefined ? undefined : new SessionStore({ url: redis.url, timeout: 5_000 });
  t.teardown(() => store?.close());
  await store?.ready();
  const stored = store === undefined ? undefined : new StoredSessions(sessions, store);
  const logins: Logins = new Logins(
    { sessions, issuers },
    asking,
    () => time.now,
    (event) => events.push(event),
    store,
    () => (time.ticks += time.perTick),
  );
  t.teardown(() => logins.close());
  /** What somebody is answered who is no browser, and posts a form. */
  const told = (path: string, form: Asked["form"], method = "POST") =>
    logins.answer({
      method,
      path,
      query: new URLSearchParams(),
      origin: ORIGIN,
      cookies: new Map(),
      headers: {},
      form,
    });
  /** A session of alice's that is kept by the store, and the browser that has its id. */
  const kept = async (sid: string | undefined, tokens = { access: "a", refresh: "r", id: "i" }) => {
    const [whose] = issuers;
    if (stored === undefined || whose === undefined) throw new Error("nothing keeps it");
    const person = new Person(logins);
    const claims = { sub: "alice", sid };
    const session = { host: ORIGIN.hostname, begunAt: time.now, endsAt: time.now + 3_600_000, claims, scopes: [] };
    const cookie = await stored.begin({ ...session, subject: "alice", refreshAt: 0 }, tokens, whose, time.now);
    person.cookies.set(COOKIE, cookie);
    return { person, isThere: async () => (await stored.open(cookie, whose)) !== undefined };
  };
  return { provider, logins, time, events, sessions, issuers, told, kept };
}

/** Where a page leads on to by itself. */
function nextOf({ body }: Answer): URL {
  const [, url = ""] = /<meta http-equiv="refresh" content="0; url=([^"]+)">/.exec(body) ?? [];
  return new URL(url.replaceAll("&amp;", "&"));
}

test("whoever is logged in is sent to a path of this origin, whatever the login was begun with", async (t) => {
  const { logins } = await stage(t);
  const absolute = (text: string) => /^https:/.test(text);
  let count = 0;
  for (const { verdict, text, kind } of INPUTS) {
    count++;
    // Paths alone: the origin is the configuration's, even where another text names the same.
    const path = text.replace(/[^\u0021-\u007e]+/g, (each) => encodeURIComponent(each.toWellFormed()));
    const expected = verdict === "accept" && !absolute(text) ? path : "/";
    const person = new Person(logins);
    const { location } = await person.ask(await person.until(`${LOGIN}?rt=${encodeURIComponent(text.toWellFormed())}`));
    t.equal(location, text.isWellFormed() ? expected : returnTo(text.toWellFormed()), `${count}: ${kind}`);
    t.equal(new URL(location, ORIGIN).origin, ORIGIN.origin);
  }
  t.equal(count, 144);
});

/** Everywhere that an answer sends somebody, or would at a click. */
function placesOf({ headers, body }: Answer): readonly string[] {
  const written = [...body.matchAll(/(?:href|src|action)="([^"]*)"|content="0; url=([^"]*)"/g)];
  const places = written.map(([, link, refresh]) => (link ?? refresh ?? "").replaceAll("&amp;", "&"));
  return [...(headers.location === undefined ? [] : [String(headers.location)]), ...places];
}

test("no page leads elsewhere than to this origin or its provider, whatever it is asked with", async (t) => {
  const { logins, provider } = await stage(t, { providers: 2 });
  const alice = new Person(logins);
  await alice.ask(await alice.until(`${LOGIN}?provider=idp1`, `${CALLBACK}1`));
  const held = new Map(alice.cookies);
  const names = ["state", "rt", "provider", "step", "code", "iss", "sid", "error", "error_description"];
  const others = ["redirect_uri", "post_logout_redirect_uri", "return_to", "next", "url", "login_uri"];
  const pages = ["login", "callback/idp", "callback/idp1", "logout", "signed-out", "frontchannel-logout/idp"];
  const asks = [...pages.map((page) => [page, "GET"] as const), ...([["logout", "POST"]] as const)];
  const ours = [ORIGIN.origin, new URL(provider.issuer).origin];
  const odd: string[] = [];
  let redirects = 0;
  for (const { text } of INPUTS) {
    const values = [...names, ...others].map((name): [string, string] => [name, text.toWellFormed()]);
    // All at once, and each for itself where it is one that a page reads.
    for (const query of [values, ...values.slice(0, 4).map((value) => [value])]) {
      for (const [page, method] of asks) {
        for (const cookies of [held, new Map<string, string>()]) {
          alice.cookies.clear();
          for (const [name, value] of cookies) alice.cookies.set(name, value);
          const answer = await alice.ask(`/.countersign/${page}?${new URLSearchParams(query)}`, { method });
          redirects += answer.location === "" ? 0 : 1;
          for (const place of placesOf(answer)) {
            const url = URL.parse(place, ORIGIN);
            const to = url?.searchParams.get("rt") ?? "/";
            const stays = url !== null && ours.includes(url.origin) && returnTo(to) === to;
            if (!stays || /^[/\\]{2}/.test(place)) odd.push(`${method} ${page} ${JSON.stringify(text)}: ${place}`);
          }
        }
      }
    }
  }
  t.strictSame(odd, []);
  t.ok(redirects > 2 * INPUTS.length, `${redirects} redirects`);
});

test("a callback counts in the browser that has begun it, once, with all that the provider says", async (t) => {
  const { logins, time, events, provider } = await stage(t);
  const [alice, mallory] = [new Person(logins), new Person(logins)];
  const hers = await alice.until(`${LOGIN}?rt=/a`);

  const forced = await new Person(logins).ask(hers);
  t.match([forced.status, forced.body], [400, /does not keep our cookie/], "a browser without any login");
  await mallory.until();
  const begun = await mallory.ask(hers);
  t.match([begun.status, mallory.session], [303, ""], "login CSRF: another's state");
  t.ok(
    begun.location.startsWith(`${provider.issuer}/auth?`),
    "who is sent to another's callback is asked who they are",
  );
  const changed = (change: (query: URLSearchParams) => void) => {
    const url = new URL(hers, ORIGIN);
    change(url.searchParams);
    return `${url.pathname}${url.search}`;
  };
  for (const name of ["state", "code", "iss"]) {
    const value = new URL(hers, ORIGIN).searchParams.get(name) ?? "";
    t.equal((await alice.ask(changed((query) => query.append(name, value)))).status, 400, `${name} twice`);
  }
  const ours = new URL(hers, ORIGIN).searchParams.get("state") ?? "";
  const middle = Math.floor(ours.length / 2);
  const other = `${ours.slice(0, middle)}${ours[middle] === "A" ? "B" : "A"}${ours.slice(middle + 1)}`;
  for (const state of [
    "",
    "a",
    "x".repeat(5000),
    other,
    ours.slice(0, 32),
    ours.slice(0, -1),
    `${ours}A`,
    `.${ours}`,
  ]) {
    t.equal((await alice.ask(changed((query) => query.set("state", state)))).status, 400, "another state");
  }
  t.equal((await alice.ask(changed((query) => query.delete("state")))).status, 400, "no state");
  t.equal(provider.tokenCalls, 0, "of none of these the provider was asked");

  for (const change of [
    (query: URLSearchParams) => query.delete("iss"),
    (query: URLSearchParams) => query.set("iss", "https://evil.example"),
  ]) {
    const person = new Person(logins);
    const url = new URL(await person.until(), ORIGIN);
    change(url.searchParams);
    t.match([(await person.ask(`${url.pathname}${url.search}`)).status, person.session], [403, ""], "another issuer's");
  }

  const landed = await alice.ask(hers);
  t.match([landed.status, landed.location], [303, "/a"]);
  t.equal(issuerOf(alice.session), "idp");
  const first = alice.session;
  const calls = provider.tokenCalls;
  t.match(await alice.ask(hers), { status: 303, location: "/a" }, "reloaded");
  t.match(await alice.ask(`${CALLBACK}?state=unknown`), { status: 303, location: "/" }, "the back button");
  t.equal(provider.tokenCalls, calls, "a code is used once");
  t.match(events.at(-1), { outcome: "completed" });

  await alice.ask(await alice.until());
  t.not(alice.session, first, "a session is new with every login");

  const late = new Person(logins);
  const old = await late.until();
  time.now += 15 * 60_000 + 1;
  t.match([(await late.ask(old)).status, late.session], [400, ""], "too late");
});

test("a callback that is answered twice at a time uses its code once", async (t) => {
  const { logins, provider } = await stage(t);
  const alice = new Person(logins);
  const path = await alice.until(`${LOGIN}?rt=/a`);
  const answers = await Promise.all([alice.ask(path), alice.ask(path), alice.ask(path)]);
  t.strictSame(
    answers.map(({ location }) => location),
    ["/a", "/a", "/a"],
  );
  t.equal(provider.tokenCalls, 1);
});

test("what a login came to is given to nobody else, whoever has its state, or even its cookie", async (t) => {
  const { logins, provider, events } = await stage(t);
  const mallory = new Person(logins);
  const path = await mallory.until();
  const alice = new Person(logins);
  const planted = mallory.cookies.get(`${COOKIE}-login`) ?? "";
  alice.cookies.set(`${COOKIE}-login`, planted);
  t.match((await alice.ask(path)).status, 303);
  t.not(alice.session, "");
  const calls = provider.tokenCalls;
  const junk = new URL(path, ORIGIN);
  junk.searchParams.set("code", "junk");
  const bare = new URL(path, ORIGIN);
  bare.searchParams.delete("iss");
  for (const url of [junk, bare]) {
    const answer = await mallory.ask(`${url.pathname}${url.search}`);
    t.match([answer.status, answer.headers["set-cookie"], mallory.session], [400, undefined, ""], url.search);
  }
  t.equal(provider.tokenCalls, calls, "and nobody's code is asked for");
  t.equal(events.filter(({ outcome }) => outcome === "completed").length, 1);
});

test("a cookie has exactly the name that a browser holds it by", async (t) => {
  for (const blank of ["\u00a0", "\u000b", "\u000c", "\ufeff", "\u2003", "\u0085", "\r"]) {
    t.notOk(cookiesIn(`${blank}${COOKIE}-login=x`).has(`${COOKIE}-login`), JSON.stringify(blank));
    t.notOk(cookiesIn(`${COOKIE}-login${blank}=x`).has(`${COOKIE}-login`), JSON.stringify(blank));
    t.equal(cookiesIn(`a=${blank}x`).get("a"), `${blank}x`);
  }
  t.strictSame(
    [...cookiesIn("a=b;\tc\t=\td ; e=f=g")],
    [
      ["a", "b"],
      ["c", "d"],
      ["e", "f=g"],
    ],
  );
});

test("a session's cookie has what it needs, and nothing of the provider's secrets", async (t) => {
  const { logins, provider, sessions, time } = await stage(t);
  const alice = new Person(logins);
  alice.cookies.set(COOKIE, "idp~planted");
  alice.cookies.set(`${COOKIE}-more`, "left over");
  const begun = await alice.ask(LOGIN);
  const landed = await alice.ask(await alice.until());
  for (const answer of [begun, landed]) {
    t.match(answer.headers["cache-control"], "no-store");
    for (const line of [answer.headers["set-cookie"] ?? []].flat()) {
      t.match(line, /^__Host-countersign[a-z-]*=[\w.~-]*; Path=\/; Secure; HttpOnly; SameSite=Lax(; Max-Age=\d+)?$/);
      t.ok(line.length <= 4096);
    }
  }
  t.notOk(alice.cookies.has(`${COOKIE}-more`));
  const whose = { name: "idp", issuer: provider.issuer, login: { client: CLIENT } };
  const session = new SessionCookies(sessions).open(alice.session, whose);
  t.match(session, {
    host: "app.example.com",
    claims: { sub: "alice", groups: ["readers"] },
    scopes: ["openid", "email"],
  });
  t.strictSame([session?.begunAt, session?.endsAt], [time.now, time.now + 28_800_000]);
  t.notMatch(Object.keys(session?.claims ?? {}), ["nonce"]);
  const cookies = new SessionCookies(sessions);
  const large = { id: "i", host: "h", begunAt: 1, endsAt: 2, claims: { tenant: 9007199254740993n }, scopes: [] };
  t.strictSame(cookies.open(cookies.seal(large, whose, time.now), whose), large, "to the last digit");
  const renamed = alice.session.replace(/^idp/, "other");
  t.equal(new SessionCookies(sessions).open(renamed, { ...whose, name: "other" }), undefined);
  for (const other of [{ issuer: "https://other.example" }, { login: { client: { id: "other" } } }])
    t.equal(new SessionCookies(sessions).open(alice.session, { ...whose, ...other }), undefined, "nor elsewhere");
  const others = new SessionCookies({ ...sessions, cookie: "__Host-other" });
  t.equal(others.open(alice.session, whose), undefined, "for this name of a cookie");
});

test("several tabs log in side by side, and no more than five are remembered", async (t) => {
  const { logins, time } = await stage(t);
  const alice = new Person(logins);
  const tabs = [];
  for (const path of ["/a", "/b", "/c"]) tabs.push(await alice.until(`${LOGIN}?rt=${path}`));
  time.now += 1;
  t.strictSame(
    [await alice.ask(tabs[2] ?? ""), await alice.ask(tabs[0] ?? ""), await alice.ask(tabs[1] ?? "")].map(
      (each) => each.location,
    ),
    ["/c", "/a", "/b"],
  );
  time.now += 61_000;
  const bob = new Person(logins);
  const many = [];
  for (let n = 0; n < 8; n++) many.push(await bob.until(`${LOGIN}?rt=/${"x".repeat(1000)}`));
  t.ok((bob.cookies.get(`${COOKIE}-login`)?.length ?? 0) < 4096);
  t.match((await bob.ask(many[0] ?? "")).location, /\/auth\?/, "the oldest is forgotten, and begun anew");
  t.equal((await bob.ask(many[7] ?? "")).status, 303);
});

test("of tabs that begin at once the browser keeps the last one's login; the others are begun anew", async (t) => {
  const { logins, time } = await stage(t);
  const alice = new Person(logins);
  const tabs = [];
  for (const path of ["/a", "/b", "/c"]) {
    const fresh = new Person(logins);
    tabs.push(await fresh.until(`${LOGIN}?rt=${path}`));
    for (const [name, value] of fresh.cookies) alice.cookies.set(name, value);
  }
  t.equal((await alice.ask(tabs[2] ?? "")).location, "/c");
  time.now += 1;
  t.equal((await alice.ask(tabs[0] ?? "")).location, "/a", "whoever is signed in by then is simply sent on");
  alice.cookies.delete(COOKIE);
  t.equal((await alice.ask(await alice.goesOn(tabs[1] ?? ""))).location, "/b");

  const bob = new Person(logins);
  let lost = await bob.until(`${LOGIN}?rt=/d`);
  for (let n = 0; n < 4; n++) {
    bob.cookies.set(`${COOKIE}-login`, "x");
    lost = await bob.goesOn(lost);
  }
  bob.cookies.set(`${COOKIE}-login`, "x");
  t.match(await bob.ask(lost), { status: 400, body: /This sign-in is over/ }, "but nobody is sent round and round");
  const late = await bob.until(`${LOGIN}?rt=/e`);
  bob.cookies.set(`${COOKIE}-login`, "x");
  time.now += 900_001;
  t.equal((await bob.ask(late)).status, 400, "nor after a quarter of an hour");
});

test("nobody is sent round and round", async (t) => {
  const { logins, time } = await stage(t);
  const forgetful = new Person(logins);
  for (let n = 0; n < 3; n++) {
    await forgetful.ask(await forgetful.until());
    forgetful.cookies.delete(COOKIE);
  }
  t.match(await forgetful.ask(LOGIN), { status: 400, body: /does not keep our cookie/ });
  time.now += 60_001;
  await forgetful.ask(await forgetful.until());
  t.not(forgetful.session, "", "and a minute later it is tried again");
  const refused = new Person(logins);
  for (let n = 0; n < 3; n++) {
    time.now += 1;
    await refused.ask(await refused.until());
  }
  t.match(await refused.ask(LOGIN), { status: 403, body: /does not help/ });
});

test("a session from a clock that is ahead counts within the tolerance, and beyond it a login makes another", async (t) => {
  const { logins, time } = await stage(t);
  for (const [ahead, outcome] of [
    [30_000, "the same"],
    [30_001, "another"],
  ] as const) {
    const alice = new Person(logins);
    time.now += ahead;
    await alice.ask(await alice.until());
    time.now -= ahead;
    const before = alice.session;
    // As at an agent that has refused it, or at this one, whose clock was set back.
    t.match(await alice.ask(await alice.until(`${LOGIN}?rt=/a`)), { status: 303, location: "/a" });
    t.equal(alice.session === before ? "the same" : "another", outcome, `${ahead} ms`);
  }
});

test("a login of which a cookie has no room for the path leads to /", async (t) => {
  const { logins, sessions } = await stage(t);
  const step = new Steps(sessions).seal({ acr: ["mfa", "pwd", "a".repeat(250)], maxAge: 300 }, Date.now());
  const plain = `/${"a".repeat(1000)}`;
  for (const [path, query, landing] of [
    [plain, "", plain],
    [plain, `&step=${step}`, "/"],
    [`/${'"'.repeat(1023)}`, "", "/"],
  ] as const) {
    const alice = new Person(logins);
    const back = await alice.until(`${LOGIN}?rt=${encodeURIComponent(path)}${query}`);
    t.match(await alice.ask(back), { status: 303, location: landing }, `${path.slice(0, 9)}${query}`);
    t.not(alice.session, "");
  }
});

test("a provider that refuses, or is away", async (t) => {
  const { logins, provider, events } = await stage(t);
  const alice = new Person(logins);
  provider.who = undefined;
  t.match(await alice.ask(await alice.until()), { status: 403, body: /access_denied/ });
  t.match(events.at(-1), { outcome: "refused", why: "access_denied" });
  provider.who = "alice";
  const path = await alice.until();
  for (const behaviour of ["reset", "error"] as const) {
    provider.front.behave(behaviour, "/token");
    const away = await alice.ask(path);
    t.match([away.status, away.headers["retry-after"], alice.session], [503, "5", ""], behaviour);
  }
  t.match(events.at(-1), { outcome: "failed" });
  provider.front.behave("up", "/token");
  t.equal((await alice.ask(path)).status, 303, "the same login goes on when it is back");
  provider.front.behave("reset");
  const fresh = await stage(t);
  fresh.time.perTick = 0;
  fresh.provider.front.behave("reset");
  for (let n = 0; n < 10; n++) t.match(await new Person(fresh.logins).ask(LOGIN), { status: 503 });
  t.equal(fresh.provider.front.requests.length, 1, "who is away is not asked for each of them");
  fresh.provider.front.behave("up");
  fresh.time.ticks += 5000;
  t.equal((await new Person(fresh.logins).ask(LOGIN)).status, 303);
});

function signedAnew(token: string, key: CryptoKey | KeyObject): Promise<string> {
  return new SignJWT(decodeJwt(token)).setProtectedHeader({ alg: "RS256" }).sign(key);
}

test("a provider that can be understood in two ways, or whose keys anybody could have, signs nobody in", async (t) => {
  const roca = rocaKeyPair();
  const weak = { ...(await exportJWK(roca.publicKey)), kid: "login", alg: "RS256", use: "sig" };
  type Change = (text: string) => string | Promise<string>;
  const CHANGES: Readonly<Record<string, { readonly token?: Change; readonly jwks?: Change }>> = {
    "an answer with two ID tokens": { token: (text) => text.replace("{", '{"id_token":"e30.e30.e30",') },
    "an answer whose scope stands there twice": { token: (text) => text.replace("{", '{"scope":"openid admin",') },
    "an answer that is no UTF-8": { token: (text) => text.replace("{", '{"\u00ff":1,') },
    "two lists of keys": { jwks: (text) => text.replace("{", '{"keys":[],') },
    "a key with two algorithms": { jwks: (text) => text.replace('"kty"', '"alg":"none","kty"') },
    "a key that can be factored": {
      jwks: () => JSON.stringify({ keys: [weak] }),
      token: async (text) => {
        const answer = JSON.parse(text);
        return JSON.stringify({ ...answer, id_token: await signedAnew(answer.id_token, roca.privateKey) });
      },
    },
    "a key whose private part is published": {
      jwks: (text) => JSON.stringify({ keys: JSON.parse(text).keys.map((key: JWK) => ({ ...key, d: "AQAB" })) }),
    },
  };
  for (const [what, change] of Object.entries({ ...CHANGES, nothing: {} as (typeof CHANGES)[string] })) {
    const { logins } = await stage(t, {
      async asking(url, bounds, request) {
        const answer = await send(url, bounds, request);
        const changed = url.pathname === "/token" ? change.token : url.pathname === "/jwks" ? change.jwks : undefined;
        if (changed === undefined) return answer;
        return { ...answer, body: Buffer.from(await changed(answer.body.toString("latin1")), "latin1") };
      },
    });
    const alice = new Person(logins);
    const { status } = await alice.ask(await alice.until());
    const expected = what === "nothing" ? { status: 303, signedIn: true } : { status: 503, signedIn: false };
    t.strictSame({ status, signedIn: alice.session !== "" }, expected, what);
  }
});

test("an ID token that is signed with a key of this moment signs in, whatever keys there were a moment ago", async (t) => {
  let pair = await generateKeyPair("RS256");
  const { logins } = await stage(t, {
    async asking(url, bounds, request) {
      const answer = await send(url, bounds, request);
      if (!["/token", "/jwks"].includes(url.pathname)) return answer;
      const said = JSON.parse(answer.body.toString());
      if (url.pathname === "/jwks") said.keys = [{ ...(await exportJWK(pair.publicKey)), alg: "RS256" }];
      else said.id_token = await signedAnew(said.id_token, pair.privateKey);
      return { ...answer, body: Buffer.from(JSON.stringify(said)) };
    },
  });
  for (let keys = 0; keys < 2; keys++) {
    const alice = new Person(logins);
    t.equal((await alice.ask(await alice.until())).status, 303);
    pair = await generateKeyPair("RS256");
  }
});

test("a provider that names an endpoint which may not be asked signs nobody in", async (t) => {
  const begun = async (name: string, to: string) => {
    const { logins } = await stage(t, {
      async asking(url, bounds, request) {
        const answer = await send(url, bounds, request);
        if (!url.pathname.endsWith("openid-configuration")) return answer;
        return { ...answer, body: Buffer.from(JSON.stringify({ ...JSON.parse(`${answer.body}`), [name]: to })) };
      },
    });
    return (await new Person(logins).ask(LOGIN)).status;
  };
  for (const name of ["userinfo_endpoint", "pushed_authorization_request_endpoint", "token_endpoint"])
    t.equal(await begun(name, "http://idp.example/x"), 503, name);
  t.equal(await begun("registration_endpoint", "http://idp.example/x"), 303, "what is never asked is no matter");
});

test("what a provider has said of itself stays in use while it says nothing that can be used", async (t) => {
  const { logins, provider, time } = await stage(t);
  const signedIn = async () => {
    const alice = new Person(logins);
    return (await alice.ask(await alice.until())).status === 303;
  };
  t.ok(await signedIn());
  const said = "openid-configuration";
  const asked = () => provider.front.requests.filter((path) => path.endsWith(said)).length;
  for (const behaviour of ["error", reply({}), reply({ issuer: provider.issuer })] as const) {
    provider.front.behave(behaviour, said);
    time.ticks += 3_600_000;
    const before = asked();
    t.ok(await signedIn());
    t.ok(asked() > before);
  }
});

test("a provider is asked for no more logins than so many, whoever begins them", async (t) => {
  const { logins, provider, time, events } = await stage(t, { providers: 2 });
  const login = `${LOGIN}?provider=idp`;
  const alice = new Person(logins);
  const path = await alice.until(login);
  time.perTick = 0;
  const pushed = () => provider.front.requests.filter((each) => each === "/request").length;
  const before = pushed();
  const answers = await Promise.all(Array.from({ length: 300 }, () => new Person(logins).ask(login)));
  t.equal(answers.filter(({ status }) => status === 303).length, 100);
  t.equal(pushed() - before, 100, "pushed requests");
  const refused = answers.filter(({ status }) => status === 503);
  t.equal(refused.length, 200);
  t.match(refused[0], { headers: { "retry-after": "5", "content-type": /^text\/html/ }, body: /try again/ });
  const told = events.filter(({ issuer, outcome }) => issuer === "idp" && outcome === "failed");
  t.match([told.length, told[0]], [200, { why: "too many logins at a time" }]);
  t.equal((await new Person(logins).ask(`${LOGIN}?provider=idp1`)).status, 303, "of each issuer by itself");
  t.equal((await alice.ask(path)).status, 303, "whoever has begun before can end it");
  time.ticks += 1000;
  const later = await Promise.all(Array.from({ length: 30 }, () => new Person(logins).ask(login)));
  t.equal(later.filter(({ status }) => status === 303).length, 20, "and so many a second");
});

test("what the provider is asked for is the configuration's to say", async (t) => {
  const { logins } = await stage(t, { par: false });
  const query =
    "&scope=admin&redirect_uri=https://evil.example&prompt=none&login_hint=eve&client_id=x&iss=https://evil.example";
  const { location } = await new Person(logins).ask(`${LOGIN}?rt=/${query}`);
  const asked = new URL(location).searchParams;
  t.match(Object.fromEntries(asked), {
    ...{ client_id: CLIENT.id, scope: "openid email", redirect_uri: `${ORIGIN.origin}${CALLBACK}`, ui_locales: "de" },
    ...{ response_type: "code", code_challenge_method: "S256" },
  });
  t.strictSame([asked.get("prompt"), asked.get("login_hint")], [null, null]);
  const par = await stage(t);
  const pushed = new URL((await new Person(par.logins).ask(LOGIN)).location);
  t.strictSame(
    [...pushed.searchParams.keys()].sort(),
    ["client_id", "request_uri"],
    "nothing is to be seen (RFC 9126)",
  );
});

test("of several providers somebody chooses one", async (t) => {
  const { logins } = await stage(t, { providers: 2 });
  const person = new Person(logins);
  const page = await person.ask(`${LOGIN}?rt=${encodeURIComponent('/"><script>alert(1)</script>')}`);
  t.equal(page.status, 200);
  t.notMatch(page.body, /<script|<b>/);
  t.match(page.headers["content-security-policy"], /default-src 'none'/);
  const [, link = ""] = /href="([^"]*provider=idp1[^"]*)"/.exec(page.body) ?? [];
  await person.ask(await person.until(link.replaceAll("&amp;", "&"), `${CALLBACK}1`));
  t.equal(issuerOf(person.session), "idp1");
  t.equal((await person.ask(`${LOGIN}?provider=evil`)).status, 200, "an unknown one is asked for again");
});

test("each provider sends browsers back to its own place, and its logins end nowhere else", async (t) => {
  const { logins, provider } = await stage(t, { providers: 2 });
  const alice = new Person(logins);
  const path = await alice.until(`${LOGIN}?provider=idp1&rt=/a`, `${CALLBACK}1`);
  const at = (callback: string) => path.replace(`${CALLBACK}1`, callback);
  for (const callback of [CALLBACK, `${CALLBACK}2`, "/.countersign/callback/", "/.countersign/callback/IDP1"]) {
    // As of a provider that does not say `iss`, of whom a bad one would get the code (RFC 9700, section 4.4).
    const mixed = await alice.ask(at(callback).replace(/&iss=[^&]*/, ""));
    t.match([mixed.status, mixed.location, alice.session], [400, "", ""], callback);
    const lost = new Person(logins);
    lost.cookies.set(`${COOKIE}-login`, "x");
    t.match([(await lost.ask(at(callback))).status, lost.session], [400, ""], `${callback}: lost`);
  }
  t.equal(provider.tokenCalls, 0, "nobody is given the code");
  t.match(await alice.ask(path), { status: 303, location: "/a" });
});

test("pages speak the language that a browser likes best, and hold what people need", async (t) => {
  const { logins } = await stage(t);
  const person = new Person(logins);
  const said = async (language: string | undefined, path = "/.countersign/signed-out") => {
    const headers = { "x-request-id": "4f", ...(language === undefined ? {} : { "accept-language": language }) };
    const { body, headers: answered } = await person.ask(path, { headers });
    t.match(body, `<html lang="${answered["content-language"]}">`);
    t.match(body, /<title>([^<]+)<\/title>.*<h1>\1<\/h1>/, "the title says what has happened");
    t.match(answered, { vary: "accept-language", "cache-control": "no-store" });
    return answered["content-language"];
  };
  for (const [language, expected] of [
    [undefined, "en"],
    ["", "en"],
    ["fr, es;q=0.5", "en"],
    ["de-CH, de;q=0.9, en;q=0.8", "de"],
    ["DE", "de"],
    ["en-GB,en;q=0.9,de;q=0.8", "en"],
    ["fr, de;q=0.1", "de"],
    ["de;q=0, *", "en"],
    ["en;q=0, *;q=0.5", "de"],
    ["de;q=0.8, en;q=0.80", "en"],
    [`de;q=${"9".repeat(5000)}`, "de"],
    [`${"x,".repeat(50_000)}de`, "en"],
    [';;q=,"\u0000"', "en"],
  ] as const) {
    t.equal(await said(language), expected, JSON.stringify(language)?.slice(0, 40));
  }
  await said("de", "/.countersign/logout");
  const over = await person.ask(`${CALLBACK}?state=x&code=y`, {
    headers: { "x-request-id": "4f-a", "accept-language": "de" },
  });
  t.match(over.body, /Ihr Browser behält unser Cookie nicht.*Anfrage: 4f-a/);
  t.notMatch((await person.ask(CALLBACK, { headers: { "x-request-id": "<b>" } })).body, /<b>/);
});

test("all pages share one stylesheet, which a brand can replace", async (t) => {
  const own = await stage(t);
  const style = await new Person(own.logins).ask("/.countersign/style.css");
  t.match(style, { status: 200, headers: { "content-type": /^text\/css/, "x-content-type-options": "nosniff" } });
  t.match(style.body, "prefers-color-scheme: dark");
  const branded = await stage(t, { style: "h1 { color: green }" });
  t.equal((await new Person(branded.logins).ask("/.countersign/style.css")).body, "h1 { color: green }");
});

test("signing out takes a form of this origin", async (t) => {
  const { logins } = await stage(t);
  const alice = new Person(logins);
  await alice.ask(await alice.until());
  const out = (headers: Readonly<Record<string, string>>, method = "POST") =>
    alice.ask("/.countersign/logout", { method, headers });
  t.match(await out({}, "GET"), {
    status: 200,
    body: /<form method="post" action="\/.countersign\/logout"><button>Sign out<\/button><\/form>/,
  });
  t.not(alice.session, "", "which asks, and signs nobody out");
  t.equal((await out({}, "PUT")).status, 405);
  for (const headers of [
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { origin: "https://evil.example" },
    { origin: "null" },
  ]) {
    t.equal((await out(headers as Readonly<Record<string, string>>)).status, 400, JSON.stringify(headers));
  }
  t.not(alice.session, "");
  const { status, body } = await out({ "sec-fetch-site": "same-origin", origin: ORIGIN.origin });
  t.match([status, body], [200, /signed out here/]);
  t.equal(alice.session, "");
  t.match(await alice.ask("/.countersign/signed-out"), { status: 200, body: /signed out/ });
  t.match(await out({}), { status: 303, location: "/.countersign/signed-out" }, "once more changes nothing");
});

test("who signs out here goes on to sign out at the provider, and comes back", async (t) => {
  const { logins, provider, events } = await stage(t, { providers: 2, logout: { hint: "sub" } });
  const alice = new Person(logins);
  await alice.ask(await alice.until(`${LOGIN}?provider=idp1`, `${CALLBACK}1`));
  const out = () => alice.ask("/.countersign/logout", { method: "POST" });
  const left = await out();
  const next = nextOf(left);
  t.equal(`${next.origin}${next.pathname}`, `${provider.issuer}/session/end`);
  t.match(left.body, `<a href="${next.href.replaceAll("&", "&amp;")}">`, "who is not led on can go on");
  const { state = "", ...told } = Object.fromEntries(next.searchParams);
  t.strictSame(told, {
    ...{ client_id: CLIENT.id, logout_hint: "alice" },
    post_logout_redirect_uri: `${ORIGIN.origin}/.countersign/signed-out`,
  });
  t.match(events.at(-1), { issuer: "idp1", outcome: "ended" });
  const back = await alice.ask(`/.countersign/signed-out?state=${state}`);
  t.match([back.status, back.body], [200, /<a href="\/.countersign\/login\?provider=idp1">/]);
  for (const other of ["x", `${state}A`, "", `${state}&state=x`])
    t.match((await alice.ask(`/.countersign/signed-out?state=${other}`)).body, '<a href="/.countersign/login');

  await alice.ask(await alice.until(`${LOGIN}?provider=idp1`, `${CALLBACK}1`));
  alice.cookies.set(COOKIE, `${alice.session.slice(0, -4)}AAAA`);
  t.match(await out(), { status: 303, location: "/.countersign/signed-out" }, "whose cookie is none is sent nowhere");

  const away = await stage(t);
  const bob = new Person(away.logins);
  await bob.ask(await bob.until());
  away.time.ticks += 10_000_000;
  away.provider.front.behave("reset");
  t.equal((await bob.ask("/.countersign/logout", { method: "POST" })).status, 200);
  t.equal(bob.session, "", "signed out here, although the provider is away");

  const here = await stage(t, { logout: { provider: false } });
  const carol = new Person(here.logins);
  await carol.ask(await carol.until());
  t.match(await carol.ask("/.countersign/logout", { method: "POST" }), { status: 303, location: /signed-out$/ });
});

test("a provider ends a session by a frame in the browser that has it, and no other", async (t) => {
  const { logins, provider, events, sessions } = await stage(t, { providers: 2 });
  const path = "/.countersign/frontchannel-logout/idp1";
  const alice = new Person(logins);
  await alice.ask(await alice.until(`${LOGIN}?provider=idp1`, `${CALLBACK}1`));
  const whose = { name: "idp1", issuer: provider.issuer, login: { client: CLIENT } };
  const sid = String(new SessionCookies(sessions).open(alice.session, whose)?.claims.sid);
  const asked = provider.front.requests.length;
  const query = (sid: string, iss = provider.issuer) => `?${new URLSearchParams({ iss, sid })}`;
  for (const [at, status] of [
    [`${path}${query("another")}`, 200],
    [`/.countersign/frontchannel-logout/idp${query(sid)}`, 200],
    [`${path}${query(sid, "https://evil.example")}`, 400],
    [`${path}?sid=${sid}`, 400],
    [`${path}?iss=${encodeURIComponent(provider.issuer)}`, 400],
    [`${path}${query("")}`, 400],
    [`${path}${query(sid)}&sid=another`, 400],
    [path, 400],
  ] as const) {
    t.equal((await alice.ask(at)).status, status, at);
    t.not(alice.session, "", at);
  }
  t.equal((await alice.ask(`${path}${query(sid)}`, { method: "POST" })).status, 405);
  const ended = await alice.ask(`${path}${query(sid)}`);
  t.match([ended.status, alice.session, events.at(-1)], [200, "", { issuer: "idp1", outcome: "ended" }]);
  t.match(ended.headers["content-security-policy"], `frame-ancestors ${new URL(provider.issuer).origin};`);
  t.match(ended.headers["cache-control"], "no-store");
  t.equal(provider.front.requests.length, asked, "the provider is asked for nothing");
  const off = await stage(t, { logout: { frontchannel: false } });
  await t.rejects(new Person(off.logins).ask(`/.countersign/frontchannel-logout/idp${query("x")}`), /no page/);
});

const BACKCHANNEL = "/.countersign/backchannel-logout/idp";
const EVENT = "http://schemas.openid.net/event/backchannel-logout";

test("a provider ends sessions by telling the agent, by tokens that are for nothing else", async (t) => {
  const redis = await RedisServer.start(t, "the-password");
  const { provider, time, events, told, kept } = await stage(t, { redis });
  const seconds = () => Math.floor(time.now / 1000);
  let tokens = 0;
  const claims = (changes: Readonly<Record<string, unknown>> = {}) => ({
    ...{ iss: provider.issuer, aud: CLIENT.id, sub: "alice", sid: "one", jti: `t${++tokens}` },
    ...{ iat: seconds(), exp: seconds() + 120, events: { [EVENT]: {} }, ...changes },
  });
  const tell = async (text: string) => await told(BACKCHANNEL, new URLSearchParams({ logout_token: text }));
  const [one, other] = [await kept("one"), await kept("other")];

  const bad: readonly (readonly [string, Readonly<Record<string, unknown>>, Readonly<Record<string, unknown>>?])[] = [
    ["an ID token", { events: undefined, nonce: "n" }],
    ["without `events`", { events: undefined }],
    ["of another event", { events: { "http://schemas.openid.net/event/other": {} } }],
    ["whose event is no object", { events: { [EVENT]: true } }],
    ["whose event is a list", { events: { [EVENT]: [] } }],
    ["whose events are a list", { events: [EVENT] }],
    ["with a nonce", { nonce: "n" }],
    ["with a nonce that is null", { nonce: null }],
    ["of another issuer", { iss: "https://evil.example" }],
    ["for another client", { aud: "other" }],
    ["for nobody", { aud: undefined }],
    ["without iat", { iat: undefined }],
    ["without exp", { exp: undefined }],
    ["without jti", { jti: undefined }],
    ["with an empty jti", { jti: "" }],
    ["whose jti is a number", { jti: 7 }],
    ["from the future", { iat: seconds() + 3600, exp: seconds() + 7200 }],
    ["of yesterday", { iat: seconds() - 86_400, exp: seconds() + 86_400 }],
    ["that has expired", { iat: seconds() - 200, exp: seconds() - 100 }],
    ["whose dates are no numbers", { iat: "now", exp: "later" }],
    ["without end", { exp: 1e300 }],
    ["of nobody", { sub: undefined, sid: undefined }],
    ["whose sid is a list", { sid: ["one"] }],
    ["whose sid is empty", { sid: "" }],
    ["of another type", {}, { typ: "at+jwt" }],
    ["that is a DPoP proof", {}, { typ: "dpop+jwt" }],
    ["by another key", {}, { kid: "unknown" }],
  ];
  for (const [what, changes, header] of bad) {
    const text = await provider.sign(claims(changes), header);
    const answer = await tell(text);
    t.match([answer?.status, answer?.headers["cache-control"]], [400, "no-store"], what);
    t.match(events.at(-1), { outcome: "logout-refused", issuer: "idp" }, what);
    t.notMatch(answer?.body, text.split(".")[1] ?? "", "nothing of it is told");
  }
  const good = await provider.sign(claims(), { typ: "logout+jwt" });
  const [head = "", body = "", signature = ""] = good.split(".");
  const unsigned = Buffer.from('{"alg":"none","typ":"logout+jwt"}').toString("base64url");
  const symmetric = Buffer.from('{"alg":"HS256","typ":"logout+jwt"}').toString("base64url");
  for (const text of [
    ...["", "x", "a.b.c", `${unsigned}.${body}.`, `${symmetric}.${body}.${signature}`, `${good}A`],
    ...[`${head}.${body}.${signature.slice(0, -8)}AAAAAAAA`, `${head}.${body}.${signature}.x.y`, "a".repeat(9000)],
  ]) {
    t.equal((await tell(text))?.status, 400, text.slice(0, 30));
  }
  for (const form of [
    new URLSearchParams(),
    new URLSearchParams([
      ["logout_token", good],
      ["logout_token", good],
    ]),
    new URLSearchParams({ id_token: good }),
  ]) {
    t.equal((await told(BACKCHANNEL, form))?.status, 400, `${form}`.slice(0, 20));
  }
  for (const status of [400, 408, 413, 415] as const) t.equal((await told(BACKCHANNEL, status))?.status, status);
  t.equal((await told(BACKCHANNEL, undefined, "GET"))?.status, 405);
  t.equal(await told("/.countersign/backchannel-logout/other", new URLSearchParams({ logout_token: good })), undefined);
  t.strictSame([await one.isThere(), await other.isThere()], [true, true], "none of them has ended any");

  const done = await tell(good);
  t.match([done?.status, done?.headers["cache-control"]], [200, "no-store"]);
  t.strictSame([await one.isThere(), await other.isThere()], [false, true], "of one login alone");
  t.match(events.at(-1), { outcome: "ended", issuer: "idp" });
  t.equal((await tell(good))?.status, 400, "no token counts twice");
  await provider.logout("alice", "other");
  t.equal(await other.isThere(), false, "as the provider itself tells it");
  await provider.logout("alice", "nobody's");

  const all = [await kept("two"), await kept("three")];
  for (const typ of [undefined, "JWT"]) {
    const every = claims({ sid: undefined });
    t.equal((await tell(await provider.sign(every, typ === undefined ? {} : { typ })))?.status, 200, `typ ${typ}`);
  }
  t.strictSame([await all[0]?.isThere(), await all[1]?.isThere()], [false, false], "all of a subject, without sid");

  const [without, four] = [await kept(undefined), await kept("four")];
  t.equal((await tell(await provider.sign(claims({ sid: "five", sub: "bob" }))))?.status, 200);
  t.equal(await without.isThere(), true, "nor of anybody else");
  t.equal((await tell(await provider.sign(claims({ sid: "five" }))))?.status, 200);
  t.equal(await without.isThere(), false, "and what the provider has begun without a sid, which may be that one");
  t.equal(await four.isThere(), true);

  const fetched = () => provider.front.requests.filter((path) => path === "/jwks").length;
  const before = fetched();
  for (let n = 0; n < 1000; n++) await tell(unknownKey(good, n));
  t.ok(fetched() - before <= 1, `${fetched() - before} fetches for 1000 unknown keys`);

  const last = await kept("last");
  redis.freeze();
  await redis.stop();
  const text = await provider.sign(claims({ sid: "last" }), { typ: "logout+jwt" });
  const away = await tell(text);
  t.match([away?.status, away?.headers["retry-after"]], [503, "5"], "the provider is to ask again");
  t.match(events.at(-1), { outcome: "logout-failed" });
  const out = await last.person.ask("/.countersign/logout", { method: "POST" });
  t.match([out.status, out.body], [503, /could not be signed out/]);
  t.not(last.person.session, "", "and so can its person");
  const query = new URLSearchParams({ iss: provider.issuer, sid: "last" });
  const framed = await last.person.ask(`/.countersign/frontchannel-logout/idp?${query}`);
  t.match([framed.status, framed.headers["retry-after"]], [503, "5"], "nor does a frame say what is not so");
  t.match(framed.body, /could not be signed out/);
  t.match(framed.headers["content-security-policy"], `frame-ancestors ${new URL(provider.issuer).origin};`);
});

test("no more logout tokens wait for keys than there is room for", async (t) => {
  const redis = await RedisServer.start(t, "the-password");
  let answered = Promise.withResolvers<void>();
  const asking: Send = async (url, ...rest) => {
    if (url.pathname === "/jwks") await answered.promise;
    return send(url, ...rest);
  };
  const { provider, time, events, told, kept } = await stage(t, { redis, asking });
  const token = async (sid: string) => {
    const iat = Math.floor(time.now / 1000);
    const claims = { iss: provider.issuer, aud: CLIENT.id, sid, jti: sid, events: { [EVENT]: {} } };
    return await provider.sign({ ...claims, iat, exp: iat + 120 });
  };
  const tell = async (text: string) => await told(BACKCHANNEL, new URLSearchParams({ logout_token: text }));
  const statuses = async (answers: readonly ReturnType<typeof tell>[]) =>
    (await Promise.all(answers)).map((answer) => answer?.status);
  const forged = (text: string, count: number) => Array.from({ length: count }, (_, n) => tell(unknownKey(text, n)));

  const one = await kept("one");
  const good = await token("one");
  const waiting = [...forged(good, 7), tell(good)];
  const further = await tell(good);
  t.match([further?.status, further?.headers["retry-after"]], [503, "5"], "the provider is to ask again");
  t.match(events.at(-1), { outcome: "logout-failed" });
  answered.resolve();
  t.strictSame(await statuses(waiting), [...Array(7).fill(400), 200]);
  t.equal(await one.isThere(), false);

  answered = Promise.withResolvers();
  time.now += 20_000;
  const again = await token("two");
  const later = forged(again, 8);
  t.strictSame(await statuses([tell(unknownKey(again, 8)), tell(again)]), [503, 200], "a key that is known is no wait");
  answered.resolve();
  t.strictSame(await statuses(later), Array(8).fill(400));
});

/** The same token as of a key that nobody has. */
function unknownKey(token: string, number: number): string {
  const [, body, signature] = token.split(".");
  const header = { alg: "RS256", typ: "logout+jwt", kid: `unknown-${number}` };
  return [Buffer.from(JSON.stringify(header)).toString("base64url"), body, signature].join(".");
}

test("a form is read where a path needs one: so large, in so long, so many at a time, and once a connection", async (t) => {
  const redis = await RedisServer.start(t, "the-password");
  const { provider, sessions, issuers, kept } = await stage(t, { redis });
  const events: LoginEvent[] = [];
  const listener = new PageListener(
    {},
    { failed: (error) => t.error(error), told: (event) => events.push(event), limit: 20_000 },
  );
  const store = { url: redis.url, timeout: 5_000 };
  await listener.listen({ host: "127.0.0.1", port: 0 }, { sessions: { ...sessions, store }, issuers });
  t.teardown(() => listener.close());
  const send = (...parts: readonly string[]) => answerTo(listener, ...parts);
  const now = Math.floor(Date.now() / 1000);
  const token = (sid: string) =>
    provider.sign({
      ...{ iss: provider.issuer, aud: CLIENT.id, sub: "alice", sid, jti: sid },
      ...{ iat: now, exp: now + 120, events: { [EVENT]: {} } },
    });
  const told = async (sid: string) => `logout_token=${await token(sid)}`;
  const [one, two, three] = [await kept("one"), await kept("two"), await kept("three")];

  const body = await told("one");
  const whole = [FORM, `content-length: ${body.length}`];
  t.match(await send(head(whole), body.slice(0, 100), body.slice(100)), /^HTTP\/1\.1 200 /, "in pieces");
  t.equal(await one.isThere(), false);
  const second = await told("two");
  const chunks = [...second.matchAll(/.{1,9}/g)].map(([part]) => `${part.length.toString(16)}\r\n${part}\r\n`);
  const chunked = head([`${FORM}; charset=utf-8`, "transfer-encoding: chunked"]);
  t.match(await send(`${chunked}${chunks.join("")}0\r\n\r\n`), /^HTTP\/1\.1 411 /, "in chunks nobody knows how much");
  t.equal(await two.isThere(), true);

  const third = await told("three");
  const length = `content-length: ${third.length}`;
  for (const [what, text, status] of [
    ["too large", head([FORM, "content-length: 10241"]), 413],
    ["no form", `${head(["content-type: application/json", length])}${third}`, 415],
    ["no type", `${head([length])}${third}`, 415],
    ["compressed", `${head([FORM, "content-encoding: gzip", length])}${third}`, 415],
    ["no UTF-8", `${head([FORM, "content-length: 1"])}\u00ff`, 400],
    ["nothing", head([FORM, "content-length: 0"]), 400],
    ["two lengths", `${head([FORM, length, "content-length: 3"])}${third}`, 400],
    ["where none is read", head([FORM, "content-length: 9999999"], "/.countersign/logout"), 303],
    ["of nobody", `${head([FORM, length], "/.countersign/backchannel-logout/nobody")}${third}`, 405],
  ] as const) {
    const answers = (await send(text)).match(/HTTP\/1\.1 \d+/g);
    t.strictSame(answers, [`HTTP/1.1 ${status}`], what);
  }
  t.equal(await three.isThere(), true);
  const behind = `${head([FORM, length])}${third}GET /.countersign/style.css HTTP/1.1\r\nhost: ${ORIGIN.host}\r\n\r\n`;
  t.strictSame((await send(behind)).match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 200"], "and nothing behind it");

  const slow = Array.from({ length: 40 }, () => send(head([FORM, "content-length: 100"]), "logout_token="));
  const statuses = (await Promise.all(slow)).map((text) => /^HTTP\/1\.1 (\d+)/.exec(text)?.[1]).sort();
  t.strictSame(statuses, [...Array(32).fill("408"), ...Array(8).fill("503")], "who sends half a form waits in vain");
});

const FORM = "content-type: application/x-www-form-urlencoded";

/** The head of a request that brings something. */
function head(fields: readonly string[], path = BACKCHANNEL): string {
  return `${[`POST ${path} HTTP/1.1`, `host: ${ORIGIN.host}`, ...fields].join("\r\n")}\r\n\r\n`;
}

/** All that a listener says to what is sent, in these pieces. */
async function answerTo(listener: PageListener, ...parts: readonly string[]): Promise<string> {
  const socket = connect(listener.port ?? 0, "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  socket.on("error", () => {});
  for (const part of parts) {
    socket.write(part);
    await new Promise(setImmediate);
  }
  await once(socket, "close");
  return text;
}

test("a reload ends no check of a logout token, and where logins stay as they are nothing is forgotten", async (t) => {
  const redis = await RedisServer.start(t, "the-password");
  const { provider, sessions, issuers, kept } = await stage(t, { redis });
  const setup = { sessions: { ...sessions, store: { url: redis.url, timeout: 5_000 } }, issuers };
  const listener = new PageListener({}, { failed: (error) => t.error(error), limit: 20_000 });
  t.teardown(() => listener.close());
  await listener.listen({ host: "127.0.0.1", port: 0 }, setup);
  const iat = Math.floor(Date.now() / 1000);
  const token = (sid: string) =>
    provider.sign({
      ...{ iss: provider.issuer, aud: CLIENT.id, sub: "alice", sid, jti: sid },
      ...{ iat, exp: iat + 120, events: { [EVENT]: {} } },
    });
  const tell = async (text: string) => {
    const body = `logout_token=${text}`;
    const answer = await answerTo(listener, `${head([FORM, `content-length: ${body.length}`])}${body}`);
    return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
  };
  const [one, two] = [await kept("one"), await kept("two")];
  const keys = await (await fetch(`${provider.issuer}/jwks`)).text();
  const answered = Promise.withResolvers<void>();
  provider.front.behave((...asked) => void answered.promise.then(() => reply(keys)(...asked)), "/jwks");
  const asked = provider.front.arrival("/jwks");
  const waiting = tell(await token("one"));
  await asked;
  const renewed = { ...setup, sessions: { ...setup.sessions, idle: 1_800_000 } };
  listener.renew(renewed);
  t.match(await answerTo(listener, `GET /.countersign/style.css HTTP/1.1\r\nhost: ${ORIGIN.host}\r\n\r\n`), / 200 /);
  answered.resolve();
  t.equal(await waiting, 200);
  t.equal(await one.isThere(), false);

  const used = await token("two");
  t.equal(await tell(used), 200);
  t.equal(await two.isThere(), false);
  listener.renew(renewed);
  t.equal(await tell(used), 400, "no token counts twice");
});

test("who signs out of a session that is kept takes back its tokens", async (t) => {
  const redis = await RedisServer.start(t, "the-password");
  const { provider, logins, events, time, kept } = await stage(t, { redis });
  const id = await provider.sign({ iss: provider.issuer, sub: "alice", aud: CLIENT.id });
  const { person, isThere } = await kept("one", { access: "the-access-token", refresh: "the-refresh-token", id });
  const revoked = () => provider.front.requests.filter((path) => path === "/token/revocation").length;
  const next = nextOf(await person.ask("/.countersign/logout", { method: "POST" }));
  t.strictSame([next.searchParams.get("id_token_hint"), next.searchParams.get("logout_hint")], [id, "one"]);
  t.strictSame([await isThere(), person.session, revoked()], [false, "", 2], "the refresh token and the access token");

  const framed = await kept("two");
  const query = new URLSearchParams({ iss: provider.issuer, sid: "two" });
  const other = await framed.person.ask(`/.countersign/frontchannel-logout/idp?${query}`);
  t.match([other.status, await framed.isThere(), revoked()], [200, false, 2], "a frame takes back none");

  const ended = () => events.filter(({ outcome }) => outcome === "ended").length;
  const before = ended();
  await person.ask("/.countersign/logout", { method: "POST" });
  const nobody = new Person(logins);
  nobody.cookies.set(COOKIE, `idp~${"A".repeat(43)}`);
  t.equal((await nobody.ask("/.countersign/logout", { method: "POST" })).status, 303);
  t.equal(ended(), before, "who has no session ends none");

  time.perTick = 0;
  time.ticks += 1000;
  const asked = async () => (await nobody.ask(`/.countersign/frontchannel-logout/idp?${query}`)).status;
  const statuses = [];
  for (let n = 0; n < 101; n++) statuses.push(await asked());
  t.strictSame(
    [statuses.indexOf(503), events.at(-1)?.outcome],
    [100, "logout-failed"],
    "nor may anybody ask for ever more",
  );
  time.ticks += 1000;
  t.equal(await asked(), 200);
});

test("only an origin of the configuration is served", async (t) => {
  const { logins } = await stage(t);
  t.equal(logins.originOf("app.example.com")?.origin, ORIGIN.origin);
  t.equal(logins.originOf("APP.example.com:443")?.origin, ORIGIN.origin);
  for (const host of [
    undefined,
    "",
    "evil.example",
    "app.example.com:8443",
    "app.example.com.evil.example",
    "a@app.example.com",
    "app.example.com/",
    "[::1",
  ]) {
    t.equal(logins.originOf(host), undefined, String(host));
  }
});
