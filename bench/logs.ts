import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { COUNTERSIGN } from "./contestants/generated.ts";
import { commit, machine } from "./page.ts";
import { asText } from "./tables.ts";

const USAGE = `npm run bench:logs -- [options]
  --megabytes N   of HAProxy's log, the agent's and the mesh's together (1000)
  --help`;

/** Lines that are written at once. */
const PIECE = 2_000;
const START = Date.UTC(2026, 10, 23, 16);

/** `npm run bench:logs`: how long one core is at finding a request in logs of so many bytes, and with how much memory. */
function main(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: { megabytes: { type: "string", default: "1000" }, help: { type: "boolean", default: false } },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "countersign-logs-"));
  try {
    const { requests, bytes } = written(folder, Number(values.megabytes) * 1e6);
    const logs = ["haproxy", "decisions", "mesh"].flatMap((name) => [`--${name}`, join(folder, name)]);
    const last = requests - 1;
    const rows = [
      ["trace, by id", idOf(last)],
      ["trace --subject, one of 100,000", "--subject", subjectOf(last)],
      ["trace --src, one of 65,000", "--src", addressOf(last)],
    ].map(([what = "", ...wanted]) => {
      const { seconds, megabytes } = spent(["trace", ...wanted, ...logs]);
      return [what, seconds.toFixed(1), ((seconds * 1e9) / bytes).toFixed(1), megabytes.toFixed(0)];
    });
    const title = `${requests} requests, ${(bytes / 1e6).toFixed(0)} MB, at commit ${commit()}, ${machine()}`;
    console.log(asText({ title, rows: [["command", "s of CPU", "s of CPU a GB", "MB of memory at most"], ...rows] }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** CPU of one command, in user and kernel, as it says itself at its end. */
function spent(args: readonly string[]): { readonly seconds: number; readonly megabytes: number } {
  const told = `process.on("exit", () => { const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    process.stderr.write("\\n" + JSON.stringify([(userCPUTime + systemCPUTime) / 1e6, maxRSS / 1e3])); })`;
  const preload = `--import=data:text/javascript,${encodeURIComponent(told)}`;
  const { status, stderr } = spawnSync(process.execPath, [preload, COUNTERSIGN, ...args], { encoding: "utf8" });
  if (status !== 0) throw new Error(`countersign ${args[0]} ended with ${status}: ${stderr}`);
  const [seconds, megabytes] = JSON.parse(stderr.split("\n").at(-1) ?? "") as [number, number];
  return { seconds, megabytes };
}

function written(folder: string, least: number): { readonly requests: number; readonly bytes: number } {
  const files = { haproxy: accessLine, decisions: decisionLine, mesh: meshLine };
  const all = Object.entries(files).map(([name, line]) => ({ line, fd: openSync(join(folder, name), "w") }));
  let requests = 0;
  let bytes = 0;
  for (; bytes < least; requests += PIECE) {
    for (const { line, fd } of all)
      bytes += writeSync(
        fd,
        Array.from({ length: PIECE }, (_, n) => `${JSON.stringify(line(requests + n))}\n`).join(""),
      );
  }
  for (const { fd } of all) closeSync(fd);
  return { requests, bytes: Object.keys(files).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0) };
}

function idOf(n: number): string {
  return `d62e04c2071747eabe03${n.toString(16).padStart(12, "0")}`;
}

function subjectOf(n: number): string {
  return `person-${n % 100_000}@example.com`;
}

function addressOf(n: number): string {
  return `10.7.${(n >> 8) & 255}.${n & 255}`;
}

function accessLine(n: number): object {
  return {
    ...{ time: (START + n) / 1000, request_id: idOf(n), src: addressOf(n), method: "GET", path: `/v1/orders/${n}` },
    ...{ status: 200, verdict: "allow", reason: "allowed", rule: "orders/read", subject: subjectOf(n) },
    ...{ revision: "3f9a1c2d4e5f", spoe_error: "", backend: "orders", server: "orders1", bytes: 120, request_ms: 0 },
    ...{ queue_ms: 0, connect_ms: 1, response_ms: 4, total_ms: 6, end: "--" },
  };
}

function decisionLine(n: number): object {
  return {
    ...{ level: "info", time: new Date(START + n + 2).toISOString(), msg: "decision", request_id: idOf(n) },
    ...{ src: addressOf(n), method: "GET", host: "orders.example.com", path: `/v1/orders/${n}`, issuer: "okta" },
    ...{ subject: subjectOf(n), kind: "person", client: "orders-spa", rule: "orders/read", verdict: "allow" },
    ...{ status: 200, reason: "allowed", revision: "3f9a1c2d4e5f", duration_us: 13 },
  };
}

function meshLine(n: number): object {
  return {
    ...{
      "client.addr": "10.42.0.7:51234",
      "client.id": "haproxy.ingress.serviceaccount.identity.linkerd.cluster.local",
    },
    ...{ timestamp: new Date(START + n + 4).toISOString(), method: "GET", uri: `http://orders/v1/orders/${n}` },
    ...{ version: "HTTP/1.1", trace_id: idOf(n), request_bytes: "", status: 200, response_bytes: "120" },
    ...{ total_ns: "1204000", processing_ns: "211000", user_agent: "curl/8", host: "orders.example.com" },
  };
}

main(process.argv.slice(2));
