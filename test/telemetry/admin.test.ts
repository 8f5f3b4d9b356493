import { mkdtempSync, rmSync, statSync } from "node:fs";
import { type RequestOptions, request } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { AdminListener, type Sources } from "../../agent/telemetry/admin.ts";
import type { AdminState, Phase } from "../../agent/telemetry/status.ts";
import { parseExposition } from "../support/exposition.ts";
import { loaded, NOON, recorded } from "../support/telemetry.ts";

const FAULT = { file: "orders.yaml", line: 3, column: 7, found: "unknown key `rols`", right: "did you mean `roles`?" };
const ISSUER = {
  name: "okta",
  issuer: "https://example.okta.com/oauth2/default",
  keys: 2,
  unused: [{ kid: "enc\u202e1", why: "it is for something else than checking signatures", expected: true }],
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

function get(options: RequestOptions): Promise<Answer> {
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
) {
  const { telemetry } = recorded(t);
  const errors: unknown[] = [];
  const now = { phase: "serving" as Phase };
  const state = (): AdminState => ({
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
  const sources = { state, metrics: () => telemetry.metrics(), ...other };
  const listener = new AdminListener(sources, (error) => errors.push(error));
  await listener.listen(address ?? { host: "127.0.0.1", port: 0 });
  t.teardown(() => listener.close());
  const at = address === undefined ? { port: listener.port } : { socketPath: address.path };
  return {
    telemetry,
    listener,
    errors,
    now,
    get: (path: string, more: RequestOptions = {}) => get({ ...at, path, ...more }),
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

test("GET and HEAD of four pages, and nothing else", async (t) => {
  const { get } = await admin(t);
  for (const [method, path, status] of [
    ["GET", "/live", 200],
    ["GET", "/live?verbose", 200],
    ["HEAD", "/metrics", 200],
    ["HEAD", "/ready", 200],
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

test("a unix socket with its mode", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "countersign-admin-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "admin.sock");
  const { get } = await admin(t, {}, { path, mode: 0o600 });
  t.equal((await get("/live")).status, 200);
  t.equal(statSync(path).mode & 0o777, 0o600);
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

test("what is not HTTP, too large, or too many", async (t) => {
  const { listener, get } = await admin(t);
  t.match(await raw(listener, "\u0000\u0000\u0000\u0010garbage\r\n\r\n"), /^HTTP\/1\.1 400 /);
  t.match(await raw(listener, `GET /live HTTP/1.1\r\nhost: a\r\nx: ${"a".repeat(9000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  const posted = await raw(listener, "POST /live HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nabc");
  t.match(posted, /^HTTP\/1\.1 405 /, "the body is not waited for");

  const open: Socket[] = [];
  for (let count = 0; count < 64; count++) open.push(await opened(listener));
  t.equal(await raw(listener, "GET /live HTTP/1.1\r\nhost: a\r\n\r\n"), "", "one more is closed");
  const gone = open.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
  for (const socket of open) socket.destroy();
  await Promise.all(gone);
  let status = 0;
  while (status === 0)
    status = await get("/live").then(
      (answer) => answer.status,
      () => 0,
    );
  t.equal(status, 200, "and there is room again");
});

test("closing waits for nobody", async (t) => {
  const asked = Promise.withResolvers<void>();
  const metrics = () => {
    asked.resolve();
    return new Promise<string>(() => {});
  };
  const { listener, get } = await admin(t, {}, undefined, { metrics });
  const idle = await opened(listener);
  const closed = new Promise((resolve) => idle.once("close", resolve));
  const unanswered = t.rejects(get("/metrics"), { code: "ECONNRESET" });
  await asked.promise;
  await listener.close();
  await Promise.all([closed, unanswered]);
});

function opened(listener: AdminListener): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(listener.port ?? 0, "127.0.0.1");
    socket.once("error", reject);
    socket.once("connect", () => {
      // Answered once, so that it is certainly one of the server's connections.
      socket.once("data", () => resolve(socket));
      socket.write("GET /live HTTP/1.1\r\nhost: a\r\n\r\n");
    });
  });
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
