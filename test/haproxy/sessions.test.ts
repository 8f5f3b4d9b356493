import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { Redis } from "ioredis";
import { type Test, test } from "tap";
import { startBackend } from "../support/backend.ts";
import { Browser, NAVIGATION } from "../support/browser.ts";
import { freePort, haproxies, startHaproxy } from "../support/haproxy.ts";
import { CLIENT, startLoginProvider } from "../support/login-provider.ts";
import { RedisServer } from "../support/redis.ts";
import { command, configuration, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const HOST = "app.example.com";
const ORIGIN = `https://${HOST}`;
const COOKIE = "__Host-countersign";
const PASSWORD = "the-password-of-the-store";
const POLICY = `
roles:
  readers: [{ issuer: idp, group: readers }]
services:
  app:
    hosts: [${HOST}]
    backend: app
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: pages, match: ["GET /v1/{path...}"], allow: [readers] }
`;
const XHR = { accept: "application/json", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty" };

/** Two agents behind the oldest and the newest HAProxy, the second in two processes, which share a store. */
async function stage(t: Test) {
  const accounts: Record<string, Record<string, unknown>> = { alice: { groups: ["readers"] } };
  const redirects = [`${ORIGIN}/.countersign/callback/idp`];
  const provider = await startLoginProvider(t, accounts, redirects, { refresh: true });
  const redis = await RedisServer.start(t, PASSWORD, folderOf(t, {}));
  const backend = await startBackend(t);
  const ring = join(folderOf(t, {}), "sessions.json");
  await command(["keys", "rotate", ring, "--algorithm", "A256GCM"]);
  const binaries = haproxies();
  const fronts = [];
  for (const [binary, workers] of [
    [binaries[0], 1],
    [binaries.at(-1), 2],
  ] as const) {
    if (binary === undefined) throw new Error("no HAProxy");
    const [web, port] = [await freePort(), await freePort()];
    const { text, ...ports } = await configuration(
      `
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://app], login: { client: { id: ${CLIENT.id}, secret: "\${file:secret}" }, scopes: [openid] } }
sessions: { origins: ["${ORIGIN}"], keys: ${ring}, store: { url: "redis://:\${file:password}@127.0.0.1:${redis.port}", timeout: 2s } }
deadline: 10s
workers: ${workers}
haproxy: { version: "2.6", bind: ["127.0.0.1:${port}"], scheme: https, backends: { app: ["127.0.0.1:${backend.port}"] } }
`,
      `, web: 127.0.0.1:${web}`,
    );
    const files = { "countersign.yaml": text, "policies/app.yaml": POLICY, secret: CLIENT.secret, password: PASSWORD };
    const folder = folderOf(t, files);
    const served = await serve(t, folder, ports);
    const log = await startHaproxy(t, binary, await generated(folder), port);
    fronts.push({ folder, served, log, port, browser: new Browser({ [HOST]: port }) });
  }
  const [one, other] = fronts;
  if (one === undefined || other === undefined) throw new Error("no fronts");
  return { accounts, provider, redis, backend, one, other };
}

test("sessions in a store, of two agents", async (t) => {
  const { accounts, provider, redis, backend, one, other } = await stage(t);
  const asked = (browser: Browser, headers: Readonly<Record<string, string>> = XHR) =>
    browser.ask(`${ORIGIN}/v1/a`, headers);
  /** Asks until that is the answer, and before it this one alone; each process has its own memory. */
  const until = async (browser: Browser, status: number, before: number, headers?: typeof NAVIGATION) => {
    for (;;) {
      const answer = await asked(browser, headers);
      if (answer.status === status) return answer;
      // Each of two workers reaches a store that was killed again in its own time.
      if (answer.status !== before && answer.status !== 503) throw new Error(`${answer.status}: ${answer.body}`);
    }
  };
  provider.lasts = 4;
  const page = await one.browser.show(`${ORIGIN}/v1/orders`);
  t.match([page.status, page.body], [200, "ok"]);
  const session = one.browser.cookies(HOST).get(COOKIE) ?? "";
  t.match(session, /^idp~[\w-]{43}$/);
  other.browser.cookies(HOST).set(COOKIE, session);
  provider.lasts = 3600;

  await t.test("it counts at the other agent, and is refreshed once by both", async (t) => {
    t.equal((await asked(other.browser)).status, 200);
    t.strictSame(backend.last("x-auth-subject"), ["alice"]);
    accounts.alice = { groups: ["readers"], email: "alice@example.com" };
    const all = () =>
      Promise.all(Array.from({ length: 20 }, (_, n) => asked(n % 2 === 0 ? one.browser : other.browser)));
    const statuses = new Set<number>();
    const ask = async () => {
      for (const { status } of await all()) statuses.add(status);
    };
    while (provider.tokenCalls === 1) await ask();
    const refreshed = async () => {
      const texts = await Promise.all([one, other].map(({ served }) => served.page("/metrics")));
      return texts.flatMap(({ text }) => text.match(/^countersign_logins_total\{.*"refreshed".* 1$/gm) ?? []);
    };
    while ((await refreshed()).length === 0) await ask();
    await ask();
    t.strictSame([...statuses], [200]);
    t.equal(provider.tokenCalls, 2);
    t.equal((await refreshed()).length, 1);
  });

  await t.test("while the store is away nobody is sent to log in, and afterwards nothing is lost", async (t) => {
    await redis.stop();
    const away = /^issuer idp: the store of sessions cannot be reached: ECONNREFUSED$/;
    for (const { served } of [one, other]) {
      const problems = async () => JSON.parse((await served.page("/status")).text).problems.join("\n");
      while (!away.test(await problems())) await asked(one.browser);
    }
    for (const { browser } of [one, other]) {
      const answer = await until(browser, 503, 200);
      t.match([JSON.parse(answer.body).reason, answer.headers["retry-after"]], ["session-unavailable", "1"]);
      await until(browser, 503, 200, NAVIGATION);
    }
    await redis.begin();
    const spy = new Redis(redis.url);
    await spy.config("SET", "maxmemory-policy", "allkeys-lru");
    spy.disconnect();
    const examined = () => command(["doctor", "--agent", `http://127.0.0.1:${one.served.admin}`], { cwd: one.folder });
    let doctor = await examined();
    while (!/maxmemory-policy/.test(doctor.out)) doctor = await examined();
    t.equal(doctor.code, 1);
    t.match(
      doctor.out,
      /issuer idp: the store of sessions may drop .* \(maxmemory-policy allkeys-lru\): set maxmemory-policy noeviction/,
    );
    t.notMatch(doctor.out, PASSWORD);
    for (const { browser } of [one, other]) {
      await until(browser, 200, 503);
      t.equal(browser.cookies(HOST).get(COOKIE), session, "it is the same one");
    }
    t.equal(provider.tokenCalls, 2);
  });

  await t.test("who signs out at one agent is signed out at the other", async (t) => {
    const headers = { ...NAVIGATION, "sec-fetch-site": "same-origin" };
    const out = () => one.browser.ask(`${ORIGIN}/.countersign/logout`, headers, "POST");
    let answered = await out();
    // The thread that signs out has a connection of its own, which may come back later than the others.
    while (answered.status === 503) answered = await out();
    t.match([answered.status, answered.body], [200, /<meta http-equiv="refresh" content="0; url=[^"]+id_token_hint=/]);
    const answer = await until(other.browser, 401, 200);
    t.match(JSON.parse(answer.body), { reason: "session-invalid", login: "/.countersign/login" });
    await until(other.browser, 303, 200, NAVIGATION);
  });

  await t.test(
    "who loses a role at the provider is refused after the next refresh, and let in when it is back",
    async (t) => {
      const alice = new Browser({ [HOST]: one.port });
      provider.lasts = 4;
      t.equal((await alice.show(`${ORIGIN}/v1/orders`)).status, 200);
      const held = alice.cookies(HOST).get(COOKIE);
      const calls = provider.tokenCalls;
      accounts.alice = { groups: ["others"] };
      const refused = await until(alice, 403, 200);
      t.match(JSON.parse(refused.body), { reason: "role-missing" });
      t.ok(provider.tokenCalls > calls, "by a refresh alone");
      const received = backend.received.length;
      for (const headers of [XHR, NAVIGATION]) {
        const { status, headers: told } = await asked(alice, headers);
        t.match([status, told.location], [403, undefined], "nobody is sent to log in who is known");
      }
      t.equal(backend.received.length, received, "nothing arrived");
      accounts.alice = { groups: ["readers"] };
      await until(alice, 200, 403);
      t.equal(alice.cookies(HOST).get(COOKIE), held, "it is the same session");
      provider.lasts = 3600;
    },
  );

  await t.test("a provider ends at one agent what the other has begun, and slow senders wait at HAProxy", async (t) => {
    // The old one still counts where it was known a moment ago.
    other.browser.cookies(HOST).delete(COOKIE);
    const page = await other.browser.show(`${ORIGIN}/v1/orders`);
    t.equal(page.status, 200, "people log in where several workers answer");
    t.not(other.browser.cookies(HOST).get(COOKIE), session);
    for (let n = 0; n < 6; n++) t.equal((await asked(other.browser)).status, 200, "at whichever worker");
    one.browser.cookies(HOST).set(COOKIE, other.browser.cookies(HOST).get(COOKIE) ?? "");
    t.equal((await asked(one.browser)).status, 200);
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: provider.issuer, aud: CLIENT.id, sub: "alice", jti: "one", iat: now, exp: now + 120 };
    const events = { "http://schemas.openid.net/event/backchannel-logout": {} };
    const token = await provider.sign({ ...claims, events }, { typ: "logout+jwt" });
    const bearer = await one.browser.ask(`${ORIGIN}/v1/a`, { accept: "*/*", authorization: `Bearer ${token}` });
    t.equal(bearer.status, 401, "as a bearer token it proves nobody");
    const slow = [one, other].map(({ port }) => told(port, "logout_token=x", 1000));
    for (const length of [30_000, 10_241, "chunked"] as const) {
      // As many as the agent reads at a time: they would hold all it has.
      const held = Array.from({ length: 32 }, () => told(one.port, `4e20\r\n${"x".repeat(19_000)}`, length));
      for (const answer of await Promise.all(held)) t.match(answer, /^HTTP\/1\.1 413 /, `${length}`);
    }
    const idToken = await provider.sign({ ...claims, jti: "two", nonce: "n" });
    t.match(await told(one.port, `logout_token=${idToken}`), /^HTTP\/1\.1 400 /, "an ID token is none");
    t.equal((await asked(one.browser)).status, 200);
    t.match(await told(one.port, `logout_token=${token}`), /^HTTP\/1\.1 200 /);
    await until(one.browser, 401, 200);
    for (const answer of await Promise.all(slow)) t.match(answer, /^HTTP\/1\.1 408 /);
  });

  await t.test(
    "an agent that is told to end keeps what a provider has given it, and ends the logins that are begun",
    async (t) => {
      const spy = new Redis(redis.url);
      t.teardown(() => spy.disconnect());
      const alice = new Browser({ [HOST]: one.port });
      provider.lasts = 4;
      t.equal((await alice.show(`${ORIGIN}/v1/orders`)).status, 200);
      const bob = new Browser({ [HOST]: one.port });
      const { location } = (await bob.ask(`${ORIGIN}/.countersign/login?rt=/v1/bob`)).headers;
      const callback = await bob.upTo(String(location), "/.countersign/callback/idp");
      const keys = await (await fetch(`${provider.issuer}/jwks`)).text();
      const { promise: held, resolve: release } = Promise.withResolvers<void>();
      provider.front.behave((_, response) => void held.then(() => response.end(keys)), "/jwks");
      const waiting = () => provider.front.requests.filter((path) => path === "/jwks").length;
      const before = waiting();
      // Both have their tokens, and wait for the keys.
      while (waiting() === before) await asked(alice);
      const landed = bob.ask(callback.href);
      while (waiting() < before + 2) await new Promise(setImmediate);
      const ended = once(one.served.child, "exit");
      one.served.child.kill("SIGTERM");
      while (await listens(one.served.spop)) await new Promise(setImmediate);
      release();
      t.match([(await landed).status, (await landed).headers.location], [303, "/v1/bob"]);
      t.strictSame(await ended, [0, null]);
      provider.front.behave("up", "/jwks");
      t.strictSame(await spy.keys("*lock*"), []);
      const refreshed = async () => {
        const { text } = await other.served.page("/metrics");
        return Number(/^countersign_logins_total\{.*"refreshed".*\} (\d+)$/m.exec(text)?.[1] ?? 0);
      };
      for (const browser of [alice, bob]) {
        other.browser.cookies(HOST).set(COOKIE, browser.cookies(HOST).get(COOKIE) ?? "");
        const before = await refreshed();
        const statuses = new Set<number>();
        while (!statuses.has(401) && (await refreshed()) === before) statuses.add((await asked(other.browser)).status);
        t.strictSame([...statuses], [200], "the next agent goes on with it");
      }
    },
  );

  await t.test("no secret is logged", async (t) => {
    const logged = [one, other].flatMap(({ served, log }) => [
      ...served.lines.map((line) => JSON.stringify(line)),
      served.errors(),
      ...log,
    ]);
    t.match(logged.join("\n"), /the store of sessions cannot be reached/);
    for (const secret of [session.slice(4), PASSWORD, CLIENT.secret])
      t.notOk(logged.some((line) => line.includes(secret)));
  });
});

/** Whether somebody listens on a port of this machine. */
function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1", () => done(true)).on("error", () => done(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** What HAProxy answers to a form about a logout. @param length as the head says it */
async function told(port: number, form: string, length: number | "chunked" = form.length): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  const sized = length === "chunked" ? "transfer-encoding: chunked" : `content-length: ${length}`;
  const fields = ["content-type: application/x-www-form-urlencoded", sized, "connection: close"];
  const head = ["POST /.countersign/backchannel-logout/idp HTTP/1.1", `host: ${HOST}`, ...fields].join("\r\n");
  socket.write(`${head}\r\n\r\n${form}`);
  while (!text.includes("\r\n\r\n") && !socket.closed)
    await Promise.race([once(socket, "data"), once(socket, "close")]);
  socket.destroy();
  return text;
}
