import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type Test, test } from "tap";
import { configuration, folderOf, MAIN, type Served, serve, watched } from "../support/serve.ts";

const REST = 'issuers: {}\nhaproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: {} }\n';
const POLICY =
  "services: { s: { hosts: [orders.example.com], backend: b, routes: [{ name: one, match: [GET /v1/orders], allow: [anyone] }] } }\n";
const KINDS = { "one process": "", "several workers": "workers: 2\n" };

/** The processes that the agent is: itself, and its workers. */
async function processesOf(served: Served): Promise<readonly number[]> {
  const { workers } = JSON.parse((await served.page("/status")).text) as { workers: readonly { pid: number }[] };
  return [served.child.pid ?? 0, ...workers.map(({ pid }) => pid)];
}

/** How many sockets a process listens on. */
function listening(pid: number): number {
  const rows = ["tcp", "tcp6"].flatMap((name) => readFileSync(`/proc/${pid}/net/${name}`, "utf8").split("\n"));
  const inodes = rows.flatMap((row) => {
    const [, , , state, , , , , , inode] = row.trim().split(/\s+/);
    return state === "0A" ? [`socket:[${inode}]`] : [];
  });
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return open.filter((target) => inodes.includes(target)).length;
}

for (const [kind, more] of Object.entries(KINDS)) {
  test(`${kind}: no signal opens Node's debugger, and none but SIGTERM, SIGINT and SIGKILL ends it`, async (t) => {
    const { text, ...ports } = await configuration(`${REST}${more}`);
    const folder = folderOf(t, { "countersign.yaml": text, "policies/a.yaml": POLICY });
    const served = await serve(t, folder, ports);
    const before = await processesOf(served);
    for (const [i, signal] of (["SIGUSR1", "SIGUSR2"] as const).entries()) {
      for (const pid of before) process.kill(pid, signal);
      t.match(await served.said("a signal that means nothing here", i + 1), { signal, level: "warn" });
    }
    for (const pid of before) process.kill(pid, "SIGHUP");
    await served.said("reloaded");
    t.strictSame(await processesOf(served), before, "all are there, and none was started again");
    t.equal((await served.page("/ready")).status, 200);
    t.equal(listening(before[0] ?? 0), more === "" ? 2 : 1);
    t.notMatch(served.errors(), /debugger|inspector/i);
  });
}

test("a debugger that a signal opened before any line of the agent ran is closed again", async (t) => {
  const { text, ...ports } = await configuration(REST);
  const preload = `import { url } from "node:inspector";
import { isMainThread } from "node:worker_threads";
if (isMainThread) process.kill(process.pid, "SIGUSR1");
while (isMainThread && url() === undefined);
`;
  const folder = folderOf(t, { "countersign.yaml": text, "policies/a.yaml": POLICY, "preload.mjs": preload });
  const env = { NODE_OPTIONS: `--inspect-port=0 --import ${join(folder, "preload.mjs")}` };
  const served = await serve(t, folder, ports, { env });
  t.match(served.errors(), /debugger|inspector/i, "it was open");
  t.equal(listening(served.child.pid ?? 0), 2, "SPOP and admin");
});

/** An agent whose load waits for a policy file, which is a pipe. */
async function loading(t: Test, more: string) {
  const { text, ...ports } = await configuration(`${REST}${more}`);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/z.yaml": "roles: { r: [{ subject: x }] }\n" });
  const pipe = join(folder, "policies/a.yaml");
  execFileSync("mkfifo", [pipe]);
  const child = spawn(process.execPath, [MAIN, "serve"], {
    cwd: folder,
    env: { PATH: process.env.PATH },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const served = watched(t, child, ports);
  // Opens once the agent reads: no sooner and no later.
  const writer = await open(pipe, "w");
  return {
    served,
    async go() {
      writeFileSync(join(folder, "plain"), POLICY);
      renameSync(join(folder, "plain"), pipe);
      await writer.writeFile(POLICY);
      await writer.close();
    },
  };
}

for (const [kind, more] of Object.entries(KINDS)) {
  test(`${kind}: a SIGHUP while it loads is remembered, and SIGUSR1 and SIGUSR2 do nothing then either`, async (t) => {
    const { served, go } = await loading(t, more);
    for (const signal of ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGHUP"] as const) served.child.kill(signal);
    await go();
    await served.said("ready");
    await served.said("reloaded");
    t.notMatch(served.errors(), /debugger|inspector/i);
  });
}

test("SIGTERM while it loads ends it, also where the kernel would pass it by, as for the first process of a container", async (t) => {
  const { served, go } = await loading(t, "");
  served.child.kill("SIGTERM");
  const ended = once(served.child, "exit");
  await go();
  t.strictSame(await ended, [0, null]);
});
