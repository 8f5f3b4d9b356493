import { createPublicKey, generateKeyPairSync, randomBytes, verify } from "node:crypto";
import { Registry } from "prom-client";
import { test } from "tap";
import { Channel } from "../../agent/answer/channel.ts";
import { Texts } from "../../agent/answer/texts.ts";
import { Signing } from "../../agent/assertion/signing.ts";
import type { SigningKey } from "../../agent/assertion/signing-batch.ts";
import { Pool } from "../../agent/identity/claims/pool.ts";
import { InFlight } from "../../agent/identity/in-flight.ts";
import { parseToken } from "../../agent/identity/jwt/token.ts";
import { ProofMemory } from "../../agent/identity/proof/proofs.ts";
import { Seat } from "../../agent/processes/workers/seat.ts";
import { WholeLines } from "../../agent/processes/workers/whole-lines.ts";
import { DecisionLines } from "../../agent/telemetry/decision-log.ts";
import { lastUses } from "../../agent/telemetry/metrics/last-uses.ts";
import type { Contract } from "../../haproxy/contract.ts";
import { parseExposition } from "../support/exposition.ts";
import { decide, policiesFrom, principalFrom } from "../support/policies.ts";
import { decision, loaded, NOON, observation, recorded } from "../support/telemetry.ts";

test("of more channels than are kept each is what its HAProxy has shown", (t) => {
  const contract = (n: number): Contract => ({ version: 1, variables: ["subject"], headers: [`x-auth-${n}`] });
  const of = (n: number) => Channel.of(contract(n), ["id", "contract"]);
  const first = of(0);
  t.equal(of(0), first);
  for (let n = 1; n <= 64; n++) t.strictSame([...of(n).headerNumbers], [[`x-auth-${n}`, 1]]);
  t.not(of(0), first, "forgotten");
  t.strictSame(of(0).contract, first.contract, "and learned anew");
  t.end();
});

test("of more texts than there is room for each is read as it came", (t) => {
  const texts = new Texts();
  const read: [text: string, sent: string][] = [];
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 2_000; n++) {
      const bytes = Buffer.from(`/v1/orders/${n * 7919}/${n}`);
      read.push([texts.of(bytes, 0, bytes.length), bytes.toString()]);
    }
  }
  t.strictSame(
    read.filter(([text, sent]) => text !== sent),
    [],
  );
  t.end();
});

test("of more hosts, paths, roles and rules than are remembered each is judged as the first", (t) => {
  const names = Array.from({ length: 13 }, (_, n) => `r${n}`);
  const routes = names.flatMap((name) => [
    `{ name: ${name}-get, match: ["GET /${name}/{id}"], allow: [${name}] }`,
    `{ name: ${name}-put, match: ["PUT /${name}/{id}"], allow: [${name}] }`,
  ]);
  const policies = policiesFrom(`
roles: { ${names.map((name) => `${name}: [{ issuer: okta, group: ${name} }]`).join(", ")} }
services: { s: { hosts: ["*.example.com"], audiences: [api://orders], backend: b, routes: [${routes.join(", ")}] } }
`);
  const wrong: string[] = [];
  // Each combination of roles, each from a host, and of a path, of its own.
  for (let n = 0; n < 1 << names.length; n++) {
    const groups = names.filter((_, i) => (n >> i) & 1);
    const name = names[n % names.length] ?? "";
    const { reason } = decide(policies, `GET https://h${n}.example.com/${name}/${n}`, principalFrom({ groups }));
    if (reason !== (groups.includes(name) ? "allowed" : "role-missing")) wrong.push(`${n}: ${reason}`);
  }
  const alice = principalFrom({ groups: names.slice(0, 12) });
  for (let round = 0; round < 40; round++) {
    for (const [i, name] of names.entries()) {
      for (const method of ["GET", "PUT"]) {
        const { reason, rule } = decide(policies, `${method} https://a.example.com/${name}/1`, alice);
        if (reason !== (i < 12 ? "allowed" : "role-missing") || rule !== `s/${name}-${method.toLowerCase()}`)
          wrong.push(rule);
      }
    }
  }
  t.strictSame(wrong, []);
  t.end();
});

test("of more verifications at a time than there is room for each is joined as itself or not at all", (t) => {
  const inFlight = new InFlight();
  const verification = Promise.resolve({ principal: undefined, reason: "signature-invalid" } as const);
  const digests = Array.from({ length: 20_000 }, () => randomBytes(32).toString("latin1"));
  const own = new Map(digests.map((digest) => [digest, verification.then((done) => done)]));
  for (const [digest, each] of own) inFlight.add("bearer", digest, each, []);
  const joined = [...own].map(([digest, each]) => [inFlight.join("bearer", digest, { wanted: () => true }), each]);
  t.ok(joined.every(([found, each]) => found === undefined || found === each));
  const found = joined.filter(([each]) => each !== undefined).length;
  t.ok(found > 4_000 && found <= 8_192, `${found} are joined`);
  t.end();
});

test("of more claims than tokens can share each is as its token has it", (t) => {
  const pool = new Pool();
  const claims = (n: number) => ({ name: `n${n}`, groups: [`g${n}`, `h${n % 7}`] });
  const all = Array.from({ length: 10_000 }, (_, n) => pool.compact(claims(n)));
  t.strictSame(
    all.map((each) => each.name),
    all.map((_, n) => claims(n).name),
  );
  t.ok(all.every(({ groups }, n) => JSON.stringify(groups) === JSON.stringify(claims(n).groups)));
  t.equal(pool.list(["g9999", "h3"]), all[9_999]?.groups, "the last ones are shared");
  t.end();
});

test("of more headers of tokens than are remembered each is read as it is", (t) => {
  const [payload, signature] = [Buffer.from("{}").toString("base64url"), "AAAA"];
  for (const round of [0, 1]) {
    for (let n = 0; n < 200; n++) {
      const header = Buffer.from(JSON.stringify({ alg: "RS256", kid: `key-${n}` })).toString("base64url");
      t.match(parseToken(`${header}.${payload}.${signature}`), { kid: `key-${n}` }, `${round}`);
    }
  }
  t.end();
});

test("of clients' keys the least recently used gives way", (t) => {
  const { keys } = new ProofMemory(0);
  for (let n = 0; n <= 10_000; n++) keys.set(`key-${n}`, {} as NonNullable<ReturnType<typeof keys.get>>);
  t.equal(keys.size, 10_000);
  t.strictSame([keys.has("key-0"), keys.has("key-1"), keys.has("key-10000")], [false, true, true]);
  t.end();
});

test("by more keys than the signing thread knows at a time each assertion is signed with its own", async (t) => {
  const signing = new Signing();
  await signing.start();
  const keys = Array.from({ length: 110 }, (_, n): SigningKey => {
    const key = generateKeyPairSync("ed25519").privateKey;
    return { id: `id-${n}`, kid: `kid-${n}`, algorithm: "EdDSA", key };
  });
  const signed: string[] = [];
  for (const key of [...keys, ...keys]) signed.push(await signing.sign("{}", key, () => true));
  const kids = signed.map((token) => JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).kid);
  t.strictSame(
    kids,
    [...keys, ...keys].map(({ kid }) => kid),
  );
  t.ok(signed.every((token, n) => isSignedBy(token, keys[n % keys.length])));
});

function isSignedBy(token: string, signer: SigningKey | undefined): boolean {
  const [head, claims, signature = ""] = token.split(".");
  if (signer === undefined) return false;
  return verify(
    null,
    Buffer.from(`${head}.${claims}`),
    createPublicKey(signer.key),
    Buffer.from(signature, "base64url"),
  );
}

test("of more rules than have the ends of their lines kept each line says its own", (t) => {
  const lines = new DecisionLines();
  const written = (n: number) => {
    const line = lines.line(observation({ decision: decision({ rule: `orders/${n}` }) }), NOON);
    return (JSON.parse(`${line}}`) as { readonly rule: string }).rule;
  };
  const numbers = [...Array.from({ length: 20_010 }, (_, n) => n), 0, 20_009];
  t.strictSame(
    numbers.filter((n) => written(n) !== `orders/${n}`),
    [],
  );
  t.end();
});

test("issuers and API keys past the bound have no metrics, and the others have", async (t) => {
  const { telemetry } = recorded(t);
  const { log } = loaded();
  telemetry.configured({ log, issuers: Array.from({ length: 1_010 }, (_, n) => `issuer-${n}`) });
  const unusable = parseExposition(await telemetry.metrics()).get("countersign_issuer_keys_unusable")?.samples;
  t.equal(unusable?.length, 1_000);
  telemetry.fetched("issuer-1005", "jwks", "ok", 1);
  t.notMatch(await telemetry.metrics(), "issuer-1005");

  const registry = new Registry();
  lastUses(registry, () => Array.from({ length: 2_010 }, (_, n) => ({ issuer: "keys", key: `k${n}`, at: 1 })));
  const uses = parseExposition(await registry.metrics()).get("countersign_api_key_last_used_timestamp_seconds");
  t.equal(uses?.samples.length, 2_000);
});

test("of a worker's lines those that are too long are lost, wherever the pipe cuts them", (t) => {
  const [short, long] = ['{"a":1}\n', `${"x".repeat((1 << 20) + 1)}\n`];
  const all = Buffer.from(short + long + short + short);
  for (const size of [1 << 16, (1 << 20) - 1, 1 << 20, (1 << 20) + 5]) {
    const [passed, lost]: [string[], number[]] = [[], []];
    const lines = new WholeLines(
      (whole) => passed.push(whole.toString()),
      () => lost.push(1),
    );
    for (let at = 0; at < all.length; at += size) lines.push(all.subarray(at, at + size));
    t.strictSame([passed.join(""), lost.length], [short + short + short, 1], `${size}`);
  }
  t.end();
});

test("a worker that ends again and again is started after ten seconds at most", (t) => {
  const relay = { lines() {}, lost() {} };
  const seat = new Seat(
    1,
    [],
    relay,
    () => {},
    () => 0,
  );
  const delays = Array.from({ length: 2_000 }, () => seat.restartDelay());
  t.strictSame(delays.slice(0, 8), [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]);
  t.equal(Math.max(...delays), 10_000);
  t.equal(seat.state(false).restarts, 2_000);
  t.end();
});
