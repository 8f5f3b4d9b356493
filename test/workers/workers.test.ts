import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { connect as connectTls } from "node:tls";
import { type Test, test } from "tap";
import { SpopClient } from "../../protocol/client.ts";
import { messageOf } from "../support/agent.ts";
import { Authority } from "../support/certificates.ts";
import { parseExposition } from "../support/exposition.ts";
import { freePort } from "../support/haproxy.ts";
import { command, countersign, folderOf, MAIN, type Served, serve } from "../support/serve.ts";

const policy = (route: string) =>
  `services: { s: { hosts: [orders.example.com], backend: b, routes: [{ name: ${route}, match: ["GET /v1/{path...}"], allow: [anyone] }] } }\n`;
const NOTIFY = messageOf({ contract: "1:subject", authorization: null });

interface Workers {
  readonly folder: string;
  readonly served: Served;
  /** The socket of a worker, from 1. */
  path(worker: number): string;
  client(worker: number): Promise<SpopClient>;
  status(): Promise<Status>;
  metrics(): Promise<ReturnType<typeof parseExposition>>;
  /** Asks until it holds. */
  until(holds: (status: Status) => boolean): Promise<Status>;
}

interface Status {
  readonly phase: string;
  readonly revision: string;
  readonly connections: number;
  readonly caches: { readonly identities: { readonly limit: number } };
  readonly problems: readonly string[];
  readonly workers: readonly {
    readonly pid: number;
    readonly state: string;
    readonly requests: number;
    readonly connections: number;
    readonly restarts: number;
    readonly last_end: string | null;
  }[];
}

/** `countersign serve` with two workers on unix sockets. @param issuers as the configuration writes them */
async function workers(t: Test, env: Readonly<Record<string, string>> = {}, issuers = "{}"): Promise<Workers> {
  const admin = await freePort();
  const folder = folderOf(t, { "policies/a.yaml": policy("one") });
  writeFileSync(join(folder, "countersign.yaml"), configuration(folder, admin, issuers));
  const served = await serve(t, folder, { spop: 0, admin }, { env });
  const path = (worker: number) => join(folder, worker === 1 ? "spop.sock" : `spop.sock.${worker}`);
  const status = async () => JSON.parse((await served.page("/status")).text) as Status;
  return {
    folder,
    served,
    path,
    status,
    async client(worker) {
      const opened = await SpopClient.open({ path: path(worker) });
      t.teardown(() => opened.socket.destroy());
      return opened;
    },
    metrics: async () => parseExposition((await served.page("/metrics")).text),
    async until(holds) {
      for (;;) {
        const now = await status();
        if (holds(now)) return now;
        await new Promise((done) => setTimeout(done, 20));
      }
    },
  };
}

function configuration(folder: string, admin: number, issuers = "{}"): string {
  return `listen: { spop: [{ address: "unix:${join(folder, "spop.sock")}", mode: "0640" }], admin: "127.0.0.1:${admin}" }
workers: 2
policies: ./policies
issuers: ${issuers}
haproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: {} }
`;
}

/** An issuer without keys, which answers when it is let. */
async function holding(t: Test) {
  const gate = { asked: Promise.withResolvers<void>(), open: Promise.resolve() };
  const server = createHttpServer(async (request, response) => {
    gate.asked.resolve();
    await gate.open;
    const issuer = `http://${request.headers.host}`;
    const documents = { issuer, jwks_uri: `${issuer}/keys`, keys: [] };
    response.setHeader("content-type", "application/json").end(JSON.stringify(documents));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close().closeAllConnections());
  const { port } = server.address() as { port: number };
  return { gate, issuers: `{ idp: { type: oidc, issuer: "http://127.0.0.1:${port}", audiences: [a] } }` };
}

async function ruleOf(client: SpopClient): Promise<unknown> {
  return (await client.notify(NOTIFY)).find(({ name }) => name === "rule")?.value.value;
}

function value(families: ReturnType<typeof parseExposition>, name: string, labels: Record<string, string> = {}) {
  const found = families.get(name)?.samples.find((sample) => {
    return Object.entries(labels).every(([label, text]) => sample.labels[label] === text);
  });
  return found?.value;
}

function allowed(families: ReturnType<typeof parseExposition>): number {
  const samples = families.get("countersign_decisions_total")?.samples ?? [];
  return samples.reduce((sum, { labels, value }) => sum + (labels.verdict === "allow" ? value : 0), 0);
}

test("every worker answers, and metrics and status speak for all of them", async (t) => {
  const { client, status, metrics, path } = await workers(t);
  for (const worker of [1, 2]) t.equal(statSync(path(worker)).mode & 0o777, 0o640, path(worker));
  const [one, two] = [await client(1), await client(2)];
  for (let i = 0; i < 3; i++) t.equal(await ruleOf(one), "s/one");
  for (let i = 0; i < 5; i++) t.equal(await ruleOf(two), "s/one");

  const { connections, caches, workers: each, problems } = await status();
  t.equal(connections, 2);
  t.equal(caches.identities.limit, 200_000, "of both");
  t.strictSame(problems, []);
  t.match(each, [
    { state: "ready", requests: 3, connections: 1, restarts: 0, last_end: null },
    { state: "ready", requests: 5, connections: 1, restarts: 0, last_end: null },
  ]);

  const families = await metrics();
  t.equal(allowed(families), 8);
  t.equal(
    families.get("countersign_decision_duration_seconds")?.samples.find(({ name }) => /_count$/.test(name))?.value,
    8,
  );
  t.equal(value(families, "countersign_connections"), 2);
  const info = families.get("countersign_policies_info")?.samples ?? [];
  t.strictSame(
    info.map(({ value }) => value),
    [1],
    "one revision, once",
  );
  t.equal(value(families, "countersign_build_info"), 1);
  t.equal(value(families, "countersign_reloads_total", { outcome: "ok" }), 1);
  t.equal(value(families, "countersign_last_reload_successful"), 1);
  t.equal(value(families, "countersign_workers", { state: "ready" }), 2);
  for (const name of ["process_resident_memory_bytes", "nodejs_version_info"]) {
    const samples = families.get(name)?.samples ?? [];
    t.strictSame(
      samples.map(({ labels }) => labels.worker),
      ["primary", "1", "2"],
      name,
    );
  }
});

test("a reload is in force in every worker once it is told, and a broken one in none", async (t) => {
  const { folder, served, client, metrics, status } = await workers(t);
  const clients = [await client(1), await client(2)];
  const file = join(folder, "policies/a.yaml");
  const rules: string[] = [];
  let told = false;
  const asking = clients.map(async (each) => {
    // Once more after it was told: the line may be read before a request of the loop has met the new set.
    for (let last = false; !last; ) {
      last = told;
      rules.push(`${await ruleOf(each)}`);
    }
  });
  writeFileSync(file, policy("two"));
  const line = await served.said("reloaded");
  told = true;
  for (const each of clients) t.equal(await ruleOf(each), "s/two", "on the connection that was there");
  await Promise.all(asking);
  t.strictSame([...new Set(rules)].sort(), ["s/one", "s/two"], "requests were answered meanwhile");
  t.equal((await status()).revision, line.revision);
  t.equal(value(await metrics(), "countersign_policies_info", { revision: String(line.revision) }), 1);
  t.equal(served.lines.filter(({ msg }) => String(msg).startsWith("reloaded")).length, 1, "told once");

  writeFileSync(file, policy("three").replace("allow:", "alow:"));
  const failed = await served.said("reload failed");
  t.match(String(failed.faults), /a\.yaml:1:\d+: unknown key "alow"/);
  for (const each of clients) t.equal(await ruleOf(each), "s/two");
  t.equal(value(await metrics(), "countersign_last_reload_successful"), 0);
  t.match((await served.page("/ready")).text, "failed and changed nothing");

  writeFileSync(file, policy("four"));
  writeFileSync(
    join(folder, "countersign.yaml"),
    `${readFileSync(join(folder, "countersign.yaml"), "utf8")}log: { decisions: refused }\n`,
  );
  await served.said("reloaded", 2);
  for (const each of clients) t.equal(await ruleOf(each), "s/four");
  const decisions = () => served.lines.filter(({ msg, rule }) => msg === "decision" && rule === "s/four").length;
  served.child.kill("SIGHUP");
  await served.said("reloaded", 3);
  t.equal(decisions(), 0, "`log.decisions` is in force in the workers too");
});

test("a worker that is killed is started again with the set in force, and the other answers meanwhile", async (t) => {
  const { folder, served, client, status, metrics, until } = await workers(t);
  const [one, two] = [await client(1), await client(2)];
  for (let i = 0; i < 3; i++) await ruleOf(one);
  for (let i = 0; i < 4; i++) await ruleOf(two);
  writeFileSync(join(folder, "policies/a.yaml"), policy("two"));
  await served.said("reloaded");
  t.equal(allowed(await metrics()), 7);
  const pid = (await status()).workers[1]?.pid ?? 0;
  process.kill(pid, "SIGKILL");
  const line = await served.said("a worker ended");
  t.match(line, { level: "error", worker: 2, end: "signal SIGKILL" });
  t.equal(await ruleOf(one), "s/two", "the other goes on");
  t.equal((await served.page("/ready")).status, 200, "one of two is service");
  t.equal(allowed(await metrics()), 8, "what the dead one had counted still counts");

  t.match(await served.said("the worker answers again"), { worker: 2 });
  t.equal(await ruleOf(await client(2)), "s/two", "the set that came after the start");
  const { workers: each, problems } = await until(({ workers: [, second] }) => second?.state === "ready");
  t.match(each[1], { restarts: 1, last_end: "signal SIGKILL", requests: 1 });
  t.not(each[1]?.pid, pid);
  t.strictSame(problems, []);
  const families = await metrics();
  t.equal(allowed(families), 9);
  t.equal(value(families, "countersign_worker_restarts_total", { worker: "2" }), 1);
});

test("a certificate that was renewed is shown by every worker, and by one that comes back", async (t) => {
  const [agents, proxies] = [new Authority("Agents"), new Authority("Proxies")];
  const [first, next] = [agents.issue({ names: ["dns:a.example"] }), agents.issue({ names: ["dns:a.example"] })];
  const shown = proxies.issue();
  const [spop, admin] = [await freePort(1), await freePort()];
  const folder = folderOf(t, {
    "policies/a.yaml": policy("one"),
    "agent.crt": first.pem,
    "agent.key": first.key,
    "proxies.pem": proxies.pem,
    "countersign.yaml": configuration("", admin)
      .replace(
        /\{ address: [^}]* \}/,
        `{ address: "127.0.0.1:${spop}", tls: { cert: agent.crt, key: agent.key, client_ca: proxies.pem } }`,
      )
      .replace("backends: {}", "backends: {}, agents: { tls: { cert: /a.pem, server_name: a.example } }"),
  });
  const served = await serve(t, folder, { spop, admin });
  const serial = async (worker: number) => {
    const client = { ca: agents.pem, cert: shown.pem, key: shown.key, servername: "a.example" };
    const socket = connectTls({ host: "127.0.0.1", port: spop + worker - 1, ...client });
    await once(socket, "secureConnect");
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const [before, after] = [first, next].map(({ pem }) => new X509Certificate(pem).serialNumber);
  t.strictSame(await Promise.all([serial(1), serial(2)]), [before, before]);
  writeFileSync(join(folder, "agent.crt"), next.pem);
  writeFileSync(join(folder, "agent.key"), next.key);
  // By the watch, which loads once: a second load would reach the worker that comes back.
  await served.said("reloaded");
  t.strictSame(await Promise.all([serial(1), serial(2)]), [after, after]);
  const { workers: seats } = JSON.parse((await served.page("/status")).text) as Status;
  process.kill(seats[0]?.pid ?? 0, "SIGKILL");
  await served.said("the worker answers again");
  t.equal(await serial(1), after);
  const { text } = await served.page("/metrics");
  const { validToDate } = new X509Certificate(next.pem);
  t.match(text, `countersign_spop_certificate_end_timestamp_seconds ${validToDate.getTime() / 1000}\n`, "no sum");
});

test("each worker's audit log is sound, however often one is killed while it writes", async (t) => {
  const admin = await freePort();
  const folder = folderOf(t, { "policies/a.yaml": policy("one") });
  const audit = "audit: { name: ingress, file: audit.log, key: audit.key, checkpoint: 100ms, max_size: 64KiB }\n";
  writeFileSync(join(folder, "countersign.yaml"), `${configuration(folder, admin)}${audit}`);
  const made = await countersign(["audit", "init"], { cwd: folder });
  writeFileSync(join(folder, "keys"), made.out);
  const served = await serve(t, folder, { spop: 0, admin });
  let over = false;
  let answered = 0;
  const asking = ["spop.sock", "spop.sock.2"].map(async (name) => {
    while (!over) {
      try {
        const client = await SpopClient.open({ path: join(folder, name) });
        for (; !over; answered++) {
          await client.notify(NOTIFY);
          // What is written has to be verified several times.
          await new Promise((done) => setTimeout(done, 1));
        }
        client.socket.destroy();
      } catch {
        await new Promise((done) => setTimeout(done, 20));
      }
    }
  });
  for (let kill = 1; kill <= 4; kill++) {
    for (const before = answered; answered < before + 50 * kill; ) await new Promise((done) => setTimeout(done, 1));
    const { workers: each } = JSON.parse((await served.page("/status")).text) as Status;
    process.kill(each[kill % 2]?.pid ?? 0, "SIGKILL");
    await served.said("the worker answers again", kill);
  }
  over = true;
  await Promise.all(asking);
  // Once all is quiet, each log says how far the other one has come: into its last file.
  const segments = (worker: number) =>
    readdirSync(folder)
      .filter((name) => name.startsWith(`audit.log.worker${worker}.`))
      .map((name) => join(folder, name));
  const last = (worker: number, what: string) =>
    segments(worker)
      .slice(-3)
      .flatMap((file) => readFileSync(file, "utf8").split("\n").slice(0, -1))
      .findLast((line) => line.startsWith(`{"audit":"${what}"`)) ?? "{}";
  const told = (by: number) => JSON.parse(last(by, "heads")).heads?.[0]?.size ?? 0;
  const decided = (worker: number) => JSON.parse(last(worker, "segment")).size;
  while (told(1) < decided(2) || told(2) < decided(1)) await new Promise((done) => setTimeout(done, 20));
  served.child.kill("SIGTERM");
  await served.said("countersign stopped");
  const verify = async (...args: readonly string[]) => {
    const { code, out } = await command(["audit", "verify", "--key", "keys", "--json", ...args], { cwd: folder });
    return { code, ...JSON.parse(out) };
  };
  const { code, altered, logs } = await verify();
  t.strictSame([code, altered], [0, false], JSON.stringify(logs));
  t.match(logs, [{ origin: "ingress/1" }, { origin: "ingress/2" }]);
  for (const log of logs) t.ok(log.segments >= 3 && log.decisions.allowed > 0, log.origin);

  // A whole log that is taken away, or its end with all that is signed in it, is missed by the other one.
  const truncated = { severity: "tampered", kind: "truncated", line: Number };
  for (const [gone, left] of [
    [2, 1],
    [1, 2],
  ] as const) {
    const text = new RegExp(`^the log of ingress/${left} has \\d+ records`);
    const without = await verify(...segments(left));
    t.match(without, {
      code: 1,
      logs: [{ findings: [] }, { origin: `ingress/${gone}`, findings: [{ ...truncated, text }] }],
    });
    const cut = await verify(...segments(left), ...segments(gone).slice(0, -2));
    t.match(cut, {
      code: 1,
      logs: [{ findings: [] }, { origin: `ingress/${gone}`, findings: [{ ...truncated, text }] }],
    });
  }
  // So is one of which nothing but a checkpoint was kept.
  writeFileSync(join(folder, "kept"), JSON.parse(last(2, "checkpoint")).note);
  const kept = await verify(...segments(1), "--from", "kept");
  t.match(kept.logs[1], {
    origin: "ingress/2",
    findings: [{ file: "kept", text: /^the checkpoint that was kept has/ }, truncated],
  });
  // What was added behind the last signature takes nothing back.
  const [end = ""] = segments(1).slice(-1);
  const lines = readFileSync(end, "utf8").split(/(?<=\n)/);
  const none = `{"audit":"heads","heads":[],"time":"2026-11-28T12:00:00.000Z"}\n`;
  writeFileSync(end, lines.filter((line) => !/"audit":"end"/.test(line)).join("") + none);
  const hidden = await verify(...segments(1));
  t.equal(hidden.code, 1);
  t.match(hidden.logs[1], { origin: "ingress/2", findings: [truncated] });
});

test("a worker that comes back is asked once it can verify, and not while others can", async (t) => {
  const { gate, issuers } = await holding(t);
  const { served, client, status, path, until } = await workers(t, {}, issuers);
  const held = Promise.withResolvers<void>();
  gate.open = held.promise;
  gate.asked = Promise.withResolvers<void>();
  process.kill((await status()).workers[1]?.pid ?? 0, "SIGKILL");
  await gate.asked.promise;
  const { workers: both } = await until((now) => now.workers[1]?.state === "starting");
  t.match(both, [{ state: "ready" }, { state: "starting", restarts: 1 }]);
  const [error] = await once(connect(path(2)), "error");
  t.equal(error.code, "ECONNREFUSED", "HAProxy turns to the others");
  t.equal(await ruleOf(await client(1)), "s/one");
  held.resolve();
  await served.said("the worker answers again");
  t.equal(await ruleOf(await client(2)), "s/one");
});

test("a worker that stands still keeps neither /metrics nor /ready waiting, and its numbers do not vanish", async (t) => {
  const { served, client, status, metrics, until } = await workers(t);
  const [one, two] = [await client(1), await client(2)];
  await ruleOf(one);
  await ruleOf(two);
  t.equal(allowed(await metrics()), 2);
  const pid = (await status()).workers[0]?.pid ?? 0;
  process.kill(pid, "SIGSTOP");
  t.teardown(() => served.child.kill("SIGKILL"));
  const families = await metrics();
  t.equal(allowed(families), 2);
  t.equal(value(families, "countersign_workers", { state: "silent" }), 1);
  const ready = await served.page("/ready");
  t.equal(ready.status, 200);
  t.match(JSON.parse(ready.text).problems, ["worker 1 does not answer within 500 ms"]);
  t.equal(await ruleOf(two), "s/one");
  process.kill(pid, "SIGCONT");
  t.strictSame((await until(({ workers: [first] }) => first?.state === "ready")).problems, []);
});

test("`countersign tap` shows what all workers decide, filtered, and waits for an agent that is away", async (t) => {
  const { folder, served, client } = await workers(t);
  const tap = (...args: string[]) => {
    const child = spawn(process.execPath, [MAIN, "tap", ...args], { cwd: folder });
    t.teardown(() => child.kill("SIGKILL"));
    const lines = (stream: Readable) => createInterface(stream)[Symbol.asyncIterator]();
    return { out: lines(child.stdout), err: lines(child.stderr) };
  };
  const next = async (lines: AsyncIterator<string>) => String((await lines.next()).value);
  /** Both workers are asked until it has settled: a tap that has not begun yet sees nothing. */
  const asking = async <T>(clients: readonly SpopClient[], paths: readonly string[], seen: Promise<T>): Promise<T> => {
    let settled = false;
    void seen.finally(() => {
      settled = true;
    });
    while (!settled) {
      for (const each of clients)
        for (const path of paths) await each.notify(messageOf({ contract: "1", authorization: null, path }));
      await new Promise((done) => setTimeout(done, 50));
    }
    return await seen;
  };
  const [all, denied] = [tap("--json"), tap("--verdict", "deny", "--path", "/none/")];
  const both = Promise.all([next(all.out), next(denied.out)]);
  const paths = ["/v1/orders", "/none/%1b[2J", "/elsewhere"];
  const [line, text] = await asking([await client(1), await client(2)], paths, both);
  // Whichever of them it saw first.
  t.match(JSON.parse(line), { msg: "decision", rule: /^s(?:\/one)?$/, request_id: /^[0-9a-f]{32}$/ });
  t.match(
    text,
    /^[\d:.]{12} {2}deny {2}\d{3} [a-z-]+ {2}\S+ {2}GET orders\.example\.com\/none\/%1b\[2J {2}nobody known {2}192\.0\.2\.7 {2}\d+ us {2}[0-9a-f]{32}$/,
  );

  served.child.kill("SIGKILL");
  t.match(
    await next(denied.err),
    /^the agent at http:\/\/127\.0\.0\.1:\d+ does not answer \(ECONN\w+\); trying again until it does$/,
  );
  const again = await serve(t, folder, served);
  t.match(await next(denied.err), /^the agent at \S+ answers$/);
  t.equal(await next(denied.err), "what was decided meanwhile is not shown");
  t.equal((await again.page("/ready")).status, 200);
  const until = async () => {
    while (!(await next(denied.out)).includes("/none/again"));
  };
  await asking([await client(2)], ["/none/again"], until());
});

test("a flood of the primary's admin listener keeps neither it nor the workers busy", async (t) => {
  const { served, client, status } = await workers(t);
  const one = await client(1);
  const page = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3000);
  for (let i = 0; i < 16; i++) {
    const socket = connect(served.admin, "127.0.0.1", () => socket.write(page)).on("error", () => {});
    socket.resume();
    t.teardown(() => socket.destroy());
  }
  for (let i = 0; i < 100; i++) t.equal(await ruleOf(one), "s/one");
  t.match((await status()).workers, [{ state: "ready" }, { state: "ready" }]);
});

test("without any worker /ready is 503; they come back", async (t) => {
  const { served, status, until } = await workers(t);
  for (const { pid } of (await status()).workers) process.kill(pid, "SIGKILL");
  await served.said("a worker ended", 2);
  const { status: code, text } = await served.page("/ready");
  // They may be back already.
  if (code !== 200) t.match(JSON.parse(text), { ready: false, phase: "starting", problems: [/worker 1/, /worker 2/] });
  await until(({ phase, workers: each }) => phase === "serving" && each.every(({ state }) => state === "ready"));
  t.equal((await served.page("/ready")).status, 200);
});

test("no worker outlives a primary that is killed, and a new one can begin at once", async (t) => {
  const { folder, served, client, status, path } = await workers(t);
  const connection = await client(2);
  const pids = (await status()).workers.map(({ pid }) => pid);
  const closed = once(connection.socket, "close");
  served.child.kill("SIGKILL");
  await closed;
  for (const pid of pids) while (existsSync(`/proc/${pid}/stat`)) await new Promise((done) => setTimeout(done, 10));
  for (const worker of [1, 2]) {
    const [error] = await once(connect(path(worker)), "error");
    t.equal(error.code, "ECONNREFUSED", "the file is there, but nobody");
  }
  const again = await serve(t, folder, served);
  t.equal(await ruleOf(await client(2)), "s/one");
  t.equal((await again.page("/ready")).status, 200);
});

test("SIGTERM drains all: health checks are refused, requests answered, and it ends with 0", async (t) => {
  const { served, client, path, status } = await workers(t);
  const clients = [await client(1), await client(2)];
  const pids = (await status()).workers.map(({ pid }) => pid);
  // As a terminal or a supervisor that signals the whole group does.
  for (const pid of pids) process.kill(pid, "SIGTERM");
  served.child.kill("SIGTERM");
  await served.said("draining");
  t.equal((await served.page("/ready")).status, 503);
  for (const [index, each] of clients.entries()) {
    await t.rejects(refusedCheck(path(index + 1)), { code: "DISCONNECTED" }, `worker ${index + 1}`);
    t.equal(await ruleOf(each), "s/one", "what HAProxy still sends is answered");
  }
  const [code] = served.child.exitCode === null ? await once(served.child, "exit") : [served.child.exitCode];
  t.equal(code, 0);
  t.equal(served.lines.at(-1)?.msg, "countersign stopped");
  t.equal(served.lines.filter(({ msg }) => msg === "a worker ended").length, 0);
  for (const pid of pids) t.notOk(existsSync(`/proc/${pid}`));
});

/** Drains begin in a worker when its order arrives: a check may come a moment before. */
async function refusedCheck(path: string): Promise<void> {
  for (;;) (await SpopClient.open({ path }, { healthcheck: true })).socket.destroy();
}

test("a second signal ends all at once, however busy HAProxy keeps them", async (t) => {
  const { served, client } = await workers(t);
  const clients = [await client(1), await client(2)];
  served.child.kill("SIGTERM");
  await served.said("draining");
  const ended = once(served.child, "exit");
  let asked = 0;
  const busy = clients.map(async (each) => {
    while (!each.socket.destroyed) {
      await each.notify(NOTIFY).catch(() => {});
      if (++asked === 200) served.child.kill("SIGINT");
    }
  });
  t.strictSame(await ended, [0, null]);
  await Promise.all(busy);
  t.ok(asked >= 200, "they were answering until then");
});

test("an address that is taken, by whichever worker, ends the start and leaves nobody behind", async (t) => {
  const folder = folderOf(t, { "policies/a.yaml": policy("one") });
  writeFileSync(join(folder, "countersign.yaml"), configuration(folder, await freePort()));
  const taken = join(folder, "spop.sock.2");
  const other = createServer().listen(taken);
  t.teardown(() => other.close());
  await once(other, "listening");
  const { code, err } = await countersign(["serve"], { cwd: folder });
  t.equal(code, 78);
  t.match(err, `cannot listen on unix:${taken}: node (pid ${process.pid}) is listening there`);
  t.notOk(existsSync(join(folder, "spop.sock")), "the first worker's socket is gone with it");
});

test("workers that die at the start end it with an error", async (t) => {
  const admin = await freePort();
  const folder = folderOf(t, { "policies/a.yaml": policy("one") });
  writeFileSync(join(folder, "countersign.yaml"), configuration(folder, admin));
  const env = preload(t, 'throw new Error("no worker today")');
  const { code, err } = await countersign(["serve"], { cwd: folder, env });
  t.equal(code, 78);
  t.match(err, "no worker today");
  t.match(err, "the worker ended by code 1");
});

test("signals while the issuers are still waited for end all, and no worker comes back", async (t) => {
  const { gate, issuers } = await holding(t);
  for (const signals of [["SIGTERM"], ["SIGTERM", "SIGINT"]] as const) {
    const [asked, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    Object.assign(gate, { asked, open: open.promise });
    const folder = folderOf(t, { "policies/a.yaml": policy("one") });
    const admin = await freePort();
    writeFileSync(join(folder, "countersign.yaml"), configuration(folder, admin, issuers));
    const child = spawn(process.execPath, [MAIN, "serve"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
    t.teardown(() => child.kill("SIGKILL"));
    let log = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (log += text));
    await asked.promise;
    while (!log.includes("started")) await once(child.stdout, "data");
    const pids = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
    t.equal(pids.length, 2);
    // By then the workers have been told to say when they are ready.
    for (let n = 0; n < 30; n++) await (await fetch(`http://127.0.0.1:${admin}/status`)).text();
    for (const signal of signals) child.kill(signal);
    const ended = once(child, "exit");
    for (const pid of pids) while (existsSync(`/proc/${pid}/stat`)) await new Promise((done) => setTimeout(done, 10));
    open.resolve();
    t.strictSame(await ended, [0, null], `${signals}`);
    t.notMatch(log, /ready|a worker ended/);
  }
});

test("a bug in a worker ends this one only, and is in the log", async (t) => {
  const bug = preload(t, 'process.on("SIGUSR2", () => { throw new Error("a bug") })');
  const { served, client, status } = await workers(t, bug);
  const other = await client(2);
  process.kill((await status()).workers[0]?.pid ?? 0, "SIGUSR2");
  t.match(await served.said("unexpected error"), { worker: 1, where: "the process", error: /a bug/ });
  t.match(await served.said("a worker ended"), { worker: 1, end: "code 70" });
  t.equal(await ruleOf(other), "s/one");
  t.match(await served.said("the worker answers again"), { worker: 1 });
});

/** The first worker writes a line without end at SIGUSR2, and stands still where it is to judge by a reload. */
const STRANGE = `{
  const { default: cluster } = await import("node:cluster");
  const [emit, first] = [process.emit, cluster.worker?.id === 1];
  process.on("SIGUSR2", () => process.stdout.write("x".repeat(3 << 20) + "\\n"));
  process.emit = function (name, message, ...rest) {
    if (first && message?.order?.kind === "commit") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    return emit.call(this, name, message, ...rest);
  };
}`;

test("a worker that writes without end, or never does what it is told, takes nothing from the others", async (t) => {
  const { folder, served, client, status, metrics } = await workers(t, preload(t, STRANGE));
  process.kill((await status()).workers[0]?.pid ?? 0, "SIGUSR2");
  while (value(await metrics(), "countersign_log_lines_dropped_total") !== 1);
  t.equal(await ruleOf(await client(1)), "s/one");
  t.match(await served.said("log lines were lost"), { lines: 1 });

  writeFileSync(join(folder, "policies/a.yaml"), policy("two"));
  t.match(await served.said("a worker ended"), { worker: 1, end: "took too long to judge by a reload" });
  await served.said("reloaded");
  t.equal(await ruleOf(await client(2)), "s/two");
  await served.said("the worker answers again");
  t.equal(await ruleOf(await client(1)), "s/two");
});

/** An environment in which the workers, who alone have a channel to another process, run this first. */
function preload(t: Test, script: string): Readonly<Record<string, string>> {
  const folder = folderOf(t, { "preload.mjs": `if (process.send !== undefined) ${script};\n` });
  return { NODE_OPTIONS: `--import ${join(folder, "preload.mjs")}` };
}

test("lines of several processes stay whole in a pipe that is full, also the longest", async (t) => {
  const admin = await freePort();
  const folder = folderOf(t, { "policies/a.yaml": policy("one") });
  writeFileSync(join(folder, "countersign.yaml"), configuration(folder, admin));
  // A shell's pipe: Node's own are sockets, which tear nothing. Its reader begins late, so that it is full.
  const command = '"$0" "$1" serve | { while [ ! -e read ]; do sleep 0.1; done; cat; }';
  const shell = spawn("sh", ["-c", command, process.execPath, MAIN], {
    cwd: folder,
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => {
    if (shell.exitCode === null) process.kill(-(shell.pid ?? 0), "SIGKILL");
  });
  let log = "";
  shell.stdout.setEncoding("utf8").on("data", (text: string) => (log += text));
  const ready = () =>
    fetch(`http://127.0.0.1:${admin}/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await ready())) await new Promise((done) => setTimeout(done, 20));
  // Nearly all of the line is escapes: more than a pipe takes in one piece.
  const long = messageOf({ contract: "1:subject", authorization: null, path: `/v1/${"\u0001".repeat(1500)}` });
  const clients = await Promise.all(
    ["spop.sock", "spop.sock.2"].map((name) => SpopClient.open({ path: join(folder, name) })),
  );
  const asked = clients.map(async (client) => {
    for (let i = 0; i < 150; i++) await Promise.all([client.notify(long), client.notify(NOTIFY)]);
  });
  await Promise.all(asked);
  writeFileSync(join(folder, "read"), "");
  while (!log.includes("\n")) await once(shell.stdout, "data");
  for (const { socket } of clients) socket.destroy();
  process.kill(Number(/"pid":(\d+)/.exec(log)?.[1]), "SIGTERM");
  await once(shell, "close");
  const decisions = log
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === "decision");
  t.equal(decisions.length, 600);
  t.ok(decisions.some(({ path }) => String(path).length === 1024));
});
