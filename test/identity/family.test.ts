import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CompactSign } from "jose";
import { type Test, test } from "tap";
import { renderInputOf } from "../../agent/commands/generate/render-input.ts";
import { loadConfig } from "../../agent/config/load-config.ts";
import { type HttpAnswer, send } from "../../agent/http/fetch.ts";
import { createIdentity } from "../../agent/identity/identity.ts";
import type { Evidence } from "../../agent/identity/issuer/evidence.ts";
import { meshPrincipal } from "../../agent/identity/mesh/principal.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { load } from "../../agent/loading/load.ts";
import { reply, startFront } from "../../demo/front.ts";
import { startProvider } from "../../demo/provider.ts";
import { CREDENTIAL_KINDS, type CredentialKind, type CredentialName } from "../../haproxy/credentials.ts";
import { renderHaproxy } from "../../haproxy/render.ts";
import { meshIdentity } from "../../linkerd/identity.ts";
import { faultText } from "../../policies/fault.ts";
import { SHORTEST } from "../config/example.ts";
import { startServer } from "../support/agent.ts";
import { startBackend } from "../support/backend.ts";
import { Authority, base64 } from "../support/certificates.ts";
import { Clockwork } from "../support/clockwork.ts";
import { freePort, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import {
  certificateIssuer,
  meshIssuer,
  oidcIssuer,
  signatureIssuer,
  startIdentity,
  Told,
} from "../support/identity.ts";
import { folderOf } from "../support/serve.ts";
import { FIT, LAST_ASKED, startSidecar } from "../support/sidecar.ts";
import { agentKey, signedCredential } from "../support/signatures.ts";
import { mallory } from "./forge.ts";
import { behavesAsIssuer, LIFETIME, outlivesItsProvider, type Subject } from "./suite.ts";
import { SCHEMA_WITH_TOY, type ToyIssuer } from "./toy/section.ts";
import { TOY } from "./toy/toy.ts";

/** The table with one more line. */
const TYPES = { ...ISSUER_TYPES, toy: TOY };

const AUDIENCE = "api://orders";

/** Tokens of a real provider whose clock is the test's. */
async function oidcSubject(t: Test, time: { readonly now: number }): Promise<Subject> {
  const provider = await startProvider({});
  t.teardown(() => provider.close());
  const seconds = Math.floor(time.now / 1000);
  const exp = seconds + LIFETIME / 1000;
  const claims = { iss: provider.issuer, aud: AUDIENCE, sub: "alice", exp };
  return {
    issuer: oidcIssuer(provider.issuer, { clockTolerance: 0 }),
    good: (jti = 0) => provider.sign({ ...claims, jti: `${jti}` }),
    foreign: () => provider.sign({ ...claims, aud: "api://billing" }),
    forged: () =>
      new CompactSign(Buffer.from(JSON.stringify(claims)))
        .setProtectedHeader({ alg: "RS256", kid: provider.keys[0]?.kid ?? "", typ: "at+jwt" })
        .sign(mallory.privateKey),
    provider: {
      front: provider.front,
      path: "/jwks",
      lies: [reply({ keys: [] }), reply({ keys: "none" }), reply({ keys: [{ kty: "oct", k: "c2VjcmV0" }] })],
      async again(started) {
        const fetched = started.told.next("jwks ok");
        started.time.advance(1_000);
        await fetched;
      },
    },
    async revoke(started) {
      await provider.rotate({ keep: false });
      const fetched = started.told.next("jwks ok");
      started.time.advance(300_000);
      await fetched;
      return undefined;
    },
  };
}

/** A table of tokens, and a desk that is asked for each where it has one. */
function toySubject(hasDesk: boolean) {
  return async (t: Test, time: { readonly now: number }): Promise<Subject> => {
    const front = await startFront(reply({ open: true }));
    t.teardown(() => front.close());
    const grant = { subject: "alice", audience: AUDIENCE, until: time.now + LIFETIME, bound: undefined };
    const tokens = { toy_0: grant, toy_1: grant, toy_2: grant, toy_billing: { ...grant, audience: "api://billing" } };
    const issuer: ToyIssuer = {
      name: "desk",
      type: "toy",
      issuer: "toy_",
      credentials: ["bearer"],
      audiences: [AUDIENCE],
      kinds: ["workload"],
      tokens,
      desk: hasDesk ? `${front.url}/open` : undefined,
    };
    return {
      issuer,
      good: async (twin = 0) => `toy_${twin}`,
      foreign: async () => "toy_billing",
      forged: async () => "toy_nobody",
      provider: {
        front,
        path: "/open",
        lies: [reply({ open: false }), reply({ open: "true" }), reply([true])],
        again: async () => {},
      },
      revoke: async () => ({ ...issuer, tokens: {} }),
    };
  };
}

/** Certificates of an authority, by their one DNS name. */
async function certificateSubject(_t: Test, time: { readonly now: number }): Promise<Subject> {
  const authority = new Authority("Machines");
  const issue = (by: Authority, serial: number) => {
    const dates = { from: time.now - 60_000, until: time.now + LIFETIME };
    return by.issue({ ...dates, serial, names: ["dns:alice"] }).der.toString("latin1");
  };
  const issuer = certificateIssuer({ ca: [base64(authority.der)], audiences: [AUDIENCE] });
  const list = authority.revoke([0x4000, 0x4001, 0x4002], { until: time.now + LIFETIME });
  return {
    issuer,
    good: async (twin = 0) => issue(authority, 0x4000 + twin),
    foreign: async () => issue(new Authority("Others"), 0x4000),
    forged: async () => issue(new Authority("Machines"), 0x4000),
    revoke: async () => ({ ...issuer, crl: [base64(list)] }),
  };
}

/** Requests signed by an agent whose directory is a test's. */
async function signatureSubject(t: Test, time: { readonly now: number }): Promise<Subject> {
  const [alice, mallory] = [agentKey(), agentKey()];
  const front = await startFront(reply({ keys: [alice.jwk] }));
  t.teardown(() => front.close());
  const directory = `${front.url}/alice/keys`;
  const created = Math.floor(time.now / 1000);
  const signing = { key: alice, directory, created, expires: created + LIFETIME / 1000 };
  return {
    issuer: signatureIssuer([directory], { maxAge: 2 * LIFETIME, clockTolerance: 0, reuse: "accept" }),
    good: async (twin = 0) => signedCredential({ ...signing, nonce: `${twin}` }),
    foreign: async () => signedCredential({ ...signing, directory: `${front.url}/bob/keys` }),
    forged: async () => signedCredential({ ...signing, key: { ...mallory, thumbprint: alice.thumbprint } }),
    provider: {
      front,
      path: "/alice/keys",
      lies: [reply({ keys: [] }), reply({ keys: "none" }), reply({ keys: [{ kty: "oct", k: "c2VjcmV0" }] })],
      async again(started) {
        const fetched = started.told.next("jwks ok");
        started.time.advance(1_000);
        await fetched;
      },
    },
    async revoke(started) {
      front.behave(reply({ keys: [mallory.jwk] }));
      const fetched = started.told.next("jwks ok");
      started.time.advance(300_000);
      await fetched;
      return undefined;
    },
  };
}

/** What the proxy in HAProxy's pod says of meshed clients. */
async function meshSubject(t: Test): Promise<Subject> {
  const sidecar = await startSidecar(t);
  const issuer = meshIssuer(sidecar.front.url, { namespaces: ["shop"] });
  const name = (twin: number, namespace = "shop", domain = "cluster.local") =>
    `alice${twin === 0 ? "" : `-${twin}`}.${namespace}.serviceaccount.identity.linkerd.${domain}`;
  return {
    issuer,
    good: async (twin = 0) => name(twin),
    foreign: async () => name(0, "billing"),
    forged: async () => name(0, "shop", "example.com"),
    provider: {
      front: sidecar.front,
      path: LAST_ASKED,
      lies: [
        reply({ ...FIT, LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "all-unauthenticated" }),
        reply({ ...FIT, LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: "25,8000-8100" }),
        reply({}),
      ],
      async again(started) {
        const asked = started.told.next("sidecar ok");
        started.time.advance(1_000);
        await asked;
      },
    },
    revoke: async () => ({ ...issuer, namespaces: ["billing"] }),
  };
}

behavesAsIssuer("mesh", meshSubject, {
  subject: "alice.shop.serviceaccount.identity.linkerd.cluster.local",
  unsigned: "a name; that nobody but the proxy can say it is shown with HAProxy (test/haproxy/mesh.test.ts)",
  expired: "issuer-unavailable",
  forged: "issuer-unknown",
  foreign: "issuer-unknown",
  revoked: "issuer-unknown",
});
outlivesItsProvider("mesh", meshSubject);
behavesAsIssuer("http-signature", signatureSubject, {
  forged: "signature-invalid",
  revoked: "key-unknown",
  foreign: "issuer-unknown",
});
outlivesItsProvider("http-signature", signatureSubject);
behavesAsIssuer("client-certificate", certificateSubject, {
  forged: "signature-invalid",
  revoked: "credential-revoked",
  foreign: "issuer-unknown",
});
behavesAsIssuer("oidc", oidcSubject, { forged: "signature-invalid", revoked: "key-unknown" });
outlivesItsProvider("oidc", oidcSubject);
test("mesh: what the proxy has said counts for 30 s, and what it says otherwise ends all at once", async (t) => {
  const time = new Clockwork();
  const { issuer, good, provider } = await meshSubject(t);
  if (provider === undefined) throw new Error("it asks nobody");
  const { identity, judge, told } = startIdentity([issuer], { time });
  t.teardown(() => identity.close());
  await identity.ready();
  const kind = "mesh";
  const as = async (twin: number) => {
    const bytes = Buffer.from(await good(twin));
    return judge({ kind, bytes, start: 0, end: bytes.length });
  };
  const asked = async (after: number, outcome: string) => {
    const next = told.next(`sidecar ${outcome}`);
    time.advance(after);
    await next;
  };
  t.equal(await as(1), "proven");
  provider.front.behave("reset", provider.path);
  await asked(10_000, "error");
  t.equal(await as(1), "proven", "one failure is none of the client's");
  t.equal(await as(2), "proven");
  t.match(identity.status(), [{ error: /env\.json/ }], "and it is told");
  time.now += 19_999;
  t.equal(await as(1), "proven", "30 s less one");
  time.now += 1;
  t.equal(await as(1), "issuer-unavailable", "known or not");
  t.equal(await as(3), "issuer-unavailable");
  provider.front.behave("up", provider.path);
  await asked(1_000, "ok");
  t.equal(await as(1), "proven");
  for (const [said, changes] of Object.entries(UNFIT)) {
    provider.front.behave(reply({ ...FIT, ...changes }), provider.path);
    await asked(10_000, "error");
    t.equal(await as(1), "issuer-unavailable", said);
    t.match(identity.status(), [{ error: /LINKERD2_PROXY_IN/ }], said);
    provider.front.behave("up", provider.path);
    await asked(1_000, "ok");
    t.equal(await as(1), "proven", `after ${said}`);
  }
});

test("mesh: an answer of the proxy that is too large, or not there in time, is none", async (t) => {
  const time = new Clockwork();
  const { issuer, provider } = await meshSubject(t);
  if (provider === undefined) throw new Error("it asks nobody");
  const { identity, told } = startIdentity([issuer], { time });
  t.teardown(() => identity.close());
  await identity.ready();
  const large = told.next("sidecar error");
  provider.front.behave(reply({ ...FIT, more: "x".repeat(65_536) }), provider.path);
  time.advance(10_000);
  await large;
  const late = told.next("sidecar error");
  const asked = provider.front.arrival(provider.path);
  provider.front.behave("silent", provider.path);
  time.advance(1_000);
  await asked;
  time.advance(2_000);
  await late;
  const again = told.next("sidecar ok");
  provider.front.behave("up", provider.path);
  time.advance(1_000);
  await again;
  t.match(identity.status(), [{ error: undefined }]);
});

test("mesh: what the proxy has said counts from when it was asked", async (t) => {
  const answer = Promise.withResolvers<HttpAnswer>();
  const { identity, time } = startIdentity([meshIssuer("http://127.0.0.1:1")], { send: () => answer.promise });
  t.teardown(() => identity.close());
  const asked = time.now;
  const bytes = Buffer.from("alice.shop.serviceaccount.identity.linkerd.cluster.local");
  const judged = (now: number) => identity.verify({ kind: "mesh", bytes, start: 0, end: bytes.length }, now);
  time.now += 1_500;
  answer.resolve({ status: 200, headers: {}, body: Buffer.from(JSON.stringify(FIT)) });
  await identity.ready();
  t.match(await judged(asked + 29_999), { principal: { issuer: "mesh" } });
  t.match(await judged(asked + 30_000), { reason: "issuer-unavailable" });
});

test("mesh: what the proxy says once its issuer has ended counts for nothing", async (t) => {
  const answer = Promise.withResolvers<HttpAnswer>();
  const { identity, time } = startIdentity([meshIssuer("http://127.0.0.1:1")], { send: () => answer.promise });
  const ended = answer.promise.then(() => identity.close());
  answer.resolve({ status: 200, headers: {}, body: Buffer.from(JSON.stringify(FIT)) });
  await Promise.all([ended, identity.ready()]);
  const bytes = Buffer.from("alice.shop.serviceaccount.identity.linkerd.cluster.local");
  const found = await identity.verify({ kind: "mesh", bytes, start: 0, end: bytes.length }, time.now);
  t.match(found, { principal: undefined, reason: "issuer-unavailable" });
});

test("mesh: a clock that is set back does not prolong what the proxy has said", async (t) => {
  let skew = 0;
  const time = new Clockwork();
  Object.assign(time, { clock: () => time.now + skew });
  const { issuer, good, provider } = await meshSubject(t);
  const { identity, told } = startIdentity([issuer], { time });
  t.teardown(() => identity.close());
  await identity.ready();
  const bytes = Buffer.from(await good());
  const judged = () => identity.verify({ kind: "mesh", bytes, start: 0, end: bytes.length }, time.now + skew);
  t.match(judged(), { principal: { issuer: "mesh" } });
  skew = -3_600_000;
  provider?.front.behave("reset", provider.path);
  const asked = told.next("sidecar error");
  time.advance(10_000);
  await asked;
  t.match(judged(), { principal: { issuer: "mesh" } });
  time.advance(20_000);
  t.match(judged(), { reason: "issuer-unavailable" });
});

const DETECTION = "LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION";
/** What the proxy may say, and is not believed for. */
const UNFIT: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "another policy": { LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "all-authenticated" },
  "a policy that only counts": { LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "audit" },
  "no policy": { LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: null },
  "a policy that is no text": { LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: ["deny"] },
  "a policy in other letters": { LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "Deny" },
  "an opaque port": { [DETECTION]: "25,8081" },
  "a range of opaque ports": { [DETECTION]: "1-65535" },
  "ports that cannot be read": { [DETECTION]: "25, 8081" },
  "ports that are no text": { [DETECTION]: 8081 },
  "a port with a policy of its own": { LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_IDENTITY: "8081" },
  "and another": { LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_TLS: "8080-8090" },
  "a proxy that goes where a header says": { LINKERD2_PROXY_INGRESS_MODE: "true" },
  "a gateway": { LINKERD2_PROXY_INBOUND_GATEWAY_SUFFIXES: "svc.cluster.local." },
};

test("the name of a service account in the mesh is read in one way, or not at all", (t) => {
  const end = "serviceaccount.identity.linkerd.cluster.local";
  const rest = { controlPlane: "linkerd", trustDomain: "cluster.local" };
  t.strictSame(meshIdentity(`web.shop.${end}`), { account: "web", namespace: "shop", ...rest });
  t.strictSame(
    meshIdentity(`a.b.shop.${end}`),
    { account: "a.b", namespace: "shop", ...rest },
    "accounts may have dots",
  );
  for (const text of [
    "",
    "web.shop",
    `shop.${end}`,
    `.shop.${end}`,
    `web..${end}`,
    `web.shop.${end}.`,
    ` web.shop.${end}`,
    `web.shop.${end}\n`,
    `Web.shop.${end}`,
    `web_.shop.${end}`,
    `*.shop.${end}`,
    `web.shop.${end}.${end}`,
    `web.shop.serviceaccount.identity.linkerd`,
    `${"a".repeat(64)}.shop.${end}`,
    `${"a.".repeat(110)}shop.${end}`,
    "spiffe://cluster.local/ns/shop/sa/web",
  ])
    t.equal(meshIdentity(text), undefined, text.slice(0, 80));
  t.end();
});

test("mesh: of another mesh, trust domain or namespace nobody is a client, and what is no name is no credential", (t) => {
  const issuer = meshIssuer("http://127.0.0.1:1", { namespaces: ["shop"] });
  for (const [text, found] of [
    ["web.shop.serviceaccount.identity.linkerd.cluster.local", { namespace: "shop" }],
    ["web.other.serviceaccount.identity.linkerd.cluster.local", "issuer-unknown"],
    ["web.shop.serviceaccount.identity.other.cluster.local", "issuer-unknown"],
    ["web.shop.serviceaccount.identity.linkerd.cluster.example", "issuer-unknown"],
    ["web.shop", "credential-malformed"],
  ] as const) {
    const principal = meshPrincipal(text, issuer, 1);
    t.match(principal, typeof found === "string" ? { reason: found } : { subject: text, claims: found }, text);
  }
  t.end();
});

const TOY_WORDING = { forged: "signature-invalid", revoked: "signature-invalid" } as const;
behavesAsIssuer("toy, by its table alone", toySubject(false), TOY_WORDING, TYPES);
behavesAsIssuer("toy", toySubject(true), TOY_WORDING, TYPES);
outlivesItsProvider("toy", toySubject(true), TYPES);

const TOKENS = `
      toy_alice: { subject: alice, audience: "api://orders", until: 9000000000000 }
      toy_late: { subject: alice, audience: "api://orders", until: 1 }
      toy_billing: { subject: alice, audience: "api://billing", until: 9000000000000 }
      toy_bob: { subject: bob, audience: "api://orders", until: 9000000000000 }
      toy_bound: { subject: alice, audience: "api://orders", until: 9000000000000, bound: 0ZcOCORZNYy }`;

const POLICY = `
roles:
  reader:
    - { issuer: desk, subject: alice }
    - { issuer: okta, subject: alice }
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject, x-auth-issuer: principal.issuer }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [reader] }
      - { name: open, match: [GET /v1/open], allow: [anyone] }
`;

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: a type that is one folder and one line goes the whole way`, async (t) => {
    const provider = await startProvider({ alice: { kind: "person" } });
    t.teardown(() => provider.close());
    const [backend, front, spop] = [await startBackend(t), await freePort(), await freePort()];
    const folder = folderOf(t, {
      "policies/orders.yaml": POLICY,
      "countersign.yaml": `
listen: { spop: [127.0.0.1:${spop}] }
deadline: 5s
policies: ./policies
issuers:
  desk:
    type: toy
    prefix: toy_
    audiences: [api://orders]
    tokens:${TOKENS}
  okta: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders] }
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`,
    });
    const surroundings = { environment: {}, clock: Date.now };
    const known = { types: TYPES, schema: SCHEMA_WITH_TOY };
    const outcome = await load(join(folder, "countersign.yaml"), surroundings, known);
    if (outcome.loaded === undefined) throw new Error(outcome.faults.map(faultText).join("\n"));
    const { config, policies } = outcome.loaded;
    const world = { send, clock: Date.now, events: new Told(), types: TYPES };
    const identity = createIdentity(config.issuers, { ...config, ...world });
    t.teardown(() => identity.close());
    await identity.ready();
    const meshIdentities = new Map<string, string>();
    const snapshot = {
      config,
      policies,
      identity,
      meshIdentities,
      revision: policies.revision,
      unrecorded: undefined,
      inForce: { revision: "", configuration: "", files: {} },
      assertions: undefined,
    };
    const { server } = await startServer(snapshot, Date.now, spop);
    t.teardown(() => server.close());
    await startHaproxy(t, binary, { ...renderHaproxy(renderInputOf(config, policies)) }, front);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    const ask = (token: string, path = "/v1/orders") =>
      client.request(`GET ${path} HTTP/1.1`, ["host: orders.example.com", `authorization: Bearer ${token}`]);

    for (const [token, issuer] of [
      ["toy_alice", "desk"],
      ["toy_alice", "desk"],
      [await provider.token("alice"), "okta"],
    ] as const) {
      t.equal((await ask(token)).status, 200, issuer);
      const { headers = [] } = backend.received.at(-1) ?? {};
      t.match(Object.fromEntries(headers), { "x-auth-subject": "alice", "x-auth-issuer": issuer });
    }
    const arrived = backend.received.length;
    for (const [token, status, reason] of [
      ["toy_late", 401, "token-expired"],
      ["toy_billing", 401, "audience-not-accepted"],
      ["toy_nobody", 401, "signature-invalid"],
      ["toy_bob", 403, "role-missing"],
      ["toy_bound", 401, "token-bound"],
      ["toy_bound", 401, "token-bound"],
      ["other_alice", 401, "token-malformed"],
      [await provider.sign({ iss: "https://elsewhere.example" }), 401, "issuer-unknown"],
    ] as const) {
      const answer = await ask(token);
      t.equal(answer.status, status, token);
      t.equal(JSON.parse(answer.body).reason, reason);
    }
    t.equal(backend.received.length, arrived, "nothing of it arrived");
    t.match(identity.status(), [
      { name: "desk", details: { tokens: 5 } },
      { name: "okta", details: { keys: 3 } },
    ]);
  });
}

test("the section of each type is held to its own schema, and each mistake is told where it is", (t) => {
  const folder = t.testdir();
  const faults = (issuers: string) => {
    const file = join(folder, "countersign.yaml");
    writeFileSync(file, SHORTEST.replace(/^issuers: .*$/m, issuers));
    const loaded = loadConfig(file, {}, TYPES, SCHEMA_WITH_TOY);
    if ("config" in loaded) return loaded.config.issuers.map(({ type }) => type);
    return loaded.faults.map((fault) => faultText(fault).replace(`${file}:`, ""));
  };
  const line = (section: string) =>
    `issuers: { desk: ${section}, okta: { type: oidc, issuer: "https://a.example", audiences: [a] } }`;
  const good = "{ type: toy, prefix: toy_, audiences: [a], tokens: { toy_x: { subject: a, audience: a, until: 1 } } }";
  t.strictSame(faults(line(good)), ["toy", "oidc"]);
  for (const [from, to, expected] of [
    ["prefix: toy_", "prefix: 7", "3:39: the number 7; what its tokens begin with, such as toy_"],
    [
      "prefix:",
      "prefixx:",
      '3:31: unknown key "prefixx"; did you mean "prefix"? Known keys: type, prefix, audiences, tokens, desk',
    ],
    ["prefix: toy_, ", "", '3:12: no "prefix" here; what its tokens begin with, such as toy_'],
    ["until: 1", "until: soon", '3:112: the text "soon"; milliseconds since the epoch'],
    ["toy_x", "x", "3:74: a mapping; a token that begins with toy_"],
  ] as const) {
    t.ok(good.includes(from), from);
    t.strictSame(faults(line(good.replace(from, to))), [expected], to);
  }
  const two = (one: string, other: string) =>
    faults(
      `issuers: { a: ${toy(one)}, b: ${toy(other)}, c: { type: oidc, issuer: "https://a.example", audiences: [a] } }`,
    );
  const toy = (prefix: string) => `{ type: toy, prefix: ${prefix}, audiences: [a], tokens: {} }`;
  t.strictSame(two("one_", "two_"), ["toy", "toy", "oidc"]);
  const alike = `a beginning of its own: that of the issuer at ${folder}/countersign.yaml:3:12 begins so, or this one like that`;
  t.strictSame(two("one_", "one_two_"), [`3:96: the text "one_two_"; ${alike}`]);
  t.strictSame(two("one_two_", "one_"), [`3:100: the text "one_"; ${alike}`]);
  t.strictSame(two("ey_", "e"), [
    '3:36: the text "ey_"; another beginning: every JWT begins with ey',
    '3:95: the text "e"; another beginning: every JWT begins with ey',
  ]);
  t.end();
});

test("a credential of one kind is never taken for one of another, known or not", async (t) => {
  const { issuer, good } = await toySubject(false)(t, { now: Date.now() });
  const other = "api-key" as CredentialName;
  const { identity, time } = startIdentity([{ ...issuer, credentials: [other] }], { types: TYPES });
  t.teardown(() => identity.close());
  const bytes = Buffer.from(await good());
  const as = (kind: CredentialName) => identity.verify({ kind, bytes, start: 0, end: bytes.length }, time.now);
  t.match(as("bearer"), { principal: undefined, reason: "token-malformed" });
  t.match(as(other), { principal: { subject: "alice" } });
  t.equal(as(other), as(other), "and once more, now that it is known");
  t.match(as("bearer"), { principal: undefined, reason: "token-malformed" });
});

test("a credential whose value is binary is shown as it came, and never read as a text", async (t) => {
  const rows = CREDENTIAL_KINDS as CredentialKind[];
  const row = {
    rank: "certificate",
    argument: "seal",
    sample: "s",
    sent: "where an issuer takes it",
    meaning: "",
    headers: [],
  } as const;
  rows.push({ ...row, name: "seal", type: "binary" });
  t.teardown(() => rows.pop());
  const { issuer } = await toySubject(false)(t, { now: Date.now() });
  const seen: Evidence[] = [];
  const verify = (evidence: Evidence) => {
    seen.push(evidence);
    return { reason: "token-expired" } as const;
  };
  const owns = ({ bytes }: Evidence) => bytes[0] === 0x30;
  const create = (...args: Parameters<typeof TOY.create>) => Object.assign(TOY.create(...args), { owns, verify });
  const seals = { ...issuer, credentials: ["seal" as CredentialName] };
  const { identity, time } = startIdentity([seals], { types: { toy: { ...TOY, create } } });
  t.teardown(() => identity.close());
  const ask = (bytes: Buffer) =>
    identity.verify({ kind: "seal" as CredentialName, bytes, start: 1, end: bytes.length }, time.now);
  const bytes = Buffer.from([1, 0x30, 0, 255, 10]);
  t.match(ask(bytes), { reason: "token-expired" });
  bytes.fill(0);
  t.match(seen, [{ kind: "seal", text: "", bytes: Buffer.from([0x30, 0, 255, 10]), token: "token-malformed" }]);
  t.match(ask(Buffer.from([1, 0x31])), { reason: "issuer-unknown" });
});

test("of those who take one kind the form chooses who judges, and nobody judges after them", async (t) => {
  const provider = await startProvider({});
  t.teardown(() => provider.close());
  const { issuer } = await toySubject(false)(t, { now: Date.now() });
  const asked: string[] = [];
  const create: typeof TOY.create = (config, world) =>
    Object.assign(TOY.create(config, world), {
      owns: () => true,
      verify: ({ text }: Evidence) => {
        asked.push(`${config.name} ${text}`);
        return { reason: "token-expired" } as const;
      },
    });
  const types = { ...ISSUER_TYPES, toy: { ...TOY, create } };
  const named = { ...issuer, name: "keys", issuer: "keys", prefixes: ["key_", "old_"] };
  const formless = { ...issuer, name: "rest", issuer: "rest", prefixes: [""] };
  const { identity, judge } = startIdentity([formless, named, oidcIssuer(provider.issuer)], { types });
  t.teardown(() => identity.close());
  await identity.ready();
  const foreign = await provider.sign({ iss: "https://elsewhere.example" });
  const [head = "", body = "", signature = ""] = foreign.split(".");
  for (const [token, reason, owner] of [
    ["key_1", "token-expired", "keys"],
    ["key_a.b.c", "token-expired", "keys"],
    ["old_1", "token-expired", "keys"],
    ["Key_1", "token-expired", "rest"],
    ["opaque", "token-expired", "rest"],
    ["opaque.two", "token-expired", "rest"],
    // A JWT is one, good or not, and of nobody else.
    [foreign, "issuer-unknown"],
    [`${head}.${body}`, "token-malformed"],
    [head, "token-malformed"],
    [`${head}.${body}.`, "token-malformed"],
    [`${head}.${body}.${signature}=`, "token-malformed"],
    [`${head}.${body}.${signature}.`, "token-malformed"],
    [`${head}.a.b.c.d`, "token-encrypted"],
    ["a.b.c", "token-malformed"],
  ] as const) {
    asked.length = 0;
    t.equal(await judge(token), reason, token);
    t.strictSame(asked, owner === undefined ? [] : [`${owner} ${token}`], token);
  }
  const alone = startIdentity([named], { types });
  t.teardown(() => alone.identity.close());
  t.equal(await alone.judge("opaque"), "issuer-unknown", "where nobody takes JWTs it is no broken one");
});

test("a credential that two issuers call their own proves nobody", async (t) => {
  const { issuer, good } = await toySubject(false)(t, { now: Date.now() });
  const { identity, time } = startIdentity([issuer, { ...issuer, name: "twin", issuer: "toy" }], { types: TYPES });
  t.teardown(() => identity.close());
  const token = await good();
  t.throws(() => identity.verify(token, time.now), { message: "two issuers call one credential their own" });
});

test("a type with a bug is heard of, proves nobody, and is asked again", async (t) => {
  const { issuer, good } = await toySubject(false)(t, { now: Date.now() });
  for (const bug of [() => Promise.reject(new Error("a bug")), () => fail()]) {
    let asked = 0;
    const verify = () => (asked++ < 2 ? bug() : ({ reason: "token-expired" } as const));
    const create = (...args: Parameters<typeof TOY.create>) => Object.assign(TOY.create(...args), { verify });
    const { identity, time } = startIdentity([issuer], { types: { toy: { ...TOY, create } } });
    const token = await good();
    for (let i = 0; i < 2; i++) await t.rejects(async () => identity.verify(token, time.now), { message: "a bug" });
    t.same(identity.verify(token, time.now), { principal: undefined, reason: "token-expired" });
    identity.close();
  }
});

function fail(): never {
  throw new Error("a bug");
}

test("a configuration of a type that there is not starts nothing", (t) => {
  t.throws(() => startIdentity([{ ...oidcIssuer("https://a.example"), type: "constructor" } as never]), {
    message: "no type of issuers: constructor",
  });
  t.end();
});
