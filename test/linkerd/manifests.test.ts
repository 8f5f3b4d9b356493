import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { Ajv } from "ajv";
import { test } from "tap";
import { parseAllDocuments } from "yaml";
import { InexpressibleError } from "../../linkerd/inexpressible.ts";
import { type Manifest, manifestsOf } from "../../linkerd/manifests.ts";
import { renderManifests } from "../../linkerd/render.ts";
import { unenforced } from "../../linkerd/report.ts";
import { compilePolicies } from "../../policies/compile/compile.ts";
import { faultText } from "../../policies/fault.ts";
import type { Policies } from "../../policies/policies.ts";
import { ENVIRONMENT, policiesFrom } from "../support/policies.ts";
import { Chance, somePolicies, someRequest } from "./corpus.ts";
import schemas from "./crds/schemas.json" with { type: "json" };
import { LinkerdModel } from "./model.ts";

const MESH = { trustDomain: "cluster.local", controlPlane: "linkerd", identity: "haproxy.ingress" };
const HAPROXY = { identity: "haproxy.ingress.serviceaccount.identity.linkerd.cluster.local", address: "10.9.0.1" };
const REPORTS = { identity: "reports.shop.serviceaccount.identity.linkerd.cluster.local", address: "10.9.0.2" };
const OTHER = { identity: "other.default.serviceaccount.identity.linkerd.cluster.local", address: "10.9.0.3" };
const PROBE = { address: "10.1.2.3" };
const STRANGER = { address: "10.9.0.4" };

const ajv = new Ajv({ strict: false, logger: false });
const validators = new Map(Object.entries(schemas).map(([kind, schema]) => [kind, ajv.compile(schema)]));

/** What the API server would have against an object. */
function faultOf({ apiVersion, kind, metadata, spec }: Manifest): string | undefined {
  const validate = validators.get(`${apiVersion} ${kind}`);
  if (validate === undefined) return `no schema of ${apiVersion} ${kind}`;
  if (!validate({ apiVersion, kind, metadata, spec })) return ajv.errorsText(validate.errors);
  const named = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(metadata.name);
  if (!named || metadata.name.length > 253) return `the name ${metadata.name}`;
  for (const value of Object.values(metadata.labels)) if (!/^[A-Za-z0-9][\w.-]{0,62}$/.test(value)) return value;
  return kind === "HTTPRoute" ? pathFault(spec) : undefined;
}

// The validation rules of the HTTPRoute's schema that ajv knows nothing of.
const EXACT = /^(?!.*(?:\/\/|\/\.{1,2}(?:\/|$)|%2f))\/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*$/i;

function pathFault(spec: Manifest["spec"]): string | undefined {
  // biome-ignore lint/suspicious/noExplicitAny: the schema has been asked
  for (const { path } of (spec.rules as any[]).flatMap(({ matches }) => matches)) {
    if (path.type === "Exact" && !EXACT.test(path.value)) return path.value;
    if (path.type !== "Exact") new RegExp(path.value);
  }
  return undefined;
}

interface Case {
  readonly text: string;
  readonly policies: Policies;
  readonly manifests: readonly Manifest[];
}

/** 500 policies that can be rendered, and why others cannot. */
function corpus(): { readonly cases: readonly Case[]; readonly refused: readonly string[] } {
  const cases: Case[] = [];
  const refused: string[] = [];
  for (let seed = 1; cases.length < 500; seed++) {
    const made = somePolicies(new Chance(seed));
    try {
      cases.push({ ...made, manifests: manifestsOf(inputOf(made.policies)) });
    } catch (error) {
      if (!(error instanceof InexpressibleError)) throw error;
      refused.push(...error.all.map(({ found }) => found));
    }
  }
  return { cases, refused };
}

function inputOf({ revision, services }: Policies) {
  return { revision, mesh: MESH, services };
}

/** The example policies, meshed: the backend `files` as a whole, since one of its services lets `%2F` pass. */
function examples(): Case {
  const meshes: Readonly<Record<string, string>> = { "orders.yaml": "", "api.yaml": ", routes: false" };
  const texts = ["roles", "orders", "files", "api"].map((name) => {
    const file = `${name}.yaml`;
    const own = name === "orders" ? "orders" : "files";
    const mesh = `    mesh: { service: ${own}, namespace: shop, port: http, pods: { app: ${own} }, identity: ${own}.shop${meshes[file]} }`;
    const text = readFileSync(new URL(`../../policies/examples/${file}`, import.meta.url), "utf8");
    const backend = new RegExp(`^ {4}backend: ${own}.*$`, "m");
    return { file, text: file in meshes ? text.replace(backend, (line) => `${line}\n${mesh}`) : text };
  });
  const issuers = [
    ...["idp", "partner", "machines", "login"].map((name) => ({
      name,
      audiences: ["api://orders"],
      credentials: ["bearer"],
      kinds: undefined,
    })),
    { name: "devices", audiences: [], credentials: ["client-certificate"], kinds: undefined },
    {
      name: "aws",
      audiences: ["ingress.example.com"],
      credentials: ["bearer"],
      kinds: undefined,
      arns: { partition: "aws", accounts: ["123456789012"] },
    },
  ];
  const compiled = compilePolicies(texts, { ...ENVIRONMENT, issuers });
  if ("faults" in compiled) throw new Error(compiled.faults.map(faultText).join("\n"));
  return { text: "the examples", policies: compiled.policies, manifests: manifestsOf(inputOf(compiled.policies)) };
}

const { cases, refused } = corpus();
const all = [examples(), ...cases];

test("the manifests of the examples and 500 policies are what the schemas of their kinds ask for", (t) => {
  const kinds = new Set<string>();
  for (const { text, manifests } of all) {
    for (const manifest of manifests) {
      kinds.add(manifest.kind);
      const fault = faultOf(manifest);
      if (fault !== undefined) t.fail(`${fault}\n${text}`);
    }
    const names = manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    if (new Set(names).size < names.length) t.fail(`a name twice\n${text}`);
  }
  t.equal(kinds.size, 5);
  t.end();
});

test("the same input gives the same bytes, and they are the manifests", (t) => {
  for (const { policies, manifests } of all.slice(0, 100)) {
    const text = renderManifests(inputOf(policies));
    const read = parseAllDocuments(text).map((document) => document.toJS());
    const same = renderManifests(inputOf(policies)) === text && isDeepStrictEqual(read, manifests);
    if (!same) t.strictSame(read, manifests);
  }
  t.end();
});

const BEYOND_ASCII = /%[89a-f]/i;

/** What the ingress does with a request, for whatever host and headers: does it lead to the backend, and may a probe? */
function ingress(policies: Policies, backend: string, method: string, path: string) {
  const hosts = [...new Set(policies.services.flatMap((service) => service.hosts))].map((host) =>
    host.replace("*", "x"),
  );
  const asked = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"];
  const headers = [
    {},
    ...(method === "OPTIONS" ? asked.map((each) => ({ origin: "x", "access-control-request-method": each })) : []),
  ];
  const found = hosts.flatMap((host) => headers.map((each) => policies.match(host, method, path, each)));
  const routes = found.flatMap((each) => ("reason" in each ? [] : [each.route]));
  const led = routes.filter((route) => route.backend === backend);
  return {
    leads: led.length > 0,
    open: led.some(({ access, asks }) => access === "anyone" && asks.when === undefined),
    ambiguous: found.every((each) => "reason" in each && each.reason === "path-ambiguous"),
    all: led.length === found.length,
  };
}

test("the mesh lets pass from HAProxy just what the ingress leads there, and nothing from others", (t) => {
  const counts = { requests: 0, led: 0, refused: 0, probed: 0, loose: 0 };
  const wrong: string[] = [];
  for (const [index, { text, policies, manifests }] of all.entries()) {
    const chance = new Chance(1000 + index);
    const servers = policies.services.flatMap(({ mesh }) => (mesh?.routes === true ? mesh : []));
    const models = servers.map((mesh) => ({
      mesh,
      model: new LinkerdModel(`${mesh.service}-${mesh.port}`, manifests),
    }));
    for (let count = 0; count < 200; count++) {
      const { method, path } = someRequest(policies, chance);
      counts.requests++;
      for (const { mesh, model } of models) {
        const side = ingress(policies, mesh.backend, method, path);
        const tell = (what: string) => wrong.push(`${what}: ${method} ${path} at ${mesh.backend}\n${text}`);
        const answers = model.answers(method, path, HAPROXY);
        const passes = answers.has(200);
        // One that ties with another would depend on which is the older object.
        if (answers.size > 1) tell("either way");
        if (side.leads && !passes) tell("refused");
        if (passes && !side.leads) {
          if (side.ambiguous && BEYOND_ASCII.test(path)) counts.loose++;
          else tell("let pass");
        }
        for (const client of [OTHER, STRANGER]) if (model.answers(method, path, client).has(200)) tell("a stranger");
        if (model.answers(method, path, REPORTS).has(200) && !(passes && mesh.also.length > 0)) tell("also");
        const probe = model.answers(method, path, PROBE);
        if (probe.has(200) && (mesh.probes.length === 0 || !(side.open || (side.ambiguous && passes)))) tell("a probe");
        if (
          side.open &&
          side.all &&
          method !== "OPTIONS" &&
          mesh.probes.length > 0 &&
          !(probe.size === 1 && probe.has(200))
        )
          tell("no probe");
        if (side.leads) counts.led++;
        else counts.refused++;
        if (probe.has(200)) counts.probed++;
      }
    }
  }
  t.strictSame(wrong.slice(0, 3), []);
  t.equal(counts.requests, 100_200);
  t.comment(JSON.stringify(counts));
  for (const count of Object.values(counts)) t.ok(count > 100, JSON.stringify(counts));
  t.end();
});

test("what no HTTPRoute can mean is refused, and little is", (t) => {
  t.comment(
    refused.length,
    [...new Set(refused.map((found) => found.replace(/^".*?" asks|"[^"]*"/g, "…")))].join("\n"),
  );
  t.ok(refused.length < 300, String(refused.length));
  t.end();
});

const MESHED = "mesh: { service: orders, namespace: shop, port: http, pods: { app: orders }, identity: orders.shop";

/** Policies of one service, whose mesh and routes are these. */
function meshed(routes: string, more = ""): Policies {
  const text = `roles: { reader: [{ issuer: aws, group: r }], other: [{ issuer: aws, group: o }] }
services:
  orders: { hosts: [a.example], issuers: [aws], backend: orders, ${MESHED}${more} }, routes: [${routes}] }`;
  return policiesFrom(text);
}

/** The answers to HAProxy, whatever the age of the objects. */
function answersTo(policies: Policies): (method: string, path: string) => readonly number[] {
  const model = new LinkerdModel("orders-http", manifestsOf(inputOf(policies)));
  return (method, path) => [...model.answers(method, path, HAPROXY)];
}

test("a wildcard takes every segment that the ingress takes, character by character and escape by escape", (t) => {
  const policies = meshed("{ name: r, match: ['GET /v/{a}'], allow: [anyone] }");
  const answers = answersTo(policies);
  const parts = Array.from({ length: 256 }, (_, code) => {
    const hex = code.toString(16).padStart(2, "0");
    return [...(code < 128 ? [String.fromCharCode(code)] : []), `%${hex}`, `%${hex.toUpperCase()}`];
  }).flat();
  for (const part of parts) {
    for (const segment of [part, `${part}x`, `x${part}`, `x${part}x`, part + part, `.${part}`, `${part}.`]) {
      const path = `/v/${segment}`;
      const { leads } = ingress(policies, "orders", "GET", path);
      const beyond = BEYOND_ASCII.test(path);
      if (answers("GET", path)[0] !== (leads || (beyond && !path.endsWith(".")) ? 200 : 404)) t.fail(path);
    }
  }
  t.pass();
  t.end();
});

const EXPRESSIONS = [
  "[0-9]+",
  "\\d{3}",
  "[a-f0-9-]{2,5}",
  "\\w+",
  "[\\w-]+",
  "v(1|2)?",
  "(?:ab|a)(c|bcd)?",
  "a|ab|abc",
  "[A-Z][a-z]*?-?\\d",
  "x{2,}y",
  "(?:[0-9]{2}-){1,3}z",
  "~[_~-]+",
  "[a-z]{130}-[a-z]{130}",
];

test("an expression takes the segments that it takes at the ingress, and is refused where it could not", (t) => {
  const chance = new Chance(7);
  for (const expression of EXPRESSIONS) {
    const policies = meshed(`{ name: r, match: ['GET /v/{x:${expression}}'], allow: [anyone] }`);
    const answers = answersTo(policies);
    const loose = unenforced(inputOf(policies)).some(({ what }) => what.includes("256 characters"));
    const told: string[] = [];
    for (let count = 0; count < 3000; count++) {
      const alphabet =
        chance.below(2) === 0 ? [...expression.replace(/\W/g, ""), "-", "~"] : [..."019aAbcdefzxy-_~.%+{"];
      const segment = Array.from({ length: 1 + chance.below(7) }, () => chance.of(alphabet)).join("");
      const { leads } = ingress(policies, "orders", "GET", `/v/${segment}`);
      if (answers("GET", `/v/${segment}`)[0] !== (leads ? 200 : 404)) told.push(segment);
    }
    t.strictSame(told, [], expression);
    const long = ["1", "a", "x"].flatMap((character) => [256, 257].map((count) => character.repeat(count)));
    for (const segment of [...long, `${"a".repeat(130)}-${"a".repeat(130)}`, `${"x".repeat(300)}y`]) {
      const { leads } = ingress(policies, "orders", "GET", `/v/${segment}`);
      const passes = answers("GET", `/v/${segment}`)[0] === 200;
      if (passes !== leads && !(passes && loose)) t.fail(`${expression} ${segment.length}`);
    }
  }
  for (const expression of [
    "a.b",
    "[^a]+",
    "a\\.b",
    "[a-z.]+",
    "\\S+",
    "(?i)a",
    "[[:alpha:]]",
    "é",
    "a*",
    "\\p{L}",
    "[A-z]+",
    "a b",
    "\\x41",
    "[+-9]+",
    "a@",
  ]) {
    const render = () =>
      manifestsOf(inputOf(meshed(`{ name: r, match: ['GET /v/{x:${expression}}'], allow: [anyone] }`)));
    t.throws(render, InexpressibleError, expression);
  }
  t.end();
});

test("of nested patterns just what is left to a backend passes there", (t) => {
  const answers = answersTo(
    meshed(`
      { name: all, match: ['GET /v1/{a}/{p...}'], allow: [anyone] },
      { name: away, match: ['GET /v1/orders/{p...}'], allow: [anyone], backend: web },
      { name: back, match: ['GET /v1/orders/{id:[0-9]+}'], allow: [anyone] },
      { name: any, match: ['* /v2/{p...}'], allow: [anyone] },
      { name: get, match: ['GET /v2/web/{p...}'], allow: [anyone], backend: web }`),
  );
  for (const [method, path, answer] of [
    ["GET", "/v1/items", 200],
    ["HEAD", "/v1/items/7/", 200],
    ["POST", "/v1/items", 404],
    ["GET", "/v1/orderss/7", 200],
    ["GET", "/v1/order", 200],
    ["GET", "/v1/o", 200],
    ["GET", "/v1/or%20", 404],
    ["GET", "/v1/orders", 404],
    ["GET", "/v1/orders/", 404],
    ["HEAD", "/v1/orders/x", 404],
    ["GET", "/v1/orders/42", 200],
    ["HEAD", "/v1/orders/42", 200],
    ["GET", "/v1/items/../orders/x", 404],
    ["GET", "/v1/%6frders/x", 404],
    ["GET", "/v1/", 404],
    ["GET", "/v2/web/x", 403],
    ["HEAD", "/v2/web", 403],
    ["PROPFIND", "/v2/web/x", 200],
    ["GET", "/v2/webs", 200],
    ["GET", "/v2", 200],
  ] as const) {
    t.strictSame(answers(method, path), [answer], `${method} ${path}`);
  }
  t.end();
});

test("what the mesh does not ask for is reported for every rule, and stands at the beginning of the file", (t) => {
  const policies = meshed(
    `{ name: a, match: ['GET /a/{x:[a-z]+-[0-9]+}'], allow: [reader], deny: [other], scopes: [s1, s2], when: "request.tls &&\\n  request.method != 'X'" },
     { name: b, match: [GET /b], allow: [authenticated], optional: true },
     { name: c, match: [GET /c], allow: [] },
     { name: d, match: [GET /d], allow: [anyone], backend: web },
     { name: e, match: [GET /e], allow: [anyone] },
     { name: f, match: [POST /f], allow: [anyone], mcp: { methods: [ping] } }`,
    ", also: [reports.shop]",
  );
  const told = unenforced(inputOf(policies));
  t.strictSame(
    told.map(({ rule, what }) => `${rule}: ${what}`),
    [
      ": the host: any passes, where HAProxy's side takes a.example",
      `: any identity of its own for ${REPORTS.identity}, which is let in beside HAProxy`,
      "orders/a: the credential",
      "orders/a: the roles reader",
      "orders/a: the roles that are refused, other",
      "orders/a: the scopes s1, s2",
      "orders/a: the condition request.tls &&\n  request.method != 'X'",
      "orders/a: whether escapes beyond ASCII in wildcards are well-formed and unambiguous",
      "orders/a: that a segment with an expression has at most 256 characters",
      "orders/b: the credential, if there is one",
      "orders/c: the credential",
      "orders/c: that nobody is allowed",
      'orders/f: what is said to the MCP server: {"methods":["ping"]}',
      'orders/d: it leads to the backend "web", which has no `mesh`',
    ],
  );
  const [head = ""] = renderManifests(inputOf(policies)).split("---\n");
  for (const { rule, what } of told)
    t.ok(head.includes(`#   shop/orders-http ${rule === "" ? "" : `${rule} `}${what.replace(/\s+/g, " ")}\n`), what);
  t.notMatch(head, /^[^#\n]/m);
  t.end();
});

test("without routes all that HAProxy and who is let in beside it send passes, and nobody else's", (t) => {
  const policies = meshed("{ name: a, match: [GET /a], allow: [reader] }", ", routes: false, also: [reports.shop]");
  const manifests = manifestsOf(inputOf(policies));
  t.strictSame(manifests.map(faultOf), [undefined, undefined, undefined]);
  const model = new LinkerdModel("orders-http", manifests);
  const answers = [HAPROXY, REPORTS, OTHER, STRANGER].map((client) => [...model.answers("PUT", "/x", client)]);
  t.strictSame(answers, [[200], [200], [403], [403]]);
  t.match(unenforced(inputOf(policies))[0]?.what, "`routes: false`");
  t.end();
});

test("what no manifest can say is told with its rule, all of it at once", (t) => {
  const policies = policiesFrom(`services:
  a:
    hosts: [a.example]
    issuers: [aws]
    backend: orders
    ${MESHED} }
    paths: { parameters: allow }
    routes:
      - { name: dot, match: ['GET /{v:v.}'], allow: [anyone] }
      - { name: none, match: ['GET /n/{v:[0-9]*}'], allow: [anyone] }
      - { name: odd, match: ['PROPFIND /x'], allow: [anyone] }
`);
  t.throws(() => manifestsOf(inputOf(policies)), {
    message: [
      'a: `paths` that lets pass what no HTTPRoute of the backend "orders" would; leave it out, or write `routes: false` in `mesh`',
      'a/dot: "GET /{v:v.}" asks for the expression `v.`, which no HTTPRoute can mean exactly; write the pattern otherwise, or `routes: false` in `mesh`',
      'a/none: "GET /n/{v:[0-9]*}" asks for the expression `[0-9]*`, which no HTTPRoute can mean exactly; write the pattern otherwise, or `routes: false` in `mesh`',
      'a/odd: "PROPFIND /x" asks for the method PROPFIND, which no HTTPRoute can mean exactly; write the pattern otherwise, or `routes: false` in `mesh`',
    ].join("\n"),
  });
  t.end();
});

test("kubectl, which reads YAML 1.1, reads every text as the text that it is", (t) => {
  const odd = ["yes", "on", "off", "y", "NO", "null", "true", "0b10", "0o7", "012", "1_000", "12e03", "1.0", "0x1f"];
  const pods = odd.map((value, index) => `l${index}: "${value}"`).join(", ");
  const text = renderManifests(inputOf(labelled(pods)));
  const read = (version: "1.1" | "1.2") => parseAllDocuments(text, { version })[0]?.toJS().spec.podSelector.matchLabels;
  for (const version of ["1.1", "1.2"] as const)
    t.strictSame(new Set(Object.values(read(version))), new Set(odd), version);
  t.end();
});

function labelled(pods: string): Policies {
  return policiesFrom(`services:
  orders: { hosts: [a.example], issuers: [aws], backend: orders, ${MESHED.replace("app: orders", pods)} }, routes: [{ name: r, match: [GET /r], allow: [anyone] }] }`);
}

test("meshed clients come to HAProxy's pods by HTTP alone, at a route, and nobody is let in for anything else", (t) => {
  const pods = { app: "haproxy" };
  const input = {
    revision: "r",
    mesh: MESH,
    services: [],
    ingress: { port: 8081, pods, namespaces: ["shop", "billing"] },
  };
  const manifests = manifestsOf(input);
  for (const manifest of manifests) t.equal(faultOf(manifest), undefined, manifest.kind);
  t.match(
    manifests.map(({ kind, metadata, spec }) => [kind, `${metadata.namespace}/${metadata.name}`, spec]),
    [
      [
        "Server",
        "ingress/countersign-mesh",
        { accessPolicy: "deny", podSelector: { matchLabels: pods }, port: 8081, proxyProtocol: "HTTP/1" },
      ],
      [
        "MeshTLSAuthentication",
        "ingress/countersign-mesh.clients",
        {
          identities: [
            "*.shop.serviceaccount.identity.linkerd.cluster.local",
            "*.billing.serviceaccount.identity.linkerd.cluster.local",
          ],
        },
      ],
      [
        "HTTPRoute",
        "ingress/countersign-mesh",
        {
          parentRefs: [{ kind: "Server", name: "countersign-mesh" }],
          rules: [{ matches: [{ path: { type: "PathPrefix", value: "/" } }] }],
        },
      ],
      [
        "AuthorizationPolicy",
        "ingress/countersign-mesh",
        {
          targetRef: { kind: "HTTPRoute", name: "countersign-mesh" },
          requiredAuthenticationRefs: [{ kind: "MeshTLSAuthentication", name: "countersign-mesh.clients" }],
        },
      ],
    ],
  );
  t.equal(manifests.length, 4, "above all nothing that lets in at the Server, for what is no HTTP");
  const all = manifestsOf({ ...input, ingress: { ...input.ingress, namespaces: [] } });
  t.match(all[1]?.spec, { identities: ["*.serviceaccount.identity.linkerd.cluster.local"] });
  t.strictSame(unenforced(input), [], "nothing of the policies is left out there");
  const elsewhere = { ...MESH, identity: "spiffe://root.linkerd.cluster.local/haproxy" };
  t.throws(() => manifestsOf({ ...input, mesh: elsewhere }), { message: /does not tell the namespace/ });
  t.end();
});
