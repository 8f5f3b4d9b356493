import { type Test, test } from "tap";
import { digestOf, makeKey } from "../../agent/identity/api-key/key.ts";
import { startProvider } from "../../demo/provider.ts";
import { startBackend } from "../support/backend.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { configuration, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const POLICY = `
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [authenticated] }
      - { name: maybe, match: [GET /maybe], allow: [authenticated], optional: true }
      - { name: passed, match: [GET /passed], allow: [authenticated], optional: true, forward_credential: true }
      - { name: open, match: [GET /open], allow: [anyone] }
  people:
    hosts: [people.example.com]
    issuers: [idp]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes: [{ name: all, match: ["GET /{rest...}"], allow: [authenticated], forward_credential: true }]
`;
const PLACES = [
  "authorization",
  { header: "x-token", from: "client" },
  { subprotocol: "bearer" },
  { subprotocol: "token" },
  { header: "x-goog-iap-jwt-assertion", from: ["127.0.0.1/32"] },
  { header: "cf-access-jwt-assertion", from: ["192.0.2.0/24"] },
  { cookie: "sid" },
  { cookie: "other" },
];

/** API keys, one of them of nobody. */
const KEYS = { alice: makeKey("acme_"), bob: makeKey("acme_"), bad: makeKey("acme_") };
const KEY_FILE = {
  keys: Object.fromEntries(
    (["alice", "bob"] as const).map((subject) => {
      const { id, text } = KEYS[subject];
      return [id, { sha256: digestOf(text), subject, kind: "workload", expires: "never" }];
    }),
  ),
};

/** The whole way, all of it real, with an issuer whose tokens may stand anywhere, and one of keys in a header. */
async function stage(t: Test, binary: HaproxyBinary) {
  const provider = await startProvider({ alice: { kind: "person" }, bob: { kind: "person" } });
  t.teardown(() => provider.close());
  const [backend, front] = [await startBackend(t), await freePort()];
  const { text, ...ports } = await configuration(`
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders], credentials: ${JSON.stringify(PLACES)} }
  machines: { type: api-key, prefix: acme_, file: keys.yaml, audiences: [api://orders], credentials: [authorization, { header: x-key, from: client }, { subprotocol: key }] }
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, client: { from: x-forwarded-for, trusted: [127.0.0.1/32] }, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
  const folder = folderOf(t, {
    "countersign.yaml": text,
    "policies/orders.yaml": POLICY,
    "keys.yaml": JSON.stringify(KEY_FILE),
  });
  await serve(t, folder, ports);
  await startHaproxy(t, binary, await generated(folder), front);
  const client = await RawClient.open(front);
  t.teardown(() => client.close());
  const [alice, bob] = [await provider.token("alice"), await provider.token("bob")];
  const bad = `${alice.slice(0, -8)}AAAAAAAA`;
  const ask = async (fields: readonly string[], path = "/v1/orders", host = "orders.example.com") => {
    const before = backend.received.length;
    const answer = await client.request(`GET ${path} HTTP/1.1`, [`host: ${host}`, ...fields]);
    const arrived = backend.received.length > before;
    if (arrived !== (answer.status === 200)) throw new Error("a refusal arrived");
    return arrived ? (backend.last("x-auth-subject")[0] ?? "anonymous") : JSON.parse(answer.body).reason;
  };
  for (let i = 0; i < 200 && (await ask([`authorization: Bearer ${alice}`])) !== "alice"; i++)
    await new Promise((done) => setTimeout(done, 50));
  const keys = { alice: KEYS.alice.text, bob: KEYS.bob.text, bad: KEYS.bad.text };
  return { backend, ask, front, alice, tokens: { alice, bob, bad }, keys };
}

interface Kind {
  readonly rank: string;
  readonly field: (credential: string) => string;
  readonly of?: "keys";
}

/** What there is and where it stands, the explicit before the ambient; those of one letter are of one rank. */
const KINDS: Readonly<Record<string, Kind>> = {
  authorization: { rank: "a", field: (token) => `authorization: Bearer ${token}` },
  "a key": { rank: "a", of: "keys", field: (key) => `authorization: Bearer ${key}` },
  "a header": { rank: "b", field: (token) => `x-token: ${token}` },
  "a key in a header": { rank: "b", of: "keys", field: (key) => `x-key: ${key}` },
  "a subprotocol": { rank: "c", field: (token) => `sec-websocket-protocol: chat, bearer.${token}` },
  "a hop's header": { rank: "d", field: (token) => `x-goog-iap-jwt-assertion: ${token}` },
  "a cookie": { rank: "e", field: (token) => `cookie: sid=${token}` },
  "another cookie": { rank: "e", field: (token) => `cookie: other=${token}` },
};

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: a credential is taken from where it may stand, and goes no further`, async (t) => {
    const { backend, ask, alice: token, ...credentials } = await stage(t, binary);
    for (const [name, { field, of = "tokens" }] of Object.entries(KINDS)) {
      const { alice, bad } = credentials[of];
      const forged = of === "keys" ? "api-key-unknown" : "signature-invalid";
      t.equal(await ask([field(alice)]), "alice", name);
      t.notMatch(JSON.stringify(backend.received.at(-1)), alice, `${name}: the backend does not get it`);
      t.equal(await ask([field(alice)], "/passed"), "alice", name);
      t.match(JSON.stringify(backend.received.at(-1)), alice, `${name}: but where it is to`);
      t.equal(await ask([field(bad)]), forged, name);
      t.equal(await ask([field(bad)], "/maybe"), forged, `${name}: nor is a bad one none`);
      const empty = /Bearer|bearer/.test(field("")) ? "credential-malformed" : "anonymous";
      t.equal(await ask([field("")], "/maybe"), empty);
      t.equal(await ask([field(alice), field(alice)]), "duplicate", `${name}, twice`);
    }
    const elsewhere = [`cf-access-jwt-assertion: ${token}`, "x-forwarded-for: 192.0.2.9"];
    t.equal(await ask(elsewhere), "credential-missing", "a header of another hop is none, whoever the client is");
    t.equal(await ask([`cf-access-jwt-assertion: ${token}`], "/open"), "anonymous");
    t.notMatch(JSON.stringify(backend.received.at(-1)), token, "and goes nowhere");
    for (const field of [
      `x-tokens: ${token}`,
      `cookie: sidx=${token}`,
      `cookie: xsid=${token}`,
      `sec-websocket-protocol: ${token}`,
    ])
      t.equal(await ask([field]), "credential-missing", field.slice(0, 30));
  });

  test(`HAProxy ${binary.version}: of two credentials the explicit counts, good or bad, and never the other`, async (t) => {
    const { backend, ask, ...credentials } = await stage(t, binary);
    const kinds = Object.entries(KINDS);
    for (const [at, [name, first]] of kinds.entries()) {
      const one = credentials[first.of ?? "tokens"];
      const forged = first.of === "keys" ? "api-key-unknown" : "signature-invalid";
      for (const [other, second] of kinds.slice(at + 1)) {
        const two = credentials[second.of ?? "tokens"];
        const both = (a: string, b: string) => ask([second.field(b), first.field(a)], "/passed");
        const same = first.rank === second.rank ? "duplicate" : undefined;
        t.equal(await both(one.alice, two.bob), same ?? "alice", `${name}, ${other}`);
        if (same === undefined) {
          t.match(JSON.stringify(backend.received.at(-1)), one.alice, "what has proven it is passed on");
          t.notMatch(JSON.stringify(backend.received.at(-1)), two.bob, "and nothing else");
        }
        t.equal(await both(one.alice, two.bad), same ?? "alice", `${name}, bad ${other}`);
        t.equal(await both(one.bad, two.bob), same ?? forged, `bad ${name}, ${other}`);
        t.equal(await both(one.bad, two.bad), same ?? forged, `bad ${name}, bad ${other}`);
      }
    }
  });

  test(`HAProxy ${binary.version}: only the credential is taken out of a list of cookies or subprotocols`, async (t) => {
    const { backend, ask, alice, front, tokens, keys } = await stage(t, binary);
    const lists = (name: string, cases: Readonly<Record<string, readonly string[]>>) => async () => {
      for (const [list, left] of Object.entries(cases)) {
        t.equal(await ask([`${name}: ${list.replace("TOKEN", alice)}`]), "alice", list);
        t.strictSame(backend.last(name), left, `${name}: ${list}`);
      }
    };
    await lists("cookie", {
      "sid=TOKEN": [],
      "sid=TOKEN; a=1": ["a=1"],
      "a=1; sid=TOKEN": ["a=1;"],
      "a=1;sid=TOKEN;b=2": ["a=1;b=2"],
      "a=1; sid=TOKEN; b=2; xsid=3; sidx=4": ["a=1; b=2; xsid=3; sidx=4"],
      "sid = TOKEN; b=2": ["b=2"],
      'a="sid=x"; sid=TOKEN; b=2': [],
      'sid=TOKEN; "sid"=x; b=2': [],
      "sid=TOKEN; sid\v=x": [],
      "sid=TOKEN; \fsid=x": [],
      "sid=TOKEN; sid\xa0=x": [],
      "a=1,2; sid=TOKEN; b=3,4": ["a=1,2; b=3,4"],
      "a=1, sidx=2; sid=TOKEN": ["a=1, sidx=2;"],
    })();
    // HAProxy would read one of these, and a browser sends another or none.
    for (const cookie of [
      `a=1,sid=${alice}`,
      `a=1, sid =${alice}`,
      `sid=${alice}; a=1,sid=${tokens.bob}`,
      `a="; sid=${alice}; b="; sid=${tokens.bob}`,
      `a="; sid=${alice}; b=",sid=${tokens.bob}`,
    ]) {
      t.equal(await ask([`cookie: ${cookie}`], "/maybe"), "duplicate", cookie.slice(0, 12));
    }
    t.equal(await ask(["cookie: a=1", `cookie: sid=${alice}`], "/maybe"), "duplicate", "in two headers");
    await lists("sec-websocket-protocol", {
      "bearer.TOKEN": [],
      "bearer.TOKEN, chat": ["chat"],
      "chat, bearer.TOKEN": ["chat"],
      "chat,bearer.TOKEN,v2": ["chat,v2"],
      "chat , bearer.TOKEN , v2, xbearer.a": ["chat ,v2, xbearer.a"],
    })();
    const websocket = await RawClient.open(front);
    t.teardown(() => websocket.close());
    const opened = await websocket.request("GET /v1/orders HTTP/1.1", [
      "host: orders.example.com",
      ...["upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13"],
      "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
      `sec-websocket-protocol: chat, bearer.${alice}`,
    ]);
    t.equal(opened.status, 101, "a WebSocket is opened by it");
    t.strictSame([backend.last("x-auth-subject"), backend.last("sec-websocket-protocol")], [["alice"], ["chat"]]);
    for (const other of [`token.${tokens.bob}`, `key.${keys.bob}`]) {
      const list = [`sec-websocket-protocol: chat, bearer.${alice}, ${other}`];
      t.equal(await ask(list), "duplicate", `two that this service takes, ${other.slice(0, 6)}`);
    }
    const ignored = [`sec-websocket-protocol: chat, bearer.${alice}, key.${keys.bob}`];
    t.equal(await ask(ignored, "/", "people.example.com"), "alice", "what its service does not take is ignored");
    t.strictSame(backend.last("sec-websocket-protocol"), [`chat, bearer.${alice}`], "and goes no further");
    for (const list of [`bearer.${alice}, bearer.${alice}`, `bearer.${alice}, bearer.`, "bearer.", "bearer.a b"])
      t.equal(await ask([`sec-websocket-protocol: ${list}`], "/maybe"), "credential-malformed", list.slice(0, 12));
  });
}
