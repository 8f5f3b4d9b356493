import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tap, { test } from "tap";
import type { BodyPlace } from "../../haproxy/bodies.ts";
import { MOST_HEADERS } from "../../haproxy/contract.ts";
import type { Cors } from "../../haproxy/cors.ts";
import { type BackendTls, type RenderInput, versionOf } from "../../haproxy/input.ts";
import { renderFragment, renderHaproxy } from "../../haproxy/render.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { checkConfig, type HaproxyBinary, haproxies, minorOf } from "../support/haproxy.ts";
import { BODIES, CORS, INPUT, MESHED } from "../support/rendered.ts";

const SPOE = "/etc/haproxy/countersign.spoe.conf";
const VERSIONS = ["2.6", "2.7", "2.8", "2.9", "3.0", "3.1", "3.2", "3.3", "3.4", "3.5"];

const names = (count: number, prefix: string) => Array.from({ length: count }, (_, n) => `${prefix}${n}`);
const headers = (count: number) => names(count, "x-auth-").map((name) => ({ name, max: 256 }));

const CERTIFICATES = mkdtempSync(join(tmpdir(), "countersign-render-"));
const AUTHORITY_FILE = join(CERTIFICATES, "ca.pem");
const CERTIFICATE_FILE = join(CERTIFICATES, "client.pem");
writeFileSync(AUTHORITY_FILE, AUTHORITY);
writeFileSync(CERTIFICATE_FILE, SERVER_CERTIFICATE + SERVER_KEY);
tap.teardown(() => rmSync(CERTIFICATES, { recursive: true }));

const METADATA = { host: "a.example", path: "/.well-known/oauth-protected-resource/mcp", body: "{}" };
const metadata = (changes: Partial<typeof METADATA>, serverless: string[] = [], closed: string[] = []) => ({
  metadata: { documents: [{ ...METADATA, ...changes }], serverless, closed },
});

/** All that can be asked of the renderer. */
const FORMS: Readonly<Record<string, Partial<RenderInput>>> = {
  plain: {},
  "a PROXY header from all": { client: { from: "proxy-protocol", trusted: [] } },
  "a PROXY header from some": { client: { from: "proxy-protocol", trusted: ["10.0.0.0/8", "fd00::/8"] } },
  "X-Forwarded-For": { client: { from: "x-forwarded-for", trusted: ["10.0.0.0/8", "192.0.2.1"] } },
  "a unix socket": { spopAddresses: ["unix@/run/countersign/spop.sock"] },
  "several agents": { spopAddresses: ["127.0.0.1:9000", "[::1]:9000"] },
  "agents elsewhere": {
    spopAddresses: ["nowhere.invalid:9000", "10.0.0.7:9000"],
    agentTls: { verify: "required", ca: AUTHORITY_FILE, cert: CERTIFICATE_FILE, serverName: "countersign.example" },
  },
  "names that nobody resolves": {
    backends: [{ name: "a.b_c-d", servers: ["nowhere.invalid:80", "no_where:80"] }],
  },
  "HTTP/2, and servers of all sorts": {
    backends: [
      {
        name: "quotes",
        proto: "h2",
        servers: ["10.0.0.7:80", { address: "[::1]:80", weight: 256, maxconn: 1, backup: true }, "nowhere.invalid:80"],
        check: { interval: 100, fall: 1, rise: 100 },
      },
    ],
  },
  "TLS by the machine's authorities": {
    backends: [{ name: "files", servers: ["nowhere.invalid:443"], tls: { verify: "required" } }],
  },
  "TLS by an authority, with a name and HTTP/2": {
    backends: [
      {
        name: "files",
        servers: ["unix@/run/files.sock", "10.0.0.7:443"],
        proto: "h2",
        tls: { verify: "required", ca: AUTHORITY_FILE, cert: CERTIFICATE_FILE, serverName: "files.shop" },
      },
    ],
  },
  "TLS without verification": {
    backends: [
      { name: "a", servers: ["10.0.0.7:443", "nowhere.invalid:443"], tls: { verify: "none" } },
      { name: "b", servers: ["10.0.0.7:443"], tls: { verify: "none", serverName: "b.shop" } },
    ],
  },
  "no identity header": { uses: { query: true, requestHeaders: [], identityHeaders: [], credentials: [] } },
  "clients with certificates": { uses: { ...INPUT.uses, credentials: ["bearer", "client-certificate"] } },
  "meshed clients": MESHED,
  "meshed clients, everywhere, behind X-Forwarded-For": {
    ...MESHED,
    mesh: { address: "[::]:8082" },
    client: { from: "x-forwarded-for", trusted: ["10.0.0.0/8"] },
  },
  "meshed clients, beside a PROXY header from some": {
    ...MESHED,
    client: { from: "proxy-protocol", trusted: ["10.0.0.0/8"] },
  },
  "a mesh": { backendVariables: ["mesh_identity"] },
  "assertions, and pages of the agent": { backendVariables: ["assertion"], webAddress: "127.0.0.1:9902" },
  "metadata of resources": {
    metadata: {
      documents: [
        { ...METADATA, body: '{"resource":"https://a.example/mcp","name":"\\u0027 # %[src] $HOME \\\\"}' },
        { host: "[::1]", path: "/.well-known/oauth-protected-resource", body: `{"a":"${"x".repeat(8000)}"}` },
      ],
      serverless: names(100, "a").map((name) => `${name}.example`),
      closed: ["[::1]"],
    },
  },
  "pages of other origins": { cors: CORS },
  "bodies that are looked into": { uses: { ...INPUT.uses, bodies: BODIES }, largestBody: 100_000 },
  "pages of many origins, at many hosts": {
    cors: [
      {
        hosts: names(100, "host-"),
        cors: { ...(CORS[0]?.cors as Cors), origins: names(64, "https://app-"), headers: names(100, "x-") },
      },
    ],
  },
  "all headers there may be": {
    uses: {
      query: true,
      requestHeaders: names(MOST_HEADERS, "h".repeat(60)),
      identityHeaders: names(MOST_HEADERS, "x".repeat(60)).map((name) => ({ name, max: 1024 })),
      credentials: ["bearer"],
    },
    largestAck: 80_000,
  },
};

function asNew(binary: HaproxyBinary, version: string): boolean {
  return VERSIONS.indexOf(minorOf(binary)) >= VERSIONS.indexOf(version);
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version} takes every form, rendered for it and for older ones, without a warning`, (t) => {
    for (const [form, changes] of Object.entries(FORMS)) {
      const versions = VERSIONS.filter((version) => asNew(binary, version));
      const rendered = versions.map((version) => renderHaproxy({ ...INPUT, ...changes, version }));
      // Most versions have the same files.
      for (const text of new Set(rendered.map((files) => JSON.stringify(files)))) {
        const { status, lines } = checkConfig(binary, JSON.parse(text));
        t.equal(status, 0, form);
        t.strictSame(
          lines.filter((line) => !line.includes("could not resolve")),
          [],
          "without a warning",
        );
      }
    }
    t.end();
  });
}

test("the versions are those that the contract fits", (t) => {
  t.strictSame(
    VERSIONS.map((version) => versionOf(version)),
    VERSIONS.map((version) => ({ major: Number(version[0]), minor: Number(version[2]) })),
  );
  for (const version of ["2.4", "2.5", "3.6", "4.0", "2.6.12", "3", "03.2", "3.2 ", ""]) {
    t.match(refusal(renderHaproxy, { version }), /^cannot render haproxy.cfg: version /, version);
  }
  t.end();
});

test("the same input gives the same bytes, whatever the order of its keys", (t) => {
  const reversed = Object.fromEntries(Object.entries(INPUT).reverse()) as unknown as RenderInput;
  t.strictSame(renderHaproxy(reversed), renderHaproxy(INPUT));
  t.equal(renderFragment(reversed, SPOE), renderFragment(INPUT, SPOE));
  t.end();
});

const overTls = (tls: Partial<BackendTls>) => ({
  name: "orders",
  servers: ["orders.shop:443"],
  tls: { verify: "required" as const, ...tls },
});
const server = (options: object) => ({ backends: [{ name: "orders", servers: [{ address: "a:80", ...options }] }] });

const pages = (changes: Partial<Cors>) => ({
  cors: [{ hosts: ["orders.example.com"], cors: { ...(CORS[0]?.cors as Cors), ...changes } }],
});

const bodies = (changes: Partial<BodyPlace>): Partial<RenderInput> => {
  const place = { hosts: ["a.example"], methods: ["POST"], path: "/mcp", whole: false, end: "" };
  return { uses: { ...INPUT.uses, bodies: [{ ...place, ...changes }] } };
};

/** Where free text goes into the files: a good value for each place, and the input that has it there. */
const PLACES: Readonly<Record<string, readonly [good: string, input: (text: string) => Partial<RenderInput>]>> = {
  version: ["3.2", (version) => ({ version })],
  identityPrefix: ["x-auth-", (identityPrefix) => ({ identityPrefix })],
  bind: ["*:443", (text) => ({ bind: [text] })],
  scheme: ["https", (text) => ({ scheme: text as "https" })],
  "client.from": ["connection", (text) => ({ client: { from: text as "connection", trusted: [] } })],
  "client.trusted": ["10.0.0.0/8", (text) => ({ client: { from: "x-forwarded-for", trusted: [text] } })],
  spopAddresses: ["unix@/run/spop.sock", (text) => ({ spopAddresses: [text] })],
  webAddress: ["unix@/run/web.sock", (webAddress) => ({ webAddress })],
  backends: ["orders", (name) => ({ backends: [{ name, servers: ["127.0.0.1:80"] }] })],
  "backends ": ["orders.shop:80", (text) => ({ backends: [{ name: "orders", servers: [text] }] })],
  " backends": ["orders.shop:80", (address) => ({ backends: [{ name: "orders", servers: [{ address }] }] })],
  "backends  ": ["/etc/ca.pem", (ca) => ({ backends: [overTls({ ca })] })],
  "  backends": ["/etc/client.pem", (cert) => ({ backends: [overTls({ cert })] })],
  "  backends ": ["orders.shop", (serverName) => ({ backends: [overTls({ serverName })] })],
  " backends  ": ["none", (verify) => ({ backends: [overTls({ verify: verify as "none" })] })],
  " backends ": ["h2", (proto) => ({ backends: [{ ...overTls({}), proto: proto as "h2" }] })],
  metadata: [METADATA.path, (path) => metadata({ path })],
  "metadata ": ["a.example", (host) => metadata({ host })],
  " metadata": ["a.example", (host) => metadata({}, [host])],
  " metadata ": ["a.example", (host) => metadata({}, [], [host])],
  "cors.hosts": ["*.example.com", (text) => ({ cors: [{ hosts: [text], cors: undefined }] })],
  "cors.origins": ["https://app.example.com", (text) => pages({ origins: [text] })],
  "cors.methods": ["GET", (text) => pages({ methods: [text] })],
  "cors.headers": ["x-tenant", (text) => pages({ headers: [text] })],
  " cors.headers": ["x-tenant", (text) => pages({ expose: [text] })],
  "uses.bodies": ["orders.example.com", (host) => bodies({ hosts: [host] })],
  " uses.bodies": ["/mcp", (path) => bodies({ path })],
  "uses.bodies ": ["POST", (method) => bodies({ methods: [method] })],
  " uses.bodies ": ["/mcp", (end) => bodies({ end })],
  "uses.requestHeaders": ["x-tenant", (text) => ({ uses: { ...INPUT.uses, requestHeaders: [text] } })],
  "uses.identityHeaders": ["x-auth-id", (name) => ({ uses: { ...INPUT.uses, identityHeaders: [{ name, max: 9 }] } })],
};
const HOSTILE = ["\n", "\r", "\t", "\0", '"', "'", "\\", "#", "%[src]", " x", "$HOME", "é", "\u2028", "`", "|", ","];
/** `bind` is words: these end or begin none of its own. */
const WORDS = ["%[src]", " x", "$HOME", "`", "|", ","];

/** The error's text, or undefined where the input is rendered. */
function refusal(render: (input: RenderInput) => unknown, changes: Partial<RenderInput>): string | undefined {
  try {
    render({ ...INPUT, ...changes });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

test("nothing that could become another word, line or expression is rendered", (t) => {
  for (const [place, [good, input]] of Object.entries(PLACES)) {
    const hostile = HOSTILE.filter((text) => place !== "bind" || !WORDS.includes(text));
    const values = hostile.flatMap((text) => [text + good, good + text, good.slice(0, 2) + text + good.slice(2)]);
    for (const render of [renderHaproxy, (input: RenderInput) => renderFragment(input, SPOE)]) {
      t.equal(refusal(render, input(good)), undefined, `${place} is rendered`);
      const passed = values.filter(
        (value) => !refusal(render, input(value))?.startsWith(`cannot render haproxy.cfg: ${place.trim()} `),
      );
      t.strictSame(passed, [], `${place} is refused with any of ${values.length} hostile values`);
    }
  }
  t.end();
});

const LOG = "global\n    log stdout format raw local0\n";

/** Directories whose names are no plain word to HAProxy, and are to be found all the same. */
const DIRECTORIES = ["plain", "a b", 'a"b', "a\\b", "a#b", "$HOME", "%[src]", "é", "a|b,c"];

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version} finds the fragment's SPOE file by its whole path`, (t) => {
    const root = t.testdir({});
    for (const name of DIRECTORIES) {
      const folder = join(root, name);
      mkdirSync(folder);
      const file = join(folder, "countersign.spoe.conf");
      writeFileSync(file, renderHaproxy(INPUT)["countersign.spoe.conf"]);
      t.strictSame(
        checkConfig(binary, { "log.cfg": LOG, "countersign.cfg": renderFragment(INPUT, file) }),
        { status: 0, lines: [] },
        name,
      );
    }
    t.end();
  });
}

test("a path that HAProxy could not find, or would read as something else, is not rendered", (t) => {
  for (const path of ["", "countersign.spoe.conf", "./x", "/it's", "/a\nb", "/a\rb", "/a\tb", "/a\0b", "/a\x7fb"]) {
    t.match(
      refusal((input) => renderFragment(input, path), {}),
      /^cannot render haproxy.cfg: spoeFile /,
      JSON.stringify(path),
    );
  }
  t.end();
});

const uses = (changes: Partial<RenderInput["uses"]>) => ({ uses: { ...INPUT.uses, ...changes } });

const agents = (changes: Partial<BackendTls>): Partial<RenderInput> => ({
  agentTls: { verify: "required", cert: "/a.pem", serverName: "a.example", ...changes } as BackendTls,
});

/** Inputs that are no configuration, by the name that the error gives. */
const UNFIT: readonly (readonly [name: string, input: Partial<RenderInput>])[] = [
  ["bind", { bind: [] }],
  ["bind", { bind: [""] }],
  ["client.trusted", { client: { from: "x-forwarded-for", trusted: [] } }],
  ["spopAddresses", { spopAddresses: [] }],
  ["spopAddresses", { spopAddresses: ["127.0.0.1"] }],
  ["agentTls", agents({ verify: "none" })],
  ["agentTls", agents({ cert: undefined })],
  ["agentTls", agents({ serverName: undefined })],
  ["agentTls", agents({ ca: "/a b" })],
  ["backends", { backends: [{ name: "orders", servers: ["orders.shop"] }] }],
  ["backends", { backends: [{ name: "countersign-web", servers: ["127.0.0.1:80"] }] }],
  ["backends", { backends: [{ name: "countersign-agent", servers: ["127.0.0.1:80"] }] }],
  ["backends", { backends: [...INPUT.backends, ...INPUT.backends] }],
  ["backend", { backends: [{ name: "orders", servers: [] }] }],
  ["backends", server({ weight: 0 })],
  ["backends", server({ weight: 1.5 })],
  ["backends", server({ maxconn: "1 backup" })],
  ["backends", server({ backup: "yes" })],
  ["backends", { backends: [{ name: "orders", servers: ["a:80"], check: { interval: 0, fall: 1, rise: 1 } }] }],
  // Any certificate of the authority would do.
  ["backends", { backends: [{ name: "orders", servers: ["10.0.0.7:443"], tls: { verify: "required" } }] }],
  ...["", "[]", '{"a":"é"}', '{"a":"\n"}', `{"a":"'"}`, `{"a":"${"x".repeat(9000)}"}`].map(
    (body) => ["metadata", metadata({ body })] as const,
  ),
  ["metadata", metadata({ path: "/mcp" })],
  ["logged", { logged: ["mesh_identity"] }],
  ["backendVariables", { backendVariables: ["subject"] }],
  ["deadline", { deadline: 0 }],
  ["deadline", { deadline: Number.NaN }],
  ["deadline", { deadline: 0.5 }],
  ["largestAck", { largestAck: Number.POSITIVE_INFINITY }],
  ["uses.requestHeaders", uses({ requestHeaders: names(MOST_HEADERS + 1, "x-") })],
  ["uses.identityHeaders", uses({ identityHeaders: headers(MOST_HEADERS + 1) })],
  ["uses.identityHeaders", uses({ identityHeaders: [...headers(1), ...headers(1)] })],
  ["uses.identityHeaders", uses({ identityHeaders: [{ name: "x-auth-id", max: 0 }] })],
];

test("what no configuration says is refused by name", (t) => {
  for (const [name, input] of UNFIT) {
    t.match(refusal(renderHaproxy, input), new RegExp(`^cannot render haproxy.cfg: ${name} `), JSON.stringify(input));
  }
  t.end();
});
