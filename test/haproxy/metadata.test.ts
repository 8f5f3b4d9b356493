import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { challengeOf } from "../../agent/answer/challenge.ts";
import { type Reason, refusal } from "../../policies/decision.ts";
import type { PolicyIssuer } from "../../policies/judging/binding.ts";
import { DPOP } from "../support/agent.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { decide, ENVIRONMENT, findingsOf, policiesFrom, principalFrom } from "../support/policies.ts";
import { command, folderOf } from "../support/serve.ts";

const POLICY = `services:
  mcp:
    hosts: [mcp.example.com, "[::1]"]
    backend: app
    resource: { url: https://mcp.example.com/mcp, scopes: [mcp:read], name: "It's Zoë's", documentation: https://example.com/docs }
    routes:
      - { name: mcp, match: [GET|POST|DELETE /mcp], allow: [authenticated], scopes: [mcp:read] }
      - name: files
        match: ["POST /mcp/files/{path...}"]
        resource: { url: "https://mcp.example.com:8443/mcp/files", audience: https://mcp.example.com/mcp, authorization_servers: [https://id.example.com, login] }
        allow: [authenticated]
  shop:
    hosts: ["*.shop.example.com"]
    backend: app
    resource: { url: https://a.shop.example.com, audience: https://mcp.example.com/mcp }
    routes: [{ name: all, match: ["* /{path...}"], allow: [authenticated] }]
  login:
    hosts: [b.shop.example.com]
    backend: app
    resource: { url: https://b.shop.example.com/api, audience: https://mcp.example.com/mcp }
    routes:
      - { name: api, match: [GET /api], allow: [authenticated] }
      - { name: provider, match: ["GET /.well-known/openid-configuration"], allow: [anyone] }
`;
const WELL_KNOWN = "/.well-known/oauth-protected-resource";
const MCP = "mcp.example.com";
const DOCUMENT = {
  resource: "https://mcp.example.com/mcp",
  authorization_servers: ["https://login.example.com"],
  scopes_supported: ["mcp:read"],
  bearer_methods_supported: ["header"],
  resource_name: "It's Zoë's",
  resource_documentation: "https://example.com/docs",
  dpop_signing_alg_values_supported: ["ES256"],
  dpop_bound_access_tokens_required: true,
};
const { scopes_supported, resource_name, resource_documentation, ...BARE } = DOCUMENT;
const bare = (resource: string) => ({ ...BARE, resource });

/** What is asked at HAProxy while no agent runs, and the document or status that comes. */
const ASKED: readonly (readonly [request: string, host: string, answer: object | number])[] = [
  [`GET ${WELL_KNOWN}/mcp`, MCP, DOCUMENT],
  [`GET ${WELL_KNOWN}/mcp?a=b`, "MCP.example.com:8443", DOCUMENT],
  [`GET https://mcp.example.com${WELL_KNOWN}/mcp`, MCP, DOCUMENT],
  [
    `GET ${WELL_KNOWN}/mcp/files`,
    MCP,
    {
      ...bare("https://mcp.example.com:8443/mcp/files"),
      authorization_servers: ["https://id.example.com", "https://login.example.com"],
    },
  ],
  [`GET ${WELL_KNOWN}`, "a.shop.example.com", bare("https://a.shop.example.com")],
  // What is not there is not there for everybody, and no other's either.
  [`GET ${WELL_KNOWN}`, MCP, 404],
  [`GET ${WELL_KNOWN}/`, "a.shop.example.com", 404],
  // Other hosts, and other paths, are whatever routes make of them.
  [`GET ${WELL_KNOWN}/mcp`, "[::1]", 503],
  [`GET ${WELL_KNOWN}/mcp`, "evil.example.com", 503],
  [`GET ${WELL_KNOWN}-policies`, MCP, 503],
  [`GET ${WELL_KNOWN}/mcp/`, MCP, 404],
  [`GET ${WELL_KNOWN}/mcp/other`, MCP, 404],
  [`POST ${WELL_KNOWN}/mcp`, MCP, 404],
  [`OPTIONS ${WELL_KNOWN}/mcp`, MCP, 200],
  [`GET ${WELL_KNOWN}/%6dcp`, MCP, 404],
  // Nobody here is an authorization server, but where a route says so; and a shop may have a page to register.
  ["GET /.well-known/oauth-authorization-server", MCP, 404],
  ["GET /.well-known/oauth-authorization-server/mcp", MCP, 404],
  ["GET /.well-known/openid-configuration", MCP, 404],
  ["GET /.well-known/openid-configuration", "a.shop.example.com", 404],
  ["GET /.well-known/openid-configuration", "b.shop.example.com", 503],
  ["POST /register", MCP, 404],
  ["POST /register", "a.shop.example.com", 503],
  ["POST /register", "c.shop.example.com", 503],
  ["GET /register", MCP, 503],
  // And all else waits for the agent.
  ["GET /.well-known/other", MCP, 503],
  ["POST /mcp", MCP, 503],
];

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version} tells where tokens are got, without an agent and whatever else the request has`, async (t) => {
    const { client, log } = await front(t, binary);
    for (const [request, host, answer] of ASKED) {
      const got = await client.request(`${request} HTTP/1.1`, [
        `host: ${host}`,
        "authorization: Bearer",
        "origin: https://a",
      ]);
      const what = `${request} at ${host}`;
      t.equal(got.status, typeof answer === "number" ? answer : 200, what);
      if (got.status !== 503) t.equal(got.headers["access-control-allow-origin"], "*", what);
      if (typeof answer === "number") continue;
      t.strictSame(JSON.parse(got.body), answer, what);
      t.match(got.headers, { "content-type": "application/json", "cache-control": "public, max-age=300" }, what);
    }
    const preflight = await client.request(`OPTIONS ${WELL_KNOWN}/mcp HTTP/1.1`, [
      `host: ${MCP}`,
      "origin: https://a",
      "access-control-request-method: GET",
      "access-control-request-headers: mcp-protocol-version",
    ]);
    t.match(preflight.headers, {
      "access-control-allow-methods": "GET, HEAD",
      "access-control-allow-headers": "authorization, *",
    });
    const told = log.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    t.match(told[0], { status: 200, verdict: "none", reason: "" }, "the access log says that nobody was asked");
  });
}

async function front(t: Test, binary: HaproxyBinary) {
  const port = await freePort();
  const folder = folderOf(t, {
    "countersign.yaml": `listen: { spop: [127.0.0.1:${await freePort()}] }
policies: ./policies
dpop: { algorithms: [ES256] }
issuers: { login: { type: oidc, issuer: https://login.example.com, audiences: [https://mcp.example.com/mcp], proofs: [dpop], unbound: refuse } }
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${port}"], scheme: http, backends: { app: ["127.0.0.1:9"] } }
`,
    "policies/p.yaml": POLICY,
  });
  await command(["generate", "haproxy"], { cwd: folder });
  const { code, err } = await command(["check", "--haproxy", "haproxy.cfg"], { cwd: folder });
  t.equal(code, 0, `it is proven: ${err}`);
  const read = (name: string) => readFileSync(join(folder, name), "utf8");
  const files = { "haproxy.cfg": read("haproxy.cfg"), "countersign.spoe.conf": read("countersign.spoe.conf") };
  const log = await startHaproxy(t, binary, files, port);
  const client = await RawClient.open(port);
  t.teardown(() => client.close());
  return { client, log };
}

const [OKTA] = ENVIRONMENT.issuers.slice(0, 1) as [PolicyIssuer];
const CHALLENGED = `services:
  plain: { hosts: [plain], backend: b, audiences: [api://orders], issuers: [okta], allow: [authenticated], routes: [{ name: a, match: [GET /a], scopes: [one, two] }, { name: b, match: [GET /b] }] }
  mcp:
    hosts: [mcp]
    backend: b
    audiences: [api://orders]
    issuers: [okta]
    allow: [authenticated]
    resource: { url: https://mcp/mcp, audience: api://orders, scopes: [base, one], authorization_servers: [https://login] }
    routes:
      - { name: a, match: [GET /mcp/a], scopes: [one, two] }
      - { name: b, match: [GET /mcp/b], deny: [cut], allow: [held] }
roles: { held: [{ issuer: okta, group: held }], cut: [{ issuer: okta, group: cut }] }
`;
const CHALLENGES = policiesFrom(CHALLENGED);
const METADATA = `resource_metadata="https://mcp${WELL_KNOWN}/mcp"`;

/** What a client of nobody, or of one with these groups and scopes, is told. */
const TOLD: readonly (readonly [
  request: string,
  groups: string[] | undefined,
  scopes: string[],
  challenge: string | undefined,
])[] = [
  ["GET https://plain/b", undefined, [], 'Bearer realm="plain"'],
  ["GET https://plain/a", undefined, [], 'Bearer realm="plain", scope="one two"'],
  ["GET https://plain/a", [], ["two"], 'Bearer realm="plain", scope="one two", error="insufficient_scope"'],
  ["GET https://mcp/mcp/a", undefined, [], `Bearer ${METADATA}, scope="one two base"`],
  ["GET https://mcp/mcp/a", [], ["one"], `Bearer ${METADATA}, scope="one two base", error="insufficient_scope"`],
  ["GET https://mcp/mcp/b", undefined, [], `Bearer ${METADATA}, scope="base one"`],
  // New consent would change nothing.
  ["GET https://mcp/mcp/b", [], ["base"], undefined],
  ["GET https://mcp/mcp/b", ["held", "cut"], [], undefined],
  ["GET https://mcp/mcp/c", undefined, [], undefined],
];

test("a challenge says at once all that a client needs, first what it looks for, and nothing where a new token would not help", (t) => {
  for (const [request, groups, scopes, challenge] of TOLD) {
    const principal = groups && principalFrom({ groups, scopes });
    t.equal(challengeFor(request, decide(CHALLENGES, request, principal).reason), challenge, request);
  }
  const bad = (reason: Reason) => challengeFor("GET https://mcp/mcp/a", reason);
  t.equal(bad("token-expired"), `Bearer ${METADATA}, scope="one two base", error="invalid_token"`);
  t.equal(bad("role-missing"), undefined);
  t.equal(bad("issuer-unavailable"), undefined);
  t.end();
});

test("who takes tokens that are bound to a key says so in a second challenge, and alone where the proof is at fault", (t) => {
  const issuers = [{ ...OKTA, credentials: ["bearer", "dpop"], proofs: ["dpop"] }];
  const policies = policiesFrom(CHALLENGED, { issuers });
  const told = (reason: Reason) => challengeFor("GET https://mcp/mcp/b", reason, policies);
  const dpop = 'DPoP realm="mcp", algs="ES256", scope="base one"';
  t.equal(told("credential-missing"), `Bearer ${METADATA}, scope="base one", ${dpop}`);
  t.equal(
    told("token-expired"),
    `Bearer ${METADATA}, scope="base one", error="invalid_token", ${dpop}, error="invalid_token"`,
  );
  t.equal(told("proof-nonce"), `DPoP ${METADATA}, algs="ES256", scope="base one", error="use_dpop_nonce"`);
  t.end();
});

test("who has to log in again is told how, and which scopes to ask for at the same time (RFC 9470)", (t) => {
  const policies = policiesFrom(
    CHALLENGED.replace("deny: [cut]", "step_up: { acr: [mfa, hwk], max_age: 1h }, deny: [cut]").replace(
      "match: [GET /b]",
      "match: [GET /b], step_up: { max_age: 30s }",
    ),
  );
  const told = (request: string, reason: Reason) => challengeFor(request, reason, policies);
  const error = 'error="insufficient_user_authentication"';
  const login = `${error}, acr_values="mfa hwk", max_age="3600"`;
  t.equal(told("GET https://mcp/mcp/b", "authentication-weak"), `Bearer ${METADATA}, scope="base one", ${login}`);
  t.equal(told("GET https://mcp/mcp/b", "authentication-old"), `Bearer ${METADATA}, scope="base one", ${login}`);
  t.equal(told("GET https://plain/b", "authentication-old"), `Bearer realm="plain", ${error}, max_age="30"`);
  t.equal(told("GET https://mcp/mcp/b", "credential-missing"), `Bearer ${METADATA}, scope="base one"`);
  t.end();
});

test("scopes that no challenge has room for are left out of it, and nothing else", (t) => {
  const scopes = Array.from({ length: 16 }, (_, n) => `${n}`.padEnd(64, "x"));
  const policies = policiesFrom(CHALLENGED.replace("[base, one]", `[${scopes.join(", ")}]`));
  t.equal(
    challengeFor("GET https://mcp/mcp/a", "token-expired", policies),
    `Bearer ${METADATA}, error="invalid_token"`,
  );
  t.match(findingsOf(CHALLENGED.replace("[base, one]", `[${scopes.join(", ")}]`)).warnings, [
    /no challenge has room for/,
  ]);
  t.end();
});

function challengeFor(request: string, reason: Reason, policies = CHALLENGES): string | undefined {
  const url = new URL(request.slice("GET ".length));
  const match = policies.match(url.hostname, "GET", url.pathname, {});
  const config = { dpop: { ...DPOP, algorithms: ["ES256"] } };
  if ("reason" in match) return challengeOf(refusal(reason, match.rule), undefined, config);
  const scopes = reason === "scope-missing" ? match.route.asks.scopes : [];
  return challengeOf({ ...refusal(reason, match.route.rule), scopes }, match, config);
}
