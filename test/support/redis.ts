import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import type { Test } from "tap";
import { freePort } from "./haproxy.ts";

/** Where install-redis.sh has put one, if this machine has none. */
const UNPACKED = resolve(import.meta.dirname, "../../.cache/redis/bin/redis-server");

/** A real Redis or Valkey on a port of its own. It keeps nothing when it ends unless it has a folder, and ends with the test. */
export class RedisServer {
  readonly port: number;
  readonly #password: string;
  readonly #folder: string | undefined;
  readonly #tls: Readonly<Record<string, string>> | undefined;
  #child: ChildProcess | undefined;

  private constructor(port: number, password: string, folder?: string, tls?: Readonly<Record<string, string>>) {
    this.#tls = tls;
    this.port = port;
    this.#password = password;
    this.#folder = folder;
  }

  /** @param folder in which it keeps all that it was told, each time before it answers */
  static async start(t: Test, password: string, folder?: string): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), password, folder);
    t.teardown(() => server.stop());
    await server.begin();
    return server;
  }

  /** One that speaks TLS alone. @param cert @param key files */
  static async startTls(t: Test, password: string, cert: string, key: string): Promise<RedisServer> {
    const tls = { "tls-cert-file": cert, "tls-key-file": key, "tls-ca-cert-file": cert, "tls-auth-clients": "no" };
    const server = new RedisServer(await freePort(), password, undefined, tls);
    t.teardown(() => server.stop());
    await server.begin();
    return server;
  }

  get url(): string {
    return `${this.#tls === undefined ? "redis" : "rediss"}://:${this.#password}@127.0.0.1:${this.port}`;
  }

  /** Starts it, anew after `stop`, and waits until it takes connections. */
  async begin(): Promise<void> {
    const kept = this.#folder === undefined ? {} : { appendonly: "yes", appendfsync: "always", dir: this.#folder };
    const none = { save: "", appendonly: "no" };
    const ports = this.#tls === undefined ? { port: this.port } : { port: 0, "tls-port": this.port, ...this.#tls };
    const options = { ...ports, bind: "127.0.0.1", ...none, ...kept, requirepass: this.#password };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
    const child = spawn(program(), args, { stdio: ["ignore", "pipe", "ignore"] });
    this.#child = child;
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      child.emit("said");
    });
    while (!/ready to accept connections/i.test(said)) {
      if (child.exitCode !== null) throw new Error(`redis-server ended:\n${said}`);
      await Promise.race([once(child, "said"), once(child, "exit")]);
    }
  }

  /** Holds it still, as a machine that is out of memory does: connections stay, answers do not come. */
  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    if (child.kill("SIGKILL")) await gone;
  }
}

function program(): string {
  const found = ["redis-server", "valkey-server", UNPACKED].find((name) => spawnSync(name, ["--version"]).status === 0);
  if (found === undefined) throw new Error("no redis-server: `npm run setup` gets one");
  return found;
}
