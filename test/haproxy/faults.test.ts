import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { type RunningProvider, startProvider } from "../../demo/provider.ts";
import { type Backend, startBackend } from "../support/backend.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { type HttpAnswer, RawClient } from "../support/http.ts";
import { configuration, countersign, folderOf, type Served, serve } from "../support/serve.ts";

const HOST = "host: orders.example.com";
const POLICY = `
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [authenticated] }
      - { name: large, match: ["GET /v1/large/{path...}"], allow: [authenticated] }
`;

interface Stage {
  readonly folder: string;
  readonly provider: RunningProvider;
  readonly served: Served;
  readonly backend: Backend;
  readonly front: number;
  readonly client: RawClient;
  readonly ports: { readonly spop: number; readonly admin: number };
  /** One request of somebody with a good token, as a rule on a connection that is kept. */
  ask(options?: { path?: string; token?: string; header?: string; client?: RawClient }): Promise<HttpAnswer>;
  /** Asks until a request is allowed again: HAProxy finds an agent by its own checks. */
  untilAllowed(): Promise<void>;
  /** Asks, and holds the answer to be a refusal for this reason of which the backend knows nothing. */
  refused(t: Test, status: number, reason: string, options?: Parameters<Stage["ask"]>[0]): Promise<void>;
}

/** The whole way, all of it real: provider, agent process, HAProxy with the generated files, backend. */
async function stage(t: Test, binary: HaproxyBinary): Promise<Stage> {
  const provider = await startProvider({ alice: { kind: "person" } });
  t.teardown(() => provider.close());
  const backend = await startBackend(t);
  const front = await freePort();
  const { text, ...ports } = await configuration(`
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders], keys: { cooldown: 1s } }
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": POLICY });
  const served = await serve(t, folder, ports);
  await startHaproxy(t, binary, await generated(folder), front);
  const client = await RawClient.open(front);
  t.teardown(() => client.close());
  const token = await provider.token("alice");
  const ask: Stage["ask"] = (options = {}) =>
    (options.client ?? client).request(`GET ${options.path ?? "/v1/orders"} HTTP/1.1`, [
      HOST,
      `authorization: Bearer ${options.token ?? token}`,
      ...(options.header === undefined ? [] : [options.header]),
    ]);
  return {
    folder,
    provider,
    served,
    backend,
    front,
    client,
    ports,
    ask,
    async untilAllowed() {
      for (let i = 0; i < 200; i++) {
        if ((await ask()).status === 200) return;
        await new Promise((done) => setTimeout(done, 50));
      }
      throw new Error("never allowed");
    },
    async refused(t, status, reason, options) {
      const before = backend.received.length;
      const answer = await ask(options);
      t.equal(answer.status, status, reason);
      t.equal(JSON.parse(answer.body).reason, reason);
      t.equal(backend.received.length, before, "nothing arrived");
    },
  };
}

/** HAProxy's files for a folder, from the command that a user types. */
async function generated(folder: string): Promise<Readonly<Record<string, string>>> {
  const { code, err } = await countersign(["generate", "haproxy", "--output", "haproxy"], { cwd: folder });
  if (code !== 0) throw new Error(err);
  const read = (name: string) => readFileSync(join(folder, "haproxy", name), "utf8");
  return { "haproxy.cfg": read("haproxy.cfg"), "countersign.spoe.conf": read("countersign.spoe.conf") };
}

for (const binary of haproxies()) {
  const name = `HAProxy ${binary.version}`;

  test(`${name}: an agent that is killed refuses the next request of a kept connection, and recovers`, async (t) => {
    const { untilAllowed, refused, served, folder, ports } = await stage(t, binary);
    await untilAllowed();
    served.child.kill("SIGKILL");
    await refused(t, 503, "agent-unavailable");
    await refused(t, 503, "agent-unavailable");
    await serve(t, folder, ports);
    await untilAllowed();
  });

  test(`${name}: an agent that is frozen refuses in mid connection, and goes on when it is resumed`, async (t) => {
    const { untilAllowed, refused, served } = await stage(t, binary);
    await untilAllowed();
    served.child.kill("SIGSTOP");
    await refused(t, 503, "agent-unavailable");
    await refused(t, 503, "agent-unavailable");
    served.child.kill("SIGCONT");
    await untilAllowed();
  });

  test(`${name}: a provider that is down, slow or lying lets nobody new in, and forgets nobody known`, async (t) => {
    const { provider, untilAllowed, refused, served, ask } = await stage(t, binary);
    await untilAllowed();
    const stranger = await provider.sign({ iss: provider.issuer, sub: "bob", aud: "api://orders", exp: 4e9 }, { kid: "new" });
    const lie = (_request: unknown, response: { end: (text: string) => void }) => response.end(JSON.stringify({ keys: "none" }));
    await provider.rotate({ keep: false });
    const fresh = await provider.token("alice");
    for (const behaviour of ["reset", "error", "silent", lie] as const) {
      provider.front.behave(behaviour);
      const refusals = new Set<string>();
      for (let i = 0; i < 4; i++) {
        const answer = await ask({ token: i % 2 === 0 ? fresh : stranger });
        t.ok(answer.status === 503 || answer.status === 401, `${answer.status}`);
        refusals.add(JSON.parse(answer.body).reason);
      }
      for (const reason of refusals) t.ok(["issuer-unavailable", "deadline-exceeded", "key-unknown"].includes(reason), reason);
      t.equal((await ask()).status, 200, "a known token is still good");
    }
    const ready = await served.page("/ready");
    t.equal(ready.status, 200, "the agent stays in service");
    t.match(ready.text, "issuer idp cannot be asked");
    provider.front.behave("up");
    for (let i = 0; i < 200 && (await ask({ token: fresh })).status !== 200; i++) await new Promise((done) => setTimeout(done, 50));
    t.equal((await ask({ token: fresh })).status, 200, "the new keys are found without a restart");
    await refused(t, 401, "key-unknown", { token: stranger });
    await refused(t, 401, "signature-invalid", { token: `${fresh.slice(0, -8)}AAAAAAAA` });
  });

  test(`${name}: a broken policy changes nothing, and says so`, async (t) => {
    const { folder, untilAllowed, served, refused, ask } = await stage(t, binary);
    await untilAllowed();
    const file = join(folder, "policies/orders.yaml");
    writeFileSync(file, POLICY.replace("allow: [authenticated]", "alow: [anyone]"));
    const line = await served.said("reload failed");
    t.match(String(line.faults), /orders\.yaml:8:\d+: unknown key `alow`; did you mean `allow`\?/);
    t.equal((await ask()).status, 200);
    await refused(t, 401, "token-malformed", { token: "x" });
    t.match((await served.page("/ready")).text, "failed and changed nothing");
    t.match((await served.page("/metrics")).text, "countersign_last_reload_successful 0");
    rmSync(file);
    await served.said("reload failed", 2);
    t.equal((await ask()).status, 200);
    writeFileSync(file, POLICY.replace("- { name: read", "- { name: renamed"));
    await served.said("reloaded");
    t.equal((await ask()).status, 200);
    t.match((await served.page("/metrics")).text, "countersign_last_reload_successful 1");
    t.notMatch((await served.page("/ready")).text, "failed and changed nothing");
  });

  test(`${name}: a policy that needs more than the running HAProxy does is refused until HAProxy is reloaded`, async (t) => {
    const { folder, untilAllowed, served, refused, ask } = await stage(t, binary);
    await untilAllowed();
    const more = `
      - { name: tenant, match: [GET /tenant], allow: [authenticated], headers: { x-auth-tenant: principal.subject } }
      - { name: query, match: [GET /query], allow: [anyone], when: 'request.query == "a=1"' }
      - { name: region, match: [GET /region], allow: [anyone], when: 'request.headers["x-region"] == "emea"' }
`;
    writeFileSync(join(folder, "policies/orders.yaml"), POLICY + more);
    await served.said("reloaded");
    for (const path of ["/tenant", "/query?a=1", "/region"]) await refused(t, 503, "haproxy-config-outdated", { path });
    t.equal((await ask()).status, 200, "other routes go on");
    const front = await freePort();
    const files = await generated(folder);
    const cfg = (files["haproxy.cfg"] ?? "").replace(/bind 127\.0\.0\.1:\d+/, `bind 127.0.0.1:${front}`);
    await startHaproxy(t, binary, { ...files, "haproxy.cfg": cfg }, front);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    t.equal((await ask({ client, path: "/tenant" })).status, 200);
    t.equal((await ask({ client, path: "/query?a=1" })).status, 200);
    t.equal((await ask({ client, path: "/query?a=2" })).status, 403);
    t.equal((await ask({ client, path: "/region", header: "x-region: emea" })).status, 200);
    t.equal((await ask({ client, path: "/region", header: "x-region: apac" })).status, 403);
    t.equal((await ask({ client, path: "/region" })).status, 403);
  });

  test(`${name}: what is too big for a frame, or for the agent, is refused and harms nobody else`, async (t) => {
    const { untilAllowed, ask, backend, front } = await stage(t, binary);
    await untilAllowed();
    const before = backend.received.length;
    for (const size of [8_000, 8_300, 12_000, 15_000, 16_000, 40_000]) {
      const client = await RawClient.open(front);
      const answer = await ask({ token: "x".repeat(size), client }).catch(() => ({ status: 400 }));
      t.ok([400, 401, 431, 503].includes(answer.status), `a token of ${size}: ${answer.status}`);
      client.close();
    }
    for (const size of [7_000, 14_000]) {
      const client = await RawClient.open(front);
      const answer = await ask({ path: `/v1/large/${"x".repeat(size)}`, token: "x".repeat(7_500), client }).catch(() => ({ status: 400 }));
      t.ok([400, 401, 414, 431, 503].includes(answer.status), `a path of ${size} beside it: ${answer.status}`);
      client.close();
    }
    t.equal(backend.received.length, before);
    t.equal((await ask()).status, 200, "the others are answered as before");
  });
}
