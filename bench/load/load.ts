import { execFile } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

/** The host that all requests are for. */
export const HOST = "orders.example.com";

/** What is asked for. */
export interface Request {
  readonly path: string;
  /** The one that bears the credential. */
  readonly header: string;
  /** Another one, such as a proof that it is the sender's. */
  readonly other?: string;
}

export interface Load {
  readonly port: number;
  /** A file by `writeRequests`: its requests are sent in turn. */
  readonly file: string;
  readonly connections: number;
}

/** What a client saw. Latencies are milliseconds. */
export interface Seen {
  readonly requests: number;
  /** Answers of status 400 and above. */
  readonly refused: number;
  /** Requests without an answer. */
  readonly broken: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** The slowest answer. */
  readonly max: number;
}

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, "../..");
const UNPACKED = join(ROOT, ".cache/wrk/usr");

/** A request with a bearer token. */
export function bearing(token: string, path: string): Request {
  return { path, header: `Authorization: Bearer ${token}` };
}

/** Writes requests to a file as both clients read it. */
export function writeRequests(folder: string, name: string, requests: readonly Request[]): string {
  const file = join(folder, `${name}.requests`);
  writeFileSync(file, requests.map(lineOf).join(""));
  return file;
}

/** Between two headers is a tab, which no value here has. */
function lineOf({ path, header, other }: Request): string {
  return `${path} ${header}${other === undefined ? "" : `\t${other}`}\n`;
}

/** Unpacks wrk where it is missing. @returns why it cannot be had, or `undefined` */
export async function prepareWrk(): Promise<string | undefined> {
  if (await has("wrk")) return undefined;
  try {
    await run("bash", [join(import.meta.dirname, "install-wrk.sh")]);
    return undefined;
  } catch (error) {
    return error instanceof Error && "stderr" in error ? String(error.stderr).trim() : String(error);
  }
}

/** As many requests as the connections can carry, for so many seconds: wrk, or our own client where it is missing. */
export async function saturate(load: Load, seconds: number): Promise<Seen> {
  const unpacked = existsSync(join(UNPACKED, "bin/wrk"));
  if (!unpacked && !(await has("wrk"))) return await paced({ ...load, seconds });
  const { stdout } = await run(
    unpacked ? join(UNPACKED, "bin/wrk") : "wrk",
    [
      ...["--threads", "1", "--connections", String(load.connections), "--duration", `${seconds}s`, "--timeout", "5s"],
      ...[
        "--script",
        join(import.meta.dirname, "requests.lua"),
        `http://127.0.0.1:${load.port}`,
        "--",
        load.file,
        HOST,
      ],
    ],
    { env: { ...process.env, LD_LIBRARY_PATH: join(UNPACKED, "lib/x86_64-linux-gnu") } },
  );
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as Seen;
}

/** What our own client is told; without `rate` it sends as fast as the answers come, without `seconds` each request once. */
export interface Pace extends Load {
  /** Requests a second, sent at even intervals whether or not earlier ones were answered. */
  readonly rate?: number;
  readonly seconds?: number;
}

/** Room for what our own client leaves behind, in MB: garbage is collected once a second, not ten times. */
const ROOM = 16;

/**
 * Load by our own client, in a process of its own: latency counts from the moment a request was due. At a given rate,
 * a second of it is sent before `seconds` begin: it is counted, but its latencies are not kept.
 */
export async function paced(pace: Pace): Promise<Seen> {
  const client = join(import.meta.dirname, "client.ts");
  const { stdout } = await run(process.execPath, [`--min-semi-space-size=${ROOM}`, client, JSON.stringify(pace)]);
  return JSON.parse(stdout) as Seen;
}

async function has(program: string): Promise<boolean> {
  const found = run("sh", ["-c", `command -v ${program}`]);
  return await found.then(
    () => true,
    () => false,
  );
}
