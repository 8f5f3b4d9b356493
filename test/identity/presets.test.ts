import { generateKeyPairSync, sign as signBytes } from "node:crypto";
import { type Test, test } from "tap";
import { PRESETS } from "../../agent/config/presets/presets.ts";
import { Unknown } from "../../policies/unknown.ts";
import { Files, oidcIssuersOf } from "../config/example.ts";
import { startIdentity } from "../support/identity.ts";
import SHAPES from "./shapes.json" with { type: "json" };

type Claims = Readonly<Record<string, unknown>>;
type Name = keyof typeof SHAPES;

const PAIRS = {
  RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ES384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
} as const;
type Algorithm = keyof typeof PAIRS;

const KEYS = JSON.stringify({
  keys: Object.entries(PAIRS).map(([kid, { publicKey }]) => ({ ...publicKey.export({ format: "jwk" }), kid })),
});

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token of a provider's shape, with the dates and the key of this test. */
function tokenOf({ header, payload }: { header: Claims; payload: Claims }, changes: Claims): string {
  const alg = header.alg as Algorithm;
  const now = Math.floor(Date.now() / 1000);
  const input = `${encoded({ ...header, kid: alg })}.${encoded({ ...payload, iat: now, exp: now + 300, ...changes })}`;
  const key = { key: PAIRS[alg].privateKey, dsaEncoding: "ieee-p1363" } as const;
  return `${input}.${signBytes(`sha${alg.slice(2)}`, Buffer.from(input), key).toString("base64url")}`;
}

/** An issuer of a preset, which says nothing itself but what is everybody's own. */
function judging(t: Test, name: Name, own: Claims) {
  const { preset } = SHAPES[name];
  const files = new Files(t.testdir());
  files.write("presets.json", KEYS);
  const section = { preset, keys: { file: "presets.json" }, ...own };
  const text = `listen: { spop: [127.0.0.1:9000] }\npolicies: .\nhaproxy: { bind: ["*:80"], scheme: http }\nissuers: `;
  const issuers = oidcIssuersOf(files.load(`${text}${JSON.stringify({ [preset]: section })}\n`));
  const { identity, time } = startIdentity(issuers);
  t.teardown(() => identity.close());
  const kind = issuers[0]?.credentials[0] ?? "bearer";
  return async (changes: Claims = {}) => {
    const bytes = Buffer.from(tokenOf(SHAPES[name], changes));
    return identity.verify({ kind, bytes, start: 0, end: bytes.length }, time.now);
  };
}

const ENTRA = {
  v1: "https://sts.windows.net/11111111-1111-1111-1111-111111111111/",
  v2: "https://login.microsoftonline.com/11111111-1111-1111-1111-111111111111/v2.0",
};
const AWS = "https://11111111-2222-3333-4444-555555555555.tokens.sts.global.api.aws";

/** What a configuration has to say, who the recorded token is then, and what a change of the token comes to. */
const ROWS: readonly (readonly [
  Name,
  own: Claims,
  principal: Claims,
  refused: readonly (readonly [string, Claims])[],
])[] = [
  [
    "okta",
    { issuer: "https://example.okta.com/oauth2/default", audiences: ["api://default"] },
    {
      subject: "user@example.com",
      kind: "person",
      groups: ["Everyone"],
      scopes: ["openid"],
      client: "0oa4dr9kzkykPrLhq0g7",
    },
    [
      ["issuer-unknown", { iss: "https://example.okta.com" }],
      ["claim-missing", { cid: undefined }],
    ],
  ],
  [
    "okta-client-credentials",
    { issuer: "https://example.okta.com/oauth2/default", audiences: ["api://default"] },
    { subject: "0oaService", kind: "workload", groups: [], scopes: ["orders"], client: "0oaService" },
    [],
  ],
  [
    "entra-v2",
    { issuer: ENTRA.v2, audiences: ["22222222-2222-2222-2222-222222222222"] },
    {
      subject: "44444444-4444-4444-4444-444444444444",
      kind: "person",
      groups: ["0760b6cf-170e-4a14-91b3-4b78e0739963"],
      scopes: ["Orders.Read", "Orders.Write"],
      client: "33333333-3333-3333-3333-333333333333",
    },
    [
      ["issuer-unknown", { iss: "https://login.microsoftonline.com/99999999-1111-1111-1111-111111111111/v2.0" }],
      ["audience-not-accepted", { aud: "00000003-0000-0000-c000-000000000000" }],
      ["claim-missing", { oid: undefined }],
    ],
  ],
  [
    "entra-v1",
    { issuer: [ENTRA.v2, ENTRA.v1], audiences: ["api://22222222-2222-2222-2222-222222222222"] },
    {
      subject: "44444444-4444-4444-4444-444444444444",
      groups: [],
      scopes: ["Orders.Read"],
      client: "33333333-3333-3333-3333-333333333333",
    },
    [["issuer-unknown", { iss: "https://sts.windows.net/11111111-1111-1111-1111-111111111111" }]],
  ],
  ["entra-overage", { issuer: ENTRA.v2, audiences: ["22222222-2222-2222-2222-222222222222"] }, { groups: Unknown }, []],
  [
    "entra-implicit-overage",
    { issuer: ENTRA.v2, audiences: ["22222222-2222-2222-2222-222222222222"] },
    { groups: Unknown },
    [],
  ],
  [
    "entra-app-only",
    { issuer: ENTRA.v2, audiences: ["22222222-2222-2222-2222-222222222222"] },
    { kind: "workload", groups: ["Orders.Read.All"], scopes: [] },
    [],
  ],
  [
    "google",
    { audiences: ["1234.apps.googleusercontent.com"], require: { hd: "example.com" } },
    { subject: "110169484474386276334", kind: "person", client: "1234.apps.googleusercontent.com" },
    [
      ["claim-missing", { hd: undefined }],
      ["claim-not-accepted", { hd: "evil.example", email: "a@example.com" }],
    ],
  ],
  [
    "google-other-spelling",
    { audiences: ["1234.apps.googleusercontent.com"] },
    { subject: "110169484474386276334", kind: "person" },
    [["issuer-unknown", { iss: "https://accounts.google.com/" }]],
  ],
  [
    "auth0",
    {
      issuer: "https://my-domain.auth0.com/",
      audiences: ["https://example.com/api"],
      claims: { groups: "https://example.com/roles" },
    },
    { subject: "auth0|123456", kind: "person", groups: ["admin"], scopes: ["read:orders"], client: "my_client_id" },
    [["audience-not-accepted", { aud: ["https://my-domain.auth0.com/userinfo"] }]],
  ],
  [
    "auth0-rfc9068",
    { issuer: "https://my-domain.auth0.com/", audiences: ["https://example.com/api"] },
    { subject: "auth0|123456", scopes: ["read:orders"], client: "my_client_id" },
    [["issuer-unknown", { iss: "https://my-domain.auth0.com" }]],
  ],
  [
    "keycloak",
    { issuer: "https://kc.example.com/realms/test", audiences: ["orders-api"] },
    {
      subject: "2d6baa03-7c5c-4d02-8f88-f2934fb32d0c",
      kind: "person",
      groups: ["offline_access", "default-roles-test"],
      scopes: ["email", "profile"],
      client: "ui-client",
    },
    [
      ["token-not-access", { typ: "ID" }],
      ["token-not-access", { typ: "Refresh" }],
      ["claim-not-accepted", { typ: "Serialized-ID" }],
      ["claim-missing", { typ: undefined }],
      ["claim-missing", { sub: undefined }],
      ["audience-not-accepted", { aud: "account" }],
    ],
  ],
  [
    "cognito",
    {
      issuer: "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_xxxxxxxxx",
      audiences: ["5bsjlins3936h9gvpi0c24ah5b"],
    },
    {
      subject: "f02e777c-489d-43c5-806d-2e6c06c9a355",
      kind: "person",
      groups: ["admins"],
      audiences: ["5bsjlins3936h9gvpi0c24ah5b"],
      client: "5bsjlins3936h9gvpi0c24ah5b",
    },
    [
      ["audience-not-accepted", { client_id: "another-client-of-the-pool" }],
      ["audience-not-accepted", { aud: "https://another.example/api" }],
      ["claim-missing", { client_id: undefined }],
      ["claim-missing", { token_use: undefined }],
    ],
  ],
  [
    "github-actions",
    { audiences: ["https://github.com/octo-org"] },
    { subject: "repo:octo-org/octo-repo:ref:refs/heads/main", kind: "workload" },
    [["issuer-unknown", { iss: "https://token.actions.githubusercontent.com/octo-org" }]],
  ],
  [
    "gitlab",
    { audiences: ["https://api.example.com"] },
    { subject: "project_path:group/sub/proj:ref_type:branch:ref:main", kind: "workload" },
    [["issuer-unknown", { iss: "https://gitlab.example.com" }]],
  ],
  [
    "kubernetes",
    { issuer: "https://kubernetes.default.svc.cluster.local", audiences: ["ingress.example.com"] },
    { subject: "system:serviceaccount:default:my-serviceaccount", kind: "workload", groups: ["default"] },
    [
      // A legacy token.
      ["claim-missing", { aud: undefined }],
      ["claim-missing", { exp: undefined }],
      ["issuer-unknown", { iss: "kubernetes/serviceaccount" }],
    ],
  ],
  [
    "spiffe-jwt",
    { issuer: ["spiffe://example.org", "https://oidc.example.org"], audiences: ["ingress"] },
    { subject: "spiffe://example.org/ns/default/sa/web", kind: "workload" },
    [
      ["claim-missing", { sub: "spiffe://other.example/ns/default/sa/web" }],
      ["claim-not-accepted", { iss: "https://oidc.example.org", sub: "spiffe://other.example/ns/default/sa/web" }],
      ["claim-missing", { aud: undefined }],
      ["claim-missing", { exp: undefined }],
    ],
  ],
  [
    "dex",
    { issuer: "https://dex.example.com", audiences: ["example-app"] },
    { subject: "CgVhbGljZRIEbGRhcA", groups: ["dev"], client: "example-app" },
    [["audience-not-accepted", { aud: "another-app" }]],
  ],
  [
    "zitadel",
    { issuer: "https://zitadel.example.com", audiences: ["328859038097867422"] },
    { subject: "383942323576245195", groups: ["user"], client: "328859038248927902" },
    [["audience-not-accepted", { aud: ["328859038248927902"] }]],
  ],
  [
    "authentik",
    { issuer: "https://authentik.example.com/application/o/app/", audiences: ["client_id"] },
    { subject: "sha256 of user id (default mode)", groups: ["g"], client: "client_id" },
    [["issuer-unknown", { iss: "https://authentik.example.com/application/o/app" }]],
  ],
  [
    "cloudflare-access",
    { issuer: "https://team.cloudflareaccess.com", audiences: ["32-byte hex AUD tag"] },
    { subject: "uuid", kind: "person" },
    [
      ["audience-not-accepted", { aud: ["another application"] }],
      ["claim-not-accepted", { type: "org" }],
    ],
  ],
  [
    "cloudflare-access-service",
    { issuer: "https://team.cloudflareaccess.com", audiences: ["32-byte hex AUD tag"] },
    { subject: "clientid.access", kind: "workload", client: "clientid.access" },
    [["claim-malformed", { common_name: undefined }]],
  ],
  [
    "google-iap",
    { audiences: ["/projects/123/global/backendServices/456"] },
    { subject: "accounts.google.com:110169484474386276334", kind: "person" },
    [["audience-not-accepted", { aud: "/projects/666/global/backendServices/456" }]],
  ],
  [
    "aws-federation",
    { issuer: AWS, audiences: ["https://api.example.com"] },
    { subject: "arn:aws:iam::123456789012:role/DataProcessingRole", kind: "workload" },
    [["claim-missing", { "https://sts.amazonaws.com/": undefined }]],
  ],
  [
    "aws-federation-origin",
    { issuer: AWS, audiences: ["https://api.example.com"] },
    { subject: "arn:aws:iam::123456789012:role/DataProcessingRole", scopes: ["orders:read", "orders:write"] },
    [],
  ],
];

test("a token as each provider makes them is who its preset says, and another one is nobody", async (t) => {
  for (const [name, own, principal, refused] of ROWS) {
    await t.test(name, async (t) => {
      const verify = judging(t, name, own);
      const found = await verify();
      t.match(found, { principal }, JSON.stringify(found));
      for (const [reason, changes] of refused) {
        t.match(await verify(changes), { principal: undefined, reason }, JSON.stringify(changes));
      }
    });
  }
  t.strictSame(
    new Set(Object.values(SHAPES).map(({ preset }) => preset)),
    new Set(Object.keys(PRESETS)),
    "each preset",
  );
});

test("an ID token of Cognito is refused, whatever its audience", async (t) => {
  const verify = judging(t, "cognito-id", {
    issuer: "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_xxxxxxxxx",
    audiences: ["5bsjlins3936h9gvpi0c24ah5b"],
  });
  t.match(await verify(), { reason: "token-not-access" });
  t.match(await verify({ token_use: "access" }), { principal: { subject: /./ } }, "it is that alone");
});

test("what a preset says can be said otherwise, claims, keys and requirements one by one", (t) => {
  const files = new Files(t.testdir());
  files.write("presets.json", KEYS);
  const head = 'listen: { spop: [127.0.0.1:9000] }\npolicies: .\nhaproxy: { bind: ["*:80"], scheme: http }\n';
  const read = (own: Claims) => oidcIssuersOf(files.load(`${head}issuers: ${JSON.stringify({ a: own })}\n`))[0];
  const keycloak = { preset: "keycloak", issuer: "https://kc.example/realms/a", audiences: ["a"] };
  const preset = read(keycloak);
  t.match(preset, {
    type: "oidc",
    require: [{ path: "typ", wanted: ["Bearer", "DPoP"] }],
    kindRules: [{ kind: "workload" }],
  });
  t.strictSame(read({ ...keycloak, claims: { subject: "uid" } })?.claims, { ...preset?.claims, subject: "uid" });
  t.strictSame(read({ ...keycloak, require: { typ: "DPoP", acr: "1" } })?.require, [
    { path: "typ", wanted: "DPoP" },
    { path: "acr", wanted: "1" },
  ]);
  t.match(read({ ...keycloak, kind: "agent", algorithms: ["ES256"] }), {
    kind: "agent",
    kindRules: [],
    algorithms: ["ES256"],
  });
  const iap = { preset: "google-iap", audiences: ["a"] };
  const url = "https://www.gstatic.com/iap/verify/public_key-jwk";
  t.match(read({ ...iap, keys: { refresh: "1m" } })?.keys, { source: { url }, refresh: 60_000 });
  t.match(read({ ...iap, keys: { file: "presets.json" } })?.keys.source, { document: /kid/ });
  t.strictSame(read({ ...iap, discovery: "https://a.example/d" })?.keys.source, { discovery: "https://a.example/d" });
  t.match(read(iap), { hops: { "x-goog-iap-jwt-assertion": ["35.191.0.0/16", "130.211.0.0/22"] } });
  t.strictSame(read({ ...iap, credentials: ["authorization"] })?.credentials, ["bearer"]);
  const cloudflare = { preset: "cloudflare-access", issuer: "https://team.cloudflareaccess.com", audiences: ["a"] };
  t.strictSame(read(cloudflare)?.keys.source, { url: "https://team.cloudflareaccess.com/cdn-cgi/access/certs" });
  const mine = read({ preset: "google", audiences: ["a"], issuer: "https://accounts.google.com" });
  t.strictSame([mine?.issuer, mine?.aliases], ["https://accounts.google.com", undefined]);
  t.end();
});

test("an issuer that is not called as its preset's provider calls them is a fault", (t) => {
  const files = new Files(t.testdir());
  files.write("presets.json", KEYS);
  const head = 'listen: { spop: [127.0.0.1:9000] }\npolicies: .\nhaproxy: { bind: ["*:80"], scheme: http }\n';
  for (const [preset, issuer, such] of [
    ["okta", "https://example.okta.com", "https://example.okta.com/oauth2/default"],
    ["okta", "https://example.okta.com/oauth2/default/", "https://example.okta.com/oauth2/default"],
    ["auth0", "https://example.auth0.com", "https://TENANT.auth0.com/"],
    [
      "entra",
      "https://sts.windows.net/11111111-1111-1111-1111-111111111111",
      "https://login.microsoftonline.com/TENANT/v2.0",
    ],
    ["keycloak", "https://kc.example/auth", "https://keycloak.example.com/realms/REALM"],
    ["spiffe-jwt", "https://example.org", "spiffe://example.org"],
    ["cloudflare-access", "https://team.cloudflareaccess.com/", "https://TEAM.cloudflareaccess.com"],
    ["cloudflare-access", "https://team.example.com", "https://TEAM.cloudflareaccess.com"],
    ["google", "https://accounts.example.com", "https://accounts.google.com"],
    ["google-iap", "https://cloud.example.com/iap", "https://cloud.google.com/iap"],
  ] as const) {
    const own = {
      preset,
      issuer,
      audiences: ["a"],
      ...(preset === "spiffe-jwt" && { keys: { file: "presets.json" } }),
    };
    const faults = files.faults(`${head}issuers: ${JSON.stringify({ a: own })}\n`);
    t.strictSame(
      faults.map((fault) => fault.replace(/^\d+:\d+: /, "")),
      [`the text ${JSON.stringify(issuer)}; as the preset ${preset} has it, such as ${such}`],
    );
  }
  const [missing] = files.faults(`${head}issuers: { a: { preset: okta, audiences: [a] } }\n`);
  t.match(missing, /no "issuer" here/);
  const [other] = files.faults(`${head}issuers: { a: { preset: okta, type: aws-iam } }\n`);
  t.ok(other, "a preset of another type");
  t.end();
});
