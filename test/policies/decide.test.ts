import { test } from "tap";
import type { Principal } from "../../policies/principal.ts";
import { Unknown } from "../../policies/unknown.ts";
import { type Asked, decide, NOON, policiesFrom, principalFrom } from "../support/policies.ts";

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
  ['subject: { suffix: "@example.com" }', [{ subject: "a@example.com" }], [{ subject: "a@example.com.evil" }], []],
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
  t.strictSame(shadowed.uses, { query: true, requestHeaders: ["x-tenant"], identityHeaders: [] });
  t.strictSame(
    shadowed.services[0]?.routes[0]?.needs,
    { query: true, requestHeaders: [], identityHeaders: [] },
    "a shadow cannot make a route need more",
  );
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
`);
  const actor = (...subjects: string[]) => subjects.map((subject) => ({ subject, issuer: undefined }));
  const who = {
    carol: principalFrom({ subject: "carol", client: "spa" }),
    assistant: principalFrom({ subject: "carol", client: "assistants", actor: actor("assistant", "planner") }),
    history: principalFrom({ subject: "carol", client: "spa", actor: actor("planner", "assistant") }),
    unknown: principalFrom({ subject: "carol" }),
  };
  const rows = {
    either: ["allowed", "allowed", "allowed", "allowed"],
    herself: ["allowed", "role-denied", "allowed", "role-missing"],
    assisted: ["role-missing", "allowed", "role-missing", "role-missing"],
    alone: ["allowed", "condition-false", "condition-false", "allowed"],
    spa: ["allowed", "condition-false", "allowed", "condition-error"],
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
