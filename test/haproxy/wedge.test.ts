import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { startProvider } from "../../demo/provider.ts";
import { versionOf } from "../../haproxy/input.ts";
import { startBackend } from "../support/backend.ts";
import { freePort, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { configuration, countersign, folderOf, serve } from "../support/serve.ts";

const CLIENTS = 64;
/** Requests of each client in a row that must all be allowed. */
const ROUND = 20;
/**
 * A wedged connection refuses in every round; what a busy machine delays does not, sooner or later. Refused by their
 * timeout these rounds take 50 s: HAProxy's own `timeout server` of a minute must not end a wedge meanwhile.
 */
const ROUNDS = 5;
/** Milliseconds that HAProxy waits for an answer. */
const PROCESSING = 500;
const SUBJECT = "s".repeat(256);
const HEADER = 980;
const POLICY = `
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-wide: { value: '"${"w".repeat(HEADER)}"', max: ${HEADER} } }
    routes: [{ name: read, match: [GET /v1/orders], allow: [authenticated] }]
`;

/** HAProxy 3.1 and later wedge; those before have no such buffer to fill. */
const NEW = haproxies().filter((binary) => {
  const { major, minor } = versionOf(minorOf(binary)) ?? { major: 0, minor: 0 };
  return major > 3 || (major === 3 && minor >= 1);
});

/** Clients that ask as long as they are wanted, each on a connection that is kept. */
class Crowd {
  readonly #clients: readonly RawClient[];
  readonly #fields: readonly string[];
  #loaded = false;
  #load: Promise<unknown> = Promise.resolve();

  private constructor(clients: readonly RawClient[], token: string) {
    this.#clients = clients;
    this.#fields = ["host: orders.example.com", `authorization: Bearer ${token}`];
  }

  static async open(t: Test, port: number, token: string): Promise<Crowd> {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.open(port)));
    t.teardown(() => {
      for (const client of clients) client.close();
    });
    return new Crowd(clients, token);
  }

  async #ask(client: RawClient): Promise<boolean> {
    return (await client.request("GET /v1/orders HTTP/1.1", this.#fields)).status === 200;
  }

  /** Asks without end. What is refused is asked again at once, as impatient clients do. */
  start(): void {
    this.#loaded = true;
    const load = async (client: RawClient) => {
      while (this.#loaded) if (!(await this.#ask(client))) await pause(5);
    };
    this.#load = Promise.all(this.#clients.map(load));
  }

  async stop(): Promise<void> {
    this.#loaded = false;
    await this.#load;
  }

  /** Asks until a round is without refusal. Returns how many of the last one were refused. */
  async settle(rounds: number): Promise<number> {
    let refused = 0;
    const ask = async (client: RawClient) => {
      for (let i = 0; i < ROUND; i++) if (!(await this.#ask(client))) refused++;
    };
    for (let round = 0; round < rounds; round++) {
      refused = 0;
      await Promise.all(this.#clients.map(ask));
      if (refused === 0) break;
    }
    return refused;
  }
}

const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

for (const binary of NEW) {
  test(`HAProxy ${binary.version}: the largest answers wedge nothing, after a stop under load neither`, async (t) => {
    const provider = await startProvider({ [SUBJECT]: { kind: "person" } });
    t.teardown(() => provider.close());
    const backend = await startBackend(t);
    const front = await freePort();
    const { text, ...ports } = await configuration(`
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders] }
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
    const folder = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": POLICY });
    const served = await serve(t, folder, ports);
    t.equal((await countersign(["generate", "haproxy", "--output", "haproxy"], { cwd: folder })).code, 0);
    const read = (name: string) => readFileSync(join(folder, "haproxy", name), "utf8");
    const cfg = read("haproxy.cfg");
    const spoe = { "countersign.spoe.conf": read("countersign.spoe.conf") };
    t.match(cfg, "tune.bufsize 32768", "the buffer is the one that just holds twenty of these answers");
    // The same HAProxy once more, with a buffer that would not hold them: it must not be pipelined. Both share a stop.
    const second = await freePort();
    const small = cfg.replace("tune.bufsize 32768", "tune.bufsize 16384").replaceAll(`:${front}`, `:${second}`);
    await Promise.all([
      startHaproxy(t, binary, { "haproxy.cfg": cfg, ...spoe }, front),
      startHaproxy(t, binary, { "haproxy.cfg": small, ...spoe }, second),
    ]);
    const token = await provider.token(SUBJECT);
    const crowds = await Promise.all([Crowd.open(t, front, token), Crowd.open(t, second, token)]);
    for (const seconds of [2, 4]) {
      for (const crowd of crowds) crowd.start();
      await pause(PROCESSING);
      served.child.kill("SIGSTOP");
      await pause(seconds * 1000);
      served.child.kill("SIGCONT");
      await pause(2 * PROCESSING);
      await Promise.all(crowds.map((crowd) => crowd.stop()));
      const refused = await Promise.all(crowds.map((crowd) => crowd.settle(ROUNDS)));
      t.strictSame(refused, [0, 0], `after ${seconds} s every request is allowed again`);
    }
    t.equal(String(backend.last("x-auth-wide")[0]).length, HEADER);
  });
}
