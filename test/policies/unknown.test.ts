import { test } from "tap";
import { variableValue } from "../../agent/answer/variables.ts";
import { Pool } from "../../agent/identity/claims/pool.ts";
import { claimPaths, principalOf } from "../../agent/identity/claims/principal.ts";
import type { Principal } from "../../policies/principal.ts";
import { oidcIssuer } from "../support/identity.ts";
import { decide, NOON, policiesFrom } from "../support/policies.ts";

const ISSUER = oidcIssuer("https://okta.example.com", { name: "okta" });
const EXP = NOON / 1000 + 600;

/** The principal of a token with these claims, as the agent reads it. */
function tokenOf(claims: object): Principal {
  const all = JSON.parse(JSON.stringify({ sub: "mallory", aud: "api://orders", exp: EXP, iat: EXP - 600, ...claims }));
  const principal = principalOf(all, ISSUER, claimPaths(ISSUER), new Pool());
  if ("reason" in principal) throw new Error(`refused: ${principal.reason}`);
  return principal;
}

/** For each field: what bans by it, the value that bans, and one that does not. */
const FIELDS = {
  groups: {
    binding: "group: banned",
    banned: ["staff", "banned"],
    fine: ["staff"],
    cel: '"banned" in principal.groups',
  },
  scope: { binding: "scope: banned", banned: "a banned", fine: "a", cel: '"banned" in principal.scopes' },
  client_kind: { binding: "kind: agent", banned: "agent", fine: "person", cel: 'principal.kind == "agent"' },
  azp: { binding: "client: banned", banned: "banned", fine: "spa", cel: 'principal.client == "banned"' },
  act: { binding: "actor: bot", banned: { sub: "bot" }, fine: undefined, cel: "size(principal.actor) > 0" },
  auth_time: {
    binding: "",
    banned: 0,
    fine: EXP,
    cel: `principal.authenticated_at < timestamp("2026-11-01T00:00:00Z")`,
  },
  blocked: { binding: "claim: { blocked: true }", banned: true, fine: false, cel: "principal.claims.blocked == true" },
} as const;

type Field = keyof typeof FIELDS;

const service = (bindings: string, cel: string) => `
roles:
${bindings}
services:
  s:
    hosts: [s.example.com]
    issuers: [okta]
    audiences: [api://orders]
    backend: s
    routes:
      - { name: deny, match: [GET /deny], allow: [authenticated], deny: [banned] }
      - { name: included, match: [GET /included], allow: [authenticated], deny: [outer] }
      - { name: allow, match: [GET /allow], allow: [banned] }
      - { name: either, match: [GET /either], allow: [banned, mallory] }
      - { name: when, match: [GET /when], allow: [authenticated], when: '!(${cel})' }
      - { name: header, match: [GET /header], allow: [authenticated], headers: { x-auth-a: '${cel} ? "yes" : "no"' } }
      - { name: roles, match: [GET /roles], allow: [authenticated], headers: { x-auth-a: list(principal.roles) } }
      - { name: scopes, match: [GET /scopes], allow: [authenticated], scopes: [banned] }
      - { name: plain, match: [GET /plain], allow: [authenticated], headers: { x-auth-a: principal.subject } }
`;

function policiesFor(field: Field) {
  const { binding, cel } = FIELDS[field];
  // What no binding can ask for is asked by conditions only.
  const key = binding === "" ? "subject: nobody" : binding;
  return policiesFrom(
    service(
      `  banned: [{ issuer: okta, ${key} }]\n  outer: [{ role: banned }]\n  mallory: [{ issuer: okta, subject: mallory }]`,
      cel,
    ),
  );
}

const ODD: readonly unknown[] = [
  7,
  -1e300,
  true,
  "2026-11-25T12:00:00Z",
  "true",
  [],
  [7],
  ["a", ["banned"]],
  {},
  { banned: true },
  [{ name: "banned" }],
  { sub: 7 },
];

/** Tokens whose claim is there and says nothing that can be read. A value that a field can read is none of them. */
function oddTokens(field: Field): readonly object[] {
  const readable: Record<Field, (value: unknown) => boolean> = {
    groups: (value) =>
      typeof value === "string" || (Array.isArray(value) && value.every((each) => typeof each === "string")),
    scope: (value) =>
      typeof value === "string" || (Array.isArray(value) && value.every((each) => typeof each === "string")),
    client_kind: () => false,
    azp: (value) => typeof value === "string",
    // What cannot be read of it refuses the token; only what is elsewhere is unknown.
    act: () => true,
    auth_time: (value) => typeof value === "number" && Math.abs(value) < 1e12,
    blocked: (value) => typeof value === "boolean" || (Array.isArray(value) && value.length === 0),
  };
  const values = ODD.filter((value) => !readable[field](value)).map((value) => ({ [field]: value }));
  const overage = [{ [field]: null, _claim_names: { [field]: "src1" } }, { _claim_names: { [field]: "src1" } }];
  const odd = [{ _claim_names: [field] }, { _claim_names: "src1" }];
  return [...values, ...overage, ...odd, ...(field === "groups" ? [{ hasgroups: true }, { hasgroups: "true" }] : [])];
}

const reasonOf = (policies: ReturnType<typeof policiesFrom>, path: string, principal: Principal) =>
  decide(policies, `GET https://s.example.com${path}`, principal).reason;

for (const field of Object.keys(FIELDS) as Field[]) {
  test(`an unknown ${field} never passes by a deny, gives no allow, and hinders nobody who does not ask`, (t) => {
    const { banned, fine, binding } = FIELDS[field];
    const policies = policiesFor(field);
    const asks = binding !== "";
    const judged = (claims: object) => {
      const principal = tokenOf(claims);
      const paths = ["/deny", "/included", "/allow", "/when", "/header", "/plain"];
      return paths.map((path) => reasonOf(policies, path, principal));
    };
    t.strictSame(
      judged({ [field]: banned }),
      [
        ...(asks ? ["role-denied", "role-denied", "allowed"] : ["allowed", "allowed", "role-missing"]),
        "condition-false",
        "allowed",
        "allowed",
      ],
      "who is banned",
    );
    t.strictSame(
      judged({ [field]: fine }),
      ["allowed", "allowed", "role-missing", "allowed", "allowed", "allowed"],
      "who is not",
    );
    for (const claims of oddTokens(field)) {
      const about = JSON.stringify(claims);
      const [deny, included, allow, when, header, plain] = judged(claims);
      const roles = asks ? "claim-unknown" : "allowed";
      t.strictSame([deny, included], [roles, roles], `${about}: deny`);
      t.equal(allow, asks ? "claim-unknown" : "role-missing", `${about}: allow`);
      // A claim's own type is CEL's to judge: it tells true from "true", and fails where it cannot compare.
      const kept = field === "blocked" && !/_claim_names/.test(about);
      if (!kept) t.strictSame([when, header], ["claim-unknown", "claim-unknown"], `${about}: CEL`);
      t.equal(plain, "allowed", `${about}: a route that does not ask`);
      const principal = tokenOf(claims);
      t.equal(reasonOf(policies, "/either", principal), "allowed", `${about}: another role lets in`);
      t.equal(reasonOf(policies, "/roles", principal), asks ? "claim-unknown" : "allowed", `${about}: all roles`);
    }
    t.end();
  });
}

test("required scopes that are unknown are not there, and the challenge asks for none", (t) => {
  const policies = policiesFor("scope");
  for (const claims of oddTokens("scope")) {
    const decision = decide(policies, "GET https://s.example.com/scopes", tokenOf(claims));
    t.match(decision, { verdict: "deny", reason: "claim-unknown", scopes: [] }, JSON.stringify(claims));
  }
  t.end();
});

test("a claim that is elsewhere is neither absent nor there for a condition", (t) => {
  const policies = policiesFrom(
    service(
      "  banned: [{ issuer: okta, group: banned }]\n  outer: [{ role: banned }]\n  mallory: [{ issuer: okta }]",
      "has(principal.claims.blocked)",
    ),
  );
  for (const odd of [
    { _claim_names: { blocked: "s" } },
    { _claim_names: { blocked: "s" }, constructor: 1 },
    { _claim_names: 1 },
  ]) {
    t.equal(reasonOf(policies, "/when", tokenOf(odd)), "claim-unknown", JSON.stringify(odd));
  }
  t.equal(reasonOf(policies, "/when", tokenOf({ _claim_names: { photo: "s" } })), "allowed");
  t.end();
});

test("what is unknown is not sent to HAProxy as a variable, and refuses where its contract asks for it", (t) => {
  const policies = policiesFor("groups");
  const decision = (principal: Principal) => decide(policies, "GET https://s.example.com/plain", principal);
  const unknown = tokenOf({ groups: 7, scope: 7, client_kind: 7 });
  for (const name of ["groups", "scopes", "kind", "roles"]) {
    t.strictSame(variableValue(name, unknown, decision(unknown)), { reason: "claim-unknown" }, name);
  }
  t.strictSame(variableValue("subject", unknown, decision(unknown)), { value: "mallory" });
  const known = tokenOf({ groups: ["a", "b"] });
  t.strictSame(variableValue("groups", known, decision(known)), { value: "a,b" });
  t.end();
});

test("a role that ends leaves no doubt behind it", (t) => {
  const policies = policiesFrom(
    service(
      "  banned: [{ issuer: okta, group: banned, until: 2026-11-25T13:00:00Z }]\n  outer: [{ role: banned }]\n  mallory: [{ issuer: okta }]",
      "false",
    ),
  );
  const principal = tokenOf({ groups: 7 });
  const at = (time: number) => decide(policies, "GET https://s.example.com/deny", principal, { time }).reason;
  for (let i = 0; i < 20; i++) t.equal(at(NOON), "claim-unknown");
  t.equal(at(NOON + 3_600_000), "allowed");
  t.end();
});
