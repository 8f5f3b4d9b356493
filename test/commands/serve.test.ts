import { once } from "node:events";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { SpopClient } from "../../protocol/client.ts";
import type { Action } from "../../protocol/decode.ts";
import { argumentsFor } from "../support/agent.ts";
import { configuration, folderOf, type Served, serve } from "../support/serve.ts";

const REST = 'issuers: {}\nhaproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: {} }\n';
const policy = (route: string) =>
  `services: { s: { hosts: [orders.example.com], backend: b, routes: [{ name: ${route}, match: [GET /v1/orders], allow: [anyone] }] } }\n`;

async function agent(
  t: Test,
  files: Readonly<Record<string, string>>,
  prepare: (folder: string) => void = () => {},
  workers = 1,
) {
  const { text, ...ports } = await configuration(`workers: ${workers}\n${REST}`);
  const folder = folderOf(t, { "countersign.yaml": text, ...files });
  prepare(folder);
  return { folder, served: await serve(t, folder, ports) };
}

async function client(t: Test, { spop }: Served): Promise<SpopClient> {
  const opened = await SpopClient.open({ host: "127.0.0.1", port: spop });
  t.teardown(() => opened.socket.destroy());
  return opened;
}

const value = (actions: readonly Action[], name: string) => actions.find((action) => action.name === name)?.value.value;
const NOTIFY = [{ name: "authorize", args: argumentsFor({ contract: "1:subject", authorization: null }) }];

async function ruleOf(connection: SpopClient): Promise<unknown> {
  return value(await connection.notify(NOTIFY), "rule");
}

test("a changed policy is in force within seconds, and a ConfigMap's swapped link counts as a change", async (t) => {
  const { folder, served } = await agent(t, {}, (root) => {
    // As Kubernetes mounts a ConfigMap: the file is a link through `..data`, which is a link to the version in force.
    for (const version of ["one", "two"]) {
      mkdirSync(join(root, "policies", `..${version}`), { recursive: true });
      writeFileSync(join(root, "policies", `..${version}`, "orders.yaml"), policy(version));
    }
    symlinkSync("..one", join(root, "policies", "..data"));
    symlinkSync(join("..data", "orders.yaml"), join(root, "policies", "orders.yaml"));
  });
  const connection = await client(t, served);
  t.equal(await ruleOf(connection), "s/one");
  symlinkSync("..two", join(folder, "policies", "..new"));
  renameSync(join(folder, "policies", "..new"), join(folder, "policies", "..data"));
  await served.said("reloaded");
  t.equal(await ruleOf(connection), "s/two", "on the connection that was there");
});

test("a file that comes, goes or is replaced is noticed, and SIGHUP needs no change", async (t) => {
  const { folder, served } = await agent(t, { "policies/a.yaml": policy("one") });
  const connection = await client(t, served);
  const second = join(folder, "policies", "b.yaml");
  writeFileSync(second, "roles: { unused: [{ subject: x }] }\n");
  await served.said("reloaded", 1);
  t.match((await served.page("/status")).text, '"services": 1');
  rmSync(second);
  await served.said("reloaded", 2);
  writeFileSync(join(folder, "new"), policy("two"));
  renameSync(join(folder, "new"), join(folder, "policies", "a.yaml"));
  await served.said("reloaded", 3);
  t.equal(await ruleOf(connection), "s/two");
  served.child.kill("SIGHUP");
  await served.said("reloaded", 4);
  rmSync(join(folder, "policies", "a.yaml"));
  const line = await served.said("reload failed");
  t.match(String(line.faults), "no policy file in this directory");
  t.equal(await ruleOf(connection), "s/two", "nothing that was running is lost");
});

const SECOND = policy("two").replace("{ s:", "{ s2:").replace("orders.", "invoices.");

const EMPTIED = ["", "# services: to be written\n", "roles: {}\nservices: {}\n"];

for (const [workers, emptied] of [
  [1, EMPTIED],
  [2, EMPTIED.slice(0, 1)],
] as const) {
  test(`workers: ${workers}: a policy file that has become empty takes nothing away`, async (t) => {
    const files = { "policies/a.yaml": policy("one"), "policies/b.yaml": SECOND };
    const { folder, served } = await agent(t, files, () => {}, workers);
    const { revision } = JSON.parse((await served.page("/status")).text);
    const connection = await client(t, served);
    for (const [i, text] of emptied.entries()) {
      writeFileSync(join(folder, "policies", "a.yaml"), text);
      const line = await served.said("reload failed", i + 1);
      t.match(String(line.faults), /policies\/a\.yaml:1:1: .*; .*remove the file/, text);
      t.equal(await ruleOf(connection), "s/one");
    }
    t.match((await served.page("/metrics")).text, "countersign_last_reload_successful 0");
    const ready = JSON.parse((await served.page("/ready")).text);
    t.match(ready, { ready: true, revision });
    t.match(String(ready.problems), "policies/a.yaml:1:1");
    t.match((await served.page("/status")).text, /"last_failed_reload": \{[^}]*policies\/a\.yaml:1:1/s);
    writeFileSync(join(folder, "policies", "a.yaml"), policy("two"));
    await served.said("reloaded");
    t.equal(await ruleOf(connection), "s/two");
    t.strictSame(JSON.parse((await served.page("/ready")).text).problems, []);
  });
}

test("a directory that has become empty, or rules that have all gone, take nothing away; a file that is removed does", async (t) => {
  const files = {
    "policies/a.yaml": policy("one"),
    "policies/team/b.yaml": SECOND,
    "policies/team/c.yaml": "roles: { r: [{ subject: x }] }\n",
  };
  const { folder, served } = await agent(t, files);
  const connection = await client(t, served);
  const mount = join(folder, "policies", "team");
  rmSync(join(mount, "c.yaml"));
  await served.said("reloaded", 1);
  rmSync(join(mount, "b.yaml"));
  t.match(String((await served.said("reload failed", 1)).faults), /policies\/team:1:1: no policy file .* any more/);
  t.match((await served.page("/status")).text, '"services": 2');
  rmSync(mount, { recursive: true });
  await served.said("reloaded", 2);
  t.match((await served.page("/status")).text, '"services": 1', "a directory that is removed was meant to be");
  writeFileSync(join(folder, "policies", "roles.yaml"), "roles: { r: [{ subject: x }] }\n");
  await served.said("reloaded", 3);
  rmSync(join(folder, "policies", "a.yaml"));
  t.match(String((await served.said("reload failed", 2)).faults), /no service any more/);
  t.equal(await ruleOf(connection), "s/one");
});

test("a ConfigMap whose keys have been emptied or removed takes nothing away", async (t) => {
  const { folder, served } = await agent(t, {}, (root) => {
    for (const [version, text] of [
      ["one", policy("one")],
      ["two", ""],
    ] as const) {
      mkdirSync(join(root, "policies", `..${version}`), { recursive: true });
      writeFileSync(join(root, "policies", `..${version}`, "orders.yaml"), text);
    }
    mkdirSync(join(root, "policies", "..three"));
    symlinkSync("..one", join(root, "policies", "..data"));
    symlinkSync(join("..data", "orders.yaml"), join(root, "policies", "orders.yaml"));
  });
  const connection = await client(t, served);
  for (const [i, version] of ["..two", "..three"].entries()) {
    symlinkSync(version, join(folder, "policies", "..new"));
    renameSync(join(folder, "policies", "..new"), join(folder, "policies", "..data"));
    // As the kubelet does after the swap.
    if (version === "..three") rmSync(join(folder, "policies", "orders.yaml"));
    await served.said("reload failed", i + 1);
    t.equal(await ruleOf(connection), "s/one", version);
  }
});

test("a first start takes a policy file that says nothing, and /ready names it", async (t) => {
  const { served } = await agent(t, { "policies/a.yaml": "", "policies/b.yaml": policy("one") });
  t.match(String((await served.said("countersign started")).warnings), /policies\/a\.yaml:1:1: /);
  t.match(String(JSON.parse((await served.page("/ready")).text).problems), /policies\/a\.yaml:1:1: /);
  const none = await agent(t, { "policies/a.yaml": "# nothing yet\n" });
  const { ready, problems } = JSON.parse((await none.served.page("/ready")).text);
  t.equal(ready, true);
  t.match(String(problems), "no service: every request is refused");
});

test("a broken configuration is not used either, and its mending is noticed", async (t) => {
  const { folder, served } = await agent(t, { "policies/a.yaml": policy("one") });
  const file = join(folder, "countersign.yaml");
  const { readFileSync } = await import("node:fs");
  const good = readFileSync(file, "utf8");
  writeFileSync(file, `${good}log: { level: loud }\n`);
  const line = await served.said("reload failed");
  t.match(String(line.faults), /countersign\.yaml:6:\d+: the text "loud"/);
  t.equal(await ruleOf(await client(t, served)), "s/one");
  writeFileSync(file, `${good}log: { decisions: refused }\n`);
  await served.said("reloaded");
  const before = served.lines.length;
  await ruleOf(await client(t, served));
  t.equal(
    served.lines.slice(before).filter(({ msg }) => msg === "decision").length,
    0,
    "decisions: refused is in force",
  );
});

test("SIGTERM answers on, fails health checks, and ends with 0", async (t) => {
  const { served } = await agent(t, { "policies/a.yaml": policy("one") });
  const connection = await client(t, served);
  t.equal(await ruleOf(connection), "s/one");
  served.child.kill("SIGTERM");
  await served.said("draining");
  t.equal((await served.page("/ready")).status, 503);
  t.equal((await served.page("/live")).status, 200);
  t.equal(await ruleOf(connection), "s/one", "what HAProxy still sends is answered");
  await t.rejects(SpopClient.open({ host: "127.0.0.1", port: served.spop }, { healthcheck: true }), {
    code: "DISCONNECTED",
  });
  const [code] = served.child.exitCode === null ? await once(served.child, "exit") : [served.child.exitCode];
  t.equal(code, 0);
  t.equal(served.lines.at(-1)?.msg, "countersign stopped");
});

test("a second signal ends at once, however busy HAProxy keeps it", async (t) => {
  const { served } = await agent(t, { "policies/a.yaml": policy("one") });
  const connection = await client(t, served);
  served.child.kill("SIGTERM");
  await served.said("draining");
  let asked = 0;
  const ended = once(served.child, "exit");
  const busy = (async () => {
    for (;;) {
      await connection.notify(NOTIFY).catch(() => {});
      if (connection.socket.destroyed) return;
      if (++asked === 200) served.child.kill("SIGINT");
    }
  })();
  const [code] = await ended;
  await busy;
  t.equal(code, 0);
  t.ok(asked >= 200, "it was answering until then");
  t.equal(served.lines.at(-1)?.msg, "countersign stopped");
});

test("a reload of many routes keeps nobody waiting", async (t) => {
  const { folder, served } = await agent(t, { "policies/a.yaml": policy("one") });
  const connection = await client(t, served);
  const routes = Array.from({ length: 1000 }, (_, i) => `{ name: r${i}, match: ["GET /r${i}/{id}"], allow: [anyone] }`);
  writeFileSync(
    join(folder, "policies", "a.yaml"),
    policy("two").replace("routes: [", `routes: [${routes.join(", ")}, `),
  );
  const rules = new Set<unknown>();
  while (!served.lines.some(({ msg }) => String(msg).startsWith("reloaded"))) {
    const answer = await connection.notify(NOTIFY);
    t.equal(value(answer, "verdict"), "allow");
    rules.add(value(answer, "rule"));
    await new Promise((done) => setTimeout(done, 5));
  }
  t.equal(await ruleOf(connection), "s/two");
  t.ok(rules.has("s/one"), "requests were answered meanwhile");
  t.equal((await served.page("/metrics")).text.match(/countersign_notifies_unanswered_total (\d+)/)?.[1], "0");
});
