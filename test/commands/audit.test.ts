import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import fs, {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { type Test, test } from "tap";
import type { AuditConfig } from "../../agent/config/sections/audit.ts";
import { AuditLog } from "../../agent/telemetry/audit/audit-log.ts";
import { DecisionLines } from "../../agent/telemetry/decision-log.ts";
import { SpopClient } from "../../protocol/client.ts";
import type { Finding } from "../../records/audit/verify.ts";
import { messageOf } from "../support/agent.ts";
import { freePort, newestHaproxy } from "../support/haproxy.ts";
import { command, configuration, folderOf, MAIN, serve, watched } from "../support/serve.ts";
import { stage } from "../support/stage.ts";
import { NOON, observation } from "../support/telemetry.ts";

const REST = `
issuers: { idp: { type: oidc, issuer: "https://idp.example", audiences: [api://orders] } }
haproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: { orders: ["10.0.0.7:8080"] } }
`;
const CONFIG = `
listen: { spop: [127.0.0.1:9000] }
policies: ./policies
${REST}`;
const POLICY = `
roles: { reader: [{ group: Readers }] }
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    routes: [{ name: read, match: [GET /v1/orders], allow: [reader] }]
`;

const OPEN = `services: { s: { hosts: [orders.example.com], backend: b, routes: [{ name: one, match: ["GET /v1/{path...}"], allow: [anyone] }] } }
`;

test("through a real HAProxy: what was decided is in the log, verifies, and is exported with what reconciles it", async (t) => {
  const audit = "audit: { name: ingress, file: audit.log, key: audit.key, checkpoint: 100ms }";
  let key = "";
  const before = async (cwd: string) => {
    const made = await command(["audit", "init"], { cwd });
    t.equal(made.code, 0, made.err);
    key = made.out;
  };
  const { folder, served, log, ask, untilAllowed, ports } = await stage(
    t,
    newestHaproxy(),
    undefined,
    {},
    audit,
    {},
    "",
    before,
  );
  t.match(key, /^ingress\/0 [A-Za-z0-9+/]{43}=\n$/);
  t.strictSame(statSync(join(folder, "audit.key")).mode & 0o777, 0o600);
  await untilAllowed();
  t.equal((await ask({ token: "nonsense" })).status, 401);
  t.equal((await ask({ path: "/v1/none" })).status, 403);
  // What HAProxy refuses by itself; and what it refuses while the agent stands still, which then decides it all the same.
  t.equal((await ask({ header: "authorization: Bearer another" })).status, 400);
  served.child.kill("SIGSTOP");
  t.equal((await ask()).status, 503);
  served.child.kill("SIGCONT");
  await untilAllowed();
  served.child.kill("SIGHUP");
  await served.said("reloaded");
  const { note } = await served.said("audit checkpoint");
  writeFileSync(join(folder, "kept"), String(note));
  served.child.kill("SIGTERM");
  await served.said("countersign stopped");
  writeFileSync(join(folder, "audit.pub"), key);

  const verify = (...args: string[]) => command(["audit", "verify", "--key", "audit.pub", ...args], { cwd: folder });
  const { code, out, err } = await verify("--json", "--from", "kept");
  t.equal(code, 0, out + err);
  const [summary] = JSON.parse(out).logs;
  t.match(summary, { origin: "ingress/0", segments: 1, lost: 0, findings: [] });
  const segment = readdirSync(folder).find((name) => name.startsWith("audit.log."));
  const text = readFileSync(join(folder, segment ?? ""), "utf8");
  const decisions = served.lines.filter(({ msg }) => msg === "decision");
  t.equal(summary.decisions.allowed + summary.decisions.denied, decisions.length);
  for (const { request_id } of decisions) t.ok(text.includes(String(request_id)));
  t.equal(text.match(/"audit":"revision"/g)?.length, 2);
  t.match(text, /"files":\{"[^"]+orders\.yaml":"[0-9a-f]{64}"\}/);
  t.notMatch(text, /nonsense|eyJ[\w-]+\./);

  const exported = await command(["audit", "export", "--format", "csv", "--output", "all.csv"], { cwd: folder });
  t.equal(exported.code, 0, exported.err);
  const manifest = JSON.parse(readFileSync(join(folder, "all.csv.manifest.json"), "utf8"));
  t.match(manifest, { decisions: decisions.length, lost: 0, format: "csv" });
  // HAProxy's log has the same, but for what it refused by itself.
  const asked = log.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  const judged = asked.filter(({ revision }) => revision !== "");
  t.equal(manifest.allowed + manifest.denied, judged.length + 1, "one was decided too late");
  t.equal(readFileSync(join(folder, "all.csv"), "utf8").split("\r\n").length, decisions.length + 2);

  // What HAProxy refused while the agent was away is its own, and explained.
  const away = await ask({});
  t.equal(away.status, 503);
  const own = () => log.filter((line) => line.includes('"agent-unavailable"')).length;
  while (own() < 2) await new Promise((done) => setTimeout(done, 20));
  writeFileSync(join(folder, "haproxy.log"), log.map((line) => `${line}\n`).join(""));
  const reconcile = (...more: string[]) =>
    command(["audit", "export", "--output", "all.json", "--haproxy", "haproxy.log", ...more], { cwd: folder });
  const counted = await reconcile();
  t.equal(counted.code, 0, counted.err);
  const { haproxy } = JSON.parse(readFileSync(join(folder, "all.json.manifest.json"), "utf8"));
  t.match(haproxy, { judged: decisions.length - 1, late: 1, unexplained: 0 });
  t.strictSame(haproxy.own, { duplicate: 1, "agent-unavailable": own() });
  t.equal(haproxy.requests, haproxy.judged + own() + 1);
  // One that was decided, and whose answer came too late; and one that the log has not.
  const lines = readFileSync(join(folder, "haproxy.log"), "utf8").split("\n");
  const at = lines.findIndex((line) => line.includes(String(decisions[0]?.request_id)));
  const late = { ...JSON.parse(lines[at] ?? ""), revision: "", reason: "agent-unavailable", verdict: "deny" };
  writeFileSync(join(folder, "haproxy.log"), lines.with(at, JSON.stringify(late)).join("\n"));
  t.equal((await reconcile()).code, 0);
  t.match(JSON.parse(readFileSync(join(folder, "all.json.manifest.json"), "utf8")).haproxy, {
    late: 2,
    unexplained: 0,
  });
  writeFileSync(join(folder, "haproxy.log"), lines.toSpliced(at, 1).join("\n"));
  const differs = await reconcile();
  t.equal(differs.code, 1);
  t.match(differs.err, /the counts differ: 1 decisions without a line of HAProxy's/);

  // Killed, once all is written: nothing that was decided is missing, and nothing is altered.
  const again = await serve(t, folder, ports);
  await untilAllowed();
  const allowed = () => again.lines.find(({ verdict }) => verdict === "allow")?.request_id;
  const written = () => readFileSync(join(folder, "audit.log.000002"), "utf8").includes(String(allowed()));
  while (!written()) await new Promise((done) => setTimeout(done, 20));
  again.child.kill("SIGKILL");
  await once(again.child, "exit");
  const refused = own();
  t.equal((await ask()).status, 503);
  while (own() === refused) await new Promise((done) => setTimeout(done, 20));
  writeFileSync(join(folder, "haproxy.log"), log.map((line) => `${line}\n`).join(""));
  t.match(await verify(), { code: 0 });
  const all = await reconcile();
  t.equal(all.code, 0, all.err);

  writeFileSync(join(folder, segment ?? ""), text.replace("/v1/none", "/v1/nine"));
  const altered = await verify();
  t.equal(altered.code, 1);
  t.match(altered.out, /^ingress\/0: ALTERED; .*\n.*tampered {2}edited {2}\S+:\d+: a record was changed/s);
});

/** The agent with a small disk of its own, mounted where only it sees it; whoever started it looks in by /proc. */
async function onDisk(t: Test, how: string, onFull: "deny" | "gap") {
  const admin = await freePort();
  const folder = folderOf(t, { "policies/a.yaml": OPEN });
  const audit = `audit: { name: ingress, file: disk/audit.log, key: audit.key, checkpoint: 100ms, on_full: ${onFull} }`;
  const text = `listen: { spop: ["unix:${join(folder, "spop.sock")}"], admin: "127.0.0.1:${admin}" }
policies: ./policies
issuers: {}
haproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: {} }
log: { decisions: refused }
${audit}
`;
  writeFileSync(join(folder, "countersign.yaml"), text);
  mkdirSync(join(folder, "disk"));
  writeFileSync(join(folder, "audit.pub"), (await command(["audit", "init"], { cwd: folder })).out);
  const script = `mount -t tmpfs -o size=16m none disk && ${how} && exec "$0" "$@"`;
  const args = ["--map-root-user", "--mount", "sh", "-c", script, process.execPath, MAIN, "serve"];
  const child = spawn("unshare", args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const served = watched(t, child, { spop: 0, admin });
  const disk = `/proc/${child.pid}/root${folder}/disk`;
  return { folder, served, disk };
}

test("a full disk: requests are judged, or refused, and all that were decided are accounted for", async (t) => {
  for (const onFull of ["gap", "deny"] as const) {
    // What room there is, is less than what may wait for it.
    const { folder, served, disk } = await onDisk(t, "head -c 15900k /dev/zero > disk/ballast", onFull);
    await served.said("ready");
    const client = await SpopClient.open({ path: join(folder, "spop.sock") });
    t.teardown(() => client.socket.destroy());
    let asked = 0;
    const ask = async () => {
      const actions = await client.notify(
        messageOf({ authorization: null, contract: "1:subject", path: `/v1/${"x".repeat(1_000)}` }),
      );
      asked++;
      return actions.find(({ name }) => name === "reason")?.value.value;
    };
    const isFull = () => served.lines.some(({ msg }) => String(msg).startsWith("the audit log cannot be written"));
    const told = new Set<unknown>();
    while (!isFull()) told.add(await ask());
    t.ok(told.has("anyone") && [...told].every((reason) => reason === "anyone" || reason === "audit-unavailable"));
    t.match(await served.said("the audit log cannot be written"), { error: "ENOSPC" }, onFull);
    t.match(JSON.parse((await served.page("/status")).text), {
      audit: [{ error: "ENOSPC" }],
      problems: [/the audit log ingress\/0 cannot be written: ENOSPC/],
    });
    t.equal(await ask(), onFull === "gap" ? "anyone" : "audit-unavailable");
    rmSync(join(disk, "ballast"));
    await served.said("the audit log can be written again");
    t.equal(await ask(), "anyone");
    const counted = async () => {
      const args = ["audit", "verify", join(disk, "audit.log.000001"), "--key", "audit.pub", "--json"];
      const { logs } = JSON.parse((await command(args, { cwd: folder })).out);
      t.notOk(
        logs[0].findings.some(({ severity }: Finding) => severity === "tampered"),
        JSON.stringify(logs[0].findings),
      );
      return logs[0].decisions.allowed + logs[0].decisions.denied + logs[0].lost;
    };
    while ((await counted()) < asked) await new Promise((done) => setTimeout(done, 50));
    t.equal(await counted(), asked, `${onFull}: kept or counted`);
  }
});

test("a directory that can only be read: no agent starts, and it says why", async (t) => {
  const { served } = await onDisk(t, "mount -o remount,ro disk", "gap");
  await t.rejects(served.said("ready"), {
    message: /the audit log cannot be written: .*EROFS.*disk\/.*; see `countersign audit init`/,
  });
});

test("no agent starts with an audit log that it cannot write, and it says what to do", async (t) => {
  const folder = folderOf(t, {
    "countersign.yaml": `${CONFIG}audit: { file: audit.log, key: audit.key }\n`,
    "policies/a.yaml": POLICY,
  });
  await t.rejects(serve(t, folder, { spop: 9000, admin: 9901 }), {
    message: /the audit log cannot be written: .*audit\.key.*; see `countersign audit init`/,
  });
});

test("a pod that starts again makes no key anew, and goes on with its log", async (t) => {
  const { text, spop, admin } = await configuration(`${REST}audit: { file: audit.log, key: audit.key }\n`);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/a.yaml": POLICY });
  const init = (...args: string[]) => command(["audit", "init", ...args], { cwd: folder });
  const made = await init("--once");
  t.match(made, { code: 0, out: / [A-Za-z0-9+/]{43}=\n$/ });
  t.strictSame(await init("--once"), made, "as long as the log has not begun");
  const { child, said } = await serve(t, folder, { spop, admin });
  child.kill("SIGTERM");
  await said("countersign stopped");
  const key = readFileSync(join(folder, "audit.key"), "utf8");
  t.match(await init("--once"), { code: 0, out: "" });
  t.match(await init(), { code: 1, err: /audit\.log has begun: another key would vouch for nothing of it/ });
  t.equal(readFileSync(join(folder, "audit.key"), "utf8"), key);
});

test("an agent that is started twice by mistake does not touch the log of the first", async (t) => {
  const { text, spop, admin } = await configuration(`${REST}audit: { file: audit.log, key: audit.key }\n`);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/a.yaml": POLICY });
  await command(["audit", "init"], { cwd: folder });
  await serve(t, folder, { spop, admin });
  const seen = () =>
    readdirSync(folder)
      .filter((name) => name.startsWith("audit."))
      .map((name) => [name, name === "audit.key" ? readFileSync(join(folder, name), "utf8") : ""]);
  const before = seen();
  await t.rejects(serve(t, folder, { spop, admin }), { message: /cannot listen on/ });
  t.strictSame(seen(), before);
});

test("while the agent writes on, what one log says of another is held against all that is there by then", async (t) => {
  const text = `workers: 2\n${CONFIG}audit: { name: a, file: audit.log, key: audit.key }\n`;
  const cwd = folderOf(t, { "countersign.yaml": text, "policies/a.yaml": POLICY });
  writeFileSync(join(cwd, "keys"), (await command(["audit", "init"], { cwd })).out);
  const config: AuditConfig = {
    ...{ name: "a", file: join(cwd, "audit.log"), key: join(cwd, "audit.key"), checkpoint: 20, maxSize: 1 << 20 },
    ...{ sync: "never", onFull: "gap", pseudonyms: undefined },
  };
  const events = { checkpoint: () => {}, full: () => {}, room: () => {} };
  const open = (process: number) => new AuditLog(config, process, new DecisionLines(), () => NOON, events);
  await open(1).close();
  const [first, second] = [open(1), open(2)];
  first.decided(observation());
  while (first.exchange([]) === undefined) await new Promise((done) => setTimeout(done, 20));
  const head = first.exchange([]);
  second.exchange(head === undefined ? [] : [head]);
  await Promise.all([first.close(), second.close()]);
  // The first begins its next segment once it is known which there are, before the second is read.
  const next = join(cwd, "audit.log.worker1.000002");
  const { createReadStream } = fs;
  const restore = () => {
    fs.createReadStream = createReadStream;
    syncBuiltinESMExports();
  };
  t.teardown(restore);
  renameSync(next, join(cwd, "aside"));
  fs.createReadStream = ((...args: Parameters<typeof createReadStream>) => {
    if (!existsSync(next)) renameSync(join(cwd, "aside"), next);
    return createReadStream(...args);
  }) as typeof createReadStream;
  syncBuiltinESMExports();
  const { code, out, err } = await command(["audit", "verify", "--key", "keys"], { cwd });
  restore();
  t.equal(code, 0, out + err);
  t.match(out, /^a\/1: not altered; 2 segments,/);
  rmSync(next);
  t.match(await command(["audit", "verify", "--key", "keys"], { cwd }), { code: 1, out: /truncated/ }, "it is held");
});

test("formats say what they should of each decision, whatever is in it", async (t) => {
  const evil = { path: '/a"b|c=d\\e,f', subject: "=cmd()", rule: "orders/read" };
  const line = (fields: object) =>
    `${JSON.stringify({ level: "info", time: "2026-11-23T16:00:00.000Z", msg: "decision", request_id: "ab", src: "192.0.2.7", method: "GET", host: "orders.example.com", ...evil, verdict: "deny", status: 403, reason: "role-missing", revision: "r", duration_us: 1, ...fields })}\n`;
  const begun = { version: 1, origin: "a/0", segment: 1, epoch: 1, key: "", word: "", size: 0, hash: "" };
  const first = { audit: "segment", ...begun, time: "2026-11-23T16:00:00.000Z" };
  const log = `${JSON.stringify(first)}\n${line({})}{"audit":"gap",broken\n${line({ time: "2026-11-24T16:00:00.000Z", verdict: "allow" })}`;
  const cwd = folderOf(t, { "audit.log.000001": log });
  const as = async (format: string, ...args: string[]) => {
    const { code, out, err } = await command(["audit", "export", "audit.log.000001", "--format", format, ...args], {
      cwd,
    });
    t.equal(code, 0, err);
    return { out, manifest: JSON.parse(err) };
  };
  const { out, manifest } = await as("cef", "--to", "2026-11-24T00:00:00Z");
  t.match(manifest, { decisions: 1, denied: 1, allowed: 0, to: "2026-11-24T00:00:00.000Z" });
  t.match(
    out,
    /^CEF:0\|Countersign\|countersign\|[^|]+\|role-missing\|decision\|5\|rt=\d+ src=192\.0\.2\.7 .* request=\/a"b\|c\\=d\\\\e,f /,
  );
  const csv = (await as("csv", "--from", "2026-11-24T00:00:00Z")).out.split("\r\n");
  t.equal(csv.length, 3);
  t.match(csv[1], `"/a""b|c=d\\e,f",,'=cmd(),`);
  t.match(JSON.parse((await as("ocsf", "--to", "2026-11-24")).out), {
    class_uid: 6001,
    action_id: 2,
    status_detail: "role-missing",
    metadata: { correlation_uid: "ab" },
  });
  t.equal((await as("json")).out.split("\n").length, 3);
});

test("access is listed, and mistakes are told", async (t) => {
  const cwd = folderOf(t, { "countersign.yaml": CONFIG, "policies/a.yaml": POLICY, odd: "no segment\n" });
  const { out } = await command(["audit", "access"], { cwd });
  t.match(out, /^revision [0-9a-f]{12}\n\nGET orders\.example\.com\/v1\/orders {2}orders\/read\n {2}group: Readers\n/);
  for (const [args, code, told] of [
    [["frobnicate"], 64, "audit what?"],
    [[], 64, "audit what? There are init, verify, export and access\n"],
    [["init", "--once"], 78, "the configuration has no `audit`"],
    [["init"], 78, "the configuration has no `audit`"],
    [["verify"], 64, "--key is missing"],
    [["verify", "--key", "x"], 64, "--key: no public key"],
    [["verify", "odd", "--key", Buffer.alloc(32).toString("base64")], 1, "odd: does not begin as a segment"],
    [["verify", "none", "--key", Buffer.alloc(32).toString("base64")], 66, "none: cannot be read"],
    [["export", "odd", "--format", "xml"], 64, "--format: xml; one of json, csv, ocsf, cef"],
    [["export", "odd", "--from", "later"], 64, "--from: later is no time"],
    [["export", "odd", "--from", "2026-02-31"], 64, "--from: 2026-02-31 is no time"],
    [["export", "odd", "--to", "2026-02-31T00:00:00Z"], 64, "--to: 2026-02-31T00:00:00Z is no time"],
    [["export", "odd", "--to", "5"], 64, "--to: 5 is no time"],
  ] as const) {
    const ended = await command(["audit", ...args], { cwd });
    t.equal(ended.code, code, ended.err);
    t.ok(ended.err.includes(told), ended.err);
  }
});

test("a log that is larger than the memory for it is read a piece at a time", async (t) => {
  const first = `${JSON.stringify({ audit: "segment", version: 1, origin: "a/0", segment: 1, epoch: 1, key: "", word: "", size: 0, hash: "", time: "2026-11-23T16:00:00.000Z" })}\n`;
  const cwd = folderOf(t, { "audit.log.000001": first });
  // Behind it 600 MiB, which no text can hold, and which take no room on the disk.
  const fd = openSync(join(cwd, "audit.log.000001"), "r+");
  for (let n = 1; n <= 600; n++) writeSync(fd, "\n", n << 20);
  closeSync(fd);
  const { code, err } = await command(["audit", "export", "audit.log.000001", "--output", "all.json"], { cwd });
  t.equal(code, 0, err);
  t.match(JSON.parse(readFileSync(join(cwd, "all.json.manifest.json"), "utf8")), { decisions: 0 });

  const endless = folderOf(t, { "audit.log.000001": first });
  truncateSync(join(endless, "audit.log.000001"), 24 << 20);
  const key = ["--key", Buffer.alloc(32, 1).toString("base64")];
  for (const args of [
    ["verify", "audit.log.000001", ...key],
    ["export", "audit.log.000001"],
  ]) {
    const ended = await command(["audit", ...args], { cwd: endless });
    t.equal(ended.code, 1, ended.err);
    t.match(ended.err, /audit\.log\.000001: a line is longer than any record/);
  }
});

test("no number of warnings hides that a log was altered", async (t) => {
  const { publicKey } = generateKeyPairSync("ed25519");
  const key = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url").toString("base64");
  const time = "2026-11-23T16:00:00.000Z";
  const hash = Buffer.alloc(32).toString("base64");
  const first = {
    audit: "segment",
    version: 1,
    origin: "a/0",
    segment: 1,
    epoch: 1,
    key,
    word: "",
    size: 0,
    hash,
    time,
  };
  const gaps = `${JSON.stringify({ audit: "gap", lost: 1, time })}\n`.repeat(1_001);
  const cwd = folderOf(t, { "audit.log.000001": `${JSON.stringify(first)}\n${gaps}not json\n` });
  const { code, out } = await command(["audit", "verify", "audit.log.000001", "--key", key], { cwd });
  t.equal(code, 1);
  t.match(out, /^a\/0: ALTERED; .*\n.*\n {2}tampered {2}malformed {2}audit\.log\.000001:1003: /);
});
