import { constants, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { CompactSign, compactVerify, importJWK, type JWK } from "jose";
import { test } from "tap";
import { send } from "../../agent/http/fetch.ts";
import { Slots } from "../../agent/http/slots.ts";
import { importKey, type Key } from "../../agent/identity/jwt/key.ts";
import { ALGORITHMS } from "../../agent/identity/jwt/signature.ts";
import { Signatures } from "../../agent/identity/jwt/signatures.ts";
import { parseToken } from "../../agent/identity/jwt/token.ts";
import { evidenceOf } from "../../agent/identity/offered.ts";
import { OIDC } from "../../agent/identity/oidc/oidc.ts";
import { Clockwork } from "../support/clockwork.ts";
import { oidcIssuer, startIdentity, Told } from "../support/identity.ts";
import { folderOf } from "../support/serve.ts";
import { newKit } from "./forge.ts";

const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };

const newRsa = () => generateKeyPairSync("rsa", { modulusLength: 2048 });
/** Slow to make, so made once. */
const RSA = [newRsa(), newRsa()] as const;

function newPair(algorithm: string) {
  const namedCurve = CURVES[algorithm];
  return namedCurve === undefined ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve });
}

function pairsFor(algorithm: string) {
  return /^[RP]S/.test(algorithm) ? RSA : ([newPair(algorithm), newPair(algorithm)] as const);
}

function keyOf(publicKey: KeyObject): Key {
  const key = importKey(publicKey.export({ format: "jwk" }), ALGORITHMS);
  if ("why" in key) throw new Error("not a key");
  return key;
}

async function signed(algorithm: string, privateKey: KeyObject, payload = '{"sub":"alice"}'): Promise<string> {
  return await new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg: algorithm }).sign(privateKey);
}

/** The token with another signature, made from its own. */
function respell(token: string, change: (signature: Buffer) => Buffer): string {
  const end = token.lastIndexOf(".") + 1;
  return token.slice(0, end) + change(Buffer.from(token.slice(end), "base64url")).toString("base64url");
}

const flip = (at: number) => (signature: Buffer) => {
  const flipped = Buffer.from(signature);
  const i = at < 0 ? flipped.length + at : at;
  flipped[i] = (flipped[i] ?? 0) ^ 1;
  return flipped;
};

const CHANGES: Readonly<Record<string, (token: string) => string>> = {
  nothing: (token) => token,
  "the first bit of the signature": (token) => respell(token, flip(0)),
  "the last bit of the signature": (token) => respell(token, flip(-1)),
  "a signature of zeros": (token) => respell(token, (signature) => Buffer.alloc(signature.length)),
  "a signature of ones": (token) => respell(token, (signature) => Buffer.alloc(signature.length, 0xff)),
  "a byte more": (token) => respell(token, (signature) => Buffer.concat([signature, Buffer.of(0)])),
  "a zero in front": (token) => respell(token, (signature) => Buffer.concat([Buffer.of(0), signature])),
  "a byte less": (token) => respell(token, (signature) => signature.subarray(1)),
  "the halves of the signature swapped": (token) =>
    respell(token, (signature) => {
      const half = signature.length / 2;
      return Buffer.concat([signature.subarray(half), signature.subarray(0, half)]);
    }),
  "another payload": (token) => token.replace(/\.[^.]+\./, `.${Buffer.from('{"sub":"bob"}').toString("base64url")}.`),
};

async function byJose(token: string, algorithm: string, publicKey: KeyObject): Promise<boolean> {
  return await compactVerify(token, publicKey, { algorithms: [algorithm] }).then(
    () => true,
    () => false,
  );
}

for (const algorithm of ALGORITHMS) {
  test(`${algorithm}: signatures are right and wrong as jose finds them`, async (t) => {
    const signatures = new Signatures();
    const [own, other] = pairsFor(algorithm);
    const token = await signedWith(algorithm, own.privateKey, (first) => first !== 0);
    for (const [what, change] of Object.entries(CHANGES)) {
      for (const [whose, { publicKey }] of [["own", own] as const, ["other", other] as const]) {
        const changed = change(token);
        const right = what === "nothing" && whose === "own";
        t.equal(await signatures.check(changed, algorithm, keyOf(publicKey)), right, `${what}, ${whose} key`);
        t.equal(await byJose(changed, algorithm, publicKey), right, `${what}, ${whose} key, by jose`);
      }
    }
  });
}

/** A token whose signature begins so: one that begins with zeros can be cut, and OpenSSL reads the same number. */
async function signedWith(algorithm: string, key: KeyObject, wanted: (first: number) => boolean): Promise<string> {
  for (let n = 0; ; n++) {
    const token = await signed(algorithm, key, `{"n":${n}}`);
    const [first = 0] = Buffer.from(token.slice(token.lastIndexOf(".") + 1), "base64url");
    if (wanted(first)) return token;
  }
}

for (const algorithm of ["RS256", "PS256"]) {
  test(`${algorithm}: a signature has one spelling, also where its number begins with zeros (RFC 8017, section 8)`, async (t) => {
    const signatures = new Signatures();
    const [{ privateKey, publicKey }] = RSA;
    const key = keyOf(publicKey);
    const token = await signedWith(algorithm, privateKey, (first) => first === 0);
    t.equal(await signatures.check(token, algorithm, key), true);
    const shorter = respell(token, (signature) => signature.subarray(1));
    t.equal(await signatures.check(shorter, algorithm, key), false, "without the zero");
    const longer = respell(token, (signature) => Buffer.concat([Buffer.of(0), signature]));
    t.equal(await signatures.check(longer, algorithm, key), false, "with one more");
  });
}

test("a PSS signature has a salt as long as the hash, and no other (RFC 7518, section 3.5)", async (t) => {
  const signatures = new Signatures();
  const [{ privateKey, publicKey }] = RSA;
  const input = `${Buffer.from('{"alg":"PS256"}').toString("base64url")}.e30`;
  for (const saltLength of [32, 0, 20, 33, constants.RSA_PSS_SALTLEN_MAX_SIGN]) {
    const how = { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
    const token = `${input}.${sign("sha256", Buffer.from(input), how).toString("base64url")}`;
    t.equal(await signatures.check(token, "PS256", keyOf(publicKey)), saltLength === 32, `${saltLength} octets`);
    t.equal(await byJose(token, "PS256", publicKey), saltLength === 32, `${saltLength} octets, by jose`);
  }
});

test("a signature by another algorithm of the same key is wrong", async (t) => {
  const signatures = new Signatures();
  const [{ privateKey, publicKey }] = RSA;
  const key = keyOf(publicKey);
  const rsa = ALGORITHMS.filter((algorithm) => /^[RP]S/.test(algorithm));
  for (const used of rsa) {
    const token = await signed(used, privateKey);
    const found = await Promise.all(rsa.map((algorithm) => signatures.check(token, algorithm, key)));
    t.same(
      found,
      rsa.map((algorithm) => algorithm === used),
      used,
    );
  }
});

test("a thousand checks at once, of more keys than are kept, each get their own answer", async (t) => {
  const signatures = new Signatures();
  const pairs = Array.from({ length: 1_100 }, () => newPair("EdDSA"));
  const keys = pairs.map(({ publicKey }) => keyOf(publicKey));
  const tokens = await Promise.all(pairs.map(({ privateKey }, i) => signed("EdDSA", privateKey, `{"n":${i}}`)));
  // Every third token is held against its neighbour's key.
  const keyFor = (i: number) => keys[i % 3 === 0 ? (i + 1) % keys.length : i] as Key;
  const found = await Promise.all(tokens.map((token, i) => signatures.check(token, "EdDSA", keyFor(i))));
  t.same(
    found,
    tokens.map((_, i) => i % 3 !== 0),
  );
});

test("whatever a text holds, no other one's answer is for it", async (t) => {
  const signatures = new Signatures();
  const { privateKey, publicKey } = newPair("EdDSA");
  const key = keyOf(publicKey);
  const good = await signed("EdDSA", privateKey);
  const texts = ["a.b.c\na.b.c", "", good, `${good}\n${good}`, respell(good, flip(0)), good];
  const found = await Promise.all(texts.map((text) => signatures.check(text, "EdDSA", key)));
  t.same(found, [false, false, true, false, false, true]);
});

test("what nobody waits for any more is dropped where somebody waits, and done where nobody does", async (t) => {
  const signatures = new Signatures();
  const { privateKey, publicKey } = newPair("EdDSA");
  const key = keyOf(publicKey);
  const token = await signed("EdDSA", privateKey);
  const asked = (count: number, wanted: () => boolean) =>
    Array.from({ length: count }, () => signatures.check(token, "EdDSA", key, wanted));
  let flood = true;
  const gone = asked(300, () => flood);
  const [live = Promise.resolve(false)] = asked(1, () => true);
  const more = asked(300, () => flood);
  flood = false;
  t.equal(await live, true, "the one that is waited for is the thread's first");
  t.strictSame(new Set(await Promise.all([...gone, ...more])), new Set(["dropped"]));
  t.same(await Promise.all(asked(20, () => false)), Array(20).fill(true), "an idle thread goes on");
  const left = await Promise.all(asked(1_000, () => false));
  t.strictSame(
    [left.filter((outcome) => outcome === true).length, left.at(-1)],
    [128, true],
    "with the newest of them",
  );
  const busy = asked(64, () => true);
  await new Promise(setImmediate);
  const late = asked(50, () => false);
  const [last = Promise.resolve(false)] = asked(1, () => true);
  t.same(await Promise.all([...busy, last]), Array(65).fill(true));
  t.strictSame(new Set(await Promise.all(late)), new Set(["dropped"]), "nor does anything wait behind them later");
});

test("a verification goes on for as long as one of those who asked for it waits", async (t) => {
  const kit = await newKit("");
  const { identity, time } = startIdentity([oidcIssuer(kit.provider.issuer)]);
  t.teardown(async () => {
    identity.close();
    await kit.provider.close();
  });
  await identity.ready();
  const waiter = { wanted: () => waiting };
  let waiting = true;
  const [shared, alone, live] = [await kit.signed({ a: 1 }), await kit.signed({ a: 2 }), await kit.signed({ a: 3 })];
  const asked = [
    identity.verify(shared, time.now, waiter),
    identity.verify(alone, time.now, waiter),
    identity.verify(live, time.now),
    identity.verify(shared, time.now),
  ];
  waiting = false;
  const [first, second, third, fourth] = await Promise.all(asked);
  t.equal(second?.principal, undefined);
  t.match(second, { reason: "overloaded" }, "nobody waits");
  for (const verification of [first, third, fourth]) t.equal(verification?.principal?.subject, "alice");
  t.equal((await identity.verify(alone, time.now)).principal?.subject, "alice", "and nothing is held against it");
});

test("what cannot be checked is an error, never an answer", async (t) => {
  const signatures = new Signatures();
  const { privateKey, publicKey } = newPair("ES256");
  const token = await signed("ES256", privateKey);
  t.match(await failure(signatures.check(token, "HS256", keyOf(publicKey))), /cannot be checked/);
  t.equal(await signatures.check(token, "ES256", keyOf(RSA[0].publicKey)), false, "a key of another kind");
  t.equal(await signatures.check(token, "ES256", keyOf(publicKey)), true, "and the thread goes on");
});

test("a thread that ends takes no check with it unanswered, and comes back", async (t) => {
  const flag = join(folderOf(t, {}), "has-died");
  const signatures = new Signatures(dyingOnce(flag));
  await signatures.start();
  const { privateKey, publicKey } = newPair("ES256");
  const key = keyOf(publicKey);
  const token = await signed("ES256", privateKey);
  const lost = await Promise.all([1, 2, 3].map(() => failure(signatures.check(token, "ES256", key))));
  t.match(lost, [/has ended/, /has ended/, /has ended/]);
  t.match(await failure(signatures.check(token, "ES256", key)), /has ended/, "not started again at once");
  await setTimeout(1_100);
  t.equal(await signatures.check(token, "ES256", key), true, "a new thread, told the key anew");
  t.equal(await signatures.check(respell(token, flip(3)), "ES256", key), false);
});

test("a token that could not be checked is refused for that alone, and taken once it can be", async (t) => {
  const kit = await newKit("");
  const time = new Clockwork();
  const signatures = new Signatures(dyingOnce(join(folderOf(t, {}), "has-died")));
  const { clock, schedule } = time;
  const world = { clock, schedule, send, slots: new Slots(1), signatures, events: new Told(), deadline: 0 };
  const issuer = OIDC.create(oidcIssuer(kit.provider.issuer), { ...world, due: undefined });
  t.teardown(async () => {
    issuer.close();
    await kit.provider.close();
  });
  await issuer.ready();
  const evidence = evidenceOf(await kit.signed());
  if (evidence === undefined) throw new Error("no evidence");
  const found = async () => issuer.verify(evidence, time.now, () => true);
  t.strictSame(await found(), { reason: "agent-error" });
  await setTimeout(1_100);
  t.match(await found(), { principal: { subject: "alice" } });
});

/** The thread's own script, but the first time it ends at the first message. */
function dyingOnce(flag: string): URL {
  const thread = new URL("../../agent/identity/jwt/signature-worker.ts", import.meta.url);
  return new URL(`data:text/javascript,
    import { existsSync, writeFileSync } from "node:fs";
    import { parentPort } from "node:worker_threads";
    if (existsSync("${flag}")) await import("${thread}");
    else parentPort.on("message", ({ lengths }) => {
      if (lengths.length === 0) return parentPort.postMessage(new Uint8Array());
      writeFileSync("${flag}", "");
      process.exit(1);
    });`);
}

test("the thread has started when it can check, and not when it only runs", async (t) => {
  const folder = folderOf(t, {});
  const [runs, go] = [join(folder, "runs"), join(folder, "go")];
  const thread = new URL("../../agent/identity/jwt/signature-worker.ts", import.meta.url);
  const signatures = new Signatures(
    new URL(`data:text/javascript,
      import { existsSync, writeFileSync } from "node:fs";
      writeFileSync("${runs}", "");
      while (!existsSync("${go}")) await new Promise((done) => setTimeout(done, 5));
      await import("${thread}");`),
  );
  let started = false;
  const start = signatures.start().then(() => (started = true));
  while (!existsSync(runs)) await setTimeout(5);
  await setTimeout(50);
  t.notOk(started);
  writeFileSync(go, "");
  await start;
  const { privateKey, publicKey } = newPair("EdDSA");
  t.equal(await signatures.check(await signed("EdDSA", privateKey), "EdDSA", keyOf(publicKey)), true);
});

async function failure(check: Promise<unknown>): Promise<string> {
  return await check.then(
    (right) => `answered ${right}`,
    (error: Error) => error.message,
  );
}

/** A group of vectors of Project Wycheproof: a key, or several, and what was made with it. */
interface Group {
  readonly public?: JWK | { readonly keys: readonly JWK[] };
  readonly private: JWK | { readonly keys: readonly JWK[] };
  readonly tests: readonly {
    readonly tcId: number;
    readonly comment: string;
    readonly result: "valid" | "invalid";
    readonly jws?: unknown;
    readonly jwe?: unknown;
  }[];
}

function wycheproof(name: string) {
  const file = new URL(`../vectors/wycheproof/json_web_${name}_test.json`, import.meta.url);
  const { testGroups, numberOfTests } = JSON.parse(readFileSync(file, "utf8"));
  return { groups: testGroups as readonly Group[], numberOfTests };
}

function jwksOf({ public: open, private: closed }: Group): readonly JWK[] {
  const keys = open ?? closed;
  return "keys" in keys && Array.isArray(keys.keys) ? keys.keys : [keys as JWK];
}

/** Whether a JWS would be taken with one of these keys. Its payload is no set of claims, so claims stand in for it. */
async function isTaken(signatures: Signatures, jws: string, jwks: readonly JWK[]): Promise<boolean> {
  const [head, payload = "", signature, ...more] = jws.split(".");
  const token = parseToken([head, Buffer.from("{}").toString("base64url"), signature, ...more].join("."));
  if (typeof token === "string" || Buffer.from(payload, "base64url").toString("base64url") !== payload) return false;
  const keys = jwks.flatMap((jwk) => {
    const key = importKey(jwk, ALGORITHMS);
    return "why" in key ? [] : [key];
  });
  const fits = (key: Key) => (token.kid ?? key.kid) === key.kid && key.algorithms.has(token.algorithm);
  for (const key of keys.filter(fits)) if ((await signatures.check(jws, token.algorithm, key)) === true) return true;
  return false;
}

/** Symmetric keys never count here, and Wycheproof writes ES512 as `ES521`, as no RFC does. */
const REFUSED_THOUGH_VALID = /^(?:HS\d+|ES521)$/;

/** Where this agent differs from Wycheproof. */
const DIFFERENT: ReadonlyMap<string, boolean> = new Map([
  // RFC 7520, figure 20, is signed with PS384; the vectors' key says that it is for PS256 alone.
  ["signature 346", false],
  ["signature 350", false],
]);

for (const name of ["signature", "key"]) {
  test(`JSON Web ${name}: Wycheproof's vectors are taken and refused as they say, and jose takes all that is taken`, async (t) => {
    const signatures = new Signatures();
    const { groups, numberOfTests } = wycheproof(name);
    const seen = { taken: 0, refused: 0 };
    for (const group of groups) {
      const jwks = jwksOf(group);
      for (const { tcId, comment, result, jws } of group.tests) {
        // JSON serialization stands there as an object: as a bearer token it would be its text.
        const text = typeof jws === "string" ? jws : JSON.stringify(jws);
        const taken = await isTaken(signatures, text, jwks);
        const known = jwks.every(({ alg = "" }) => !REFUSED_THOUGH_VALID.test(alg));
        const own = DIFFERENT.get(`${name} ${tcId}`);
        t.equal(taken, own ?? (result === "valid" && known), `${tcId}: ${comment}, ${result}`);
        if (taken) {
          const byJose = jwks.map(async (jwk) => compactVerify(text, await importJWK(jwk, jwk.alg)));
          await t.resolves(Promise.any(byJose), `${tcId} is good to jose`);
        }
        seen[taken ? "taken" : "refused"]++;
      }
    }
    t.equal(seen.taken + seen.refused, numberOfTests, "all of them");
    t.comment(JSON.stringify(seen));
  });
}

test("JSON Web Encryption: of Wycheproof's vectors none is ever a token", (t) => {
  const { groups, numberOfTests } = wycheproof("encryption");
  const reasons = groups.flatMap(({ tests }) =>
    tests.map(({ jwe }) => parseToken(typeof jwe === "string" ? jwe : JSON.stringify(jwe))),
  );
  t.equal(reasons.length, numberOfTests);
  t.strictSame([...new Set(reasons)].sort(), ["token-encrypted", "token-malformed"]);
  t.end();
});
