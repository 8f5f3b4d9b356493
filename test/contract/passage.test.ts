import { once } from "node:events";
import { connect } from "node:http2";
import { join } from "node:path";
import { type Test, test } from "tap";
import { LOG_FIELDS } from "../../haproxy/access-log.ts";
import { MOST_HEADERS } from "../../haproxy/contract.ts";
import type { RenderInput } from "../../haproxy/input.ts";
import { encodeFrame } from "../../protocol/encode.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { ACCESS_FIELDS } from "../../records/access.ts";
import type { Field } from "../../records/field.ts";
import { startBackend } from "../support/backend.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { freePort, type HaproxyBinary, haproxies, startHaproxy } from "../support/haproxy.ts";
import { type HttpAnswer, RawClient } from "../support/http.ts";
import { filesFor } from "../support/rendered.ts";
import { actions, startRogue } from "../support/rogue.ts";

const HOST = "host: orders.example.com";
const VALUE = "v".repeat(250);
const MESH_IDENTITY = "orders.shop.serviceaccount.identity.linkerd.cluster.local";

/** HAProxy with an agent that allows everything: what is left to see is what HAProxy makes of a request. */
async function stage(t: Test, binary: HaproxyBinary, changes: Partial<RenderInput> = {}, bindWords = "") {
  const count = changes.uses?.identityHeaders.length ?? 1;
  const headers = Array.from({ length: count }, (_, n) => [`header_${n + 1}`, VALUE] as const);
  const agent = await startRogue(t, (asked, socket) => {
    const who = [
      ["subject", "carol"],
      ["client", "assistants"],
      ["actor", '"pl\\anner"'],
    ] as const;
    const list = [
      ["id", asked.id],
      ["backend", "orders"],
      ["mesh_identity", MESH_IDENTITY],
      ...who,
      ...headers,
      ["verdict", "allow"],
    ] as const;
    socket.write(encodeFrame(FRAME_TYPE.ack, actions(list), asked));
  });
  const backend = await startBackend(t);
  const port = await freePort();
  const files = filesFor(binary, `127.0.0.1:${port}${bindWords}`, agent, backend.port, changes);
  const log = await startHaproxy(t, binary, { ...files }, port);
  const open = async () => {
    const client = await RawClient.open(port);
    t.teardown(() => client.close());
    return client;
  };
  return { backend, port, log, open };
}

/** Right after its start HAProxy may not have reached the agent yet. */
async function allowed(request: () => Promise<HttpAnswer>): Promise<void> {
  while ((await request()).status !== 200) await new Promise((done) => setTimeout(done, 50));
}

const LINE = "GET /v1/orders HTTP/1.1";
const PROXIED = `PROXY TCP4 192.0.2.7 127.0.0.1 4000 80\r\n${LINE}`;
const LOCAL = ["127.0.0.0/8", "10.0.0.0/8"];

/** X-Forwarded-For as HAProxy gets it from a load balancer that is trusted, and the address that is believed. */
const FORWARDED: readonly (readonly [lines: readonly string[], client: string])[] = [
  [[], "127.0.0.1"],
  [["192.0.2.7"], "192.0.2.7"],
  [["6.6.6.6, 192.0.2.7"], "192.0.2.7"],
  [["6.6.6.6", "192.0.2.7"], "192.0.2.7"],
  [["6.6.6.6, 192.0.2.7, 10.0.0.1"], "192.0.2.7"],
  [["6.6.6.6", "192.0.2.7,10.0.0.1, 10.0.0.2"], "192.0.2.7"],
  [["6.6.6.6, 2001:db8::1"], "2001:db8::1"],
  [["6.6.6.6, 192.0.2.7:4000"], "192.0.2.7"],
  // Who wrote the entry before one that cannot be read is not known.
  [["6.6.6.6, unknown"], "127.0.0.1"],
  [["6.6.6.6, [2001:db8::1]:4000"], "127.0.0.1"],
  [["6.6.6.6, "], "127.0.0.1"],
  [["6.6.6.6, unknown, 10.0.0.1"], "10.0.0.1"],
  [["6.6.6.6, 10.0.0.1, unknown"], "127.0.0.1"],
];

const ZEROS = "0".repeat(32);
/** Values of `traceparent` that are none (W3C Trace Context, section 3.2.2), or not one; an empty one ends a request in a Linkerd proxy. */
const NO_TRACES: readonly (readonly string[])[] = [
  [],
  ["00-"],
  ["00-0123456789abcdef0123456789abcdef-0123456789abcdef-"],
  ["00-0123456789abcdef0123456789abcdef-0123456789abcdef-1"],
  ["00-0123456789ABCDEF0123456789abcdef-0123456789abcdef-01"],
  ["01-0123456789abcdef0123456789abcdef-0123456789abcdef-01"],
  [`00-${ZEROS}-0123456789abcdef-01`],
  [`00-0123456789abcdef0123456789abcdef-${ZEROS.slice(16)}-01`],
  Array(2).fill("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"),
  [Array(2).fill("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01").join()],
];

/** Headers by which a client could speak for a proxy, or ask for something else than was judged. */
const SPOOFED = [
  "Forwarded: for=6.6.6.6",
  "X-Forwarded: 6.6.6.6",
  "X-Forwarded-For: 6.6.6.6",
  "X-Forwarded-Host: evil",
  "X-Forwarded-Proto: gopher",
  "X-Forwarded-Uri: /admin",
  "X-Forwarded-User: admin",
  "X_Forwarded_For: 6.6.6.6",
  "X-Real-IP: 6.6.6.6",
  "X-Client-IP: 6.6.6.6",
  "X-Cluster-Client-IP: 6.6.6.6",
  "True-Client-IP: 6.6.6.6",
  "CF-Connecting-IP: 6.6.6.6",
  "Fastly-Client-IP: 6.6.6.6",
  "X-Host: evil",
  "X-Original-URL: /admin",
  "X-Original-Method: DELETE",
  "X-Rewrite-URL: /admin",
  "X-Override-URL: /admin",
  "X-Envoy-Original-Path: /admin",
  "X-HTTP-Method-Override: DELETE",
  "X-HTTP-Host-Override: evil",
  "X-Method-Override: DELETE",
  "X-B3-TraceId: 1",
  "X-Amzn-Trace-Id: 1",
  "Proxy: http://evil",
  "Proxy-Connection: x-auth-subject",
  "Proxy-Authorization: Bearer alice",
  "l5d-dst-override: evil:80",
  "L5D-Require-Id: evil",
  "L5d_Client_Id: evil",
  "X-Auth-Roles: admin",
  "X-Auth: admin",
  "X-Forward-For: 6.6.6.6",
  "Client-IP: 6.6.6.6",
  "X-Originating-IP: 6.6.6.6",
  "X-Remote-IP: 6.6.6.6",
  "X-Remote-User: admin",
  "Remote-User: admin",
  "CF-Connecting-IPv6: 2001:db8::6",
  "CF-Pseudo-IPv4: 240.0.0.6",
  "WL-Proxy-Client-IP: 6.6.6.6",
  "X-Azure-ClientIP: 6.6.6.6",
  "X-Appengine-User-IP: 6.6.6.6",
  "X-Scheme: https",
  "X-URL-Scheme: https",
  "Front-End-Https: on",
  "SSL-Client-Cert: evil",
  "X-SSL-Client-Verify: SUCCESS",
  "Client-Cert: :ZXZpbA==:",
  "X-Client-Cert: evil",
  "X-ARR-ClientCert: evil",
  "X-URL: /admin",
  "X-URI: /admin",
  "X-Method: DELETE",
  "X-Middleware-Subrequest: middleware",
  "X-Accel-Redirect: /admin",
  "X-Sendfile-Type: X-Accel-Redirect",
  "B3: 0",
  "GRPC-Trace-Bin: AAA=",
  "TraceState: vendor=1",
  "Baggage: user=admin",
  "GRPC-Tags-Bin: AAA=",
  "OT-Baggage-User: admin",
  "UberCtx-User: admin",
  "Jaeger-Baggage: user=admin",
];

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: the client is whom the trusted load balancer saw`, async (t) => {
    const client = { from: "x-forwarded-for", trusted: LOCAL } as const;
    const { backend, open } = await stage(t, binary, { client });
    // All over one connection: what was believed for one request has no say in the next.
    const connection = await open();
    await allowed(() => connection.request(LINE, [HOST]));
    for (const [lines, expected] of FORWARDED) {
      await connection.request(LINE, [HOST, ...lines.map((line) => `x-forwarded-for: ${line}`)]);
      t.strictSame(backend.last("x-forwarded-for"), [expected], lines.join(" | "));
    }
  });

  test(`HAProxy ${binary.version}: X-Forwarded-For of anybody else is not believed`, async (t) => {
    const client = { from: "x-forwarded-for", trusted: ["10.0.0.0/8"] } as const;
    const { backend, open } = await stage(t, binary, { client });
    const connection = await open();
    await allowed(() => connection.request(LINE, [HOST, "x-forwarded-for: 6.6.6.6"]));
    t.strictSame(backend.last("x-forwarded-for"), ["127.0.0.1"]);
  });

  for (const trusted of [[], LOCAL]) {
    test(`HAProxy ${binary.version}: a PROXY header is read, trusting ${trusted.join(" ") || "all"}`, async (t) => {
      const { backend, open } = await stage(t, binary, { client: { from: "proxy-protocol", trusted } });
      await allowed(async () => (await open()).request(PROXIED, [HOST, "x-forwarded-for: 6.6.6.6"]));
      t.strictSame(backend.last("x-forwarded-for"), ["192.0.2.7"]);
      await t.rejects((await open()).request(LINE, [HOST]), "and must be there");
    });
  }

  test(`HAProxy ${binary.version}: a PROXY header of anybody else is no request`, async (t) => {
    const { backend, open } = await stage(t, binary, { client: { from: "proxy-protocol", trusted: ["10.0.0.0/8"] } });
    await allowed(async () => (await open()).request(LINE, [HOST]));
    t.match(await (await open()).request(PROXIED, [HOST]), { status: 400 });
    t.equal(backend.received.length, 1);
  });

  test(`HAProxy ${binary.version}: a client speaks for nobody else`, async (t) => {
    const { backend, open } = await stage(t, binary);
    const connection = await open();
    await allowed(() => connection.request(LINE, [HOST, "accept: */*", ...SPOOFED]));
    const [made = ""] = backend.last("traceparent");
    t.strictSame(backend.received[0]?.headers.map(([name, value]) => `${name}: ${value}`).sort(), [
      "accept: */*",
      HOST,
      `traceparent: ${made}`,
      `x-auth-subject: ${VALUE}`,
      "x-forwarded-for: 127.0.0.1",
      "x-forwarded-proto: http",
      `x-request-id: ${backend.last("x-request-id")[0]}`,
    ]);
  });

  test(`HAProxy ${binary.version}: a trace goes on, without what else it could carry`, async (t) => {
    const { backend, open } = await stage(t, binary);
    const connection = await open();
    const trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
    const sent = [`traceparent: ${trace}`, "tracestate: a=1", "tracestate: b=2", "baggage: user=admin"];
    await allowed(() => connection.request(LINE, [HOST, ...sent]));
    t.strictSame(backend.last("traceparent"), [trace]);
    t.strictSame(backend.last("tracestate"), ["a=1", "b=2"]);
    t.strictSame(backend.last("baggage"), []);
    for (const broken of NO_TRACES) {
      await connection.request(LINE, [HOST, ...broken.map((value) => `traceparent: ${value}`), ...sent.slice(1)]);
      const [id = ""] = backend.last("x-request-id");
      const [made = "", ...more] = backend.last("traceparent");
      t.match(made, new RegExp(`^00-${id}-(?!0{16})[0-9a-f]{16}-01$`), `begun here in place of ${broken}`);
      t.strictSame([more, backend.last("tracestate")], [[], []], String(broken));
    }
  });

  test(`HAProxy ${binary.version}: a backend in the mesh has to be who the verdict says`, async (t) => {
    const { backend, open } = await stage(t, binary, { backendVariables: ["mesh_identity"] });
    const connection = await open();
    const spoofed = ["l5d-require-id: evil", "L5D-Require-Id: evil"];
    await allowed(() => connection.request(LINE, [HOST, ...spoofed]));
    t.strictSame(backend.last("l5d-require-id"), [MESH_IDENTITY]);
    const { headers } = await connection.request(LINE, [HOST]);
    t.notOk(
      Object.keys(headers).some((name) => name.startsWith("l5d")),
      "and its proxy's own headers stay inside",
    );
  });

  test(`HAProxy ${binary.version}: an access token in the query goes nowhere`, async (t) => {
    const { backend, log, open } = await stage(t, binary);
    const connection = await open();
    await allowed(() => connection.request(LINE, [HOST]));
    const before = backend.received.length;
    for (const query of ["access_token=s3cret", "a=1&access_token=s3cret&b=2", "access_token=a&access_token=b"]) {
      const { status, body } = await connection.request(`GET /v1/orders?${query} HTTP/1.1`, [HOST]);
      t.strictSame([status, JSON.parse(body).reason], [400, "credential-in-query"], query);
    }
    t.equal(backend.received.length, before);
    for (const query of ["token_access=1", "q=access_token", "x_access_token=1"]) {
      t.match(await connection.request(`GET /v1/orders?${query} HTTP/1.1`, [HOST]), { status: 200 }, query);
    }
    t.notOk(log.some((line) => line.includes("s3cret")));
  });

  test(`HAProxy ${binary.version}: a WebSocket opens with its identity, and no other upgrade does`, async (t) => {
    const { backend, open } = await stage(t, binary);
    const connection = await open();
    await allowed(() => connection.request(LINE, [HOST]));
    const key = "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==";
    const hops = "connection: keep-alive, Upgrade, x-auth-subject";
    await connection.request(LINE, [HOST, "upgrade: h2c", "http2-settings: AAMAAABkAARAAAAAAAIAAAAA", hops]);
    t.strictSame([backend.last("upgrade"), backend.last("connection")], [[], []]);
    t.match(await connection.request(LINE, [HOST, "upgrade: websocket", key, hops]), { status: 101 });
    t.strictSame([backend.last("upgrade"), backend.last("connection")], [["websocket"], ["upgrade"]]);
    t.strictSame(backend.last("x-auth-subject"), [VALUE]);
    // From here on bytes only pass, and the backend sends back what it gets: here what reads like an answer.
    t.match(await connection.request("HTTP/1.1 299 echo", ["content-length: 0"]), { status: 299 });
  });

  test(`HAProxy ${binary.version}: every line of the access log is one JSON object, without a query`, async (t) => {
    const { log, open } = await stage(t, binary);
    const connection = await open();
    await allowed(() => connection.request(LINE, [HOST]));
    for (const path of [
      "/a?token=s3cret",
      '/"b"\\<c>',
      "http://orders.example.com/d?token=s3cret",
      "/?token=s3cret?",
    ]) {
      await connection.request(`GET ${path} HTTP/1.1`, [HOST]);
    }
    await connection.request("OPTIONS * HTTP/1.1", [HOST]);
    for (const line of ["garbage", "GET /\u0001 HTTP/1.1", "GET /\u00e9 HTTP/1.1"]) {
      await (await open()).request(line, [HOST]).catch(() => {});
    }
    const lines = () => log.filter((line) => line.startsWith("{") && !line.includes("v1"));
    while (lines().length < 8) await new Promise((done) => setTimeout(done, 20));
    const entries = lines().map((line) => JSON.parse(line));
    const types: Readonly<Record<string, Field>> = ACCESS_FIELDS;
    for (const entry of entries) {
      t.strictSame(Object.keys(entry), LOG_FIELDS);
      const odd = Object.keys(entry).filter(
        (name) => (typeof entry[name] === "number") !== (types[name]?.type === "number"),
      );
      t.strictSame(odd, [], "each is of the type that readers are told");
    }
    t.notOk(log.some((line) => line.includes("s3cret")));
    // Several threads write lines, so those of different connections come in any order.
    const paths = entries.map(({ path }) => path);
    for (const path of ["/a", '/"b"\\<c>', "/d", "/", ""]) t.ok(paths.includes(path), path);
    const of = (method: string) => entries.find((entry) => entry.method === method);
    t.match(of("OPTIONS"), { verdict: "deny", reason: "path-ambiguous", status: 400, request_id: /^[0-9a-f]{32}$/ });
    t.match(of("<BADREQ>"), { method: "<BADREQ>", path: "", request_id: "", reason: "", spoe_error: "" });
  });

  test(`HAProxy ${binary.version}: the access log tells of who acts what the contract names, and nothing else`, async (t) => {
    for (const logged of [[], ["client", "actor"]] as const) {
      const { log, open } = await stage(t, binary, { logged });
      const connection = await open();
      await allowed(() => connection.request(LINE, [HOST]));
      const line = () => log.find((each) => each.includes('"status":200'));
      while (line() === undefined) await new Promise((done) => setTimeout(done, 20));
      const { subject, client, actor } = JSON.parse(line() ?? "{}");
      const acted = logged.length === 0 ? [undefined, undefined] : ["assistants", '"pl\\anner"'];
      t.strictSame([subject, client, actor], ["carol", ...acted]);
    }
  });

  test(`HAProxy ${binary.version}: all headers that there may be arrive, at their longest`, async (t) => {
    const names = Array.from({ length: MOST_HEADERS }, (_, n) => `x-auth-${n}-`.padEnd(64, "x"));
    const uses = {
      query: true,
      requestHeaders: names.map((name) => name.replace("auth", "read")),
      identityHeaders: names.map((name) => ({ name, max: 256 })),
      credentials: ["bearer"],
    };
    const { backend, open } = await stage(t, binary, { uses, largestAck: 20_000 });
    const connection = await open();
    await allowed(() => connection.request(LINE, [HOST, ...uses.requestHeaders.map((name) => `${name}: 1`)]));
    for (const name of names) t.strictSame(backend.last(name), [VALUE]);
  });

  test(`HAProxy ${binary.version}: TLS and HTTP/2 in front`, async (t) => {
    const folder = t.testdir({ "site.pem": SERVER_CERTIFICATE + SERVER_KEY });
    const tls = ` ssl crt ${join(folder, "site.pem")} alpn h2,http/1.1`;
    const { backend, port, log } = await stage(t, binary, { scheme: "https" }, tls);
    const session = connect(`https://localhost:${port}`, { ca: AUTHORITY });
    t.teardown(() => session.close());
    const status = async () => {
      const stream = session.request({ ":path": "/v1/orders?token=s3cret", "x-auth-subject": "mallory" });
      const [headers] = await once(stream.resume(), "response");
      return headers[":status"];
    };
    while ((await status()) !== 200) await new Promise((done) => setTimeout(done, 50));
    t.strictSame(backend.last("x-forwarded-proto"), ["https"]);
    t.strictSame(backend.last("x-auth-subject"), [VALUE]);
    while (!log.some((line) => line.includes('"status":200'))) await new Promise((done) => setTimeout(done, 20));
    t.equal(JSON.parse(log.find((line) => line.includes('"status":200')) ?? "{}").path, "/v1/orders");
  });
}
