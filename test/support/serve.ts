import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";
import type { Test } from "tap";
import { run } from "../../agent/commands/run.ts";
import { Signals } from "../../agent/processes/signals.ts";
import { freePort } from "./haproxy.ts";

/**
 * The agent's command line: the release where `npm test` has just built and named it, which starts and reloads with a
 * quarter of the work. A test alone has the source, which needs no build.
 */
export const MAIN = resolve(import.meta.dirname, "../..", process.env.TESTED_AGENT ?? "agent/main.ts");

/** How a `countersign` command ended. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Of every process that is started: nothing of whoever runs the tests. What they compile they keep for each other. */
const ENVIRONMENT = { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE };

/** Runs one `countersign` command to its end, as a user would. */
export async function countersign(
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>>; main?: string; node?: string } = {},
): Promise<Ended> {
  // tap gives every process options that an old Node does not know.
  const node = options.node === undefined ? [process.execPath] : ["env", "-u", "NODE_OPTIONS", options.node];
  const [program = "", ...before] = node;
  const child = spawn(program, [...before, options.main ?? MAIN, ...args], {
    cwd: options.cwd,
    env: { ...ENVIRONMENT, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = { out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (texts.out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (texts.err += text));
  const [code] = await once(child, "close");
  return { code, ...texts };
}

/** Runs one `countersign` command within this process, which is much faster, as if in that directory. */
export async function command(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Ended> {
  const texts = { out: "", err: "" };
  const before = process.cwd();
  process.chdir(options.cwd ?? before);
  try {
    const code = await run(args, {
      environment: options.env ?? {},
      out: (text) => {
        texts.out += text;
      },
      err: (text) => {
        texts.err += text;
      },
      clock: Date.now,
      colours: false,
      signals: new Signals(),
    });
    return { code, ...texts };
  } finally {
    process.chdir(before);
  }
}

/** A temporary folder with these files in it, which goes with the test. */
export function folderOf(t: Test, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "countersign-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

/** A running `countersign serve`. */
export interface Served {
  readonly child: ChildProcess;
  readonly spop: number;
  readonly admin: number;
  /** Every line of its log so far, growing. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  /** What it wrote to standard error so far. */
  errors(): string;
  /** Settles once a line with this `msg` (its beginning) is there, `count` of them in all. */
  said(msg: string, count?: number): Promise<Readonly<Record<string, unknown>>>;
  /** A page of the admin listener. */
  page(path: string): Promise<{ readonly status: number; readonly text: string }>;
}

/** The configuration of a test's agent: listeners on ports of its own, and what the test adds. */
export async function configuration(rest: string, listen = ""): Promise<{ text: string; spop: number; admin: number }> {
  const [spop, admin] = [await freePort(1), await freePort()];
  return {
    spop,
    admin,
    text: `listen: { spop: [127.0.0.1:${spop}], admin: 127.0.0.1:${admin}${listen} }\npolicies: ./policies\n${rest}`,
  };
}

/** Starts the agent on a folder with countersign.yaml and waits until it is ready. It ends with the test. */
export async function serve(
  t: Test,
  folder: string,
  { spop, admin }: { spop: number; admin: number },
  { main = MAIN, env = {} }: { readonly main?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Served> {
  const child = spawn(process.execPath, [main, "serve"], {
    cwd: folder,
    env: { ...ENVIRONMENT, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const served = watched(t, child, { spop, admin });
  await served.said("ready");
  return served;
}

/** What a process that was started as `countersign serve` says. It ends with the test. */
export function watched(
  t: Test,
  child: ChildProcessByStdio<null, Readable, Readable>,
  { spop, admin }: { spop: number; admin: number },
): Served {
  const lines: Record<string, unknown>[] = [];
  let rest = "";
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts.map((line) => JSON.parse(line) as Record<string, unknown>));
    child.emit("lines");
  });
  t.teardown(async () => {
    const gone = once(child, "close");
    if (child.exitCode === null && child.signalCode === null && child.kill("SIGKILL")) await gone;
  });
  child.once("exit", () => child.emit("lines"));
  return {
    child,
    spop,
    admin,
    lines,
    errors: () => errors,
    async said(msg, count = 1) {
      for (;;) {
        const found = lines.filter((line) => String(line.msg).startsWith(msg));
        const last = found[count - 1];
        if (last !== undefined) return last;
        const end = child.exitCode ?? child.signalCode;
        if (end !== null) throw new Error(`countersign ended with ${end}:\n${errors}`);
        await once(child, "lines");
      }
    },
    async page(path) {
      const response = await fetch(`http://127.0.0.1:${admin}${path}`);
      return { status: response.status, text: await response.text() };
    },
  };
}
