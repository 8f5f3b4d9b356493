import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from "jose";
import * as openid from "openid-client";
import { type Test, test } from "tap";
import { startProvider } from "../../demo/provider.ts";
import { startBackend } from "../support/backend.ts";
import { Authority, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, newestHaproxy, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { RedisServer } from "../support/redis.ts";
import { configuration, folderOf, type Served, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const SECRET = "a-secret-for-demo-and-tests-only";
const POLICY = `
services:
  orders:
    hosts: [orders.example.com, 127.0.0.1]
    backend: orders
    headers: { x-auth-subject: principal.subject, x-auth-bound: principal.bound }
    routes:
      - { name: read, match: [GET /v1/orders, "GET /v1/orders/{id}"], allow: [authenticated] }
      - { name: maybe, match: [GET /v1/maybe], allow: [authenticated], optional: true }
      - { name: through, match: [GET /v1/through], allow: [authenticated], forward_credential: true }
      - { name: open, match: [GET /v1/open], allow: [anyone] }
`;

interface Options {
  readonly issuer?: string;
  readonly more?: string;
  /** Behind the address of `bind`. */
  readonly bind?: string;
  readonly files?: Readonly<Record<string, string>>;
}

/** Provider, agent, HAProxy and backend, all of it real. */
async function stage(
  t: Test,
  binary: HaproxyBinary,
  { issuer = "proofs: [dpop]", more = "", bind = "", files = {} }: Options,
) {
  const provider = await startProvider({ robot: { kind: "workload" } });
  t.teardown(() => provider.close());
  const backend = await startBackend(t);
  const front = await freePort();
  const { text, ...ports } = await configuration(`
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders], ${issuer} }
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}${bind}"], scheme: ${bind === "" ? "http" : "https"}, backends: { orders: ["127.0.0.1:${backend.port}"] } }
${more}`);
  const folder = folderOf(t, { "policies/orders.yaml": POLICY });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  writeFileSync(join(folder, "countersign.yaml"), text.replaceAll("FOLDER", folder));
  const served = await serve(t, folder, ports);
  await startHaproxy(t, binary, await generated(folder), front);
  return { provider, backend, front, served, folder, url: `http://127.0.0.1:${front}` };
}

/** A client of the provider, by openid-client, which has a key and gets a token that is bound to it. */
async function boundClient(issuer: string) {
  const config = await openid.discovery(new URL(issuer), "robot", {}, openid.ClientSecretPost(SECRET), {
    execute: [openid.allowInsecureRequests],
  });
  const dpop = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair("ES256"));
  const { access_token: token, token_type: type } = await openid.clientCredentialsGrant(config, {}, { DPoP: dpop });
  return {
    type,
    ask: (url: string) =>
      openid.fetchProtectedResource(config, token, new URL(url), "GET", null, new Headers(), { DPoP: dpop }),
  };
}

/** A client whose every byte is the test's: a key, a token of the provider that is bound to it, and proofs. */
async function handmade(sign: (claims: object) => Promise<string>, url: string, issuer: string) {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const jwk = await exportJWK(publicKey);
  const exp = Math.floor(Date.now() / 1000) + 600;
  const cnf = { jkt: await calculateJwkThumbprint(jwk) };
  const claims = { iss: issuer, aud: "api://orders", sub: "robot", exp, client_kind: "workload", cnf };
  const token = await sign(claims);
  const ath = createHash("sha256").update(token).digest("base64url");
  return {
    token,
    claims,
    proof: (changes: object = {}, path = "/v1/orders") =>
      new SignJWT({
        jti: randomUUID(),
        htm: "GET",
        htu: `${url}${path}`,
        ath,
        iat: Math.floor(Date.now() / 1000),
        ...changes,
      })
        .setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk })
        .sign(privateKey),
  };
}

const reasonOf = ({ body }: { readonly body: string }) => JSON.parse(body).reason as string;

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: a DPoP client gets through with its key, and nobody with its token alone`, async (t) => {
    const { provider, backend, front, served, url } = await stage(t, binary, {});
    const real = await boundClient(provider.issuer);
    t.equal(real.type, "dpop");
    for (let again = 0; again < 3; again++) t.equal((await real.ask(`${url}/v1/orders?page=${again}`)).status, 200);
    t.strictSame([backend.last("x-auth-subject"), backend.last("x-auth-bound")], [["robot"], ["dpop"]]);
    t.strictSame([backend.last("authorization"), backend.last("dpop")], [[], []], "neither of it reaches the backend");

    const { token, proof, claims } = await handmade(provider.sign, url, provider.issuer);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    const host = `host: 127.0.0.1:${front}`;
    const ask = (fields: readonly string[], path = "/v1/orders", method = "GET") =>
      client.request(`${method} ${path} HTTP/1.1`, [host, ...fields]);
    const dpop = `authorization: DPoP ${token}`;
    const used = await proof();
    t.equal((await ask([dpop, `dpop: ${used}`])).status, 200);
    t.equal((await ask([`authorization: dpop ${token}`, `DPoP: ${await proof()}`])).status, 200, "whatever the case");
    t.equal((await ask([dpop, `dpop: ${await proof({}, "/v1/through")}`], "/v1/through")).status, 200);
    t.strictSame(
      [backend.last("authorization").length, backend.last("dpop").length],
      [1, 1],
      "but where it is forwarded",
    );
    t.equal((await ask([`dpop: ${used}`], "/v1/open")).status, 200, "not looked at where nobody is asked for anything");

    const arrived = backend.received.length;
    const unbound = await provider.sign({ ...claims, cnf: undefined });
    for (const [why, fields, status, reason, error] of [
      ["the same proof again", [dpop, `dpop: ${used}`], 401, "proof-replayed", "invalid_dpop_proof"],
      ["no proof", [dpop], 401, "proof-missing", "invalid_dpop_proof"],
      ["as a bearer token", [`authorization: Bearer ${token}`], 401, "token-bound", "invalid_token"],
      [
        "the same with its proof",
        [`authorization: Bearer ${token}`, `dpop: ${await proof()}`],
        401,
        "token-bound",
        "invalid_token",
      ],
      ["another method", [dpop, `dpop: ${await proof({ htm: "POST" })}`], 401, "proof-mismatch", "invalid_dpop_proof"],
      ["another path", [dpop, `dpop: ${await proof({}, "/v1/orders/7")}`], 401, "proof-mismatch", "invalid_dpop_proof"],
      [
        "another scheme",
        [dpop, `dpop: ${await proof({ htu: `https://127.0.0.1:${front}/v1/orders` })}`],
        401,
        "proof-mismatch",
        "invalid_dpop_proof",
      ],
      [
        "another port",
        [dpop, `dpop: ${await proof({ htu: "http://127.0.0.1/v1/orders" })}`],
        401,
        "proof-mismatch",
        "invalid_dpop_proof",
      ],
      [
        "another token",
        [dpop, `dpop: ${await proof({ ath: "A".repeat(43) })}`],
        401,
        "proof-mismatch",
        "invalid_dpop_proof",
      ],
      [
        "an old one",
        [dpop, `dpop: ${await proof({ iat: Math.floor(Date.now() / 1000) - 3600 })}`],
        401,
        "proof-stale",
        "invalid_dpop_proof",
      ],
      [
        "another client's",
        [dpop, `dpop: ${await (await handmade(provider.sign, url, provider.issuer)).proof()}`],
        401,
        "binding-mismatch",
        "invalid_token",
      ],
      ["one byte of it", [dpop, `dpop: ${(await proof()).slice(0, -1)}`], 401, "proof-malformed", "invalid_dpop_proof"],
      [
        "a token that is not bound",
        [`authorization: DPoP ${unbound}`, `dpop: ${await proof()}`],
        401,
        "token-unbound",
        "invalid_token",
      ],
      ["two proofs", [dpop, `dpop: ${await proof()}`, `dpop: ${await proof()}`], 400, "duplicate", undefined],
      [
        "two in one header",
        [dpop, `dpop: ${await proof()}, ${await proof()}`],
        401,
        "proof-malformed",
        "invalid_dpop_proof",
      ],
    ] as const) {
      const answer = await ask(fields);
      t.strictSame([answer.status, reasonOf(answer)], [status, reason], why);
      const challenge = answer.headers["www-authenticate"];
      if (error === undefined) t.equal(challenge, undefined);
      else t.match(challenge, new RegExp(`DPoP realm="127.0.0.1", algs="[^"]*ES256[^"]*", error="${error}"`), why);
      if (error === "invalid_dpop_proof") t.notMatch(challenge, "Bearer", "no other scheme would help");
    }
    const optional = await ask([dpop, `dpop: ${used}`], "/v1/maybe");
    t.strictSame([optional.status, reasonOf(optional)], [401, "proof-mismatch"], "nor does it make anybody anonymous");
    t.equal(backend.received.length, arrived, "nothing of it arrived");
    t.equal(
      (await ask([`authorization: Bearer ${unbound}`])).status,
      200,
      "a token that is bound to nothing needs no proof",
    );
    t.match(
      (await ask([])).headers["www-authenticate"],
      /^Bearer realm="127\.0\.0\.1", DPoP realm="127\.0\.0\.1", algs="[^"]+"$/,
    );
    const told = () => served.lines.some(({ reason, claim }) => reason === "proof-mismatch" && claim === "htu");
    while (!told()) await once(served.child, "lines");
    t.notMatch(JSON.stringify(served.lines), used.slice(-40), "and not what came");
  });

  test(`HAProxy ${binary.version}: with nonces a real client is told them, and a proof without one is refused`, async (t) => {
    const options = { issuer: "proofs: [dpop], unbound: refuse", more: "dpop: { nonces: true, max_age: 5s }" };
    const { provider, front, url } = await stage(t, binary, options);
    const real = await boundClient(provider.issuer);
    const answers = [await real.ask(`${url}/v1/orders`), await real.ask(`${url}/v1/orders`)];
    t.strictSame(
      answers.map(({ status }) => status),
      [200, 200],
    );
    const { token, proof, claims } = await handmade(provider.sign, url, provider.issuer);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    const ask = (credential: string, proof: string) =>
      client.request("GET /v1/orders HTTP/1.1", [
        `host: 127.0.0.1:${front}`,
        `authorization: ${credential}`,
        `dpop: ${proof}`,
      ]);
    const asked = await ask(`DPoP ${token}`, await proof());
    t.equal(reasonOf(asked), "proof-nonce");
    t.match(asked.headers["www-authenticate"], /^DPoP realm="127\.0\.0\.1", algs="[^"]+", error="use_dpop_nonce"$/);
    const nonce = asked.headers["dpop-nonce"];
    t.match(nonce, /^[\w-]{22}$/);
    const answered = await ask(`DPoP ${token}`, await proof({ nonce }));
    t.equal(answered.status, 200);
    for (let told = answered.headers["dpop-nonce"]; ; ) {
      // Within its second period an answer that lets the request through bears the next one.
      if (told !== undefined) {
        t.not(told, nonce);
        break;
      }
      await new Promise((done) => setTimeout(done, 50));
      const next = await ask(`DPoP ${token}`, await proof({ nonce }));
      if (next.status !== 200) throw new Error(reasonOf(next));
      told = next.headers["dpop-nonce"];
    }
    const bearer = await provider.sign({ ...claims, cnf: undefined });
    t.equal(reasonOf(await ask(`Bearer ${bearer}`, "")), "token-unbound", "and one that is bound to nothing, too");
  });

  test(`HAProxy ${binary.version}: a token that is bound to a certificate needs its connection`, async (t) => {
    const [authority, stranger] = [new Authority("clients"), new Authority("strangers")];
    const [own, other, foreign] = [authority.issue(), authority.issue(), stranger.issue()];
    const bind =
      " ssl crt FOLDER/server.pem verify optional ca-file FOLDER/clients.pem crt-ignore-err all ca-ignore-err all";
    const files = { "server.pem": SERVER_CERTIFICATE + SERVER_KEY, "clients.pem": authority.pem };
    const { provider, backend, front } = await stage(t, binary, { issuer: "proofs: [certificate]", bind, files });
    const exp = Math.floor(Date.now() / 1000) + 600;
    const tokenFor = (der: Buffer) => {
      const cnf = { "x5t#S256": createHash("sha256").update(der).digest("base64url") };
      return provider.sign({ iss: provider.issuer, aud: "api://orders", sub: "robot", exp, cnf });
    };
    const [token, foreignToken] = [await tokenFor(own.der), await tokenFor(foreign.der)];
    const ask = (by: { pem: string; key: string } | undefined, credential: string, more = "") =>
      overTls(
        front,
        by,
        `GET /v1/orders HTTP/1.1\r\nhost: orders.example.com\r\nconnection: close\r\nauthorization: ${credential}\r\n${more}\r\n`,
      );
    for (let again = 0; again < 2; again++) t.match(await ask(own, `Bearer ${token}`), /^HTTP\/1.1 200 /);
    t.strictSame(backend.last("x-auth-bound"), ["certificate"]);
    const arrived = backend.received.length;
    for (const [answer, reason] of [
      [await ask(undefined, `Bearer ${token}`), "proof-missing"],
      [await ask(other, `Bearer ${token}`), "binding-mismatch"],
      [await ask(foreign, `Bearer ${foreignToken}`), "proof-missing"],
      [await ask(undefined, `Bearer ${token}`, `ssl-client-cert: ${own.der.toString("base64")}\r\n`), "proof-missing"],
    ] as const) {
      t.match(answer, /^HTTP\/1.1 401 /);
      t.match(answer, `"reason":"${reason}"`);
    }
    t.equal(backend.received.length, arrived, "nothing of it arrived");
  });
}

/** One request on a TLS connection of its own. */
async function overTls(port: number, by: { pem: string; key: string } | undefined, request: string): Promise<string> {
  const options = by === undefined ? {} : { cert: by.pem, key: by.key };
  const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
  let answer = "";
  socket.setEncoding("latin1").on("data", (text: string) => (answer += text));
  socket.write(request);
  await new Promise<void>((done, failed) => socket.once("close", () => done()).once("error", failed));
  return answer;
}

test("workers share what they remember, and nothing passes while the store is away", async (t) => {
  const redis = await RedisServer.start(t, "hunter2");
  const more = `workers: 2\ndpop: { store: { url: "${redis.url}" } }`;
  const { provider, backend, front, served, url } = await stage(t, newestHaproxy(), { more });
  const { token, proof, claims } = await handmade(provider.sign, url, provider.issuer);
  const fields = (proof: string, scheme = "DPoP", value = token) => [
    `host: 127.0.0.1:${front}`,
    `authorization: ${scheme} ${value}`,
    `dpop: ${proof}`,
  ];
  const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(front)));
  for (const client of clients) t.teardown(() => client.close());
  const [first = t.fail("no client") as never] = clients;
  const ask = async (proof: string, client = first) => {
    const answer = await client.request("GET /v1/orders HTTP/1.1", fields(proof));
    return answer.status === 200 ? "allowed" : reasonOf(answer);
  };
  await untilBoth(served, () => ask("x"));
  for (let round = 0; round < 5; round++) {
    const one = await proof();
    const outcomes = await Promise.all(clients.map((client) => ask(one, client)));
    t.strictSame(outcomes.toSorted(), ["allowed", ...Array.from({ length: 7 }, () => "proof-replayed")]);
  }

  const arrived = backend.received.length;
  redis.freeze();
  t.equal(await ask(await proof()), "proof-unavailable", "a store that does not answer");
  redis.thaw();
  await redis.stop();
  t.equal(await ask(await proof()), "proof-unavailable", "and one that is gone");
  t.equal(backend.received.length, arrived);
  const bearer = await provider.sign({ ...claims, cnf: undefined });
  t.equal((await first.request("GET /v1/orders HTTP/1.1", fields("", "Bearer", bearer))).status, 200, "others go on");
  await served.said("the store of DPoP proofs cannot be reached");
  t.notMatch(JSON.stringify(served.lines) + served.errors(), "hunter2");
  await redis.begin();
  await served.said("the store of DPoP proofs can be reached again");
  while ((await ask(await proof())) !== "allowed");
  t.pass("and so do they when it is back");
});

/** Asks until both workers have answered: HAProxy finds each by its own checks. */
async function untilBoth({ page }: Served, ask: () => Promise<unknown>): Promise<void> {
  for (;;) {
    await ask();
    const { workers } = JSON.parse((await page("/status")).text) as { workers: readonly { requests: number }[] };
    if (workers.length === 2 && workers.every(({ requests }) => requests > 0)) return;
  }
}
