import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { bearer, send } from "../../demo/ask.ts";
import { STEPS } from "../../demo/mcp/walk.ts";
import { originOf, VISITS } from "../../demo/people.ts";
import { REPOSITORY, readPlaces } from "../../demo/places.ts";
import { takenPorts } from "../../demo/ports.ts";
import { differences, type Outcome, ROWS, type Row } from "../../demo/rows.ts";

const PLACES = readPlaces();
const { backends, ...places } = PLACES;
const PORTS = [...Object.values(places), ...Object.values(backends)];

/** A run of the demo, from this checkout or a copy of it. */
class Demo {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = "";

  constructor(t: Test, args: readonly string[], folder = REPOSITORY) {
    const child = spawn("sh", ["demo/run.sh", ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
        child.emit("more");
      });
    }
    this.ended = new Promise((resolve) => child.once("close", resolve));
    t.teardown(() => this.end("SIGTERM"));
  }

  /** Settles once the output holds the text, or the demo has ended. */
  async shows(text: string): Promise<void> {
    while (!this.output.includes(text) && this.#child.exitCode === null) {
      await Promise.race([new Promise((resolve) => this.#child.once("more", resolve)), this.ended]);
    }
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return await this.ended;
  }
}

/** A checkout of its own, with what is installed here. */
function copy(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "countersign-demo-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ["agent", "demo", "haproxy", "linkerd", "policies", "protocol", "records", "package.json"]) {
    cpSync(join(REPOSITORY, name), join(folder, name), { recursive: true });
  }
  mkdirSync(join(folder, ".cache"));
  for (const name of ["node_modules", ".cache/haproxy"]) symlinkSync(join(REPOSITORY, name), join(folder, name));
  return folder;
}

function edit(file: string, from: string, to: string): void {
  const text = readFileSync(file, "utf8");
  if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
  writeFileSync(file, text.replace(from, to));
}

test("once: a person, a workload and an agent are allowed and refused as expected, and nothing is left running", async (t) => {
  const demo = new Demo(t, ["--once"]);
  t.equal(await demo.ended, 0, demo.output);
  for (const row of [
    "✓ nobody +GET /v1/orders/42 +refused 401 +nothing",
    "✓ alice +GET /v1/orders/42 +allowed +x-auth-subject: alice",
    "✓ alice +POST /v1/orders/42/cancel +refused 403 +nothing",
    "✓ carol +POST /v1/orders/42/cancel +allowed +x-auth-subject: carol",
    "✓ reports +PUT /reports/2026/june.csv +allowed +x-auth-subject: reports",
    "✓ charts +PUT /reports/2026/june.csv +refused 403 +nothing",
    "✓ assistant +GET /v1/orders/42 +allowed +x-auth-subject: carol",
    "✓ assistant +POST /v1/orders/42/cancel +refused 403 +nothing",
    "✓ erin +GET /v1/orders/42 +allowed +x-auth-subject: erin",
    "✓ erin +GET /v1/orders/42 +refused 401 +nothing",
    "✓ courier +GET /v1/orders/42 +allowed +x-auth-subject: courier",
    "✓ mallory +GET /v1/orders/42 +refused 401 +nothing\\n  has courier's token .*proof-missing",
    "✓ mallory +GET /v1/orders/42 +refused 401 +nothing\\n  and its used proof .*proof-replayed",
    "✓ scanner-7 +GET /v1/orders/42 +allowed +x-auth-subject:",
    "✓ scanner-7 +GET /v1/orders/42 +refused 401 +nothing\\n  of another authority .*issuer-unknown",
    "✓ billing +GET /v1/orders/42 +allowed +x-auth-subject: ?",
    "✓ billing +GET /v1/orders/42 +refused 401 +nothing",
    "✓ mallory +GET /v1/orders/42 +refused 401 +nothing",
    "✓ copilot +POST /notes +refused 401 +nothing\\n  knows a URL, no more +an MCP server +credential-missing",
    "✓ copilot +GET /.well-known/…/notes +allowed +nothing",
    "✓ copilot +POST /notes +allowed +x-auth-subject: alice\\n  for alice +the tool read_notes +notes/mcp",
    "✓ copilot +POST /notes +refused 403 +nothing\\n  for alice +the tool delete_notes +role-missing",
    "✓ nobody +GET /welcome +sent to sign in +nothing\\n  a browser, a page +localhost +credential-missing",
    "✓ nobody +GET /welcome +refused 401 +nothing\\n  a browser, a script +localhost +credential-missing",
    "✓ alice +GET /welcome +allowed +x-auth-subject: alice\\n  signed in, by session +localhost +home/page",
    "✓ nobody +GET /goodbye +sent to sign in +nothing\\n  alice, signed out +localhost +credential-missing",
  ]) {
    t.match(demo.output, new RegExp(`^${row}$`, "m"));
  }
  t.notMatch(demo.output, "✗");
  const table = demo.output.slice(demo.output.indexOf("WHO ASKS"));
  t.ok(Math.max(...table.split("\n").map((line) => line.length)) <= 100, "fits 100 columns");
  t.same(await takenPorts(PORTS), []);
});

test("without --once it stays up, its tokens work, and a signal ends all of it", async (t) => {
  const demo = new Demo(t, []);
  await demo.shows("Ctrl-C ends");
  const token = /^alice=(\S+)$/m.exec(demo.output)?.[1] ?? "";
  const order = { method: "GET", host: "orders.example.com", path: "/v1/orders/42" };
  t.match(await send(PLACES, order, bearer(token)), { status: 200 });
  t.match(await send(PLACES, order), { status: 401 });
  const address = new URL(/^ {2}(https:\S+)$/m.exec(demo.output)?.[1] ?? "");
  t.equal(address.origin, originOf(PLACES));
  const page = { method: "GET", host: address.host, path: address.pathname, headers: { accept: "text/html" } };
  const location = `/.countersign/login?rt=${encodeURIComponent(address.pathname)}`;
  t.match(await send(PLACES, page, { tls: true }), { status: 303, headers: { location } });
  t.notMatch(demo.output, "NOTICE", "the table has no line that is none of it");

  const second = new Demo(t, ["--once"]);
  t.equal(await second.ended, 69, "a second one finds the ports taken");
  t.match(second.output, new RegExp(`127.0.0.1:${PLACES.haproxy} is taken by .+ \\(pid \\d+\\)`));

  t.equal(await demo.end("SIGINT"), 0);
  t.same(await takenPorts(PORTS), []);
});

test("mesh: the manifests of a policy are shown, and what is found in a cluster that differs", async (t) => {
  const demo = new Demo(t, ["--mesh"]);
  t.equal(await demo.ended, 0, demo.output);
  for (const kind of ["Server", "HTTPRoute", "MeshTLSAuthentication", "AuthorizationPolicy", "NetworkAuthentication"]) {
    t.match(demo.output, new RegExp(`^kind: ${kind}$`, "m"));
  }
  t.match(demo.output, /^the cluster has what the policies say\n\nexit code 0$/m);
  for (const drift of ["missing", "foreign", "dangling", "undeclared"]) {
    t.match(demo.output, new RegExp(`^${drift} \\S+ shop/`, "m"));
  }
  t.match(demo.output, /^exit code 1$/m);
});

test("a policy that decides otherwise is shown, and ends with 1", async (t) => {
  const folder = copy(t);
  edit(join(folder, "policies/examples/orders.yaml"), "deny: [ai-agent]", "deny: []");
  edit(join(folder, "policies/examples/home.yaml"), "allow: [authenticated]", "allow: [anyone]");
  const demo = new Demo(t, ["--once"], folder);
  t.equal(await demo.ended, 1, demo.output);
  t.match(demo.output, /^✗ assistant +POST .* allowed/m);
  t.match(demo.output, 'reason should be "role-denied", is "allowed"');
  t.match(demo.output, /^✗ nobody +GET \/welcome +allowed/m);
  t.match(demo.output, 'reason should be "allowed", is "no redirect from /welcome, but 200"');
  t.match(demo.output, `${1 + VISITS.length} of ${ROWS.length + STEPS.length + VISITS.length} not as expected`);
});

test("a part that cannot start is named with the end of its log, and nothing is left running", async (t) => {
  const folder = copy(t);
  edit(join(folder, "policies/examples/orders.yaml"), "allow: [orders-admin]", "allow: [orders-adnim]");
  const demo = new Demo(t, ["--once"], folder);
  t.equal(await demo.ended, 69);
  t.match(demo.output, /agent ended .* The end of \.cache\/demo\/agent\.log:\n.*orders\.yaml:\d+:\d+: .*orders-adnim/s);
  t.same(await takenPorts(PORTS), []);
});

test("a port in the way is named before anything starts", async (t) => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(PLACES.admin, "127.0.0.1", done));
  t.teardown(() => server.close());
  const demo = new Demo(t, ["--once"]);
  t.equal(await demo.ended, 69);
  t.match(demo.output, new RegExp(`127.0.0.1:${PLACES.admin} is taken by .+ \\(pid ${process.pid}\\)`));
  t.notMatch(demo.output, `127.0.0.1:${PLACES.haproxy}`);
});

test("arguments: help, and what is wrong with them", async (t) => {
  const help = new Demo(t, ["--help"]);
  t.equal(await help.ended, 0);
  t.match(help.output, "npm run demo");
  const wrong = new Demo(t, ["--twice"]);
  t.equal(await wrong.ended, 64);
  t.match(wrong.output, "--twice");
});

test("every way in which an outcome can differ from its row is told", (t) => {
  const [allowed, refused] = [ROWS.find(({ received }) => received), ROWS.find(({ received }) => !received)];
  for (const row of [allowed, refused]) {
    if (row === undefined) throw new Error("no such row");
    const good = outcomeOf(row);
    t.same(differences(row, good), []);
    const others: readonly Outcome[] = [
      { ...good, status: 503 },
      { ...good, reason: "agent-error" },
      { ...good, rule: "orders/other" },
      { ...good, received: [...good.received, {}] },
      { ...good, received: [{ ...good.received[0], authorization: "Bearer x" }] },
      { ...good, received: row.received === undefined ? [{}] : [] },
    ];
    for (const other of others) t.equal(differences(row, other).length, 1, JSON.stringify(other));
  }
  t.end();
});

function outcomeOf({ status, reason, rule, received }: Row): Outcome {
  return { status, reason, rule, received: received === undefined ? [] : [received] };
}
