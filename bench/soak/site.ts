import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, openSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { BASE } from "../contestants/countersign.ts";
import { COUNTERSIGN, policy } from "../contestants/generated.ts";
import { minorOf } from "../haproxy.ts";
import { AUDIENCE } from "../issuer.ts";
import { freePort } from "../processes.ts";
import { folderOf, type Stage } from "../stage.ts";

/** What the clients were answered. */
export interface Answers {
  requests: number;
  /** Good tokens that were let in. */
  allowed: number;
  /** What must not pass, and was refused. */
  refused: number;
  /** What must not pass, and did. */
  passed: number;
  /** Good tokens that were refused: a deadline on a machine that is shared, mostly. */
  mistaken: number;
  unanswered: number;
}

export const ANSWERS: Readonly<Answers> = {
  ...{ requests: 0, allowed: 0, refused: 0, passed: 0, mistaken: 0, unanswered: 0 },
};

export const ROUTES = 10;
/** Entries of the caches: fewer than there are tokens at a time, so that they are full and give way. */
export const LIMITS = { identities: 5000, refusals: 1000 };
/** Whole segments of the audit log that are kept. */
const SEGMENTS = 4;

const run = promisify(execFile);

/** The files of one agent and its HAProxy, and what happens to them while it runs. */
export class Site {
  readonly folder: string;
  readonly file: string;
  readonly log: string;
  readonly port: number;
  readonly admin: number;
  /** The first public key of the audit log. */
  #auditKey = "";

  private constructor(folder: string, port: number, admin: number) {
    this.folder = folder;
    this.file = join(folder, "countersign.yaml");
    this.log = join(folder, "countersign.log");
    this.port = port;
    this.admin = admin;
  }

  static async make(stage: Stage, issuer: string): Promise<Site> {
    const site = new Site(folderOf(stage, "soak"), await freePort(), await freePort());
    const web = await freePort();
    mkdirSync(join(site.folder, "policies"));
    writeFileSync(site.file, configuration(stage, site, issuer, web));
    site.policies(0);
    writeFileSync(join(site.folder, "threads.cfg"), `global\n    nbthread ${stage.cores}\n`);
    await site.rotateKeys();
    site.#auditKey = (await site.command("audit", "init", "--config", site.file)).trim();
    await site.command("generate", "haproxy", "--config", site.file, "--output", site.folder);
    return site;
  }

  /** @throws Error with what the command said, where it fails */
  async command(...args: readonly string[]): Promise<string> {
    return (await run(process.execPath, [COUNTERSIGN, ...args], { cwd: this.folder, maxBuffer: 2 ** 26 })).stdout;
  }

  /** Why what is left of the audit log is not what the agent wrote; undefined where it is. */
  async auditFault(): Promise<string | undefined> {
    const segments = this.#segments().map((name) => join(this.folder, name));
    return await this.command("audit", "verify", ...segments, "--key", this.#auditKey).then(
      () => undefined,
      (error: unknown) => String(error),
    );
  }

  /** The oldest first. */
  #segments(): readonly string[] {
    return readdirSync(this.folder)
      .filter((name) => name.startsWith("audit.log."))
      .sort();
  }

  /** Another set of policies, in which the same may do the same. */
  policies(n: number): void {
    writeFileSync(this.#policy, policy({ ...BASE, routes: ROUTES + (n % 10) }));
  }

  /** A set that is never in force. */
  badPolicies(): void {
    writeFileSync(this.#policy, `${policy(BASE)}    rights: everything\n`);
  }

  async rotateKeys(): Promise<void> {
    await this.command("keys", "rotate", join(this.folder, "keys.json"), "--after", "30s");
  }

  /** As logrotate's `copytruncate`; and of the audit log, whole old files are removed. */
  rotateLogs(): void {
    copyFileSync(this.log, `${this.log}.1`);
    truncateSync(this.log);
    for (const name of this.#segments().slice(0, -SEGMENTS)) rmSync(join(this.folder, name));
  }

  /** What the agent writes to, as a shell's `>>` opens it. */
  openLog(): number {
    return openSync(this.log, "a");
  }

  get #policy(): string {
    return join(this.folder, "policies/orders.yaml");
  }
}

/** Everything that keeps something is on: caches, both logs, assertions with their keys. */
function configuration(stage: Stage, { folder, port, admin }: Site, issuer: string, web: number): string {
  return `listen: { spop: ["unix:${folder}/spop.sock"], admin: "127.0.0.1:${admin}", web: "127.0.0.1:${web}" }
policies: ./policies
issuers:
  bench: { type: oidc, issuer: "${issuer}", audiences: [${AUDIENCE}], kind: person, clock_tolerance: 5s, keys: { refresh: 10s } }
haproxy:
  version: "${minorOf(stage.haproxy)}"
  identity_prefix: x-auth-
  bind: ["127.0.0.1:${port}"]
  scheme: http
  backends: { orders: ["127.0.0.1:${stage.backend}"] }
cache: { identities: ${LIMITS.identities}, refusals: ${LIMITS.refusals}, lifetime: 1m }
log: { decisions: all }
audit: { file: audit.log, key: audit.key, max_size: 8MiB }
assertion: { issuer: https://ingress.example.com, keys: keys.json }
`;
}
