import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type ListenOptions, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Test } from "tap";
import { versionOf } from "../../haproxy/input.ts";

/** One real HAProxy: what its binary calls itself, and how to start it. */
export interface HaproxyBinary {
  /** `2.6.12` */
  readonly version: string;
  readonly command: string;
  readonly prefix: readonly string[];
  /** The package's own /etc/haproxy; undefined for the one in PATH, whose files are the machine's. */
  readonly etc: string | undefined;
}

const CACHE = resolve(import.meta.dirname, "../../.cache/haproxy");

/** The HAProxys that install-haproxy.sh has unpacked, oldest first; then the one in PATH, if it is another version. */
export function haproxies(): readonly HaproxyBinary[] {
  const unpacked = ["bookworm", "trixie", "sid"].flatMap((suite) => {
    const root = join(CACHE, suite, "root");
    const loader = ["usr/lib64", "lib64"].map((lib) => join(root, lib, "ld-linux-x86-64.so.2")).find(existsSync);
    if (loader === undefined) return [];
    const libraries = ["usr/lib", "lib"].map((lib) => join(root, lib, "x86_64-linux-gnu")).join(":");
    const prefix = ["--library-path", libraries, join(root, "usr/sbin/haproxy")];
    return binaryOf(loader, prefix, join(root, "etc/haproxy"));
  });
  const known = unpacked.map(({ version }) => version);
  return [...unpacked, ...binaryOf("haproxy", []).filter(({ version }) => !known.includes(version))];
}

/** The one for what no version of HAProxy does otherwise than another. */
export function newestHaproxy(): HaproxyBinary {
  const newest = haproxies().at(-1);
  if (newest === undefined) throw new Error("no HAProxy: npm run setup");
  return newest;
}

/** None where it cannot be started, or is older than the files that are rendered for it. */
function binaryOf(command: string, prefix: readonly string[], etc?: string): readonly HaproxyBinary[] {
  const { stdout } = spawnSync(command, [...prefix, "-v"], { encoding: "utf8" });
  const version = /version (\d+\.\d+\.\d+)/.exec(stdout ?? "")?.[1];
  return version === undefined || versionOf(minorOf({ version })) === undefined
    ? []
    : [{ version, command, prefix, etc }];
}

/** The version that haproxy.cfg is rendered for: `3.2` of `3.2.26`. */
export function minorOf({ version }: Pick<HaproxyBinary, "version">): string {
  return version.split(".").slice(0, 2).join(".");
}

/**
 * Debian's own haproxy.cfg. What cannot be here is left out: the account it runs as, its directory, its socket. Its
 * error files are there, under the folder that the package was unpacked into.
 *
 * @param jail a directory that exists, for its `chroot`; and root may become `nobody`, as there it becomes `haproxy`
 */
export function stockConfig(etc: string, jail?: string): string {
  const text = readFileSync(join(etc, "haproxy.cfg"), "utf8");
  const global = jail === undefined ? "" : `\tchroot ${jail}\n${isRoot() ? "\tuser nobody\n\tgroup nogroup\n" : ""}`;
  return text
    .replace(/^\t(?:chroot|user|group|stats) .*\n/gm, "")
    .replace(/^global\n/, `global\n${global}`)
    .replaceAll("/etc/haproxy", etc);
}

/** The same HAProxy as root, or as somebody who is that in a namespace of its own: only root may `chroot`. */
export function asRoot(binary: HaproxyBinary): HaproxyBinary {
  if (isRoot()) return binary;
  return { ...binary, command: "unshare", prefix: ["--map-root-user", binary.command, ...binary.prefix] };
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Below what Linux gives to outgoing connections (`net.ipv4.ip_local_port_range`). */
const [FIRST_PORT, PORTS] = [12_000, 20_000];

let nextPort = Math.floor(Math.random() * PORTS);

/**
 * A port that nobody listens on, and so many after it. They are this process's until it ends: test files run side by
 * side, and two HAProxys that were given one port would share it in silence (SO_REUSEPORT).
 */
export async function freePort(more = 0): Promise<number> {
  for (let tried = 0; tried < PORTS; tried++) {
    const first = FIRST_PORT + (nextPort++ % PORTS);
    let end = first;
    while (end <= first + more && (await take(end))) end++;
    if (end > first + more) {
      nextPort += more;
      return first;
    }
  }
  throw new Error("no port");
}

/** Whether the port is free and, by a socket that has its name, of no other process's tests; it is held by that then. */
async function take(port: number): Promise<boolean> {
  const name = createServer().unref();
  if (!(await listens(name, { path: `\0countersign-test-port-${port}` }))) return false;
  const server = createServer();
  const free = await listens(server, { port, host: "127.0.0.1" });
  await new Promise((done) => server.close(done));
  return free;
}

function listens(server: Server, at: ListenOptions): Promise<boolean> {
  return new Promise((done) => {
    server.once("error", () => done(false)).listen(at, () => done(true));
  });
}

/** What `haproxy -c` says of these files: its exit status, and the lines of its warnings and errors. */
export interface Check {
  readonly status: number | null;
  readonly lines: readonly string[];
}

/** Checks the files that end in `.cfg`, in their order; the others are for those to find. */
export function checkConfig(binary: HaproxyBinary, files: Readonly<Record<string, string>>): Check {
  const folder = write(files);
  const args = [...binary.prefix, ...configurations(folder, files), "-c"];
  const { status, stderr } = spawnSync(binary.command, args, { cwd: "/", encoding: "utf8" });
  rmSync(folder, { recursive: true });
  return { status, lines: stderr.split("\n").filter((line) => /^\[(?:WARNING|ALERT)\]/.test(line)) };
}

/**
 * Starts HAProxy on rendered files, which must pass its own check first, and waits until it accepts on the port.
 * It ends with the test.
 *
 * @param started is given the process
 * @returns the lines of its log so far, growing
 */
export async function startHaproxy(
  t: Test,
  binary: HaproxyBinary,
  files: Readonly<Record<string, string>>,
  port: number,
  started: (child: ChildProcess) => void = () => {},
): Promise<readonly string[]> {
  const check = checkConfig(binary, files);
  if (check.status !== 0) throw new Error(`HAProxy ${binary.version} refuses the files:\n${check.lines.join("\n")}`);
  const folder = write(files);
  const args = [...binary.prefix, ...configurations(folder, files), "-db"];
  const child = spawn(binary.command, args, { cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  started(child);
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on("line", (line) => lines.push(line));
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

/** Files that name one another below /etc/haproxy find each other in the folder that they are written to. */
function write(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "countersign-haproxy-"));
  const here = (text: string) => text.replaceAll(/(?<=[\s@(])\/etc\/haproxy\//g, `${folder}/`);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), here(text));
  return folder;
}

function configurations(folder: string, files: Readonly<Record<string, string>>): readonly string[] {
  const names = Object.keys(files).filter((name) => name.endsWith(".cfg"));
  return names.flatMap((name) => ["-f", join(folder, name)]);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = connect(port, "127.0.0.1");
    probe.once("connect", () => done(true)).once("error", () => done(false));
    probe.once("connect", () => probe.destroy());
  });
}
