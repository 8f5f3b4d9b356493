import { test } from "tap";
import type { OidcIssuer } from "../../agent/config.ts";
import { faultOf, malformed, missing } from "../../agent/identity/claims.ts";
import { Pool } from "../../agent/identity/pool.ts";
import { claimPaths, principalOf } from "../../agent/identity/principal.ts";
import { oidcIssuer } from "../support/identity.ts";

const GOOD = { iss: "https://issuer.example", sub: "alice", aud: "api://orders", exp: 2000, iat: 1000 };

function principal(claims: Record<string, unknown>, changes: Partial<OidcIssuer> = {}) {
  const issuer = oidcIssuer("https://issuer.example", changes);
  // As a token would bring them: a copy, by way of JSON.
  return principalOf(JSON.parse(JSON.stringify({ ...GOOD, ...claims })), issuer, claimPaths(issuer.claims), new Pool());
}

const named = (names: Partial<OidcIssuer["claims"]>) => ({ claims: { ...oidcIssuer("").claims, ...names } });

test("the principal that claims describe", (t) => {
  t.same(principal({ scope: "a b", groups: ["g"], client_kind: "agent", act: { sub: "x", iss: "y" } }), {
    issuer: "provider",
    subject: "alice",
    kind: "agent",
    groups: ["g"],
    scopes: ["a", "b"],
    audiences: ["api://orders"],
    claims: { ...GOOD, scope: "a b", groups: ["g"], client_kind: "agent", act: { sub: "x", iss: "y" } },
    client: undefined,
    actor: [{ subject: "x", issuer: "y" }],
    arn: undefined,
    uri: undefined,
    authenticatedAt: 1_000_000,
    expiresAt: 2_030_000,
    bound: "",
  });
  t.end();
});

test("where claims stand and what they may hold", (t) => {
  const nested = { realm_access: { roles: ["r1", "r2"] }, ext: { who: { id: "bob" } } };
  const rows: readonly [name: string, actual: unknown, expected: unknown][] = [
    ["groups as one string", principal({ groups: "admins" }), { groups: ["admins"] }],
    ["no groups", principal({}), { groups: [], scopes: [], actor: [] }],
    ["groups at a path", principal(nested, named({ groups: "realm_access.roles" })), { groups: ["r1", "r2"] }],
    ["the subject at a path", principal(nested, named({ subject: "ext.who.id" })), { subject: "bob" }],
    [
      "a namespaced name is whole",
      principal({ "https://a.example/groups": ["g"] }, named({ groups: "https://a.example/groups" })),
      { groups: ["g"] },
    ],
    [
      "and so is one with a colon",
      principal({ "cognito:groups": "g" }, named({ groups: "cognito:groups" })),
      { groups: ["g"] },
    ],
    [
      "a dotted name descends",
      principal({ "a.b": ["no"], a: { b: ["yes"] } }, named({ groups: "a.b" })),
      { groups: ["yes"] },
    ],
    ["a path through a string ends", principal({ a: "text" }, named({ groups: "a.length" })), { groups: [] }],
    ["a path through a list ends", principal({ a: ["x"] }, named({ groups: "a.length" })), { groups: [] }],
    ["a path out of the claims ends", principal({}, named({ groups: "constructor.name" })), { groups: [] }],
    ["and into a prototype, too", principal({}, named({ groups: "__proto__.x" })), { groups: [] }],
    ["scopes as a list", principal({ scope: ["a", "b"] }), { scopes: ["a", "b"] }],
    ["scopes with spaces", principal({ scope: " a   b " }), { scopes: ["a", "b"] }],
    ["empty scopes", principal({ scope: "" }), { scopes: [] }],
    ["several audiences", principal({ aud: ["api://orders", "x"] }), { audiences: ["api://orders", "x"] }],
    ["the kind of the issuer", principal({}, { kind: "workload" }), { kind: "workload" }],
    ["the kind of the claim", principal({ client_kind: "agent" }, { kind: "workload" }), { kind: "agent" }],
    ["no claim for the kind", principal({ client_kind: "x" }, named({ kind: undefined })), { kind: "person" }],
    ["the login's time", principal({ auth_time: 900 }), { authenticatedAt: 900_000 }],
    ["the client as azp", principal({ azp: "spa", client_id: "x", cid: "x" }), { client: "spa" }],
    ["the client as client_id", principal({ client_id: "job" }), { client: "job" }],
    ["no azp, but null", principal({ azp: null, client_id: "job" }), { client: "job" }],
    [
      "the client in the claim named for it",
      principal({ azp: "x", cid: "spa" }, named({ client: "cid" })),
      { client: "spa" },
    ],
    ["and nowhere else", principal({ azp: "x" }, named({ client: "cid" })), { client: undefined }],
    ["no time at all", principal({ iat: undefined }), { authenticatedAt: undefined }],
    [
      "ten actors",
      principal({ act: acting(10) }),
      { actor: Array.from({ length: 10 }, (_, i) => ({ subject: `${i}` })) },
    ],
    ["a subject of 1,024 characters", principal({ sub: "s".repeat(1024) }), { subject: "s".repeat(1024) }],
    ["a subject in any script", principal({ sub: "Алиса 🙂" }), { subject: "Алиса 🙂" }],

    ["no subject", principal({ sub: undefined }), missing("sub")],
    ["an empty subject", principal({ sub: "" }), malformed("sub")],
    ["a subject that is a number", principal({ sub: 7 }), malformed("sub")],
    ["a subject that is null", principal({ sub: null }), malformed("sub")],
    ["a subject of 1,025 characters", principal({ sub: "s".repeat(1025) }), malformed("sub")],
    ["a subject with a line break", principal({ sub: "alice\r\nx-auth-roles: admin" }), malformed("sub")],
    ["a subject with NUL", principal({ sub: "alice\0" }), malformed("sub")],
    ["a subject with a C1 control", principal({ sub: "alice\u0085" }), malformed("sub")],
    ["groups that are an object", principal({ groups: { admins: true } }), malformed("groups")],
    ["groups that are a number", principal({ groups: 1 }), malformed("groups")],
    ["groups that are null", principal({ groups: null }), malformed("groups")],
    ["groups that hold a number", principal({ groups: ["a", 1] }), malformed("groups")],
    ["groups that hold a list", principal({ groups: [["admins"]] }), malformed("groups")],
    ["groups that stand elsewhere", principal({ _claim_names: { groups: "src1" } }), malformed("groups")],
    ["a kind that stands elsewhere", principal({ _claim_names: { client_kind: "src1" } }), malformed("client_kind")],
    ["other claims elsewhere", principal({ _claim_names: { photo: "src1" } }), { groups: [] }],
    ["scopes that are a number", principal({ scope: 1 }), malformed("scope")],
    ["an unknown kind", principal({ client_kind: "admin" }), malformed("client_kind")],
    ["a kind that is a list", principal({ client_kind: ["person"] }), malformed("client_kind")],
    ["a login's time that is text", principal({ auth_time: "900" }), malformed("auth_time")],
    ["an actor that is text", principal({ act: "bob" }), malformed("act")],
    ["an actor that is null", principal({ act: null }), malformed("act")],
    ["an actor without a subject", principal({ act: { client_id: "bob" } }), malformed("act")],
    ["an actor with a bad subject", principal({ act: { sub: "b\n" } }), malformed("act")],
    ["an actor with a bad issuer", principal({ act: { sub: "b", iss: 1 } }), malformed("act")],
    ["a bad actor behind a good one", principal({ act: { sub: "b", act: 1 } }), malformed("act")],
    ["eleven actors", principal({ act: acting(11) }), malformed("act")],
    ["a client that is an object", principal({ azp: {} }), malformed("azp")],
    ["a client with a line break", principal({ client_id: "a\nb" }), malformed("client_id")],
    ["a client that is empty", principal({ cid: "" }, named({ client: "cid" })), malformed("cid")],
  ];
  for (const [name, actual, expected] of rows) t.match(actual, expected, name);
  t.end();
});

function acting(length: number): object | undefined {
  let act: object | undefined;
  for (let i = length - 1; i >= 0; i--) act = { sub: `${i}`, act };
  return act;
}

test("a principal cannot be changed, and shares what others have too", (t) => {
  const issuer = oidcIssuer("https://issuer.example");
  const [paths, pool] = [claimPaths(issuer.claims), new Pool()];
  const claims = () => JSON.parse(JSON.stringify({ ...GOOD, groups: ["g", "h"], deep: { a: [{ b: ["c"] }] } }));
  const [one, two] = [principalOf(claims(), issuer, paths, pool), principalOf(claims(), issuer, paths, pool)];
  if ("reason" in one || "reason" in two) return t.fail("no principal");
  t.equal(one.groups, two.groups, "one list in memory");
  t.equal(one.groups, one.claims.groups);
  t.ok(isFrozen(one), "frozen to the bottom");
  const other = principalOf({ ...claims(), groups: ["g\nh"] }, issuer, paths, pool);
  t.match(other, { groups: ["g\nh"] }, "and never mistaken for another");
  t.match(principalOf({ ...claims(), groups: ['g","h'] }, issuer, paths, pool), { groups: ['g","h'] });
  const many = Array.from({ length: 20_000 }, (_, i) => [`group ${i}`, "staff", `${i % 7}`].slice(i % 3));
  const read = many.map((groups) => principalOf({ ...claims(), sub: groups[0], groups }, issuer, paths, pool));
  t.strictSame(
    read.map((found) => "subject" in found && [found.subject, [...found.groups]]),
    many.map((groups) => [groups[0], groups]),
    "nor are any of many",
  );
  t.end();
});

function isFrozen(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isFrozen);
}

test("a token is good from nbf and iat less the tolerance to exp plus the tolerance, to the millisecond", (t) => {
  const expected = { audiences: ["api://orders"], clockTolerance: 1_500 };
  const rows: readonly [claims: Record<string, unknown>, now: number, reason: string | undefined][] = [
    [{ exp: 100 }, 101_499, undefined],
    [{ exp: 100 }, 101_500, "token-expired"],
    [{ exp: 100.25 }, 101_749, undefined],
    [{ exp: 100.25 }, 101_750, "token-expired"],
    [{ exp: 200, nbf: 100 }, 98_500, undefined],
    [{ exp: 200, nbf: 100 }, 98_499, "token-not-yet-valid"],
    [{ exp: 200, iat: 100 }, 98_500, undefined],
    [{ exp: 200, iat: 100 }, 98_499, "token-not-yet-valid"],
    [{ exp: 200, iat: 50, nbf: 100 }, 98_499, "token-not-yet-valid"],
    [{ exp: 200, iat: 100, nbf: 50 }, 98_499, "token-not-yet-valid"],
  ];
  for (const [claims, now, reason] of rows) {
    t.equal(
      faultOf({ aud: "api://orders", ...claims }, expected, now)?.reason,
      reason,
      `${JSON.stringify(claims)} at ${now}`,
    );
  }
  t.end();
});
