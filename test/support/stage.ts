import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Test } from "tap";
import { type Party, type RunningProvider, startProvider } from "../../demo/provider.ts";
import { type Backend, startBackend } from "./backend.ts";
import { freePort, type HaproxyBinary, minorOf, startHaproxy } from "./haproxy.ts";
import { type HttpAnswer, RawClient } from "./http.ts";
import { command, configuration, folderOf, type Served, serve } from "./serve.ts";

const HOST = "host: orders.example.com";
export const POLICY = `
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [authenticated] }
      - { name: large, match: ["GET /v1/large/{path...}"], allow: [authenticated] }
`;

export interface Stage {
  readonly folder: string;
  readonly provider: RunningProvider;
  readonly served: Served;
  readonly backend: Backend;
  readonly front: number;
  /** The lines of HAProxy's log so far, growing. */
  readonly log: readonly string[];
  readonly client: RawClient;
  readonly ports: { readonly spop: number; readonly admin: number };
  /** One request of somebody with a good token, as a rule on a connection that is kept. */
  ask(options?: { path?: string; token?: string; header?: string; client?: RawClient }): Promise<HttpAnswer>;
  /** Asks until a request is allowed again: HAProxy finds an agent by its own checks. */
  untilAllowed(): Promise<void>;
  /** Asks, and holds the answer to be a refusal for this reason of which the backend knows nothing. */
  refused(t: Test, status: number, reason: string, options?: Parameters<Stage["ask"]>[0]): Promise<void>;
}

/**
 * The whole way, all of it real: provider, agent process, HAProxy with the generated files, backend.
 *
 * @param more lines of the configuration
 * @param files further files, by their names
 * @param listen more of its `listen`, `, KEY: ADDRESS`
 * @param before what is done in the agent's folder before it starts
 */
export async function stage(
  t: Test,
  binary: HaproxyBinary,
  policy = POLICY,
  parties: Readonly<Record<string, Party>> = {},
  more = "",
  files: Readonly<Record<string, string>> = {},
  listen = "",
  before: (folder: string) => Promise<void> = async () => {},
): Promise<Stage> {
  const provider = await startProvider({ alice: { kind: "person" }, ...parties });
  t.teardown(() => provider.close());
  const backend = await startBackend(t);
  const front = await freePort();
  const { text, ...ports } = await configuration(
    `
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders], keys: { cooldown: 1s } }
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
${more}`,
    listen,
  );
  const folder = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": policy, ...files });
  await before(folder);
  const served = await serve(t, folder, ports);
  const log = await startHaproxy(t, binary, await generated(folder), front);
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
    log,
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

/** HAProxy's files for a folder, from the command that a user types, without a process of its own. */
export async function generated(folder: string): Promise<Readonly<Record<string, string>>> {
  const paths = ["--config", join(folder, "countersign.yaml"), "--output", join(folder, "haproxy")];
  const { code, err } = await command(["generate", "haproxy", ...paths]);
  if (code !== 0) throw new Error(err);
  const read = (name: string) => readFileSync(join(folder, "haproxy", name), "utf8");
  return { "haproxy.cfg": read("haproxy.cfg"), "countersign.spoe.conf": read("countersign.spoe.conf") };
}
