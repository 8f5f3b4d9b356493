import { X509Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";
import { test } from "tap";
import type { CheckInput } from "../../haproxy/check/check.ts";
import type { RenderInput } from "../../haproxy/input.ts";
import { contractOf, renderFragment, renderHaproxy } from "../../haproxy/render.ts";
import { SPOE_FILE, spoeFile } from "../../haproxy/spoe-file.ts";
import { AUTHORITY, Authority, pem } from "../support/certificates.ts";
import { BODIES, CORS, INPUT, MESHED } from "../support/rendered.ts";
import { knownOf, MERGED, mergedFiles, moved } from "./merged.ts";
import { prove, told } from "./proving.ts";

/** What an operating system brings: whoever has a domain can have a certificate of these. */
const BUNDLE = rootCertificates.slice(0, 3).join("\n");
/** Files in which nobody finds the authorities that are believed, and one whose key is that of a public one. */
const NEITHER = {
  "empty.pem": "",
  "trusted.pem": pem("TRUSTED CERTIFICATE", new X509Certificate(rootCertificates[0] ?? "").raw),
  "broken.pem": `${AUTHORITY}${pem("CERTIFICATE", Buffer.from("none"))}`,
};
const CROSS_SIGNED = new Authority("cross").issue({
  key: new X509Certificate(rootCertificates[0] ?? "").publicKey,
  authority: true,
}).pem;
const VERSIONS = ["2.6", "2.7", "2.8", "2.9", "3.0", "3.1", "3.2", "3.3", "3.4", "3.5"];
const MUCH: RenderInput["uses"] = {
  ...INPUT.uses,
  query: true,
  requestHeaders: ["origin", "access-control-request-method"],
  identityHeaders: ["x-auth-subject", "x-auth-roles", "x-webauth-user"].map((name) => ({ name, max: 256 })),
};
const FORMS: Readonly<Record<string, Partial<RenderInput>>> = {
  plain: {},
  "headers of all sorts, and two backends": {
    uses: MUCH,
    backends: [
      { name: "orders", servers: ["127.0.0.1:8081"] },
      { name: "files", servers: ["10.0.0.7:80", "files.shop:80"] },
    ],
  },
  "credentials in every place": {
    uses: {
      ...MUCH,
      credentials: [
        "bearer",
        "header:x-key",
        "hop:x-goog-iap-jwt-assertion",
        "subprotocol:bearer",
        "cookie:sid",
        "client-certificate",
      ],
    },
    hops: { "x-goog-iap-jwt-assertion": ["10.0.0.0/8"] },
    client: { from: "x-forwarded-for", trusted: ["10.0.0.0/8"] },
  },
  "X-Forwarded-For": { client: { from: "x-forwarded-for", trusted: ["10.0.0.0/8", "192.0.2.1"] } },
  "a PROXY header from all": { client: { from: "proxy-protocol", trusted: [] } },
  "a PROXY header from some": { client: { from: "proxy-protocol", trusted: ["10.0.0.0/8"] } },
  "meshed clients": MESHED,
  "meshed clients, and hops in every form": {
    ...MESHED,
    uses: { ...MUCH, credentials: ["bearer", "hop:x-goog-iap-jwt-assertion", "mesh"] },
    hops: { "x-goog-iap-jwt-assertion": ["10.0.0.0/8"] },
    client: { from: "x-forwarded-for", trusted: ["10.0.0.0/8"] },
  },
  "meshed clients, beside a PROXY header from some": {
    ...MESHED,
    client: { from: "proxy-protocol", trusted: ["10.0.0.0/8"] },
  },
  "assertions, and the agent's own pages": {
    backendVariables: ["mesh_identity", "assertion"],
    webAddress: "127.0.0.1:9902",
  },
  "tokens for upstreams": { backendVariables: ["assertion", "upstream_token"], uses: MUCH },
  "sessions of browsers": {
    uses: { ...MUCH, credentials: ["bearer", "session:__Host-countersign"] },
    webAddress: "127.0.0.1:9902",
  },
  "metadata of resources": {
    webAddress: "127.0.0.1:9902",
    metadata: {
      documents: ["", "/a", "/b"].map((path) => ({
        host: "a.example",
        path: `/.well-known/oauth-protected-resource${path}`,
        body: "{}",
      })),
      serverless: Array.from({ length: 40 }, (_, n) => `${n}.example`),
      closed: ["a.example"],
    },
  },
  "pages of other origins, and the agent's own": { cors: CORS, uses: MUCH, webAddress: "127.0.0.1:9902" },
  "bodies that are looked into": { uses: { ...MUCH, bodies: BODIES }, webAddress: "127.0.0.1:9902" },
  "a unix socket": { spopAddresses: ["unix@/run/countersign/spop.sock"] },
  "agents elsewhere": {
    spopAddresses: ["agent.example:9000", "10.0.0.7:9000"],
    agentTls: { verify: "required", cert: "/etc/haproxy/agent.pem", ca: "/a.pem", serverName: "countersign.example" },
  },
};

/** What `countersign check` knows of it. */
function known({ backends, identityPrefix, uses }: RenderInput): Partial<CheckInput> {
  return {
    backends: backends.map(({ name }) => name),
    identityPrefix,
    identityHeaders: uses.identityHeaders.map(({ name }) => name),
  };
}

test("what is generated is proven, for every version, by one that is known and by all, with policies and without", (t) => {
  for (const version of VERSIONS) {
    for (const [form, changes] of Object.entries(FORMS)) {
      const input = { ...INPUT, ...changes, version };
      const files = { ...renderHaproxy(input) };
      for (const about of [known(input), {}]) {
        const mine = prove(files, { ...about, version });
        t.strictSame([mine.findings, mine.unread, mine.worlds], [[], 0, 1], `${version}, ${form}`);
        t.strictSame(prove(files, about).findings, [], `${version}, ${form}, by any`);
      }
    }
  }
  t.end();
});

test("the client's own token never stands where the agent has given another, and else only where that says so", (t) => {
  const input = { ...INPUT, backendVariables: ["upstream_token"], version: "3.2" } as const;
  const rendered = { ...renderHaproxy(input) };
  const written =
    "http-request set-header authorization %[var(txn.countersign.upstream_token)] if { var(txn.countersign.upstream_token) -m found }";
  const strip = /http-request del-header authorization unless .*/;
  const told = (from: string | RegExp, to: string) => {
    const cfg = rendered["haproxy.cfg"].replace(from, () => to);
    t.not(cfg, rendered["haproxy.cfg"], `${from}`);
    return prove({ ...rendered, "haproxy.cfg": cfg }, { ...known(input), version: "3.2" }).findings.map(
      ({ level, code, found }) => `${level} ${code}: ${found}`,
    );
  };
  const passes = [
    "fault identity: the client's own authorization passes to backend orders: nothing deletes it on every way",
  ];
  t.strictSame(told(strip, ""), passes, "it is not deleted");
  t.strictSame(told(strip, "http-request del-header authorization if { method POST }"), passes, "or not always");
  t.strictSame(told(written, written.replace("set-header", "add-header")), passes, "it stands beside the other");
  t.strictSame(told(written, `${written} { method POST }`), passes, "the other is not always set");
  t.strictSame(told(written, `${written}\n    http-request set-header authorization %[req.hdr(x-token)]`), [
    'fault rewrite: "http-request set-header authorization %[req.hdr(x-token)]" changes header authorization after the agent has judged it: backend orders gets another request than was allowed',
    'fault identity: "http-request set-header authorization %[req.hdr(x-token)]" lets somebody else than the agent say what authorization is',
  ]);
  t.end();
});

test("an agent off this machine is asked by TLS that proves who it is, or that is told", (t) => {
  const rendered = { ...renderHaproxy({ ...INPUT, ...FORMS["agents elsewhere"], version: "3.2" }) };
  const { "haproxy.cfg": cfg } = rendered;
  let levels: ReadonlySet<string> = new Set();
  const told = (from: string | RegExp, to: string | ((all: string) => string)) => {
    const changed = typeof to === "string" ? cfg.replaceAll(from, to) : cfg.replace(from, to);
    t.not(changed, cfg, `${from}`);
    const files = { ...rendered, "haproxy.cfg": changed, "own.pem": AUTHORITY, "public.pem": BUNDLE, ...NEITHER };
    const { findings } = prove({ ...files, "cross.pem": CROSS_SIGNED }, { ...known(INPUT), version: "3.2" });
    levels = new Set(findings.map(({ level }) => level));
    return [...new Set(findings.map(({ code, found }) => `${code}: ${found.replace(/^".*" asks /s, "asks ")}`))];
  };
  const plain = 'channel: asks the agent over the network in plain text: whoever is on the way can answer "allow"';
  const unproven =
    'channel: asks whoever answers, by TLS that proves nothing: whoever is on the way can answer "allow"';
  t.strictSame(told(/ ssl ssl-min-ver .*$/gm, ""), [plain]);
  t.strictSame(told(" ssl ssl-min", " ssl no-ssl ssl-min"), [plain]);
  t.strictSame(told("verify required", "verify none"), [unproven]);
  t.strictSame(told(/ verify required/g, "").length, 0, "it is required where nothing says otherwise");
  t.strictSame(
    told(/ verify required ca-file \/a\.pem|^global$/gm, (all) =>
      all === "global" ? "global\n    ssl-server-verify none" : "",
    ),
    [unproven],
  );
  t.strictSame(
    told(/ ssl ssl-min-ver .*$|(?<=default-server) /gm, (all) => (all === " " ? " ssl verify none " : "")),
    [unproven],
  );
  const signed = (ca: string) =>
    told(/ ssl ssl-min-ver .*$|(?<=default-server) /gm, (all) =>
      all === " " ? ` ssl verify required ca-file ${ca} ` : "",
    );
  t.strictSame(signed("/own.pem"), [], "by an authority of one's own");
  const anybody = { fault: ["public", "cross"], unproven: ["nowhere", "empty", "trusted", "broken"] };
  for (const [level, names] of Object.entries(anybody))
    for (const ca of names.map((name) => `/${name}.pem`)) {
      const found = `channel: asks whoever has a certificate of an authority in ${ca}: its name is not looked at`;
      t.strictSame([signed(ca), [...levels]], [[found], [level]]);
    }
  const named = / ssl ssl-min-ver .*$/gm;
  t.strictSame(told(named, " ssl verify required ca-file /public.pem verifyhost agents.internal"), []);
  t.strictSame(told(named, " ssl verify required ca-file /public.pem sni req.hdr(host)").length, 1);
  const socks = told(/(?<=server \S+ )\S+(?= check)/g, "127.0.0.1:9000 socks4 192.0.2.1:1080");
  t.strictSame(socks, [], "whom a SOCKS proxy leads to must prove it all the same");
  t.strictSame(told(/ca-file \S+ verifyhost \S+|sni \S+ check-sni \S+/g, "ca-file @system-ca"), [
    "channel: asks whoever has a certificate of any authority of the machine's: its name is not looked at",
  ]);
  t.end();
});

const SPOE = "/etc/haproxy/countersign.spoe.conf";
const USER = `global
    log /dev/log local0
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend shop
    bind *:80
    http-request replace-path /old(/.*) \\1 if { path_beg /old/ }
    # rules
frontend second
    bind 127.0.0.1:81
    # rules
backend orders
    option http-drop-request-trailers
    server a 10.0.0.1:80
`;

test("the fragment is proven as the documentation merges it", (t) => {
  for (const version of VERSIONS) {
    const input = { ...INPUT, version, backends: [{ name: "orders", servers: [] }] };
    const fragment = renderFragment(input, SPOE);
    const spoe = { [SPOE_FILE]: spoeFile(input, contractOf(input)) };
    const second = USER.replaceAll("    # rules\n", "").replace(
      /frontend shop\n(?: .*\n)*frontend second\n(?: .*\n)*/,
      "",
    );
    for (const [way, files] of Object.entries({
      "as a second file": { "haproxy.cfg": second, "countersign.cfg": fragment },
      appended: { "haproxy.cfg": second + fragment },
      "moved into two frontends": { "haproxy.cfg": moved(USER, fragment) },
    }))
      t.strictSame(prove({ ...files, ...spoe }, known(input)).findings, [], `${version}, ${way}`);
  }
  t.end();
});

test("configurations of others are proven when the fragment is merged into them", (t) => {
  for (const one of MERGED)
    for (const version of ["2.6", "3.0", "3.2", "3.5"]) {
      const files = mergedFiles(one, { version });
      const { findings, unread, guarded } = prove(files, { ...knownOf(one), version });
      t.strictSame([findings, unread, guarded], [[], 0, one.backends.toSorted()], `${one.name}, ${version}`);
    }
  t.end();
});

test("in a large configuration with public and judged frontends each of three holes is found", (t) => {
  const [shop] = MERGED;
  if (shop === undefined) throw new Error("no configuration");
  const files = mergedFiles(shop, { version: "3.2" });
  const config = files["haproxy.cfg"] ?? "";
  const known = knownOf(shop);
  t.ok(prove(files, known).lines > 300);
  const unknown = prove(files).findings;
  t.strictSame(
    new Set(unknown.map(({ level }) => level)),
    new Set(["unproven"]),
    "without policies nobody knows which",
  );
  const holes: readonly (readonly [from: string, to: string, found: string])[] = [
    ["    monitor-uri /lb-health\n", "    http-request allow if { path /lb-health }\n", "fault gate"],
    [
      "    use_backend www if is_www\n",
      "    use_backend orders if { path_beg /v1/orders }\n    use_backend www if is_www\n",
      "fault gate",
    ],
    [
      "    http-request set-header x-shop-service invoices\n",
      "    http-request replace-path /v2(/.*) /v1\\1\n",
      "fault rewrite",
    ],
  ];
  const planted = holes.reduce((text, [from, to]) => text.replace(from, () => to), config);
  const lines = holes.map(([, to, found]) => {
    const [first = ""] = to.split("\n");
    return `${found} ${planted.split("\n").indexOf(first) + 1}`;
  });
  const inOrder = lines.toSorted((a, b) => Number(a.split(" ").at(-1)) - Number(b.split(" ").at(-1)));
  t.strictSame(told(prove({ ...files, "haproxy.cfg": planted }, known)), inOrder);
  for (const [index, [from, to]] of holes.entries()) {
    const one = told(prove({ ...files, "haproxy.cfg": config.replace(from, () => to) }, known));
    t.strictSame(
      one.map((text) => text.replace(/ \d+$/, "")),
      [holes[index]?.[2]],
      to,
    );
  }
  t.end();
});

test("who a meshed client is counts from the proxy in HAProxy's pod, or the line is told that would have it otherwise", (t) => {
  const input: RenderInput = { ...INPUT, ...MESHED, client: { from: "proxy-protocol", trusted: ["10.0.0.0/8"] } };
  const files = renderHaproxy(input);
  const reads =
    "http-request set-var(txn.countersign_meshed) req.fhdr(l5d-client-id) if { var(txn.countersign_sidecar) -m bool }";
  const proxy =
    "set-var(txn.countersign_sidecar) bool(true) if { so_name countersign-mesh } { src,strcmp(txn.countersign_reached) eq 0 } !{ src 127.0.0.0/8 ::1 }";
  const first = "http-request set-var(txn.countersign_reached)";
  const above = (rule: string) => [first, `${rule}\n    ${first}`] as const;
  const public_ = "    bind 127.0.0.1:8080";
  for (const [from, to] of [
    [" { so_name countersign-mesh } { src,strcmp", " { src,strcmp"],
    [" { src,strcmp(txn.countersign_reached) eq 0 }", ""],
    [" !{ src 127.0.0.0/8 ::1 }", ""],
    [`if { var(txn.countersign_sidecar) -m bool }\n`, "\n"],
    ["req.fhdr(l5d-client-id) if", "req.fhdr(x-client-id) if"],
    [reads, `${reads} or { so_name inner }`],
    [reads, `${reads}\n    http-request set-var(txn.countersign_meshed) req.fhdr(x-id) if { so_name inner }`],
    [reads, `${reads}\n    http-request set-var-fmt(txn.countersign_meshed) %[req.fhdr(x-id)]`],
    [reads, `${reads}\n    http-request set-var(txn.x) req.fhdr(x-id),set-var(txn.countersign_meshed,ifexists)`],
    [proxy, proxy.replace("countersign-mesh", "inner")],
    [proxy, `${proxy}\n    http-request do-resolve(txn.countersign_reached,dns,ipv4) req.hdr(x-me)`],
    [reads, `${reads}\n    http-request do-resolve(txn.countersign_meshed,dns,ipv4) req.hdr(x-me)`],
    [reads, `${reads}\n    http-request unset-var(txn.countersign_meshed) if { src 10.0.0.0/8 }`],
    [reads, `http-request set-header x-a b\n    ${reads}`],
    [reads, `${reads}\n    ${reads}`],
    [`http-request ${proxy}\n    ${reads}`, `${reads}\n    http-request ${proxy}`],
    above("http-request set-src req.hdr_ip(x-real-ip) if { src 10.0.0.0/8 }"),
    above("http-request set-dst src"),
    above("http-request set-header l5d-client-id %[req.fhdr(x-id)]"),
    above("http-request replace-header l5d-client-id (.*) \\\\1"),
    above("tcp-request content set-src req.hdr_ip(x-real-ip)"),
    [" } !{ so_name countersign-mesh }\n", " }\n"],
    ["name countersign-mesh\n", "name countersign-mesh accept-proxy\n"],
    [public_, `${public_} name countersign-mesh`],
    [" 127.0.0.1:8081 ", " 127.0.0.1:8082 "],
  ] as const) {
    const edited = files["haproxy.cfg"].replace(from, () => to);
    t.not(edited, files["haproxy.cfg"], `${from} is there`);
    const found = told(prove({ ...files, "haproxy.cfg": edited }, known(input)));
    t.ok(
      found.some((text) => text.startsWith("fault mesh ")),
      `${to}: ${found}`,
    );
  }
  const spoe = files["countersign.spoe.conf"].replace(
    "mesh=var(txn.countersign_meshed)",
    "mesh=req.fhdr(l5d-client-id)",
  );
  t.match(told(prove({ ...files, "countersign.spoe.conf": spoe }, known(input))), [/^fault mesh /]);
  const below = files["haproxy.cfg"].replace(
    reads,
    `${reads}\n    http-request set-src req.hdr_ip(x-real-ip) if { src 10.0.0.0/8 }`,
  );
  t.strictSame(told(prove({ ...files, "haproxy.cfg": below }, known(input))), [], "what follows may change addresses");
  const open = (server: string, rule = "") =>
    told(
      prove(
        {
          ...files,
          "open.cfg": `frontend open\n    bind :9090\n${rule}    default_backend ingress\nbackend ingress\n    server s ${server}\n`,
        },
        { ...known(input), public: ["ingress"] },
      ),
    );
  for (const server of ["ingress-meshed.svc:8082", "10.1.2.3:8082", `"\${INGRESS}"`, "ingress.svc"])
    t.match(open(server), [/^unproven mesh 5$/], `${server} may be this very pod`);
  const deletes = "    http-request del-header l5d-client-id\n";
  t.match(open("10.1.2.3:8082", deletes.replace("\n", " if { src 10.0.0.0/8 }\n")), [/^unproven mesh 6$/]);
  t.match(open("10.1.2.3:8082", `    http-request allow if { path / }\n${deletes}`), [/^unproven mesh 7$/]);
  t.strictSame(open("10.1.2.3:8082", deletes), [], "it hands no such header on");
  t.strictSame([open("10.1.2.3:8083"), open("/run/ingress.sock")].flat(), [], "nobody is there but another");
  const nameless = files["haproxy.cfg"].replace(" name countersign-mesh", "");
  t.match(prove({ ...files, "haproxy.cfg": nameless }, known(input)).findings, [{ level: "warning", code: "mesh" }]);
  t.end();
});
