import { test } from "tap";
import { compilePolicies } from "../../policies/compile/compile.ts";
import { faultText } from "../../policies/fault.ts";
import type { CompiledPolicies } from "../../policies/judging/compiled.ts";
import type { Policies } from "../../policies/policies.ts";
import { conflictsOf } from "../../policies/routing/conflicts.ts";
import { HostTable } from "../../policies/routing/hosts.ts";
import { parsePattern } from "../../policies/routing/pattern.ts";
import { RouteTable } from "../../policies/routing/routes.ts";
import { explain } from "../../policies/tools/explain.ts";
import { judgeAgain } from "../../policies/tools/replay.ts";
import { runSuite } from "../../policies/tools/suite.ts";
import { decide, ENVIRONMENT, findingsOf, NOON, policiesFrom, principalFrom } from "../support/policies.ts";

const SHOP = `
roles:
  reader: [{ issuer: okta, group: Readers }]
services:
  orders:
    hosts: [api.example.com, orders.example.com]
    issuers: [okta]
    audiences: [api://orders]
    backend: orders
    allow: [reader]
    headers: { x-auth-subject: principal.subject }
    preflight: allow
    routes:
      - { name: read, match: ["GET /orders/{id}"] }
      - { name: export, match: ["GET /orders/export"], backend: reports }
      - { name: rest, match: ["* /orders/{path...}"] }
  files:
    hosts: [api.example.com, files.example.com, "*.files.example.com"]
    issuers: [okta]
    audiences: [api://files]
    backend: files
    allow: [authenticated]
    forward_credential: true
    paths: { encoded_slash: opaque }
    routes:
      - { name: read, match: ["GET /files/{path...}"] }
      - { name: write, match: ["PUT /files/{path...}"] }
      - { name: of-orders, match: ["PUT /orders/{id}/files/{name}"] }
  home:
    hosts: [api.example.com, "*.files.example.com"]
    issuers: [aws]
    routes: [{ name: page, match: ["GET /"], backend: home, allow: [anyone] }]
`;
const shop = policiesFrom(SHOP);

/** `rule backend`, or `reason rule`. */
function lead(policies: Policies, request: string, headers: Readonly<Record<string, string>> = {}): string {
  const [, method = "", host = "", path = ""] = /^(\S+) ([^/]+)(\/.*)$/.exec(request) ?? [];
  const match = policies.match(host, method, path, headers);
  return "reason" in match ? `${match.reason} ${match.rule}` : `${match.route.rule} ${match.route.backend}`;
}

test("services share a host, and each route leads to a backend of its own", (t) => {
  const cases: readonly (readonly [request: string, where: string])[] = [
    ["GET api.example.com/orders/42", "orders/read orders"],
    ["GET api.example.com/orders/export", "orders/export reports"],
    ["HEAD api.example.com/orders/export", "orders/export reports"],
    ["POST api.example.com/orders/42/cancel", "orders/rest orders"],
    ["PUT api.example.com/orders/42/files/a", "files/of-orders files"],
    ["PUT api.example.com/orders/42/other/a", "orders/rest orders"],
    ["PUT orders.example.com/orders/42/files/a", "orders/rest orders"],
    ["PUT files.example.com/orders/42/files/a", "files/of-orders files"],
    ["GET api.example.com/files/a/b", "files/read files"],
    ["PUT API.example.com:8443/files/a/b", "files/write files"],
    ["GET api.example.com/", "home/page home"],
    ["GET eu.files.example.com/", "home/page home"],
    ["GET eu.files.example.com/files/a", "files/read files"],
    // Each host has the routes of those who name it, and no others.
    ["GET orders.example.com/files/a", "route-unknown orders"],
    ["GET orders.example.com/", "route-unknown orders"],
    ["GET files.example.com/", "route-unknown files"],
    ["GET files.example.com/orders/42", "route-unknown files"],
  ];
  for (const [request, where] of cases) t.equal(lead(shop, request), where, request);
  t.end();
});

test("a refusal without a route names a service only where no other could be meant", (t) => {
  const cases: readonly (readonly [request: string, refusal: string])[] = [
    ["GET api.example.com/nowhere", "route-unknown "],
    ["GET eu.files.example.com/nowhere", "route-unknown "],
    ["DELETE api.example.com/files/a", "method-not-allowed files"],
    ["POST api.example.com/", "method-not-allowed home"],
    ["GET api.example.com/files/../orders", "path-ambiguous "],
    ["GET orders.example.com/nowhere", "route-unknown orders"],
    ["GET orders.example.com/a/../b", "path-ambiguous orders"],
    ["GET other.example.com/", "host-unknown "],
  ];
  for (const [request, refusal] of cases) t.equal(lead(shop, request), refusal, request);
  const two = policiesFrom(`services:
  a: { hosts: [h.example], issuers: [aws], backend: a, allow: [authenticated], routes: [{ name: r, match: [GET /x] }] }
  b: { hosts: [h.example], issuers: [aws], backend: b, allow: [authenticated], routes: [{ name: r, match: [PUT /x, GET /y] }] }
`);
  t.equal(lead(two, "POST h.example/x"), "method-not-allowed ", "both have the path");
  t.equal(lead(two, "POST h.example/y"), "method-not-allowed b");
  t.end();
});

test("what a service says holds for its own routes, whoever shares the host", (t) => {
  const api = "https://api.example.com";
  const alice = principalFrom({ groups: ["Readers"] });
  const filed = principalFrom({ audiences: ["api://files"] });
  const outcome = (request: string, who = alice) => {
    const { reason, rule, headers } = decide(shop, request, who);
    return [reason, rule, ...headers.map(({ name }) => name)].join(" ");
  };
  t.equal(outcome(`GET ${api}/orders/1`), "allowed orders/read x-auth-subject");
  t.equal(outcome(`GET ${api}/orders/1`, filed), "audience-not-accepted orders/read");
  t.equal(outcome(`GET ${api}/files/1`), "audience-not-accepted files/read");
  t.equal(outcome(`GET ${api}/files/1`, filed), "allowed files/read");
  t.equal(outcome(`GET ${api}/files/1`, principalFrom({ issuer: "aws" })), "issuer-not-accepted files/read");
  t.equal(outcome(`GET ${api}/`, filed), "anyone home/page");
  const forwards = shop.services.flatMap(({ routes }) => routes.filter((route) => route.forwardCredential));
  t.strictSame(
    forwards.map(({ rule }) => rule),
    ["files/read", "files/write", "files/of-orders"],
  );
  t.end();
});

test("a path that one service lets pass is refused for the routes of the others", (t) => {
  const cases: readonly (readonly [request: string, where: string])[] = [
    ["GET api.example.com/files/a%2fb", "files/read files"],
    ["GET api.example.com/orders/a%2fb", "path-ambiguous orders"],
    ["DELETE api.example.com/orders%2fa", "route-unknown "],
    // The route that is found is not passed over for one that would let it pass.
    ["PUT api.example.com/orders/a%2fb/files/c", "files/of-orders files"],
    ["PUT api.example.com/orders/a%2fb/other/c", "path-ambiguous orders"],
    ["GET api.example.com/orders/export%2f", "path-ambiguous orders"],
    ["GET api.example.com/files/a;b", "path-ambiguous "],
    ["GET orders.example.com/orders/a%2fb", "path-ambiguous orders"],
  ];
  for (const [request, where] of cases) t.equal(lead(shop, request), where, request);
  t.end();
});

test("a preflight passes where the asked method leads to a service that lets it", (t) => {
  const asking = (method: string) => ({ origin: "https://shop.example", "access-control-request-method": method });
  const outcome = (path: string, method: string) => {
    const headers = asking(method);
    const { reason, rule } = decide(shop, `OPTIONS https://api.example.com${path}`, undefined, { headers });
    return `${reason} ${rule}`;
  };
  t.equal(outcome("/orders/1", "GET"), "preflight orders/read");
  t.equal(outcome("/orders/export", "GET"), "preflight orders/export");
  t.equal(outcome("/files/1", "GET"), "method-not-allowed files");
  t.equal(outcome("/", "GET"), "method-not-allowed home");
  // Judged as the OPTIONS request that it is, by the route that takes it.
  t.equal(outcome("/orders/1/files/2", "PUT"), "credential-missing orders/rest");
  t.equal(outcome("/orders/a%2fb", "GET"), "path-ambiguous orders");
  t.end();
});

test("who names only a wildcard has no part in a host that others name", (t) => {
  const policies = policiesFrom(`services:
  all: { hosts: ["*.example.com"], issuers: [aws], backend: all, allow: [authenticated], routes: [{ name: r, match: ["* /{path...}"] }] }
  one: { hosts: [a.example.com], issuers: [aws], backend: one, allow: [authenticated], routes: [{ name: r, match: [GET /x] }] }
  two: { hosts: ["*.b.example.com", "*.example.com"], issuers: [aws], backend: two, allow: [authenticated], routes: [{ name: r, match: [GET /x] }] }
`);
  const cases: readonly (readonly [request: string, where: string])[] = [
    ["GET a.example.com/x", "one/r one"],
    ["GET a.example.com/y", "route-unknown one"],
    ["GET c.example.com/x", "two/r two"],
    ["GET c.example.com/y", "all/r all"],
    ["GET c.b.example.com/x", "two/r two"],
    ["GET c.b.example.com/y", "route-unknown two"],
  ];
  for (const [request, where] of cases) t.equal(lead(policies, request), where, request);
  t.end();
});

const service = (name: string, hosts: string, routes: string) =>
  `  ${name}: { hosts: [${hosts}], issuers: [aws], backend: ${name}, allow: [authenticated], routes: [${routes}] }\n`;

test("patterns of two services at one host conflict as those of one service do, and both are named", (t) => {
  const faults = (...services: readonly string[]) => findingsOf(`services:\n${services.join("")}`).faults;
  t.strictSame(
    faults(
      service("a", "h.example, i.example", '{ name: r, match: ["GET /x/{id}"] }'),
      service("b", "i.example, h.example, h.example", '{ name: q, match: ["GET|PUT /x/{name}", "HEAD /x/{n}"] }'),
    ),
    ['p.yaml:3:38: the host "h.example" a second time; name it once; the first is at p.yaml:3:27'],
    "fewer methods are more specific",
  );
  const equal =
    '"GET /x/{name}" of "b/q" matches just what "GET /x/{id}" of "a/r" at p.yaml:2:119 does, and both services have the host "h.example"; remove one of them, or give the services hosts of their own';
  const overlap = '"GET /x/{id:[a-z]+}" of "c/p" and "GET /x/{id:[0-9]+}" of "a/r" at p.yaml:2:134 both match';
  t.strictSame(
    faults(
      service("a", "h.example, i.example", '{ name: r, match: ["GET /x/{id}", "GET /x/{id:[0-9]+}"] }'),
      service("b", "h.example, i.example, k.example", '{ name: q, match: ["GET /x/{name}"] }'),
      service("c", '"*.h.example", i.example, k.example', '{ name: p, match: ["GET /x/{id:[a-z]+}"] }'),
    ).map((fault) => fault.replace(/ "GET \/x\/\{\[0-9.*/, "")),
    [`p.yaml:3:130: ${equal}`, `p.yaml:4:134: ${overlap}`],
    "told once, however many hosts have them",
  );
  t.strictSame(
    faults(
      service("a", "h.example", '{ name: r, match: ["* /{path...}"] }'),
      service("b", '"*.h.example"', '{ name: r, match: ["* /{path...}"] }'),
      service("c", "i.example", '{ name: r, match: ["* /{path...}"] }'),
      service("d", "h.example", '{ name: r, match: ["* /{id}"] }, { name: s, match: ["GET /{path...}", "PUT /x"] }'),
    ),
    [
      'p.yaml:5:141: "GET /{path...}" and "* /{id}" of the route "r" at p.yaml:5:108 both match "GET /x", and neither is more specific; make one more specific, or add a pattern for what both match',
    ],
    "nobody else's hosts count",
  );
  t.end();
});

test("every route leads somewhere, and no backend is named in vain", (t) => {
  const routes =
    "{ name: r, match: [GET /x], backend: b, allow: [anyone] }, { name: q, match: [GET /y], allow: [anyone] }";
  t.strictSame(findingsOf(`services: { s: { hosts: [h.example], issuers: [aws], routes: [${routes}] } }`).faults, [
    'p.yaml:1:124: the route "q" does not say which backend it leads to; add `backend: NAME`, here or at the service',
  ]);
  const [own = ""] = routes.split(", { name");
  const unused = findingsOf(`services: { s: { hosts: [h.example], issuers: [aws], backend: c, routes: [${own}] } }`);
  t.strictSame(unused, {
    faults: [],
    warnings: [
      'p.yaml:1:63: no route leads to the backend "c": each names one of its own; remove it, or the `backend` of the routes that it is for',
    ],
  });
  t.match(
    findingsOf(
      `services: { s: { hosts: [h.example], issuers: [aws], routes: [${own.replace("b,", "countersign-agent,")}] } }`,
    ).faults,
    ['p.yaml:1:100: the text "countersign-agent"; the name of a HAProxy backend'],
  );
  t.end();
});

const PATTERNS = [
  "GET /v1/orders",
  "POST /v1/orders",
  "* /v1/{kind:orders|items}",
  "GET /v1/orders/{id}",
  "GET /v1/orders/{id:[0-9]+}",
  "HEAD /v1/orders/7",
  "GET /v1/orders/latest/{part}",
  "* /v1/files/{path...}",
  "GET|PUT /v1/files/{path...}",
  "DELETE /v1/files/{name}",
  "GET /",
  "* /{rest...}",
];
const PATHS = [
  "/",
  "/v1/orders",
  "/v1/items",
  "/v1/orders/7",
  "/v1/orders/x",
  "/v1/orders/latest/a",
  "/v1/files",
  "/x",
];

/** A small generator (mulberry32), so that a failure can be seen again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const parsed = (text: string) => {
  const pattern = parsePattern(text);
  if ("offset" in pattern) throw new Error(text);
  return pattern;
};

test("however routes are dealt out, a host means what one service with all its routes would", (t) => {
  t.strictSame(conflictsOf(PATTERNS.map(parsed)), []);
  const hosts = ["a.example", "b.example", "*.b.example", "*.example"];
  let compared = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const next = random(seed);
    const services = Array.from({ length: 4 }, (_, i) => {
      const patterns = PATTERNS.filter((_, n) => n % 4 === i).concat(next() < 0.5 ? [] : [`GET /only/s${i}`]);
      return { name: `s${i}`, patterns, hosts: hosts.filter((_, n) => n === i % hosts.length || next() < 0.5) };
    });
    const policies = policiesFrom(
      `services:\n${services
        .map(({ name, patterns, hosts }) =>
          service(
            name,
            hosts.map((host) => `"${host}"`).join(),
            patterns.map((text, n) => `{ name: r${n}, match: ["${text}"] }`).join(),
          ),
        )
        .join("")}`,
    );
    const expected = new HostTable(
      hosts.flatMap((host) => {
        const own = services.filter((each) => each.hosts.includes(host));
        const value = new RouteTable(
          own.flatMap(({ name, patterns }) =>
            patterns.map((text, n) => ({ pattern: parsed(text), value: `${name}/r${n}` })),
          ),
        );
        return own.length === 0 ? [] : [{ host, value }];
      }),
    );
    for (const host of ["a.example", "b.example", "x.b.example", "c.example"]) {
      for (const path of [...PATHS, ...services.map(({ name }) => `/only/${name}`)]) {
        for (const method of ["GET", "PUT", "DELETE"]) {
          const match = policies.match(host, method, path, {});
          const table = expected.find(host)?.find(method, path);
          const wanted = table === undefined ? "host-unknown" : "reason" in table ? table.reason : table.value;
          const got = "reason" in match ? match.reason : match.route.rule;
          compared++;
          if (got !== wanted) t.equal(got, wanted, `seed ${seed}: ${method} ${host}${path}`);
        }
      }
    }
  }
  t.equal(compared, 60 * 4 * (PATHS.length + 4) * 3);
  t.end();
});

function compiledFrom(text: string): CompiledPolicies {
  const compiled = compilePolicies([{ file: "p.yaml", text }], ENVIRONMENT);
  if ("policies" in compiled) return compiled.policies;
  throw new Error(compiled.faults.map(faultText).join("\n"));
}

test("hosts with the same services share what is looked up", (t) => {
  const ten = Array.from({ length: 10 }, (_, n) => `h${n}.example`);
  const names = Array.from({ length: 100 }, (_, n) => `s${n}`);
  const routes = (name: string) =>
    Array.from({ length: 100 }, (_, n) => `{ name: r${n}, match: ["GET /${name}/r${n}/{id}"] }`).join();
  const many = compiledFrom(
    `services:\n${names.map((name) => service(name, ten.join(), routes(name))).join("")}${service("other", "h9.example, o.example", '{ name: r, match: ["GET /{id}"] }')}`,
  );
  const [first, ...others] = ten.map((host) => many.hosts.find(host));
  t.equal(first?.services.length, 100);
  t.strictSame(
    others.map((site) => site === first),
    others.map((_, n) => n < 8),
    "but for the one that another service has, too",
  );
  const led = (name: string) => ten.map((host) => lead(many, `GET ${host}/${name}/r42/7`));
  for (const name of names) t.strictSame(new Set(led(name)), new Set([`${name}/r42 ${name}`]), name);
  t.equal(lead(many, "GET h9.example/7"), "other/r other");
  t.equal(lead(many, "GET h8.example/7"), "route-unknown ");
  t.end();
});

test("explain says who shares the host, and whose route it is", (t) => {
  const policies = compiledFrom(SHOP);
  const told = (method: string, path: string) => {
    const request = { method, path, host: "api.example.com", query: "", tls: true, headers: {}, src: "", time: NOON };
    const { steps } = explain(policies, request, undefined);
    return steps.map(({ about, outcome, text }) => `${about} ${outcome}: ${text}`);
  };
  const export_ = told("GET", "/orders/export");
  t.equal(export_[0], "host yes: api.example.com is shared by the services orders, files, home");
  t.ok(export_.includes("route yes: orders/export  GET /orders/export"));
  t.ok(export_.includes('route no: orders/rest  * /orders/{path...}: another pattern is more specific  path="export"'));
  t.ok(export_.includes("route no: files/read  GET /files/{path...}: another path"));
  const slash = told("GET", "/orders/a%2fb");
  t.ok(slash.includes("route no: orders: the path has an encoded slash; write / or leave it out"));
  t.equal(slash.at(-1), "decision no: deny: path-ambiguous (400)");
  t.end();
});

test("explain and test cases say which page may not ask, as the agent does", (t) => {
  const policies = compiledFrom(
    "services: { s: { hosts: [api.example.com], issuers: [aws], backend: b, cors: { origins: [https://app.example] }, routes: [{ name: r, match: [GET /], allow: [anyone] }] } }",
  );
  const outcomes = {
    "https://app.example": "anyone",
    "https://api.example.com": "anyone",
    "https://evil.example": "origin-not-allowed",
    "http://api.example.com": "origin-not-allowed",
    null: "origin-not-allowed",
  };
  for (const [origin, reason] of Object.entries(outcomes)) {
    const headers = { origin };
    const request = { method: "GET", path: "/", host: "api.example.com", query: "", tls: true, src: "", time: NOON };
    t.equal(explain(policies, { ...request, headers }, undefined).decision.reason, reason, origin);
    const cases = `cases: [{ name: page, request: GET https://api.example.com/, headers: { origin: "${origin}" }, expect: { verdict: ${reason === "anyone" ? "allow" : "deny"}, reason: ${reason} } }]`;
    const suite = runSuite([{ file: "p.test.yaml", text: cases }], policies, ENVIRONMENT);
    t.strictSame([suite.faults, suite.cases[0]?.differences], [[], []], origin);
    const recorded = {
      verdict: "deny",
      reason: "",
      rule: "s/r",
      request: { ...request, headers },
      principal: undefined,
    };
    const again = judgeAgain(policies, { ...recorded, reason: "origin-not-allowed" });
    t.equal(again.change, reason === "anyone" || origin === "http://api.example.com" ? "laxer" : "same", origin);
  }
  t.end();
});

test("what the tables of all hosts hold together is bounded", (t) => {
  const routes = Array.from({ length: 2000 }, (_, n) => `{ name: r${n}, match: ["GET /r${n}"] }`).join();
  const hosts = Array.from({ length: 101 }, (_, n) => `h${n}.example`);
  const own = hosts.map((host, n) => service(`s${n}`, host, `{ name: r, match: ["PUT /s${n}"] }`)).join("");
  const { faults } = findingsOf(`services:\n${service("all", hosts.join(), routes)}${own}`);
  t.equal(faults.length, 1);
  t.match(faults[0], /^p\.yaml:2:\d+: more than 200000 patterns in the tables of all hosts/);
  t.strictSame(findingsOf(`services:\n${service("all", hosts.join(), routes)}`).faults, [], "one table is enough");
  t.end();
});
