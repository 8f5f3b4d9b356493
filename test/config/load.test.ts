import { hash } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { test } from "tap";
import { renderInputOf } from "../../agent/commands/generate/render-input.ts";
import type { Config } from "../../agent/config/config.ts";
import { parseRing, type RingKey } from "../../agent/config/files/key-ring.ts";
import { CONFIG_PLACES, configFile, loadConfig } from "../../agent/config/load-config.ts";
import type { SignatureIssuer } from "../../agent/identity/http-signature/section.ts";
import { ALGORITHMS } from "../../agent/identity/jwt/signature.ts";
import type { OidcIssuer } from "../../agent/identity/oidc/section.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { allAddresses } from "../../agent/net/addresses.ts";
import { policiesOf } from "../support/agent.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { EVERY_KEY, env, Files, file, KEYS, oidcIssuersOf, RING, SHORTEST } from "./example.ts";

type OidcConfig = Omit<Config, "issuers"> & { readonly issuers: readonly (OidcIssuer | SignatureIssuer)[] };

/** What is not said of an issuer. */
const DEFAULTS = {
  type: "oidc",
  credentials: ["bearer"],
  kinds: ["person"],
  algorithms: ALGORITHMS,
  claims: {
    subject: "sub",
    groups: "groups",
    scopes: { first: ["scp", "scope"] },
    kind: undefined,
    client: undefined,
    audience: "aud",
  },
  require: [],
  kind: "person",
  kindRules: [],
  proofs: [],
  unbound: "accept",
  tokenTypes: ["at+jwt", "JWT"],
  idTokens: "refuse",
  clockTolerance: 30_000,
  keys: {
    bearer: undefined,
    refresh: 300_000,
    cooldown: 10_000,
    maxStale: 86_400_000,
    maxSize: 1 << 20,
    timeout: 5_000,
  },
  ca: undefined,
  proxy: undefined,
} as const;

test("a configuration with every key is taken as it says", (t) => {
  const files = new Files(t.testdir());
  const expected: OidcConfig = {
    file: join(files.directory, "countersign.yaml"),
    listen: {
      spop: [
        { host: "127.0.0.1", port: 9000 },
        { path: "/run/countersign/spop.sock", mode: 0o600, group: "haproxy", haproxyPath: "/countersign/spop.sock" },
        {
          host: "10.0.0.5",
          port: 9000,
          tls: {
            cert: SERVER_CERTIFICATE,
            key: SERVER_KEY,
            clientCa: AUTHORITY,
            clientNames: ["haproxy.example.com", "spiffe://example.org/haproxy"],
          },
        },
      ],
      admin: { host: "::1", port: 9901 },
      web: { host: "127.0.0.1", port: 8902 },
    },
    workers: 2,
    policies: [join(files.directory, "policies")],
    issuers: [
      {
        name: "okta",
        type: "oidc",
        issuer: "https://example.okta.com/oauth2/default",
        audiences: ["api://orders"],
        credentials: [
          "bearer",
          "hop:x-goog-iap-jwt-assertion",
          "header:x-token",
          "subprotocol:bearer",
          "cookie:__Host-token",
        ],
        hops: { "x-goog-iap-jwt-assertion": ["35.191.0.0/16", "fd00::/8"] },
        kinds: undefined,
        algorithms: ["RS256", "ES256"],
        claims: {
          subject: "uid",
          groups: "roles",
          scopes: "scope",
          kind: "client_kind",
          client: "cid",
          audience: "aud",
        },
        require: [{ path: "token_use", wanted: "access" }],
        kind: "workload",
        kindRules: [],
        proofs: ["certificate"],
        unbound: "accept",
        tokenTypes: ["at+jwt"],
        idTokens: "accept",
        clockTolerance: 5000,
        keys: {
          source: { discovery: "https://example.okta.com/oauth2/default/.well-known/openid-configuration" },
          bearer: undefined,
          refresh: 600_000,
          cooldown: 30_000,
          maxStale: 43_200_000,
          maxSize: 65_536,
          timeout: 2_000,
        },
        ca: AUTHORITY,
        proxy: { url: "http://agent:secret@proxy.example.com:3128/", except: [] },
        exchange: {
          client: {
            id: "gateway",
            authentication: {
              method: "private_key_jwt",
              key: { pem: SERVER_KEY, id: "gateway-1", algorithm: "ES256", audience: undefined },
            },
            certificate: undefined,
          },
          endpoint: "https://example.okta.com/oauth2/default/v1/token",
          timeout: 1500,
          maxSize: 32_768,
          concurrency: 8,
        },
      },
      {
        ...DEFAULTS,
        name: "cluster",
        issuer: "https://kubernetes.default.svc.cluster.local",
        audiences: ["api://orders"],
        kinds: ["workload"],
        kind: "workload",
        algorithms: ["RS256", "ES256"],
        claims: { ...DEFAULTS.claims, groups: ["kubernetes.io", "namespace"], audience: "client_id" },
        keys: {
          ...DEFAULTS.keys,
          source: { discovery: "https://10.96.0.1/.well-known/openid-configuration" },
          bearer: join(files.directory, "token"),
        },
      },
      {
        ...DEFAULTS,
        name: "google",
        issuer: "https://accounts.google.com",
        aliases: ["accounts.google.com"],
        audiences: ["api://orders"],
        keys: { ...DEFAULTS.keys, source: { url: "https://www.googleapis.com/oauth2/v3/certs" } },
      },
      {
        ...DEFAULTS,
        name: "closed",
        issuer: "https://closed.example",
        audiences: ["api://orders"],
        keys: { ...DEFAULTS.keys, source: { document: KEYS } },
      },
      {
        name: "bots",
        type: "http-signature",
        issuer: "http-signature",
        credentials: ["signature"],
        audiences: ["api://bots"],
        kinds: ["agent"],
        agents: ["https://bot.example/.well-known/http-message-signatures-directory"],
        maxAge: 240_000,
        clockTolerance: 3_000,
        reuse: "accept",
        keys: { refresh: 420_000, cooldown: 20_000, maxStale: 39_600_000, maxSize: 16_384, timeout: 2_500 },
        ca: AUTHORITY,
        proxy: undefined,
      },
    ],
    revoked: [],
    haproxy: {
      version: "3.2",
      identityPrefix: "x-id-",
      bind: ["*:443 ssl crt a ca-file b verify optional alpn h2,http/1.1"],
      client: { from: "x-forwarded-for", trusted: ["10.0.0.0/8", "fd00::/8"] },
      scheme: "https",
      accessLog: ["client", "actor"],
      largestBody: 65_536,
      agents: {
        servers: ["agent-1.example.com:9000", "10.0.0.6:9000"],
        tls: {
          verify: "required",
          ca: "/etc/haproxy/agents.pem",
          cert: "/etc/haproxy/agent.pem",
          serverName: "countersign.example.com",
        },
      },
      backends: {
        orders: { servers: ["orders.shop.svc.cluster.local:8080", "unix@/run/orders.sock"] },
        legacy: { servers: [] },
        files: {
          servers: ["unix@/run/files.sock", { address: "10.0.0.8:8443", weight: 2, maxconn: 50, backup: true }],
          proto: "h2",
          tls: {
            verify: "required",
            ca: "/etc/haproxy/ca.pem",
            cert: "/etc/haproxy/client.pem",
            serverName: "files.shop",
          },
          check: { interval: 1000, fall: 2, rise: 1 },
        },
      },
    },
    mesh: { trustDomain: "mesh.example", controlPlane: "linkerd-control", identity: "proxy.front" },
    assertion: {
      issuer: "https://api.example.com",
      lifetime: 30_000,
      claims: ["groups", "act"],
      keys: join(files.directory, "assertion-keys.json"),
      ring: parseRing(RING) as readonly RingKey[],
    },
    dpop: {
      algorithms: ["ES256", "EdDSA"],
      maxAge: 30_000,
      clockTolerance: 2_000,
      nonces: true,
      secret: "a secret of at least 32 characters",
      ports: [8443],
      remembered: 5000,
      store: { url: "rediss://agent:secret@redis.example.com:6380", timeout: 50, ca: undefined },
    },
    deadline: 250,
    cache: { identities: 5000, lifetime: 60_000, refusals: 500 },
    limits: { token: 4096, connections: 16, inFlight: 100, fetches: 4 },
    audit: {
      name: "ingress-1",
      file: join(files.directory, "audit.log"),
      key: join(files.directory, "audit.key"),
      checkpoint: 2_000,
      sync: "checkpoint",
      onFull: "deny",
      maxSize: 1 << 20,
      pseudonyms: "0123456789abcdef0123456789abcdef",
    },
    traces: {
      endpoint: "https://collector.example.com:4318/v1/traces",
      headers: { authorization: "Bearer abc" },
      timeout: 3_000,
      ca: undefined,
      proxy: undefined,
    },
    log: { level: "debug", decisions: "refused", destination: "stderr" },
  };
  t.strictSame(files.load(EVERY_KEY), {
    config: expected,
    digest: hash("sha256", EVERY_KEY),
    warnings: [],
    files: [
      expected.file,
      ...[
        "agent.key",
        "authority.pem",
        "keys.json",
        "clients.pem",
        "revoked.yaml",
        "agent.pem",
        "agent.key",
        "clients.pem",
        "assertion-keys.json",
      ].map((name) => join(files.directory, name)),
    ],
  });
  t.end();
});

test("the authorities of the system, and the proxy of the environment, are taken by choice", (t) => {
  const files = new Files(t.testdir());
  const issuer = (more: string, environment = {}) => {
    const loaded = files.load(SHORTEST.replace("[orders]", `[orders], ${more}`), environment);
    return oidcIssuersOf(loaded)[0];
  };
  const system = new Set(getCACertificates("system"));
  t.strictSame(
    new Set(issuer("ca: system")?.ca?.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g)).size,
    system.size,
  );
  const environment = { HTTPS_PROXY: "http://proxy:3128", NO_PROXY: "example.org" };
  const proxy = (text: string) => issuer(`proxy: ${text}`, environment)?.proxy;
  t.strictSame(proxy("environment"), { url: "http://proxy:3128/", except: ["example.org"] });
  t.strictSame(proxy("none"), undefined);
  t.strictSame(proxy("https://other"), { url: "https://other/", except: [] });
  t.strictSame(proxy(`"http://a:${env("NO_PROXY")}@other"`), { url: "http://a:example.org@other/", except: [] });
  const broken = { HTTPS_PROXY: "socks5://agent:secret@proxy" };
  t.strictSame(files.faults(SHORTEST, broken), [
    "3:18: the environment's HTTPS_PROXY, which is not http://HOST:PORT; HTTPS_PROXY as http://HOST:PORT, or `proxy: none` for this issuer",
  ]);
  t.strictSame(files.faults(SHORTEST.replace("[orders]", "[orders], proxy: none"), broken), []);
  t.end();
});

test("what a configuration does not say has the documented default", (t) => {
  const files = new Files(t.testdir());
  const loaded = files.load(SHORTEST);
  if (!("config" in loaded)) throw new Error("refused");
  t.strictSame(loaded.config, {
    file: join(files.directory, "countersign.yaml"),
    listen: { spop: [{ host: "127.0.0.1", port: 9000 }], admin: undefined, web: undefined },
    workers: 1,
    policies: [join(files.directory, "a.yaml"), join(files.directory, "b")],
    issuers: [
      {
        ...DEFAULTS,
        name: "okta",
        issuer: "https://example.com",
        audiences: ["orders"],
        keys: {
          ...DEFAULTS.keys,
          source: { discovery: "https://example.com/.well-known/openid-configuration" },
        },
      },
    ],
    haproxy: {
      version: "2.6",
      identityPrefix: "x-auth-",
      bind: ["*:80"],
      client: { from: "connection", trusted: [] },
      scheme: "http",
      accessLog: [],
      largestBody: 16_384,
      agents: { servers: undefined, tls: undefined },
      backends: {},
    },
    mesh: undefined,
    assertion: undefined,
    dpop: {
      algorithms: ALGORITHMS,
      maxAge: 60_000,
      clockTolerance: 10_000,
      nonces: false,
      secret: undefined,
      ports: [80],
      remembered: 200_000,
      store: undefined,
    },
    deadline: 400,
    cache: { identities: 100_000, lifetime: 300_000, refusals: 10_000 },
    limits: { token: 8192, connections: 4096, inFlight: 10_000, fetches: 16 },
    audit: undefined,
    traces: undefined,
    log: { level: "info", decisions: "all", destination: "stdout" },
  } satisfies OidcConfig);
  t.strictSame(loaded.warnings, []);
  t.end();
});

test("a mesh that names only HAProxy's identity is Linkerd's default one", (t) => {
  const loaded = new Files(t.testdir()).load(`${SHORTEST}mesh: { identity: haproxy.ingress }\n`);
  const mesh = { trustDomain: "cluster.local", controlPlane: "linkerd", identity: "haproxy.ingress" };
  t.strictSame("config" in loaded && loaded.config.mesh, mesh);
  t.end();
});

test("`auto` is a worker for each core", (t) => {
  const loaded = new Files(t.testdir()).load(`${SHORTEST}workers: auto\n`);
  t.equal("config" in loaded && loaded.config.workers, Math.min(availableParallelism(), 64));
  t.end();
});

test("each worker has an address of its own, and HAProxy a server for each", (t) => {
  const loaded = new Files(t.testdir()).load(
    `${SHORTEST.replace("127.0.0.1:9000", '127.0.0.1:9000, { address: unix:/run/a, mode: "0600" }')}workers: 3\n`,
  );
  if (!("config" in loaded)) throw new Error("refused");
  t.strictSame(allAddresses(loaded.config), [
    { host: "127.0.0.1", port: 9000 },
    { path: "/run/a", mode: 0o600 },
    { host: "127.0.0.1", port: 9001 },
    { path: "/run/a.2", mode: 0o600 },
    { host: "127.0.0.1", port: 9002 },
    { path: "/run/a.3", mode: 0o600 },
  ]);
  const { spopAddresses } = renderInputOf(loaded.config, policiesOf());
  t.strictSame(spopAddresses.slice(2, 4), ["127.0.0.1:9001", "unix@/run/a.2"]);
  t.end();
});

test("HAProxy asks where the agent listens, or where it is told, by TLS where that is asked for", (t) => {
  const files = new Files(t.testdir());
  const tls = "tls: { cert: agent.pem, key: agent.key, client_ca: clients.pem }";
  const rendered = (spop: string, agents: string) => {
    const text = SHORTEST.replace("127.0.0.1:9000", spop).replace("scheme: http", `scheme: http${agents}`);
    const loaded = files.load(`${text}workers: 2\n`);
    if (!("config" in loaded)) return files.faults(text);
    const { spopAddresses, agentTls } = renderInputOf(loaded.config, policiesOf());
    return [...spopAddresses, agentTls?.serverName, agentTls?.cert];
  };
  const remote = `{ address: 10.0.0.5:9000, ${tls} }`;
  const shown = "tls: { cert: /a.pem, server_name: agent.example }";
  t.strictSame(rendered(remote, `, agents: { ${shown} }`), [
    "10.0.0.5:9000",
    "10.0.0.5:9001",
    "agent.example",
    "/a.pem",
  ]);
  t.strictSame(
    rendered(
      `{ address: 0.0.0.0:9000, ${tls} }`,
      ", agents: { servers: [a.example:9000, b.example:9000], tls: { cert: /a.pem } }",
    ),
    [...["a.example:9000", "a.example:9001", "b.example:9000", "b.example:9001"], ...[undefined, "/a.pem"]],
  );
  t.strictSame(rendered("127.0.0.1:9000", ", agents: { servers: [unix:/run/a] }"), [
    "unix@/run/a",
    "unix@/run/a.2",
    undefined,
    undefined,
  ]);
  for (const [spop, agents, ...faults] of [
    [
      remote,
      "",
      "4:10: no `agents`, and 10.0.0.5:9000 asks HAProxy for a certificate; `agents: { tls: { cert: FILE, ca: FILE, server_name: NAME } }` here, with what HAProxy shows",
    ],
    [
      `127.0.0.1:9000, ${remote}`,
      `, agents: { ${shown} }`,
      '1:18: the text "127.0.0.1:9000" without TLS, which `haproxy.agents.tls` speaks; `tls` here too, or `haproxy: { agents: { servers: [HOST:PORT] } }` with those that HAProxy asks',
    ],
    [
      `{ address: 0.0.0.0:9000, ${tls} }`,
      `, agents: { ${shown} }`,
      "1:18: a mapping, which is no address to ask; `servers: [HOST:PORT]` in `haproxy.agents`, with a name or an address that HAProxy can ask",
    ],
    [
      "127.0.0.1:9000",
      ", agents: { servers: [10.0.0.6:9000] }",
      '4:62: the text "10.0.0.6:9000"; `tls: { cert: FILE, ca: FILE, server_name: NAME }` beside `servers`, or a loopback address',
    ],
  ] as const) {
    t.strictSame(rendered(spop, agents), faults);
  }
  t.end();
});

test("HAProxy may see a socket, and that of each worker, at another path than the agent", (t) => {
  const jail = "{ address: unix:/jail/a, haproxy: unix@/a }";
  const loaded = new Files(t.testdir()).load(`${SHORTEST.replace("127.0.0.1:9000", jail)}workers: 2\n`);
  if (!("config" in loaded)) throw new Error("refused");
  t.strictSame(
    allAddresses(loaded.config).map((address) => "path" in address && address.path),
    ["/jail/a", "/jail/a.2"],
  );
  t.strictSame(renderInputOf(loaded.config, policiesOf()).spopAddresses, ["unix@/a", "unix@/a.2"]);
  t.end();
});

test("a unix socket is for its owner and group unless the file says otherwise", (t) => {
  const files = new Files(t.testdir());
  const loaded = files.load(
    SHORTEST.replace("127.0.0.1:9000", '"unix:/run/a", { address: unix:/run/b, mode: "0666" }'),
  );
  t.strictSame("config" in loaded && loaded.config.listen.spop, [
    { path: "/run/a", mode: 0o660 },
    { path: "/run/b", mode: 0o666 },
  ]);
  t.end();
});

test("a kind may be told by the form of a token", (t) => {
  const files = new Files(t.testdir());
  const read = (text: string) => {
    const loaded = files.load(SHORTEST.replace("[orders]", () => `["orders"], kind: ${text}`));
    if (!("config" in loaded)) return loaded.faults;
    return [oidcIssuersOf(loaded)[0]?.kind, oidcIssuersOf(loaded)[0]?.kindRules];
  };
  t.strictSame(read("agent"), ["agent", []]);
  t.strictSame(read("{ workload: { cid: { present: true }, uid: { present: false } } }"), [
    "person",
    [
      {
        kind: "workload",
        claims: [
          { path: "cid", wanted: { present: true } },
          { path: "uid", wanted: { present: false } },
        ],
      },
    ],
  ]);
  t.strictSame(read("{ agent: [{ bot: true }, { azp: { prefix: bot- } }], otherwise: workload }"), [
    "workload",
    [
      { kind: "agent", claims: [{ path: "bot", wanted: true }] },
      { kind: "agent", claims: [{ path: "azp", wanted: { prefix: "bot-" } }] },
    ],
  ]);
  t.end();
});

test("texts come from the environment and from files", (t) => {
  const files = new Files(t.testdir({ run: {} }));
  const audience = files.write("run/audience", "api://orders\n");
  const audiences = [file("run/audience"), { equals: `${env("PREFIX")}-${env("NAME")}` }, `${file(audience)}/2`];
  const loaded = files.load(
    SHORTEST.replace("[orders]", () => JSON.stringify(audiences)),
    {
      PREFIX: "api",
      NAME: env("PREFIX"),
    },
  );
  if (!("config" in loaded)) throw new Error("refused");
  t.strictSame(
    loaded.config.issuers[0]?.audiences,
    ["api://orders", `api-${env("PREFIX")}`, "api://orders/2"],
    "what is put in is not searched again",
  );
  t.strictSame([...new Set(loaded.files)], [loaded.config.file, audience], "and the files are to be watched");
  t.end();
});

test("a claim stands at a path, a list of names, the first of several places, or is a mapping's keys", (t) => {
  const files = new Files(t.testdir());
  const claims = (text: string) => {
    const loaded = files.load(SHORTEST.replace("[orders]", () => `["orders"], claims: ${text}`));
    return "config" in loaded ? oidcIssuersOf(loaded)[0]?.claims : loaded.faults;
  };
  const preset = {
    subject: "sub",
    groups: "groups",
    scopes: { first: ["scp", "scope"] },
    kind: undefined,
    client: undefined,
    audience: "aud",
  };
  t.strictSame(claims("{}"), preset);
  t.strictSame(
    claims(
      "{ subject: { first: [uid, [ext, my.id]] }, groups: [resource_access, my.app, roles], kind: { first: [k] } }",
    ),
    {
      ...preset,
      subject: { first: ["uid", ["ext", "my.id"]] },
      groups: ["resource_access", "my.app", "roles"],
      kind: { first: ["k"] },
    },
  );
  t.strictSame(claims('{ groups: { keys_of: "urn:roles" }, scopes: { first: [scp, { keys_of: [a, b.c] }] } }'), {
    ...preset,
    groups: { keysOf: "urn:roles" },
    scopes: { first: ["scp", { keysOf: ["a", "b.c"] }] },
  });
  t.strictSame(
    claims('{ groups: ["a*", "$.b"] }'),
    { ...preset, groups: ["a*", "$.b"] },
    "names in a list are literal",
  );
  t.end();
});

test("every file is named for the watch, also when something is wrong", (t) => {
  const files = new Files(t.testdir());
  const paths = (text: string) => files.load(text).files.map((file) => file.slice(files.directory.length + 1));
  t.strictSame(paths("a: ["), ["countersign.yaml"]);
  t.strictSame(paths(SHORTEST.replace("[orders]", () => `["${file("none")}"], ca: none.pem`)), [
    "countersign.yaml",
    "none",
    "none.pem",
  ]);
  t.strictSame(loadConfig(join(files.directory, "no.yaml"), {}, ISSUER_TYPES).files, [
    join(files.directory, "no.yaml"),
  ]);
  t.end();
});

test("what is allowed but hardly meant is a warning", (t) => {
  const files = new Files(t.testdir());
  const warnings = (haproxy: string) => {
    const loaded = files.load(SHORTEST.replace(/haproxy: .*/, `haproxy: ${haproxy}`));
    if (!("config" in loaded)) throw new Error("refused");
    return loaded.warnings.map(({ line, column, found }) => `${line}:${column}: ${found}`);
  };
  const noTls = "clients see https, but no `bind` has TLS";
  t.strictSame(warnings('{ bind: ["*:80"] }'), [`4:1: ${noTls}`]);
  t.strictSame(warnings('{ bind: ["*:80 name ssl-less"], scheme: https }'), [`4:50: ${noTls}`]);
  const unverified = (tls: string) =>
    warnings(`{ scheme: http, bind: ["*:80"], backends: { b: { servers: ["b:1"], tls: ${tls} } } }`);
  t.strictSame(unverified("{}"), []);
  t.strictSame(unverified("{ verify: none }"), [
    "4:92: whoever stands between HAProxy and the servers can read and change everything",
  ]);
  t.strictSame(warnings('{ bind: ["*:80", "*:443 ssl crt /certs"] }'), []);
  t.strictSame(warnings('{ bind: ["*:80"], client: { from: x-forwarded-for, trusted: [10.0.0.0/8] } }'), []);
  t.strictSame(warnings('{ bind: ["*:80"], client: { from: proxy-protocol, trusted: [10.0.0.0/8] } }'), []);
  t.strictSame(warnings('{ bind: ["*:80"], client: { from: proxy-protocol } }'), [
    "4:44: whoever reaches HAProxy can claim any address",
  ]);
  t.end();
});

test("the configuration is found where it is said to be", (t) => {
  const here = process.cwd();
  t.teardown(() => process.chdir(here));
  process.chdir(t.testdir({ "other.yaml": "" }));
  const absent = "no configuration: --config and COUNTERSIGN_CONFIG name none, and there is no ";
  t.strictSame(CONFIG_PLACES, ["countersign.yaml", "/etc/countersign/countersign.yaml"]);
  t.equal(configFile("other.yaml", { COUNTERSIGN_CONFIG: "third.yaml" }), "other.yaml");
  t.equal(configFile(undefined, { COUNTERSIGN_CONFIG: "third.yaml" }), "third.yaml", "whether or not it is there");
  t.strictSame(configFile(undefined, { COUNTERSIGN_CONFIG: "" }), { fault: `${absent}${CONFIG_PLACES.join(" and ")}` });
  new Files(process.cwd()).load(SHORTEST);
  t.equal(configFile(undefined, {}), "countersign.yaml");
  t.end();
});

test("a URL of a client has a port of `dpop.ports`, or else one that HAProxy listens on", (t) => {
  const files = new Files(t.testdir());
  const ports = (bind: string, more = "") => {
    const loaded = files.load(`${SHORTEST.replace('["*:80"]', bind)}${more}`);
    return "config" in loaded && loaded.config.dpop.ports;
  };
  t.strictSame(ports('["*:8080,*:8081", "[::1]:8443 ssl crt /c:1", "unix@/run/x", "/run/y:7"]'), [8080, 8081, 8443]);
  t.strictSame(ports('["*:8080"]', "dpop: { ports: [30443] }\n"), [30443]);
  t.strictSame(ports('["*:8080"]', "dpop: { ports: [] }\n"), []);
  t.end();
});
