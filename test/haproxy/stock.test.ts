import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { contractOf, renderFragment } from "../../haproxy/render.ts";
import { spoeFile } from "../../haproxy/spoe-file.ts";
import { ALICE, identityOf, policiesOf, snapshotOf, startServer } from "../support/agent.ts";
import { startBackend } from "../support/backend.ts";
import {
  checkConfig,
  freePort,
  type HaproxyBinary,
  haproxies,
  minorOf,
  startHaproxy,
  stockConfig,
} from "../support/haproxy.ts";
import { type HttpAnswer, RawClient } from "../support/http.ts";
import { INPUT, inputFor } from "../support/rendered.ts";

const HOST = "host: orders.example.com";
const TOKEN = "authorization: Bearer alice";
const IDENTITY = identityOf({ alice: () => ({ principal: ALICE }) });

/** `/closed` has no route; everything else is alice's. */
const POLICIES = {
  ...policiesOf(),
  match: (host: string, _method: string, path: string) => {
    if (path === "/closed") return { reason: "route-unknown" as const, rule: "orders" };
    return { ...policiesOf().match(host, "GET", path, {}), host };
  },
};

type Files = Readonly<Record<string, string>>;
const files = (user: string, fragment: string): Files => ({ "haproxy.cfg": user, "countersign.cfg": fragment });
const appended = (user: string, fragment: string): Files => ({ "haproxy.cfg": user + fragment });

const BEGIN = "    # ---- countersign rules begin ----\n";
const END = "    # ---- countersign rules end ----\n";

/** What the head of the fragment tells the reader to do with a frontend that has rules of its own. */
function moved(user: string, fragment: string): Files {
  const rules = fragment.slice(fragment.indexOf(BEGIN), fragment.indexOf(END) + END.length);
  const rest = fragment.replace(rules, "").replace(/^frontend countersign .*\n(?: .*\n|\n)*/m, "");
  const merged = user.replace(
    /^(frontend \w+\n(?: {4}bind .*\n|.*# before\n)+)( {4}http-request .*\n) {4}default_backend .*\n/gm,
    (_, head: string, own: string) => head + rules.replace("    use_backend", `${own}    use_backend`),
  );
  return appended(merged, rest);
}

/** Lines of a user's frontend that go before the rules, and others of its, and what its `defaults` say. */
interface Lines {
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly inherited: readonly string[];
}

const frontend = (name: string, port: number, { before, after }: Lines) => `
frontend ${name}
    bind 127.0.0.1:${port}
${before.map((line) => `    ${line} # before\n`).join("")}    http-request set-header x-shop ${name}
    default_backend orders
${after.map((line) => `    ${line}\n`).join("")}`;

interface Way {
  readonly merge: (user: string, fragment: string) => Files;
  /** The frontends that the user has already, and keeps. */
  readonly frontends: readonly string[];
}

const WAYS: Readonly<Record<string, Way>> = {
  "as a second file": { merge: files, frontends: [] },
  "appended to it": { merge: appended, frontends: [] },
  "with the rules moved into two frontends of its own": { merge: moved, frontends: ["berlin", "paris"] },
};

const NONE: Lines = { before: [], after: [], inherited: [] };

async function stage(t: Test, binary: HaproxyBinary, { merge, frontends }: Way, lines = NONE) {
  const agent = await startServer(snapshotOf(POLICIES, IDENTITY));
  t.teardown(() => agent.server.close());
  const backend = await startBackend(t);
  const ports = await Promise.all((frontends.length === 0 ? ["countersign"] : frontends).map(() => freePort()));
  const [port = 0] = ports;
  const user = `${stockConfig(binary.etc ?? "")}
${lines.inherited.map((line) => `\t${line}\n`).join("")}
backend orders
    server orders1 127.0.0.1:${backend.port}
${frontends.map((name, i) => frontend(name, ports[i] ?? 0, lines)).join("")}
`;
  const bare = { backends: [{ name: "orders", servers: [] }] };
  const input = inputFor(binary, `127.0.0.1:${port}`, agent.port, backend.port, bare);
  const folder = t.testdir({ "countersign.spoe.conf": spoeFile(input, contractOf(input)) });
  const merged = merge(user, renderFragment(input, join(folder, "countersign.spoe.conf")));
  const before = checkConfig(binary, { "haproxy.cfg": user });
  t.strictSame(checkConfig(binary, merged), { status: 0, lines: before.lines }, "no warning that was not there before");
  await startHaproxy(t, binary, merged, port);
  return { agent, backend, ports };
}

/** A refusal of ours, whatever error files there are. */
function ours(t: Test, answer: HttpAnswer, status: number, reason: string): void {
  t.match(answer, { status, headers: { "content-type": "application/problem+json", "cache-control": "no-store" } });
  t.match(JSON.parse(answer.body), { status, reason });
}

test("the fragment's head says how to merge it, in the ways that are tried here", (t) => {
  const [head = ""] = renderFragment(INPUT, "/etc/haproxy/countersign.spoe.conf").split("\nglobal\n");
  t.match(head, "haproxy -f /etc/haproxy/haproxy.cfg -f /etc/haproxy/countersign.cfg");
  t.match(
    head,
    'move the lines from "rules begin" to "rules end" into your frontend, before its first http-request line',
  );
  t.match(head, "default_backend lines: the rules have theirs");
  t.match(head, "to before the rules' use_backend, where only allowed requests come");
  t.end();
});

for (const binary of haproxies()) {
  if (binary.etc === undefined) continue;
  for (const [name, way] of Object.entries(WAYS)) {
    test(`HAProxy ${binary.version}: Debian's haproxy.cfg and the fragment ${name}`, async (t) => {
      const { agent, backend, ports } = await stage(t, binary, way);
      for (const [i, port] of ports.entries()) {
        const client = await RawClient.open(port);
        t.teardown(() => client.close());
        const request = (path: string, fields: readonly string[]) => client.request(`GET ${path} HTTP/1.1`, fields);
        while ((await request("/v1/orders", [HOST, TOKEN])).status !== 200) {
          await new Promise((done) => setTimeout(done, 50));
        }
        t.strictSame(backend.last("x-auth-subject"), ["alice"]);
        t.strictSame(backend.last("x-shop"), way.frontends.slice(i, i + 1), "the frontend's own rule holds as before");
        const arrived = backend.received.length;
        ours(t, await request("/v1/orders", [HOST, TOKEN, TOKEN]), 400, "duplicate");
        ours(t, await request("/v1/orders", [HOST]), 401, "credential-missing");
        ours(t, await request("/closed", [HOST, TOKEN]), 403, "route-unknown");
        t.equal(backend.received.length, arrived);
      }
      await agent.server.close();
      const client = await RawClient.open(ports[0] ?? 0);
      t.teardown(() => client.close());
      ours(t, await client.request("GET /v1/orders HTTP/1.1", [HOST, TOKEN]), 503, "agent-unavailable");
    });
  }
}

/** The lines that docs/haproxy.md gives for what meets the rules in a user's file. */
const DOCUMENTED = {
  before: ["http-request replace-header host '^(.+)\\.(:[0-9]+)?$' '\\1\\2'"],
  after: ["filter compression", "unique-id-header x-shop-id"],
  inherited: ["option forwardfor if-none", "compression algo gzip"],
} as const satisfies Lines;

for (const binary of haproxies()) {
  if (binary.etc === undefined) continue;
  test(`HAProxy ${binary.version}: what a haproxy.cfg has besides has no say in what is judged`, async (t) => {
    const loosening =
      Number(minorOf(binary)) < 3.1
        ? "option accept-invalid-http-request"
        : "option accept-unsafe-violations-in-http-request";
    const lines = {
      before: DOCUMENTED.before,
      // Longer than any id that the agent takes, as with two IPv6 addresses in it.
      after: [...DOCUMENTED.after, `unique-id-format ${"%ci:%cp_%fi:%fp_%Ts_".repeat(4)}`],
      inherited: [...DOCUMENTED.inherited, loosening],
    };
    const { backend, ports } = await stage(t, binary, { merge: moved, frontends: ["berlin"] }, lines);
    const client = await RawClient.open(ports[0] ?? 0);
    t.teardown(() => client.close());
    const request = (target: string, ...fields: string[]) =>
      client.request(`GET ${target} HTTP/1.1`, [TOKEN, ...fields]);
    while ((await request("/v1/orders", HOST)).status !== 200) await new Promise((done) => setTimeout(done, 50));
    t.strictSame(backend.last("x-auth-subject"), ["alice"]);
    t.strictSame(backend.last("x-forwarded-for"), ["127.0.0.1"], "once");
    t.match(backend.last("x-shop-id"), [/^127\.0\.0\.1:.{80}/], "the user's own id");
    t.match(backend.last("x-request-id"), [/^[0-9a-f]{32}$/]);
    t.equal((await request("/v1/orders", "host: orders.example.com.:80")).status, 200);
    t.strictSame(backend.last("host"), ["orders.example.com:80"]);
    const arrived = backend.received.length;
    const other = await RawClient.open(ports[0] ?? 0);
    t.teardown(() => other.close());
    t.match(await other.request("GET http://evil.example/v1/orders HTTP/1.1", [HOST, TOKEN]), { status: 400 });
    t.equal(backend.received.length, arrived);
  });
}

test("the lines for what meets the rules are in the docs as they are tried here", (t) => {
  const docs = readFileSync(new URL("../../docs/haproxy.md", import.meta.url), "utf8");
  for (const line of Object.values(DOCUMENTED).flat()) {
    if (!line.startsWith("compression") && !line.startsWith("unique-id")) t.ok(docs.includes(`\`${line}\``), line);
  }
  t.end();
});
