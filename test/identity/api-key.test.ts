import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, lstatSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { loadConfig } from "../../agent/config/load-config.ts";
import { digestOf, idOf, isKey, makeKey } from "../../agent/identity/api-key/key.ts";
import type { KeyRecord } from "../../agent/identity/api-key/records.ts";
import type { ApiKeyIssuer } from "../../agent/identity/api-key/section.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { faultText } from "../../policies/fault.ts";
import { startBackend } from "../support/backend.ts";
import { freePort, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { startIdentity } from "../support/identity.ts";
import { command, configuration, countersign, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";
import { behavesAsIssuer, LIFETIME, type Subject } from "./suite.ts";

const PREFIX = "acme_test_";

function record(text: string, changes: Partial<KeyRecord> = {}): KeyRecord {
  return {
    sha256: digestOf(text),
    subject: "alice",
    kind: "workload",
    groups: ["Batch"],
    scopes: ["orders:read"],
    audiences: undefined,
    expiresAt: Number.MAX_SAFE_INTEGER,
    revoked: false,
    ...changes,
  };
}

function issuerOf(keys: ApiKeyIssuer["keys"]): ApiKeyIssuer {
  return {
    name: "machines",
    type: "api-key",
    issuer: PREFIX,
    credentials: ["bearer"],
    prefixes: [PREFIX],
    audiences: ["api://orders"],
    kinds: ["workload"],
    prefix: PREFIX,
    keys,
  };
}

async function subject(_t: Test, time: { readonly now: number }): Promise<Subject> {
  const [good, foreign, forged] = [[0, 1, 2].map(() => makeKey(PREFIX)), makeKey(PREFIX), makeKey(PREFIX)];
  const records = (changes: Partial<KeyRecord> = {}) =>
    Object.fromEntries(good.map(({ id, text }) => [id, record(text, { expiresAt: time.now + LIFETIME, ...changes })]));
  const other = { [foreign.id]: record(foreign.text, { audiences: ["api://billing"] }) };
  const issuer = issuerOf({ ...records(), ...other });
  const revoked = issuerOf({ ...records({ revoked: true }), ...other });
  return {
    issuer,
    good: async (twin = 0) => good[twin]?.text ?? "",
    foreign: async () => foreign.text,
    forged: async () => forged.text,
    revoke: async () => revoked,
  };
}

behavesAsIssuer("api-key", subject, { forged: "api-key-unknown", revoked: "credential-revoked" });

test("a key is told by its form: prefix, id, secret, and the checksum that scanners go by", (t) => {
  // As docs/identities/api-key.md publishes it: CRC-32 in base 62, of all that stands before it.
  t.equal(idOf("acme_live_Kx3fQ9aZ0123456789ABCDEFGHIJKLMNOPQRSTUV1dd36F", "acme_live_"), "Kx3fQ9aZ");
  const seen = new Set<string>();
  for (let n = 0; n < 200; n++) {
    const { id, text } = makeKey(PREFIX);
    t.match(text, /^acme_test_[A-Za-z][0-9A-Za-z]{45}$/);
    t.equal(idOf(text, PREFIX), id);
    t.ok(isKey(text, digestOf(text)));
    seen.add(text);
  }
  t.equal(seen.size, 200);
  const { text } = makeKey(PREFIX);
  for (let at = PREFIX.length; at < text.length; at++) {
    const typo = `${text.slice(0, at)}${text[at] === "a" ? "b" : "a"}${text.slice(at + 1)}`;
    t.equal(idOf(typo, PREFIX), undefined, `a typo at ${at}`);
    t.notOk(isKey(typo, digestOf(text)));
  }
  for (const other of ["", PREFIX, text.slice(0, -1), `${text}a`, `${text}\n`, text.toUpperCase(), text.slice(1)])
    t.equal(idOf(other, PREFIX), undefined, other);
  t.equal(idOf(makeKey("acme_live_").text, PREFIX), undefined, "another's prefix, as long");
  t.notOk(isKey(text, ""));
  const digest = digestOf(text);
  for (let at = 0; at < digest.length; at++) {
    const other = `${digest.slice(0, at)}${digest[at] === "0" ? "1" : "0"}${digest.slice(at + 1)}`;
    t.notOk(isKey(text, other), `digit ${at} of its digest`);
  }
  t.notOk(isKey(text, digest.slice(0, -1)));
  t.end();
});

test("whom a key stands for, and why it stands for nobody", async (t) => {
  const [good, expired, revoked, elsewhere, twin] = [1, 2, 3, 4, 5].map(() => makeKey(PREFIX)) as [
    Made,
    Made,
    Made,
    Made,
    Made,
  ];
  const { identity, judge, verify, time } = startIdentity([
    issuerOf({
      [good.id]: record(good.text, { audiences: ["api://orders", "api://else"] }),
      [expired.id]: record(expired.text, { expiresAt: 1 }),
      [revoked.id]: record(revoked.text, { revoked: true }),
      [elsewhere.id]: record(elsewhere.text, { audiences: ["api://else"] }),
      // Another key's digest, so that the text is right but for the rest.
      [twin.id]: record(good.text),
    }),
  ]);
  t.teardown(() => identity.close());
  t.match((await verify(good.text)).principal, {
    issuer: "machines",
    subject: "alice",
    kind: "workload",
    groups: ["Batch"],
    scopes: ["orders:read"],
    audiences: ["api://orders"],
    claims: { key_id: good.id },
  });
  for (const [name, text, reason] of [
    ["expired", expired.text, "token-expired"],
    ["revoked", revoked.text, "credential-revoked"],
    ["for somebody else", elsewhere.text, "audience-not-accepted"],
    ["with the digest of another", twin.text, "api-key-unknown"],
    ["that nobody has", makeKey(PREFIX).text, "api-key-unknown"],
    ["that is mistyped", `${good.text.slice(0, -1)}-`, "credential-malformed"],
    ["without its end", good.text.slice(0, -3), "credential-malformed"],
    ["with the name of a property", `${PREFIX}__proto__`, "credential-malformed"],
  ] as const) {
    t.equal(await judge(text), reason, name);
    t.equal(await judge(text), reason, `${name}, again`);
  }
  const used = () => identity.status()[0]?.lastUses?.[good.id];
  t.equal(used(), time.now);
  time.now += 5;
  await verify(good.text);
  t.equal(used(), time.now, "known or not, each use is seen");
  t.equal(identity.status()[0]?.lastUses?.[expired.id], 0);
});

type Made = ReturnType<typeof makeKey>;

const CONFIG = (rest = "") => `listen: { spop: [127.0.0.1:9000] }
policies: [p.yaml]
issuers:
  machines: { type: api-key, prefix: ${PREFIX}, file: keys.yaml, audiences: [api://orders] }
haproxy: { bind: ["*:80"], scheme: http }
${rest}`;

test("each mistake in the file of the keys is told where it is", (t) => {
  const folder = t.testdir({ "countersign.yaml": CONFIG() });
  const [one, two] = [makeKey(PREFIX), makeKey(PREFIX)];
  const sound = `keys:
  ${one.id}:
    sha256: ${digestOf(one.text)}
    subject: alice
    kind: workload
    expires: 2027-06-01T00:00:00Z
`;
  const faults = (text: string | undefined) => {
    if (text !== undefined) writeFileSync(join(folder, "keys.yaml"), text);
    const loaded = loadConfig(join(folder, "countersign.yaml"), {}, ISSUER_TYPES);
    return "faults" in loaded ? loaded.faults.map((fault) => faultText(fault).replaceAll(`${folder}/`, "")) : [];
  };
  t.match(faults(undefined), [
    /^countersign.yaml:4:56: the text "keys.yaml" names a file that cannot be read: there is no such file; a file with keys/,
  ]);
  t.strictSame(faults(sound), []);
  for (const [from, to, expected] of [
    [one.id, "short", 'keys.yaml:2:3: the key "short"; the id of a key, 8 letters and digits'],
    [/sha256: \w{60}/, "sha256: a", "keys.yaml:3:13: the text"],
    ["subject: alice", 'subject: ""', "keys.yaml:4:14: an empty text; who it is"],
    ["    subject: alice\n", "", 'keys.yaml:2:3: no "subject" here; who it is'],
    ["kind: workload", "kind: robot", 'keys.yaml:5:11: the text "robot"; `person`, `workload` or `agent`'],
    ["2027-06-01T00:00:00Z", "2027-06-01", 'keys.yaml:6:14: the text "2027-06-01"; a time such as'],
    ["2027-06-01T00:00:00Z", "2027-02-30T00:00:00Z", "keys.yaml:6:14: the text"],
    ["    expires: 2027-06-01T00:00:00Z\n", "", 'keys.yaml:2:3: no "expires" here; a time such as'],
    ["kind:", "knd:", 'keys.yaml:5:5: unknown key "knd"; did you mean "kind"?'],
    [/$/, "extra: 1\n", 'keys.yaml:7:1: unknown key "extra"'],
    [
      /$/,
      `  ${two.id}: { sha256: ${digestOf(one.text)}, subject: bob, kind: person, expires: never }\n`,
      `keys.yaml:7:23: the text`,
    ],
    [/^[\s\S]*$/, "keys: [\n", "keys.yaml:1:7: a list or mapping without its"],
    [/^[\s\S]*$/, "", "keys.yaml:1:1: nothing; API keys by their ids"],
  ] as const) {
    const text = sound.replace(from, to);
    t.not(text, sound);
    const found = faults(text);
    t.equal(found.length, 1, `${to}: ${found.join("\n")}`);
    t.ok(found[0]?.startsWith(expected), `${found[0]}\n${expected}`);
  }
  writeFileSync(join(folder, "countersign.yaml"), CONFIG().replace("prefix: acme_test_", "prefix: ey_"));
  t.match(faults(sound), [/4:38: the text "ey_"; another beginning: every JWT begins with ey/]);
  t.end();
});

test("keys are made, listed and taken back by a command, all or none", async (t) => {
  const cwd = folderOf(t, { "countersign.yaml": CONFIG(), "p.yaml": "services: {}\n" });
  const file = join(cwd, "keys.yaml");
  const keys = (...args: string[]) => command(["keys", "api", ...args], { cwd });
  const NEW = ["create", "--subject", "billing-batch", "--kind", "workload", "--group", "Batch", "--expires", "90d"];
  const { code, out, err } = await keys(...NEW);
  t.equal(code, 0, err);
  t.match(out, /^acme_test_[A-Za-z][0-9A-Za-z]{45}\n$/, "the key alone, for a pipe");
  const key = out.trim();
  const id = idOf(key, PREFIX) ?? "";
  t.match(err, new RegExp(`^key ${id} of machines for billing-batch, which expires at 20`));
  t.equal(statSync(file).mode & 0o777, 0o640);
  const text = readFileSync(file, "utf8");
  t.notOk(text.includes(key.slice(PREFIX.length + 8)), "the file does not have it");
  t.ok(text.includes(digestOf(key)));
  t.equal((await command(["check"], { cwd })).code, 0);

  writeFileSync(file, `# ours\n${text}  # end\n`);
  chmodSync(file, 0o600);
  const second =
    idOf((await keys(...NEW.slice(0, -1), "never", "--scope", "a", "--scope", "b")).out.trim(), PREFIX) ?? "";
  t.match(readFileSync(file, "utf8"), /^# ours\n[\s\S]*# end/, "what else is written there stays");
  t.equal(statSync(file).mode & 0o777, 0o600, "and who may read it");
  t.equal((await keys("revoke", id)).code, 0);
  t.match(await keys("revoke", id), { code: 0, err: /was revoked at 20.* already/ });
  t.match(
    (await keys("list")).out,
    new RegExp(`^ID  .*\n${id}  revoked  20.*workload  billing-batch\n${second}  good  +never`),
  );
  const [one, two] = JSON.parse((await keys("list", "--json")).out);
  t.match(one, { id, state: "revoked", subject: "billing-batch", groups: ["Batch"] });
  t.match(two, { id: second, state: "good", expires: "never", scopes: ["a", "b"] });
  t.notMatch((await keys("list", "--json")).out, digestOf(key));

  const before = readFileSync(file, "utf8");
  for (const [args, expected, words] of [
    [["revoke", "Zzzzzzzz"], 1, /has no key "Zzzzzzzz"/],
    [["revoke", key], 64, /the id of the key, and not the key/],
    [["revoke"], 64, /the id of a key is missing/],
    [["rovoke", id], 64, /did you mean revoke\?/],
    [["create", "--subject", "a", "--kind", "workload"], 64, /--expires is missing/],
    [["create", "--subject", "a", "--kind", "robot", "--expires", "1d"], 64, /--kind is person/],
    [["create", "--subject", "a", "--kind", "agent", "--expires", "2020-01-01"], 64, /is past/],
    ...["soon", "2037-02-31", "2037-02-31T00:00:00Z", "2037"].map(
      (time) => [["create", "--subject", "a", "--kind", "agent", "--expires", time], 64, /--expires is 90d/] as const,
    ),
    [["create", "--subject", "a\nb", "--kind", "agent", "--expires", "1d"], 78, /subject|who it is/],
    [["list", "--issuer", "robots"], 78, /no issuer robots of the type api-key; it has machines/],
  ] as const) {
    const failed = await keys(...args);
    t.equal(failed.code, expected, args.join(" "));
    t.match(failed.err, words);
    t.equal(failed.out, "");
    t.equal(readFileSync(file, "utf8"), before, "and nothing was changed");
    t.notOk(existsSync(`${file}.lock`));
  }
  t.notMatch((await keys("revoke", key)).err, key.slice(-12), "no message has a key");
  writeFileSync(`${file}.lock`, "");
  t.match(await keys(...NEW), { code: 73, out: "", err: /another one is changing the file/ });
  execFileSync("rm", [`${file}.lock`]);

  writeFileSync(file, before.replace("kind: workload", "kind: robot"));
  t.match(await keys(...NEW), { code: 78, out: "", err: /keys.yaml:\d+:11: the text "robot"/ });
  writeFileSync(file, before);
  execFileSync("mv", [file, join(cwd, "real.yaml")]);
  symlinkSync("real.yaml", file);
  t.equal((await keys(...NEW)).code, 0);
  t.ok(lstatSync(file).isSymbolicLink(), "a link stays one");
});

test("explain says of a key whom it stands for, or why for nobody, and never shows it", async (t) => {
  const [good, revoked] = [makeKey(PREFIX), makeKey(PREFIX)];
  const record = (text: string) => ({
    sha256: digestOf(text),
    subject: "billing",
    kind: "workload",
    groups: ["Batch"],
  });
  const keys = {
    [good.id]: { ...record(good.text), expires: "never" },
    [revoked.id]: { ...record(revoked.text), expires: "never", revoked: "2026-11-28T09:00:00Z" },
  };
  const cwd = folderOf(t, {
    "countersign.yaml": CONFIG().replace("scheme: http", 'scheme: http, backends: { orders: ["127.0.0.1:1"] }'),
    "p.yaml": POLICY,
    "keys.yaml": JSON.stringify({ keys }),
  });
  for (const [text, words] of [
    [good.text, /workload "billing" of machines; groups "Batch"[\s\S]*decision {4}allow: allowed/],
    [revoked.text, /credential-revoked[\s\S]*it was taken back/],
    [makeKey(PREFIX).text, /api-key-unknown[\s\S]*no such key in the issuer's `file`/],
    [good.text.slice(0, -1), /credential-malformed[\s\S]*begins like a key of machines, and is not whole/],
  ] as const) {
    writeFileSync(join(cwd, "token"), `${text}\n`);
    const { out, err } = await command(
      ["explain", "GET http://orders.example.com/v1/orders", "--token-file", "token"],
      { cwd },
    );
    t.match(out, words, err);
    t.notOk(`${out}${err}`.includes(text.slice(PREFIX.length + 8)));
  }
});

test("many that make keys at a time lose none, or say so", async (t) => {
  const cwd = folderOf(t, { "countersign.yaml": CONFIG(), "p.yaml": "services: {}\n" });
  const NEW = ["keys", "api", "create", "--subject", "a", "--kind", "workload", "--expires", "1d"];
  const made = await Promise.all(Array.from({ length: 4 }, () => countersign(NEW, { cwd })));
  const good = made.filter(({ code }) => code === 0);
  for (const { code, err } of made) if (code !== 0) t.match(err, /another one is changing the file/);
  const listed = JSON.parse((await command(["keys", "api", "list", "--json"], { cwd })).out);
  t.strictSame(
    listed.map(({ id }: { readonly id: string }) => id).sort(),
    good.map(({ out }) => idOf(out.trim(), PREFIX)).sort(),
  );
});

const POLICY = `
roles:
  batch: [{ issuer: machines, group: Batch }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject, x-auth-key: principal.claims.key_id }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [batch] }
`;

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: a key counts as soon as it is made, and no longer once it is revoked`, async (t) => {
    const [backend, front] = [await startBackend(t), await freePort()];
    const { text, ...ports } = await configuration(`
issuers:
  machines:
    type: api-key
    prefix: ${PREFIX}
    file: keys.yaml
    audiences: [api://orders]
    credentials: [authorization, { header: x-api-key, from: client }]
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
    const cwd = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": POLICY });
    const create = async (...more: string[]) => {
      const args = ["keys", "api", "create", "--subject", "billing", "--kind", "workload", "--expires", "1d", ...more];
      return (await command(args, { cwd })).out.trim();
    };
    const first = await create("--group", "Batch");
    const served = await serve(t, cwd, ports);
    await startHaproxy(t, binary, await generated(cwd), front);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    const ask = async (field: string) => {
      const answer = await client.request("GET /v1/orders HTTP/1.1", ["host: orders.example.com", field]);
      return answer.status === 200 ? backend.last("x-auth-subject")[0] : JSON.parse(answer.body).reason;
    };
    for (let i = 0; i < 200 && (await ask(`x-api-key: ${first}`)) !== "billing"; i++)
      await new Promise((done) => setTimeout(done, 50));
    t.equal(await ask(`authorization: Bearer ${first}`), "billing");
    t.equal(await ask(`x-api-key: ${first}`), "billing");
    t.strictSame(backend.last("x-auth-key"), [idOf(first, PREFIX)]);
    t.strictSame(backend.last("x-api-key"), [], "the backend does not get it");
    t.equal(await ask(`x-api-key: ${first.slice(0, -1)}${first.endsWith("0") ? "1" : "0"}`), "credential-malformed");
    t.equal(await ask(`x-api-key: ${makeKey(PREFIX).text}`), "api-key-unknown");
    t.equal(await ask("x-api-key: other_key"), "issuer-unknown");
    t.equal(await ask(`authorization: Basic ${first}`), "credential-missing");
    const metrics = (await served.page("/metrics")).text;
    const [, at = "0"] =
      new RegExp(`last_used_timestamp_seconds\\{issuer="machines",key="${idOf(first, PREFIX)}"\\} (\\S+)`).exec(
        metrics,
      ) ?? [];
    t.ok(Math.abs(Date.now() / 1000 - Number(at)) < 60, metrics.slice(0, 0) + at);

    const second = await create();
    await served.said("reloaded");
    t.equal(await ask(`x-api-key: ${second}`), "role-missing", "a new key is known, and is in no group");
    t.equal(await ask(`x-api-key: ${first}`), "billing");
    t.equal((await command(["keys", "api", "revoke", idOf(first, PREFIX) ?? ""], { cwd })).code, 0);
    await served.said("reloaded", 2);
    t.equal(await ask(`x-api-key: ${first}`), "credential-revoked");
    t.equal(await ask(`authorization: Bearer ${first}`), "credential-revoked");
    t.equal(await ask(`x-api-key: ${second}`), "role-missing");
    const said = JSON.stringify(served.lines) + served.errors() + (await served.page("/status")).text;
    for (const key of [first, second])
      t.notOk(said.includes(key.slice(PREFIX.length + 8)), "no key is written anywhere");
  });
}
