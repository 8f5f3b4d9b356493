import { type Test, test } from "tap";
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
`;
const PLACES = [
  "authorization",
  { header: "x-token", from: "client" },
  { header: "x-key", from: "client" },
  { subprotocol: "bearer" },
  { header: "x-goog-iap-jwt-assertion", from: ["127.0.0.1/32"] },
  { header: "cf-access-jwt-assertion", from: ["192.0.2.0/24"] },
  { cookie: "sid" },
  { cookie: "other" },
];

/** The whole way, all of it real, with an issuer whose tokens may stand anywhere. */
async function stage(t: Test, binary: HaproxyBinary) {
  const provider = await startProvider({ alice: { kind: "person" }, bob: { kind: "person" } });
  t.teardown(() => provider.close());
  const [backend, front] = [await startBackend(t), await freePort()];
  const { text, ...ports } = await configuration(`
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders], credentials: ${JSON.stringify(PLACES)} }
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, client: { from: x-forwarded-for, trusted: [127.0.0.1/32] }, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": POLICY });
  await serve(t, folder, ports);
  await startHaproxy(t, binary, await generated(folder), front);
  const client = await RawClient.open(front);
  t.teardown(() => client.close());
  const [alice, bob] = [await provider.token("alice"), await provider.token("bob")];
  const bad = `${alice.slice(0, -8)}AAAAAAAA`;
  const ask = async (fields: readonly string[], path = "/v1/orders") => {
    const before = backend.received.length;
    const answer = await client.request(`GET ${path} HTTP/1.1`, ["host: orders.example.com", ...fields]);
    const arrived = backend.received.length > before;
    if (arrived !== (answer.status === 200)) throw new Error("a refusal arrived");
    return arrived ? (backend.last("x-auth-subject")[0] ?? "anonymous") : JSON.parse(answer.body).reason;
  };
  for (let i = 0; i < 200 && (await ask([`authorization: Bearer ${alice}`])) !== "alice"; i++)
    await new Promise((done) => setTimeout(done, 50));
  return { backend, ask, alice, bob, bad };
}

/** Where a token stands, the explicit before the ambient; those of one letter are of one rank. */
const FIELDS: Readonly<Record<string, { readonly rank: string; readonly field: (token: string) => string }>> = {
  authorization: { rank: "a", field: (token) => `authorization: Bearer ${token}` },
  "a header": { rank: "b", field: (token) => `x-token: ${token}` },
  "another header": { rank: "b", field: (token) => `x-key: ${token}` },
  "a subprotocol": { rank: "c", field: (token) => `sec-websocket-protocol: chat, bearer.${token}` },
  "a hop's header": { rank: "d", field: (token) => `x-goog-iap-jwt-assertion: ${token}` },
  "a cookie": { rank: "e", field: (token) => `cookie: sid=${token}` },
  "another cookie": { rank: "e", field: (token) => `cookie: other=${token}` },
};

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: a credential is taken from where it may stand, and goes no further`, async (t) => {
    const { backend, ask, alice, bad } = await stage(t, binary);
    for (const [name, { field }] of Object.entries(FIELDS)) {
      t.equal(await ask([field(alice)]), "alice", name);
      t.notMatch(JSON.stringify(backend.received.at(-1)), alice, `${name}: the backend does not get it`);
      t.equal(await ask([field(alice)], "/passed"), "alice", name);
      t.match(JSON.stringify(backend.received.at(-1)), alice, `${name}: but where it is to`);
      t.equal(await ask([field(bad)]), "signature-invalid", name);
      t.equal(await ask([field(bad)], "/maybe"), "signature-invalid", `${name}: nor is a bad one none`);
      t.equal(
        await ask([field("")], "/maybe"),
        name === "authorization" || name === "a subprotocol" ? "credential-malformed" : "anonymous",
      );
      t.equal(await ask([field(alice), field(alice)]), "duplicate", `${name}, twice`);
    }
    const elsewhere = [`cf-access-jwt-assertion: ${alice}`, "x-forwarded-for: 192.0.2.9"];
    t.equal(await ask(elsewhere), "credential-missing", "a header of another hop is none, whoever the client is");
    t.equal(await ask([`cf-access-jwt-assertion: ${alice}`], "/open"), "anonymous");
    t.notMatch(JSON.stringify(backend.received.at(-1)), alice, "and goes nowhere");
    for (const field of [
      `x-tokens: ${alice}`,
      `cookie: sidx=${alice}`,
      `cookie: xsid=${alice}`,
      `sec-websocket-protocol: ${alice}`,
    ])
      t.equal(await ask([field]), "credential-missing", field.slice(0, 30));
  });

  test(`HAProxy ${binary.version}: of two credentials the explicit counts, good or bad, and never the other`, async (t) => {
    const { backend, ask, alice, bob, bad } = await stage(t, binary);
    const fields = Object.entries(FIELDS);
    for (const [at, [name, first]] of fields.entries()) {
      for (const [other, second] of fields.slice(at + 1)) {
        const of = (one: string, two: string) => ask([second.field(two), first.field(one)], "/passed");
        const same = first.rank === second.rank ? "duplicate" : undefined;
        t.equal(await of(alice, bob), same ?? "alice", `${name}, ${other}`);
        if (same === undefined) {
          t.match(JSON.stringify(backend.received.at(-1)), alice, "what has proven it is passed on");
          t.notMatch(JSON.stringify(backend.received.at(-1)), bob, "and nothing else");
        }
        t.equal(await of(alice, bad), same ?? "alice", `${name}, bad ${other}`);
        t.equal(await of(bad, bob), same ?? "signature-invalid", `bad ${name}, ${other}`);
        t.equal(await of(bad, bad), same ?? "signature-invalid", `bad ${name}, bad ${other}`);
      }
    }
  });

  test(`HAProxy ${binary.version}: only the credential is taken out of a list of cookies or subprotocols`, async (t) => {
    const { backend, ask, alice } = await stage(t, binary);
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
    })();
    await lists("sec-websocket-protocol", {
      "bearer.TOKEN": [],
      "bearer.TOKEN, chat": ["chat"],
      "chat, bearer.TOKEN": ["chat"],
      "chat,bearer.TOKEN,v2": ["chat,v2"],
      "chat , bearer.TOKEN , v2, xbearer.a": ["chat ,v2, xbearer.a"],
    })();
    for (const list of [`bearer.${alice}, bearer.${alice}`, `bearer.${alice}, bearer.`, "bearer.", "bearer.a b"])
      t.equal(await ask([`sec-websocket-protocol: ${list}`], "/maybe"), "credential-malformed", list.slice(0, 12));
  });
}
