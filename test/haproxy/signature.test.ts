import { test } from "tap";
import { reply, startFront } from "../../demo/front.ts";
import { startBackend } from "../support/backend.ts";
import { freePort, haproxies, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { configuration, folderOf, serve } from "../support/serve.ts";
import { agentKey, type Signing, signed } from "../support/signatures.ts";
import { generated } from "../support/stage.ts";

/** The directory may have it by now, and is asked once a second at most. */
const UNKNOWN = /^key-(?:unknown|pending)$/;

test("an agent that signs its requests goes the whole way, once with each signature, and no request but the signed one", async (t) => {
  const key = agentKey();
  const keys = await startFront(reply({ keys: [key.jwk] }));
  t.teardown(() => keys.close());
  const directory = `${keys.url}/keys`;
  const [backend, bind] = [await startBackend(t), await freePort()];
  const { text, ...ports } = await configuration(`
deadline: 5s
issuers:
  bots: { type: http-signature, agents: ["${directory}"] }
haproxy: { version: "2.6", bind: ["127.0.0.1:${bind}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
  const policy = `
roles: { crawler: [{ issuer: bots, subject: "${directory}", kind: agent }] }
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject, x-auth-kind: principal.kind }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [crawler] }
      - { name: passed, match: [GET /v1/passed], allow: [crawler], forward_credential: true }
      - { name: maybe, match: [GET /maybe], allow: [crawler], optional: true }
`;
  const folder = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": policy });
  await serve(t, folder, ports);
  const files = Object.entries(await generated(folder));
  for (const binary of haproxies()) {
    const port = await freePort();
    const own = Object.fromEntries(files.map(([name, text]) => [name, text.replaceAll(`:${bind}`, `:${port}`)]));
    await startHaproxy(t, binary, own, port);
    const client = await RawClient.open(port);
    t.teardown(() => client.close());
    const host = `orders.example.com:${port}`;
    const fieldsOf = (signing: Partial<Signing> = {}) => {
      const { signature, input, agent } = signed({
        key,
        directory,
        host,
        scheme: "http",
        nonce: crypto.randomUUID(),
        ...signing,
      });
      return [`signature: ${signature}`, `signature-input: ${input}`, `signature-agent: ${agent}`];
    };
    const ask = async (fields: readonly string[], target = "/v1/orders") => {
      const before = backend.received.length;
      const answer = await client.request(`GET ${target} HTTP/1.1`, [`host: ${host}`, ...fields]);
      if (backend.received.length > before !== (answer.status === 200)) throw new Error("a refusal arrived");
      return answer.status === 200
        ? (backend.last("x-auth-subject")[0] ?? "anonymous")
        : JSON.parse(answer.body).reason;
    };
    for (let i = 0; i < 200 && (await ask(fieldsOf())) !== directory; i++)
      await new Promise((done) => setTimeout(done, 50));

    const once = fieldsOf({ query: "a=1&b" });
    t.equal(await ask(once, "/v1/orders?a=1&b"), directory, binary.version);
    t.strictSame(backend.last("x-auth-kind"), ["agent"]);
    t.notMatch(JSON.stringify(backend.received.at(-1)), /signature/i, "the backend gets none of it");
    t.equal(await ask(once, "/v1/orders?a=1&b"), "proof-replayed");
    t.equal(await ask(fieldsOf({ path: "/v1/passed" }), "/v1/passed"), directory);
    t.match(JSON.stringify(backend.received.at(-1)), /"signature-agent"/i, "but where it is to");
    t.equal(await ask(fieldsOf({ query: "a=1" }), "/v1/orders?a=2"), "signature-invalid", "another query");
    t.equal(await ask(fieldsOf({ path: "/v1/passed" })), "signature-invalid", "another path");
    t.equal(await ask(fieldsOf({ host: "files.example.com" })), "signature-invalid", "another host");
    t.match(await ask(fieldsOf({ key: agentKey() })), UNKNOWN);
    t.equal(await ask(fieldsOf({ directory: "https://elsewhere.example/keys" })), "issuer-unknown");
    t.match(await ask(fieldsOf({ path: "/maybe", key: agentKey() }), "/maybe"), UNKNOWN, "a bad one is not none");
    t.equal(await ask([], "/maybe"), "anonymous");
    t.equal(await ask(fieldsOf().slice(1), "/maybe"), "anonymous", "what is said of no signature is none");
    const [signature = "", input = "", agent = ""] = fieldsOf();
    t.equal(await ask([signature, agent]), "credential-malformed", "nor is one that says nothing of itself any");
    for (const field of [signature, input, agent])
      t.equal(await ask([signature, input, agent, field]), "duplicate", field.slice(0, 16));
  }
  t.strictSame(new Set(keys.requests), new Set(["/keys"]), "nobody else was asked for keys");
});
