import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { newestHaproxy } from "../support/haproxy.ts";
import { command, folderOf } from "../support/serve.ts";
import { stage } from "../support/stage.ts";

const POLICY = `
roles: { all: [{ issuer: idp, claim: { sub: alice } }] }
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    routes:
      - { name: read, match: [GET /v1/orders], allow: [all] }
      - { name: tenant, match: [GET /v1/tenant], allow: [authenticated], when: 'request.headers["x-tenant"] == "emea"' }
`;

test("decisions that a real agent has recorded are judged again: what changes, what does not, what cannot be told", async (t) => {
  const more = "log: { decisions: replayable }";
  const { folder, served, ask, untilAllowed } = await stage(t, newestHaproxy(), POLICY, {}, more);
  await untilAllowed();
  const asked = [
    await ask({ path: "/v1/tenant", header: "x-tenant: emea" }),
    await ask({ path: "/v1/tenant", header: "x-tenant: apac" }),
    await ask({ token: "nonsense" }),
  ];
  t.strictSame(
    asked.map(({ status }) => status),
    [200, 403, 401],
  );
  const decisions = () => served.lines.filter(({ msg }) => msg === "decision");
  const before = decisions().length;
  while (decisions().filter(({ status }) => status === 401).length < 1)
    await new Promise((done) => setTimeout(done, 20));
  t.ok(before >= 0);
  const log = join(folder, "agent.log");
  writeFileSync(
    log,
    decisions()
      .map((line) => `${JSON.stringify(line)}\n`)
      .join(""),
  );
  const total = decisions().length;

  const replayed = async (from: string, to: string, ...args: string[]) => {
    writeFileSync(
      join(folder, "candidate.yaml"),
      POLICY.replace(from, () => to),
    );
    const against = ["--against", "candidate.yaml", "--json", ...args];
    const { code, out, err } = await command(["replay", log, ...against], { cwd: folder });
    t.equal(err, "");
    return { code, ...JSON.parse(out) };
  };
  const same = await replayed("", "", "--fail-on", "any");
  t.match(same, { code: 0, same: total, laxer: 0, stricter: 0, reason: 0, unclear: 0 });
  const laxer = await replayed(
    `when: 'request.headers["x-tenant"] == "emea"'`,
    "forward_credential: false",
    "--fail-on",
    "laxer",
  );
  t.match(laxer, { code: 1, laxer: 1, stricter: 0, unclear: 0 });
  t.match(laxer.changes[0], {
    change: "laxer",
    rule: "orders/tenant",
    was: "condition-false",
    reason: "allowed",
    count: 1,
  });
  const stricter = await replayed("sub: alice", "sub: bob", "--fail-on", "laxer");
  t.match(stricter, { code: 0, laxer: 0, unclear: 0 });
  t.ok(stricter.stricter > 0);
  t.equal((await replayed("sub: alice", "sub: bob", "--fail-on", "stricter")).code, 1);
  const unclear = await replayed('request.headers["x-tenant"]', 'request.headers["x-other"]');
  t.equal(unclear.unclear, 2);
  t.match(unclear.changes[0].missing, ['request.headers["x-other"]']);
});

test("without a log the sets themselves are compared", async (t) => {
  const config = `
listen: { spop: [127.0.0.1:9000] }
policies: ./policies
issuers: { idp: { type: oidc, issuer: "https://idp.example", audiences: [api://orders] } }
haproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: { orders: ["10.0.0.7:8080"] } }
`;
  const cwd = folderOf(t, {
    "countersign.yaml": config,
    "policies/orders.yaml": POLICY,
    "same/orders.yaml": POLICY,
    "laxer/orders.yaml": POLICY.replace("allow: [all]", "allow: [authenticated]"),
    "bad/orders.yaml": POLICY.replace("allow: [all]", "allow: [nobody]"),
  });
  const compared = (...args: string[]) => command(["replay", ...args], { cwd });
  t.strictSame(await compared("--against", "same", "--fail-on", "any"), { code: 0, out: "no difference\n", err: "" });
  const { code, out } = await compared("--against", "laxer", "--fail-on", "laxer");
  t.equal(code, 1);
  t.equal(
    out,
    `new        GET orders.example.com/v1/orders  authenticated
lost       GET orders.example.com/v1/orders  issuer: idp, claim sub: alice, no more
`,
  );
  t.equal((await compared("--against", "laxer", "--fail-on", "stricter")).code, 1);
  for (const [args, code, told] of [
    [["--against", "bad"], 78, "bad/orders.yaml:8"],
    [["--against", "none"], 78, "none"],
    [[], 64, "--against is missing"],
    [["--against", "same", "--fail-on", "later"], 64, "--fail-on: later; one of laxer, stricter, any"],
    [["none.log", "--against", "same"], 66, "none.log: cannot be read: there is no such file"],
  ] as const) {
    const ended = await compared(...args);
    t.equal(ended.code, code, ended.err);
    t.ok(ended.err.includes(told), ended.err);
  }
});

test("what a line has cut off, or only counts, is not taken for what was there", async (t) => {
  const config = `
listen: { spop: [127.0.0.1:9000] }
policies: ./policies
issuers: { idp: { type: oidc, issuer: "https://idp.example", audiences: [api://orders] } }
haproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: { orders: ["10.0.0.7:8080"] } }
`;
  const route = (rest: string) =>
    POLICY.replace("match: [GET /v1/orders]", 'match: ["GET /v1/orders/{rest...}"]').replace("allow: [all]", rest);
  const cut = (length: number) => `${"a".repeat(length - 1)}…`;
  const line = (fields: object) =>
    `${JSON.stringify({ level: "info", time: "2026-11-23T16:00:00.000Z", msg: "decision", request_id: "ab", src: "192.0.2.7", method: "GET", host: "orders.example.com", path: "/v1/orders/7", issuer: "idp", subject: "alice", kind: "person", rule: "orders/read", verdict: "allow", status: 200, reason: "allowed", revision: "r", duration_us: 1, ...fields })}\n`;
  const cwd = folderOf(t, {
    "countersign.yaml": config,
    "policies/orders.yaml": POLICY,
    "plain/orders.yaml": route("allow: [authenticated]"),
    "actors/orders.yaml": route("allow: [authenticated], when: \"principal.actor[1].subject != 'bot'\""),
    "count/orders.yaml": route('allow: [authenticated], when: "size(principal.actor) < 2"'),
    "names/orders.yaml": route("allow: [all]").replace("claim: { sub: alice }", `subject: ${"a".repeat(1023)}b`),
    "path.log": line({ path: `/v1/orders/${cut(1013)}` }),
    "actors.log": line({ actor: "gateway", actors: 2 }),
    "subject.log": line({ subject: cut(1024) }),
  });
  for (const [log, against, missing] of [
    ["path.log", "plain", "request.path"],
    ["actors.log", "actors", "principal.actor"],
    ["subject.log", "names", "principal.subject"],
  ] as const) {
    const { out, err } = await command(["replay", log, "--against", against, "--json"], { cwd });
    t.equal(err, "");
    t.match(JSON.parse(out), { unclear: 1, changes: [{ change: "unclear", missing: [missing] }] }, log);
    const known = await command(["replay", log, "--against", "plain", "--json"], { cwd });
    const counted = await command(["replay", "actors.log", "--against", "count", "--json"], { cwd });
    t.match(JSON.parse(counted.out), { stricter: 1, unclear: 0 }, "how many there were is recorded");
    if (log !== "path.log") t.match(JSON.parse(known.out), { same: 1, unclear: 0 }, `${log} needs nothing of it`);
  }
});
