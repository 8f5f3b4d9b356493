import { test } from "tap";
import { expectationsOf, faultOf, malformed, missing } from "../../agent/identity/claims/claims.ts";
import { Pool } from "../../agent/identity/claims/pool.ts";
import { claimPaths, principalOf } from "../../agent/identity/claims/principal.ts";
import type { OidcIssuer } from "../../agent/identity/oidc/section.ts";
import { Unknown } from "../../policies/unknown.ts";
import { oidcIssuer } from "../support/identity.ts";

const GOOD = { iss: "https://issuer.example", sub: "alice", aud: "api://orders", exp: 2000, iat: 1000 };

function principal(claims: Record<string, unknown>, changes: Partial<OidcIssuer> = {}) {
  const issuer = oidcIssuer("https://issuer.example", changes);
  // As a token would bring them: a copy, by way of JSON.
  return principalOf(JSON.parse(JSON.stringify({ ...GOOD, ...claims })), issuer, claimPaths(issuer), new Pool());
}

const named = (names: Partial<OidcIssuer["claims"]>) => ({ claims: { ...oidcIssuer("").claims, ...names } });

const FIELDS = ["kind", "groups", "scopes", "client", "actor", "authenticatedAt"] as const;
const FIRST = { groups: { first: ["groups", "roles"] } };
const ZITADEL = { groups: { keysOf: "urn:zitadel:iam:org:project:roles" } };

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
  const rows: readonly [name: string, actual: unknown, expected: object][] = [
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
    ["a path through null ends", principal({ a: null }, named({ groups: "a.length" })), { groups: [] }],
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
    ["a subject that is null", principal({ sub: null }), missing("sub")],
    ["a subject that stands elsewhere", principal({ sub: undefined, _claim_names: { sub: "src1" } }), malformed("sub")],
    ["a subject of 1,025 characters", principal({ sub: "s".repeat(1025) }), malformed("sub")],
    ["a subject with a line break", principal({ sub: "alice\r\nx-auth-roles: admin" }), malformed("sub")],
    ["a subject with NUL", principal({ sub: "alice\0" }), malformed("sub")],
    ["a subject with a C1 control", principal({ sub: "alice\u0085" }), malformed("sub")],
    ["groups that are null", principal({ groups: null }), { groups: [] }],
    ["groups that hold null", principal({ groups: ["a", null] }), { groups: ["a"] }],
    ["an actor that is null", principal({ act: null }), { actor: [] }],
    ["an actor's actor that is null", principal({ act: { sub: "b", act: null } }), { actor: [{ subject: "b" }] }],
    ["a kind that is null", principal({ client_kind: null }, { kind: "workload" }), { kind: "workload" }],
    ["a login's time that is null", principal({ auth_time: null }), { authenticatedAt: 1_000_000 }],
    ["other claims elsewhere", principal({ _claim_names: { photo: "src1" } }), { groups: [] }],
    ["no groups, as Entra says it", principal({ hasgroups: false }), { groups: [] }],
    ["a jti that is a number", principal({ jti: 7 }), { subject: "alice" }],

    ["groups of the first path that is there", principal({ roles: ["r"] }, named(FIRST)), { groups: ["r"] }],
    ["and of the one before it", principal({ groups: ["g"], roles: ["r"] }, named(FIRST)), { groups: ["g"] }],
    ["an empty list is there", principal({ groups: [], roles: ["r"] }, named(FIRST)), { groups: [] }],
    ["and null is not", principal({ groups: null, roles: ["r"] }, named(FIRST)), { groups: ["r"] }],
    [
      "a path of names with dots",
      principal(
        { resource_access: { "my.app": { roles: ["r"] } } },
        named({ groups: ["resource_access", "my.app", "roles"] }),
      ),
      { groups: ["r"] },
    ],
    [
      "the keys of a mapping, as Zitadel writes roles",
      principal({ "urn:zitadel:iam:org:project:roles": { admin: { 1: "o" }, off: false, no: null } }, named(ZITADEL)),
      { groups: ["admin"] },
    ],
    ["no such mapping", principal({}, named(ZITADEL)), { groups: [] }],
    ["bound to a key", principal({ cnf: { jkt: "x" } }), { bound: "dpop" }],
    ["bound to a certificate", principal({ cnf: { "x5t#S256": "x" } }), { bound: "certificate" }],
    ["bound to both", principal({ cnf: { jkt: "x", "x5t#S256": "x" } }), { bound: "dpop+certificate" }],
  ];
  for (const [name, actual, expected] of rows) {
    t.match(actual, expected, name);
    for (const [key, value] of Object.entries(expected)) {
      // A list that has more would match, too.
      if (Array.isArray(value)) t.equal((actual as Record<string, unknown[]>)[key]?.length, value.length, name);
    }
  }
  t.end();
});

test("what cannot be read is unknown, says why, and refuses no token", (t) => {
  const dotted = { resource_access: { "my.app": { roles: ["r"] } } };
  const odd = (type: string, expected: string) => `${type} that cannot be read; expected ${expected}`;
  const away = "the issuer keeps it elsewhere";
  const rows: readonly (readonly [(typeof FIELDS)[number], Record<string, unknown>, found: string, Names?])[] = [
    ["groups", { groups: { admins: true } }, odd("a mapping", "texts")],
    ["groups", { groups: 1 }, odd("a number", "texts")],
    ["groups", { groups: true }, odd("a boolean", "texts")],
    ["groups", { groups: ["a", 1] }, odd("a list", "texts")],
    ["groups", { groups: [["admins"]] }, odd("a list", "texts")],
    ["groups", { _claim_names: { groups: "src1" } }, away],
    ["groups", { groups: null, _claim_names: { groups: "src1" } }, away],
    ["groups", { _claim_names: ["groups"] }, away],
    ["groups", { hasgroups: true }, away],
    ["groups", { hasgroups: "true" }, away],
    ["groups", { realm_access: "x" }, "a text where a mapping with roles has to be", { groups: "realm_access.roles" }],
    [
      "groups",
      { realm_access: ["x"] },
      "a list where a mapping with roles has to be",
      { groups: "realm_access.roles" },
    ],
    ["groups", { _claim_names: { realm_access: "s" } }, away, { groups: "realm_access.roles" }],
    [
      "groups",
      dotted,
      'the token has "my.app", one name; write the path as a list of names',
      { groups: "resource_access.my.app.roles" },
    ],
    ["groups", { "a.b": ["g"] }, 'the token has "a.b", one name; write the path as a list of names', { groups: "a.b" }],
    [
      "groups",
      { "https://sts.amazonaws.com/": { aws_account: "1" } },
      'the token has "https://sts.amazonaws.com/", one name; write the path as a list of names',
      { groups: "https://sts.amazonaws.com/.aws_account" },
    ],
    ["groups", { urn: ["admin"] }, "a list that cannot be read; expected a mapping", { groups: { keysOf: "urn" } }],
    ["groups", { roles: ["r"], _claim_names: { groups: "s" } }, away, FIRST],
    ["scopes", { scope: 1 }, odd("a number", "texts")],
    ["kind", { client_kind: "admin" }, odd("a text", "`person`, `workload` or `agent`")],
    ["kind", { client_kind: ["person"] }, odd("a list", "`person`, `workload` or `agent`")],
    ["kind", { _claim_names: { client_kind: "src1" } }, away],
    ["client", { azp: {} }, odd("a mapping", "a text")],
    ["client", { client_id: "a\nb" }, odd("a text", "a text")],
    ["client", { cid: 7 }, odd("a number", "a text"), { client: "cid" }],
    ["client", { _claim_names: { azp: "src1" } }, away],
    ["authenticatedAt", { auth_time: "2026-11-25T12:00:00Z" }, odd("a text", "a date in seconds")],
    ["authenticatedAt", { auth_time: 1e300 }, odd("a number", "a date in seconds")],
    ["authenticatedAt", { _claim_names: { auth_time: "src1" } }, away],
    ["actor", { _claim_names: { act: "src1" } }, away],
  ];
  for (const [field, claims, found, names] of rows) {
    const read = principal(claims, names === undefined ? {} : named(names));
    const about = JSON.stringify(claims);
    if ("reason" in read) t.fail(`${about} is refused: ${read.reason}`);
    else {
      const value = read[field];
      t.ok(value instanceof Unknown && value.found.endsWith(found), `${about}: ${field}`);
      t.equal(read.subject, "alice");
      // Which claims are elsewhere cannot be told of a list: all that are absent may be.
      const unknown = FIELDS.filter((each) => read[each] instanceof Unknown);
      t.strictSame(unknown, Array.isArray(claims._claim_names) ? FIELDS : [field], `${about}: and nothing else`);
    }
  }
  t.end();
});

test("a token whose actors cannot be read proves nobody: somebody acts, and nobody can tell who", (t) => {
  const odd = [
    "bob",
    7,
    true,
    [],
    [{ sub: "b" }],
    {},
    { client_id: "bob" },
    { sub: "" },
    { sub: "b\n" },
    { sub: ["b"] },
  ];
  const issuers = [1, "", "https://a.example\n", {}].map((iss) => ({ sub: "b", iss }));
  const nested = [1, "c", [], {}, { sub: 1 }].map((act) => ({ sub: "b", act }));
  for (const act of [...odd, ...issuers, ...nested, acting(11)]) {
    t.strictSame(principal({ act }), { reason: "actor-malformed", claim: "act" }, JSON.stringify(act));
  }
  const might = principal({ may_act: { sub: "bot" } });
  t.match(might, { subject: "alice", actor: [] }, "who may act does not");
  t.match(principal({ may_act: 7 }), { subject: "alice", actor: [] });
  t.end();
});

test("the kind of who acts is told by its own claims, as the principal's is", (t) => {
  const claimed = named({ kind: "client_kind" });
  const kinds = (act: object, changes: Partial<OidcIssuer>) => {
    const read = principal({ client_kind: "person", act }, changes);
    return "reason" in read || read.actor instanceof Unknown ? read : read.actor.map(({ kind }) => kind);
  };
  t.strictSame(kinds({ sub: "b", client_kind: "agent", act: { sub: "c" } }, claimed), ["agent", undefined]);
  const [odd] = kinds({ sub: "b", client_kind: "robot" }, claimed) as unknown[];
  t.ok(odd instanceof Unknown, "one that cannot be read is unknown");
  const kindRules = [{ kind: "agent", claims: [{ path: "sub", wanted: [{ prefix: "bot-" }] }] }] as const;
  t.strictSame(kinds({ sub: "bot-1", act: { sub: "bob" } }, { ...named({ kind: undefined }), kindRules }), [
    "agent",
    undefined,
  ]);
  t.end();
});

type Names = Partial<OidcIssuer["claims"]>;

function acting(length: number): object | undefined {
  let act: object | undefined;
  for (let i = length - 1; i >= 0; i--) act = { sub: `${i}`, act };
  return act;
}

test("a principal cannot be changed, and shares what others have too", (t) => {
  const issuer = oidcIssuer("https://issuer.example");
  const [paths, pool] = [claimPaths(issuer), new Pool()];
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
    read.map((found) => "subject" in found && [found.subject, found.groups]),
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
  const expected = expectationsOf(oidcIssuer("https://issuer.example", { clockTolerance: 1_500 }));
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

test("a kind by the form of the token", (t) => {
  const rules: Partial<OidcIssuer> = {
    ...named({ kind: undefined }),
    kindRules: [
      { kind: "workload", claims: [{ path: "idtyp", wanted: "app" }] },
      { kind: "workload", claims: [{ path: "preferred_username", wanted: { prefix: "service-account-" } }] },
      {
        kind: "workload",
        claims: [
          { path: "cid", wanted: { present: true } },
          { path: "uid", wanted: { present: false } },
        ],
      },
      { kind: "agent", claims: [{ path: "act.bot", wanted: true }] },
    ],
  };
  const kind = (claims: Record<string, unknown>) => {
    const read = principal(claims, rules);
    return "reason" in read ? read.reason : read.kind instanceof Unknown ? read.kind.text : read.kind;
  };
  const elsewhere = { cid: "c", _claim_names: { uid: "src1" } };
  for (const [claims, expected] of [
    [{}, "person"],
    [{ idtyp: "app" }, "workload"],
    [{ idtyp: "user" }, "person"],
    [{ preferred_username: "service-account-billing" }, "workload"],
    [{ preferred_username: "service-accounting" }, "person"],
    [{ cid: "c", uid: "u" }, "person"],
    [{ cid: "c" }, "workload"],
    [{ cid: "c", uid: null }, "workload"],
    [{ act: { sub: "x", bot: true } }, "agent"],
    [{ cid: "c", idtyp: "app" }, "workload"],
    [{ cid: "c", act: { sub: "x", bot: true } }, "the claim kind: the claims of both workload and agent"],
    [{ act: { sub: "x", bot: "true" } }, "the claim act.bot: a text, which is compared with a boolean"],
    [{ idtyp: ["app"] }, "workload"],
    [{ idtyp: 5 }, "the claim idtyp: a number, which is compared with a text"],
    [elsewhere, "the claim uid: the issuer keeps it elsewhere"],
  ] as const) {
    t.equal(kind(claims), expected, JSON.stringify(claims));
  }
  t.end();
});
