import { test } from "tap";
import { parseObject } from "../../agent/http/json.ts";
import { compileChecked, compilePolicies } from "../../policies/compile/compile.ts";
import type { CompiledPolicies } from "../../policies/judging/compiled.ts";
import type { Principal } from "../../policies/principal.ts";
import { explain } from "../../policies/tools/explain.ts";
import { Unknown } from "../../policies/unknown.ts";
import { type Asked, decide, ENVIRONMENT, findingsOf, NOON, policiesFrom, principalFrom } from "../support/policies.ts";

const POLICY = `
roles:
  reader:
    - { issuer: okta, group: Readers }
    - { issuer: okta, group: Auditors, scope: orders:read }
    - { role: admin }
  admin:
    - { issuer: okta, group: Admins }
    - { issuer: okta, subject: oncall, until: 2026-11-25T13:00:00Z }
  robot:
    - { issuer: aws, kind: workload }
  emea:
    - { issuer: okta, claim: { org.region: emea, "https://example.com/tier": 2, tags: eu } }
  banned:
    - { issuer: okta, group: Banned }
services:
  orders:
    hosts: [orders.example.com, "*.orders.example.com"]
    audiences: [api://orders, api://aws]
    backend: orders
    deny: [banned]
    headers:
      x-auth-subject: principal.subject
      x-auth-roles: { value: list(principal.roles), max: 20 }
    preflight: allow
    routes:
      - { name: read, match: [GET /v1/orders, "GET /v1/orders/{id}"], allow: [reader] }
      - { name: write, match: ["POST|PUT /v1/orders/{id}"], allow: [admin], deny: [emea], scopes: [orders:write, orders:read] }
      - name: cancel
        match: ["POST /v1/orders/{id}/cancel"]
        allow: [reader, robot]
        when: '"mfa" in principal.claims.amr && request.params.id != "0"'
        shadow: { allow: [admin] }
      - { name: me, match: [GET /me], allow: [authenticated], headers: { x-auth-tenant: principal.claims.tenant } }
      - { name: maybe, match: [GET /maybe], allow: [reader], optional: true, shadow: { allow: [anyone] } }
      - { name: inside, match: [GET /inside], allow: [anyone], when: 'request.src == "10.0.0.1"' }
      - { name: health, match: [GET /healthz], allow: [anyone] }
      - { name: closed, match: ["* /closed"], allow: [] }
      - { name: region, match: [GET /region], allow: [emea] }
  okta-only:
    hosts: [okta.example.com]
    issuers: [okta]
    audiences: [api://files]
    backend: files
    allow: [authenticated]
    when: request.tls
    routes:
      - { name: all, match: ["* /{path...}"] }
      - { name: plain, match: [GET /plain], when: "true" }
`;
const policies = policiesFrom(POLICY);

const reader = principalFrom({ groups: ["Readers"] });
const admin = principalFrom({ subject: "root", groups: ["Admins"] });
const robot = principalFrom({ issuer: "aws", subject: "job", kind: "workload", audiences: ["api://aws"] });
const nobody = principalFrom();
const mfa = { claims: { amr: ["pwd", "mfa"] } };
const O = "https://orders.example.com";
const F = "https://okta.example.com";

type Row = readonly [request: string, who: Principal | undefined, outcome: string, asked?: Asked];

/** `reason rule [roles]`, with `?` for roles that cannot be told. */
const ROWS: readonly Row[] = [
  // where to
  ["GET https://other.example.com/", reader, "host-unknown  []"],
  ["GET https://orders.example.com./v1/orders", reader, "host-invalid  []"],
  ["GET https://orders.example.com:8443/v1/orders", reader, "allowed orders/read [reader]"],
  ["GET https://ORDERS.example.com/v1/orders", reader, "allowed orders/read [reader]"],
  ["GET https://a.b.orders.example.com/v1/orders", reader, "allowed orders/read [reader]"],
  [`GET ${O}/v1/../v1/orders`, reader, "path-ambiguous orders []"],
  [`GET ${O}/nowhere`, reader, "route-unknown orders []"],
  [`DELETE ${O}/v1/orders`, reader, "method-not-allowed orders []"],
  [`GE/T ${O}/v1/orders`, reader, "method-invalid  []"],
  // who
  [`GET ${O}/v1/orders`, undefined, "credential-missing orders/read []"],
  [`GET ${O}/v1/orders`, nobody, "role-missing orders/read []"],
  [`HEAD ${O}/v1/orders/42`, reader, "allowed orders/read [reader]"],
  [`GET ${O}/v1/orders`, admin, "allowed orders/read [admin,reader]"],
  [`GET ${O}/v1/orders`, principalFrom({ groups: ["Auditors"] }), "role-missing orders/read []"],
  [
    `GET ${O}/v1/orders`,
    principalFrom({ groups: ["Auditors"], scopes: ["orders:read"] }),
    "allowed orders/read [reader]",
  ],
  [`GET ${O}/v1/orders`, principalFrom({ groups: ["readers"] }), "role-missing orders/read []"],
  [
    `GET ${O}/v1/orders`,
    principalFrom({ issuer: "aws", groups: ["Readers"], audiences: ["api://aws"] }),
    "role-missing orders/read []",
  ],
  [`GET ${O}/v1/orders`, principalFrom({ groups: ["Readers", "Banned"] }), "role-denied orders/read [banned,reader]"],
  // until
  [`GET ${O}/v1/orders`, principalFrom({ subject: "oncall" }), "allowed orders/read [admin,reader]"],
  [
    `GET ${O}/v1/orders`,
    principalFrom({ subject: "oncall" }),
    "allowed orders/read [admin,reader]",
    { time: NOON + 3_599_999 },
  ],
  [
    `GET ${O}/v1/orders`,
    principalFrom({ subject: "oncall" }),
    "role-missing orders/read []",
    { time: NOON + 3_600_000 },
  ],
  // claims
  [
    `GET ${O}/region`,
    principalFrom({ claims: { org: { region: "emea" }, "https://example.com/tier": 2, tags: ["us", "eu"] } }),
    "allowed orders/region [emea]",
  ],
  [
    `GET ${O}/region`,
    principalFrom({ claims: { org: { region: "emea" }, "https://example.com/tier": "2", tags: ["eu"] } }),
    // Text or number: nobody can tell whether they would be the same.
    "claim-unknown orders/region [?]",
  ],
  [
    `GET ${O}/region`,
    principalFrom({ claims: { "org.region": "emea", "https://example.com/tier": 2, tags: ["eu"] } }),
    // The path was not written for a name with a dot.
    "claim-unknown orders/region [?]",
  ],
  [
    `GET ${O}/region`,
    principalFrom({ claims: Object.create({ org: { region: "emea" } }) }),
    "role-missing orders/region []",
  ],
  // issuers and audiences
  [`GET ${F}/x`, robot, "issuer-not-accepted okta-only/all [robot]"],
  [`GET ${F}/x`, principalFrom(), "audience-not-accepted okta-only/all []"],
  [`GET ${F}/x`, principalFrom({ audiences: ["api://orders", "api://files"] }), "allowed okta-only/all []"],
  [
    `GET ${O}/v1/orders`,
    principalFrom({ groups: ["Readers"], audiences: ["api://files"] }),
    "audience-not-accepted orders/read [reader]",
  ],
  // scopes and deny of the route
  [`PUT ${O}/v1/orders/1`, admin, "scope-missing orders/write [admin,reader]"],
  [`PUT ${O}/v1/orders/1`, { ...admin, scopes: ["orders:write"] }, "scope-missing orders/write [admin,reader]"],
  [
    `PUT ${O}/v1/orders/1`,
    { ...admin, scopes: ["orders:write", "orders:read"] },
    "allowed orders/write [admin,reader]",
  ],
  [
    `PUT ${O}/v1/orders/1`,
    { ...reader, scopes: ["orders:write", "orders:read"] },
    "role-missing orders/write [reader]",
  ],
  [
    `PUT ${O}/v1/orders/1`,
    {
      ...admin,
      scopes: ["orders:write", "orders:read"],
      claims: { org: { region: "emea" }, "https://example.com/tier": 2, tags: "eu" },
    },
    "role-denied orders/write [admin,emea,reader]",
  ],
  // conditions
  [`POST ${O}/v1/orders/1/cancel`, reader, "condition-error orders/cancel [reader]"],
  [`POST ${O}/v1/orders/1/cancel`, { ...reader, claims: { amr: ["pwd"] } }, "condition-false orders/cancel [reader]"],
  [`POST ${O}/v1/orders/1/cancel`, { ...reader, ...mfa }, "allowed orders/cancel [reader]"],
  [`POST ${O}/v1/orders/0/cancel`, { ...reader, ...mfa }, "condition-false orders/cancel [reader]"],
  [`POST ${O}/v1/orders/%30/cancel`, { ...reader, ...mfa }, "path-ambiguous orders []"],
  [`POST ${O}/v1/orders/1/cancel`, { ...robot, ...mfa }, "allowed orders/cancel [robot]"],
  ["GET http://okta.example.com/x", principalFrom({ audiences: ["api://files"] }), "condition-false okta-only/all []"],
  ["GET http://okta.example.com/plain", principalFrom({ audiences: ["api://files"] }), "allowed okta-only/plain []"],
  // headers
  [`GET ${O}/me`, principalFrom({ claims: { tenant: "t1" } }), "allowed orders/me []"],
  [`GET ${O}/me`, nobody, "header-error orders/me []"],
  [`GET ${O}/me`, principalFrom({ claims: { tenant: 7 } }), "header-error orders/me []"],
  [`GET ${O}/me`, principalFrom({ claims: { tenant: "a\r\nx-auth-subject: root" } }), "header-error orders/me []"],
  [`GET ${O}/me`, principalFrom({ claims: { tenant: "x".repeat(256) } }), "allowed orders/me []"],
  [`GET ${O}/me`, principalFrom({ claims: { tenant: "x".repeat(257) } }), "header-too-long orders/me []"],
  [`GET ${O}/me`, principalFrom({ claims: { tenant: "é".repeat(129) } }), "header-too-long orders/me []"],
  // nobody at all
  [`GET ${O}/healthz`, undefined, "anyone orders/health []"],
  [`GET ${O}/inside`, undefined, "condition-false orders/inside []"],
  [`GET ${O}/inside`, undefined, "anyone orders/inside []", { src: "10.0.0.1" }],
  [`GET ${O}/maybe`, undefined, "anonymous orders/maybe []"],
  [`GET ${O}/maybe`, nobody, "role-missing orders/maybe []"],
  [`GET ${O}/maybe`, reader, "allowed orders/maybe [reader]"],
  [`GET ${O}/closed`, admin, "role-missing orders/closed [admin,reader]"],
  // preflight
  [
    `OPTIONS ${O}/v1/orders`,
    undefined,
    "preflight orders/read []",
    { headers: { origin: "https://app.example", "access-control-request-method": "GET" } },
  ],
  [
    `OPTIONS ${O}/v1/orders`,
    undefined,
    "method-not-allowed orders []",
    { headers: { origin: "https://app.example", "access-control-request-method": "DELETE" } },
  ],
  [
    `OPTIONS ${O}/v1/orders`,
    undefined,
    "method-not-allowed orders []",
    { headers: { "access-control-request-method": "GET" } },
  ],
  [`OPTIONS ${O}/v1/orders`, undefined, "method-not-allowed orders []", { headers: { origin: "https://app.example" } }],
  [
    `OPTIONS ${O}/nowhere`,
    undefined,
    "route-unknown orders []",
    { headers: { origin: "https://app.example", "access-control-request-method": "GET" } },
  ],
  [
    `GET ${O}/v1/orders`,
    undefined,
    "credential-missing orders/read []",
    { headers: { origin: "https://app.example", "access-control-request-method": "GET" } },
  ],
];

test("who may do what", (t) => {
  for (const [request, who, outcome, asked] of ROWS) {
    const { verdict, reason, rule, roles } = decide(policies, request, who, asked);
    t.equal(
      `${reason} ${rule} [${roles instanceof Unknown ? "?" : roles}]`,
      outcome,
      `${request} by ${who?.subject ?? "nobody"}`,
    );
    const goesOn = ["allowed", "anyone", "anonymous", "preflight"].includes(reason);
    t.equal(verdict, goesOn ? "allow" : "deny");
  }
  t.end();
});

/** A binding of okta, who has the role by it, who has not, and of whom nobody can tell. */
const BINDINGS: readonly (readonly [binding: string, has: object[], lacks: object[], unknown: object[]])[] = [
  ["group: { prefix: ext- }", [{ groups: ["a", "ext-b"] }, { groups: ["ext-"] }], [{ groups: ["next-b", "ext"] }], []],
  ["group: { suffix: -ext }", [{ groups: ["b-ext"] }], [{ groups: ["b-extra"] }], []],
  ["group: { prefix: ab, suffix: bc }", [{ groups: ["abbc"] }, { groups: ["abXbc"] }], [{ groups: ["abc"] }], []],
  ['group: { equals: "ext-*" }', [{ groups: ["ext-*"] }], [{ groups: ["ext-a"] }], []],
  [
    'subject: { suffix: "@example.com" }',
    [{ subject: "a@example.com" }, { subject: "@example.com" }],
    [
      "a@example.com.evil",
      "a@example.com.",
      "a@EXAMPLE.com",
      "a@ex\u0430mple.com",
      "a@evilexample.com",
      "a@example.com@b",
    ].map((subject) => ({ subject })),
    ["a@evil.com@example.com", '"a@evil.com"@example.com', "a@@example.com"].map((subject) => ({ subject })),
  ],
  [
    'group: { suffix: "@example.com" }',
    [{ groups: ["x@y@example.com", "b@example.com"] }],
    [{ groups: ["b@example.com.evil"] }],
    [{ groups: ["x@y@example.com"] }],
  ],
  [
    'claim: { email: { prefix: a, suffix: "@example.com" } }',
    [{ claims: { email: "a@example.com" } }],
    [{ claims: { email: "b@evil.com@example.com" } }, { claims: { email: "a@example.com," } }],
    [{ claims: { email: "a@evil.com@example.com" } }, { claims: { email: ["x", "a@evil.com,a@example.com"] } }],
  ],
  ['scope: { prefix: "orders:" }', [{ scopes: ["orders:read"] }], [{ scopes: ["preorders:read"] }], []],
  [
    "claim: { azp: { prefix: app- } }",
    [{ claims: { azp: "app-1" } }, { claims: { azp: ["x", "app-1"] } }],
    [{ claims: { azp: "webapp-1" } }, { claims: { azp: null } }, { claims: {} }, { claims: { azp: [] } }],
    [{ claims: { azp: 1 } }, { claims: { azp: { prefix: "app-" } } }, { claims: { azp: ["x", 1] } }],
  ],
  [
    "claim: { blocked: true }",
    [{ claims: { blocked: true } }, { claims: { blocked: [false, true] } }],
    [{ claims: { blocked: false } }, { claims: { blocked: null } }],
    [{ claims: { blocked: "true" } }, { claims: { blocked: 1 } }, { claims: { blocked: ["true"] } }],
  ],
  [
    "claim: { level: 2 }",
    [{ claims: { level: 2 } }, { claims: { level: 2n } }, { claims: { level: [1, 2] } }],
    [{ claims: { level: 3 } }, { claims: { level: 9007199254740993n } }],
    [{ claims: { level: "2" } }, { claims: { level: [["2"]] } }],
  ],
  [
    "claim: [{ path: [resource_access, my.app, roles], value: admin }]",
    [{ claims: { resource_access: { "my.app": { roles: ["admin"] } } } }],
    [{ claims: { resource_access: { my: { app: { roles: ["admin"] } } } } }, { claims: { resource_access: null } }],
    [{ claims: { resource_access: { "my.app": ["admin"] } } }, { claims: { _claim_names: { resource_access: "s" } } }],
  ],
  [
    "claim: { resource_access.my.app.roles: admin }",
    [{ claims: { resource_access: { my: { app: { roles: ["admin"] } } } } }],
    [{ claims: { resource_access: { my: {} } } }, { claims: { resource_access: { "other.app": {} } } }],
    [{ claims: { resource_access: { "my.app": { roles: ["user"] } } } }],
  ],
  [
    // What certainly does not hold settles it, whatever else is unknown.
    "kind: agent, claim: { blocked: true }",
    [{ kind: "agent", claims: { blocked: true } }],
    [{ claims: { blocked: "true" } }, { kind: "agent" }],
    [{ kind: "agent", claims: { blocked: "true" } }],
  ],
];

test("what a binding asks for is there, is not, or cannot be told", (t) => {
  for (const [binding, has, lacks, unknown] of BINDINGS) {
    const policies = policiesFrom(`
roles: { r: [{ issuer: okta, ${binding} }] }
services:
  s:
    hosts: [s.example.com]
    issuers: [okta]
    audiences: [api://orders]
    backend: s
    routes:
      - { name: deny, match: [GET /deny], allow: [authenticated], deny: [r] }
      - { name: allow, match: [GET /allow], allow: [r] }
`);
    for (const [principals, ...outcomes] of [
      [has, "role-denied", "allowed"],
      [lacks, "allowed", "role-missing"],
      [unknown, "claim-unknown", "claim-unknown"],
    ] as const) {
      for (const changes of principals) {
        const judged = ["/deny", "/allow"].map(
          (path) => decide(policies, `GET https://s.example.com${path}`, principalFrom(changes)).reason,
        );
        t.strictSame(
          judged,
          outcomes,
          `${binding}: ${JSON.stringify(changes, (_, v) => (typeof v === "bigint" ? `${v}` : v))}`,
        );
      }
    }
  }
  t.end();
});

test("a request is led where its own host, method and path lead, whatever was asked before", (t) => {
  const policies = policiesFrom(
    `services:
  a:
    hosts: [a.example.com, "*.a.example.com"]
    backend: a
    routes:
      - { name: read, match: ["GET /v1/{id}"], allow: [anyone] }
      - { name: write, match: ["PUT /v1/{id}"], allow: [anyone] }
      - { name: most, match: ["GET /{path...}"], allow: [anyone] }
  b: { hosts: [b.example.com], backend: b, routes: [{ name: all, match: ["* /v1/{id}"], allow: [anyone] }] }
`,
    { issuers: [] },
  );
  const asked = [
    ["a.example.com", "GET", "/v1/12", "a/read", "12"],
    ["a.example.com", "PUT", "/v1/12", "a/write", "12"],
    ["b.example.com", "GET", "/v1/12", "b/all", "12"],
    ["x.a.example.com", "GET", "/v1/12", "a/read", "12"],
    // Of the same length, with the same end.
    ["a.example.com", "GET", "/v1/32", "a/read", "32"],
    ["a.example.com", "GET", "/v2/12", "a/most", undefined],
  ] as const;
  for (let round = 0; round < 3; round++) {
    for (const [host, method, path, rule, id] of asked) {
      const match = policies.match(host, method, path, {});
      if ("reason" in match) throw new Error(match.reason);
      t.same([match.route.rule, match.host, match.params.id], [rule, host, id], `${method} ${host}${path}`);
    }
    t.match(policies.match("b.example.com", "GET", "/v2/12", {}), { reason: "route-unknown" });
    t.match(policies.match("c.example.com", "GET", "/v1/12", {}), { reason: "host-unknown" });
    t.match(policies.match("a.example.com", "POST", "/v1/12", {}), { reason: "method-not-allowed" });
  }
  t.end();
});

test("a method of one's own is let in by name alone, beside those that are known", (t) => {
  const policies = policiesFrom(`services:
  pots:
    hosts: [pots.example.com]
    issuers: [aws]
    backend: pots
    allow: [anyone]
    routes:
      - { name: see, match: ["GET /pots/{id}"] }
      - { name: brew, match: ["* /pots/{id}"], when: request.method == "BREW" }
`);
  const reasons = { GET: "anyone", BREW: "anyone", DELETE: "condition-false", brew: "condition-false" };
  for (const [method, reason] of Object.entries(reasons))
    t.equal(decide(policies, `${method} https://pots.example.com/pots/1`, undefined).reason, reason, method);
  t.end();
});

test("what is remembered of a principal ends with its roles, and holds for its own rule only", (t) => {
  const oncall = principalFrom({ subject: "oncall" });
  const reason = (path: string, time: number) => decide(policies, `GET ${O}${path}`, oncall, { time }).reason;
  // Only who comes often is remembered.
  for (let i = 0; i < 16; i++) t.equal(reason("/v1/orders", NOON), "allowed");
  t.equal(
    decide(policies, `GET ${O}/v1/orders`, oncall),
    decide(policies, `GET ${O}/v1/orders/7`, oncall),
    "the same object",
  );
  t.equal(reason("/region", NOON), "role-missing");
  t.equal(reason("/me", NOON), "header-error");
  t.equal(reason("/v1/orders", NOON + 3_599_999), "allowed");
  t.equal(reason("/v1/orders", NOON + 3_600_000), "role-missing");
  t.end();
});

test("identity headers are those of the route, or of its service, and of nobody else", (t) => {
  const headers = (request: string, who: Principal | undefined) => decide(policies, request, who).headers;
  t.strictSame(headers(`GET ${O}/v1/orders`, admin), [
    { name: "x-auth-subject", value: "root" },
    { name: "x-auth-roles", value: "admin,reader" },
  ]);
  t.strictSame(headers(`GET ${O}/me`, principalFrom({ claims: { tenant: "t1" } })), [
    { name: "x-auth-tenant", value: "t1" },
  ]);
  t.strictSame(
    headers(`GET ${O}/me`, principalFrom({ claims: { tenant: null } })),
    [{ name: "x-auth-tenant", value: undefined }],
    "null sets no header",
  );
  for (const request of [`GET ${O}/healthz`, `GET ${O}/maybe`])
    t.strictSame(headers(request, undefined), [], `${request} has none`);
  t.strictSame(headers(`GET ${O}/v1/orders`, nobody), [], "a refused request has none");
  t.end();
});

test("a missing scope names all that are required", (t) => {
  t.strictSame(decide(policies, `PUT ${O}/v1/orders/1`, admin).scopes, ["orders:write", "orders:read"]);
  t.strictSame(decide(policies, `GET ${O}/v1/orders`, nobody).scopes, []);
  t.end();
});

test("a shadow is judged beside the rule and changes nothing", (t) => {
  const cancel = `POST ${O}/v1/orders/1/cancel`;
  t.match(decide(policies, cancel, { ...reader, ...mfa }), {
    verdict: "allow",
    shadow: { verdict: "deny", reason: "role-missing" },
  });
  t.match(decide(policies, cancel, { ...admin, ...mfa }), {
    verdict: "allow",
    shadow: { verdict: "allow", reason: "allowed" },
  });
  t.match(decide(policies, cancel, admin), {
    verdict: "deny",
    reason: "condition-error",
    shadow: { verdict: "deny", reason: "condition-error" },
  });
  t.match(decide(policies, `GET ${O}/maybe`, nobody), {
    verdict: "deny",
    shadow: { verdict: "allow", reason: "anyone" },
  });
  t.equal(decide(policies, `GET ${O}/v1/orders`, reader).shadow, undefined);
  t.end();
});

test("what is used is what HAProxy has to send and set", (t) => {
  t.strictSame(policies.uses, {
    query: false,
    requestHeaders: ["access-control-request-method", "origin"],
    identityHeaders: [
      { name: "x-auth-roles", max: 20 },
      { name: "x-auth-subject", max: 256 },
      { name: "x-auth-tenant", max: 256 },
    ],
    claims: ["amr", "https://example.com/tier", "org", "tags", "tenant"],
    credentials: ["bearer"],
    proofs: [],
  });
  const shadowed = policiesFrom(`
services:
  s:
    hosts: [s.example.com]
    issuers: [aws]
    backend: s
    routes:
      - name: r
        match: [GET /r]
        allow: [authenticated]
        when: request.query == ""
        shadow: { when: 'request.headers["x-tenant"] == "a"' }
`);
  t.strictSame(shadowed.uses, {
    query: true,
    requestHeaders: ["x-tenant"],
    identityHeaders: [],
    claims: [],
    credentials: ["bearer"],
    proofs: [],
  });
  t.strictSame(
    shadowed.services[0]?.routes[0]?.needs,
    { query: true, requestHeaders: [], identityHeaders: [], claims: [], credentials: ["bearer"], proofs: [] },
    "a shadow cannot make a route need more",
  );
  t.end();
});

test("a route shows the patterns that its policy writes, read, in their order, on every thread", (t) => {
  const text = `
services:
  files:
    hosts: [files.example.com]
    issuers: [aws]
    backend: files
    routes:
      - { name: put, match: ["GET|PUT /v1/files/{path...}", "* /v1/{id:[0-9]+}/"], allow: [authenticated] }
      - { name: health, match: [GET /healthz], allow: [anyone] }
`;
  const compiled = compilePolicies([{ file: "p.yaml", text }], ENVIRONMENT);
  if (!("policies" in compiled)) throw new Error("faults");
  const steps = compileChecked(structuredClone(compiled.checked), ENVIRONMENT);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  for (const { services } of [compiled.policies, step.value]) {
    const patterns = services.flatMap(({ routes }) => routes.flatMap((route) => route.patterns));
    t.match(patterns, [
      {
        text: "GET|PUT /v1/files/{path...}",
        methods: ["GET", "PUT"],
        segments: [
          { kind: "literal", value: "v1" },
          { kind: "literal", value: "files" },
          { kind: "rest", name: "path" },
        ],
      },
      {
        methods: undefined,
        segments: [
          { kind: "literal", value: "v1" },
          { kind: "one", name: "id", expression: { text: "[0-9]+" } },
          { kind: "literal", value: "" },
        ],
      },
      { methods: ["GET"], segments: [{ kind: "literal", value: "healthz" }] },
    ]);
    t.equal(patterns.length, 3);
  }
  t.end();
});

test("the revision tells one content from another", (t) => {
  t.equal(policiesFrom(POLICY).revision, policies.revision);
  t.not(policiesFrom(`${POLICY}\n# a comment`).revision, policies.revision);
  t.match(policies.revision, /^[0-9a-f]{12}$/);
  t.end();
});

test("who acts, and by which client, can be asked for: an assistant for carol is not carol", (t) => {
  const acted = policiesFrom(`
roles:
  carol: [{ issuer: okta, subject: carol }]
  herself: [{ issuer: okta, subject: carol, client: spa }]
  assisted: [{ issuer: okta, actor: assistant }]
  assistants: [{ issuer: okta, client: assistants }]
  theirs: [{ issuer: okta, actor: { subject: assistant, issuer: "https://agents.example" } }]
  ours: [{ issuer: okta, actor: { subject: { prefix: assist }, issuer: "https://okta.example" } }]
  agents: [{ issuer: okta, actor: { kind: agent } }]
services:
  s:
    hosts: [s.example.com]
    audiences: [api://orders]
    backend: s
    headers: { x-client: "has(principal.client) ? dyn(principal.client) : null" }
    routes:
      - { name: either, match: [GET /either], allow: [carol] }
      - { name: herself, match: [GET /herself], allow: [herself], deny: [assisted, assistants] }
      - { name: assisted, match: [GET /assisted], allow: [assisted] }
      - { name: alone, match: [GET /alone], allow: [carol], when: size(principal.actor) == 0 }
      - { name: spa, match: [GET /spa], allow: [authenticated], when: principal.client == "spa" }
      - { name: theirs, match: [GET /theirs], allow: [theirs] }
      - { name: ours, match: [GET /ours], allow: [ours] }
      - { name: agents, match: [GET /agents], allow: [agents] }
      - { name: no-agents, match: [GET /no-agents], allow: [carol], deny: [agents] }
      - { name: kinds, match: [GET /kinds], allow: [carol], when: 'principal.actor.all(a, has(a.kind) && a.kind == "agent")' }
`);
  const actor = (...subjects: string[]) => subjects.map((subject) => ({ subject, issuer: undefined }));
  const who = {
    carol: principalFrom({ subject: "carol", client: "spa" }),
    assistant: principalFrom({ subject: "carol", client: "assistants", actor: actor("assistant", "planner") }),
    history: principalFrom({ subject: "carol", client: "spa", actor: actor("planner", "assistant") }),
    unknown: principalFrom({ subject: "carol" }),
    // Both are called alike, and are not one: the first is of another issuer, the other of the token's own.
    agent: principalFrom({
      subject: "carol",
      actor: [{ subject: "assistant", issuer: "https://agents.example", kind: "agent" }],
    }),
    own: principalFrom({
      subject: "carol",
      claims: { iss: "https://okta.example" },
      actor: [{ subject: "assistant", issuer: undefined, kind: "workload" }],
    }),
  };
  const rows = {
    either: ["allowed", "allowed", "allowed", "allowed", "allowed", "allowed"],
    herself: ["allowed", "role-denied", "allowed", "role-missing", "role-denied", "role-denied"],
    assisted: ["role-missing", "allowed", "role-missing", "role-missing", "allowed", "allowed"],
    alone: ["allowed", "condition-false", "condition-false", "allowed", "condition-false", "condition-false"],
    spa: ["allowed", "condition-false", "allowed", "condition-error", "condition-error", "condition-error"],
    theirs: ["role-missing", "claim-unknown", "role-missing", "role-missing", "allowed", "role-missing"],
    ours: ["role-missing", "claim-unknown", "role-missing", "role-missing", "role-missing", "allowed"],
    agents: ["role-missing", "claim-unknown", "claim-unknown", "role-missing", "allowed", "role-missing"],
    "no-agents": ["allowed", "claim-unknown", "claim-unknown", "allowed", "role-denied", "allowed"],
    kinds: ["allowed", "condition-false", "condition-false", "allowed", "allowed", "condition-false"],
  };
  for (const [route, reasons] of Object.entries(rows)) {
    const decided = Object.values(who).map((each) => decide(acted, `GET https://s.example.com/${route}`, each));
    t.strictSame(
      decided.map(({ reason }) => reason),
      reasons,
      route,
    );
  }
  const { headers } = decide(acted, "GET https://s.example.com/either", who.unknown);
  t.strictSame(headers, [{ name: "x-client", value: undefined }], "no client is null");
  t.end();
});

test("who comes with an ARN is its role in any session, or its user with the path; and of its account alone", (t) => {
  const policies = policiesFrom(`
roles:
  reporting: [{ issuer: aws, arn: "arn:aws:iam::123456789012:role/ci/reporting" }]
  alice: [{ issuer: aws, arn: "arn:aws:iam::123456789012:user/staff/Alice" }]
  account: [{ issuer: aws, account: "123456789012" }]
  power: [{ issuer: aws, permission_set: Power_User }]
  here: [{ issuer: aws, account: "123456789012", permission_set: Power_User }]
services:
  s:
    hosts: [s.example.com]
    issuers: [aws]
    backend: s
    headers: { x-arn: "has(principal.arn) ? dyn(principal.arn) : null", x-roles: list(principal.roles) }
    routes:
      - { name: r, match: [GET /r], allow: [authenticated] }
`);
  const sso = (name: string) => `role/AWSReservedSSO_${name}`;
  for (const [arn, roles] of [
    ["arn:aws:iam::123456789012:role/reporting", "account,reporting"],
    ["arn:aws:iam::123456789012:role/Reporting", "account"],
    ["arn:aws:iam::123456789012:role/ci/other/reporting", "account,reporting"],
    ["arn:aws:iam::210987654321:role/reporting", ""],
    ["arn:aws:iam::123456789012:user/reporting", "account"],
    ["arn:aws:iam::123456789012:user/staff/Alice", "account,alice"],
    ["arn:aws:iam::123456789012:user/Alice", "account"],
    ["arn:aws:iam::123456789012:user/x/staff/Alice", "account"],
    ["arn:aws-cn:iam::123456789012:role/reporting", "account"],
    [`arn:aws:iam::123456789012:${sso("Power_User_e11aa594f712e1dc")}`, "account,here,power"],
    [`arn:aws:iam::210987654321:${sso("Power_User_0123456789abcdef")}`, "power"],
    [`arn:aws:iam::210987654321:${sso("Power_User_0123456789abcde")}`, ""],
    [`arn:aws:iam::210987654321:${sso("Power_User_0123456789ABCDEF")}`, ""],
    [`arn:aws:iam::210987654321:${sso("Power_User_x_0123456789abcdef")}`, ""],
    [`arn:aws:iam::210987654321:${sso("Power_User")}`, ""],
    ["arn:aws:iam::210987654321:role/xAWSReservedSSO_Power_User_0123456789abcdef", ""],
    ["arn:aws:iam::210987654321:user/AWSReservedSSO_Power_User_0123456789abcdef", ""],
    ["123456789012", ""],
    [undefined, ""],
  ] as const) {
    const principal = principalFrom({ issuer: "aws", audiences: ["api://aws"], kind: "workload", arn });
    const { headers } = decide(policies, "GET https://s.example.com/r", principal);
    t.strictSame(
      headers.map(({ value }) => value),
      [arn, roles],
    );
  }
  t.end();
});

test("who comes with a SPIFFE id is that workload, or one below a path, and of that trust domain alone", (t) => {
  const spire = { name: "spire", audiences: [], credentials: ["client-certificate"], kinds: undefined };
  const policies = policiesFrom(
    `
roles:
  web: [{ issuer: spire, uri: spiffe://example.org/ns/shop/sa/web }]
  shop: [{ issuer: spire, uri: { prefix: spiffe://example.org/ns/shop/ } }]
  all: [{ uri: { prefix: spiffe://example.org/ } }]
services:
  s:
    hosts: [s.example.com]
    backend: s
    headers: { x-uri: "has(principal.uri) ? dyn(principal.uri) : null", x-roles: list(principal.roles) }
    routes:
      - { name: r, match: [GET /r], allow: [authenticated] }
`,
    { issuers: [{ ...spire, trustDomains: ["example.org"] }] },
  );
  for (const [uri, roles] of [
    ["spiffe://example.org/ns/shop/sa/web", "all,shop,web"],
    ["spiffe://example.org/ns/shop/sa/web2", "all,shop"],
    ["spiffe://example.org/ns/shop", "all"],
    ["spiffe://example.org/ns/shopping/sa/web", "all"],
    ["spiffe://example.org.evil/ns/shop/sa/web", ""],
    [undefined, ""],
  ] as const) {
    const principal = principalFrom({ issuer: "spire", kind: "workload", uri });
    const { headers } = decide(policies, "GET https://s.example.com/r", principal);
    t.strictSame(
      headers.map(({ value }) => value),
      [uri, roles],
    );
  }
  t.end();
});

test("a service opts in to what its backend reads as the policies do, one key at a time", (t) => {
  const service = (paths: string) =>
    policiesFrom(`
services:
  files:
    hosts: [files.example.com]
    issuers: [aws]
    backend: files
    ${paths === "" ? "" : `paths: { ${paths} }`}
    routes: [{ name: all, match: ["GET /{path...}"], allow: [anyone] }]
`);
  const cases: readonly (readonly [path: string, key: string])[] = [
    ["/a%2Fb", "encoded_slash: opaque"],
    ["/a//b", "empty_segments: allow"],
    ["/a;v=1", "parameters: allow"],
    ["/%7Euser", "encoded_unreserved: allow"],
    ["/100%25", "encoded_percent: allow"],
    ["/a[0]", "brackets: allow"],
  ];
  const strict = service("");
  const all = service(cases.map(([, key]) => key).join(", "));
  for (const [path, key] of cases) {
    const request = `GET https://files.example.com${path}`;
    t.equal(decide(strict, request, undefined).reason, "path-ambiguous", path);
    t.equal(decide(service(key), request, undefined).reason, "anyone", `${path} by ${key}`);
    const others = cases.flatMap(([, other]) => (other === key ? [] : [other])).join(", ");
    t.equal(decide(service(others), request, undefined).reason, "path-ambiguous", `${path} by all others`);
  }
  for (const path of ["/a/..", "/a/%2e%2e/b", "/a.", "/a%20", "/a%EF%BC%8Fb", "/%252e%252e", "/a%5Cb", "/a%00"])
    t.equal(decide(all, `GET https://files.example.com${path}`, undefined).reason, "path-ambiguous", path);
  t.end();
});

/** Integers around those at which something that reads numbers changes, and neighbours of each. */
const EDGES = [
  0n,
  2n ** 31n,
  10n ** 15n,
  2n ** 53n,
  2n ** 54n,
  10n ** 17n,
  2n ** 62n,
  2n ** 63n,
  2n ** 64n,
  10n ** 21n,
];

function* integers(): Generator<bigint> {
  let state = 10n;
  for (const edge of EDGES) {
    for (const sign of [1n, -1n]) {
      for (let near = -3n; near <= 3n; near++) yield sign * edge + near;
      for (let i = 0; i < 4; i++) {
        state = (state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) % 2n ** 64n;
        yield sign * edge + (state >> 53n);
      }
    }
  }
}

const is64 = (n: bigint) => n >= -(2n ** 63n) && n < 2n ** 63n;
const TENANT = (n: string) => `
roles:
  tenant: [{ issuer: okta, claim: { tenant: ${n} } }]
  listed: [{ issuer: okta, claim: { tenants: ${n} } }]
services:
  orders:
    hosts: [orders.example.com]
    audiences: [api://orders, api://aws]
    backend: orders
    headers: { x-auth-tenant: string(principal.claims.tenant), x-auth-roles: list(principal.roles) }
    routes:
      - { name: all, match: [GET /all], allow: [authenticated] }
`;
const WHEN = (n: string) => `
      - { name: equal, match: [GET /equal], allow: [authenticated], when: "principal.claims.tenant == ${n}" }
      - { name: other, match: [GET /other], allow: [authenticated], when: "principal.claims.tenant != ${n}" }
      - { name: listed, match: [GET /listed], allow: [authenticated], when: "${n} in principal.claims.tenants" }
      - { name: range, match: [GET /range], allow: [authenticated], when: "principal.claims.tenant >= ${n} && principal.claims.tenant <= ${n}" }
`;

test("a claim is the number of a policy exactly if it has the same digits, in bindings, conditions and headers", (t) => {
  const all = [...new Set(integers())];
  const seen = { equal: 0, refused: 0 };
  for (const [index, wanted] of all.entries()) {
    const written = String(wanted);
    const { faults } = findingsOf(TENANT(written));
    t.equal(faults.length === 0, is64(wanted), `${written} in a binding: ${faults.join()}`);
    if (!is64(wanted)) continue;
    // CEL's smallest integer cannot be written.
    const when = wanted === -(2n ** 63n) ? "" : WHEN(written);
    const policies = policiesFrom(TENANT(written) + when);
    for (const claimed of all.slice(Math.max(0, index - 12), index + 12)) {
      const claims = parseObject(Buffer.from(`{ "tenant": ${claimed}, "tenants": [7, ${claimed}] }`));
      if (claims === undefined) {
        seen.refused++;
        if (is64(claimed)) t.fail(`${claimed} is refused in a token`);
        continue;
      }
      if (!is64(claimed)) t.fail(`${claimed} is read from a token`);
      const principal = principalFrom({ claims });
      const same = claimed === wanted;
      if (same) seen.equal++;
      const pair = `${claimed} against ${written}`;
      const { headers, roles } = decide(policies, "GET https://orders.example.com/all", principal);
      if (headers[0]?.value !== String(claimed)) t.fail(`${pair}: the header ${headers[0]?.value}`);
      if (String(roles) !== (same ? "listed,tenant" : "")) t.fail(`${pair}: the roles ${roles}`);
      if (when === "") continue;
      for (const [path, expected] of Object.entries({ equal: same, other: !same, listed: same, range: same })) {
        const { verdict } = decide(policies, `GET https://orders.example.com/${path}`, principal);
        if (verdict !== (expected ? "allow" : "deny")) t.fail(`${pair}: ${path} is ${verdict}`);
      }
    }
  }
  t.ok(seen.equal > 100 && seen.refused > 100, JSON.stringify(seen));
  t.end();
});

test("a number that may have been rounded is refused where it is read", (t) => {
  for (const written of [
    "1e21",
    "1E+21",
    "9007199254740993.0",
    "9007199254740991.4",
    "1.00000000000000000001",
    "1e400",
    "1e-400",
  ]) {
    t.equal(parseObject(Buffer.from(`{ "n": ${written} }`)), undefined, `${written} in a token`);
    t.equal(parseObject(Buffer.from(`{ "n": [{ "m": -${written} }] }`)), undefined, `-${written} deeper in a token`);
  }
  for (const written of ["1e+21", "12345678901234567000", "9.007199254740993e+15"]) {
    t.match(
      findingsOf(TENANT(written)).faults,
      [/^p\.yaml:3:45: .*in quotes, or a plain decimal number/, /^p\.yaml:4:46: /],
      written,
    );
  }
  t.strictSame(parseObject(Buffer.from('{ "a": 1.0, "b": 0.5, "c": -1.5e3, "d": 1e15, "e": "1e21", "f": 0.00e7 }')), {
    a: 1,
    b: 0.5,
    c: -1500,
    d: 1e15,
    e: "1e21",
    f: 0,
  });
  t.end();
});

test("no header holds a number that is not exact", (t) => {
  const principal = principalFrom({
    claims: parseObject(Buffer.from('{ "large": 9007199254740993, "odd": 0.1, "text": "9007199254740993" }')) ?? {},
  });
  const header = (value: string) => {
    const text = `
services:
  orders:
    hosts: [orders.example.com]
    audiences: [api://orders, api://aws]
    backend: orders
    headers: { x-auth-n: '${value}' }
    routes: [{ name: all, match: [GET /all], allow: [authenticated] }]
`;
    const { reason, headers } = decide(policiesFrom(text), "GET https://orders.example.com/all", principal);
    return headers[0]?.value ?? reason;
  };
  t.equal(header("string(principal.claims.large)"), "9007199254740993");
  t.equal(header("string(int(principal.claims.large))"), "9007199254740993");
  t.equal(header("string(int(principal.claims.text))"), "9007199254740993");
  t.equal(header("string(principal.claims.odd)"), "0.1");
  for (const inexact of [
    "string(double(principal.claims.large))",
    "string(double(principal.claims.text))",
    "string(9007199254740991.0 + 1.0)",
    "string(int(9007199254740991.0 * 2.0))",
    "string(9007199254740991.0 * 9007199254740991.0)",
  ])
    t.equal(header(inexact), "header-error", inexact);
  t.end();
});

test("policies with large numbers travel to another thread or process as they are", (t) => {
  const compiled = compilePolicies([{ file: "p.yaml", text: TENANT("9007199254740993") }], ENVIRONMENT);
  if (!("policies" in compiled)) throw new Error("faults");
  const steps = compileChecked(structuredClone(compiled.checked), ENVIRONMENT);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  const rolesOf = (n: string) =>
    decide(
      step.value as ReturnType<typeof policiesFrom>,
      "GET https://orders.example.com/all",
      principalFrom({ claims: parseObject(Buffer.from(`{ "tenant": ${n} }`)) ?? {} }),
    ).roles;
  t.strictSame(rolesOf("9007199254740993"), ["tenant"]);
  t.strictSame(rolesOf("9007199254740992"), []);
  t.end();
});

const COSTLY = (route: string, headers = "{}") => `
roles:
  member: [{ issuer: okta, group: Members }]
services:
  orders:
    hosts: [orders.example.com]
    audiences: [api://orders, api://aws]
    backend: orders
    headers: ${headers}
    routes:
      - { name: read, match: [GET /read], allow: [member], ${route} }
`;
const EACH = "principal.claims.a.all(x, !(x in principal.claims.b))";

test("all expressions of a decision have so much work together, and past it nobody passes", (t) => {
  const list = (length: number, prefix: string) => Array.from({ length }, (_, i) => `${prefix}${i}`);
  const member = (length: number) =>
    principalFrom({ groups: ["Members"], claims: { a: list(length, "a"), b: list(length, "b") } });
  const read = (route: string, length: number, headers?: string) => {
    const { verdict, reason, shadow } = decide(
      policiesFrom(COSTLY(route, headers)),
      "GET https://orders.example.com/read",
      member(length),
    );
    return `${verdict} ${reason}${shadow === undefined ? "" : `, shadow ${shadow.verdict} ${shadow.reason}`}`;
  };
  const header = `{ x-auth-n: '${EACH} ? "yes" : "no"', x-auth-m: '${EACH} ? "yes" : "no"' }`;
  const cases: readonly (readonly [route: string, length: number, expected: string, headers?: string])[] = [
    [`when: "${EACH}"`, 150, "allow allowed"],
    [`when: "${EACH}"`, 400, "deny cost-exceeded"],
    [`when: "${EACH} || true"`, 400, "deny cost-exceeded"],
    [`when: "true || ${EACH}"`, 400, "allow allowed"],
    [`when: "${EACH} && ${EACH} && ${EACH} && ${EACH} && ${EACH}"`, 150, "deny cost-exceeded"],
    ["when: request.tls", 150, "allow allowed", header],
    [`when: "${EACH} && ${EACH} && ${EACH}"`, 150, "deny cost-exceeded", header],
    ["when: request.tls", 400, "deny cost-exceeded", header],
    // What is never enforced takes nothing from what is.
    [`when: request.tls, shadow: { when: "${EACH}" }`, 150, "allow allowed, shadow allow allowed"],
    [`when: request.tls, shadow: { when: "${EACH}" }`, 400, "allow allowed, shadow deny cost-exceeded"],
    [
      `when: request.tls, shadow: { when: "${EACH} && ${EACH} && ${EACH}" }`,
      150,
      "allow allowed, shadow deny cost-exceeded",
      header,
    ],
    [`when: "${EACH}", shadow: { when: request.tls }`, 400, "deny cost-exceeded, shadow deny cost-exceeded"],
  ];
  for (const [route, length, expected, headers] of cases) {
    const named = `${route} of ${length}${headers === undefined ? "" : " with headers"}`;
    t.equal(read(route, length, headers), expected, named);
    t.equal(read(route, length, headers), expected, `${named}, again`);
  }
  t.end();
});

test("however many bindings and groups there are, roles are looked for so long, and a role that was not found out helps nobody", (t) => {
  const bindings = (count: number, of: (n: number) => string) =>
    Array.from({ length: count }, (_, n) => of(n)).join(", ");
  const policies = (count: number, wanted: (n: number) => string) =>
    policiesFrom(`roles:
  first: [{ issuer: okta, group: g0 }]
  many: [${bindings(count, (n) => `{ issuer: okta, ${wanted(n)} }`)}]
  last: [{ issuer: okta, group: g1 }]
services:
  orders:
    hosts: [orders.example.com]
    audiences: [api://orders, api://aws]
    backend: orders
    routes:
      - { name: first, match: [GET /first], allow: [first] }
      - { name: last, match: [GET /last], allow: [last] }
      - { name: denied, match: [GET /denied], allow: [authenticated], deny: [last] }
      - { name: any, match: [GET /any], allow: [authenticated] }
`);
  const listed = Array.from({ length: 1000 }, (_, n) => `g${n}`);
  const who = principalFrom({ groups: listed, scopes: listed, claims: { roles: listed } });
  const outcomes = (set: CompiledPolicies) =>
    ["first", "last", "denied", "any"].map(
      (route) => decide(set, `GET https://orders.example.com/${route}`, who).reason,
    );
  const exceeded = ["allowed", "cost-exceeded", "cost-exceeded", "allowed"];
  for (const wanted of ["group: { prefix: x", "scope: { suffix: x", "claim: { roles: x"]) {
    t.strictSame(outcomes(policies(500, (n) => `${wanted}${n} }`)), exceeded, wanted);
    t.strictSame(outcomes(policies(20, (n) => `${wanted}${n} }`)), ["allowed", "allowed", "role-denied", "allowed"]);
  }
  t.strictSame(outcomes(policies(2000, (n) => `group: x${n}`)), exceeded, "group");
  t.end();
});

test("each decision has its own work, and its outcome is the same however often it is asked for", (t) => {
  const policies = policiesFrom(COSTLY(`when: "request.tls && ${EACH}"`));
  const claims = {
    a: Array.from({ length: 250 }, (_, i) => `a${i}`),
    b: Array.from({ length: 250 }, (_, i) => `b${i}`),
  };
  const principal = principalFrom({ groups: ["Members"], claims });
  const large = principalFrom({ groups: ["Members"], claims: { ...claims, b: [...claims.b, ...claims.b] } });
  for (let i = 0; i < 50; i++) {
    t.equal(decide(policies, "GET https://orders.example.com/read", large).reason, "cost-exceeded");
    t.equal(decide(policies, "GET https://orders.example.com/read", principal).reason, "allowed");
  }
  t.end();
});

test("a token for one resource does not do at another, nor at what takes several; whom the resource's issuer is not it does not ask", (t) => {
  const policies = policiesFrom(`services:
  s:
    hosts: [s.example.com]
    backend: b
    audiences: [api://orders, api://files, api://aws]
    allow: [authenticated]
    resource: { url: https://s.example.com, audience: api://orders, authorization_servers: [https://login] }
    routes:
      - { name: orders, match: [GET /orders] }
      - { name: files, match: [GET /files], resource: { url: https://s.example.com/files, audience: api://files, authorization_servers: [https://login] } }
`);
  const reasons = (audiences: readonly string[], issuer = "okta") =>
    ["orders", "files"].map(
      (path) => decide(policies, `GET https://s.example.com/${path}`, principalFrom({ issuer, audiences })).reason,
    );
  t.strictSame(reasons(["api://orders"]), ["allowed", "audience-not-accepted"]);
  t.strictSame(reasons(["api://files"]), ["audience-not-accepted", "allowed"]);
  t.strictSame(reasons(["api://orders", "api://files"]), ["allowed", "allowed"]);
  t.strictSame(reasons(["api://aws"], "aws"), ["allowed", "allowed"]);
  t.end();
});

test("a login has to be as strong and as new as a route asks, and what a token does not tell is not so", (t) => {
  const policies = policiesFrom(`services:
  s:
    hosts: [s]
    backend: b
    audiences: [api://orders]
    issuers: [okta]
    allow: [authenticated]
    routes:
      - { name: a, match: [GET /a], step_up: { acr: [mfa, hwk] } }
      - { name: b, match: [GET /b], step_up: { max_age: 15m } }
      - { name: c, match: [GET /c], step_up: { acr: mfa, max_age: 15m }, scopes: [c], when: request.src == "192.0.2.7" }
      - { name: d, match: [GET /d], allow: [], step_up: { acr: mfa } }
      - { name: e, match: [GET /e], shadow: { step_up: { acr: mfa } } }
`);
  const at = (path: string, claims: Record<string, unknown>, asked: Asked = {}, scopes: string[] = []) =>
    decide(policies, `GET https://s/${path}`, principalFrom({ claims, scopes, authenticatedAt: NOON }), asked).reason;
  const second = NOON / 1000;
  for (const acr of ["mfa", "hwk"]) t.equal(at("a", { acr }), "allowed", acr);
  for (const acr of ["pwd", "", "mfa hwk", "MFA", ["mfa"], 1, null, undefined])
    t.equal(at("a", { acr }), "authentication-weak", JSON.stringify(acr));
  for (const ago of [0, 899, 900, -60]) t.equal(at("b", { auth_time: second - ago }), "allowed", `${ago} s ago`);
  for (const time of [second - 901, second + 61, `${second}`, 0, -1, null, undefined, {}, BigInt(second)])
    t.equal(at("b", { auth_time: time, iat: second }), "authentication-old", `at ${time}`);
  // What was decided a while ago is not what is.
  const now = { auth_time: second };
  const principal = principalFrom({ claims: now, expiresAt: NOON + 86_400_000 });
  const later = (time: number) => decide(policies, "GET https://s/b", principal, { time: NOON + time }).reason;
  for (let n = 0; n < 20; n++) t.equal(later(0), "allowed", "so often that decisions about her are kept");
  t.strictSame([later(0), later(900_000), later(900_001)], ["allowed", "allowed", "authentication-old"]);
  // Login before consent, so that both are asked for at once; but neither where the request passes for nobody.
  const both = { acr: "mfa", auth_time: second };
  t.equal(at("c", {}), "authentication-weak");
  t.equal(at("c", both), "scope-missing");
  t.equal(at("c", both, {}, ["c"]), "allowed");
  for (const claims of [{}, both]) t.equal(at("c", claims, { src: "192.0.2.8" }), "condition-false");
  t.equal(at("d", {}), "role-missing");
  const request = {
    method: "GET",
    host: "s",
    path: "/c",
    query: "",
    headers: {},
    src: "192.0.2.7",
    tls: true,
    time: NOON,
  };
  const told = (claims: Record<string, unknown>) =>
    explain(policies, request, { principal: principalFrom({ claims }) }).steps.flatMap(({ about, outcome, text }) =>
      about === "login" ? `${outcome}: ${text}` : [],
    );
  t.strictSame(told({}), [
    'no: acr is not told; one of "mfa"',
    "no: logged in at a time that auth_time does not tell; at most 900 s",
  ]);
  t.strictSame(told(both), ['yes: acr is "mfa"; one of "mfa"', "yes: logged in 0 s ago; at most 900 s"]);
  const { verdict, shadow } = decide(policies, "GET https://s/e", principalFrom({ claims: {} }));
  t.match({ verdict, shadow }, { verdict: "allow", shadow: { verdict: "deny", reason: "authentication-weak" } });
  t.end();
});
