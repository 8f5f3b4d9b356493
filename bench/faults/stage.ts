import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { type RunningProvider, startProvider } from "../../demo/provider.ts";
import { type Haproxy, minorOf } from "../haproxy.ts";
import { accepts, freePort, Processes, type Running } from "../processes.ts";
import { Backend } from "./backend.ts";
import { Relay } from "./relay.ts";
import { POLICY, Traffic } from "./traffic.ts";

const MAIN = resolve(import.meta.dirname, "../../agent/main.ts");
const CLOCK = resolve(import.meta.dirname, "clock.ts");
const run = promisify(execFile);

/**
 * The whole way, all of it real but the backend: provider, agent, a relay between it and HAProxy, HAProxy. The agent's
 * clock is its own, and its log a file.
 */
export class Stage {
  readonly haproxy: Haproxy;
  readonly folder = mkdtempSync(join(tmpdir(), "countersign-faults-"));
  readonly provider: RunningProvider;
  readonly traffic: Traffic;
  readonly backend = new Backend();
  readonly relay: Relay;
  readonly ports: { readonly front: number; readonly agent: number; readonly admin: number };
  readonly #processes = new Processes();
  #agent: Running | undefined;
  #proxy: Running | undefined;
  /** Milliseconds for which something is wrong at a time; by default longer than HAProxy waits for the agent. */
  pause = 1300;
  /** Instants of the monotonic clock from which on nothing is wrong any more, since the last fault began. */
  healed: number[] = [];

  private constructor(haproxy: Haproxy, provider: RunningProvider, ports: Stage["ports"], seed: number) {
    this.haproxy = haproxy;
    this.provider = provider;
    this.ports = ports;
    this.relay = new Relay(ports.agent);
    this.traffic = new Traffic(provider, seed);
  }

  /** Starts all of it. The caller closes it. */
  static async open(haproxy: Haproxy, seed: number): Promise<Stage> {
    const ports = { front: await freePort(), agent: await freePort(), admin: await freePort() };
    const stage = new Stage(haproxy, await startProvider({}), ports, seed);
    try {
      await stage.#begin(await freePort(), await freePort());
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async #begin(backend: number, relay: number): Promise<void> {
    await this.backend.listen(backend);
    await this.relay.listen(relay);
    const { front, agent, admin } = this.ports;
    this.write(
      "countersign.yaml",
      `listen: { spop: [127.0.0.1:${agent}], admin: 127.0.0.1:${admin} }
policies: ./policies
issuers:
  idp: { type: oidc, issuer: "${this.provider.issuer}", audiences: [api://orders], keys: { cooldown: 1s } }
haproxy: { version: "${minorOf(this.haproxy)}", bind: ["127.0.0.1:${front}"], scheme: http, backends: { orders: ["127.0.0.1:${backend}"] } }
# On a machine that is short of processors nothing else is to be refused by it.
deadline: 1s
`,
    );
    this.write("policies/orders.yaml", POLICY("read"));
    this.write("clock", "0");
    await run(process.execPath, [MAIN, "generate", "haproxy", "--output", "haproxy"], { cwd: this.folder });
    const file = join(this.folder, "haproxy/haproxy.cfg");
    const text = readFileSync(file, "utf8").replace(
      `server agent1 127.0.0.1:${agent} `,
      `server agent1 127.0.0.1:${relay} `,
    );
    // As for any reload without a gap: the new process is given the listeners, and the old one ends in the end.
    const global = `global\n    stats socket ${this.#socket} mode 600 level admin expose-fd listeners\n    hard-stop-after 5s\n`;
    writeFileSync(file, text.replace("global\n", global));
    await this.startAgent();
    this.#proxy = this.#startHaproxy([]);
    await this.#proxy.until(() => accepts({ host: "127.0.0.1", port: front }));
  }

  get #socket(): string {
    return join(this.folder, "haproxy.sock");
  }

  #startHaproxy(more: readonly string[]): Running {
    const file = join(this.folder, "haproxy/haproxy.cfg");
    return this.#start(this.haproxy.command, [...this.haproxy.prefix, "-db", "-f", file, ...more]);
  }

  #start(command: string, args: readonly string[]): Running {
    return this.#processes.start(command, args, { cwd: this.folder, stdio: ["ignore", "ignore", "pipe"] });
  }

  write(name: string, text: string): void {
    const file = join(this.folder, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  get agent(): Running {
    if (this.#agent === undefined) throw new Error("no agent");
    return this.#agent;
  }

  /** Starts the agent, and waits until it is ready. @param options of Node */
  async startAgent(options: readonly string[] = []): Promise<void> {
    const log = openSync(join(this.folder, "agent.log"), "a");
    // With no options of Node's but its own: those that a test runner gives to all processes take signals.
    const args = ["-u", "NODE_OPTIONS", process.execPath, ...options, "--import", CLOCK, MAIN, "serve"];
    const env = { PATH: process.env.PATH, CLOCK_FILE: join(this.folder, "clock") };
    this.#agent = this.#processes.start("env", args, {
      cwd: this.folder,
      env,
      stdio: ["ignore", log, "pipe"],
    });
    await this.#agent.until(async () => (await this.page("/ready").catch(() => undefined))?.ok === true);
  }

  async stopAgent(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.agent.kill(signal);
    await this.agent.ended();
  }

  /** A page of the admin listener. */
  page(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.ports.admin}${path}`);
  }

  /** Starts a new HAProxy, which is given the listeners of the old one and tells it to end when it is done. */
  async reloadHaproxy(): Promise<void> {
    if (this.#proxy === undefined) throw new Error("no HAProxy");
    const next = this.#startHaproxy(["-x", this.#socket, "-sf", String(this.#proxy.pid)]);
    this.#proxy = next;
    await next.until(async () => (await this.#asked("show info")).includes(`\nPid: ${next.pid}\n`));
  }

  /** What HAProxy says at its socket; nothing where nobody is there. */
  #asked(command: string): Promise<string> {
    return new Promise((done) => {
      let said = "";
      const socket = connect(this.#socket, () => socket.write(`${command}\n`));
      socket.setEncoding("utf8").on("data", (text: string) => (said += text));
      socket.on("error", () => {}).on("close", () => done(said));
    });
  }

  /** From now on nothing is wrong any more. */
  heal(): void {
    this.healed.push(performance.now());
  }

  /** Size of the agent's log. */
  logged(): number {
    return statSync(join(this.folder, "agent.log")).size;
  }

  /** The lines of the agent's log from an offset on; those that are cut are left out. */
  log(from: number): readonly Readonly<Record<string, unknown>>[] {
    const lines = readFileSync(join(this.folder, "agent.log")).subarray(from).toString().split("\n");
    return lines.flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>];
      } catch {
        return [];
      }
    });
  }

  async close(): Promise<void> {
    this.#processes.end();
    this.relay.close();
    this.backend.close();
    await this.provider.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
