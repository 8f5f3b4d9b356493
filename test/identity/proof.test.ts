import { constants, createHash, generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { Redis } from "ioredis";
import { calculateJwkThumbprint, type JWK } from "jose";
import { type Test, test } from "tap";
import type { DpopConfig } from "../../agent/config/config.ts";
import { confirmationOf } from "../../agent/identity/claims/confirmation.ts";
import { createIdentity } from "../../agent/identity/identity.ts";
import type { Confirmation } from "../../agent/identity/issuer/issuer.ts";
import { Signatures } from "../../agent/identity/jwt/signatures.ts";
import { keptFor, ProofMemory, Proofs } from "../../agent/identity/proof/proofs.ts";
import { ReplayStore } from "../../agent/identity/proof/replay-store.ts";
import type { Replays, Seen } from "../../agent/identity/proof/replays.ts";
import type { Shown } from "../../agent/identity/proof/shown.ts";
import { isTarget } from "../../agent/identity/proof/target.ts";
import { DPOP } from "../support/agent.ts";
import { Clockwork } from "../support/clockwork.ts";
import { signatureIssuer, startIdentity, Told } from "../support/identity.ts";
import { RedisServer } from "../support/redis.ts";
import VECTORS from "../vectors/dpop/dpop-vectors.json" with { type: "json" };
import APPENDIX_A from "../vectors/dpop/rfc8705-appendix-a.json" with { type: "json" };

const NOW = VECTORS.request.now * 1000;
const TOKEN = VECTORS.request.accessToken;

const SIGNATURES = new Signatures();

const sha256 = (text: string | Buffer) => createHash("sha256").update(text).digest("base64url");

/** What a request shows that is made as the vectors' is. */
function shownWith(dpop: string | undefined, changes: Partial<Shown> = {}): Shown {
  return {
    kind: "dpop",
    ath: sha256(TOKEN),
    dpop,
    certificate: undefined,
    method: "GET",
    target: { scheme: "https", host: "api.example.com", path: "/v1/orders" },
    ...changes,
  };
}

/** Judges proofs at an instant, by the reason or `proven`; with a memory of its own unless it is given one. */
function judging(
  changes: Partial<DpopConfig> = {},
  memory = new ProofMemory(NOW - 600_000),
  store?: Replays,
  longest = 0,
) {
  const config = { ...DPOP, maxAge: 300_000, ...changes };
  const proofs = new Proofs(config, memory, SIGNATURES, keptFor(config, longest), store);
  const prove = async (confirmation: Confirmation | undefined, shown: Shown | undefined, now = NOW) =>
    proofs.prove(confirmation, shown, now, () => true);
  return {
    memory,
    prove,
    judge: async (...asked: Parameters<typeof prove>) => {
      const { refusal } = await prove(...asked);
      if (refusal === undefined) return "proven";
      return refusal.claim === undefined ? refusal.reason : `${refusal.reason} ${refusal.claim}`;
    },
  };
}

/** A client with a key, which signs whatever it is told to. */
async function client(type: "P-256" | "ed25519" | number = "P-256") {
  const pair =
    typeof type === "number"
      ? generateKeyPairSync("rsa", { modulusLength: type })
      : type === "ed25519"
        ? generateKeyPairSync("ed25519")
        : generateKeyPairSync("ec", { namedCurve: type });
  const alg = typeof type === "number" ? "PS256" : type === "ed25519" ? "EdDSA" : "ES256";
  const jwk = pair.publicKey.export({ format: "jwk" }) as JWK;
  const padding = typeof type === "number" ? { padding: constants.RSA_PKCS1_PSS_PADDING } : {};
  const claims = {
    jti: "a",
    htm: "GET",
    htu: "https://api.example.com/v1/orders",
    iat: NOW / 1000,
    ath: sha256(TOKEN),
  };
  return {
    jwk,
    private: pair.privateKey.export({ format: "jwk" }),
    jkt: await calculateJwkThumbprint(jwk),
    async sign(changes: object = {}, header: object = {}) {
      const parts = [
        { typ: "dpop+jwt", alg, jwk, ...header },
        { ...claims, ...changes },
      ];
      const input = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
      const how = { key: pair.privateKey, dsaEncoding: "ieee-p1363", saltLength: 32, ...padding } as const;
      return `${input}.${sign(type === "ed25519" ? null : "sha256", Buffer.from(input), how).toString("base64url")}`;
    },
  };
}

test("the example of RFC 9449 is proven, at its time", async (t) => {
  const { proof, expectedJkt: jkt, accessToken, expectedAth, iat } = VECTORS.rfc9449Example;
  t.equal(sha256(accessToken), expectedAth);
  const shown = shownWith(proof, {
    ath: expectedAth,
    target: { scheme: "https", host: "resource.example.org", path: "/protectedresource" },
  });
  const { judge } = judging({}, new ProofMemory(0));
  t.equal(await judge({ jkt }, shown, iat * 1000), "proven");
  t.equal(await judge({ jkt }, shown, iat * 1000), "proof-replayed jti", "once");
});

/** By the name of a vector, the reason and what it is about. */
const EXPECTED: Readonly<Record<string, string>> = {
  valid: "proven",
  "valid htu uppercase host + default port": "proven",
  "valid htu with query in proof (ignored, RFC9449 4.3 #9)": "proven",
  "valid percent-encoding case/unreserved (%6frders)": "proven",
  "wrong htm": "proof-mismatch htm",
  "wrong htm case (get)": "proof-mismatch htm",
  "wrong htu scheme http": "proof-mismatch htu",
  "wrong htu path": "proof-mismatch htu",
  "wrong ath": "proof-mismatch ath",
  "missing ath": "proof-malformed ath",
  "missing jti": "proof-malformed jti",
  "missing iat": "proof-malformed iat",
  "iat as string": "proof-malformed iat",
  "stale iat -600s": "proof-stale iat",
  "future iat +600s": "proof-stale iat",
  "typ JWT": "proof-malformed typ",
  "typ application/dpop+jwt (RFC7515 4.1.9 short form expected)": "proof-malformed typ",
  "jwk holds private d": "proof-malformed jwk",
  "replay of valid (same jti)": "proof-replayed jti",
  "huge jti 4KiB (policy: cap or hash, RFC9449 11.1)": "proof-malformed jti",
  "alg HS256 with oct jwk": "proof-malformed alg",
  "alg none": "proof-malformed",
  "signature tampered": "proof-invalid",
};

test("each of the 23 vectors is taken, or refused for what is wrong with it", async (t) => {
  const { judge } = judging();
  t.strictSame(
    VECTORS.cases.map(({ name }) => name),
    Object.keys(EXPECTED),
  );
  for (const { name, proof, valid } of VECTORS.cases) {
    const outcome = await judge({ jkt: VECTORS.cnfJkt }, shownWith(proof));
    t.equal(outcome, EXPECTED[name], name);
    t.equal(outcome === "proven", valid, name);
  }
});

test("whatever else is wrong with a proof refuses it", async (t) => {
  const { jkt, jwk, sign, ...own } = await client();
  const other = await client();
  const [head = "", body = "", signature = ""] = (await sign()).split(".");
  const encoded = (value: string) => Buffer.from(value).toString("base64url");
  const header = JSON.stringify({ typ: "dpop+jwt", alg: "ES256", jwk });
  const rows: readonly (readonly [string, string, string])[] = [
    ["no proof", "", "proof-malformed"],
    ["two proofs", `${head}.${body}.${signature}, ${head}.${body}.${signature}`, "proof-malformed"],
    ["four parts", `${head}.${body}.${signature}.`, "proof-malformed"],
    ["two parts", `${head}.${body}`, "proof-malformed"],
    ["a signature with padding", `${head}.${body}.${signature}==`, "proof-malformed"],
    [
      "another spelling of the signature",
      `${head}.${body}.${signature.slice(0, -1)}${signature.endsWith("A") ? "B" : "A"}x`,
      "proof-malformed",
    ],
    ["a member twice", `${head}.${encoded('{"jti":"a","jti":"b"}')}.${signature}`, "proof-malformed"],
    [
      "a header with a member twice",
      `${encoded(header.replace("{", '{"typ":"x",'))}.${body}.${signature}`,
      "proof-malformed",
    ],
    ["no JSON", `${head}.${encoded("nothing")}.${signature}`, "proof-malformed"],
    ["a list", `${head}.${encoded("[]")}.${signature}`, "proof-malformed"],
    ["a critical extension", await sign({}, { crit: ["b64"], b64: true }), "proof-malformed crit"],
    ["a critical extension that nobody knows", await sign({}, { crit: ["x"], x: 1 }), "proof-malformed crit"],
    ["a body that is not encoded", await sign({}, { b64: false }), "proof-malformed crit"],
    ["one that is for encryption", await sign({}, { enc: "A256GCM" }), "proof-malformed crit"],
    ["an algorithm for another key", await sign({}, { alg: "ES256", jwk: other.jwk }), "binding-mismatch jkt"],
    ["another client's proof", await other.sign(), "binding-mismatch jkt"],
    ["no key", await sign({}, { jwk: undefined }), "proof-malformed jwk"],
    ["a text for a key", await sign({}, { jwk: JSON.stringify(jwk) }), "proof-malformed jwk"],
    ["a private key", await sign({}, { jwk: own.private }), "proof-malformed jwk"],
    [
      "a type of key that every object has",
      await sign({}, { jwk: { ...jwk, kty: "constructor" } }),
      "proof-malformed jwk",
    ],
    ["half a key", await sign({}, { jwk: { ...jwk, y: undefined } }), "proof-malformed jwk"],
    ["a key for encryption", await sign({ jti: "use" }, { jwk: { ...jwk, use: "enc" } }), "proof-malformed jwk"],
    [
      "a key for another algorithm",
      await sign({ jti: "alg" }, { jwk: { ...jwk, alg: "ES384" } }),
      "proof-malformed jwk",
    ],
    ["no type", await sign({}, { typ: undefined }), "proof-malformed typ"],
    ["the type of an access token", await sign({}, { typ: "at+jwt" }), "proof-malformed typ"],
    ["an empty jti", await sign({ jti: "" }), "proof-malformed jti"],
    ["a number for a jti", await sign({ jti: 7 }), "proof-malformed jti"],
    ["no htm", await sign({ htm: undefined }), "proof-malformed htm"],
    ["another htm", await sign({ htm: "POST" }), "proof-mismatch htm"],
    ["no htu", await sign({ htu: undefined }), "proof-malformed htu"],
    ["another host", await sign({ htu: "https://api.example.org/v1/orders" }), "proof-mismatch htu"],
    ["a proof for the token endpoint", await sign({ ath: undefined }), "proof-malformed ath"],
    ["a list for a nonce", await sign({ nonce: [] }), "proof-malformed nonce"],
    ["a date beyond all", await sign({ iat: 1e300 }), "proof-malformed"],
    ["a millisecond too old", await sign({ iat: NOW / 1000 - 300.001 }), "proof-stale iat"],
    ["a millisecond too far ahead", await sign({ iat: NOW / 1000 + 10.001 }), "proof-stale iat"],
    ["10 KiB", await sign({ more: "a".repeat(10_000) }), "proof-malformed"],
  ];
  const { judge, memory } = judging();
  for (const [name, proof, expected] of rows) t.equal(await judge({ jkt }, shownWith(proof)), expected, name);
  t.equal(memory.replays.entries, 0, "nothing of it is remembered");
  t.equal(await judge({ jkt }, shownWith(undefined)), "proof-missing jkt");
  for (const iat of [NOW / 1000 - 300, NOW / 1000 + 10]) {
    t.equal(await judge({ jkt }, shownWith(await sign({ iat, jti: `${iat}` }))), "proven", "to the millisecond");
  }
});

test("the algorithms that are configured are taken, by keys that are strong enough", async (t) => {
  for (const type of ["P-256", "ed25519", 2048] as const) {
    const { jkt, sign } = await client(type);
    t.equal(await judging().judge({ jkt }, shownWith(await sign())), "proven", `${type}`);
    const { judge } = judging({ algorithms: ["ES384"] });
    t.equal(await judge({ jkt }, shownWith(await sign())), "proof-malformed alg", `${type}`);
  }
  const { jkt, sign } = await client(1024);
  t.equal(await judging().judge({ jkt }, shownWith(await sign())), "proof-malformed jwk");
  const curve = await client();
  const { judge } = judging({ algorithms: ["ES256", "ES384"] });
  t.equal(await judge({ jkt: curve.jkt }, shownWith(await curve.sign())), "proven");
  const other = await curve.sign({ jti: "b" }, { alg: "ES384" });
  t.equal(
    await judge({ jkt: curve.jkt }, shownWith(other)),
    "proof-malformed jwk",
    "nor by a known one of another curve",
  );
});

test("a token is bound to what its confirmation says, and to all of it", async (t) => {
  const { jkt, sign } = await client();
  const x5tS256 = sha256("a certificate");
  const { judge } = judging();
  let jti = 0;
  const proven = async (changes: Partial<Shown> = {}) => shownWith(await sign({ jti: `${jti++}` }), changes);
  const bearer = { kind: "bearer", certificate: x5tS256 } as const;
  for (const [confirmation, shown, expected] of [
    [undefined, await proven({ kind: "bearer" }), "proven"],
    [undefined, await proven(), "token-unbound jkt"],
    [{ jkt }, await proven({ kind: "bearer" }), "token-bound jkt"],
    [{ jkt }, await proven({ certificate: x5tS256 }), "proven"],
    [{ x5tS256 }, await proven(bearer), "proven"],
    [{ x5tS256 }, await proven({ certificate: x5tS256 }), "token-unbound jkt"],
    [{ x5tS256 }, await proven({ kind: "bearer" }), "proof-missing x5t#S256"],
    [{ x5tS256 }, await proven({ kind: "bearer", certificate: sha256("another") }), "binding-mismatch x5t#S256"],
    [{ jkt, x5tS256 }, await proven({ certificate: x5tS256 }), "proven"],
    [{ jkt, x5tS256 }, await proven(bearer), "token-bound jkt"],
    [{ jkt, x5tS256 }, await proven(), "proof-missing x5t#S256"],
    [{ jkt, x5tS256 }, shownWith(undefined, { certificate: x5tS256 }), "proof-missing jkt"],
  ] as const) {
    t.equal(await judge(confirmation, shown), expected, JSON.stringify([confirmation, shown.kind, shown.certificate]));
  }
  t.strictSame(
    [await judge({ jkt }, undefined), await judge({ x5tS256 }, undefined)],
    ["proof-missing", "proof-missing"],
  );
});

test("a token that is bound to what is no hash is refused for that, and not for its proof", (t) => {
  const taken = { proofs: ["dpop", "certificate"], unbound: "accept" } as const;
  for (const name of ["jkt", "x5t#S256"])
    for (const value of ["", "x", TOKEN, `${sha256("x")}=`, `${sha256("x").slice(0, -1)}_`, 7, null])
      t.match(
        confirmationOf({ cnf: { [name]: value } }, taken),
        { reason: "claim-malformed", claim: "cnf" },
        `${name} ${value}`,
      );
  t.end();
});

test("the certificate of RFC 8705, appendix A, has its thumbprint, and is not asked for more", async (t) => {
  const x5tS256 = APPENDIX_A["x5t#S256"];
  const certificate = sha256(Buffer.from(APPENDIX_A.derBase64, "base64"));
  t.equal(certificate, x5tS256);
  t.equal(await judging().judge({ x5tS256 }, shownWith(undefined, { kind: "bearer", certificate })), "proven");
});

test("a URL is the one that the client sees, in any spelling of it and no other", (t) => {
  const target = { scheme: "https", host: "api.example.com", path: "/a/b%2Fc%C3%BC" } as const;
  for (const [htu, expected] of [
    ["https://api.example.com/a/b%2Fc%C3%BC", true],
    ["HTTPS://Api.EXAMPLE.com:443/a/b%2fc%c3%bc", true],
    ["https://api.example.com:/a/b%2Fc%C3%BC?x=1#y", true],
    ["https://api.example.com/%61/./x/../b%2Fc%C3%BC", true],
    ["http://api.example.com/a/b%2Fc%C3%BC", false],
    ["https://api.example.com:8443/a/b%2Fc%C3%BC", false],
    ["https://api.example.com:80/a/b%2Fc%C3%BC", false],
    ["https://api.example.com./a/b%2Fc%C3%BC", false],
    ["https://user@api.example.com/a/b%2Fc%C3%BC", false],
    ["https://api.example.com@evil.example/a/b%2Fc%C3%BC", false],
    ["https://api.example.com\t/a/b%2Fc%C3%BC", false],
    [" https://api.example.com/a/b%2Fc%C3%BC", false],
    ["https:/api.example.com/a/b%2Fc%C3%BC", false],
    ["https:\\\\api.example.com\\a\\b%2Fc%C3%BC", false],
    ["https://\uff41pi.example.com/a/b%2Fc%C3%BC", false],
    ["https://api.example.com/a/b/c%C3%BC", false],
    ["https://api.example.com/a/b%252Fc%C3%BC", false],
    ["https://api.example.com/A/b%2Fc%C3%BC", false],
    ["https://api.example.com/a/b%2Fc\u00fc", false],
    ["https://api.example.com/a/b%2Fc%C3%BC/", false],
    ["https://api.example.com/a/b%2Fc%C3%BC%", false],
    ["https://api.example.com", false],
    ["/a/b%2Fc%C3%BC", false],
    ["", false],
  ] as const) {
    t.equal(isTarget(htu, target, []), expected, htu);
  }
  const own = (host: string, path = "/") => ({ scheme: "https", host, path }) as const;
  t.ok(isTarget("https://api.example.com", own("API.example.com:443"), []), "an empty path is /");
  t.ok(isTarget("https://[2001:db8::A]/", own("[2001:DB8::a]"), []), "an address");
  t.notOk(isTarget("https://api.example.com:8443/", own("api.example.com:8443"), []), "a port nobody serves");
  t.ok(isTarget("https://api.example.com:8443/", own("api.example.com:8443"), [8443]));
  t.notOk(isTarget("https://api.example.com/", own("api.example.com:8443"), [8443]), "another origin");
  t.ok(isTarget("http://api.example.com:80/", { ...own("api.example.com"), scheme: "http" }, []));
  t.end();
});

test("a proof counts once, whatever it is for, until it would be too old", async (t) => {
  const { jkt, sign } = await client();
  // Its two sets take turns 31 s after the first proof.
  const { judge, memory } = judging({ maxAge: 60_000 }, new ProofMemory(NOW - 40_000));
  const first = await sign();
  t.equal(await judge({ jkt }, shownWith(first)), "proven");
  const variant = await sign({ htu: "https://API.example.com:443/v1/orders", iat: NOW / 1000 - 1 });
  t.equal(await judge({ jkt }, shownWith(variant)), "proof-replayed jti", "its jti, made anew for the same key");
  const other = await client();
  t.equal(await judge({ jkt: other.jkt }, shownWith(await other.sign())), "proven", "another client may have the same");
  for (let age = 1_000; age <= 60_000; age += 1_000) {
    const filler = shownWith(await sign({ jti: `${age}`, iat: (NOW + age) / 1000 }));
    t.equal(await judge({ jkt }, filler, NOW + age), "proven");
    if (age % 10_000 === 0)
      t.equal(await judge({ jkt }, shownWith(first), NOW + age), "proof-replayed jti", `after ${age} ms`);
  }
  t.equal(await judge({ jkt }, shownWith(first), NOW + 60_001), "proof-stale iat");
  const most = memory.replays.entries;
  for (const at of [NOW + 200_000, NOW + 300_000]) {
    t.equal(await judge({ jkt }, shownWith(await sign({ jti: `${at}`, iat: at / 1000 })), at), "proven");
  }
  t.ok(memory.replays.entries < most, "and is then forgotten");
});

test("a proof that came before its time counts once, too, to the end of it", async (t) => {
  const { jkt, sign } = await client();
  // Its two sets take turns just after the proof has come, and whenever they may next.
  const { judge } = judging({ maxAge: 60_000 }, new ProofMemory(NOW - 59_000));
  const ahead = shownWith(await sign({ iat: NOW / 1000 + 10 }));
  t.equal(await judge({ jkt }, ahead), "proven");
  for (const later of [2_000, 12_500, 62_000]) {
    const filler = shownWith(await sign({ jti: `${later}`, iat: (NOW + later) / 1000 }));
    t.equal(await judge({ jkt }, filler, NOW + later), "proven");
  }
  t.equal(await judge({ jkt }, ahead, NOW + 70_000), "proof-replayed jti");
});

test("of two that come with one proof at the same time, one is proven", async (t) => {
  const { jkt, sign } = await client();
  const { judge } = judging();
  const proof = await sign();
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => judge({ jkt }, shownWith(proof))));
  t.equal(outcomes.filter((outcome) => outcome === "proven").length, 1);
  t.equal(outcomes.filter((outcome) => outcome === "proof-replayed jti").length, 19);
});

test("a memory that is full, or has not lived long enough, proves nothing", async (t) => {
  const { jkt, sign } = await client();
  const { judge } = judging({ remembered: 3 });
  const outcomes: string[] = [];
  for (let jti = 0; jti < 5; jti++) outcomes.push(await judge({ jkt }, shownWith(await sign({ jti: `${jti}` }))));
  t.strictSame(outcomes, ["proven", "proven", "proven", "proof-unavailable", "proof-unavailable"]);
  t.equal(
    await judge({ jkt }, shownWith(await sign({ jti: "0" }))),
    "proof-replayed jti",
    "what it knows it still knows",
  );

  const young = judging({}, new ProofMemory(NOW + 900));
  const before = shownWith(await sign({ iat: NOW / 1000 - 1 }));
  t.equal(await young.judge({ jkt }, before, NOW + 950), "proof-stale iat", "it may have come before the start");
  t.equal(await young.judge({ jkt }, shownWith(await sign()), NOW + 950), "proven", "of the same second");

  const memory = new ProofMemory(NOW - 600_000);
  const [short, long] = [judging({ maxAge: 10_000 }, memory), judging({ maxAge: 300_000 }, memory)];
  const proof = shownWith(await sign({ jti: "reloaded" }));
  t.equal(await short.judge({ jkt }, proof), "proven");
  for (const later of [30_000, 60_000, 90_000]) {
    const filler = await sign({ jti: `${later}`, iat: (NOW + later) / 1000 });
    t.equal(await short.judge({ jkt }, shownWith(filler), NOW + later), "proven");
  }
  t.equal(await long.judge({ jkt }, proof, NOW + 91_000), "proof-stale iat", "a reload that lets proofs live longer");
});

test("with nonces a proof needs one of ours, which is told, and told anew before it ends", async (t) => {
  const { jkt, sign } = await client();
  const { prove, memory } = judging({ nonces: true, maxAge: 60_000 });
  const at = async (now: number, nonce?: string, judge = prove) => {
    const proof = await sign({ jti: `${now} ${nonce}`, iat: now / 1000, ...(nonce === undefined ? {} : { nonce }) });
    return judge({ jkt }, shownWith(proof), now);
  };
  const start = Math.ceil(NOW / 60_000) * 60_000;
  const asked = await at(start);
  t.match(asked, { refusal: { reason: "proof-nonce" }, nonce: /^[\w-]{22}$/ });
  t.match(await at(start, "guessed"), { refusal: { reason: "proof-nonce" }, nonce: asked.nonce });
  t.strictSame(await at(start + 59_999, asked.nonce), { refusal: undefined, nonce: undefined });
  const renewed = await at(start + 60_000, asked.nonce);
  t.equal(renewed.refusal, undefined, "good for another period");
  t.match(renewed.nonce, /^[\w-]{22}$/);
  t.not(renewed.nonce, asked.nonce);
  t.match(await at(start + 120_000, asked.nonce), { refusal: { reason: "proof-nonce" } });
  t.equal((await at(start + 120_000, renewed.nonce)).refusal, undefined);

  const reloaded = judging({ nonces: true, maxAge: 60_000 }, memory);
  t.equal((await at(start + 120_001, renewed.nonce, reloaded.prove)).refusal, undefined, "after a reload");
  const restarted = judging({ nonces: true, maxAge: 60_000 });
  t.match(
    await at(start + 120_002, renewed.nonce, restarted.prove),
    { refusal: { reason: "proof-nonce" } },
    "not after a restart",
  );
  const secret = "a secret of at least 32 characters";
  const [one, two] = [judging({ nonces: true, secret }), judging({ nonces: true, secret })];
  const { nonce } = await at(start, undefined, one.prove);
  t.equal((await at(start + 1, nonce, two.prove)).refusal, undefined, "agents with one secret share nonces");
  const off = judging();
  t.strictSame(
    await at(start, "anything", off.prove),
    { refusal: undefined, nonce: undefined },
    "without nonces it counts for nothing",
  );
});

test("credentials that count once and DPoP proofs take no room from each other, and are kept each for their own time", async (t) => {
  const { jkt, sign } = await client();
  const { judge } = judging({ remembered: 1, maxAge: 60_000 }, undefined, undefined, 330_000);
  const once = (digest: string, now = NOW) => judge({ once: { digest, madeAt: now } }, shownWith(undefined), now);
  const proof = async (jti: string, now = NOW) => judge({ jkt }, shownWith(await sign({ jti, iat: now / 1000 })), now);
  const outcomes = [await once("a"), await once("a"), await once("b")];
  t.strictSame(outcomes, ["proven", "proof-replayed", "proof-unavailable"]);
  t.strictSame([await proof("a"), await proof("b")], ["proven", "proof-unavailable"]);
  const later = NOW + 150_000;
  await proof("c", NOW + 75_000);
  t.equal(await proof("d", later), "proven", "proofs are forgotten as if there was nothing else");
  t.equal(await once("b", later), "proof-unavailable", "what may come again for longer is not");
  t.equal(await once("a", later), "proof-replayed");
});

test("a proof that nobody waits for any more is not used up", async (t) => {
  const { jkt, sign } = await client();
  const { identity, time } = startIdentity([]);
  t.teardown(() => identity.close());
  const shown = shownWith(await sign({ iat: Math.floor(time.now / 1000) }));
  const reason = async (isWanted: boolean) =>
    (await identity.prove({ jkt }, shown, time.now, { wanted: () => isWanted })).refusal?.reason;
  t.strictSame(
    [await reason(false), await reason(true), await reason(true)],
    ["overloaded", undefined, "proof-replayed"],
  );
});

test("where nothing is said of proofs, nobody proves to have a key", async (t) => {
  const { jkt, sign } = await client();
  const [cache, limits] = [
    { identities: 1, lifetime: 1, refusals: 1 },
    { token: 8192, fetches: 1 },
  ];
  const send = () => Promise.reject(new Error("nobody is asked"));
  const identity = createIdentity([], { cache, limits, send, clock: () => NOW, events: new Told() });
  t.teardown(() => identity.close());
  const proving = await identity.prove({ jkt }, shownWith(await sign()), NOW, { wanted: () => true });
  t.match(proving, { refusal: { reason: "proof-missing" } });
});

test("a store that is away, or says nothing that is understood, proves nothing", async (t: Test) => {
  const { jkt, sign } = await client();
  for (const [note, expected] of [
    [() => "new", "proven"],
    [() => Promise.resolve("before"), "proof-replayed jti"],
    [() => Promise.resolve("unavailable"), "proof-unavailable"],
    [() => Promise.reject(new Error("a bug")), "agent-error"],
    [() => Promise.resolve("OK"), "agent-error"],
  ] as const) {
    const { judge } = judging({}, undefined, { note } as Replays);
    t.equal(await judge({ jkt }, shownWith(await sign())), expected, `${note}`);
  }
});

test("a connection to a store on which nothing comes any more is given up for another", async (t) => {
  const redis = await RedisServer.start(t, "hunter2");
  const dead = new Set<Socket>();
  const clients: Socket[] = [];
  const relay = createServer((client) => {
    clients.push(client);
    const store = connect(redis.port, "127.0.0.1");
    for (const [from, to] of [
      [client, store],
      [store, client],
    ] as const) {
      from.on("data", (chunk) => dead.has(client) || to.write(chunk));
      from.on("error", () => {}).on("close", () => to.destroy());
    }
  }).listen(0, "127.0.0.1");
  t.teardown(() => relay.close());
  await once(relay, "listening");
  const url = redis.url.replace(`:${redis.port}`, `:${(relay.address() as AddressInfo).port}`);
  const ready = Promise.withResolvers<void>();
  const store = new ReplayStore({ url, timeout: 100 }, 60_000, (problem) => problem ?? ready.resolve());
  t.teardown(() => store.close());
  await ready.promise;
  t.equal(await store.note("a"), "new");
  for (const client of clients) dead.add(client);
  t.equal(await store.note("b"), "unavailable");
  let seen = await store.note("c");
  for (; seen === "unavailable"; seen = await store.note("c")) await setImmediate();
  t.equal(clients.length, 2);
});

test("no more proofs wait for a store than there is room for, of either kind", async (t) => {
  const { jkt, sign } = await client();
  const gate = Promise.withResolvers<Seen>();
  const { judge, memory } = judging({}, undefined, { note: () => gate.promise });
  const once = (n: number) => judge({ once: { digest: `${n}`, madeAt: NOW } }, shownWith(undefined));
  const waiting = Array.from({ length: 1024 }, (_, n) => once(n));
  t.equal(await once(1024), "overloaded");
  t.equal(await judge({ jkt }, shownWith(await sign())), "overloaded");
  gate.resolve("new");
  t.strictSame(new Set(await Promise.all(waiting)), new Set(["proven"]));
  t.equal(memory.checking, 0);
  t.equal(await once(1025), "proven");
});

test("what may have come to a store counts no more once the agent remembers for itself", async (t) => {
  const { jkt, sign } = await client();
  const time = new Clockwork();
  const made = (jti: string) => sign({ jti, iat: Math.floor(time.now / 1000) });
  const first = startIdentity([], { time });
  const dpop = { ...DPOP, store: { url: "redis://127.0.0.1:1", timeout: 100 } };
  const stored = startIdentity([], { time, previous: first.identity, dpop });
  first.identity.close();
  const early = await made("early");
  time.now += 5_000;
  const last = startIdentity([], { time, previous: stored.identity });
  t.teardown(() => last.identity.close());
  const judge = async (proof: string) =>
    (await last.identity.prove({ jkt }, shownWith(proof), time.now, { wanted: () => true })).refusal?.reason;
  t.equal(await judge(early), "proof-stale");
  t.equal(await judge(await made("new")), undefined);
  const meanwhile = await made("meanwhile");
  time.now += 5_000;
  stored.identity.close();
  t.equal(await judge(meanwhile), "proof-stale", "nor what came until the snapshot before had ended");
  t.equal(await judge(await made("newer")), undefined);
});

test("what has come once is known after a reload, whatever it changes, and a store has one connection for all of it", async (t) => {
  const { jkt, sign } = await client();
  const now = Date.now();
  const proof = (jti: string) => sign({ jti, iat: Math.floor(now / 1000) });
  const judge = async ({ identity }: ReturnType<typeof startIdentity>, dpop: string) => {
    const { refusal } = await identity.prove({ jkt }, shownWith(dpop), now, { wanted: () => true });
    return refusal?.reason ?? "proven";
  };
  const first = startIdentity([]);
  const used = await proof("memory");
  t.equal(await judge(first, used), "proven");
  t.strictSame(first.identity.caches().proofs, { entries: 1, limit: 1000 });
  const second = startIdentity([], { previous: first.identity, dpop: { ...DPOP, maxAge: 30_000, remembered: 2000 } });
  first.identity.close();
  t.equal(await judge(second, used), "proof-replayed");
  t.equal(await judge(second, await proof("another")), "proven");
  second.identity.close();

  const redis = await RedisServer.start(t, "hunter2");
  const stored: DpopConfig = { ...DPOP, store: { url: redis.url, timeout: 1_000 } };
  const observer = new Redis(redis.url);
  t.teardown(() => observer.disconnect());
  const connections = async () => Number(/connected_clients:(\d+)/.exec(await observer.info("clients"))?.[1]) - 1;
  const until = async (count: number) => {
    while ((await connections()) !== count);
  };
  const one = startIdentity([], { dpop: stored });
  await one.told.next("store ok");
  t.equal(one.identity.caches().proofs, undefined);
  const shared = await proof("store");
  t.equal(await judge(one, shared), "proven");
  const other = startIdentity([], { dpop: stored });
  await other.told.next("store ok");
  t.equal(await judge(other, shared), "proof-replayed", "another agent knows it, too");
  other.identity.close();
  const next = startIdentity([], { previous: one.identity, dpop: stored });
  one.identity.close();
  t.equal(await judge(next, shared), "proof-replayed", "the connection goes over");
  await until(1);
  const keys = await observer.keys("*");
  t.match(keys, [/^countersign:dpop:[\w-]{43}$/]);
  const left = await observer.pttl(keys[0] ?? "");
  t.ok(left > 0 && left <= DPOP.maxAge + DPOP.clockTolerance + 1_000, `forgotten in ${left} ms`);
  const agents = { ...signatureIssuer([]), countsOnceFor: 600_000 };
  const signing = startIdentity([agents], { dpop: stored });
  await signing.told.next("store ok");
  const signature = { once: { digest: "a signature", madeAt: now } };
  await signing.identity.prove(signature, shownWith(undefined), now, { wanted: () => true });
  signing.identity.close();
  const kept = await Promise.all((await observer.keys("*")).map((key) => observer.pttl(key)));
  t.ok(Math.max(...kept) > 590_000, "what counts once for longer is known for longer");
  const changed = startIdentity([], { previous: next.identity, dpop: { ...stored, maxAge: 90_000 } });
  await changed.told.next("store ok");
  next.identity.close();
  await until(1);
  changed.identity.close();
  await until(0);
});
