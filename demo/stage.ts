import { setTimeout as sleep } from "node:timers/promises";
import { send } from "./ask.ts";
import { type EchoBackend, startBackend } from "./backend.ts";
import { startLogin } from "./mcp/login.ts";
import { type NotesServer, startNotes } from "./mcp/server.ts";
import { type Part, startPart } from "./part.ts";
import { AWS_KEYS, PARTIES, PARTNER_PARTIES } from "./parties.ts";
import { clientOf } from "./people.ts";
import { CONFIGURATION, type Places } from "./places.ts";
import { takenPorts } from "./ports.ts";
import { type RunningProvider, startProvider } from "./provider.ts";
import { startSts } from "./sts.ts";

/** Seconds until a part must be ready. */
const PATIENCE = 20;

/** All that runs. */
export interface Stage {
  readonly provider: RunningProvider;
  readonly partner: RunningProvider;
  readonly notes: NotesServer;
  /** Of the MCP server, as its users know it. */
  readonly url: string;
  readonly backends: readonly EchoBackend[];
  readonly haproxy: Part;
  /** Rejects once the agent or HAProxy ends by itself. */
  readonly failure: Promise<never>;
}

/** Why the demo cannot start; the message says what to do. */
export class CannotStart extends Error {
  override readonly name = "CannotStart";
}

/** What was started, to be ended in reverse: HAProxy first, so that nothing is asked of an agent that is going. */
export class Closers {
  readonly #all: (() => Promise<void>)[] = [];

  add(close: () => Promise<void>): void {
    this.#all.push(close);
  }

  async close(): Promise<void> {
    for (let close = this.#all.pop(); close !== undefined; close = this.#all.pop()) await close();
  }
}

/**
 * Starts providers, backends, agent and HAProxy, each a user's way: the agent by `countersign serve`.
 *
 * @param haproxy the command of a HAProxy, 2.6 or later
 * @param closers gets what ends them, also when a later one cannot start
 * @param signal gives up
 * @throws CannotStart, PartEnded, and the signal's reason
 */
export async function setStage(places: Places, haproxy: string, closers: Closers, signal: AbortSignal): Promise<Stage> {
  await demandFree(places);
  const provider = await startProvider(PARTIES, places.provider);
  closers.add(() => provider.close());
  const partner = await startProvider(PARTNER_PARTIES, places.partner);
  closers.add(() => partner.close());
  const url = `http://127.0.0.1:${places.haproxy}/notes`;
  const clients = [clientOf(places)];
  const login = await startLogin({ port: places.login, resources: { [url]: ["notes:read"] }, clients });
  closers.add(() => login.close());
  const notes = await startNotes(places.notes);
  closers.add(() => notes.close());
  const sts = await startSts(places.sts, AWS_KEYS);
  closers.add(() => sts.close());
  const backends: EchoBackend[] = [];
  for (const [name, port] of Object.entries(places.backends)) {
    const backend = await startBackend(name, port);
    closers.add(() => backend.close());
    backends.push(backend);
  }
  const agent = startPart("agent", process.execPath, ["agent/main.ts", "serve", "--config", CONFIGURATION]);
  closers.add(() => agent.stop());
  await ready(agent, agent.failure, signal, async () => (await fetch(`http://127.0.0.1:${places.admin}/ready`)).ok);
  const proxy = startPart("haproxy", haproxy, ["-db", "-f", "haproxy/haproxy.cfg"]);
  closers.add(() => proxy.stop());
  // Until its health check has found the agent, HAProxy refuses everything.
  const health = { method: "GET", host: "orders.example.com", path: "/healthz" };
  const failure = Promise.race([agent.failure, proxy.failure]);
  await ready(proxy, failure, signal, async () => (await send(places, health)).status === 200);
  return { provider, partner, notes, url, backends, haproxy: proxy, failure };
}

async function demandFree({ backends, ...places }: Places): Promise<void> {
  const taken = await takenPorts([...Object.values(places), ...Object.values(backends)]);
  if (taken.length === 0) return;
  const lines = taken.map(
    ({ port, holder }) => `  127.0.0.1:${port} is taken${holder === undefined ? "" : ` by ${holder}`}`,
  );
  throw new CannotStart(
    `it needs these ports:\n${lines.join("\n")}\nEnd what listens there (another demo?) and run this one again. The ports stand in ${CONFIGURATION}.`,
  );
}

async function ready(
  part: Part,
  failure: Promise<never>,
  signal: AbortSignal,
  asked: () => Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + PATIENCE * 1000;
  while (!(await Promise.race([asked().catch(() => false), failure]))) {
    if (Date.now() > deadline) {
      throw new CannotStart(`${part.name} is not ready after ${PATIENCE} s. Its log: ${part.log}`);
    }
    await sleep(50, undefined, { signal });
  }
}
