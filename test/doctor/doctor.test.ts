import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Test, test } from "tap";
import { parseAllDocuments, stringify } from "yaml";
import { ringText, rotated } from "../../agent/assertion/rotate.ts";
import { samplesOf } from "../../agent/doctor/exposition.ts";
import { Authority, newPair, SERVER_KEY, type Wanted } from "../support/certificates.ts";
import { command, folderOf } from "../support/serve.ts";

const DAY = 24 * 3_600_000;
const IN = (days: number) => Date.now() + days * DAY;
const POLICY = `
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    mesh: { service: orders, namespace: shop, port: http, pods: { app: orders }, identity: orders.shop }
    routes: [{ name: read, match: [GET /v1/orders], allow: [authenticated] }]
`;
const CONFIG = `
listen: { spop: [127.0.0.1:9000], web: 127.0.0.1:9902 }
policies: ./policies
issuers: { idp: { type: oidc, issuer: "ISSUER", audiences: [api://orders] } }
haproxy: { version: "3.2", bind: ["*:443 ssl crt site.pem"], backends: { orders: ["orders.shop.svc.cluster.local:8080"] } }
mesh: { identity: haproxy.ingress }
assertion: { issuer: https://api.example.com, keys: ring.json }
`;
const IDENTITY = "orders.shop.serviceaccount.identity.linkerd.cluster.local";
const ROOT = new Authority("root", { until: IN(3000) });
const MIDDLE = new Authority("middle", { until: IN(1000) }, newPair(), ROOT);
const KEYS = newPair();

const site = (changes: Wanted = {}, by = MIDDLE) =>
  by.issue({ until: IN(90), names: ["dns:orders.example.com"], ...changes }, KEYS);
const own = site();
const MESH_ROOT = new Authority("root.linkerd", { until: IN(3000) });
const meshIssuer = (changes: Wanted = {}, by: Authority | undefined = MESH_ROOT, pair = newPair()) =>
  new Authority("identity.linkerd", { until: IN(300), ...changes }, pair, by).pem;

const status = (changes: object = {}) => ({
  phase: "serving",
  problems: [],
  pipelining_advice: null,
  log: { lines_dropped: 0 },
  ...changes,
});
const metrics = (changes: Readonly<Record<string, string>> = {}) =>
  Object.entries({
    control_identity_cert_expiration_timestamp_seconds: String(Math.floor(IN(1) / 1000)),
    'control_identity_cert_refreshes_total{result="ok"}': "3",
    'control_identity_cert_refreshes_total{result="error"}': "0",
    [`request_total{direction="outbound",tls="true",server_id="${IDENTITY}",dst_service="orders",dst_namespace="shop"}`]:
      "10",
    'request_total{direction="outbound",tls="no_identity",no_tls_reason="not_provided_by_service_discovery",authority="idp.example.com"}':
      "10",
    ...changes,
  })
    .map(([name, value]) => `${name} ${value}`)
    .join("\n");

const pod = (changes: object = {}, annotations: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "orders-0", namespace: "shop", labels: { app: "orders" }, annotations },
  spec: {
    serviceAccountName: "orders",
    containers: [{ name: "orders", ports: [{ name: "http", containerPort: 8080 }] }],
    ...changes,
  },
});
const haproxyPod = (annotations: object = { "linkerd.io/inject": "enabled" }) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "haproxy", namespace: "ingress" },
  spec: { template: { metadata: { annotations }, spec: { serviceAccountName: "haproxy" } } },
});

/** The same with an agent in pods of its own. */
const REMOTE = CONFIG.replace(
  "127.0.0.1:9000",
  "{ address: 0.0.0.0:9000, tls: { cert: tls.crt, key: tls.key, client_ca: ca.crt } }",
).replace(
  "backends:",
  "agents: { servers: [countersign.ingress.svc.cluster.local:9000], tls: { cert: /a.pem } }, backends:",
);
const agentPods = (annotations: object, inject = "enabled") => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "countersign", namespace: "ingress" },
  spec: {
    template: {
      metadata: { annotations: { "linkerd.io/inject": inject, ...annotations } },
      spec: { containers: [{ name: "agent", image: "registry.example.com:5000/countersign:1.2.3" }] },
    },
  },
});
const agentService = (port: object = {}, annotations: object = {}) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "countersign", namespace: "ingress", annotations },
  spec: { ports: [{ port: 9000, ...port }] },
});
const OPAQUE = { "config.linkerd.io/opaque-ports": "25,9000" };
const opaqueService = agentService({ appProtocol: "linkerd.io/opaque" });
const remote = (...objects: object[]): Stage => ({ config: REMOTE, objects: (all) => [...all, pod(), ...objects] });

/** The same with meshed clients, whom the proxy in HAProxy's pods names. */
const MESHED = CONFIG.replace(
  "audiences: [api://orders] } }",
  'audiences: [api://orders] }, mesh: { type: mesh, bind: "*:8081", pods: { app: haproxy }, audiences: [api://orders] } }',
);
const ingressPods = (annotations: object = {}, spec: object = {}) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "haproxy", namespace: "ingress" },
  spec: {
    template: {
      metadata: {
        labels: { app: "haproxy" },
        annotations: {
          "linkerd.io/inject": "enabled",
          "config.linkerd.io/default-inbound-policy": "deny",
          "config.linkerd.io/skip-inbound-ports": "8443",
          ...annotations,
        },
      },
      spec: {
        serviceAccountName: "haproxy",
        containers: [{ name: "haproxy", ports: [{ containerPort: 8081 }] }],
        ...spec,
      },
    },
  },
});
const meshed = (...objects: object[]): Stage => ({ config: MESHED, objects: (all) => [...all, pod(), ...objects] });
// biome-ignore lint/suspicious/noExplicitAny: whatever was generated
const isServer = ({ kind, metadata }: any) => kind === "Server" && metadata.namespace === "ingress";

/** What is looked at; what a test does not change is good. */
interface Stage {
  /** What the agent shows HAProxy. */
  agent?: { pem: string; key: string };
  config?: string;
  ring?: string;
  /** Replaces what was generated in HAProxy's files. */
  haproxy?: (text: string) => string;
  site?: string;
  anchors?: string;
  meshIssuer?: string;
  status?: object;
  metrics?: string;
  objects?: (generated: object[]) => object[];
  /** Seconds by which a server's Date is off. */
  skew?: { admin?: number; proxy?: number; issuer?: number };
}

/** Pages at paths, with a Date of its own. */
async function pages(t: Test, skew: number, page: (path: string) => string): Promise<string> {
  const server = createServer((request, response) => {
    response.sendDate = false;
    response.setHeader("date", new Date(Date.now() + skew * 1000).toUTCString());
    response.end(page(request.url ?? ""));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.teardown(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function examine(t: Test, seeded: Stage = {}) {
  const { skew = {} } = seeded;
  const issuer = await pages(t, skew.issuer ?? 0, () => "{}");
  const now = Math.floor(Date.now() / 1000);
  const cwd = folderOf(t, {
    "countersign.yaml": (seeded.config ?? CONFIG).replace("ISSUER", issuer),
    "policies/orders.yaml": POLICY,
    "ring.json": seeded.ring ?? ringText(rotated([], { now, after: 0, algorithm: "ES256" })),
    "site.pem": seeded.site ?? own.pem + MIDDLE.pem + own.key,
    "anchors.pem": seeded.anchors ?? MESH_ROOT.pem,
    "issuer.pem": seeded.meshIssuer ?? meshIssuer(),
    "tls.crt": (seeded.agent ?? own).pem,
    "tls.key": (seeded.agent ?? own).key,
    "ca.crt": ROOT.pem,
  });
  mkdirSync(join(cwd, "haproxy"));
  await command(["generate", "haproxy", "--output", "haproxy"], { cwd });
  if (seeded.haproxy !== undefined) writeFileSync(join(cwd, "haproxy/haproxy.cfg"), seeded.haproxy(""));
  const { revision } = JSON.parse((await command(["check", "--json"], { cwd })).out);
  const manifests = (await command(["generate", "linkerd", "--output", "-"], { cwd })).out;
  const generated = parseAllDocuments(manifests).map((document) => document.toJS() as object);
  const objects = (seeded.objects ?? ((all) => [...all, pod(), haproxyPod()]))(generated);
  writeFileSync(
    join(cwd, "export.yaml"),
    objects.map((object) => stringify(object, { aliasDuplicateObjects: false })).join("---\n"),
  );
  const admin = await pages(t, skew.admin ?? 0, () => JSON.stringify({ revision, ...(seeded.status ?? status()) }));
  const proxy = await pages(t, skew.proxy ?? 0, () => seeded.metrics ?? metrics());
  const files = [
    "--haproxy",
    "haproxy",
    "--certificate",
    "site.pem",
    "--anchors",
    "anchors.pem",
    "--mesh-issuer",
    "issuer.pem",
    "--export",
    "export.yaml",
  ];
  const asked = ["--agent", admin, "--proxy", proxy, "--issuers"];
  const { code, out, err } = await command(["doctor", ...files, ...asked, "--json"], { cwd });
  if (out === "") throw new Error(err);
  return { code, cwd, ...(JSON.parse(out) as { findings: Record<string, string>[]; unseen: string[] }) };
}

const before = { from: IN(-400), until: IN(-1) };
/** A misconfiguration each, and what is told of it. */
const SEEDS: Readonly<Record<string, readonly [Stage, ...RegExp[]]>> = {
  "tokens over plain http": [
    { config: CONFIG.replace('"*:443 ssl crt site.pem"]', '"*:80"], scheme: http') },
    /over plain http/,
  ],
  "a socket for everybody": [
    { config: CONFIG.replace("127.0.0.1:9000", '{ address: "unix:/run/a.sock", mode: "0666" }') },
    /everybody may connect/,
  ],
  "an old signing key": [
    { ring: ringText(rotated([], { now: Math.floor(IN(-200) / 1000), after: 0, algorithm: "ES256" })) },
    /signs since/,
  ],
  "HAProxy's files of another day": [
    { haproxy: () => "# Rendered by hand\n" },
    /is not what these policies and this version render/,
  ],
  "a host without a certificate": [
    { site: site({ names: ["dns:files.example.com"] }).pem + MIDDLE.pem },
    /no certificate of HAProxy's names this host/,
  ],
  "an expired certificate": [{ site: site(before).pem + MIDDLE.pem }, /it expired on/],
  "a certificate that soon ends": [{ site: site({ until: IN(3) }).pem + MIDDLE.pem }, /it expires in 2 days/],
  "a certificate of tomorrow": [{ site: site({ from: IN(1) }).pem + MIDDLE.pem }, /not valid before/],
  "no chain": [{ site: own.pem }, /the certificate of its issuer is neither/],
  "another's chain": [{ site: own.pem + ROOT.pem }, /the certificate of its issuer is neither/],
  "another's key": [{ site: own.pem + MIDDLE.pem + SERVER_KEY }, /its key is another certificate's/],
  "no certificate": [{ site: "nothing\n" }, /names this host/, /no certificate in it/],
  "a mesh certificate for browsers": [
    { site: site({ names: ["dns:orders.example.com", `dns:${IDENTITY}`] }).pem + MIDDLE.pem },
    /a mesh certificate for clients outside/,
  ],
  "an agent that does not serve": [{ status: status({ phase: "draining" }) }, /it is draining/],
  "an issuer that cannot be asked": [
    { status: status({ problems: ["issuer idp cannot be asked: refused"] }) },
    /issuer idp cannot be asked/,
  ],
  "other policies": [{ status: status({ revision: "of another" }) }, /judges by revision of another/],
  "a buffer that is too small": [
    { status: status({ pipelining_advice: "set tune.bufsize 65536" }) },
    /set tune.bufsize 65536/,
  ],
  "lines that were dropped": [{ status: status({ log: { lines_dropped: 7 } }) }, /7 log lines were dropped/],
  "an agent whose clock is wrong": [{ skew: { admin: 90 } }, /its clock is (?:89|90) s ahead/],
  "a proxy whose clock is wrong": [{ skew: { proxy: -90 } }, /its clock is 9[01] s behind/],
  "an issuer whose clock is wrong": [{ skew: { issuer: 600 } }, /its clock is (?:599|600) s ahead/],
  "an anchor that soon ends": [
    { anchors: new Authority("root.linkerd", { until: IN(20) }, MESH_ROOT.pair).pem },
    /it expires in 19 days/,
  ],
  "a mesh issuer that has expired": [{ meshIssuer: meshIssuer(before) }, /it expired on/],
  "a mesh issuer of another anchor": [
    { meshIssuer: meshIssuer({}, new Authority("root.linkerd", { until: IN(90) })) },
    /no trust anchor has signed it/,
  ],
  "a mesh issuer that is none": [{ meshIssuer: MESH_ROOT.issue({ until: IN(90) }).pem }, /it is no authority/],
  "a proxy's certificate that has ended": [
    { metrics: metrics({ control_identity_cert_expiration_timestamp_seconds: "1" }) },
    /the proxy's certificate has expired/,
  ],
  "a proxy's certificate that is not renewed": [
    {
      metrics: metrics({
        control_identity_cert_expiration_timestamp_seconds: String(Math.floor(Date.now() / 1000) + 1800),
      }),
    },
    /ends in (?:29|30) minutes/,
  ],
  "a renewal that failed": [
    { metrics: metrics({ 'control_identity_cert_refreshes_total{result="error"}': "2" }) },
    /could not renew/,
  ],
  "plain text to a backend": [
    {
      metrics: metrics({
        'request_total{direction="outbound",tls="no_identity",no_tls_reason="not_provided_by_service_discovery",dst_service="orders",dst_namespace="shop"}':
          "1",
      }),
    },
    /requests to orders.shop without mTLS/,
  ],
  "somebody else at the address": [
    { metrics: metrics({ 'outbound_http_errors_total{error="identity required"}': "1" }) },
    /somebody else, or nobody of the mesh/,
  ],
  "another identity than the policies say": [
    {
      metrics: metrics({
        'request_total{direction="outbound",tls="true",server_id="x.shop",dst_service="orders",dst_namespace="shop"}':
          "1",
      }),
    },
    /orders.shop is x.shop, and the policies say/,
  ],
  "a manifest that is missing": [
    { objects: (all) => [...all.slice(1), pod(), haproxyPod()] },
    /^missing: /,
    /^dangling: /,
  ],
  "an undeclared port": [
    { objects: (all) => [...all, pod({ containers: [{ name: "a" }] }), haproxyPod()] },
    /^undeclared: /,
  ],
  "pods outside the mesh": [
    { objects: (all) => [...all, pod({}, { "linkerd.io/inject": "disabled" }), haproxyPod()] },
    /kept out of the mesh/,
  ],
  "a skipped port": [
    { objects: (all) => [...all, pod({}, { "config.linkerd.io/skip-inbound-ports": "25, 8000-8100" }), haproxyPod()] },
    /is skipped by its proxy/,
  ],
  "an opaque port": [
    { objects: (all) => [...all, pod({}, { "config.linkerd.io/opaque-ports": "8080" }), haproxyPod()] },
    /port http of orders is opaque/,
  ],
  "a HAProxy outside the mesh": [
    { objects: (all) => [...all, pod(), haproxyPod({})] },
    /HAProxy's pods are not injected/,
  ],
  "an agent whose certificate has ended": [
    { ...remote(haproxyPod(), agentPods(OPAQUE), opaqueService), agent: site(before) },
    /the agent's certificate has ended/,
  ],
  "an agent whose certificate is not renewed": [
    { ...remote(haproxyPod(), agentPods(OPAQUE), opaqueService), agent: site({ from: IN(-90), until: IN(8) }) },
    /the agent's certificate ends on/,
  ],
  "an agent whose pods look for HTTP": [
    remote(haproxyPod(), agentPods({ "config.linkerd.io/opaque-ports": "25,443" }), opaqueService),
    /^port 9000, where HAProxy asks the agent, is not opaque$/,
  ],
  "an agent whose Service has HAProxy's proxy look for HTTP": [
    remote(haproxyPod(), agentPods(OPAQUE), agentService({ appProtocol: "http" })),
    /^port 9000, where HAProxy asks the agent, is not opaque$/,
  ],
  "the same of agents outside the mesh": [
    remote(haproxyPod(), agentPods({}, "disabled"), agentService()),
    /^port 9000, where HAProxy asks the agent, is not opaque$/,
  ],
  "l5d headers that are obeyed": [
    {
      objects: (all) => [
        ...all,
        pod(),
        haproxyPod(),
        {
          ...pod({ containers: [{ name: "policy", args: ["--allow-l5d-request-headers"] }] }),
          metadata: { name: "destination", namespace: "linkerd" },
        },
      ],
    },
    /proxies obey l5d-retry/,
  ],
  "meshed clients at pods that let in what no Server is for": [
    meshed(ingressPods({ "config.linkerd.io/default-inbound-policy": "all-unauthenticated" })),
    /another `default-inbound-policy`, all-unauthenticated$/,
  ],
  "meshed clients past the proxy": [
    meshed(ingressPods({ "config.linkerd.io/skip-inbound-ports": "8081,8443" })),
    /port 8081, for meshed clients, is skipped/,
  ],
  "meshed clients at an opaque port": [
    meshed(ingressPods({ "config.linkerd.io/opaque-ports": "25,8000-8100" })),
    /port 8081, for meshed clients, is opaque/,
  ],
  "meshed clients at a proxy that goes where a header says": [
    meshed(ingressPods({ "linkerd.io/inject": "ingress" })),
    /goes where a header says/,
  ],
  "meshed clients at pods that are their nodes": [
    meshed(ingressPods({}, { hostNetwork: true })),
    /the network of their nodes/,
  ],
  "meshed clients at a port that nobody declares": [
    meshed(ingressPods({}, { containers: [{ name: "haproxy" }] })),
    /^undeclared: no container declares the port 8081/,
  ],
  "meshed clients without their Server": [
    { config: MESHED, objects: (all) => [...all.filter((one) => !isServer(one)), pod(), ingressPods()] },
    /^missing: /,
    /^dangling: /,
  ],
  "meshed clients at a Server that does not say HTTP": [
    {
      config: MESHED,
      objects: (all) => [
        ...all.map((one) => (isServer(one) ? edited(one, { proxyProtocol: "unknown" }) : one)),
        pod(),
        ingressPods(),
      ],
    },
    /^changed: its spec has another proxyProtocol/,
  ],
  "meshed clients at a Server of somebody else's": [
    {
      config: MESHED,
      objects: (all) => [
        ...all,
        ...all.filter(isServer).map((one) => ({
          ...edited(one, { proxyProtocol: "opaque", podSelector: {} }),
          metadata: { name: "all", namespace: "ingress" },
        })),
        pod(),
        ingressPods(),
      ],
    },
    /^foreign: it may mean the pods and port of the Server countersign-mesh/,
  ],
  "meshed clients that were let in as they came": [
    {
      ...meshed(ingressPods()),
      metrics: metrics({
        'inbound_tcp_authz_allow_total{target_port="8081",srv_kind="server",srv_name="all",client_id="x.default"}': "1",
      }),
    },
    /connections to port 8081 were let through as they came, by server all/,
  ],
};

// biome-ignore lint/suspicious/noExplicitAny: whatever was generated
function edited(object: any, changes: object): object {
  return { ...object, spec: { ...object.spec, ...changes } };
}

test("of a sound set nothing is found, and all of it was looked at", async (t) => {
  const { code, findings, unseen } = await examine(t);
  t.strictSame({ code, findings, unseen }, { code: 0, findings: [], unseen: [] });
});

test("meshed clients at HAProxy's pods are sound as they are generated", async (t) => {
  const { code, findings } = await examine(t, meshed(ingressPods()));
  t.strictSame({ code, findings }, { code: 0, findings: [] });
});

test("an agent in pods of its own is sound where its port is opaque, or skipped, on both sides", async (t) => {
  const skips = { "linkerd.io/inject": "enabled", "config.linkerd.io/skip-outbound-ports": "4567,9000-9002" };
  for (const seeded of [
    remote(haproxyPod(), agentPods(OPAQUE), opaqueService),
    remote(haproxyPod(), agentPods(OPAQUE), agentService({}, OPAQUE)),
    remote(haproxyPod(skips), agentPods({ "config.linkerd.io/skip-inbound-ports": "9000" }), agentService()),
    remote(haproxyPod(), agentPods({}, "disabled"), opaqueService),
  ]) {
    const { code, findings } = await examine(t, seeded);
    t.strictSame({ code, findings }, { code: 0, findings: [] });
  }
});

test("each misconfiguration is found alone, with what it causes and what to do", async (t) => {
  t.ok(Object.keys(SEEDS).length >= 20);
  for (const [name, [seeded, ...expected]] of Object.entries(SEEDS)) {
    const { code, findings, unseen } = await examine(t, seeded);
    t.equal(code, 1, name);
    t.equal(findings.length, expected.length, `${name}: ${findings.map(({ found }) => found).join("; ")}`);
    for (const [i, pattern] of expected.entries()) t.match(findings[i]?.found ?? "", pattern, name);
    for (const { at = "", causes = "", remedy = "" } of findings)
      t.ok(at && causes.length > 10 && remedy.length > 5, name);
    t.strictSame(unseen, [], name);
  }
});

test("what was not given, or cannot be had, is told as not looked at", async (t) => {
  const { cwd } = await examine(t);
  const nothing = await command(["doctor"], { cwd });
  t.equal(nothing.code, 0);
  for (const what of [
    "--haproxy",
    "--certificate",
    "--agent",
    "--issuers",
    "--anchors",
    "--mesh-issuer",
    "--proxy",
    "--export",
  ]) {
    t.match(nothing.out, new RegExp(`^not looked at: .*${what}`, "m"));
  }
  t.match(nothing.out, /^nothing found in what was looked at$/m);
  const broken = await command(
    [
      "doctor",
      "--anchors",
      "none.pem",
      "--export",
      "countersign.yaml",
      "--agent",
      "http://127.0.0.1:1",
      "--certificate",
      "ring.json",
      "--haproxy",
      "nowhere",
    ],
    { cwd },
  );
  t.equal(broken.code, 1);
  t.match(broken.out, /^not looked at: none.pem cannot be read: there is no such file$/m);
  t.match(broken.out, /^not looked at: countersign.yaml is no export of a cluster: /m);
  t.match(broken.out, /^not looked at: http:\/\/127.0.0.1:1\/status cannot be asked: /m);
  t.match(broken.out, /^not looked at: nowhere is no directory with haproxy.cfg or countersign.cfg$/m);
  t.notMatch(broken.out, /^not looked at: .*--(?:anchors|export|agent|haproxy|certificate)/m, "they were given");
  t.match(broken.out, /^frontend: ring.json: no certificate in it\n {4}causes: .+\n {4}do: {5}.+$/m);
});

test("samples of Prometheus' text format are read, and comments are none", (t) => {
  t.strictSame(samplesOf('# HELP a b\na 1\nb{c="d,}\\"e",f=""} 2.5 1700000000\n\n'), [
    { name: "a", labels: {}, value: 1 },
    { name: "b", labels: { c: 'd,}\\"e', f: "" }, value: 2.5 },
  ]);
  t.end();
});
