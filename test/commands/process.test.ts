import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, readlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Test, test } from "tap";
import { ServiceManager } from "../../agent/telemetry/service-manager.ts";
import { configuration, folderOf, MAIN, type Served, serve, watched } from "../support/serve.ts";

// Where test/support/install-systemd.sh has put systemd's programs, if this machine has none.
process.env.PATH = `${resolve(import.meta.dirname, "../../.cache/systemd/bin")}:${process.env.PATH}`;

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

test("a service manager that does not read is told what counts once it does, however many reloads there were", async (t) => {
  const folder = folderOf(t, {});
  const [open, told] = [join(folder, "open"), join(folder, "told")];
  const script = `#!/bin/sh\nwhile [ ! -e ${open} ]; do sleep 0.02; done\necho "$1" >> ${told}\n`;
  writeFileSync(join(folder, "systemd-notify"), script, { mode: 0o755 });
  const PATH = `${folder}:${process.env.PATH}`;
  const manager = new ServiceManager({ NOTIFY_SOCKET: "nobody", PATH }, (error) => t.fail(String(error)));
  for (let n = 0; n < 50; n++) {
    manager.reloading();
    manager.ready(`revision ${n}`);
    if (n === 0) await new Promise((done) => setImmediate(done));
  }
  writeFileSync(open, "");
  await manager.stopping();
  t.strictSame(readFileSync(told, "utf8").split("\n"), ["RELOADING=1", "READY=1", "STOPPING=1", ""]);
});

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

/** An agent that waits for leave to read a policy file, as for a slow disk. */
async function loading(t: Test, more: string) {
  const { text, ...ports } = await configuration(`${REST}${more}`);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/a.yaml": POLICY });
  const leave = join(folder, "leave");
  const preload = `import { existsSync } from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
const { readFile } = promises;
promises.readFile = async (file, ...more) => {
  if (!existsSync("${leave}")) console.log('{"msg":"it waits"}');
  while (!existsSync("${leave}")) await new Promise((done) => setTimeout(done, 5));
  return readFile(file, ...more);
};
syncBuiltinESMExports();
`;
  writeFileSync(join(folder, "preload.mjs"), preload);
  const child = spawn(process.execPath, ["--import", join(folder, "preload.mjs"), MAIN, "serve"], {
    cwd: folder,
    env: { PATH: process.env.PATH },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const served = watched(t, child, ports);
  await served.said("it waits");
  return { served, go: () => writeFileSync(leave, "") };
}

for (const [kind, more] of Object.entries(KINDS)) {
  test(`${kind}: a SIGHUP while it loads is remembered, and SIGUSR1 and SIGUSR2 do nothing then either`, async (t) => {
    const { served, go } = await loading(t, more);
    for (const signal of ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGHUP"] as const) served.child.kill(signal);
    go();
    await served.said("ready");
    await served.said("reloaded");
    t.notMatch(served.errors(), /debugger|inspector/i);
  });
}

test("SIGTERM while it loads ends it, also where the kernel would pass it by, as for the first process of a container", async (t) => {
  const { served, go } = await loading(t, "");
  served.child.kill("SIGTERM");
  const ended = once(served.child, "exit");
  go();
  t.strictSame(await ended, [0, null]);
});

/** A socket for sd_notify(3), which takes datagrams: Node has none, so Perl, which Debian always has, prints them. */
async function notifySocket(t: Test) {
  const path = join(folderOf(t, {}), "notify");
  const script = `use Socket; $| = 1; socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die;
print "bound\\n"; while (defined recv($s, my $m, 4096, 0)) { print join(" ", split("\\n", $m)), "\\n"; }`;
  const child = spawn("perl", ["-e", script, path], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => child.kill());
  const told: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    // systemd-notify waits until what it sent was read.
    told.push(...text.split("\n").filter((line) => line !== "" && line !== "BARRIER=1"));
    child.emit("told");
  });
  const until = async (count: number) => {
    while (told.length < count) await once(child, "told");
    return told.at(-1) ?? "";
  };
  await until(1);
  return { path, told, until };
}

for (const [kind, more] of Object.entries(KINDS)) {
  test(`${kind}: systemd is told when it is ready, reloads, and ends`, async (t) => {
    const { path, told, until } = await notifySocket(t);
    const { text, ...ports } = await configuration(`${REST}${more}`);
    const folder = folderOf(t, { "countersign.yaml": text, "policies/a.yaml": POLICY });
    const served = await serve(t, folder, ports, { env: { NOTIFY_SOCKET: path, SECRET: "s" } });
    const { revision } = await served.said("countersign started");
    t.equal(await until(2), `READY=1 STATUS=serving revision ${revision}`);
    const before = process.hrtime.bigint() / 1000n;
    served.child.kill("SIGHUP");
    t.match(await until(3), /^RELOADING=1 MONOTONIC_USEC=\d+$/);
    const at = BigInt(told[2]?.split("MONOTONIC_USEC=")[1] ?? 0);
    t.ok(at >= before && at <= process.hrtime.bigint() / 1000n, "by the clock that systemd compares with");
    t.equal(await until(4), `READY=1 STATUS=serving revision ${revision}`);
    writeFileSync(join(folder, "policies/a.yaml"), "services: 5\n");
    t.equal(await until(6), `READY=1 STATUS=serving revision ${revision}; the last reload failed`);
    served.child.kill("SIGTERM");
    t.equal(await until(7), "STOPPING=1");
    if (served.child.exitCode === null) await once(served.child, "exit");
    t.equal(told.length, 7, "each once");
    t.notOk(served.lines.some(({ msg }) => String(msg).startsWith("the service manager")));
  });
}

test("a service manager that cannot be told takes nothing away", async (t) => {
  const { text, ...ports } = await configuration(REST);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/a.yaml": POLICY });
  const served = await serve(t, folder, ports, { env: { NOTIFY_SOCKET: join(folder, "nobody") } });
  t.match(await served.said("the service manager cannot be told"), { level: "warn" });
  t.equal((await served.page("/ready")).status, 200);
});

test("the log can be rotated by copying and truncating it, and no line is torn", async (t) => {
  const { text } = await configuration(REST);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/a.yaml": POLICY });
  const log = join(folder, "log");
  const child = spawn("sh", ["-c", 'exec "$0" "$1" serve >>log 2>&1', process.execPath, MAIN], { cwd: folder });
  t.teardown(() => child.kill("SIGKILL"));
  const said = async (msg: string) => {
    while (!existsSync(log) || !readFileSync(log, "utf8").includes(msg))
      await new Promise((done) => setTimeout(done, 20));
  };
  await said("ready: listening");
  truncateSync(log);
  child.kill("SIGHUP");
  await said("reloaded");
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  t.match(JSON.parse(lines[0] ?? ""), { msg: /^reloaded/ }, "from the beginning of the file");
});

test("the unit file is sound, and closes what the agent does not need", async (t) => {
  const unit = resolve(import.meta.dirname, "../../deploy/countersign.service");
  const rated = analyze("security", "--offline=true", "--threshold=20", unit);
  t.equal(rated.status, 0, rated.stdout);
  t.equal(rated.stderr, "", "every line of it is understood");
  // What it starts is not installed here.
  const copy = join(folderOf(t, {}), "countersign.service");
  writeFileSync(copy, readFileSync(unit, "utf8").replaceAll("/usr/local/bin/countersign", "/bin/true"));
  const verified = analyze("verify", copy);
  t.strictSame([verified.status, verified.stderr], [0, ""]);
  t.match(readFileSync(unit, "utf8"), /^Type=notify\nNotifyAccess=all$/m, "systemd-notify is another process");
});

function analyze(...args: readonly string[]) {
  return spawnSync("systemd-analyze", args, { encoding: "utf8" });
}
