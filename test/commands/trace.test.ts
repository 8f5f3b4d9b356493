import { spawn } from "node:child_process";
import { appendFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { gzipSync } from "node:zlib";
import { type Test, test } from "tap";
import { command, folderOf, MAIN } from "../support/serve.ts";

const ID = "d62e04c2071747eabe037f12bdca65f2";
const OTHER = "0000000000000000000000000000beef";
const START = Date.UTC(2026, 10, 23, 16, 5, 45, 778);

type Fields = Readonly<Record<string, unknown>>;

/** A line of HAProxy's log, as it is generated. */
function access(fields: Fields = {}): string {
  return JSON.stringify({
    time: START / 1000,
    request_id: ID,
    src: "192.0.2.7",
    method: "GET",
    path: "/v1/orders/42",
    status: 200,
    verdict: "allow",
    reason: "allowed",
    rule: "orders/read",
    subject: "alice",
    revision: "3f9a1c2d4e5f",
    spoe_error: "",
    backend: "orders",
    server: "orders1",
    bytes: 120,
    request_ms: 0,
    queue_ms: 0,
    connect_ms: 1,
    response_ms: 4,
    total_ms: 6,
    end: "--",
    ...fields,
  });
}

function decision(fields: Fields = {}): string {
  return JSON.stringify({
    level: "info",
    time: new Date(START + 2).toISOString(),
    msg: "decision",
    request_id: ID,
    src: "192.0.2.7",
    method: "GET",
    host: "orders.example.com",
    path: "/v1/orders/42",
    issuer: "okta",
    subject: "alice",
    kind: "person",
    client: "orders-spa",
    actor: "assistant",
    actors: 1,
    rule: "orders/read",
    verdict: "allow",
    status: 200,
    reason: "allowed",
    revision: "3f9a1c2d4e5f",
    duration_us: 14,
    ...fields,
  });
}

/** As the real proxy wrote it, with other addresses. */
function mesh(fields: Fields = {}): string {
  return JSON.stringify({
    "client.addr": "10.99.0.1:33206",
    "client.id": "haproxy.ingress.serviceaccount.identity.linkerd.cluster.local",
    host: "10.99.0.1:8000",
    method: "GET",
    processing_ns: "569574",
    request_bytes: "",
    status: 200,
    timestamp: "2026-11-23T16:05:45.782450859Z",
    total_ns: "3596149",
    trace_id: ID,
    uri: "http://10.99.0.1:8000/v1/orders/42?token=secret",
    user_agent: "",
    version: "HTTP/2.0",
    ...fields,
  });
}

const DENIED =
  '2026-11-23T16:05:45.783Z [   12.3s]  INFO ThreadId(01) inbound:server{port=4143}: linkerd_app_inbound::policy::http: Request denied server.group=policy.linkerd.io server.kind=server server.name=orders-http route.group= route.kind=default route.name=default client.tls=Some(Established { client_id: Some(ClientId(Dns(Name("other.default.serviceaccount.identity.linkerd.cluster.local")))), negotiated_protocol: None }) client.ip=10.99.0.3';

function logs(t: Test, { haproxy, decisions, mesh }: { haproxy?: string[]; decisions?: string[]; mesh?: string[] }) {
  const text = (lines: readonly string[] = []) => lines.map((line) => `${line}\n`).join("");
  const folder = folderOf(t, { haproxy: text(haproxy), decisions: text(decisions), mesh: text(mesh) });
  return [
    "--haproxy",
    join(folder, "haproxy"),
    "--decisions",
    join(folder, "decisions"),
    "--mesh",
    join(folder, "mesh"),
  ];
}

test("one request is told from the client's address to its identity in the mesh", async (t) => {
  const files = logs(t, {
    haproxy: [access({ request_id: OTHER }), access()],
    decisions: ['{"level":"info","msg":"ready"}', decision({ request_id: OTHER }), decision()],
    mesh: [mesh({ trace_id: OTHER }), "not json", mesh()],
  });
  const { code, out } = await command(["trace", ID, ...files]);
  t.equal(code, 0);
  t.equal(
    out,
    `request ${ID}
  2026-11-23T16:05:45.778Z  haproxy  192.0.2.7  GET /v1/orders/42
                                     allow (allowed), 200 from orders/orders1 after 6 ms, ended --
  2026-11-23T16:05:45.780Z  agent    allow (allowed) by orders/read of revision 3f9a1c2d4e5f in 14 us
                                     person alice of okta by the client orders-spa; assistant acts for it
  2026-11-23T16:05:45.782Z  mesh     GET http://10.99.0.1:8000/v1/orders/42 at 10.99.0.1:8000
                                     200 for haproxy.ingress.serviceaccount.identity.linkerd.cluster.local (10.99.0.1:33206) after 3.6 ms
`,
  );
  const json = JSON.parse((await command(["trace", ID, "--json", ...files])).out);
  t.equal(json.requests.length, 1);
  t.strictSame(
    json.requests[0].events.map(({ log }: { log: string }) => log),
    ["haproxy", "decisions", "mesh"],
  );
});

test("what is missing, late or odd is said, and never more than is known", async (t) => {
  const conclusions = async (lines: Parameters<typeof logs>[1]) => {
    const { out } = await command(["trace", ID, "--json", ...logs(t, lines)]);
    return JSON.parse(out).requests[0].conclusions as readonly string[];
  };
  const [haproxy, decisions] = [[access()], [decision()]];
  t.match(await conclusions({ haproxy, decisions }), [/^no line of the mesh's yet: .* says nothing of whether/]);
  t.strictSame(await conclusions({ haproxy, decisions, mesh: [mesh()] }), []);
  t.match(await conclusions({ decisions, mesh: [mesh()] }), [/^no line of HAProxy's yet/]);
  t.match(await conclusions({ haproxy, mesh: [mesh()] }), [/^no decision in these logs, though HAProxy had one/]);
  const refused = { verdict: "deny", status: 403, reason: "role-missing" };
  t.strictSame(await conclusions({ haproxy: [access(refused)], decisions: [decision(refused)] }), [
    "refused at the edge: role-missing",
  ]);
  t.match(await conclusions({ haproxy: [access({ ...refused, reason: "agent-unavailable", spoe_error: "259" })] }), [
    /HAProxy refused it with agent-unavailable \(SPOE error 259\)/,
  ]);
  t.match(await conclusions({ haproxy, decisions: [decision(refused)], mesh: [mesh()] }), [
    /^HAProxy let pass what the agent did not allow/,
    /^refused at the edge/,
  ]);
  t.match(await conclusions({ haproxy: [access(refused)], decisions: [decision(refused)], mesh: [mesh()] }), [
    /^refused/,
    /^the mesh has a line of a request that HAProxy did not let pass/,
  ]);
  t.match(await conclusions({ haproxy, decisions, mesh: [mesh({ status: 403 })] }), [/^the mesh refused it: haproxy/]);
  t.match(await conclusions({ haproxy, decisions, mesh: [mesh({ "client.id": "-" })] }), [
    /^it reached the backend's proxy without a mesh identity/,
  ]);
  t.match(await conclusions({ haproxy: [access({ server: "<NOSRV>", status: 503, end: "SC" })], decisions }), [
    /^allowed, and no server of the backend orders could take it \(SC\)/,
  ]);
  t.match(await conclusions({ haproxy, decisions, mesh: [DENIED] }), [
    /^the mesh refused something in its time \(1 lines/,
    /^no line of the mesh's yet/,
  ]);
  t.match(await conclusions({ haproxy: [access(), access({ src: "192.0.2.8" })], decisions, mesh: [mesh()] }), [
    /^HAProxy has 2 lines with this id/,
  ]);
});

test("a refusal of another time or another client in the mesh is not taken for this request's", async (t) => {
  const early = DENIED.replace("16:05:45.783Z", "16:04:45.783Z");
  const lines = { haproxy: [access()], decisions: [decision()], mesh: [mesh({ status: 403 }), early, DENIED] };
  const [request] = JSON.parse((await command(["trace", ID, "--json", ...logs(t, lines)])).out).requests;
  t.strictSame(request.denials, []);
  const own = DENIED.replaceAll("other.default", "haproxy.ingress");
  const files = logs(t, { ...lines, mesh: [mesh({ status: 403 }), own] });
  const { out } = await command(["trace", ID, ...files]);
  t.match(
    out,
    /16:05:45\.783Z {2}mesh {5}request denied at orders-http, route default, for haproxy\.ingress\S+: perhaps/,
  );
});

test("requests are found by address and by subject, in any order of lines, and since a time", async (t) => {
  const later = { request_id: OTHER, subject: 'Zoë "O\'Neil"', src: "2001:db8::7" };
  const files = logs(t, {
    haproxy: [access({ ...later, subject: "", verdict: "deny", time: START / 1000 + 60 }), access()],
    decisions: [decision({ ...later, time: new Date(START + 60_000).toISOString() }), decision()],
    mesh: [mesh()],
  });
  const ids = async (...args: string[]) => {
    const { out } = await command(["trace", "--json", ...args, ...files]);
    return JSON.parse(out).requests.map(({ id, events }: { id: string; events: unknown[] }) => [id, events.length]);
  };
  t.strictSame(await ids("--subject", "alice"), [[ID, 3]]);
  t.strictSame(await ids("--subject", later.subject), [[OTHER, 2]]);
  t.strictSame(await ids("--src", "192.0.2.7"), [[ID, 3]]);
  t.strictSame(await ids("--src", "2001:db8::"), []);
  t.strictSame(await ids("--src", "2001:db8::7"), [[OTHER, 2]]);
  t.strictSame(await ids("--src", "192.0.2.7", "--since", "2026-11-23T16:06:00Z"), []);
  const none = await command(["trace", "--subject", "bob", ...files]);
  t.equal(none.code, 1);
  t.equal(none.out, "nothing is known of such a request\n");
});

test("lines are found whatever a collector has put around them", async (t) => {
  for (const wrap of [
    (line: string) => `[pod/haproxy-0/haproxy] 2026-11-23T16:05:46.000000001Z ${line}`,
    (line: string) => `2026-11-23T16:05:46.000000001Z stdout F ${line}`,
    (line: string) => `<134>Nov 23 16:05:46 edge haproxy[12]: ${line}`,
    (line: string) => JSON.stringify({ log: `${line}\n`, stream: "stdout", time: "2026-11-23T16:05:46Z" }),
  ]) {
    const files = logs(t, { haproxy: [wrap(access())], decisions: [wrap(decision())], mesh: [wrap(mesh())] });
    for (const how of [[ID], ["--subject", "alice"]]) {
      const { requests } = JSON.parse((await command(["trace", "--json", ...how, ...files])).out);
      t.equal(requests[0]?.events.length, 3, wrap(""));
    }
  }
});

test("packed files, directories and standard input are read", async (t) => {
  const folder = folderOf(t, { "mesh/a.log": `${mesh({ trace_id: OTHER })}\n` });
  // Longer than what is read at once, and without a line feed at the end.
  const filler = `${decision({ request_id: OTHER })}\n`.repeat(9_000);
  writeFileSync(join(folder, "mesh/b.log.gz"), gzipSync(`${mesh()}\n`));
  writeFileSync(join(folder, "agent.gz"), gzipSync(`${filler}${decision()}`));
  const args = ["--decisions", join(folder, "agent.gz"), "--mesh", join(folder, "mesh"), "--haproxy", "-"];
  for (const how of [[ID], ["--src", "192.0.2.9"]]) {
    const child = spawn(process.execPath, [MAIN, "trace", "--json", ...how, ...args]);
    child.stdin.end(`${access({ src: "192.0.2.9" })}\n`);
    const out = (await child.stdout.setEncoding("utf8").toArray()).join("");
    t.equal(JSON.parse(out).requests[0]?.events.length, 3, how.join(" "));
  }
});

test("what a log holds steers no terminal, and no query is shown", async (t) => {
  const evil = { path: "/\u001b[2J\u202egnp", subject: "a\u0007\nlice" };
  const files = logs(t, {
    haproxy: [access(evil)],
    decisions: [decision(evil)],
    mesh: [mesh({ uri: "/x?\u001b]0;" })],
  });
  const { out } = await command(["trace", ID, ...files]);
  t.notMatch(out, /[^\P{Cc}\n]|\p{Cf}/u);
  t.notMatch(out, /secret|\?/);
});

/** A record whose time is none, and such that JavaScript would make a text or a number of. */
function oddTimes(record: Record<string, unknown>): readonly string[] {
  const odd: readonly unknown[] = [{ toString: "x", valueOf: "x" }, {}, null, true, [[]]];
  return odd.map((time) => JSON.stringify({ ...record, time, timestamp: time }));
}

test("lines that are no records are passed over, and so is one without an end", async (t) => {
  const { haproxy: _, ...rest } = JSON.parse(JSON.stringify({ ...JSON.parse(access()), haproxy: 1 }));
  const bad = [
    `{"request_id":"${ID}"}`,
    `{"msg":"decision","request_id":"${ID}"}`,
    `{"trace_id":"${ID}","timestamp":"never"}`,
    `[${ID}`,
    JSON.stringify({ ...rest, status: "200" }),
    ...[access(), decision(), mesh()].flatMap((line) => oddTimes(JSON.parse(line))),
    JSON.stringify({ log: `{"log":"${ID}"}` }),
    `{"request_id":"${ID}"${" ".repeat(3_000_000)}}`,
  ];
  const files = logs(t, { haproxy: [...bad, access()], decisions: [...bad, decision()], mesh: [...bad, mesh()] });
  t.equal(JSON.parse((await command(["trace", "--json", ID, ...files])).out).requests[0].events.length, 3);
});

test("what is asked for in a wrong way is told", async (t) => {
  const folder = folderOf(t, { log: "" });
  const file = join(folder, "log");
  for (const [args, code, told] of [
    [[ID], 64, "which logs?"],
    [["--haproxy", file], 64, "which requests?"],
    [[ID, "--src", "::1", "--haproxy", file], 64, "which requests?"],
    [["not an id", "--haproxy", file], 64, "not an id is no request id"],
    ...["yesterday", "5", "2026-02-31T00:00:00Z", "2026-02-31"].map(
      (time) => [[ID, "--since", time, "--haproxy", file], 64, `--since: ${time}`] as const,
    ),
    [[ID, "--haproxy", "-", "--mesh", "-"], 64, "standard input can be read once only"],
    [["--src", "1.2.3", "--haproxy", "-"], 64, '--src: "1.2.3" is not an address like 192.0.2.1'],
    [[ID, "--haproxy", join(folder, "none")], 66, "none: cannot be read: there is no such file"],
  ] as const) {
    const ended = await command(["trace", ...args]);
    t.equal(ended.code, code, ended.err);
    t.ok(ended.err.includes(told), ended.err);
  }
});

test("there is a bound on what is kept, and it is said", async (t) => {
  const many = Array.from({ length: 1_500 }, (_, n) => decision({ request_id: n.toString(16).padStart(32, "0") }));
  const { out, err, code } = await command(["trace", "--subject", "alice", "--json", ...logs(t, { decisions: many })]);
  t.equal(code, 0);
  t.equal(JSON.parse(out).requests.length, 1_000);
  t.match(err, /there is more than is shown/);
});

test("logs are followed while they grow and are rotated", async (t) => {
  const folder = folderOf(t, { haproxy: "", agent: `${decision()}\n` });
  const [haproxy, agent] = [join(folder, "haproxy"), join(folder, "agent")];
  const child = spawn(process.execPath, [
    ...[MAIN, "trace", "--follow", "--json", "--subject", "alice", "--haproxy", haproxy, "--decisions", agent],
  ]);
  t.teardown(() => child.kill("SIGKILL"));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => JSON.parse(String((await lines.next()).value)).log;
  t.equal(await next(), "decisions");
  const line = access();
  appendFileSync(haproxy, line.slice(0, 50));
  appendFileSync(haproxy, `${line.slice(50)}\n`);
  t.equal(await next(), "haproxy");
  renameSync(haproxy, `${haproxy}.1`);
  appendFileSync(`${haproxy}.1`, `${access({ bytes: 1 })}\n`);
  t.equal(await next(), "haproxy");
  writeFileSync(haproxy, `${access({ bytes: 2 })}\n`);
  t.equal(await next(), "haproxy");
});
