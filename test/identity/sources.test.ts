import { generateKeyPairSync } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { reply, startFront } from "../../demo/front.ts";
import { type RunningProvider, startProvider } from "../../demo/provider.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";

type Changes = Parameters<typeof oidcIssuer>[1];

async function provided(t: Test): Promise<RunningProvider> {
  const provider = await startProvider({ alice: { kind: "person" } });
  t.teardown(() => provider.close());
  return provider;
}

/** What asks the provider by a configuration that differs from the usual. */
async function asking(t: Test, { issuer, sign }: RunningProvider, changes: Changes, called = issuer) {
  const started = startIdentity([oidcIssuer(called, changes)]);
  t.teardown(() => started.identity.close());
  await started.identity.ready();
  /** What is made of a token of the provider's own keys. */
  const judge = async (claims: Record<string, unknown> = {}, kid?: string) => {
    const exp = Math.floor(started.time.now / 1000) + 600;
    const all = { iss: called, sub: "alice", aud: "api://orders", exp, ...claims };
    return started.judge(await sign(all, kid === undefined ? {} : { kid }));
  };
  const error = () => started.identity.status()[0]?.error;
  return { ...started, judge, error };
}

function jwksOf({ keys }: RunningProvider): string {
  return JSON.stringify({ keys: keys.map((key) => ({ ...key.public.export({ format: "jwk" }), kid: key.kid })) });
}

test("keys at an address of their own are asked for there, and nothing else is", async (t) => {
  const provider = await provided(t);
  const source = { url: `${provider.issuer}/jwks?tenant=7` };
  const { judge, error } = await asking(t, provider, { keys: { source } }, "https://unreachable.example");
  t.equal(await judge(), "proven");
  t.same(provider.front.requests, ["/jwks?tenant=7"]);
  t.equal(error(), undefined);
});

test("an issuer that is asked elsewhere than it is called must be named there", async (t) => {
  const called = "http://adfs.example.com/adfs/services/trust";
  const provider = await provided(t);
  const front = await startFront(() => {});
  t.teardown(() => front.close());
  for (const [document, problem] of [
    [{ issuer: called }, undefined],
    [{ issuer: "https://adfs.example.com/adfs", access_token_issuer: called }, undefined],
    [{ issuer: `${called}/` }, /another issuer: "http.*trust\/", and not "http.*trust"/],
    [{ issuer: "https://adfs.example.com/adfs", access_token_issuer: "https://a.example" }, /another issuer/],
    [{ access_token_issuer: [called] }, /another issuer: none/],
  ] as const) {
    front.behave(reply({ ...document, jwks_uri: `${provider.issuer}/jwks` }));
    const source = { discovery: `${front.url}/metadata` };
    const { judge, error } = await asking(t, provider, { keys: { source } }, called);
    t.equal(await judge(), problem === undefined ? "proven" : "issuer-unavailable", JSON.stringify(document));
    if (problem === undefined) t.equal(error(), undefined);
    else t.match(error(), problem);
  }
});

test("an issuer may be written in several ways, and no other", async (t) => {
  const provider = await provided(t);
  const { judge } = await asking(t, provider, { aliases: ["accounts.example.com"] });
  t.equal(await judge(), "proven");
  t.equal(await judge({ iss: "accounts.example.com" }), "proven");
  for (const iss of ["https://accounts.example.com", "accounts.example.com/", ["accounts.example.com"], "", null]) {
    t.match(await judge({ iss }), /issuer-unknown|claim-malformed/, JSON.stringify(iss));
  }
});

test("two issuers with one spelling cannot be", (t) => {
  const [one, two] = [
    oidcIssuer("https://a.example"),
    oidcIssuer("https://b.example", { aliases: ["https://a.example"] }),
  ];
  t.throws(() => startIdentity([one, two]), { message: /two issuers with one URL/ });
  t.end();
});

test("the token for the keys is shown where they are configured, as it is at that moment, and nowhere else", async (t) => {
  const provider = await provided(t);
  const shown: string[] = [];
  const guarded = (name: string, behind: ReturnType<typeof reply>) =>
    startFront((request, response) => {
      shown.push(`${name}${request.url} ${request.headers.authorization}`);
      behind(request, response);
    });
  const other = await guarded("other", reply(jwksOf(provider)));
  const api = await guarded("api", (request, response) =>
    reply(
      request.url === "/openid/v1/jwks"
        ? JSON.parse(jwksOf(provider))
        : {
            issuer: provider.issuer,
            jwks_uri: request.url === "/own" ? `${api.url}/openid/v1/jwks` : `${other.url}/keys`,
          },
    )(request, response),
  );
  t.teardown(() => Promise.all([api.close(), other.close()]));
  const bearer = join(t.testdir(), "token");
  writeFileSync(bearer, "first.token\n");

  const { judge, time, told, error } = await asking(t, provider, {
    keys: { source: { url: `${api.url}/openid/v1/jwks` }, bearer },
  });
  t.equal(await judge(), "proven");
  t.same(shown.splice(0), ["api/openid/v1/jwks Bearer first.token"]);
  const again = async (end: string, delay = 300_000) => {
    const fetched = told.next(end);
    time.advance(delay);
    await fetched;
    return shown.splice(0);
  };
  writeFileSync(bearer, "second.token");
  t.same(await again("jwks ok"), ["api/openid/v1/jwks Bearer second.token"], "it has been rotated");
  for (const [delay, content, problem] of [
    [300_000, "a b", /`keys.bearer` names a file that does not hold one token/],
    [1_000, "", /does not hold one token/],
    [2_000, undefined, /there is no such file/],
  ] as const) {
    if (content === undefined) rmSync(bearer);
    else writeFileSync(bearer, content);
    t.same(await again("jwks error", delay), [], "nothing is asked without it");
    t.match(error(), problem);
    t.equal(await judge(), "proven", "by the keys there are");
  }
  writeFileSync(bearer, "third.token");
  t.same(await again("jwks ok", 4_000), ["api/openid/v1/jwks Bearer third.token"]);
  api.behave(reply("", 302, { location: `${other.url}/keys` }));
  t.same(await again("jwks error"), [], "a redirect is no way to get hold of it");
  t.match(error(), /status 302 instead of 200/);
  api.behave("up");

  await asking(t, provider, { keys: { source: { discovery: `${api.url}/own` }, bearer } });
  t.same(shown.splice(0), ["api/own Bearer third.token", "api/openid/v1/jwks Bearer third.token"]);
  await asking(t, provider, { keys: { source: { discovery: `${api.url}/elsewhere` }, bearer } });
  t.same(shown.splice(0), ["api/elsewhere Bearer third.token", "other/keys undefined"]);
});

test("keys of a file are what they are: nothing is fetched, and they end with another file", async (t) => {
  const provider = await provided(t);
  const [document, asked] = [jwksOf(provider), provider.front.requests.length];
  const config = oidcIssuer(provider.issuer, { keys: { source: { document } } });
  const { identity, time, judge, verify } = startIdentity([config]);
  t.teardown(() => identity.close());
  await identity.ready();
  const claims = {
    iss: provider.issuer,
    sub: "alice",
    aud: "api://orders",
    exp: Math.floor(time.now / 1000) + 864_000_000,
  };
  const token = await provider.sign(claims);
  t.equal(await judge(token), "proven");
  t.match(identity.status(), [{ details: { keys: 3 }, error: undefined, identities: 1 }]);
  time.advance(1_000);
  const newer = { ...claims, iat: Math.floor(time.now / 1000) + 1 };
  t.same(await verify(await provider.sign(newer, { kid: "new" })), { principal: undefined, reason: "key-unknown" });
  time.advance(864_000_000_0);
  t.equal(await judge(await provider.sign({ ...claims, jti: "2" })), "proven", "they do not grow old");
  t.equal(provider.front.requests.length, asked, "nothing was asked");

  const other = { ...generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }), kid: "other" };
  const changed = oidcIssuer(provider.issuer, { keys: { source: { document: JSON.stringify({ keys: [other] }) } } });
  const next = startIdentity([changed], { previous: identity, time });
  t.teardown(() => next.identity.close());
  t.equal(await next.judge(token), "key-unknown", "with its keys the identities are gone");
  identity.close();
  const same = startIdentity([changed], { previous: next.identity, time });
  t.teardown(() => same.identity.close());
  t.equal(await same.judge(token), "key-unknown");
});

test("a token of SPIFFE is the trust domain's that its subject is in", async (t) => {
  const provider = await provided(t);
  const bundle = JSON.parse(jwksOf(provider));
  for (const key of bundle.keys) key.use = "jwt-svid";
  const keys = { source: { document: JSON.stringify(bundle) } };
  const { judge } = await asking(t, provider, { keys, aliases: ["https://oidc.example.org"] }, "spiffe://example.org");
  const svid = { iss: undefined, sub: "spiffe://example.org/ns/default/sa/web" };
  t.equal(await judge(svid), "proven");
  t.equal(await judge({ ...svid, iss: "https://oidc.example.org" }), "proven");
  for (const sub of [
    "spiffe://example.org",
    "spiffe://example.org.evil/x",
    "spiffe://example.organ/x",
    "SPIFFE://example.org/x",
    "spiffe://other.example/x",
    "alice",
    ["spiffe://example.org/x"],
  ]) {
    t.equal(await judge({ ...svid, sub }), "claim-missing", `${sub}`);
  }
  t.equal(await judge({ ...svid, iss: "https://evil.example" }), "issuer-unknown", "a name that it has counts");
  const { judge: plain } = await asking(t, provider, { keys }, "https://example.org");
  t.equal(await plain({ iss: undefined, sub: "https://example.org/x" }), "claim-missing", "a URL is no trust domain");
});

test("an audience may stand in another claim, and what is required must be so", async (t) => {
  const provider = await provided(t);
  const base = oidcIssuer("");
  const { judge, verify } = await asking(t, provider, {
    audiences: ["app"],
    claims: { ...base.claims, audience: { first: ["aud", "client_id"] } },
    require: [
      { path: "token_use", wanted: "access" },
      { path: "nested.tenant", wanted: { prefix: "acme-" } },
      { path: "trial", wanted: { present: false } },
    ],
  });
  const good = { aud: undefined, client_id: "app", token_use: "access", nested: { tenant: "acme-eu" } };
  const rows: readonly (readonly [reason: string, changes: Record<string, unknown>])[] = [
    ["proven", {}],
    ["proven", { aud: ["other", "app"] }],
    ["audience-not-accepted", { aud: "other" }],
    ["audience-not-accepted", { client_id: "other" }],
    ["claim-missing", { client_id: undefined }],
    ["claim-malformed", { client_id: 7 }],
    ["claim-malformed", { aud: { app: true } }],
    ["claim-not-accepted", { token_use: "app" }],
    ["claim-missing", { token_use: undefined }],
    ["claim-malformed", { token_use: 7 }],
    ["claim-missing", { nested: {} }],
    ["claim-not-accepted", { nested: { tenant: "evil-acme-" } }],
    ["claim-malformed", { nested: "acme-" }],
    ["claim-not-accepted", { trial: false }],
    ["claim-malformed", { trial: undefined, _claim_names: { trial: "elsewhere" } }],
  ];
  for (const [reason, changes] of rows) t.equal(await judge({ ...good, ...changes }), reason, JSON.stringify(changes));
  const exp = Math.floor(Date.now() / 1000) + 600;
  const known = await verify(await provider.sign({ iss: provider.issuer, sub: "alice", exp, ...good }));
  t.same(known.principal?.audiences, ["app"]);
  const told = await verify(await provider.sign({ iss: provider.issuer, sub: "alice", exp, ...good, token_use: "x" }));
  t.match(told, { claim: "token_use" });
});
