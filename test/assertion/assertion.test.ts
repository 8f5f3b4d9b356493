import { generateKeyPairSync } from "node:crypto";
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { type Test, test } from "tap";
import { Assertions, LARGEST_ASSERTION } from "../../agent/assertion/assertions.ts";
import { currentKeys, publishedKeys, signingKey } from "../../agent/assertion/ring.ts";
import { ringText, rotated } from "../../agent/assertion/rotate.ts";
import { Signing } from "../../agent/assertion/signing.ts";
import type { AssertionConfig } from "../../agent/config/config.ts";
import { parseRing, type RingKey } from "../../agent/config/files/key-ring.ts";
import type { Principal } from "../../policies/principal.ts";
import { Unknown } from "../../policies/unknown.ts";
import {
  clientOf,
  IDENTITY,
  identityOf,
  messageOf,
  policiesOf,
  snapshotOf,
  startServer,
  valuesOf,
} from "../support/agent.ts";
import { findingsOf, principalFrom } from "../support/policies.ts";
import { command, folderOf } from "../support/serve.ts";

/** One thread for all. */
const SIGNING = new Signing();
const CONTRACT = "1:subject:assertion:h_x-auth-subject";
const ES256 = rotated([], { now: 0, after: 0, algorithm: "ES256" });
const EDDSA = rotated([], { now: 0, after: 0, algorithm: "EdDSA" });

function configOf(changes: Partial<AssertionConfig> = {}): AssertionConfig {
  return {
    issuer: "https://api.example.com",
    lifetime: 60_000,
    claims: ["groups", "roles", "scopes", "act"],
    keys: "",
    ring: ES256,
    ...changes,
  };
}

/** A server that asserts, and what it answers for one principal. */
async function stage(
  t: Test,
  principal: Principal,
  changes: Partial<AssertionConfig> = {},
  stuck?: Signing,
  deadline = 60_000,
) {
  const signing = stuck ?? SIGNING;
  await SIGNING.start();
  const config = configOf(changes);
  const identity = identityOf({ alice: () => ({ principal }), late: () => Promise.resolve({ principal }) });
  const snapshot = { ...snapshotOf(policiesOf(), identity, { deadline }), assertions: new Assertions(config, signing) };
  const { server, port, events } = await startServer(snapshot);
  t.teardown(() => server.close());
  const client = await clientOf(t, port, { maxFrameSize: 131_068 });
  const ask = async (told: Parameters<typeof messageOf>[0] = {}) =>
    valuesOf(await client.notify(messageOf({ contract: CONTRACT, ...told })));
  const keys = createLocalJWKSet(publishedKeys(config.ring, 0) as JSONWebKeySet);
  const verified = async (token: unknown) => (await jwtVerify(String(token), keys, { typ: "countersign+jwt" })).payload;
  return { ask, verified, events };
}

const ALICE = principalFrom({
  issuer: "idp",
  subject: "älice\u2028\u{1f511}",
  groups: ["Orders, Readers", "Ärzte"],
  scopes: ["orders:read", "openid"],
  client: "assistants",
  actor: [
    { subject: "planner", issuer: "https://idp.example" },
    { subject: "scheduler", issuer: undefined },
  ],
});

for (const [name, ring] of [
  ["ES256", ES256],
  ["EdDSA", EDDSA],
] as const) {
  test(`an allowed request is asserted with ${name}, whoever was new or known`, async (t) => {
    const { ask, verified, events } = await stage(t, ALICE, { ring });
    for (const authorization of ["Bearer alice", "Bearer late"]) {
      const answer = await ask({ authorization, path: "/v1/\u00e4" });
      t.match(answer, { verdict: "allow", subject: "älice\u2028\u{1f511}", header_1: "älice\u2028\u{1f511}" });
      t.match(await verified(answer.assertion), {
        sub: "älice\u2028\u{1f511}",
        aud: "orders",
        idp: "idp",
        client_id: "assistants",
        groups: ["Orders, Readers", "Ärzte"],
        scope: "orders:read openid",
        act: { sub: "planner", iss: "https://idp.example", act: { sub: "scheduler" } },
        jti: "0123456789abcdef0123456789abcdef",
        request: { method: "GET", host: "orders.example.com" },
      });
    }
    t.strictSame(
      events.observations.map(({ cached }) => cached),
      [true, false],
    );
  });
}

test("many at once have each their own", async (t) => {
  const { ask, verified } = await stage(t, ALICE);
  const ids = Array.from({ length: 20 }, (_, n) => n.toString(16).padStart(32, "0"));
  const answers = await Promise.all(ids.map((id) => ask({ id })));
  for (const [i, answer] of answers.entries()) t.equal((await verified(answer.assertion)).jti, ids[i]);
});

test("what is not listed is not told, and what cannot be told refuses", async (t) => {
  const unknown = principalFrom({
    issuer: "idp",
    groups: new Unknown("groups", "a number"),
    actor: new Unknown("act", "a number"),
    scopes: ["a b"],
  });
  const refused = async (claims: AssertionConfig["claims"]) =>
    (await (await stage(t, unknown, { claims })).ask()).reason;
  t.equal(await refused(["groups"]), "claim-unknown");
  t.equal(await refused(["act"]), "claim-unknown");
  t.equal(await refused(["scopes"]), "header-error");
  const { ask, verified } = await stage(t, unknown, { claims: ["roles"] });
  const claims = await verified((await ask()).assertion);
  for (const name of ["groups", "act", "scope"]) t.notOk(name in claims, name);
});

test("an assertion that is too long refuses, and none is cut", async (t) => {
  const assertions = new Assertions(configOf(), SIGNING);
  const request = { id: "0".repeat(32), method: "GET", host: "orders.example.com", path: "/", time: Date.now() };
  const lengths: number[] = [];
  let refused = 0;
  for (let length = 400; length < 900; length++) {
    const principal = principalFrom({ groups: ["x".repeat(length)] });
    const unsigned = assertions.of({ principal, decision: { roles: [] }, service: "orders", request });
    if (unsigned === "header-too-long") refused++;
    else if (typeof unsigned !== "string") lengths.push((await assertions.sign(unsigned, () => true)).length);
  }
  t.equal(lengths.length + refused, 500);
  t.ok(refused > 100);
  t.strictSame([Math.max(...lengths), lengths.filter((length) => length > LARGEST_ASSERTION)], [LARGEST_ASSERTION, []]);
  const { ask } = await stage(t, principalFrom({ issuer: "idp", groups: ["x".repeat(900)] }));
  t.match(await ask(), { verdict: "deny", reason: "header-too-long", assertion: undefined });
});

test("a HAProxy that would not pass it on is outdated, and what needs nobody goes on", async (t) => {
  const { ask } = await stage(t, ALICE);
  t.match(await ask({ contract: "1:subject:h_x-auth-subject" }), {
    verdict: "deny",
    reason: "haproxy-config-outdated",
  });
  const open = policiesOf();
  const [service] = open.services;
  const anyone = {
    ...open,
    match: (host: string) => ({
      route: { ...service?.routes[0], access: "anyone" },
      params: {},
      host,
      preflight: false,
    }),
  };
  const snapshot = { ...snapshotOf(anyone as never, IDENTITY), assertions: new Assertions(configOf(), SIGNING) };
  const { server, port } = await startServer(snapshot);
  t.teardown(() => server.close());
  const client = await clientOf(t, port);
  t.match(valuesOf(await client.notify(messageOf({ contract: "1:subject:h_x-auth-subject" }))), {
    reason: "credential-missing",
  });
});

async function started(script: string): Promise<Signing> {
  const signing = new Signing(new URL(script));
  await signing.start();
  return signing;
}

test("a thread that cannot sign lets nothing pass, and what comes after it is signed by the next", async (t) => {
  const dying =
    "data:text/javascript,import { parentPort } from 'node:worker_threads'; let n = 0; parentPort.on('message', () => { if (n++) process.exit(1); parentPort.postMessage(''); });";
  const { ask } = await stage(t, ALICE, {}, await started(dying));
  t.match(await ask(), { verdict: "deny", reason: "assertion-unavailable", status: 503n, assertion: undefined });
  const silent =
    "data:text/javascript,import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => {});";
  const stuck = await stage(t, ALICE, {}, new Signing(new URL(silent), 1_000), 400);
  t.match(await stuck.ask(), { verdict: "deny", reason: "deadline-exceeded", assertion: undefined });
  const mute =
    "data:text/javascript,import { parentPort } from 'node:worker_threads'; parentPort.on('message', ({ lengths }) => parentPort.postMessage(lengths.map(() => '\\n').join('')));";
  const unable = await stage(t, ALICE, {}, await started(mute));
  t.match(await unable.ask(), { verdict: "deny", reason: "assertion-unavailable", assertion: undefined });
});

test("a key signs from its time on, and is published from before until its last assertion has ended", (t) => {
  const now = 1_000_000;
  const one = rotated([], { now, after: 3600, algorithm: "ES256" });
  const two = rotated(one, { now, after: 3600, algorithm: "ES256" });
  const [a, b] = two.map(({ kid }) => kid);
  const published = (at: number) => publishedKeys(two, at).keys.map(({ kid }) => kid);
  t.equal(signingKey(one, now)?.kid, a, "the first one at once");
  t.equal(signingKey(two, now + 3599)?.kid, a);
  t.equal(signingKey(two, now + 3600)?.kid, b);
  t.equal(signingKey(two, 0)?.kid, a, "a clock that is far back has one, too");
  t.strictSame([published(now), published(now + 3600 + 119), published(now + 3600 + 120)], [[a, b], [a, b], [b]]);
  t.strictSame(
    currentKeys(rotated(two, { now: now + 7200, after: 60, algorithm: "EdDSA" }), now + 7200).map(
      ({ algorithm }) => algorithm,
    ),
    ["ES256", "EdDSA"],
  );
  t.strictSame(parseRing(ringText(two)), two);
  t.end();
});

const [KEY] = JSON.parse(ringText(ES256)).keys;
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey.export({ format: "jwk" });
const { d: otherHalf } = (rotated([], { now: 0, after: 0, algorithm: "ES256" })[0] as RingKey).jwk;
const BAD: Readonly<Record<string, readonly [text: string, problem: RegExp]>> = {
  "no JSON": ["{", /no JWK set/],
  "no set": ["[]", /no JWK set/],
  "no keys": ['{"keys":[]}', /has 0 keys/],
  "too many keys": [JSON.stringify({ keys: Array(17).fill(KEY) }), /has 17 keys/],
  "no object": ['{"keys":[1]}', /key 1 is no object/],
  "no kid": [JSON.stringify({ keys: [{ ...KEY, kid: undefined }] }), /has no `kid`/],
  "two lists of keys": [`{"keys":[],${JSON.stringify({ keys: [KEY] }).slice(1)}`, /no JWK set/],
  "a key with two names": [JSON.stringify({ keys: [KEY] }).replace('"kid"', '"kid":"b","kid"'), /no JWK set/],
  "a kid twice": [JSON.stringify({ keys: [KEY, KEY] }), /key 2 has the `kid` of another/],
  "another algorithm": [JSON.stringify({ keys: [{ ...KEY, alg: "HS256" }] }), /has not the `alg`/],
  "another curve": [JSON.stringify({ keys: [{ ...p384, kid: "a", alg: "ES256" }] }), /has not the `crv` P-256/],
  "a public key": [JSON.stringify({ keys: [{ ...KEY, d: undefined }] }), /has no private part/],
  "halves of two keys": [JSON.stringify({ keys: [{ ...KEY, d: otherHalf }] }), /is no key pair/],
  "no time": [JSON.stringify({ keys: [{ ...KEY, nbf: "soon" }] }), /an `nbf`/],
};

test("what is no key ring is told without a word of its keys", (t) => {
  for (const [name, [text, problem]] of Object.entries(BAD)) {
    const ring = parseRing(text);
    t.match("problem" in ring && ring.problem, problem, name);
    t.notMatch(JSON.stringify(ring), KEY.d, name);
  }
  t.end();
});

test("no route of a policy lies where the agent answers itself", (t) => {
  const faults = (pattern: string) =>
    findingsOf(
      `services: { a: { hosts: [a.example], issuers: [aws], backend: b, routes: [{ name: r, match: ["${pattern}"], allow: [anyone] }] } }`,
    ).faults;
  for (const pattern of ["GET /.countersign/jwks.json", "* /.countersign/{path...}", "GET /.countersign"]) {
    t.match(
      faults(pattern),
      [/a path under `\/\.countersign`; another: Countersign's web listener answers there/],
      pattern,
    );
  }
  for (const pattern of ["GET /.countersigned", "* /{path...}", "GET /x/.countersign"])
    t.strictSame(faults(pattern), []);
  t.end();
});

test("keys rotate writes a ring that is its owner's, keeps its mode, and waits for its own time", async (t) => {
  const cwd = folderOf(t, {});
  const file = join(cwd, "ring.json");
  const rotate = (...more: string[]) => command(["keys", "rotate", "ring.json", ...more], { cwd });
  t.match(await rotate(), { code: 0, out: /the new key \S+ signs from .* on; 1 in all\n/ });
  t.equal(statSync(file).mode & 0o777, 0o600);
  chmodSync(file, 0o640);
  t.match(await rotate("--algorithm", "EdDSA"), { code: 0, out: /2 in all/ });
  t.equal(statSync(file).mode & 0o777, 0o640);
  const before = readFileSync(file, "utf8");
  t.match(await rotate(), { code: 0, out: /nothing to do: the key \S+ waits until/ });
  t.equal(readFileSync(file, "utf8"), before);
  t.match(await rotate("--after", "1y"), { code: 64, err: /--after 1y: a duration/ });
  t.match(await rotate("--algorithm", "HS256"), { code: 64, err: /ES256 or EdDSA/ });
  t.match(await command(["keys", "turn", "ring.json"], { cwd }), {
    code: 64,
    err: /keys what\? There are keys api and keys rotate, not turn/,
  });
  writeFileSync(join(cwd, "ring.json.lock"), "");
  writeFileSync(file, ringText(ES256));
  t.match(await rotate(), { code: 73, err: /another one is changing the file/ });
  rmSync(join(cwd, "ring.json.lock"));
  writeFileSync(file, "{}");
  t.match(await rotate(), { code: 78, err: /is no key ring: it is no JWK set.*It was not changed/ });
  t.equal(readFileSync(file, "utf8"), "{}");
});
