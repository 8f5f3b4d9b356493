import { test } from "tap";
import { compilePolicies, type PolicyEnvironment } from "../../policies/compile/compile.ts";
import type { Decision } from "../../policies/decision.ts";
import { faultText } from "../../policies/fault.ts";
import type { CompiledPolicies } from "../../policies/judging/compiled.ts";
import type { Principal } from "../../policies/principal.ts";
import type { PolicyRequest } from "../../policies/request.ts";
import { accessOf, differencesOf } from "../../policies/tools/access.ts";
import { judgeAgain, type Recorded } from "../../policies/tools/replay.ts";

const NOW = Date.UTC(2026, 10, 23, 12);
const ENVIRONMENT: PolicyEnvironment = {
  issuers: [
    { name: "okta", audiences: ["api://a"], credentials: ["bearer"], kinds: ["person"] },
    { name: "ci", audiences: ["api://a"], credentials: ["bearer"], kinds: ["workload"] },
  ],
  backends: [],
  headers: { reserved: [], credentials: ["authorization"] },
  identitySuffix: "",
  now: NOW,
};

function policies(text: string): CompiledPolicies {
  const compiled = compilePolicies([{ file: "a.yaml", text }], ENVIRONMENT);
  if ("faults" in compiled) throw new Error(compiled.faults.map(faultText).join("\n"));
  return compiled.policies;
}

const BASE = `
roles:
  reader: [{ issuer: okta, group: Readers }, { subject: carol }]
  admin: [{ issuer: okta, group: Admins, scope: orders:write }]
  robot: [{ issuer: ci, claim: { repository: shop/orders } }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    routes:
      - { name: read, match: ["GET /v1/orders/{id}"], allow: [reader, robot] }
      - { name: write, match: [POST /v1/orders], allow: [admin], scopes: [orders:write] }
      - { name: tenant, match: [GET /v1/tenant], allow: [authenticated], when: 'principal.claims.tenant == "emea"' }
      - { name: header, match: [GET /v1/header], allow: [authenticated], when: 'request.headers["x-kind"] == "a"' }
      - { name: maybe, match: [GET /v1/maybe], allow: [reader], optional: true }
      - { name: health, match: [GET /healthz], allow: [anyone] }
`;

const CHANGES: readonly (readonly [from: string, to: string])[] = [
  ["allow: [reader, robot]", "allow: [robot]"],
  ["allow: [reader, robot]", "allow: [authenticated]"],
  ["allow: [reader, robot]", "allow: [anyone]"],
  ["allow: [reader, robot]", "allow: [reader, robot], deny: [admin]"],
  ["{ issuer: okta, group: Readers }, ", "{ issuer: okta, group: Staff }, "],
  ["{ subject: carol }", "{ subject: alice }"],
  ["scopes: [orders:write]", "scopes: [orders:all]"],
  ["GET /v1/orders/{id}", "GET /v1/orders/{id:[0-9]+}"],
  ['"emea"', '"apac"'],
  ['request.headers["x-kind"] == "a"', 'request.headers["x-other"] == "a"'],
  ["optional: true", "optional: false"],
  ["hosts: [orders.example.com]", "hosts: [other.example.com]"],
  ["GET /healthz], allow: [anyone]", "GET /healthz], allow: [reader]"],
  ["shop/orders", "shop/other"],
  ["backend: orders", "backend: others"],
];

const REQUESTS = [
  ["GET", "/v1/orders/7"],
  ["GET", "/v1/orders/x"],
  ["POST", "/v1/orders"],
  ["GET", "/v1/tenant"],
  ["GET", "/v1/header"],
  ["GET", "/v1/maybe"],
  ["GET", "/healthz"],
  ["GET", "/nowhere"],
  ["DELETE", "/healthz"],
] as const;

function principal(own: Partial<Principal>): Principal {
  return {
    issuer: "okta",
    subject: "alice",
    kind: "person",
    groups: [],
    scopes: [],
    audiences: ["api://a"],
    claims: {},
    client: undefined,
    actor: [],
    arn: undefined,
    uri: undefined,
    authenticatedAt: undefined,
    expiresAt: NOW + 60_000,
    bound: "",
    ...own,
  };
}

const WHO: readonly (Principal | undefined)[] = [
  undefined,
  principal({}),
  principal({ groups: ["Readers"] }),
  principal({ groups: ["Admins", "Readers"], scopes: ["orders:write"] }),
  principal({ subject: "carol", claims: { tenant: "emea" } }),
  principal({ groups: ["Staff"], scopes: ["orders:all"], claims: { tenant: "apac" } }),
  principal({ issuer: "ci", subject: "build", kind: "workload", claims: { repository: "shop/orders" } }),
  principal({ issuer: "ci", subject: "build", kind: "workload", claims: { repository: "shop/other" } }),
];

function request(method: string, path: string): PolicyRequest {
  const headers = { "x-kind": "a" };
  return { method, host: "orders.example.com", path, query: "", src: "192.0.2.1", tls: true, headers, time: NOW };
}

type Judged = Pick<Decision, "verdict" | "reason" | "rule">;

/** As the agent decides. */
function judged(set: CompiledPolicies, asked: PolicyRequest, who: Principal | undefined): Judged & { known: boolean } {
  const match = set.match(asked.host, asked.method, asked.path, asked.headers);
  if ("reason" in match) return { verdict: "deny", reason: match.reason, rule: match.rule, known: false };
  const known = match.route.access !== "anyone" && who !== undefined;
  return { ...set.decide(match, known ? who : undefined, asked), known };
}

/** What a line of the log tells of it; `whole` also what policies read. */
function recorded(asked: PolicyRequest, who: Principal | undefined, was: Judged, whole: boolean): Recorded {
  const { method, host, path, src, time, query, tls, headers } = asked;
  const rest = whole ? { query, tls, headers: { "x-other": null as unknown as string, ...headers } } : {};
  const claims = { tenant: null, repository: null, ...who?.claims };
  const { issuer = "", subject = "" } = who ?? {};
  const basic = { issuer, subject, kind: who?.kind as "person", client: undefined, actor: undefined };
  return {
    verdict: was.verdict,
    reason: was.reason,
    rule: was.rule,
    request: { method, host, path, src, time, ...rest },
    principal: who === undefined ? undefined : whole ? ({ ...who, ...basic, claims } as Recorded["principal"]) : basic,
  };
}

for (const whole of [false, true]) {
  test(`${whole ? "with all that policies read" : "from a plain log"}: no planted change is told wrongly, whoever asks for whatever`, (t) => {
    const before = policies(BASE);
    const told = { clear: 0, unclear: 0 };
    const seen = new Set<string>();
    for (const [from, to] of [["", ""], ...CHANGES] as const) {
      t.ok(BASE.includes(from), from);
      const after = policies(BASE.replace(from, () => to));
      for (const [method, path] of REQUESTS) {
        for (const who of WHO) {
          const asked = request(method, path);
          const was = judged(before, asked, who);
          const is = judged(after, asked, who);
          // A line has the principal only where the credential was read.
          const record = recorded(asked, was.known ? who : undefined, was, whole);
          const outcome = judgeAgain(after, record);
          const name = `${to}: ${method} ${path} ${who?.subject} ${who?.groups}`;
          if (outcome.change === "unclear") {
            told.unclear++;
            t.ok(outcome.missing.length > 0, name);
            continue;
          }
          told.clear++;
          const laxer = was.verdict === "deny" && is.verdict === "allow";
          const stricter = was.verdict === "allow" && is.verdict === "deny";
          const same = was.reason === is.reason && was.rule === is.rule;
          const expected = laxer ? "laxer" : stricter ? "stricter" : same ? "same" : "reason";
          if (outcome.change !== expected) t.equal(outcome.change, expected, name);
          if (from !== "" && expected !== "same") seen.add(to);
          if (from === "" && outcome.change !== "same") t.fail(`nothing was changed: ${name}`);
        }
      }
    }
    const share = told.unclear / (told.clear + told.unclear);
    if (whole) {
      t.ok(share < 0.05, `${told.unclear} of ${told.clear + told.unclear} cannot be told`);
      // Another backend changes no verdict; and of whom nothing was asked, nothing is known.
      const changing = CHANGES.map(([, to]) => to).filter((to) => !/^backend|healthz/.test(to));
      t.strictSame(
        changing.filter((to) => !seen.has(to)),
        [],
      );
    } else t.ok(share > 0 && share < 0.6, `${told.unclear} of ${told.clear + told.unclear} cannot be told`);
    t.end();
  });
}

test("what is missing is named", (t) => {
  const after = policies(BASE.replace("allow: [reader, robot]", "allow: [reader], scopes: [orders:read]"));
  const asked = request("GET", "/v1/orders/7");
  const was = judged(policies(BASE), asked, principal({ subject: "carol" }));
  const outcome = judgeAgain(after, recorded(asked, principal({ subject: "carol" }), was, false));
  t.equal(outcome.change, "unclear");
  if (outcome.change === "unclear") t.ok(outcome.missing.includes("principal.scopes"), String(outcome.missing));
  const header = request("GET", "/v1/header");
  const other = policies(BASE.replace('request.headers["x-kind"]', 'request.headers["x-other"]'));
  const again = judgeAgain(other, recorded(header, principal({}), judged(other, header, principal({})), false));
  t.equal(again.change, "unclear");
  if (again.change === "unclear") t.ok(again.missing.includes('request.headers["x-other"]'), String(again.missing));
  t.end();
});

test("who was refused for the credential stays so, but where none is asked for any more", (t) => {
  const record: Recorded = {
    ...recorded(
      request("GET", "/v1/orders/7"),
      undefined,
      judged(policies(BASE), request("GET", "/v1/orders/7"), undefined),
      false,
    ),
    reason: "token-expired",
  };
  t.equal(judgeAgain(policies(BASE), { ...record, rule: "orders/read" }).change, "same");
  t.equal(judgeAgain(policies(BASE.replace("allow: [reader, robot]", "allow: [anyone]")), record).change, "laxer");
  // What the agent could not tell then, nobody can now.
  t.equal(judgeAgain(policies(BASE), { ...record, reason: "deadline-exceeded" }).change, "unclear");
  t.end();
});

test("two sets are compared without a log: who gains, who loses, what depends on a condition", (t) => {
  const differences = (from: string, to: string) =>
    differencesOf(policies(BASE), policies(BASE.replace(from, () => to))).map(
      ({ method, host, path, change, what }) => `${change} ${method} ${host}${path} ${what}`,
    );
  t.strictSame(differences("x", "x"), []);
  t.strictSame(differences("allow: [reader, robot]", "allow: [reader]"), [
    "lost GET orders.example.com/v1/orders/{id} issuer: ci, claim repository: shop/orders, no more",
  ]);
  t.strictSame(differences("allow: [admin]", "allow: [admin, reader]"), [
    "new POST orders.example.com/v1/orders issuer: okta, group: Readers",
    "new POST orders.example.com/v1/orders subject: carol",
  ]);
  t.strictSame(differences("allow: [reader, robot]", "allow: [reader, robot], deny: [admin]"), [
    "lost GET orders.example.com/v1/orders/{id} denied: issuer: okta, group: Admins, scope: orders:write",
  ]);
  t.strictSame(differences('"emea"', '"apac"'), [
    'undecided GET orders.example.com/v1/tenant the condition was: principal.claims.tenant == "emea"; is: principal.claims.tenant == "apac"',
  ]);
  t.strictSame(differences("      - { name: health, match: [GET /healthz], allow: [anyone] }\n", ""), [
    "lost GET orders.example.com/healthz anyone",
  ]);
  t.strictSame(differences("optional: true", "optional: false"), ["lost GET orders.example.com/v1/maybe anonymous"]);
  // A pattern that takes more than before, by what it takes and not by how it is written.
  t.strictSame(
    differences("match: [GET /healthz]", 'match: ["GET /{any...}"]').filter((each) => !each.includes("/healthz")),
    ["new GET orders.example.com/{any...} anyone"],
  );
  t.strictSame(differences("{id}", "{number}"), []);
  t.end();
});

test("access is listed for a review: each method, host and path with each way in", (t) => {
  const [first] = accessOf(policies(BASE));
  t.strictSame(first, {
    host: "orders.example.com",
    method: "GET",
    path: "/v1/orders/{id}",
    rule: "orders/read",
    allow: ["issuer: ci, claim repository: shop/orders", "issuer: okta, group: Readers", "subject: carol"],
    deny: [],
    scopes: [],
    when: undefined,
    anonymous: false,
    issuers: ["ci", "okta"],
    audiences: [],
  });
  t.equal(accessOf(policies(BASE)).length, 6);
  const numbered = BASE.replace("repository: shop/orders", "tenant: 9007199254740993");
  t.strictSame(accessOf(policies(numbered))[0]?.allow[0], "issuer: ci, claim tenant: 9007199254740993");
  t.end();
});
