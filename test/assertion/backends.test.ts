import { spawn } from "node:child_process";
import { createHash, createPublicKey } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import jwt from "jsonwebtoken";
import { test } from "tap";
import { ringText, rotated } from "../../agent/assertion/rotate.ts";
import { freePort, type HaproxyBinary, haproxies, newestHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { command } from "../support/serve.ts";
import { type Stage, stage } from "../support/stage.ts";

const ISSUER = "https://api.example.com";
const RING_FILE = "assertion-keys.json";
const POLICY = `
roles: { reader: [{ issuer: idp }] }
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: [GET /v1/orders, "GET /v1/orders/{id}"], allow: [reader] }
      - { name: maybe, match: [GET /maybe], allow: [authenticated], optional: true }
      - { name: health, match: [GET /healthz], allow: [anyone] }
`;

async function asserting(t: Parameters<typeof stage>[0], binary: HaproxyBinary): Promise<Stage> {
  const more = `assertion: { issuer: "${ISSUER}", keys: ${RING_FILE} }`;
  const ring = ringText(rotated([], { now: Math.floor(Date.now() / 1000), after: 0, algorithm: "ES256" }));
  const files = { [RING_FILE]: ring };
  return await stage(t, binary, POLICY, {}, more, files, `, web: 127.0.0.1:${await freePort()}`);
}

async function keysOf({ client }: Stage): Promise<JSONWebKeySet> {
  const { status, body } = await client.request("GET /.countersign/jwks.json HTTP/1.1");
  if (status !== 200) throw new Error(`no keys: ${status}`);
  return JSON.parse(body);
}

const EXPECTED = { issuer: ISSUER, audience: "orders", typ: "countersign+jwt" };

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: a backend learns who asks, and nothing else by the agent's own pages`, async (t) => {
    const at = await asserting(t, binary);
    await at.untilAllowed();

    await t.test("a backend can check who asks, and what", async (t) => {
      const forged = "x-auth-assertion: eyJhbGciOiJub25lIn0.e30.";
      t.equal((await at.ask({ path: "/v1/orders/42?page=1", header: forged })).status, 200);
      const [assertion = "", ...others] = at.backend.last("x-auth-assertion");
      t.strictSame(others, []);
      const keys = await keysOf(at);
      t.notOk(JSON.stringify(keys).includes('"d"'), "no private part is published");
      const { payload } = await jwtVerify(assertion, createLocalJWKSet(keys), EXPECTED);
      const { exp = 0, iat = 0, ...claims } = payload;
      t.strictSame(claims, {
        iss: ISSUER,
        aud: "orders",
        sub: "alice",
        idp: "idp",
        kind: "person",
        client_id: claims.client_id,
        groups: [],
        roles: ["reader"],
        scope: claims.scope,
        jti: at.backend.last("x-request-id")[0],
        request: {
          method: "GET",
          host: "orders.example.com",
          path: createHash("sha256").update("/v1/orders/42").digest("base64url"),
        },
      });
      t.equal(exp - iat, 60);
      // The other library: https://www.npmjs.com/package/jsonwebtoken
      const key = createPublicKey({ key: keys.keys[0] as never, format: "jwk" });
      const verified = jwt.verify(assertion, key, { issuer: ISSUER, audience: "orders", algorithms: ["ES256"] });
      t.match(verified, { sub: "alice", idp: "idp" });
      t.throws(() => jwt.verify(`${assertion.slice(0, -2)}AA`, key), /invalid signature/);

      await at.ask();
      t.not(at.backend.last("x-auth-assertion")[0], assertion, "each request has its own");
      for (const path of ["/healthz", "/maybe"]) {
        const { status } = await at.client.request(`GET ${path} HTTP/1.1`, ["host: orders.example.com", forged]);
        t.strictSame(
          [status, at.backend.last("x-auth-assertion")],
          [200, []],
          `${path}: nobody, and nothing of theirs`,
        );
      }
    });

    await t.test("the agent's own pages are all that passes without a verdict", async (t) => {
      const before = at.backend.received.length;
      const answer = await at.client.request("GET /.countersign/jwks.json?x=1 HTTP/1.1", ["host: anything"]);
      t.match(answer, {
        status: 200,
        headers: { "content-type": "application/jwk-set+json", "cache-control": "public, max-age=300" },
      });
      for (const [line, status] of [
        ["GET /.countersign/ HTTP/1.1", 404],
        ["GET /.countersign/../v1/orders HTTP/1.1", 404],
        ["GET /.countersign/..%2fhealthz HTTP/1.1", 404],
        ["GET http://orders.example.com/.countersign/x HTTP/1.1", 404],
        ["POST /.countersign/jwks.json HTTP/1.1", 405],
        ["GET /.countersign HTTP/1.1", 403],
        ["GET /.Countersign/jwks.json HTTP/1.1", 403],
        ["GET //.countersign/jwks.json HTTP/1.1", 400],
        ["GET /%2ecountersign/jwks.json HTTP/1.1", 400],
        ["GET /x/../.countersign/jwks.json HTTP/1.1", 400],
      ] as const) {
        const client = await RawClient.open(at.front);
        const answered = await client.request(line, ["host: orders.example.com", "content-length: 0"]);
        t.equal(answered.status, status, line);
        client.close();
      }
      t.equal(at.backend.received.length, before, "no backend was asked");
    });
  });
}

test("keys are rotated under load, and no request is refused nor any assertion unknown", async (t) => {
  const at = await asserting(t, newestHaproxy());
  await at.untilAllowed();
  const file = join(at.folder, RING_FILE);
  const kids = new Set<string>();
  /** As a backend has them that fetched them some time ago. */
  let keys = await keysOf(at);
  const request = async () => {
    t.equal((await at.ask()).status, 200);
    const [assertion = ""] = at.backend.last("x-auth-assertion");
    await jwtVerify(assertion, createLocalJWKSet(keys), EXPECTED);
    kids.add(decodeProtectedHeader(assertion).kid ?? "");
    await new Promise((done) => setTimeout(done, 10));
  };
  /** As if the hour had passed. */
  const pass = (seconds: number) => {
    const ring = JSON.parse(readFileSync(file, "utf8"));
    ring.keys[1].nbf = Math.floor(Date.now() / 1000) - seconds;
    ring.keys[0].nbf = 0;
    writeFileSync(file, JSON.stringify(ring));
  };
  const [old = ""] = keys.keys.map(({ kid = "" }) => kid);
  const { code, out } = await command(["keys", "rotate", file, "--algorithm", "EdDSA", "--json"]);
  t.equal(code, 0, out);
  const { kid } = JSON.parse(out);
  while (keys.keys.length < 2) {
    await request();
    keys = await keysOf(at);
  }
  await request();
  t.strictSame([...kids], [old], "it was published before it signed");
  pass(0);
  while (!kids.has(kid)) await request();
  t.strictSame(
    (await keysOf(at)).keys.map((key) => key.kid),
    [old, kid],
    "the one before is still published",
  );
  pass(121);
  while ((await keysOf(at)).keys.length > 1) await request();
  keys = await keysOf(at);
  t.strictSame(
    keys.keys.map((key) => key.kid),
    [kid],
    "and then no more",
  );
  await request();
  writeFileSync(file, "{}");
  await at.served.said("reload failed");
  await request();
});

test("the backend that docs/assertion.md shows takes what is meant for it, and nothing else", async (t) => {
  const at = await asserting(t, newestHaproxy());
  await at.untilAllowed();
  const page = readFileSync(new URL("../../docs/assertion.md", import.meta.url), "utf8");
  const [, snippet = ""] = /<!-- The tests run this one. -->\n```js\n(.*?)```/s.exec(page) ?? [];
  const port = await freePort();
  const KEYS = `http://127.0.0.1:${at.front}/.countersign/jwks.json`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", snippet], {
    // Where it finds jose.
    cwd: new URL("../..", import.meta.url).pathname,
    env: { PATH: process.env.PATH, ISSUER, KEYS, PORT: String(port) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  await at.ask({ path: "/v1/orders/42" });
  const [assertion = ""] = at.backend.last("x-auth-assertion");
  const ask = async (line: string, fields: readonly string[]) => {
    const client = await RawClient.open(port);
    const { status, body } = await client.request(line, [...fields, "connection: close"]);
    client.close();
    return [status, body];
  };
  const header = `x-auth-assertion: ${assertion}`;
  const host = "host: Orders.example.com:8080";
  t.strictSame(await ask("GET /v1/orders/42?page=2 HTTP/1.1", [host, header]), [
    200,
    '{"sub":"alice","idp":"idp","roles":["reader"]}',
  ]);
  for (const [line, fields] of [
    ["GET /v1/orders/43 HTTP/1.1", [host, header]],
    ["POST /v1/orders/42 HTTP/1.1", [host, header, "content-length: 0"]],
    ["GET /v1/orders/42 HTTP/1.1", ["host: files.example.com", header]],
    ["GET /v1/orders/42 HTTP/1.1", [host]],
    ["GET /v1/orders/42 HTTP/1.1", [host, `${header}x`]],
  ] as const) {
    t.equal((await ask(line, fields))[0], 401, `${line} ${fields}`);
  }
});
