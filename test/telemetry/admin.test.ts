import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { type RequestOptions, request } from "node:http";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { AdminListener, type Sources } from "../../agent/admin/admin.ts";
import type { AdminState, Phase } from "../../agent/admin/status.ts";
import { filterOf } from "../../agent/admin/tap-page.ts";
import { PageListener } from "../../agent/web/page-listener.ts";
import { SharedPage } from "../../agent/web/shared-page.ts";
import { parseExposition } from "../support/exposition.ts";
import { folderOf } from "../support/serve.ts";
import { decision, loaded, NOON, observation, principal, recorded } from "../support/telemetry.ts";

const unasked: Sources = {
  state: () => Promise.reject(new Error("nobody asks")),
  metrics: () => Promise.reject(new Error("nobody asks")),
  openMetrics: () => Promise.reject(new Error("nobody asks")),
  tap: () => ({ lines: [], leftOut: 0, begun: true }),
};
const FAULT = { file: "orders.yaml", line: 3, column: 7, found: "unknown key `rols`", right: "did you mean `roles`?" };
const ISSUER = {
  name: "okta",
  issuer: "https://example.okta.com/oauth2/default",
  details: {
    keys: 2,
    unused_keys: [{ kid: "enc\u202e1", why: "it is for something else than checking signatures" }],
  },
  identities: 50,
  succeededAt: NOON,
  failedAt: undefined,
  error: undefined,
};

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

function answered(options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ agent: false, ...options }, async (response) => {
      let body = "";
      for await (const chunk of response) body += chunk;
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
    });
    sent.on("error", reject);
    sent.end();
  });
}

async function admin(
  t: Test,
  changes: Partial<AdminState> = {},
  address: { path: string; mode: number } | undefined = undefined,
  other: Partial<Sources> = {},
  more: { readonly limit?: number; readonly script?: URL } = {},
) {
  const { telemetry } = recorded(t);
  const errors: unknown[] = [];
  const now = { phase: "serving" as Phase };
  const state = (): AdminState => ({
    audit: [{ origin: "a/0", records: 7, signed: 5, lost: 0, error: undefined }],
    version: "1.2.3",
    startedAt: NOON - 90_500,
    now: NOON,
    phase: now.phase,
    load: telemetry.load(),
    issuers: [ISSUER],
    caches: { identities: { entries: 50, limit: 100_000 } },
    ...{ connections: 3, opened: 5, inFlight: 2, requests: 7 },
    pipeliningAdvice: undefined,
    log: telemetry.logState(),
    workers: [],
    ...changes,
  });
  const sources: Sources = {
    state,
    metrics: () => telemetry.metrics(),
    openMetrics: () => telemetry.openMetrics(),
    tap: (name, filter) => telemetry.tap(name, filter),
    ...other,
  };
  const listener = new AdminListener(sources, { failed: (error) => errors.push(error), ...more });
  await listener.listen(address ?? { host: "127.0.0.1", port: 0 });
  t.teardown(() => listener.close());
  const at = address === undefined ? { port: listener.port } : { socketPath: address.path };
  return {
    telemetry,
    listener,
    errors,
    now,
    get: (path: string, more: RequestOptions = {}) => answered({ ...at, path, ...more }),
  };
}

test("/live is 200 whatever happens, /ready only while requests should come", async (t) => {
  const { now, get, telemetry } = await admin(t);
  for (const [phase, status] of [
    ["starting", 503],
    ["serving", 200],
    ["draining", 503],
  ] as const) {
    now.phase = phase;
    telemetry.reloaded(loaded());
    const ready = await get("/ready");
    t.equal(ready.status, status, phase);
    t.strictSame(JSON.parse(ready.body), { ready: status === 200, phase, revision: "3f9a1c2d4e5f", problems: [] });
    t.equal((await get("/live")).status, 200);
  }
});

test("a failed reload and a failing issuer are named, and do not take the agent out of service", async (t) => {
  const failing = { ...ISSUER, failedAt: NOON, error: "https://example.okta.com/keys: timed out" };
  const { get, telemetry } = await admin(t, { issuers: [failing] });
  telemetry.started(loaded());
  telemetry.reloadFailed([FAULT]);
  const ready = await get("/ready");
  t.equal(ready.status, 200);
  t.strictSame(JSON.parse(ready.body), {
    ready: true,
    phase: "serving",
    revision: "3f9a1c2d4e5f",
    problems: [
      "the reload of 2026-11-23T12:00:00.000Z failed and changed nothing:",
      "orders.yaml:3:7: unknown key `rols`; did you mean `roles`?",
      "issuer okta cannot be asked: https://example.okta.com/keys: timed out",
    ],
  });
  telemetry.reloaded(loaded({ revision: "bbbb" }));
  t.strictSame(JSON.parse((await get("/ready")).body).problems.length, 1, "a good reload ends the fault");
});

test("/status tells everything", async (t) => {
  const advice = "set tune.bufsize to 32768 or more";
  const { get, telemetry } = await admin(t, { pipeliningAdvice: advice });
  telemetry.started(loaded({ warnings: [FAULT] }));
  telemetry.reloadFailed([FAULT]);
  t.strictSame(JSON.parse((await get("/status")).body), {
    version: "1.2.3",
    phase: "serving",
    uptime_seconds: 90,
    revision: "3f9a1c2d4e5f",
    loaded_at: "2026-11-23T12:00:00.000Z",
    services: 2,
    routes: 7,
    issuers: [
      {
        name: "okta",
        issuer: "https://example.okta.com/oauth2/default",
        keys: 2,
        unused_keys: [{ kid: "enc\ufffd1", why: "it is for something else than checking signatures" }],
        identities: 50,
        last_success: "2026-11-23T12:00:00.000Z",
        last_failure: null,
        error: null,
      },
    ],
    caches: { identities: { entries: 50, limit: 100_000 } },
    connections: 3,
    in_flight: 2,
    pipelining_advice: advice,
    log: { lines_dropped: 0, error: null },
    audit: [{ origin: "a/0", records: 7, signed: 5, lost: 0, error: null }],
    last_failed_reload: {
      at: "2026-11-23T12:00:00.000Z",
      faults: ["orders.yaml:3:7: unknown key `rols`; did you mean `roles`?"],
    },
    warnings: ["orders.yaml:3:7: unknown key `rols`; did you mean `roles`?"],
    workers: [],
    problems: [
      "the reload of 2026-11-23T12:00:00.000Z failed and changed nothing:",
      "orders.yaml:3:7: unknown key `rols`; did you mean `roles`?",
    ],
  });
});

test("before the first load /status and /ready answer all the same", async (t) => {
  const { get, now } = await admin(t);
  now.phase = "starting";
  t.match(JSON.parse((await get("/status")).body), { revision: null, loaded_at: null, services: 0, routes: 0 });
  t.match(JSON.parse((await get("/ready")).body), { ready: false, revision: null });
});

test("/metrics is Prometheus' text format", async (t) => {
  const { get } = await admin(t);
  const { status, headers, body } = await get("/metrics");
  t.equal(status, 200);
  t.match(headers["content-type"], /^text\/plain; version=0\.0\.4/);
  t.ok(parseExposition(body).has("countersign_decisions_total"));
});

test("GET and HEAD of five pages, and nothing else", async (t) => {
  const { get } = await admin(t);
  for (const [method, path, status] of [
    ["GET", "/live", 200],
    ["GET", "/live?verbose", 200],
    ["HEAD", "/metrics", 200],
    ["HEAD", "/ready", 200],
    ["GET", "/tap?name=a", 200],
    ["POST", "/tap", 405],
    ["POST", "/live", 405],
    ["PUT", "/status", 405],
    ["DELETE", "/nothing", 405],
    ["OPTIONS", "/metrics", 405],
    ["TRACE", "/live", 405],
    ["GET", "/", 404],
    ["GET", "/live/", 404],
    ["GET", "//live", 404],
    ["GET", "/metrics/../status", 404],
    ["GET", "/debug", 404],
    ["GET", "http://elsewhere/live", 404],
  ] as const) {
    const { status: got, headers, body } = await get(path, { method });
    t.equal(got, status, `${method} ${path}`);
    t.equal(headers["cache-control"], "no-store");
    t.equal(headers["x-content-type-options"], "nosniff");
    if (status === 405) t.equal(headers.allow, "GET, HEAD");
    if (method === "HEAD") t.equal(body, "");
  }
});

interface Tap {
  readonly begun: boolean;
  readonly left_out: number;
  readonly decisions: readonly { readonly request_id: string }[];
}

/** Reads a tap. */
async function tapped(get: (path: string) => Promise<Answer>, query: string): Promise<Partial<Answer> & Tap> {
  const { status, body } = await get(`/tap?${query}`);
  if (status !== 200) return { status, body, begun: false, left_out: 0, decisions: [] };
  const [head, ...decisions] = body
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  return { status, ...head, decisions };
}

test("a tap tells the decisions that are asked for, and none of before", async (t) => {
  const { telemetry } = recorded(t);
  const { get } = await admin(t, {}, undefined, { tap: (name, filter) => telemetry.tap(name, filter) });
  telemetry.decided(observation());
  t.strictSame(await tapped(get, "name=a"), { status: 200, begun: true, left_out: 0, decisions: [] });
  telemetry.decided(observation({ path: "/v2/x?token=secret" }));
  const { body } = await get("/tap?name=a&verdict=deny");
  t.match(JSON.parse(body.split("\n")[1] ?? ""), { msg: "decision", path: "/v2/x" }, "as it began");
  t.strictSame(await tapped(get, "name=a"), { status: 200, begun: false, left_out: 0, decisions: [] }, "once");
});

test("a tap's decisions are chosen by what they are", (t) => {
  const denied = decision({ verdict: "deny", reason: "role-missing" });
  const all = {
    plain: observation(),
    denied: observation({ decision: denied, status: 403 }),
    bob: observation({ principal: principal({ subject: "bob" }) }),
    nobody: observation({ principal: undefined }),
    old: observation({ decision: decision({ rule: "orders-old/read" }), path: "/v2/x" }),
    elsewhere: observation({ host: "Files.Example.com:8443" }),
  };
  for (const [query, ...wanted] of [
    ["", ...Object.keys(all)],
    ["verdict=deny", "denied"],
    ["verdict=deny&verdict=allow", ...Object.keys(all)],
    ["reason=role-missing", "denied"],
    ["rule=orders", "plain", "denied", "bob", "nobody", "elsewhere"],
    ["rule=orders-old/read", "old"],
    ["rule=orders/re"],
    ["subject=bob&subject=nobody", "bob"],
    ["host=files.EXAMPLE.com", "elsewhere"],
    ["path=/v2", "old"],
    ["path=/v2&subject=bob"],
  ] as const) {
    const { telemetry } = recorded(t);
    const filter = filterOf(new URLSearchParams(query));
    if (typeof filter === "string") throw new Error(filter);
    telemetry.tap("a", filter);
    for (const [requestId, each] of Object.entries(all)) telemetry.decided({ ...each, requestId });
    const lines = telemetry.tap("a", filter)?.lines ?? [];
    t.strictSame(
      lines.map((line) => JSON.parse(line).request_id),
      wanted,
      query,
    );
  }
  t.end();
});

test("a tap is bounded: lines until it is read, taps at a time, and how often", async (t) => {
  const { get, telemetry } = await admin(t);
  for (const name of ["a", "b", "c", "d"]) t.equal((await tapped(get, `name=${name}`)).status, 200);
  t.match(await tapped(get, "name=e"), { status: 503, body: /there are 4 taps already/ });
  for (let n = 0; n < 130; n++) telemetry.decided(observation());
  const { decisions, left_out } = await tapped(get, "name=a");
  t.strictSame([decisions.length, left_out], [100, 30]);
  for (let n = 0; n < 130; n++) telemetry.decided(observation({ path: `/${"\u0001".repeat(1000)}` }));
  const long = await tapped(get, "name=a");
  t.ok(long.decisions.length < 30);
  t.equal(long.decisions.length + long.left_out, 130);
  const flood = await Promise.all(Array.from({ length: 200 }, () => get("/tap?name=a")));
  t.ok(flood.filter(({ status }) => status === 429).length > 50);
});

test("a tap is for askers on this machine, and for no page in their browser", async (t) => {
  const { get } = await admin(t);
  const asked = async (headers: Record<string, string>) => (await get("/tap?name=a", { headers })).status;
  for (const host of ["localhost", "LocalHost:9901", "127.0.0.1", "127.8.9.1:1", "[::1]:9901"])
    t.equal(await asked({ host }), 200, host);
  for (const host of [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "evil.example:9901",
  ])
    t.equal(await asked({ host }), 403, host);
  for (const name of ["origin", "sec-fetch-site", "forwarded", "x-forwarded-for", "via"])
    t.equal(await asked({ host: "localhost", [name]: "x" }), 403, name);
  t.equal((await get("/ready", { headers: { host: "10.1.2.3:9901" } })).status, 200, "probes are not asked that");
  const other = Object.values(networkInterfaces())
    .flat()
    .find((each) => each?.family === "IPv4" && !each.internal);
  if (other !== undefined) {
    const all = new AdminListener(unasked, { failed: () => {} });
    await all.listen({ host: "0.0.0.0", port: 0 });
    t.teardown(() => all.close());
    const from = async (host: string) =>
      (await answered({ host, port: all.port, path: "/tap?name=a", headers: { host: "localhost" } })).status;
    t.strictSame([await from(other.address), await from("127.0.0.1")], [403, 200]);
  }
});

test("what is asked of a tap in a wrong way is told", async (t) => {
  const { get } = await admin(t);
  for (const [query, told] of [
    ["", "name: 1 to 32"],
    [`name=${"a".repeat(33)}`, "name: 1 to 32"],
    ["name=a&verdict=maybe", "verdict: maybe; one of allow"],
    ["name=a&reason=x", "reason: x; one of "],
    ["name=a&colour=red", "colour: there are verdict"],
    [`name=a${"&host=a".repeat(21)}`, "host: at most 20"],
  ] as const)
    t.match(await tapped(get, query), { status: 400, body: new RegExp(told) });
});

test("a unix socket with its mode", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "countersign-admin-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "admin.sock");
  const { get, listener } = await admin(t, {}, { path, mode: 0o600 });
  t.equal((await get("/live")).status, 200);
  t.equal(statSync(path).mode & 0o777, 0o600);
  await listener.close();
  t.notOk(existsSync(path));
});

test("a bug while answering is a 500 without detail, and the listener lives on", async (t) => {
  const { get, errors } = await admin(t, {}, undefined, {
    state: () => {
      throw new Error("a secret");
    },
  });
  const { status, body } = await get("/status");
  t.equal(status, 500);
  t.notMatch(body, /secret/);
  t.equal(errors.length, 1);
  t.equal((await get("/live")).status, 200);
});

test("what is not HTTP, or too large", async (t) => {
  const { listener } = await admin(t);
  t.match(await raw(listener, "\u0000\u0000\u0000\u0010garbage\r\n\r\n"), /^HTTP\/1\.1 400 /);
  t.match(await raw(listener, `GET /live HTTP/1.1\r\nhost: a\r\nx: ${"a".repeat(9000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  const posted = await raw(listener, "POST /live HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nabc");
  t.match(posted, /^HTTP\/1\.1 405 /, "the body is not waited for");
});

test("however many send halves of requests, whoever asks is answered: the oldest make room", async (t) => {
  const { listener, get } = await admin(t);
  const halves: Awaited<ReturnType<typeof half>>[] = [];
  for (let i = 0; i < 400; i++) halves.push(await half(listener, i % 2 === 0 ? "" : "GET /metrics HTTP/1.1\r\nhost:"));
  t.equal((await get("/live")).status, 200);
  t.equal((await get("/ready")).status, 200);
  await Promise.all(halves.slice(0, 100).map(({ closed }) => closed));
  t.strictSame(
    halves
      .filter(({ socket }) => socket.destroyed)
      .map(({ socket }) => halves.findIndex((one) => one.socket === socket)),
    [...Array(halves.filter(({ socket }) => socket.destroyed).length).keys()],
    "and no others",
  );
});

test("half a request, and an answer that nobody reads, have a time", async (t) => {
  const body = "x".repeat(32 * 1024 * 1024);
  const { listener } = await admin(t, {}, undefined, { metrics: async () => body }, { limit: 300 });
  const silent = await half(listener, "");
  const dripping = await half(listener, "GET /live HTTP/1.1\r\n");
  const drip = setInterval(() => dripping.socket.write("a: b\r\n"), 10);
  t.teardown(() => clearInterval(drip));
  const unread = await half(listener, "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n");
  unread.socket.pause();
  await Promise.all([silent.closed, dripping.closed]);
  await new Promise((done) => setTimeout(done, 300));
  let received = 0;
  unread.socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  unread.socket.resume();
  await unread.closed;
  t.ok(received < body.length, `${received} bytes`);
});

test("a connection has one request and one answer, whatever is sent behind it", async (t) => {
  let rendered = 0;
  const { listener, get } = await admin(t, {}, undefined, { metrics: async () => `metrics ${++rendered}\n` });
  const request = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n";
  for (const [name, text] of [
    ["3,000 pipelined", request.repeat(3000)],
    ["without an end", `${request}${"GET /metrics".repeat(20_000)}`],
    ["with a body", `GET /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n${"x".repeat(3_000_000)}`],
    [
      "with chunks",
      `GET /metrics HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${"1\r\nx\r\n".repeat(9999)}`,
    ],
  ] as const) {
    const before = rendered;
    const answers = (await raw(listener, text)).match(/HTTP\/1\.1 \d+/g) ?? [];
    t.ok(
      answers.length <= 1 && answers.every((line) => line === "HTTP/1.1 200"),
      `${name}: ${answers.length} answers, ${answers[0]}`,
    );
    t.ok(rendered - before <= 1, `${name}: ${rendered - before} rendered`);
  }
  t.match((await get("/metrics")).headers, { connection: "close" });
});

test("many who ask share one page", async (t) => {
  let rendered = 0;
  const { get } = await admin(t, {}, undefined, { metrics: async () => `metrics ${++rendered}\n` });
  const started = performance.now();
  for (let i = 0; i < 40; i++) await Promise.all(Array.from({ length: 10 }, () => get("/metrics")));
  t.ok(rendered <= 11 + (performance.now() - started) / 1000, `${rendered} for 400`);
});

test("a page is fresh for a few, and a second old at most for many", async (t) => {
  let now = 0;
  let made = 0;
  const page = new SharedPage(
    async () => ({ status: 200, type: "", body: String(++made) }),
    () => now,
  );
  const got = async () => Number((await page.get()).body);
  for (let i = 1; i <= 10; i++) t.equal(await got(), i);
  for (let i = 0; i < 100; i++) t.equal(await got(), 10);
  now += 999;
  t.equal(await got(), 10);
  now += 1;
  t.equal(await got(), 11);
  t.equal(await got(), 11);
  now += 60_000;
  for (let i = 12; i <= 21; i++) t.equal(await got(), i, "and as many at once as before");
  t.equal(await got(), 21);
  now += 5_000;
  t.strictSame(await Promise.all([got(), got(), got()]), [22, 22, 22], "nor is it made twice at once");
});

test("an agent that stands still is told so, and asked again", async (t) => {
  let answered = false;
  const metrics = () => (answered ? Promise.resolve("metrics\n") : new Promise<string>(() => {}));
  const { get } = await admin(t, {}, undefined, { metrics });
  t.equal((await get("/metrics")).status, 503);
  answered = true;
  t.equal((await get("/metrics")).status, 200);
});

test("a thread that ends is started again at the same address", async (t) => {
  const flag = join(folderOf(t, {}), "has-died");
  const { get, errors } = await admin(t, {}, { path: `${flag}.sock`, mode: 0o600 }, {}, { script: dyingOnce(flag) });
  await t.rejects(get("/live"));
  let status = 0;
  while (status === 0)
    status = await get("/live").then(
      (answer) => answer.status,
      () => 0,
    );
  t.equal(status, 200);
  t.equal(errors.length, 1);
});

test("a thread that fails while it finishes has ended, and whoever waits for that goes on", async (t) => {
  const script = new URL(`data:text/javascript,
    import { parentPort } from "node:worker_threads";
    parentPort.once("message", () => { throw new Error("a bug"); });
    parentPort.postMessage({ kind: "listening" });`);
  const errors: unknown[] = [];
  const listener = new PageListener({}, { failed: (error) => errors.push(error), script });
  await listener.listen({ host: "127.0.0.1", port: 0 });
  await listener.finish(600_000);
  t.match(errors, [{ message: "a bug" }]);
});

test("of a thread that could not listen nobody waits for the end", async (t) => {
  const { port = 0 } = (await admin(t)).listener;
  const errors: unknown[] = [];
  const listener = new PageListener({}, { failed: (error) => errors.push(error) });
  await t.rejects(listener.listen({ host: "127.0.0.1", port }));
  await listener.close();
  await listener.finish(600_000);
  t.strictSame(errors, []);
});

/** The thread's own script, but the first time it ends when it is asked for the second page. */
function dyingOnce(flag: string): URL {
  const thread = new URL("../../agent/web/web-worker.ts", import.meta.url);
  return new URL(`data:text/javascript,
    import { existsSync, writeFileSync } from "node:fs";
    import { parentPort } from "node:worker_threads";
    if (!existsSync("${flag}")) parentPort.once("message", () => { writeFileSync("${flag}", ""); throw new Error("a bug"); });
    await import("${thread}");`);
}

test("closing waits for nobody", async (t) => {
  const asked = Promise.withResolvers<void>();
  const metrics = () => {
    asked.resolve();
    return new Promise<string>(() => {});
  };
  const { listener, get } = await admin(t, {}, undefined, { metrics });
  const { closed } = await half(listener, "GET /live");
  const unanswered = t.rejects(get("/metrics"), { code: "ECONNRESET" });
  await asked.promise;
  await listener.close();
  await Promise.all([closed, unanswered]);
});

/** A connection that has sent so much. */
async function half(listener: AdminListener, text: string) {
  const socket = connect(listener.port ?? 0, "127.0.0.1").on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "connect");
  socket.write(text);
  socket.resume();
  return { socket, closed };
}

/** Everything the server says until it closes the connection. */
function raw(listener: AdminListener, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(listener.port ?? 0, "127.0.0.1");
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk;
    });
    socket.on("error", () => {});
    socket.once("close", () => resolve(received));
    socket.write(text);
  });
}
