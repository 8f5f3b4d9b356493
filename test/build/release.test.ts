import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import tap, { type Test, test } from "tap";
import { buildRelease } from "../../build/release.ts";
import { command, configuration, countersign, folderOf, serve } from "../support/serve.ts";

// Far from any node_modules: what the release lacks is not there.
const RELEASE = join(folderOf(tap, {}), "dist");
const MAIN = join(RELEASE, "agent/main.js");
await buildRelease(RELEASE);

const REST =
  'issuers: {}\nhaproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: { b: ["10.0.0.7:80"] } }\n';
const POLICY =
  "services: { s: { hosts: [orders.example.com], backend: b, routes: [{ name: one, match: [GET /v1/orders], allow: [anyone] }] } }\n";
const CASES =
  "cases: [{ name: anyone, request: GET https://orders.example.com/v1/orders, expect: { verdict: allow } }]\n";

async function files() {
  const { text, ...ports } = await configuration(REST);
  return { ports, "countersign.yaml": text, "policies/a.yaml": POLICY, "policies/a.test.yaml": CASES };
}

/** Whether the release says the same as the source. */
async function alike(t: Test, cwd: string, args: readonly string[], code: number) {
  // Its validators are compiled when it is built: it needs no code made of strings, and may be denied it.
  const env = { NODE_OPTIONS: "--disallow-code-generation-from-strings" };
  const released = await countersign(args, { cwd, env, main: MAIN });
  t.strictSame(released, await command(args, { cwd }), args.join(" "));
  t.equal(released.code, code, released.err);
}

test("a release alone says what the source says", async (t) => {
  const { ports, ...texts } = await files();
  const cwd = folderOf(t, texts);
  await alike(t, cwd, ["--version"], 0);
  await alike(t, cwd, ["check"], 0);
  await alike(t, cwd, ["test"], 0);
  await alike(t, cwd, ["explain", "GET https://orders.example.com/v1/orders"], 0);
  await alike(t, cwd, ["generate", "haproxy", "--output", "."], 0);
  // Nobody is there, but both ways of asking are.
  for (const scheme of ["http", "https"]) {
    const issuer = `${scheme}://127.0.0.1:1`;
    await alike(
      t,
      cwd,
      ["init", "--issuer", issuer, "--audience", "a", "--host", "h.example", "--backend", "b:80"],
      78,
    );
  }

  // A fault by each schema.
  const keys = "issuers: { keys: { type: api-key, file: keys.yaml, prefix: acme_, audiences: [a] } }";
  for (const [file, text, rest] of [
    ["keys.yaml", "kyes: {}\n", REST.replace("issuers: {}", keys)],
    ["revoked.yaml", "revokd: []\n", `${REST}revoked: revoked.yaml\n`],
  ] as const) {
    writeFileSync(join(cwd, file), text);
    writeFileSync(join(cwd, "countersign.yaml"), texts["countersign.yaml"].replace(REST, rest));
    await alike(t, cwd, ["check"], 1);
  }
  writeFileSync(join(cwd, "countersign.yaml"), texts["countersign.yaml"]);
  writeFileSync(join(cwd, "policies/a.test.yaml"), CASES.replace("verdict", "verdikt"));
  await alike(t, cwd, ["test"], 78);
  writeFileSync(join(cwd, "policies/a.yaml"), POLICY.replace("backend", "bakend"));
  await alike(t, cwd, ["check"], 1);
  writeFileSync(join(cwd, "countersign.yaml"), texts["countersign.yaml"].replace("version", "versoin"));
  await alike(t, cwd, ["check"], 1);
});

for (const version of ["12.22.12", "20.20.2"]) {
  test(`Node ${version} says what is needed, and does nothing`, async (t) => {
    const cwd = folderOf(t, {});
    const node = resolve(import.meta.dirname, `../../.cache/node/${version}/package/bin/node`);
    const { engines } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    for (const args of [
      ["init", "--issuer", "http://127.0.0.1:1", "--audience", "a", "--host", "h.example", "--backend", "b:80"],
      ["serve"],
      ["--version"],
    ]) {
      const { code, out, err } = await countersign(args, { cwd, main: MAIN, node });
      t.strictSame([code, out], [69, ""], args.join(" "));
      const needed = engines.node.replace(">=", "");
      t.ok(err.startsWith(`countersign needs Node ${needed} or later, and this is Node ${version}: ${node}\n`), err);
      t.match(err, "https://nodejs.org/en/download");
      t.notMatch(err, /bug|Error/);
    }
    t.strictSame(readdirSync(cwd), []);
  });
}

test("a release alone serves, and reloads on its other thread", async (t) => {
  const { ports, ...texts } = await files();
  const cwd = folderOf(t, texts);
  const served = await serve(t, cwd, ports, { main: MAIN });
  t.equal((await served.page("/ready")).status, 200);
  t.match((await served.page("/metrics")).text, "process_resident_memory_bytes");
  served.child.kill("SIGHUP");
  await served.said("reloaded");
  writeFileSync(join(cwd, "policies/a.yaml"), POLICY.replace("backend", "bakend"));
  t.match(String((await served.said("reload failed")).faults), "bakend");
});

test("it can be packed, and installed without a registry as a copy that serves", async (t) => {
  const { ports, ...texts } = await files();
  const cwd = folderOf(t, texts);
  const prefix = join(cwd, "prefix");
  const npm = (...args: readonly string[]) => execFileSync("npm", [...args, "--silent"], { cwd, encoding: "utf8" });
  const tarball = npm("pack", RELEASE).trim();
  npm("install", "--global", "--offline", "--prefix", prefix, `./${tarball}`);
  const installed = join(prefix, "lib/node_modules/countersign");
  t.ok(lstatSync(installed).isDirectory(), "no link");
  t.notOk(existsSync(join(installed, "node_modules")), "it depends on nothing");
  for (const name of ["deploy/countersign.service", "docs/service.md", "LICENSE", "LICENCES"]) {
    t.ok(existsSync(join(installed, name)), name);
  }
  const main = join(prefix, "bin/countersign");
  t.equal(
    execFileSync(main, ["--version"], { encoding: "utf8" }),
    (await command(["--version"])).out,
    "by its shebang",
  );
  const served = await serve(t, cwd, ports, { main });
  t.equal((await served.page("/ready")).status, 200);
});

test("a release has the licence of everything in it", (t) => {
  const licences = readFileSync(join(RELEASE, "LICENCES"), "utf8");
  const { dependencies } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  for (const [name, version] of Object.entries(dependencies)) t.match(licences, `${name} ${version}, `);
  t.match(licences, /Permission is hereby granted.*Apache License/s);
  t.end();
});
