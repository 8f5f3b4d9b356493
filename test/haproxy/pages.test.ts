import { type Test, test } from "tap";
import { startProvider } from "../../demo/provider.ts";
import { startBackend } from "../support/backend.ts";
import { freePort, type HaproxyBinary, haproxies, startHaproxy } from "../support/haproxy.ts";
import { type HttpAnswer, RawClient } from "../support/http.ts";
import { configuration, folderOf, type Served, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const APP = "https://app.example.com";
const EVIL = "https://evil.example";
const OWN = "http://orders.example.com";
const POLICY = `
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    cors: { origins: ["${APP}", "http://localhost:3000"], headers: [x-tenant], expose: [x-total], credentials: true, max_age: 5m }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [authenticated] }
      - { name: write, match: [POST /v1/orders], allow: [authenticated] }
      - { name: open, match: ["GET|OPTIONS /open"], allow: [anyone] }
  apps:
    hosts: ["*.apps.example.com"]
    backend: orders
    cors: { origins: ["*"] }
    routes: [{ name: read, match: [GET /v1/orders], allow: [authenticated] }]
  plain:
    hosts: [plain.apps.example.com]
    backend: orders
    routes: [{ name: read, match: ["GET|POST /v1/orders"], allow: [authenticated] }]
`;

interface Asked {
  readonly method?: string;
  readonly host?: string;
  readonly path?: string;
  readonly origin?: string;
  readonly fields?: readonly string[];
}

/** One provider, agent and backend for all HAProxys: the files for the oldest work on all of them. */
async function parties(t: Test) {
  const provider = await startProvider({ alice: { kind: "person" } });
  t.teardown(() => provider.close());
  const [backend, bind] = [await startBackend(t), await freePort()];
  const { text, ...ports } = await configuration(`
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders], credentials: [authorization, { cookie: sid }, { subprotocol: bearer }] }
haproxy: { version: "2.6", bind: ["127.0.0.1:${bind}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": POLICY });
  const served = await serve(t, folder, ports);
  return { backend, bind, served, files: await generated(folder), token: await provider.token("alice") };
}

async function front(
  t: Test,
  binary: HaproxyBinary,
  { backend, bind, files, token }: Awaited<ReturnType<typeof parties>>,
) {
  const port = await freePort();
  const own = Object.entries(files).map(([name, text]) => [name, text.replaceAll(`:${bind}`, `:${port}`)]);
  await startHaproxy(t, binary, Object.fromEntries(own), port);
  const open = async () => {
    const client = await RawClient.open(port);
    t.teardown(() => client.close());
    return client;
  };
  const kept = await open();
  const ask = async (asked: Asked, client = kept) => {
    const { method = "GET", host = "orders.example.com", path = "/v1/orders", origin, fields = [] } = asked;
    const before = backend.received.length;
    const own = origin === undefined ? [] : [`origin: ${origin}`];
    const answer = await client.request(`${method} ${path} HTTP/1.1`, [`host: ${host}`, ...own, ...fields]);
    const arrived = backend.received.length > before;
    const expected = [101, 200].includes(answer.status) && answer.headers["access-control-max-age"] === undefined;
    if (arrived !== expected) throw new Error("only what is allowed arrives");
    return { ...answer, reason: answer.body.startsWith("{") ? JSON.parse(answer.body).reason : "" };
  };
  const bearer = `authorization: Bearer ${token}`;
  for (let i = 0; i < 200 && (await ask({ fields: [bearer] })).status !== 200; i++)
    await new Promise((done) => setTimeout(done, 50));
  return {
    ask,
    open,
    bearer,
    cookie: `cookie: sid=${token}`,
    subprotocol: `sec-websocket-protocol: chat, bearer.${token}`,
  };
}

/** What an answer says to a browser, but for the names that it lists. */
function said({ status, headers }: HttpAnswer) {
  return [status, headers["access-control-allow-origin"], headers["access-control-allow-credentials"], headers.vary];
}

const FOREIGN = [
  EVIL,
  "null",
  "http://app.example.com",
  "https://app.example.com:8443",
  "https://app.example.com.evil.example",
  "https://xapp.example.com",
  "https://APP.example.com",
  "https://app.example.com/",
  "*",
];
const PREFLIGHT = ["access-control-request-method: POST", "access-control-request-headers: authorization"];
const UPGRADE = [
  ...["upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13"],
  "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
];

async function killed({ child }: Served): Promise<void> {
  const gone = new Promise((done) => child.once("close", done));
  child.kill("SIGKILL");
  await gone;
}

test("pages of other origins: what is listed is told back, also in refusals, and nothing else ever is", async (t) => {
  const all = await parties(t);
  const fronts = [];
  for (const binary of haproxies()) fronts.push({ version: binary.version, ...(await front(t, binary, all)) });
  for (const { version, ask, open, bearer, cookie, subprotocol } of fronts) {
    const taken = (status: number) => [status, APP, "true", "origin"];
    const refused = [403, undefined, undefined, "origin"];

    const asked = await ask({ method: "OPTIONS", origin: APP, fields: PREFLIGHT });
    t.strictSame(said(asked), taken(200), version);
    t.match(asked.headers, {
      "access-control-allow-methods": "GET, HEAD, OPTIONS, POST",
      "access-control-allow-headers": "authorization, content-type, sec-websocket-protocol, x-tenant",
      "access-control-expose-headers": "retry-after, www-authenticate, x-total",
      "access-control-max-age": "300",
    });
    t.strictSame(said(await ask({ method: "OPTIONS", origin: "http://localhost:3000", fields: PREFLIGHT }))[0], 200);
    const two = await ask({ fields: [`origin: ${APP}`, `origin: ${EVIL}`] });
    t.strictSame(said(two).slice(0, 3), [400, undefined, undefined], "of two origins none is told back");
    const own = await ask({ origin: APP, path: "/.countersign/jwks.json" });
    t.equal(own.headers["access-control-allow-origin"], undefined, "the agent's own pages are for no script");
    for (const origin of FOREIGN) {
      for (const [path, fields] of [
        ["/v1/orders", [bearer]],
        ["/v1/orders", []],
        ["/open", []],
      ] as const) {
        const answer = await ask({ origin, path, fields });
        t.strictSame([...said(answer), answer.reason], [...refused, "origin-not-allowed"], origin);
      }
      // Even where OPTIONS has a route that anybody may use.
      t.strictSame(said(await ask({ method: "OPTIONS", path: "/open", origin, fields: PREFLIGHT })), refused, origin);
      t.equal((await ask({ method: "OPTIONS", origin, fields: PREFLIGHT })).status, 403);
    }

    t.strictSame(said(await ask({ origin: APP, fields: [bearer] })), taken(200), "a backend's own word does not count");
    t.strictSame(said(await ask({ fields: [bearer] })), [200, undefined, undefined, "origin"], "nor without a page");
    const refusals: readonly (readonly [status: number, reason: string, asked: Asked])[] = [
      [401, "credential-missing", {}],
      [401, "token-malformed", { fields: ["authorization: Bearer x"] }],
      [403, "route-unknown", { path: "/nowhere" }],
      [400, "path-ambiguous", { path: "/v1//orders" }],
      [400, "duplicate", { fields: [bearer, bearer] }],
      [400, "credential-in-query", { path: "/v1/orders?access_token=x" }],
    ];
    for (const [status, reason, what] of refusals) {
      const answer = await ask({ origin: APP, ...what });
      t.strictSame([...said(answer), answer.reason], [...taken(status), reason]);
    }
    t.equal((await ask({ origin: APP, fields: [`origin: ${EVIL}`, bearer] })).reason, "duplicate");

    for (const [name, field] of Object.entries({ cookie, subprotocol })) {
      for (const origin of [APP, OWN, undefined])
        t.equal((await ask({ ...(origin && { origin }), fields: [field] })).status, 200, `${name}: ${origin}`);
      t.equal((await ask({ origin: EVIL, fields: [field] })).reason, "origin-not-allowed", name);
      for (const host of ["plain.apps.example.com", "a.apps.example.com"]) {
        const at = (origin: string, fields: readonly string[]) => ask({ host, origin, fields });
        t.strictSame([403, "origin-not-allowed"], [(await at(EVIL, [field])).status, (await at(EVIL, [field])).reason]);
        t.equal((await at(`http://${host}`, [field])).status, 200, `${host}: its own`);
        t.equal((await at(`https://${host}`, [field])).status, 403, "another scheme");
        t.equal((await at(`http://${host}:81`, [field])).status, 403, "another port");
      }
    }
    t.strictSame(
      said(await ask({ host: "plain.apps.example.com", origin: EVIL, fields: [bearer] })).slice(0, 2),
      [200, "https://elsewhere.example"],
      "where nothing is said of pages, what a backend says stays",
    );
    const any = { host: "a.apps.example.com", fields: [bearer] };
    t.strictSame(said(await ask({ ...any, origin: EVIL })), [200, "*", undefined, "origin"]);
    t.strictSame(said(await ask({ ...any, origin: "null" })), refused);

    for (const [origin, status] of [
      [EVIL, 403],
      ["null", 403],
      [APP, 101],
    ] as const) {
      const answer = await ask({ origin, fields: [...UPGRADE, cookie] }, await open());
      t.equal(answer.status, status, `a WebSocket of ${origin}`);
    }
  }

  await killed(all.served);
  for (const { version, ask, bearer } of fronts) {
    const answer = await ask({ origin: APP, fields: [bearer] });
    t.strictSame([...said(answer), answer.reason], [503, APP, "true", "origin", "agent-unavailable"], version);
    t.equal((await ask({ method: "OPTIONS", origin: APP, fields: PREFLIGHT })).status, 200, "and no agent is needed");
    t.strictSame(said(await ask({ origin: EVIL, fields: [bearer] })), [503, undefined, undefined, "origin"]);
  }
});
