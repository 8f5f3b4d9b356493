import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { accepts, type Processes, type Running } from "./processes.ts";

/** One real HAProxy: what its binary calls itself, and how to start it. */
export interface Haproxy {
  /** `3.2.26` */
  readonly version: string;
  readonly command: string;
  readonly prefix: readonly string[];
}

const UNPACKED = resolve(import.meta.dirname, "../.cache/haproxy");

/**
 * The HAProxys to measure, oldest first: those that are named, else all that `npm run setup` has unpacked, else the
 * one on the machine.
 *
 * @param named paths of binaries, or versions of unpacked ones: `3.2`
 */
export function haproxies(named: readonly string[]): readonly Haproxy[] {
  const unpacked = unpackedOnes();
  if (named.length > 0) {
    return named.map(
      (name) => unpacked.find(({ version }) => `${version}.`.startsWith(`${name}.`)) ?? haproxyOf(name, []),
    );
  }
  return unpacked.length > 0 ? unpacked : [haproxyOf("haproxy", [])];
}

function unpackedOnes(): readonly Haproxy[] {
  const suites = existsSync(UNPACKED) ? readdirSync(UNPACKED, { withFileTypes: true }) : [];
  return suites
    .flatMap((suite) => (suite.isDirectory() ? fromSuite(join(UNPACKED, suite.name, "root")) : []))
    .sort((a, b) => a.version.localeCompare(b.version, "en", { numeric: true }));
}

/** Another suite's binary runs on its own libraries, through its own loader. */
function fromSuite(root: string): readonly Haproxy[] {
  const loader = ["usr/lib64", "lib64"].map((lib) => join(root, lib, "ld-linux-x86-64.so.2")).find(existsSync);
  if (loader === undefined) return [];
  const libraries = ["usr/lib", "lib"].map((lib) => join(root, lib, "x86_64-linux-gnu")).join(":");
  return [haproxyOf(loader, ["--library-path", libraries, join(root, "usr/sbin/haproxy")])];
}

function haproxyOf(command: string, prefix: readonly string[]): Haproxy {
  const text = execFileSync(command, [...prefix, "-v"], { encoding: "utf8" });
  return { version: /version (\d+\.\d+\.\d+)/.exec(text)?.[1] ?? "unknown", command, prefix };
}

/** `3.2` of `3.2.26` */
export function minorOf({ version }: Haproxy): string {
  return version.split(".").slice(0, 2).join(".");
}

/**
 * Starts HAProxy on its files and waits until it accepts on the port. Its access log goes to /dev/null: it is written,
 * as in production, but nobody has to read it.
 */
export async function startHaproxy(
  processes: Processes,
  haproxy: Haproxy,
  files: readonly string[],
  port: number,
  more: readonly string[] = [],
): Promise<Running> {
  const args = [...haproxy.prefix, ...files.flatMap((file) => ["-f", file]), "-db", ...more];
  const running = processes.start(haproxy.command, args, { cwd: dirname(files[0] ?? ".") });
  await running.until(() => accepts({ host: "127.0.0.1", port }));
  return running;
}
