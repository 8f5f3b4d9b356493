import { type Test, test } from "tap";
import { rotatedSealing } from "../../agent/config/files/sealing-ring.ts";
import { FetchError } from "../../agent/http/fetch-error.ts";
import { Sealer } from "../../agent/identity/session/sealer.ts";
import { sessionKind } from "../../agent/identity/session/section.ts";
import { SeenSession } from "../../agent/identity/session/seen.ts";
import { LARGEST_SEEN, type Session, SessionCookies, type Whose } from "../../agent/identity/session/session.ts";
import { LARGEST_STEP, Steps } from "../../agent/identity/session/step.ts";
import { Clockwork } from "../support/clockwork.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";

const HOUR = 3_600_000;
const SESSIONS = {
  ...{ origins: ["https://app.example.com"], cookie: "sid", keys: "", ring: rotatedSealing([], 0, 0) },
  ...{ idle: HOUR, lifetime: 8 * HOUR, largest: 8192 },
};
const LOGIN = {
  client: { id: "web", authentication: { method: "tls_client_auth" }, certificate: undefined },
  ...{ scopes: ["openid"], parameters: {}, title: "Idp", sessions: SESSIONS },
  claims: { subject: "sub", groups: "groups" },
  logout: { provider: false, hint: undefined, backchannel: false, frontchannel: false },
} as const;
const KIND = sessionKind(SESSIONS);
const ISSUER = { ...oidcIssuer("https://idp.example", { name: "idp", credentials: [KIND] }), login: LOGIN };

/** An agent that keeps sessions in cookies, and its clock. Its provider is away: no session needs it. */
function judging(t: Test, changes: Partial<typeof ISSUER> = {}) {
  const time = new Clockwork();
  const send = () => Promise.reject(new FetchError("away"));
  const { identity, verify } = startIdentity([{ ...ISSUER, ...changes }], { time, send, lifetime: 99 * HOUR });
  t.teardown(() => identity.close());
  const ask = (cookie: string) => verify({ kind: KIND, bytes: Buffer.from(cookie), start: 0, end: cookie.length });
  const judge = async (cookie: string) => {
    const found = await ask(cookie);
    return found.principal === undefined ? found.reason : found.principal.subject;
  };
  return { time, ask, judge, identity };
}

/** Somebody's session that begins now. */
function sessionOf(now: number, changes: Partial<Session> = {}): Session {
  const times = { begunAt: now, endsAt: now + 8 * HOUR };
  return { id: "1", host: "app.example.com", ...times, claims: { sub: "alice" }, scopes: ["openid"], ...changes };
}

const sealed = (session: Session, whose: Whose = ISSUER, sessions: typeof SESSIONS = SESSIONS) =>
  new SessionCookies(sessions).seal(session, whose, session.begunAt);

test("a session proves who has logged in, as long as it and the configuration say", async (t) => {
  const { time, ask, judge } = judging(t);
  const now = time.now;
  t.match(await ask(sealed(sessionOf(now))), {
    principal: { subject: "alice", kind: "person", audiences: ["api://orders"], expiresAt: now + 8 * HOUR },
    confirmation: { session: { host: "app.example.com" } },
  });
  for (const [what, changes, outcome] of [
    ["begun by a clock that is ahead", { begunAt: now + 30_000, id: "2" }, "alice"],
    ["begun yet to be", { begunAt: now + 30_001 }, "session-invalid"],
    ["that has ended", { begunAt: now - HOUR, endsAt: now }, "session-expired"],
    ["that is to last longer than any may", { begunAt: now - 8 * HOUR, endsAt: now + HOUR }, "session-expired"],
    ["of nobody", { claims: {} }, "claim-missing"],
    ["of somebody with a line feed", { claims: { sub: "alice\nbob" } }, "claim-malformed"],
  ] as const)
    t.equal(await judge(sealed(sessionOf(now, changes))), outcome, what);
  const [short, long] = [
    sealed(sessionOf(now, { id: "3", endsAt: now + HOUR })),
    sealed(sessionOf(now - HOUR, { id: "4", endsAt: now + 9 * HOUR })),
  ];
  t.match(
    [await ask(short), await ask(long)],
    [{ principal: { expiresAt: now + HOUR } }, { principal: { expiresAt: now + 7 * HOUR } }],
  );
  time.now += HOUR - 1;
  t.equal(await judge(short), "alice", "to the millisecond");
  time.now += 1;
  t.equal(await judge(short), "session-expired");
});

test("with its issuer a session ends, known or not", async (t) => {
  const { time, judge, identity } = judging(t);
  const [known, fresh] = [sealed(sessionOf(time.now)), sealed(sessionOf(time.now, { id: "2" }))];
  t.equal(await judge(known), "alice");
  identity.close();
  t.strictSame([await judge(known), await judge(fresh)], ["issuer-unavailable", "issuer-unavailable"]);
});

test("what an issuer asks of its tokens it asks of its sessions, too", async (t) => {
  const { time, judge } = judging(t, { require: [{ path: "hd", wanted: "example.com" }] });
  const of = (claims: Session["claims"]) => judge(sealed(sessionOf(time.now, { claims: { sub: "alice", ...claims } })));
  t.equal(await of({ hd: "example.com" }), "alice");
  t.equal(await of({ hd: "example.org" }), "claim-not-accepted");
  t.equal(await of({}), "claim-missing");
  const okta = judging(t, { okta: { org: "https://idp.example", groups: undefined } });
  t.match(await okta.ask(sealed(sessionOf(okta.time.now))), { principal: { groups: { claim: "groups" } } }, "unknown");
});

test("a cookie opens for whom and for what it was sealed, and for nothing else", async (t) => {
  const { time, judge } = judging(t);
  const session = sessionOf(time.now);
  const good = sealed(session);
  t.equal(await judge(good), "alice");
  const sealer = new Sealer(SESSIONS.ring);
  const context = (what: string) => `${what}\nsid\n${JSON.stringify(["idp", "https://idp.example", "web"])}`;
  const written = (list: readonly unknown[], what = "session") =>
    `idp~${sealer.seal(JSON.stringify(list), context(what), time.now)}`;
  const list: unknown[] = [1, "1", "app.example.com", session.begunAt, session.endsAt, { sub: "alice" }, ["openid"]];
  t.equal(await judge(written(list)), "alice");
  t.equal(await judge(`${good}~whatever`), "alice", "when it was seen is no part of it");
  for (const [what, cookie] of [
    ["of another provider", sealed(session, { ...ISSUER, issuer: "https://other.example" })],
    [
      "as another client",
      sealed(session, { ...ISSUER, login: { ...LOGIN, client: { ...LOGIN.client, id: "other" } } }),
    ],
    [
      "of another issuer, under this one's name",
      sealed(session, { ...ISSUER, name: "other" }).replace(/^other/, "idp"),
    ],
    ["of another issuer", sealed(session, { ...ISSUER, name: "other" })],
    ["of another cookie", sealed(session, ISSUER, { ...SESSIONS, cookie: "other" })],
    ["by another ring", sealed(session, ISSUER, { ...SESSIONS, ring: rotatedSealing([], 0, 0) })],
    ["that says when another was seen", `idp~${new SessionCookies(SESSIONS).sealSeen("1", time.now)}`],
    ["sealed for something else", written(list, "login")],
    ["of another version", written([2, ...list.slice(1)])],
    ["without a host", written(list.with(2, null))],
    ["with a date that is none", written(list.with(3, "0"))],
    ["without claims", written(list.with(5, "alice"))],
    ["with scopes that are none", written(list.with(6, [1]))],
    ["cut off", good.slice(0, -4)],
    ["with padding", `${good}=`],
    ["shorter than any seal", good.slice(0, good.indexOf(".") + 5)],
    ["with nothing in it", "idp~"],
    ["of no issuer", good.slice(4)],
    ["in the clear", `idp~${Buffer.from(JSON.stringify(list)).toString("base64url")}`],
  ] as const)
    t.equal(await judge(cookie), "session-invalid", what);
  for (let at = good.indexOf("."); at < good.length; at += 7) {
    const other = good[at] === "A" ? "B" : "A";
    t.equal(await judge(good.slice(0, at) + other + good.slice(at + 1)), "session-invalid", `character ${at}`);
  }
});

test("of two issuers with one cookie each opens its own sessions, and none by another's name", async (t) => {
  const { time, identity: previous } = judging(t);
  const other = { ...ISSUER, name: "other", issuer: "https://other.example" };
  const { identity, verify } = startIdentity([ISSUER, other], { time, previous });
  t.teardown(() => identity.close());
  const ask = (cookie: string) => verify({ kind: KIND, bytes: Buffer.from(cookie), start: 0, end: cookie.length });
  const [own, its] = [sealed(sessionOf(time.now)), sealed(sessionOf(time.now), other)];
  t.match([await ask(own), await ask(its)], [{ principal: { issuer: "idp" } }, { principal: { issuer: "other" } }]);
  const renamed = own.replace(/^idp/, "other");
  t.match(await ask(renamed), { principal: undefined, reason: "session-invalid" });
  t.equal(new SessionCookies(SESSIONS).open(own.replace(/^idp/, "pid"), ISSUER), undefined, "nor by a name of nobody");
});

test("what can be no session of a store is refused at once; what may be one, not for good while the store is away", async (t) => {
  const store = { url: "redis://127.0.0.1:1", timeout: 50 };
  const { identity, time, judge } = judging(t, { login: { ...LOGIN, sessions: { ...SESSIONS, store } } } as object);
  for (const cookie of ["idp~", "idp~x", sealed(sessionOf(time.now)), `idp~${"A".repeat(44)}`]) {
    const found = identity.verify({ kind: KIND, bytes: Buffer.from(cookie), start: 0, end: cookie.length }, time.now);
    t.match(found, { principal: undefined, reason: "session-invalid" }, cookie.slice(0, 60));
  }
  t.equal(await judge(`idp~${"A".repeat(43)}`), "session-unavailable");
});

test("a session that nobody has seen for too long is over, whatever the browser says", (t) => {
  const now = Date.UTC(2026, 10, 28);
  const cookies = new SessionCookies(SESSIONS);
  const session = sessionOf(now);
  const use = (seen: string, at: number) => new SeenSession(session, HOUR, cookies).use(seen, at);
  t.equal(use("", now + 1), undefined);
  t.not(use("", now + HOUR - 1), "over", "to the millisecond");
  t.equal(use("", now + HOUR), "over");
  const seen = cookies.sealSeen("1", now + HOUR / 2);
  t.equal(cookies.openSeen(use(seen, now + HOUR) ?? "", "1"), now + HOUR, "and is told anew that it was");
  t.not(use(seen, now + 1.5 * HOUR - 1), "over");
  t.equal(use(seen, now + 1.5 * HOUR), "over");
  const sealer = new Sealer(SESSIONS.ring);
  const own = (text: string, id = "1") => sealer.seal(text, `seen\nsid\n${id}`, now);
  const latest = String((now + HOUR) / 1000);
  t.not(use(own(latest), now + HOUR), "over");
  for (const [what, other] of [
    ["of another session", cookies.sealSeen("2", now + HOUR)],
    ["of another cookie", new SessionCookies({ ...SESSIONS, cookie: "other" }).sealSeen("1", now + HOUR)],
    ["by another ring", new SessionCookies({ ...SESSIONS, ring: rotatedSealing([], 0, 0) }).sealSeen("1", now + HOUR)],
    ["that is no date", own("x")],
    ["that is a date in another spelling", own(`${latest}.0`)],
    ["that is longer than any", own(latest.padStart(LARGEST_SEEN, "0"))],
    ["the session itself", sealed(session).slice(4)],
    ["in the clear", latest],
  ] as const) {
    t.equal(use(other, now + HOUR), "over", what);
    const known = new SeenSession(session, HOUR, cookies);
    known.use(seen, now + HOUR);
    t.equal(known.use(other, now + HOUR), "over", `${what}, nor does what was told before count for it`);
  }
  t.not(use(cookies.sealSeen("1", now - HOUR), now + HOUR - 1), "over", "before it had begun is when it had begun");
  t.end();
});

test("how somebody has to log in anew is the policies' to say, and not the browser's", (t) => {
  const steps = new Steps(SESSIONS);
  const step = { acr: ["mfa"], maxAge: 300 };
  const now = Date.now();
  const good = steps.seal(step, now) ?? "";
  t.strictSame(steps.open(good), step);
  t.equal(steps.seal({ acr: ["a".repeat(LARGEST_STEP)], maxAge: undefined }, now), undefined, "what is too long");
  const sealer = new Sealer(SESSIONS.ring);
  for (const [what, other] of [
    ["of another cookie", new Steps({ ...SESSIONS, cookie: "other" }).seal(step, now)],
    ["sealed for something else", sealer.seal('[["mfa"],300]', "sid", now)],
    ["that is no list", sealer.seal("{}", "step\nsid", now)],
    ["of contexts that are none", sealer.seal("[[1],300]", "step\nsid", now)],
    ["in the clear", '[["mfa"],300]'],
  ] as const)
    t.equal(steps.open(other ?? ""), undefined, what);
  t.end();
});
