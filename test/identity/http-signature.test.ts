import { createPublicKey } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { loadConfig } from "../../agent/config/load-config.ts";
import type { HttpAnswer } from "../../agent/http/fetch.ts";
import { DIRECTORY as DOCUMENT } from "../../agent/identity/http-signature/directory.ts";
import type { SignatureIssuer } from "../../agent/identity/http-signature/section.ts";
import { readSigned, type SignedRequest, signedRequest } from "../../agent/identity/http-signature/signed.ts";
import { isSignedBy } from "../../agent/identity/jwt/signature.ts";
import { discoveryUrl } from "../../agent/identity/oidc/discovery.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { reply, startFront } from "../../demo/front.ts";
import { faultText } from "../../policies/fault.ts";
import { SHORTEST } from "../config/example.ts";
import { Clockwork } from "../support/clockwork.ts";
import { oidcIssuer, signatureIssuer, startIdentity } from "../support/identity.ts";
import { type AgentKey, agentKey, type Signing, signed, signedCredential } from "../support/signatures.ts";

/** RFC 9421, appendix B.1.3 and B.1.4. */
const P256 = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----`;
const ED25519 = { kty: "OKP", crv: "Ed25519", x: "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs" };
const RSA_PSS = {
  kty: "RSA",
  e: "AQAB",
  n: "r4tmm3r20Wd_PbqvP1s2-QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct-Lh1GH45x28Rw3Ry53mm-oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL-Wokqltd11nqqzi-bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d-nb4bnNkQVklLQ3fVAvJm-xdDOp9LCNCN48V2pnDOkFV6-U9nV5oyc6XI2w",
};
/** RFC 9421, appendix B.1.1. */
const RSA = {
  kty: "RSA",
  e: "AQAB",
  n: "hAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsPBRrwWEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsdJKFqMGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd_QBwVW9OwNFhekro3RtlinV0a75jfZgkne_YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKIlE0PuKxI4T-HIaFpv8-rdV6eUgOrB2xeI1dSFFn_nnv5OoZJEIB-VmuKn3DCUcCZSFlQPSXSfBDiUGhwOw76WuSSsf1D4b_vLoJ10w",
};
const TEST_KEY = "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";

const publicKey = (jwk: object) => createPublicKey({ key: jwk as typeof ED25519, format: "jwk" });

test("what signatures are of and how they are written is as in RFC 9421, appendix B.2", (t) => {
  const digest = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:";
  for (const [base, signature, algorithm, key] of [
    [
      `"@status": 200\n"content-type": application/json\n"content-digest": ${digest}\n"content-length": 23\n"@signature-params": ("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`,
      "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
      "ES256",
      createPublicKey(P256),
    ],
    [
      '"date": Tue, 20 Apr 2021 02:07:55 GMT\n"@method": POST\n"@path": /foo\n"@authority": example.com\n"content-type": application/json\n"content-length": 18\n"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
      "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
      "Ed25519",
      publicKey(ED25519),
    ],
  ] as const) {
    const token = Buffer.from(`${base}.${Buffer.from(signature, "base64").toString("base64url")}`);
    t.ok(isSignedBy(token, algorithm, key), algorithm);
  }
  t.end();
});

/** Of the draft's appendix, as cloudflare/web-bot-auth has them in `web_bot_auth_architecture_v2.json`. */
const DRAFT = [
  {
    key: RSA_PSS,
    algorithm: "PS512",
    signature:
      "sig2=:gHzpLNeHaHIO19NaJH9YMW5dcVSi2s0wOMBr6p18vcofS106sfC4KBIS0/szPlBBd1vIcyQ88B6CTEWIhRAiVrb9zfX0mx1aG12CSGWcYkSirHeyTxhbuJvXd27ed6skWoy4PjXItq38936ivUQjfdIwXh1aX6HxkAC3vRnEdSNfntkLWeEuIQ5BLIOBGE39fSwg27Qjq6OVWYas/9/aFUr3HA34MXWYdp+//cvlEKDp3kRoLOw9ro0AOr6srHrTeEtxon2afcws1aZVSlPdd2fZSEIGmw9HAHLDCEkFTERu1gH2k/zIEqgy7CAYXI9E5slog0cLg/Vc6+f8gih33g==:",
    input:
      'sig2=("@authority" "signature-agent";key="agent2");created=1735689600;keyid="oD0HwocPBSfpNy5W3bpJeyFGY_IQ_YpqxSjQ3Yd-CLA";alg="rsa-pss-sha512";expires=4889289600;nonce="wcfPQPh7SzkvrIVvhD00vNk9PkxJNY2NVbYl2PVBB4zmUoluSwE7W6bPtF60QA3k8g06FU7PPCD+J58YofY1zg==";tag="web-bot-auth"',
  },
  {
    key: ED25519,
    algorithm: "Ed25519",
    signature: "sig2=:RdNFx5Bj6au3YgAMQL/RzmUlZE8QZLIaXGRpw985hWnwPfMxT228NMk6ehRS1PSl4e8PhbNZACSanGdhEwYCCg==:",
    input:
      'sig2=("@authority" "signature-agent";key="agent2");created=1735689600;keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";alg="ed25519";expires=4889289600;nonce="n9p433xm+NJ3ph3upfBIGmsuwHw387YV7Q/F+6BSpGCVjYCqQw6rznNA8PVVLySrAWsv0hQtFioQb6E1YsauiA==";tag="web-bot-auth"',
  },
] as const;

test("the draft's own signatures hold, and no longer once anything that they cover is another", (t) => {
  for (const { key, algorithm, signature, input } of DRAFT) {
    const request = {
      ...{ signature, input, agent: 'agent2="https://signature-agent.test"', method: "GET", scheme: "https" },
      ...{ host: "example.com", path: "/path/to/resource", query: "" },
    };
    const holds = (changes: Partial<SignedRequest> = {}) => {
      const read = readSigned({ ...request, ...changes });
      if ("reason" in read) return read.reason;
      t.equal(read.algorithm, algorithm);
      return isSignedBy(Buffer.from(`${read.base}.${read.signature}`), algorithm, publicKey(key));
    };
    t.equal(holds(), true, algorithm);
    t.equal(holds({ host: "EXAMPLE.com:443" }), true, "the same authority");
    t.equal(holds({ path: "/elsewhere", method: "POST" }), true, "these are not covered");
    t.equal(holds({ host: "example.org" }), false);
    t.equal(holds({ host: "example.com:444" }), false);
    t.equal(holds({ agent: 'agent2="https://other.test"' }), false);
    t.equal(holds({ input: input.replace("expires=4889289600", "expires=4889289601") }), false);
    t.match(readSigned(request), {
      directory: "https://signature-agent.test/.well-known/http-message-signatures-directory",
    });
  }
  t.end();
});

test("the test keys of RFC 9421, appendix B.1, count for nobody, whatever they are called", (t) => {
  const own = agentKey();
  const all = [RSA, RSA_PSS, createPublicKey(P256).export({ format: "jwk" }), ED25519, own.jwk];
  const keys = all.map((jwk) => ({ ...jwk, kid: "own" }));
  const read = DOCUMENT.read({ keys }, ["Ed25519", "ES256", "PS512"]);
  t.strictSame(typeof read === "string" ? read : read.keys.map(({ kid }) => kid), [own.thumbprint]);
  t.end();
});

const DIRECTORY = "/keys";

/** An issuer with the directories of two agents, and what they show. */
async function stage(t: Test, changes: Partial<SignatureIssuer> = {}, count = 2) {
  const [bot, other] = [agentKey(), agentKey()];
  const front = await startFront(reply({ keys: [bot.jwk] }));
  t.teardown(() => front.close());
  front.behave(reply({ keys: [other.jwk] }), "/others");
  const agents = [`${front.url}${DIRECTORY}`, `${front.url}/others`].slice(0, count);
  const issuer = signatureIssuer(agents, changes);
  const started = startIdentity([issuer], { time: new Clockwork() });
  t.teardown(() => started.identity.close());
  await started.identity.ready();
  const seconds = () => Math.floor(started.time.now / 1000);
  const offer = (signing: Partial<Signing> = {}) => {
    const text = signedCredential({ key: bot, directory: agents[0] ?? "", created: seconds(), ...signing });
    return { kind: "signature" as const, bytes: Buffer.from(text), start: 0, end: text.length };
  };
  const judge = (signing: Partial<Signing> = {}) => started.judge(offer(signing));
  return { ...started, front, bot, other, agents, issuer, seconds, offer, judge };
}

test("what a signature must say and cover, and what it may not", async (t) => {
  const { judge, agents, bot, other, seconds, offer, verify } = await stage(t);
  const [directory = "", others = ""] = agents;
  t.match(await verify(offer()), {
    principal: { subject: directory, kind: "agent", claims: { key_id: bot.thumbprint }, audiences: ["api://orders"] },
  });
  const host = { '"@authority"': "orders.example.com" };
  const agent = { '"signature-agent";key="bot"': `"${directory}"` };
  const times = `;created=${seconds()};expires=${seconds() + 60}`;
  const rest = `;keyid="${bot.thumbprint}";tag="web-bot-auth"`;
  const rows: readonly (readonly [what: string, reason: string, signing: Partial<Signing>])[] = [
    ["the least that there must be", "proven", { components: { ...host, ...agent } }],
    ["no target", "signature-incomplete", { components: { ...agent, '"@method"': "GET" } }],
    ["no agent", "signature-incomplete", { components: host }],
    ["an agent that is not covered", "signature-incomplete", { components: host, agent: `"${directory}"` }],
    ["a header that is not seen here", "signature-incomplete", { components: { ...host, ...agent, '"date"': "x" } }],
    [
      "what every object has",
      "signature-incomplete",
      { components: { ...host, ...agent, '"constructor"': String(Object) } },
    ],
    [
      "one of the request that this one answers",
      "signature-incomplete",
      { components: { ...host, ...agent, '"@method";req': "GET" } },
    ],
    ["a component of the answer", "signature-incomplete", { components: { ...host, ...agent, '"@status"': "200" } }],
    [
      "a component with a parameter",
      "signature-incomplete",
      { components: { ...agent, '"@authority";req': "orders.example.com" } },
    ],
    [
      "a component twice",
      "credential-malformed",
      { components: { ...host, ...agent, ' "@authority"': "orders.example.com" } },
    ],
    ["no created", "signature-incomplete", { parameters: `;expires=${seconds() + 60}${rest}` }],
    ["no expires", "signature-incomplete", { parameters: `;created=${seconds()}${rest}` }],
    ["a date that is none", "signature-incomplete", { parameters: `;created=1.5;expires=${seconds() + 60}${rest}` }],
    ["a keyid that is no text", "signature-incomplete", { parameters: `${times};keyid=5;tag="web-bot-auth"` }],
    ["a nonce that is no text", "credential-malformed", { parameters: `${times};nonce=5${rest}` }],
    ["an algorithm that every object has", "algorithm-refused", { parameters: `${times};alg="constructor"${rest}` }],
    ["no keyid", "signature-incomplete", { parameters: `${times};tag="web-bot-auth"` }],
    ["another tag", "issuer-unknown", { parameters: `${times};keyid="${bot.thumbprint}";tag="other"` }],
    ["a shared secret", "algorithm-refused", { parameters: `${times};alg="hmac-sha256"${rest}` }],
    ["no algorithm of this key", "algorithm-refused", { parameters: `${times};alg="rsa-pss-sha512"${rest}` }],
    ["a list that is none", "credential-malformed", { parameters: ";created=" }],
    ["expired", "token-expired", { created: seconds() - 100, expires: seconds() }],
    ["too old, whatever it says", "token-expired", { created: seconds() - 300, expires: seconds() + 60 }],
    ["from the future", "token-not-yet-valid", { created: seconds() + 31 }],
    ["another request's path", "signature-invalid", { components: { ...host, ...agent, '"@path"': "/v2" } }],
    ["a key of nobody", "key-unknown", { key: agentKey() }],
    ["the other agent's key", "key-unknown", { key: other }],
    ["its own key under the other's name", "key-unknown", { directory: others }],
    ["a directory that is not configured", "issuer-unknown", { directory: "https://evil.example/keys" }],
    ["a directory that is no address", "signature-incomplete", { directory: "keys" }],
    ["plain http", "signature-incomplete", { directory: "http://bot.example/keys" }],
    ["a query, which names nobody else", "proven", { directory: `${directory}?x` }],
    ["a member that is not there", "signature-incomplete", { agent: `another="${directory}"` }],
    ["a member without a text", "signature-incomplete", { agent: "bot=5" }],
    ["no Signature-Agent", "signature-incomplete", { agent: "" }],
    [
      "a text alone, as it was before",
      "proven",
      { agent: `"${directory}"`, components: { ...host, '"signature-agent"': `"${directory}"` } },
    ],
    [
      "the other agent covered besides",
      "signature-incomplete",
      {
        agent: `bot="${directory}", other="${others}"`,
        components: { ...host, ...agent, '"signature-agent";key="other"': `"${others}"` },
      },
    ],
    [
      "a member with one parameter more",
      "signature-incomplete",
      { components: { ...host, '"signature-agent";key="bot";req': `"${directory}"` } },
    ],
    [
      "a member covered without its name",
      "signature-incomplete",
      { components: { ...host, '"signature-agent"': `bot="${directory}"` } },
    ],
  ];
  for (const [what, reason, signing] of rows) t.equal(await judge(signing), reason, what);
  for (const text of ["", "x", "W10", "e30"]) {
    const credential = { kind: "signature" as const, bytes: Buffer.from(text), start: 0, end: text.length };
    t.equal(await (async () => verify(credential))().then(({ principal }) => principal), undefined, text);
  }
});

test("of a request that is signed twice, or is written otherwise, nobody is proven", (t) => {
  const { signature, input, agent } = signed({ key: agentKey() });
  const request = { signature, input, agent, method: "GET", scheme: "https", host: "orders.example.com" };
  const read = (changes: Partial<SignedRequest> = {}) => {
    const found = readSigned({ ...request, path: "/v1/orders", query: "", ...changes });
    return "reason" in found ? `${found.reason} ${found.claim}` : "read";
  };
  t.equal(read(), "read");
  t.equal(read({ input: `${input}, other${input.slice(3)}` }), "credential-malformed Signature-Input");
  t.equal(read({ input: `${input}, other${input.slice(3).replace("web-bot-auth", "x")}` }), "read", "one for agents");
  for (const value of ['"x"', "x", "?1", "()"])
    t.equal(read({ signature: `sig=${value}` }), "credential-malformed Signature", value);
  const list = JSON.stringify([signature, input, agent, "GET", "https", "orders.example.com", "/v1/orders", ""]);
  t.match(signedRequest(Buffer.from(list).toString("base64url")), { host: "orders.example.com" });
  for (const text of [`${list} `, list.replace("GET", "G\\u0045T")])
    t.equal(signedRequest(Buffer.from(text).toString("base64url")), undefined, "another spelling");
  t.end();
});

test("a signature counts once, by its nonce, or else by what it is of; unless it may be shown again", async (t) => {
  const { identity, time, offer, other, agents } = await stage(t);
  const shown = {
    ...{ kind: "signature" as const, ath: "", dpop: undefined, certificate: undefined, method: "GET" },
    target: { scheme: "https" as const, host: "orders.example.com", path: "/" },
  };
  const ask = async (of: typeof identity, offered: ReturnType<typeof offer>) => {
    const { principal, confirmation, reason } = {
      confirmation: undefined,
      reason: "",
      ...(await of.verify(offered, time.now)),
    };
    if (principal === undefined || confirmation === undefined) return principal === undefined ? reason : "proven";
    const { refusal } = await of.prove(confirmation, shown, time.now, { wanted: () => true });
    return refusal?.reason ?? "proven";
  };
  const [first, second] = [offer({ nonce: "a" }), offer({ nonce: "b" })];
  t.strictSame(
    [await ask(identity, first), await ask(identity, first), await ask(identity, second)],
    ["proven", "proof-replayed", "proven"],
  );
  t.equal(await ask(identity, offer({ nonce: "a", path: "/v2" })), "proof-replayed", "a nonce of another request");
  const others = offer({ nonce: "a", key: other, directory: agents[1] ?? "" });
  t.equal(await ask(identity, others), "proven", "another agent may have the same");
  const plain = offer();
  const twice = await Promise.all([ask(identity, plain), ask(identity, plain)]);
  t.strictSame(twice.toSorted(), ["proof-replayed", "proven"], "at the same time");
  t.equal(identity.caches().identities.entries, 0, "it takes no room from those who come again");
  const lax = await stage(t, { reuse: "accept" });
  const again = lax.offer();
  t.strictSame([await ask(lax.identity, again), await ask(lax.identity, again)], ["proven", "proven"]);
  t.equal(lax.identity.caches().identities.entries, 1);
  const long = lax.offer({ expires: lax.seconds() + 3600 });
  t.ok((await lax.verify(long)).principal);
  lax.time.now = (lax.seconds() + 60) * 1000;
  t.match(await lax.verify(again), { reason: "token-expired" }, "one that is known, too, no longer than it says");
  t.ok((await lax.verify(long)).principal);
  lax.time.now += 240_000;
  t.match(await lax.verify(long), { reason: "token-expired" }, "nor than we say");
});

test("a signature that ends while its agent's keys are asked for proves nobody", async (t) => {
  const time = new Clockwork();
  const [key, directory] = [agentKey(), "https://bot.example/keys"];
  const answer = Promise.withResolvers<HttpAnswer>();
  const { identity } = startIdentity([signatureIssuer([directory])], { time, send: () => answer.promise });
  t.teardown(() => identity.close());
  const created = Math.floor(time.now / 1000);
  const of = (expires: number) => {
    const bytes = Buffer.from(signedCredential({ key, directory, created, expires }));
    return identity.verify({ kind: "signature", bytes, start: 0, end: bytes.length }, time.now);
  };
  const [short, long] = [of(created + 60), of(created + 120)];
  time.now = (created + 60) * 1000;
  answer.resolve({ status: 200, headers: {}, body: Buffer.from(JSON.stringify({ keys: [key.jwk] })) });
  t.match([await short, await long], [{ reason: "token-expired" }, { principal: { subject: directory } }]);
});

test("no more signatures wait to be checked than there is room for", async (t) => {
  const { identity, time, offer } = await stage(t);
  const waiting = Array.from({ length: 1024 }, (_, n) => identity.verify(offer({ nonce: `n${n}` }), time.now));
  t.ok(waiting.every((verification) => verification instanceof Promise));
  t.same(await identity.verify(offer({ nonce: "late" }), time.now), { principal: undefined, reason: "overloaded" });
  const outcomes = await Promise.all(waiting);
  t.ok(outcomes.every(({ principal }) => principal !== undefined));
  t.ok((await identity.verify(offer({ nonce: "later" }), time.now)).principal !== undefined, "and then there is");
});

test("a directory is asked where it is configured and nowhere else, and may be of many forms", async (t) => {
  const { front, judge, bot, time, told, identity } = await stage(t, {}, 1);
  const show = async (behaviour: Parameters<typeof front.behave>[0], outcome = "ok", after = 300_000) => {
    front.behave(behaviour, DIRECTORY);
    const fetched = told.next(`jwks ${outcome}`);
    time.advance(after);
    await fetched;
  };
  const withKid = (jwk: AgentKey["jwk"], more: object) => ({ ...jwk, ...more });
  for (const [form, document] of Object.entries({
    "a bare key": bot.jwk,
    "a kid of its own": { keys: [withKid(bot.jwk, { kid: "1" })] },
    "the older name of its algorithm": { keys: [withKid(bot.jwk, { alg: "EdDSA", use: "sig" })] },
    "others beside it": { keys: [agentKey().jwk, "x", { kty: "oct" }, bot.jwk], purpose: "rag" },
  })) {
    await show(reply(document));
    t.equal(await judge(), "proven", form);
  }
  await show(reply({ keys: [withKid(ED25519, { kid: bot.thumbprint })] }), "error");
  t.equal(await judge({ key: { ...bot, thumbprint: TEST_KEY } }), "issuer-unavailable", "the RFC's test key");
  await show(reply({ keys: [bot.jwk] }), "ok", 1_000);
  t.equal(await judge(), "proven");
  front.behave(reply({ keys: [agentKey().jwk] }), "/elsewhere");
  front.behave(
    (_request, response) => response.writeHead(302, { location: `${front.url}/elsewhere` }).end(),
    DIRECTORY,
  );
  const failed = told.next("jwks error");
  time.advance(300_000);
  await failed;
  t.match(identity.status()[0]?.error, /status 302 instead of 200$/, "no redirects");
  t.equal(await judge(), "proven", "and what was known stays, for a while");
  await show(reply({ keys: [agentKey().jwk] }), "ok", 1_000);
  t.equal(await judge(), "key-unknown", "until the directory no longer has it");
});

test("directories that answer nobody keep no provider's keys waiting", async (t) => {
  const front = await startFront(reply({}));
  t.teardown(() => front.close());
  front.behave("silent", "/bot");
  const provider = oidcIssuer(front.url);
  const [bot, asked] = [front.arrival("/bot"), front.arrival(discoveryUrl(""))];
  const agents = [`${front.url}/1/bot`, `${front.url}/2/bot`];
  const { identity } = startIdentity([signatureIssuer(agents), provider], { fetches: 1 });
  t.teardown(() => identity.close());
  await bot;
  await asked;
});

test("agents are addresses, each signature has one memory, and there is one issuer of them", (t) => {
  const folder = t.testdir();
  const file = join(folder, "countersign.yaml");
  const faults = (issuers: string, more = "") => {
    writeFileSync(file, SHORTEST.replace(/^issuers: .*$/m, `issuers: ${issuers}`) + more);
    const loaded = loadConfig(file, {}, ISSUER_TYPES);
    return "config" in loaded ? [] : loaded.faults.map((fault) => faultText(fault).replaceAll(file, ""));
  };
  const one = (agents: string, more = "") => `{ bots: { type: http-signature, agents: [${agents}]${more} } }`;
  const good = '"https://bot.example/keys"';
  t.strictSame(faults(one(good)), []);
  const loaded = loadConfig(file, {}, ISSUER_TYPES);
  const [issuer] = "config" in loaded ? loaded.config.issuers : [];
  t.equal(issuer?.countsOnceFor, 330_000, "it is known for as long as it could come again");
  t.strictSame(faults(one(`${good}, "https://chatgpt.com", "http://127.0.0.1:8080/keys"`)), []);
  for (const bad of [
    "http://bot.example/keys",
    "bot.example",
    "https://u@bot.example/",
    "https://bot.example/k?x",
    "https://*.example/",
    "https://bot.example/{id}",
  ])
    t.match(faults(one(`"${bad}"`)), [/^:3:5\d: the text ".*"; the whole https address of/], bad);
  t.match(faults(one(good), "workers: 2\n"), [/several workers, each of which remembers only the proofs/]);
  t.strictSame(faults(one(good, ", reuse: accept"), "workers: 2\n"), []);
  const two = `{ a: { type: http-signature, agents: [${good}] }, b: { type: http-signature, agents: ["https://b.example/"] } }`;
  t.match(faults(two), [/one issuer for both: that at :3:12 takes the same credentials$/]);
  t.end();
});
