import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Test } from "tap";

/** One real HAProxy: what its binary calls itself, and how to start it. */
export interface HaproxyBinary {
  /** `2.6.12` */
  readonly version: string;
  readonly command: string;
  readonly prefix: readonly string[];
}

const CACHE = resolve(import.meta.dirname, "../../.cache/haproxy");

/** The HAProxys that install-haproxy.sh has unpacked, oldest first. */
export function haproxies(): readonly HaproxyBinary[] {
  return ["bookworm", "trixie", "sid"].flatMap((suite) => {
    const root = join(CACHE, suite, "root");
    const loader = ["usr/lib64", "lib64"].map((lib) => join(root, lib, "ld-linux-x86-64.so.2")).find(existsSync);
    if (loader === undefined) return [];
    const libraries = ["usr/lib", "lib"].map((lib) => join(root, lib, "x86_64-linux-gnu")).join(":");
    const prefix = ["--library-path", libraries, join(root, "usr/sbin/haproxy")];
    const text = execFileSync(loader, [...prefix, "-v"], { encoding: "utf8" });
    return [{ version: /version (\d+\.\d+\.\d+)/.exec(text)?.[1] ?? "unknown", command: loader, prefix }];
  });
}

/** The version that haproxy.cfg is rendered for: `3.2` of `3.2.26`. */
export function minorOf(binary: HaproxyBinary): string {
  return binary.version.split(".").slice(0, 2).join(".");
}

/** A port nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/**
 * Starts HAProxy on rendered files, which must pass its own check first, and waits until it accepts on the port.
 * It ends with the test.
 *
 * @returns the lines of its log so far, growing
 */
export async function startHaproxy(
  t: Test,
  binary: HaproxyBinary,
  files: Readonly<Record<string, string>>,
  port: number,
): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-haproxy-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const args = [...binary.prefix, "-f", join(folder, "haproxy.cfg")];
  execFileSync(binary.command, [...args, "-c", "-q"], { cwd: folder, encoding: "utf8" });
  const child = spawn(binary.command, [...args, "-db"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => lines.push(...text.trimEnd().split("\n")));
  }
  t.teardown(async () => {
    const gone = new Promise((done) => child.once("exit", done));
    if (child.exitCode === null && child.kill("SIGKILL")) await gone;
    rmSync(folder, { recursive: true, force: true });
  });
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`HAProxy ${binary.version} ended:\n${lines.join("\n")}`);
    await new Promise((done) => setTimeout(done, 20));
  }
  return lines;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = connect(port, "127.0.0.1");
    probe.once("connect", () => done(true)).once("error", () => done(false));
    probe.once("connect", () => probe.destroy());
  });
}
