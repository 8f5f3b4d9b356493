import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import type { Revocation } from "../../agent/config/files/revoked.ts";
import { loadConfig } from "../../agent/config/load-config.ts";
import type { Evidence } from "../../agent/identity/issuer/evidence.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { startProvider } from "../../demo/provider.ts";
import { faultText } from "../../policies/fault.ts";
import type { Actor } from "../../policies/principal.ts";
import { SHORTEST } from "../config/example.ts";
import { newestHaproxy } from "../support/haproxy.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";
import { principalFrom } from "../support/policies.ts";
import { stage } from "../support/stage.ts";
import { TOY } from "./toy/toy.ts";

const ANY = { issuer: "desk", issuedBefore: undefined };
/** What is known of somebody by whatever a type tells. */
const WHO = {
  subject: "alice",
  claims: { jti: "t1", session_name: "s1", serial: "0a1b", iat: 1_000 },
};

/** What is taken back, and whether that is WHO, proven by the key k1. */
const CASES: readonly (readonly [name: string, revocation: Omit<Revocation, "issuer">, revoked: boolean])[] = [
  ["the subject", { ...ANY, by: { subject: "alice" } }, true],
  ["another subject", { ...ANY, by: { subject: "Alice" } }, false],
  ["the token", { ...ANY, by: { token_id: "t1" } }, true],
  ["another token", { ...ANY, by: { token_id: "t" } }, false],
  ["the key", { ...ANY, by: { key_id: "k1" } }, true],
  ["another key", { ...ANY, by: { key_id: "k2" } }, false],
  ["the session", { ...ANY, by: { role_session: "s1" } }, true],
  ["the certificate", { ...ANY, by: { serial: "a1b" } }, true],
  ["another certificate", { ...ANY, by: { serial: "a1b0" } }, false],
  ["the subject's token", { ...ANY, by: { subject: "alice", token_id: "t1" } }, true],
  ["another subject's token", { ...ANY, by: { subject: "bob", token_id: "t1" } }, false],
  ["the subject's other token", { ...ANY, by: { subject: "alice", token_id: "t2" } }, false],
  ["the subject, until later", { ...ANY, by: { subject: "alice" }, issuedBefore: 1_000_001 }, true],
  ["the subject, until just then", { ...ANY, by: { subject: "alice" }, issuedBefore: 1_000_000 }, false],
  [
    "the subject of another issuer",
    { issuedBefore: undefined, by: { subject: "alice" }, issuer: "other" } as never,
    false,
  ],
];

/** Who acts, and whether taking back `bot` of the issuer desk takes this token of alice's back. */
const ACTING: readonly (readonly [name: string, actor: readonly Actor[], revoked: boolean])[] = [
  ["nobody", [], false],
  ["the one that was taken back", [{ subject: "bot", issuer: undefined }], true],
  ["the same, by its issuer's name", [{ subject: "bot", issuer: "toy_" }], true],
  ["one of the same name, of another issuer", [{ subject: "bot", issuer: "https://other.example" }], false],
  ["another one", [{ subject: "Bot", issuer: undefined }], false],
  [
    "another one, and it did before: history decides nothing",
    [
      { subject: "front", issuer: undefined },
      { subject: "bot", issuer: undefined },
    ],
    false,
  ],
];

test("whoever acts can be taken back as a subject can", async (t) => {
  for (const [name, actor, revoked] of ACTING) {
    const { judge, identity } = setUp([{ ...ANY, by: { subject: "bot" } }], undefined, { iat: 1_000 }, actor);
    t.equal(await judge("toy_1"), revoked ? "credential-revoked" : "proven", name);
    identity.close();
  }
  const bot = [{ subject: "bot", issuer: undefined }];
  for (const [revocation, expected] of [
    [{ ...ANY, by: { subject: "bot" }, issuedBefore: 1_000_001 }, "credential-revoked"],
    [{ ...ANY, by: { subject: "bot" }, issuedBefore: 1_000_000 }, "proven"],
    [{ ...ANY, by: { subject: "bot", token_id: "t1" } }, "proven"],
  ] as const) {
    const { judge, identity } = setUp([revocation], undefined, WHO.claims, bot);
    t.equal(await judge("toy_1"), expected, JSON.stringify(revocation));
    identity.close();
  }
});

function setUp(
  revoked: readonly Revocation[],
  previous?: ReturnType<typeof startIdentity>,
  claims: object = WHO.claims,
  actor: readonly Actor[] = [],
) {
  let verified = 0;
  const basis = { until: Number.POSITIVE_INFINITY, identities: 0, kid: "k1" };
  const create: typeof TOY.create = (config, world) =>
    Object.assign(TOY.create(config, world), {
      verify: (_: Evidence) => {
        verified++;
        return {
          principal: principalFrom({ ...WHO, actor, claims: { ...claims }, issuer: "desk", expiresAt: 9e15 }),
          basis,
        };
      },
    });
  const issuer = {
    name: "desk",
    type: "toy",
    issuer: "toy_",
    credentials: ["bearer"],
    audiences: ["a"],
    kinds: undefined,
    tokens: {},
    desk: undefined,
  } as const;
  const started = startIdentity([issuer], {
    types: { toy: { ...TOY, create } },
    revoked,
    ...(previous === undefined ? {} : { previous: previous.identity, time: previous.time }),
  });
  return { ...started, basis, verified: () => verified };
}

test("what was taken back proves nobody, known before or not, and nothing else is touched", async (t) => {
  for (const [name, revocation, revoked] of CASES) {
    const list = [
      { issuer: "other", by: { subject: "x" }, issuedBefore: undefined },
      { issuer: "desk", ...revocation },
    ];
    const expected = revoked ? "credential-revoked" : "proven";
    const fresh = setUp(list);
    t.equal(await fresh.judge("toy_1"), expected, name);
    t.equal(await fresh.judge("toy_1"), expected, `${name}, again`);
    t.equal(fresh.verified(), 1, "and it is verified once");

    const before = setUp([]);
    t.equal(await before.judge("toy_1"), "proven");
    const offered = { kind: "bearer", bytes: Buffer.from("toy_1"), start: 0, end: 5 } as const;
    before.identity.verify(offered, before.time.now);
    const after = setUp(list, before);
    t.equal(await after.judge("toy_1"), expected, `${name}, known before`);
    t.equal(after.identity.verify(offered, after.time.now) instanceof Promise, false);
    t.equal(
      (after.identity.verify(offered, after.time.now) as { reason?: string }).reason,
      revoked ? expected : undefined,
    );
    t.equal(after.verified(), 0, "the issuer is the one of before");
    t.equal(before.basis.identities, revoked ? 0 : 1, "and what was taken back is not kept");
    const again = setUp([], after);
    t.equal(await again.judge("toy_1"), "proven", "what is given back counts again");
    for (const each of [fresh, before, after, again]) each.identity.close();
  }
});

test("what does not say when it was issued is taken back with all before any time", async (t) => {
  for (const claims of [{}, { iat: "1000" }]) {
    const { judge, identity } = setUp(
      [{ issuer: "desk", by: { subject: "alice" }, issuedBefore: 1 }],
      undefined,
      claims,
    );
    t.equal(await judge("toy_1"), "credential-revoked");
    identity.close();
  }
});

test("a token and the key it is signed with can be taken back", async (t) => {
  const provider = await startProvider({});
  t.teardown(() => provider.close());
  const exp = Math.floor(Date.now() / 1000) + 600;
  const token = await provider.sign({ iss: provider.issuer, aud: "api://orders", sub: "alice", exp, jti: "t1" });
  for (const [by, expected] of [
    [{ token_id: "t1" }, "credential-revoked"],
    [{ key_id: provider.keys[0]?.kid ?? "" }, "credential-revoked"],
    [{ key_id: "another" }, "proven"],
  ] as const) {
    const setup = { revoked: [{ issuer: "provider", by, issuedBefore: undefined }] };
    const { identity, judge } = startIdentity([oidcIssuer(provider.issuer)], setup);
    await identity.ready();
    t.equal(await judge(token), expected, JSON.stringify(by));
    identity.close();
  }
});

test("each mistake in the file of revocations is told where it is", (t) => {
  const folder = t.testdir();
  const text = SHORTEST.replace(
    "okta:",
    "machines: { type: api-key, prefix: acme_, file: keys.yaml, audiences: [a] }, okta:",
  );
  writeFileSync(join(folder, "countersign.yaml"), `${text}revoked: revoked.yaml\n`);
  writeFileSync(join(folder, "keys.yaml"), "keys: {}\n");
  const load = (revoked: string | undefined) => {
    if (revoked !== undefined) writeFileSync(join(folder, "revoked.yaml"), revoked);
    return loadConfig(join(folder, "countersign.yaml"), {}, ISSUER_TYPES);
  };
  const faults = (revoked: string | undefined) => {
    const loaded = load(revoked);
    return "faults" in loaded ? loaded.faults.map((fault) => faultText(fault).replaceAll(`${folder}/`, "")) : [];
  };
  t.match(faults(undefined), [
    /^countersign.yaml:5:10: the text "revoked.yaml" names a file that cannot be read: there is/,
  ]);
  const loaded = load(`revoked:
  - { issuer: okta, subject: alice, note: left }
  - { issuer: okta, key_id: k1, issued_before: 2026-11-28T12:00:00Z }
  - { issuer: machines, key_id: Kx3fQ9aZ }
  - { issuer: okta, subject: { equals: "ext-*" } }
`);
  t.match("config" in loaded && loaded.config.revoked, [
    { issuer: "okta", by: { subject: "alice" } },
    { issuer: "okta", by: { key_id: "k1" }, issuedBefore: Date.UTC(2026, 10, 28, 12) },
    { issuer: "machines", by: { key_id: "Kx3fQ9aZ" } },
    { issuer: "okta", by: { subject: "ext-*" } },
  ]);
  t.ok(loaded.files.includes(join(folder, "revoked.yaml")), "and it is watched");
  t.strictSame(faults("revoked: []\n"), []);
  for (const [written, expected] of [
    ["", "revoked.yaml:1:1: nothing; `revoked: []`, a list"],
    ["{}", 'revoked.yaml:1:1: no "revoked" here; a list of what was taken back'],
    ["revoked:", "revoked.yaml:1:1: nothing; a list of what was taken back"],
    ["revoked: [", "revoked.yaml:1:10: a list or mapping without its"],
    ["revoked: [{ issuer: okta }]", "revoked.yaml:1:11: a mapping; one of subject, token_id,"],
    ["revoked: [{ issuer: okta, note: x }]", "revoked.yaml:1:11: a mapping; one of subject, token_id,"],
    ["revoked: [{ subject: a }]", 'revoked.yaml:1:11: no "issuer" here; the name of an issuer'],
    [
      "revoked: [{ issuer: oktb, subject: a }]",
      'revoked.yaml:1:21: the text "oktb"; an issuer of the configuration: machines, okta',
    ],
    ["revoked: [{ issuer: okta, subjct: a }]", 'revoked.yaml:1:27: unknown key "subjct"; did you mean "subject"?'],
    ["revoked: [{ issuer: okta, token_id: 7 }]", "revoked.yaml:1:37: the number 7; the `jti` of a token, a text"],
    [
      "revoked: [{ issuer: okta, serial: 0a }]",
      'revoked.yaml:1:35: the text "0a"; subject, token_id, key_id: credentials of this issuer have no serial',
    ],
    [
      "revoked: [{ issuer: machines, token_id: a }]",
      'revoked.yaml:1:41: the text "a"; subject, key_id: credentials of this issuer have no token_id',
    ],
    ...["subject", "token_id", "key_id"].map((key) => [
      `revoked: [{ issuer: okta, ${key}: "ext-*" }]`,
      `revoked.yaml:1:${29 + key.length}: \`*\`, which has no meaning in a name; the whole ${key}, as credentials have it: each in an entry of its own; \`{ equals: "ext-*" }\` if it is really called so`,
    ]),
    [
      "revoked: [{ issuer: okta, subject: “a” }]",
      'revoked.yaml:1:36: `“`, which to YAML is no quote, at the beginning of a name; "a"; `{ equals: "“a”" }` if it is really called so',
    ],
    [
      'revoked: [{ issuer: okta, token_id: "a " }]',
      'revoked.yaml:1:37: a blank or line end at the end of a name; "a"; `{ equals: "a " }` if it is really called so',
    ],
    ["revoked: [{ issuer: okta, subject: {} }]", 'revoked.yaml:1:27: no "equals" here; the whole text'],
    ["revoked: [{ issuer: okta, subject: a, issued_before: 2026-13-01T00:00:00Z }]", "revoked.yaml:1:54: the text"],
    [
      "revoked: [{ issuer: okta, subject: a, issued_before: now }]",
      'revoked.yaml:1:54: the text "now"; only those issued before',
    ],
  ]) {
    const [found, ...others] = faults(`${written}\n`);
    t.ok(found?.startsWith(expected ?? "-"), `${found}\n${expected}`);
    t.strictSame(others, []);
  }
  t.end();
});

test("what is written into the file counts at once, and so does what is taken out", async (t) => {
  const { folder, served, untilAllowed, refused, ask, provider } = await stage(
    t,
    newestHaproxy(),
    undefined,
    { bob: { kind: "person" } },
    "revoked: revoked.yaml\n",
    { "revoked.yaml": "revoked: []\n" },
  );
  await untilAllowed();
  const bob = await provider.token("bob");
  const write = async (text: string, said: string, count: number) => {
    writeFileSync(join(folder, "revoked.yaml"), text);
    await served.said(said, count);
  };
  await write("revoked: [{ issuer: idp, subject: alice }]\n", "reloaded", 1);
  await refused(t, 401, "credential-revoked");
  t.equal((await ask({ token: bob })).status, 200, "nobody else is touched");
  await write("revoked: [{ issuer: nobody, subject: bob }]\n", "reload failed", 1);
  await refused(t, 401, "credential-revoked");
  t.equal((await ask({ token: bob })).status, 200, "a file with a fault changes nothing");
  await write("revoked: [{ issuer: idp, subject: bob }]\n", "reloaded", 2);
  t.equal((await ask()).status, 200, "and what was given back counts again");
  await refused(t, 401, "credential-revoked", { token: bob });
});
