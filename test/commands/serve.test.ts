import { execFileSync } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "tap";
import { SpopClient } from "../../protocol/client.ts";
import { argumentsFor } from "../support/agent.ts";
import { configuration, folderOf, serve } from "../support/serve.ts";
import { agent, client, NOTIFY, policy, ruleOf, value } from "../support/serving.ts";

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

test("a pipe among the policies is told, and waited for by nobody", async (t) => {
  const { folder, served } = await agent(t, { "policies/a.yaml": policy("one") });
  const pipe = join(folder, "policies", "pipe.yaml");
  execFileSync("mkfifo", [pipe]);
  t.match(String((await served.said("reload failed")).faults), "pipe.yaml:1:1: cannot be read: it is not a plain file");
  rmSync(pipe);
  await served.said("reloaded");
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
  for (const [port, begun] of [
    [served.admin, "GET /live HTTP/1.1\r\n"],
    [served.admin, ""],
    [served.spop, "\0\0"],
    [served.spop, ""],
  ] as const) {
    // They end with the agent, and keep it from nothing.
    const held = connect(port, "127.0.0.1", () => held.write(begun)).on("error", () => {});
    t.teardown(() => held.destroy());
  }
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

test("a file of keys is read when it changes, and a broken one changes nothing", async (t) => {
  const pairs = ["one", "two"].map((kid) => ({ kid, ...generateKeyPairSync("ed25519") }));
  const jwks = (kid: string) =>
    JSON.stringify({
      keys: pairs
        .filter((pair) => pair.kid === kid)
        .map(({ publicKey }) => ({ ...publicKey.export({ format: "jwk" }), kid })),
    });
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = ({ kid, privateKey }: (typeof pairs)[number]) => {
    const claims = { iss: "urn:closed", sub: "alice", aud: "api://orders", exp: Math.floor(Date.now() / 1000) + 600 };
    const input = `${encoded({ alg: "EdDSA", kid })}.${encoded(claims)}`;
    return `${input}.${sign(null, Buffer.from(input), privateKey).toString("base64url")}`;
  };
  const issuer = "{ type: oidc, issuer: urn:closed, audiences: [api://orders], keys: { file: keys.json } }";
  const rest = `issuers: { closed: ${issuer} }\nhaproxy: { bind: ["*:8080"], scheme: http }\n`;
  const { text, ...ports } = await configuration(rest);
  const files = {
    "countersign.yaml": text,
    "keys.json": jwks("one"),
    "policies/a.yaml": policy("one").replace("anyone", "authenticated"),
  };
  const folder = folderOf(t, files);
  const served = await serve(t, folder, ports);
  const connection = await client(t, served);
  const judged = async () => {
    const reasons = pairs.map(async (pair) => {
      const args = argumentsFor({ contract: "1:subject", authorization: `Bearer ${token(pair)}` });
      return value(await connection.notify([{ name: "authorize", args }]), "reason");
    });
    return await Promise.all(reasons);
  };
  t.strictSame(await judged(), ["allowed", "key-unknown"]);
  writeFileSync(join(folder, "keys.json"), jwks("two").slice(1));
  const failed = await served.said("reload failed");
  t.match(String(failed.faults), /names a file that is no JSON object/);
  t.strictSame(await judged(), ["allowed", "key-unknown"]);
  writeFileSync(join(folder, "keys.json"), jwks("two"));
  await served.said("reloaded");
  t.strictSame(await judged(), ["key-unknown", "allowed"], "with the key its cached identities are gone");
});
