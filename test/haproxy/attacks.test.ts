import { readFileSync } from "node:fs";
import { type Test, test } from "tap";
import { type HaproxyBinary, haproxies } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { stage } from "../support/stage.ts";

// Bugs that comparable systems had, each tried on the whole way through real HAProxys.
const POLICY = `
roles:
  admin: [{ issuer: idp, group: Admins }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [authenticated] }
      - { name: admin, match: ["* /admin/{path...}"], allow: [admin] }
      - { name: maybe, match: [GET /maybe], allow: [authenticated], optional: true }
      - { name: passed, match: [GET /passed], allow: [authenticated], optional: true, forward_credential: true }
      - { name: public, match: ["GET /public/{path...}"], allow: [anyone] }
      - { name: rest, match: ["* /p", "* /"], allow: [anyone] }
`;
/** The requests of test/contract/targets.json that come over HTTP/1. */
const TARGETS = JSON.parse(
  readFileSync(new URL("../contract/targets.json", import.meta.url), "utf8").replaceAll("LONG", "l".repeat(3000)),
).http1 as readonly (readonly [line: string, ...fields: string[]])[];
const HOST = "host: orders.example.com";

/** Headers by which others were talked into judging another request, another client or no request at all. */
const PERSUASIONS = [
  ...[
    "uri",
    "url",
    "path",
    "prefix",
    "method",
    "host",
    "proto",
    "server",
    "for",
    "port",
    "user",
    "groups",
    "email",
  ].map((name) => `x-forwarded-${name}`),
  ...["x-original-url", "x-original-uri", "x-original-method", "x-original-host", "x-rewrite-url", "x-real-ip"],
  ...["x-http-method", "x-http-method-override", "x-method-override", "x-client-ip", "true-client-ip", "x-host"],
  ...["x-auth-subject", "x-auth-roles", "x_auth_subject", "x-auth-request-user", "remote-user", "x-remote-user"],
  ...["x-countersign-verdict", "verdict", "x-request-id", "l5d-client-id", "l5d-dst-override", "l5d-require-id"],
  ...["proxy-authorization", "x-api-key", "x-internal", "x-debug", "x-health-check", "via", "referer", "origin"],
];
const VALUES = ["/public/x", "/healthz", "127.0.0.1", "admin", "GET", "allow"];
const OTHERS = [
  "user-agent: kube-probe/1.31",
  "user-agent: GoogleHC/1.0",
  "user-agent: ELB-HealthChecker/2.0",
  "forwarded: for=127.0.0.1;host=orders.example.com;proto=https",
  "cookie: session=admin; _oauth2_proxy=x; SPOE_AUTH=1",
  "authorization: Basic YWRtaW46YWRtaW4=",
  "authorization: Negotiate YII=",
  "connection: authorization",
  "connection: host, x-auth-subject, close",
  "te: trailers",
  "expect: 100-continue",
  "upgrade: h2c",
];

async function begin(t: Test, binary: HaproxyBinary) {
  const staged = await stage(t, binary, POLICY, { root: { kind: "person", groups: ["Admins"] } });
  for (let i = 0; i < 200 && (await staged.ask()).status !== 200; i++)
    await new Promise((done) => setTimeout(done, 50));
  const [alice, root] = [await staged.provider.token("alice"), await staged.provider.token("root")];
  const request = async (line: string, ...fields: string[]) => {
    const client = await RawClient.open(staged.front);
    const answer = await client.request(line, fields).catch(() => ({ status: 400, headers: {}, body: "" }));
    client.close();
    return answer;
  };
  return {
    ...staged,
    alice: `authorization: Bearer ${alice}`,
    root: `authorization: Bearer ${root}`,
    rootToken: root,
    request,
  };
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: no header turns a refusal into anything else`, async (t) => {
    const { request, alice, backend } = await begin(t, binary);
    const before = backend.received.length;
    const persuasions = [...PERSUASIONS.flatMap((name) => VALUES.map((value) => `${name}: ${value}`)), ...OTHERS];
    const odd: string[] = [];
    for (const field of persuasions) {
      const nobody = await request("GET /v1/orders HTTP/1.1", HOST, field);
      if (nobody.status !== 401 && nobody.status !== 400) odd.push(`nobody, ${field}: ${nobody.status}`);
      if (field.startsWith("authorization")) continue;
      const somebody = await request("POST /admin/users HTTP/1.1", HOST, alice, "content-length: 0", field);
      if (somebody.status !== 403 && somebody.status !== 400) odd.push(`alice, ${field}: ${somebody.status}`);
    }
    t.strictSame(odd, []);
    t.equal(backend.received.length, before, "nothing arrived");
  });

  test(`HAProxy ${binary.version}: neither query, fragment nor spelling leads to another rule, nor a backend elsewhere`, async (t) => {
    const { request, alice, root, backend } = await begin(t, binary);
    t.equal((await request("GET /admin/users HTTP/1.1", HOST, root)).status, 200, "the administrator may");
    t.equal((await request("GET /public/a HTTP/1.1", HOST)).status, 200, "and all may here");
    const before = backend.received.length;
    const odd: string[] = [];
    for (const target of [
      ...["/admin/users?/public", "/admin/users?x=/public/a", "/admin/users#/public", "/admin/users%23/public"],
      ...["/admin/users%3f/public", "/admin/users;/public", "/admin/users/..;/public", "/public/../admin/users"],
      ...["/public/..%2fadmin/users", "/public/%2e%2e/admin/users", "/public/.%2e/admin/users", "/public%2f..%2fadmin"],
      ...[
        "/public/..%5cadmin/users",
        "/public\\..\\admin",
        "//admin/users",
        "/public//../admin/users",
        "/./admin/users",
      ],
      ...["/public/%252e%252e/admin/users", "/admin/users%00.png", "/%61dmin/users", "/admin%20/users", "/ADMIN/users"],
      ...["/public/..;/admin/users", "/public;/../admin", "/public/%c0%ae%c0%ae/admin", "/public/\u00e9/../admin"],
      ...["http://orders.example.com/admin/users", "https://evil.example/public/a", "http://evil.example/admin/users"],
    ]) {
      const { status } = await request(`GET ${target} HTTP/1.1`, HOST, alice);
      if (status !== 400 && status !== 403) odd.push(`${target}: ${status}`);
    }
    t.strictSame(odd, []);
    t.equal(backend.received.length, before, "nothing arrived");

    for (const [line, ...fields] of TARGETS) await request(line, ...fields);
    const arrived = backend.received.slice(before).map(({ line }) => line.split(" ").slice(1, -1).join(" "));
    t.ok(arrived.includes("/p?x"), "absolute targets are requests too");
    for (const target of arrived) {
      const { host, pathname } = new URL(target, "http://orders.example.com");
      t.strictSame([host, pathname], ["orders.example.com", target.split("?")[0]], target.slice(0, 100));
    }
  });

  test(`HAProxy ${binary.version}: a credential counts in its own place only, and a bad one is not none`, async (t) => {
    const { request, alice, root, rootToken, backend, provider } = await begin(t, binary);
    t.equal((await request("GET /maybe HTTP/1.1", HOST)).status, 200, "nobody may");
    t.strictSame(backend.last("x-auth-subject"), [], "as nobody");
    t.equal((await request("GET /maybe HTTP/1.1", HOST, alice)).status, 200);
    t.strictSame(backend.last("x-auth-subject"), ["alice"]);
    t.strictSame(backend.last("authorization"), [], "the backend gets no credential");
    await request("GET /passed HTTP/1.1", HOST, alice);
    t.strictSame(
      backend.last("authorization"),
      [alice.slice("authorization: ".length)],
      "but where the policy says so",
    );
    t.strictSame(backend.last("x-auth-subject"), ["alice"]);
    await request("GET /passed HTTP/1.1", HOST, "authorization: Basic YWRtaW46YWRtaW4=");
    t.strictSame(backend.last("x-auth-subject"), [], "a scheme that proves nothing makes nobody");
    t.strictSame(backend.last("authorization"), [], "and is not passed on");
    const before = backend.received.length;
    const elsewhere = [
      `cookie: session=${rootToken}`,
      `x-auth-token: ${rootToken}`,
      `proxy-authorization: Bearer ${rootToken}`,
      `dpop: ${rootToken}`,
      `x-forwarded-access-token: ${rootToken}`,
      `authorization: Basic ${rootToken}`,
      `authorization: ${rootToken}`,
      `authorization: Bearer${rootToken}`,
      `authorization: Bearer ${rootToken}, Bearer ${rootToken}`,
      `authorization: Bearer ${rootToken} ${rootToken}`,
    ];
    for (const field of elsewhere) {
      const { status } = await request("GET /admin/users HTTP/1.1", HOST, field);
      t.equal(status, 401, field.slice(0, 28));
    }
    const query = await request(`GET /admin/users?access_token=${rootToken} HTTP/1.1`, HOST);
    t.equal(query.status, 400, "in the query (RFC 6750, section 2.3) it goes nowhere");
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: provider.issuer, sub: "alice", aud: "api://orders", exp: now + 600 };
    for (const [name, token] of [
      ["another audience", await provider.sign({ ...claims, aud: "api://billing" })],
      ["another type", await provider.sign(claims, { typ: "id_token+jwt" })],
      ["another issuer", await provider.sign({ ...claims, iss: "https://evil.example" })],
      ["expired", await provider.sign({ ...claims, exp: now - 3600 })],
      ["garbage", "garbage"],
    ] as const) {
      const answer = await request("GET /maybe HTTP/1.1", HOST, `authorization: Bearer ${token}`);
      t.equal(answer.status, 401, `${name}, where a credential is optional`);
      t.match(answer.headers, { "www-authenticate": 'Bearer realm="orders.example.com", error="invalid_token"' });
    }
    for (const value of ["Bearer\t", "Bearer:", "Bearer=", "Bearer", 'Bearer "']) {
      const answer = await request("GET /maybe HTTP/1.1", HOST, `authorization: ${value}${rootToken}`);
      t.equal(answer.status, 401, `${JSON.stringify(value)}, where a credential is optional`);
    }
    t.equal((await request("GET /admin/users HTTP/1.1", HOST, alice, root)).status, 400, "two are a mistake");
    t.equal(backend.received.length, before, "nothing arrived");
  });
}
