import { generateKeyPairSync } from "node:crypto";
import fs, { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { createServer, type ListenOptions } from "node:net";
import { join } from "node:path";
import { test } from "tap";
import { COMMANDS } from "../../agent/commands/run.ts";
import { PRESETS } from "../../agent/config/presets/presets.ts";
import type { Setting } from "../../agent/config/presets/settings.ts";
import { startFront } from "../../demo/front.ts";
import { startProvider } from "../../demo/provider.ts";
import { AUTHORITY, Authority, pem, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { startRawProvider } from "../support/raw-provider.ts";
import { command, countersign, folderOf } from "../support/serve.ts";

const CONFIG = `
listen: { spop: [127.0.0.1:9000] }
policies: ./policies
issuers:
  idp: { type: oidc, issuer: "https://idp.example", audiences: [api://orders], claims: { kind: client_kind } }
haproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: { orders: ["10.0.0.7:8080"] } }
`;
const POLICY = `
roles:
  reader: [{ issuer: idp, group: Readers }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: ["GET /v1/orders/{id}"], allow: [reader], when: 'principal.kind == "person" && request.params.id != "0"' }
      - { name: health, match: [GET /healthz], allow: [anyone] }
`;
const FILES = { "countersign.yaml": CONFIG, "policies/orders.yaml": POLICY };
const ALICE = JSON.stringify({ sub: "alice", groups: ["Readers"] });

test("what the command line does not say rightly is told with exit code 64, and nothing is done", async (t) => {
  const cwd = folderOf(t, FILES);
  for (const [args, told] of [
    [[], "which command?"],
    [["serv"], "no command serv; did you mean serve?"],
    [["frobnicate"], "no command frobnicate\n"],
    [["check", "--confg", "x"], "Unknown option '--confg'; did you mean --config?"],
    [["check", "extra"], "one argument too many: extra"],
    [["check", "--config"], "argument missing"],
    [["explain", "--claims", "x"], '--claims is about a request: "GET https://HOST/PATH" is missing'],
    [["init", "--preset", "octa"], "--audience is missing"],
    [
      ["init", "--preset", "octa", "--audience", "a", "--host", "h.example", "--backend", "b:1"],
      "no preset octa; there is okta, entra",
    ],
    [["init", "--preset", "okta", "--audience", "a", "--host", "h.example", "--backend", "b:1"], "--issuer is missing"],
    [["explain", "GET /v1/orders"], 'the request "GET /v1/orders"; a method and a URL'],
    [["explain", "GET https://orders.example.com/", "--claims", "x"], "--issuer is missing"],
    [["explain", "GET https://orders.example.com/", "--header", "x"], '--header: "x" is not "NAME: VALUE"'],
    [["generate"], "generate what? There is generate haproxy and linkerd\n"],
    [["keys"], "keys what? There are keys api and keys rotate\n"],
    [["keys", "foo"], "keys what? There are keys api and keys rotate, not foo"],
    [["keys", "api"], "keys api what? There are create, list and revoke"],
    [["keys", "rotate"], "keys rotate which FILE?"],
    [["sessions"], "sessions what? There is sessions revoke\n"],
    [["explain", "GET https://orders.example.com/", "--src", "banana"], '--src: "banana" is not an address'],
    [["generate", "nginx"], "generate what? There is generate haproxy and linkerd, not nginx"],
    [["generate", "haproxy", "--report"], "--report goes with generate linkerd"],
    [["generate", "linkerd", "--fragment"], "go with generate haproxy"],
    [["init", "--audience", "a", "--host", "h.example", "--backend", "b:1"], "--issuer is missing"],
    [
      ["init", "--issuer", "https://i.example", "--audience", "a", "--host", "http://h", "--backend", "b:1"],
      "--host: ",
    ],
    [
      ["init", "--issuer", "https://i.example", "--audience", "a", "--host", "h.example", "--backend", "b"],
      "--backend: ",
    ],
  ] as const) {
    const { code, err } = await command(args, { cwd });
    t.equal(code, 64, args.join(" "));
    t.match(err, told, args.join(" "));
  }
  t.strictSame(readdirSync(cwd).sort(), ["countersign.yaml", "policies"]);
});

test("every command explains itself with an example", async (t) => {
  const overview = await command(["--help"]);
  t.equal(overview.code, 0);
  for (const [name, { options }] of Object.entries(COMMANDS)) {
    t.match(overview.out, new RegExp(`^  ${name} `, "m"));
    const { code, out } = await command([name, "--help"]);
    t.equal(code, 0);
    t.match(out, /^Example:\n {2}countersign /m, name);
    for (const option of Object.keys(options)) t.match(out, `--${option}`);
  }
  t.match((await command(["--version"])).out, /^countersign \d+\.\d+\.\d+\n$/);
});

test("check says that all is fine, or everything that is not", async (t) => {
  const cwd = folderOf(t, FILES);
  const fine = await command(["check"], { cwd });
  t.strictSame([fine.code, fine.err], [0, ""]);
  t.match(
    fine.out,
    /^countersign\.yaml: fine\. Revision [0-9a-f]{12}, services: 1, routes: 2, issuers: 1\.\nHAProxy needs tune\.bufsize 32768 /,
  );
  const named = await command(["check"], { cwd: "/", env: { COUNTERSIGN_CONFIG: join(cwd, "countersign.yaml") } });
  t.equal(named.code, 0);
  const json = await command(["check", "--json"], { cwd });
  t.match(JSON.parse(json.out), { faults: [], warnings: [], services: 1, routes: 2, issuers: 1 });

  writeFileSync(join(cwd, "policies/orders.yaml"), POLICY.replace("allow: [reader]", "allow: [raeder]"));
  const bad = await command(["check"], { cwd });
  t.equal(bad.code, 1);
  t.match(bad.err, /policies\/orders\.yaml:10:\d+: no role "raeder"; did you mean "reader"\?/);
  const badJson = await command(["check", "--json"], { cwd });
  t.equal(badJson.code, 1);
  t.match(JSON.parse(badJson.out).faults, [{ line: 10, found: 'no role "raeder"' }]);

  writeFileSync(join(cwd, "policies/orders.yaml"), "# to be written\n");
  const empty = await command(["check"], { cwd });
  t.equal(empty.code, 0);
  t.match(empty.err, /^warning: .*policies\/orders\.yaml:1:1: it says nothing; /m);
  t.match(empty.err, /^warning: countersign\.yaml:1:1: the policies have no service: every request is refused; /m);

  writeFileSync(join(cwd, "policies/orders.yaml"), POLICY.replace("allow: [reader]", "allow: [raeder]"));
  writeFileSync(join(cwd, "countersign.yaml"), `${CONFIG}typo: 1\n`);
  const both = await command(["check"], { cwd });
  t.match(both.err, /countersign\.yaml:7:1: unknown key "typo"/);
});

test("of policy files there are so many, each is so large, and none is a pipe or a device", async (t) => {
  const haproxy = 'haproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: {} }';
  const config = (policies: string) =>
    `listen: { spop: [127.0.0.1:9000] }\npolicies: ${policies}\nissuers: {}\n${haproxy}\n`;
  const files = Object.fromEntries(Array.from({ length: 1_001 }, (_, n) => [`many/${n}.yaml`, "services: {}\n"]));
  const cwd = folderOf(t, { ...files, "large.yaml": `# ${"x".repeat(1 << 20)}\n` });
  for (const [policies, expected] of [
    ["many", /\.yaml:1:1: more than 1000 files; is `policies` the directory that was meant\?/],
    ["large.yaml", /large\.yaml:1:1: cannot be read: it has more than 1048576 bytes; a plain file of at most 1048576/],
    ["/dev/zero", /\/dev\/zero:1:1: cannot be read: it is not a plain file/],
  ] as const) {
    writeFileSync(join(cwd, "countersign.yaml"), config(policies));
    const { code, out, err } = await command(["check"], { cwd });
    t.equal(code, 1, policies);
    t.match(out + err, expected);
  }
});

test("a configuration that cannot be used ends every other command with 78, and says why", async (t) => {
  const cwd = folderOf(t, { ...FILES, "policies/orders.yaml": "services: []\n" });
  for (const args of [["serve"], ["test"], ["generate", "haproxy"], ["explain", "GET https://orders.example.com/"]]) {
    const { code, err } = await command(args, { cwd });
    t.equal(code, 78, args.join(" "));
    t.match(err, /policies\/orders\.yaml:1:11: an empty list; a mapping of services by name/);
  }
  const empty = folderOf(t, {});
  const none = await command(["serve"], { cwd: empty });
  t.equal(none.code, 78);
  t.match(none.err, "no configuration");
  const absent = await command(["serve", "--config", "absent.yaml"], { cwd: empty });
  t.equal(absent.code, 66);
  t.match(absent.err, /^absent\.yaml: cannot be read: there is no such file/);
});

test("check says that policies were not looked at while the configuration is at fault", async (t) => {
  const faulty = { "countersign.yaml": `${CONFIG}nonsense: 1\n`, "policies/orders.yaml": "services: []\n" };
  const { code, err } = await command(["check"], { cwd: folderOf(t, faulty) });
  t.equal(code, 1);
  t.match(err, /unknown key "nonsense".*\nThe policies were not looked at/);
  const policies = folderOf(t, { ...faulty, "countersign.yaml": CONFIG });
  t.notMatch((await command(["check"], { cwd: policies })).err, "not looked at");
});

test("a file that the command line names and that cannot be read ends every command with 66", async (t) => {
  const cwd = folderOf(t, { ...FILES, "empty.jwt": "\n" });
  const request = "GET https://orders.example.com/v1/orders/42";
  for (const args of [
    ["explain", request, "--token-file", "none"],
    ["explain", request, "--certificate-file", "none"],
    ["explain", request, "--claims", "none", "--issuer", "idp"],
    ["explain", request, "--body", "none"],
    ["test", "none.test.yaml"],
    ["check", "--haproxy", "none.cfg"],
    ["check", "--config", "none.yaml"],
  ]) {
    const { code, err } = await command(args, { cwd });
    t.equal(code, 66, args.join(" "));
    t.match(err, /none.*: cannot be read: there is no such file/, args.join(" "));
  }
  const directory = await command(["explain", request, "--token-file", "policies"], { cwd });
  t.match(directory, { code: 66, err: "policies: cannot be read: it is a directory\n" });
  const empty = await command(["explain", request, "--token-file", "empty.jwt"], { cwd });
  t.match(empty, { code: 66, err: "empty.jwt: there is no token in it\n" });
});

for (const workers of [1, 2]) {
  test(`serve with workers: ${workers} says every address that is taken, and by whom`, async (t) => {
    const cwd = folderOf(t, FILES);
    const taken = async (at: ListenOptions) => {
      const server = createServer();
      await new Promise<void>((done) => server.listen(at, done));
      t.teardown(() => server.close());
      const address = server.address();
      return typeof address === "object" ? (address?.port ?? 0) : 0;
    };
    const [v4, any, v6] = [
      await taken({ host: "127.0.0.1", port: 0 }),
      await taken({ host: "0.0.0.0", port: 0 }),
      await taken({ host: "::1", port: 0 }),
    ];
    const path = join(cwd, workers === 1 ? "spop.sock" : "spop.sock.2");
    await taken({ path });
    const listen = `listen: { spop: ["127.0.0.1:${v4}", "[::1]:${v6}", "unix:${join(cwd, "spop.sock")}"], admin: "127.0.0.1:${any}" }`;
    const text = CONFIG.replace(/listen:.*/, `${listen}\nworkers: ${workers}`);
    writeFileSync(join(cwd, "countersign.yaml"), text);
    const { code, out, err } = await countersign(["serve"], { cwd });
    t.equal(code, 78);
    const addresses = [`127.0.0.1:${any}`, `127.0.0.1:${v4}`, `[::1]:${v6}`, `unix:${path}`];
    const problems = addresses.map(
      (address) => `cannot listen on ${address}: node (pid ${process.pid}) is listening there`,
    );
    for (const problem of problems) t.ok(err.split("\n").includes(problem), problem);
    const last = JSON.parse(out.trimEnd().split("\n").at(-1) ?? "");
    t.match(last, { level: "error", msg: "countersign cannot start" }, "the log ends with the cause as well");
    t.strictSame(last.problems, err.trimEnd().split("\n"));
    t.notMatch(out, "countersign stopped");
  });
}

test("explain shows every step to the decision", async (t) => {
  const cwd = folderOf(t, {
    ...FILES,
    "alice.json": ALICE,
    "job.json": JSON.stringify({ sub: "job", client_kind: "workload" }),
  });
  const request = "GET https://orders.example.com/v1/orders/42";
  const alice = await command(["explain", request, "--claims", "alice.json", "--issuer", "idp"], { cwd });
  t.equal(alice.code, 0);
  for (const line of [
    "+ host        orders.example.com is the service orders",
    '+ route       orders/read  GET /v1/orders/{id}  id="42"',
    "- route       orders/health  GET /healthz: another path",
    '  credential  person "alice" of idp; groups "Readers"; scopes none; audiences "api://orders"',
    "+ role        reader: { issuer idp, group Readers }",
    '+ condition   principal.kind == "person"  is true',
    '+ condition   request.params.id != "0"  is true',
    "  header      x-auth-subject: alice",
    "  backend     orders",
    "+ decision    allow: allowed",
  ]) {
    t.ok(alice.out.includes(`${line}\n`), line);
  }
  const job = await command(["explain", request, "--claims", "job.json", "--issuer", "idp", "--json"], { cwd });
  const { steps, decision } = JSON.parse(job.out);
  t.match(decision, { verdict: "deny", reason: "role-missing", rule: "orders/read" });
  t.ok(steps.some((step: { text: string }) => step.text === "reader: { issuer idp, not group Readers }"));
  for (const [asked, ending] of [
    ["GET https://order.example.com/", "deny: host-unknown (403)"],
    ["GET https://orders.example.com/v1/../x", "deny: path-ambiguous (400)"],
    ["POST https://orders.example.com/healthz", "deny: method-not-allowed (403)"],
    [request, "deny: credential-missing (401)"],
    ["GET https://orders.example.com/healthz", "allow: anyone"],
  ] as const) {
    t.ok((await command(["explain", asked], { cwd })).out.endsWith(`decision    ${ending}\n`), `${asked}: ${ending}`);
  }
  t.match(
    (await command(["explain", "GET https://order.example.com/"], { cwd })).out,
    "did you mean orders.example.com?",
  );
});

test("explain reads the body of what is said to an MCP server as the agent does", async (t) => {
  const body = (name: string) => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${name}"}}`;
  const route = "{ name: mcp, match: [POST /mcp], allow: [anyone], mcp: { tools: { echo: {} } } }";
  const cwd = folderOf(t, {
    ...FILES,
    "policies/mcp.yaml": `services: { mcp: { hosts: [mcp.example.com], backend: orders, routes: [${route}] } }\n`,
    "echo.json": body("echo"),
    "admin.json": body("admin"),
    "both.json": body("echo").replace('"name"', '"name":"admin","name"'),
  });
  const ending = async (...more: string[]) =>
    (await command(["explain", "POST https://mcp.example.com/mcp", ...more], { cwd })).out
      .trimEnd()
      .split("decision    ")[1];
  t.equal(await ending("--body", "echo.json"), "allow: anyone");
  t.equal(await ending("--body", "admin.json"), "deny: mcp-tool-not-allowed (403)");
  t.equal(await ending("--body", "both.json"), "deny: mcp-body-malformed (400)");
  t.equal(await ending("--body", "echo.json", "--header", "mcp-name: admin"), "deny: mcp-header-mismatch (400)");
  t.equal(await ending(), "deny: mcp-body-unread (400)");
  t.match((await command(["audit", "access"], { cwd })).out, 'saying to the MCP server {"tools":{"echo":{}}}');
});

test("explain and test read numbers to the last digit, and write them so", async (t) => {
  const policy = `
roles:
  tenant: [{ issuer: idp, claim: { tenant: 9007199254740993 } }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-tenant: string(principal.claims.tenant) }
    routes: [{ name: read, match: [GET /v1/orders], allow: [tenant], when: principal.claims.tenant == 9007199254740993 }]
`;
  const request = "GET https://orders.example.com/v1/orders";
  const cases = [
    ["9007199254740993", "verdict: allow, headers: { x-auth-tenant: '9007199254740993' }"],
    ["9007199254740992", "verdict: deny, reason: role-missing"],
  ].map(
    ([tenant, expect]) =>
      `  - { name: "${tenant}", request: ${request}, principal: { issuer: idp, subject: a, claims: { tenant: ${tenant} } }, expect: { ${expect} } }\n`,
  );
  const cwd = folderOf(t, {
    "countersign.yaml": CONFIG,
    "policies/orders.yaml": policy,
    "policies/orders.test.yaml": `cases:\n${cases.join("")}`,
    "right.json": '{ "sub": "alice", "tenant": 9007199254740993 }',
    "wrong.json": '{ "sub": "alice", "tenant": 9007199254740992 }',
    "large.json": '{ "sub": "alice", "tenant": 92233720368547758080 }',
  });
  const explained = async (file: string, ...more: string[]) =>
    command(["explain", request, "--claims", file, "--issuer", "idp", ...more], { cwd });
  const right = await explained("right.json");
  t.match(right.out, /\+ role +tenant: \{ issuer idp, claim tenant 9007199254740993 \}/);
  t.match(right.out, "x-auth-tenant: 9007199254740993\n");
  t.equal((await explained("right.json", "--json")).code, 0);
  t.match((await explained("wrong.json")).out, "not claim tenant 9007199254740993");
  const large = await explained("large.json");
  t.equal(large.code, 66);
  t.match(large.err, /^large\.json: .*no integer beyond 64 bits/);
  const tested = await command(["test", "--json"], { cwd });
  t.strictSame([tested.code, tested.err], [0, ""]);
});

test("explain says what is unknown, and why", async (t) => {
  const policy = `${POLICY.replace("roles:", "roles:\n  banned: [{ issuer: idp, claim: { my.app.banned: true } }]")}
      - { name: write, match: ["PUT /v1/orders/{id}"], allow: [authenticated], deny: [banned] }
`;
  const claims = { sub: "alice", groups: 7, client_kind: "robot", "my.app": { banned: "true" } };
  const cwd = folderOf(t, { ...FILES, "policies/orders.yaml": policy, "alice.json": JSON.stringify(claims) });
  const explain = async (method: string) => {
    const asked = `${method} https://orders.example.com/v1/orders/42`;
    return (await command(["explain", asked, "--claims", "alice.json", "--issuer", "idp"], { cwd })).out;
  };
  const [read, write] = [await explain("GET"), await explain("PUT")];
  const groups = "the claim groups: a number that cannot be read; expected texts";
  t.match(read, `groups unknown (${groups})`);
  t.match(read, "principal of an unknown kind (the claim client_kind: a text that cannot be read; expected `person`");
  t.match(read, `- role        reader: { issuer idp, unknown group Readers (${groups}) }`);
  t.match(read, '- condition   principal.kind == "person"  cannot be told: it reads what is unknown of the principal');
  t.match(read, "- decision    deny: claim-unknown (403)");
  t.match(
    write,
    '- deny        cannot be told to lack the denied role banned: { issuer idp, unknown claim my.app.banned true (the claim my.app.banned: the token has "my.app", one name; write the path as a list of names) }',
  );
  t.match(write, "- decision    deny: claim-unknown (403)");
});

test("explain names the header that cannot be made", async (t) => {
  const headers = `headers:
      x-auth-groups: 'list(principal.groups, "; ")'
      x-auth-name: { value: percent(principal.claims.name), max: 16 }
      x-auth-subject: principal.subject
      x-auth-user: 'json({"sub": principal.subject})'
`;
  const policy = POLICY.replace("headers: { x-auth-subject: principal.subject }\n", headers);
  const request = "GET https://orders.example.com/v1/orders/42";
  const explained = async (claims: object) => {
    const cwd = folderOf(t, { ...FILES, "policies/orders.yaml": policy, "c.json": JSON.stringify(claims) });
    return (await command(["explain", request, "--claims", "c.json", "--issuer", "idp"], { cwd })).out;
  };
  const claims = { sub: "alice", client_kind: "person", groups: ["Readers", "Staff"], name: "Zo\u00eb" };
  const made = await explained(claims);
  t.match(made, "x-auth-groups: Readers; Staff\n");
  t.match(made, "x-auth-name: Zo%C3%AB\n");
  t.match(made, 'x-auth-user: {"sub":"alice"}\n');
  const refused = await explained({ ...claims, groups: ["Readers", "a;b"], name: "\u00eb\u00eb\u00eb" });
  t.match(
    refused,
    '- header      x-auth-groups: list(principal.groups, "; ")  fails, or gives what no header can hold\n',
  );
  t.match(refused, "- header      x-auth-name: percent(principal.claims.name)  is longer than its `max`\n");
  t.notMatch(refused, "- header      x-auth-subject");
  t.match(refused, "- decision    deny: header-error (403)\n");
});

test("explain says what a token is bound to, and verifies one that is where its issuer takes proofs", async (t) => {
  const provider = await startProvider({ alice: { kind: "person" } });
  t.teardown(() => provider.close());
  const config = CONFIG.replace("https://idp.example", provider.issuer).replace("claims:", "proofs: [dpop], claims:");
  const cnf = { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" };
  const exp = Math.floor(Date.now() / 1000) + 600;
  const claims = {
    iss: provider.issuer,
    aud: "api://orders",
    sub: "alice",
    client_kind: "person",
    groups: ["Readers"],
    exp,
  };
  const files = { bound: { ...claims, cnf }, certificate: { ...claims, cnf: { "x5t#S256": cnf.jkt } } };
  const cwd = folderOf(t, {
    ...FILES,
    "countersign.yaml": config,
    "claims.json": JSON.stringify(files.bound),
    bound: await provider.sign(files.bound),
    certificate: await provider.sign(files.certificate),
  });
  const explained = async (...args: string[]) =>
    (await command(["explain", "GET https://orders.example.com/v1/orders/42", ...args], { cwd })).out;
  for (const args of [
    ["--claims", "claims.json", "--issuer", "idp"],
    ["--token-file", "bound"],
  ]) {
    const out = await explained(...args);
    t.match(out, "bound to a key (dpop): every request must prove to have it, which is not asked here");
    t.match(out, "+ decision    allow: allowed\n");
  }
  const refused = await explained("--token-file", "certificate");
  t.match(refused, 'cnf is an object with "x5t#S256": it is bound to a key; `proofs` of idp: "dpop"');
  t.match(refused, "- decision    deny: proof-missing (401)\n");
});

test("explain says whose a client's certificate is, or what was found in it and what was expected", async (t) => {
  const authority = new Authority("Devices");
  const machines = `  machines: { type: client-certificate, identity: dns, ca: ca.pem, crl: crl.pem }\n`;
  const [good, revoked] = [1, 2].map((serial) => authority.issue({ names: ["dns:device.example"], serial }).pem);
  const cwd = folderOf(t, {
    "countersign.yaml": CONFIG.replace("haproxy:", `${machines}haproxy:`),
    "policies/orders.yaml": POLICY.replace(
      "{ issuer: idp, group: Readers }",
      "{ issuer: machines, subject: device.example }",
    ).replace('principal.kind == "person" && ', ""),
    "ca.pem": authority.pem,
    "crl.pem": pem("X509 CRL", authority.revoke([2])),
    "good.pem": `${good}${authority.pem}`,
    "revoked.pem": revoked ?? "",
    "old.pem": authority.issue({ names: ["dns:device.example"], until: Date.UTC(2026, 0, 1) }).pem,
    "authority.pem": authority.issue({ names: ["dns:device.example"], authority: true }).pem,
    "foreign.pem": new Authority("Others").issue({ names: ["dns:device.example"] }).pem,
    "namesake.pem": new Authority("Devices").issue({ names: ["dns:device.example"] }).pem,
    "key.pem": SERVER_KEY,
  });
  const explained = (file: string) =>
    command(["explain", "GET https://orders.example.com/v1/orders/42", "--certificate-file", file], { cwd });
  const found = await explained("good.pem");
  t.match(found.out, 'workload "device.example" of machines');
  t.match(found.out, "+ decision    allow: allowed\n");
  const refusals = [
    ["revoked.pem", "credential-revoked", /its serial number 0*2 was taken back/],
    ["old.pem", "token-expired", /it is valid from .* until Jan {2}1 00:00:00 2026 GMT/],
    ["authority.pem", "certificate-unsuitable", /is not that of a client's certificate/],
    ["foreign.pem", "issuer-unknown", /its issuer is "CN=Others", its names: DNS:device.example/],
    ["foreign.pem", "issuer-unknown", /machines takes certificates signed by: "CN=Devices"/],
    ["namesake.pem", "signature-invalid", /an authority in `ca` has the name "CN=Devices", and has not signed it/],
  ] as const;
  for (const [file, reason, told] of refusals) {
    const { out } = await explained(file);
    t.match(out, told, file);
    t.match(out, `- decision    deny: ${reason} (401)\n`);
  }
  t.match(await explained("key.pem"), { code: 66, err: /key\.pem: a file with a block `PRIVATE KEY`; a client's/ });
  t.match(
    await command(["explain", "GET https://orders.example.com/", "--certificate-file", "x", "--claims", "y"], { cwd }),
    {
      code: 64,
      err: /one of --token-file, --certificate-file, --claims, --mesh-identity/,
    },
  );
});

test("explain says who a client of the mesh would be, and of which names the issuer is", async (t) => {
  const mesh = `  mesh: { type: mesh, bind: "*:8081", pods: { app: haproxy }, namespaces: [shop] }\n`;
  const cwd = folderOf(t, {
    "countersign.yaml": CONFIG.replace("haproxy:", `${mesh}haproxy:`),
    "policies/orders.yaml": POLICY.replace(
      "{ issuer: idp, group: Readers }",
      "{ issuer: mesh, claim: { namespace: shop, service_account: web } }",
    ).replace('principal.kind == "person" && ', ""),
  });
  const explained = (name: string) =>
    command(["explain", "GET https://orders.example.com/v1/orders/42", "--mesh-identity", name], { cwd });
  const whole = "web.shop.serviceaccount.identity.linkerd.cluster.local";
  for (const name of ["web.shop", whole]) {
    const { out } = await explained(name);
    t.match(out, `workload "${whole}" of mesh`);
    t.match(out, "+ decision    allow: allowed\n");
  }
  t.match((await explained("cart.shop")).out, "- decision    deny: role-missing (403)\n");
  const foreign = (await explained("web.billing")).out;
  t.match(foreign, "mesh takes ACCOUNT.NAMESPACE.serviceaccount.identity.linkerd.cluster.local of shop");
  t.match(foreign, "- decision    deny: issuer-unknown (401)\n");
  t.match((await explained("spiffe://a/b")).out, "- decision    deny: credential-malformed (401)\n");
});

test("explain verifies a token by the issuer's keys, and never shows it", async (t) => {
  const provider = await startProvider({ alice: { kind: "person", groups: ["Readers"] } });
  t.teardown(() => provider.close());
  const token = await provider.token("alice");
  const cwd = folderOf(t, {
    ...FILES,
    "countersign.yaml": CONFIG.replace("https://idp.example", provider.issuer),
    good: `${token}\n`,
    bad: `${token.slice(0, -6)}AAAAAA\n`,
  });
  const request = "GET https://orders.example.com/v1/orders/42";
  const good = await command(["explain", request, "--token-file", "good"], { cwd });
  t.match(good.out, "+ decision    allow: allowed");
  const bad = await command(["explain", request, "--token-file", "bad"], { cwd });
  t.match(bad.out, "- credential  does not prove anything: signature-invalid");
  t.match(bad.out, "- decision    deny: signature-invalid (401)");
  for (const { out, err } of [good, bad])
    t.notOk(`${out}${err}`.includes(token.slice(-60, -10)), "no part of the token");
});

test("explain names what was found in a refused token and what was expected, and what helps at the provider", async (t) => {
  const provider = await startProvider({});
  // Its keys behind an issuer whose URL is as Keycloak's are.
  const realm = await startFront((request, response) => {
    const issuer = `${realm.url}/realms/shop`;
    const known = request.url === "/realms/shop/.well-known/openid-configuration";
    response.statusCode = known ? 200 : 404;
    response.end(JSON.stringify({ issuer, jwks_uri: `${provider.issuer}/jwks` }));
  });
  t.teardown(() => Promise.all([provider.close(), realm.close()]));
  const issuer = `${realm.url}/realms/shop`;
  const cwd = folderOf(t, { ...FILES, "countersign.yaml": CONFIG.replace("https://idp.example", issuer) });
  const now = Math.floor(Date.now() / 1000);
  const good = { iss: issuer, sub: "alice", aud: "api://orders", exp: now + 600, iat: now };
  const signed = (claims: Record<string, unknown>, header = {}) => provider.sign({ ...good, ...claims }, header);
  const [rsa] = provider.keys;
  const raw = (header: string) => `${Buffer.from(header).toString("base64url")}.e30.AAAA`;
  const secret = "do-not-show-me";
  const rows: readonly (readonly [token: string | Promise<string>, reason: string, ...found: RegExp[]])[] = [
    [
      signed({ aud: undefined }),
      "claim-missing",
      /aud is absent; `audiences` of idp: "api:\/\/orders"/,
      /Keycloak: .* mapper of the type Audience/,
    ],
    [
      signed({ aud: "account" }),
      "audience-not-accepted",
      /aud is "account"; `audiences` of idp: "api:\/\/orders"/,
      /Keycloak: /,
    ],
    [signed({ aud: ["a", "b"] }), "audience-not-accepted", /aud is "a", "b"; /],
    [signed({ aud: 7 }), "claim-malformed", /aud is a number; /],
    [
      signed({ sub: undefined }),
      "claim-missing",
      /sub is absent; expected: a text of 1 to 1024/,
      /Keycloak: .*`basic`/,
    ],
    [signed({ sub: [secret, 7] }), "claim-malformed", /sub is a list of a text and a number; expected: a text/],
    [
      signed({ iss: `${realm.url}/realms/other` }),
      "issuer-unknown",
      /iss is ".*\/realms\/other"; the issuers configured: ".*\/realms\/shop"/,
      /KC_HOSTNAME/,
    ],
    [signed({ iss: ["x"] }), "claim-malformed", /iss is a list of a text; expected: a text/],
    [signed({ sub: 2 ** 60 }), "claim-malformed", /sub is a number; expected: a text/],
    [signed({ exp: "soon" }), "claim-malformed", /exp is a text; expected: a number of seconds since 1970/],
    [signed({ exp: now - 100 }), "token-expired", /exp is 20.*Z, 1\d\d s ago; `clock_tolerance` is 30 s/],
    [signed({ nbf: now + 100 }), "token-not-yet-valid", /nbf is 20.*Z, \d+ s from now; /],
    [signed({ iat: now + 100 }), "token-not-yet-valid", /iat is 20/],
    [
      signed({ sub: undefined, _claim_names: { sub: secret } }),
      "claim-malformed",
      /sub is unknown \(the issuer keeps it elsewhere\); expected: a text/,
    ],
    [
      signed({ typ: "ID" }, { typ: "JWT" }),
      "token-not-access",
      /typ is "ID": it is no access token/,
      /Keycloak: .*`access_token`/,
    ],
    [signed({ nonce: secret }, { typ: "JWT" }), "token-not-access", /nonce is there: /],
    [signed({ cnf: { jkt: secret } }), "proof-missing", /cnf is an object with "jkt": it is bound/],
    [
      signed({}, { typ: "logout+jwt" }),
      "token-type",
      /typ in its header is "logout\+jwt"; `token_types` of idp: "at\+jwt", "JWT"/,
    ],
    [
      signed({}, { kid: "another" }),
      "key-unknown",
      new RegExp(`kid is "another", alg "RS256"; the keys of idp: "${rsa?.kid}" for RS256.*ES256`),
    ],
    [
      signed({}, { alg: "RS256", nonce: secret }).then((token) => `${token.slice(0, -6)}AAAAAA`),
      "signature-invalid",
      new RegExp(`kid is "${rsa?.kid}"`),
    ],
    [
      signed({ iss: "https://sts.windows.net/t/", aud: "00000003-0000-0000-c000-000000000000" }, { nonce: secret }),
      "issuer-unknown",
      /a token of Microsoft Graph/,
    ],
    [
      raw(`{"alg":"HS256"}`).replace("e30", Buffer.from(JSON.stringify(good)).toString("base64url")),
      "algorithm-refused",
      /alg is "HS256"; `algorithms` of idp: "RS256", /,
    ],
    ["opaque-token", "token-malformed", /parts between dots: 1; expected: the 3 of a signed JWT/],
    [raw("{}"), "token-malformed", /alg in its header is absent; expected: a text/],
    [raw(`{"alg":"RS256","kid":7}`), "token-malformed", /kid in its header is a number/],
    [raw(`{"alg":"RS256","crit":["x"]}`), "token-malformed", /its header has crit/],
    [raw(`{"alg":"RS256","alg":"none"}`), "token-malformed", /the header is no JSON object .* a member twice/],
    [`${raw(`{"alg":"RS256"}`)}=`, "token-malformed", /the signature is not base64url: padding/],
    ["a.b.c.d.e", "token-encrypted", /it is encrypted \(JWE\)/],
    ["two tokens", "credential-malformed", /more than one token/],
    [`${"a".repeat(9000)}`, "token-too-large", /it has 9000 bytes; `limits.token` is 8192/],
  ];
  for (const [pending, reason, ...found] of rows) {
    const token = await pending;
    writeFileSync(join(cwd, "token"), token);
    const { out } = await command(["explain", "GET https://orders.example.com/v1/orders/42", "--token-file", "token"], {
      cwd,
    });
    t.match(out, `- credential  does not prove anything: ${reason}\n`);
    for (const each of found) t.match(out, each);
    t.notOk(
      out.includes(secret) || (token.length > 40 && out.includes(token.slice(-30))),
      "no claim's value, no token",
    );
  }
  writeFileSync(join(cwd, "claims.json"), JSON.stringify({ sub: 7 }));
  const claims = ["--claims", "claims.json", "--issuer", "idp"];
  const taken = await command(["explain", "GET https://orders.example.com/v1/orders/42", ...claims], { cwd });
  t.match(taken.out, "sub is a number; expected: a text", "taken claims, too");
});

test("test judges cases, tells failing ones and rules that no case shows", async (t) => {
  const cases = (verdict: string, backend = "orders") => `cases:
  - name: a reader reads
    request: GET https://orders.example.com/v1/orders/42
    principal: { issuer: idp, subject: alice, groups: [Readers] }
    expect: { verdict: allow, rule: orders/read, backend: ${backend}, headers: { x-auth-subject: alice } }
  - name: whose groups are elsewhere does not
    request: GET https://orders.example.com/v1/orders/42
    principal: { issuer: idp, subject: alice, unknown: [groups] }
    expect: { verdict: deny, reason: claim-unknown }
  - name: nobody does not
    request: GET https://orders.example.com/v1/orders/42
    expect: { verdict: ${verdict}, reason: credential-missing }
`;
  const cwd = folderOf(t, { ...FILES, "policies/orders.test.yaml": cases("deny") });
  const passed = await command(["test"], { cwd });
  t.equal(passed.code, 0);
  t.match(passed.out, "3 passed, 0 failed");
  t.match(passed.out, /orders\/health +0 +0 {2}no case that it allows/);
  writeFileSync(join(cwd, "wrong.yaml"), cases("allow"));
  const failed = await command(["test", "wrong.yaml"], { cwd });
  t.equal(failed.code, 1);
  t.match(failed.out, /FAIL {2}nobody does not .*\n {6}verdict: deny instead of allow\n/);
  t.match(failed.out, "wrong.yaml:10");
  writeFileSync(join(cwd, "elsewhere.yaml"), cases("deny", "files"));
  t.match((await command(["test", "elsewhere.yaml"], { cwd })).out, "backend: orders instead of files");
  const json = await command(["test", "wrong.yaml", "--json"], { cwd });
  t.match(JSON.parse(json.out), { passed: 2, failed: 1 });
  writeFileSync(join(cwd, "typo.yaml"), cases("deny").replace("credential-missing", "credential-mising"));
  const typo = await command(["test", "typo.yaml"], { cwd });
  t.equal(typo.code, 78);
  t.match(typo.err, /typo\.yaml:12:\d+: no reason "credential-mising"; did you mean "credential-missing"\?/);
  writeFileSync(join(cwd, "time.yaml"), `${cases("deny")}    time: 2027-02-31T00:00:00Z\n`);
  const time = await command(["test", "time.yaml"], { cwd });
  t.equal(time.code, 78);
  t.match(time.err, /time\.yaml:13:11: "2027-02-31T00:00:00Z" is no time; a time that there is/);
});

test("generate writes the same bytes for the same input, and overwrites only what it wrote", async (t) => {
  const cwd = folderOf(t, FILES);
  const read = (name: string) => readFileSync(join(cwd, "out", name), "utf8");
  t.equal((await command(["generate", "haproxy", "--output", "out"], { cwd })).code, 0);
  const first = [read("haproxy.cfg"), read("countersign.spoe.conf")];
  const json = await command(["generate", "haproxy", "--output", "out", "--json"], { cwd });
  t.strictSame(JSON.parse(json.out), { written: ["out/haproxy.cfg", "out/countersign.spoe.conf"] });
  t.strictSame([read("haproxy.cfg"), read("countersign.spoe.conf")], first);
  writeFileSync(join(cwd, "out/haproxy.cfg"), "global\n");
  const kept = await command(["generate", "haproxy", "--output", "out"], { cwd });
  t.equal(kept.code, 73);
  t.match(kept.err, "out/haproxy.cfg is there and was not generated");
  t.equal(read("haproxy.cfg"), "global\n");
  const fragment = await command(["generate", "haproxy", "--fragment", "--output", "out"], { cwd });
  t.equal(fragment.code, 0);
  t.match(read("countersign.cfg"), `filter spoe engine countersign config ${join(cwd, "out/countersign.spoe.conf")}\n`);
  const elsewhere = ["generate", "haproxy", "--output", "out", "--installed-in", "/etc/haproxy"];
  t.equal((await command([...elsewhere, "--fragment"], { cwd })).code, 0);
  t.match(read("countersign.cfg"), "filter spoe engine countersign config /etc/haproxy/countersign.spoe.conf\n");
  t.equal((await command(elsewhere, { cwd })).code, 64, "a whole haproxy.cfg has it beside itself");
  const odd = await command(["generate", "haproxy", "--fragment", "--output", "it's"], { cwd });
  t.equal(odd.code, 78);
  t.match(odd.err, /HAProxy's configuration cannot name ".*it's/);
  writeFileSync(
    join(cwd, "countersign.yaml"),
    CONFIG.replace('backends: { orders: ["10.0.0.7:8080"] }', "backends: {}"),
  );
  const bare = await command(["generate", "haproxy", "--output", "new"], { cwd });
  t.equal(bare.code, 78);
  t.match(bare.err, 'the backend "orders" has no servers');
});

/** Every file below a folder with its text, and every folder. */
function treeOf(folder: string): Readonly<Record<string, string | undefined>> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path, entry.isFile() ? readFileSync(path, "utf8") : undefined];
    }),
  );
}

test("a command that cannot write all of its files leaves everything as it was", async (t) => {
  const provider = await startProvider({});
  t.teardown(() => provider.close());
  const asked = ["--issuer", provider.issuer, "--audience", "a", "--host", "orders.example.com"];
  const init = ["init", ...asked, "--backend", "10.0.0.7:80"];
  const generate = ["generate", "haproxy"];
  for (const [what, args, files, code, told] of [
    ["init, a haproxy.cfg of one's own", init, { "haproxy.cfg": "global\n" }, 73, /haproxy\.cfg is there already/],
    ["init, a policy", init, { "policies/orders.yaml": "" }, 73, /orders\.yaml is there already/],
    ["init, a generated file", init, { "countersign.spoe.conf": "" }, 73, /spoe\.conf is there already/],
    ["init, no directory", init, { policies: "" }, 73, /policies.* cannot be written: .*; nothing was changed/],
    ["init, what is written is not valid", [...init, "--bind", ""], {}, 64, /^--bind: an empty text; /],
    [
      "init, nowhere",
      [...init, "--output", "/dev/null/countersign"],
      {},
      73,
      /\/dev\/null\/countersign.* cannot be written/,
    ],
    ["generate, the second file", generate, { ...FILES, "countersign.spoe.conf/x": "" }, 73, /spoe\.conf is there/],
  ] as const) {
    const cwd = folderOf(t, files);
    const before = treeOf(cwd);
    const { code: actual, err } = await command(args, { cwd });
    t.equal(actual, code, what);
    t.match(err, told, what);
    t.notMatch(err, "bug", what);
    t.strictSame(treeOf(cwd), before, what);
  }
});

test("init tells what is wrong with its options, and not with files that nobody has written", async (t) => {
  const cwd = folderOf(t, { "empty.json": "{}" });
  const right = { issuer: "https://i.example", audience: "api://a", host: "h.example", backend: "10.0.0.7:80" };
  const init = (options: Readonly<Record<string, string>>) =>
    command(["init", ...Object.entries({ ...right, ...options }).flatMap(([name, value]) => [`--${name}`, value])], {
      cwd,
    });
  for (const [options, code, told] of [
    [{ issuer: "idp.example.com" }, 64, /^--issuer: .*"idp\.example\.com"/],
    [{ backend: "10.0.0.7:99999" }, 64, /^--backend: .*10\.0\.0\.7:99999.*; HOST:PORT with a port from 1 to 65535/],
    [{ audience: "api://*" }, 64, /^--audience: /],
    [{ bind: "8080" }, 64, /^--bind: the text "8080"; an address that HAProxy can listen at, such as \*:443/],
    [{ bind: "*:99999" }, 64, /^--bind: /],
    [{ keys: "none.json" }, 66, /^--keys: none\.json cannot be read: there is no such file/],
    [{ keys: "empty.json" }, 64, /^--keys: /],
    [{ issuer: "i", bind: "x" }, 64, /^--issuer: .*\n--bind: /],
  ] as const) {
    const { code: actual, err } = await init(options);
    t.equal(actual, code, told.source);
    t.match(err, told);
    t.notMatch(err, "countersign.yaml", told.source);
  }
  t.strictSame(readdirSync(cwd), ["empty.json"]);
});

test("init takes every host that a policy takes", async (t) => {
  const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" });
  const cwd = folderOf(t, { "keys.json": JSON.stringify({ keys: [key] }) });
  const who = ["--issuer", "https://i.example", "--keys", "keys.json", "--audience", "a", "--backend", "10.0.0.7:80"];
  for (const host of ["10.0.0.1", "404.example.com", "true.example.com", "1e3.example.com", "*.null.example"]) {
    const made = await command(["init", ...who, "--host", host, "--output", `at-${host.slice(2)}`], { cwd });
    t.match(made, { code: 0, err: "" }, host);
    const config = `at-${host.slice(2)}/countersign.yaml`;
    t.match(await command(["check", "--config", config], { cwd }), { code: 0, err: "" }, host);
  }
});

test("generate that fails half-way puts back what it had replaced", async (t) => {
  const cwd = folderOf(t, FILES);
  t.equal((await command(["generate", "haproxy"], { cwd })).code, 0);
  writeFileSync(join(cwd, "countersign.yaml"), CONFIG.replace("10.0.0.7", "10.0.0.8"));
  const before = treeOf(cwd);
  const rename = fs.renameSync;
  t.teardown(() => Object.assign(fs, { renameSync: rename }) && syncBuiltinESMExports());
  fs.renameSync = (from, to) => {
    if (String(to).endsWith("countersign.spoe.conf")) throw Object.assign(new Error("full"), { code: "ENOSPC" });
    rename(from, to);
  };
  syncBuiltinESMExports();
  const { code, err } = await command(["generate", "haproxy"], { cwd });
  t.equal(code, 73);
  t.match(err, /countersign\.spoe\.conf cannot be written: ENOSPC; nothing was changed/);
  t.strictSame(treeOf(cwd), before);
});

test("init looks the issuer up through the environment's proxy, and tells one that is none", async (t) => {
  const key = { ...generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }), kid: "k" };
  const provider = await startRawProvider([key], { key: SERVER_KEY, cert: SERVER_CERTIFICATE });
  const proxy = await startConnectProxy();
  t.teardown(() => Promise.all([provider.close(), proxy.close()]));
  const folder = folderOf(t, { "authority.pem": AUTHORITY });
  const init = (environment: Readonly<Record<string, string>>) =>
    countersign(
      [
        "init",
        "--issuer",
        provider.url,
        "--audience",
        "a",
        "--host",
        "h.example",
        "--backend",
        "b:80",
        "--output",
        "new",
      ],
      { cwd: folder, env: { NODE_EXTRA_CA_CERTS: "authority.pem", ...environment } },
    );
  const broken = await init({ HTTPS_PROXY: "socks5://agent:secret@127.0.0.1" });
  t.equal(broken.code, 78);
  t.match(broken.err, /HTTPS_PROXY, which is not http:\/\/HOST:PORT/);
  t.notMatch(broken.err, /secret/);
  proxy.instead = (socket) => socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
  const HTTPS_PROXY = `http://agent:secret@127.0.0.1:${proxy.port}`;
  const refused = await init({ HTTPS_PROXY });
  t.match(refused.err, /cannot be looked up: .*the proxy 127.0.0.1:\d+: status 407 instead of 200/);
  t.notMatch(refused.err, /secret/);
  proxy.instead = undefined;
  t.match(await init({ HTTPS_PROXY }), { code: 0, err: "" });
  t.same(
    proxy.tunnels.map(({ target }) => target),
    [new URL(provider.url).host, new URL(provider.url).host, new URL(provider.url).host],
    "refused, then its document and its keys",
  );
});

test("init makes a working start for each preset", async (t) => {
  const key = (type: "rsa" | "ec", options: object) =>
    generateKeyPairSync(type as "rsa", options as { modulusLength: number }).publicKey.export({ format: "jwk" });
  const keys = [key("rsa", { modulusLength: 2048 }), key("ec", { namedCurve: "P-256" })];
  const cwd = folderOf(t, { "keys.json": JSON.stringify({ keys }) });
  for (const [preset, { form, values }] of Object.entries(PRESETS)) {
    const issuer = form?.example ?? (values.issuer === undefined ? "https://idp.example.com" : undefined);
    const named = issuer === undefined ? [] : ["--issuer", issuer];
    const asked = ["--audience", "a", "--host", "h.example", "--backend", "10.0.0.7:80", "--output", preset];
    const made = await command(["init", "--preset", preset, ...named, "--keys", "keys.json", ...asked], { cwd });
    t.match(made, { code: 0, err: "" }, preset);
    const config = ["--config", `${preset}/countersign.yaml`];
    t.match(await command(["check", ...config], { cwd }), { code: 0, err: "" }, preset);
    const { out } = await command(["explain", ...config, "--json"], { cwd });
    const settings: readonly Setting[] = JSON.parse(out).settings;
    const type = settings.find(({ key: name }) => name === `issuers.${preset}.type`);
    t.match(type, { value: "oidc", from: `preset ${preset}` });
  }
});

test("explain without a request tells each value that is in force, and where it comes from, but no secret", async (t) => {
  const config = CONFIG.replace(/^issuers:\n(?: .*\n)+/m, () => {
    const proxy = `"http://agent:\${env:PASSWORD}@proxy.example.com:3128"`;
    const kc = `{ preset: keycloak, issuer: https://kc.example/realms/a, audiences: ["\${env:AUDIENCE}"], proxy: ${proxy} }`;
    const portal =
      "{ type: introspection, issuer: https://id.example, audiences: [a], client: { id: gw, secret: hunter4 } }";
    return `issuers:\n  kc: ${kc}\n  portal: ${portal}\n`;
  });
  const cwd = folderOf(t, { ...FILES, "countersign.yaml": config });
  const env = { PASSWORD: "hunter2", AUDIENCE: "hunter3" };
  const { code, out, err } = await command(["explain", "--json"], { cwd, env });
  t.strictSame([code, err], [0, ""]);
  const found = new Map(JSON.parse(out).settings.map(({ key, ...rest }: Setting) => [key, rest]));
  const line = config.split("\n").findIndex((text) => text.startsWith("  kc:")) + 1;
  const at = (text: string) => `countersign.yaml:${line}:${(config.split("\n")[line - 1]?.indexOf(text) ?? 0) + 1}`;
  t.match(found.get("issuers.kc.preset"), { value: "keycloak", from: at("preset:") });
  t.match(found.get("issuers.kc.claims.groups"), { value: "realm_access.roles", from: "preset keycloak" });
  t.match(found.get("issuers.kc.require.typ"), { value: ["Bearer", "DPoP"], from: "preset keycloak" });
  t.match(found.get("issuers.kc.claims.subject"), { value: "sub", from: "default" });
  t.match(found.get("issuers.kc.audiences"), { value: [`\${env:AUDIENCE}`], from: at("audiences:") });
  t.match(found.get("issuers.kc.proxy"), { value: "http://…@proxy.example.com:3128", from: at("proxy:") });
  t.match(found.get("issuers.portal.client.secret"), { value: "…" });
  t.match(found.get("cache.lifetime"), { value: "5m", from: "default" });
  t.notOk(found.has("mesh.trust_domain"), "what is not there has no defaults");
  const text = await command(["explain"], { cwd, env });
  t.match(text.out, /^issuers\.kc\.claims\.groups +realm_access\.roles +preset keycloak$/m);
  for (const shown of [out, text.out]) t.notMatch(shown, /hunter/);
  t.match(await command(["explain"], { cwd }), { code: 78, err: /the environment has no/ }, "a faulty one is told");
});

test("check says what the reader's own haproxy.cfg has to have, and which backend nobody has", async (t) => {
  const cwd = folderOf(t, FILES);
  const checked = async (backends: string) => {
    const text = CONFIG.replace('backends: { orders: ["10.0.0.7:8080"] }', `backends: ${backends}`);
    writeFileSync(join(cwd, "countersign.yaml"), text);
    const { code, out, err } = await command(["check"], { cwd });
    t.equal(code, 0);
    const external: unknown = JSON.parse((await command(["check", "--json"], { cwd })).out).external_backends;
    return { told: /have these backends.*: (.*)\./.exec(out)?.[1], external, err };
  };
  t.strictSame(await checked('{ orders: ["10.0.0.7:8080"] }'), { told: undefined, external: [], err: "" });
  t.strictSame(await checked("{}"), { told: "orders", external: ["orders"], err: "" });
  t.strictSame(await checked("{ orders: external, legacy: external }"), {
    told: "legacy, orders",
    external: ["legacy", "orders"],
    err: "",
  });
  const typo = await checked('{ ordres: ["10.0.0.7:8080"] }');
  t.strictSame(typo.external, ["orders"]);
  t.match(typo.err, /^warning: .*policies\/orders\.yaml:7:14: /);
  t.match(typo.err, '`haproxy.backends` has no "orders"; did you mean "ordres"? Else give it its servers there');
});

const JUDGED_CONFIG = `global
    log /dev/log local0
defaults
    mode http
frontend fe
    bind *:80
    default_backend orders
backend orders
    server a 10.0.0.7:8080
`;

test("check says that it did not look at haproxy.cfg, or proves it, for people and for programs", async (t) => {
  const cwd = folderOf(t, { ...FILES, "haproxy.cfg": JUDGED_CONFIG });
  t.match((await command(["check"], { cwd })).out, /were not looked at; --haproxy/);
  t.equal(JSON.parse((await command(["check", "--json"], { cwd })).out).haproxy, null);

  await command(["generate", "haproxy", "--output", "generated"], { cwd });
  const fine = await command(["check", "--haproxy", "generated/haproxy.cfg"], { cwd });
  t.equal(fine.code, 0, fine.err);
  t.match(fine.out, /^HAProxy: proven: .*Protected: orders\. Lines: \d+; ways to read them: \d+\.$/m);

  const bad = await command(["check", "--haproxy", "generated", "haproxy.cfg", "--haproxy-version", "3.2"], { cwd });
  t.equal(bad.code, 1);
  t.match(
    bad.err,
    /^haproxy\.cfg:7:5: "default_backend orders" .*, for example curl http:\/\/127\.0\.0\.1:80\/; give /m,
  );
  t.match(bad.err, /^ {4}haproxy\.cfg:6:5: it comes in here/m);
  const json = JSON.parse((await command(["check", "--json", "--haproxy", "haproxy.cfg"], { cwd })).out);
  t.match(json.haproxy.findings, [
    { level: "fault", code: "gate", file: "haproxy.cfg", line: 1 },
    { line: 7, column: 5 },
  ]);
  const sarif = JSON.parse((await command(["check", "--sarif", "--haproxy", "haproxy.cfg"], { cwd })).out);
  t.match(sarif.runs[0].results[1], {
    ruleId: "gate",
    level: "error",
    locations: [{ physicalLocation: { artifactLocation: { uri: "haproxy.cfg" }, region: { startLine: 7 } } }],
  });

  writeFileSync(join(cwd, "lua.cfg"), JUDGED_CONFIG.replace("    bind", "    http-request lua.any\n    bind"));
  const alone = folderOf(t, { "lua.cfg": JUDGED_CONFIG, "haproxy.cfg": "nothing here\n" });
  const none = await command(["check", "--haproxy", "lua.cfg"], { cwd: alone });
  t.equal(none.code, 1, "without a configuration too");
  t.match(none.err, /^lua\.cfg:1:1: no "filter spoe" sends the message authorize/m);
  const syntax = await command(["check", "--haproxy", "haproxy.cfg"], { cwd: alone });
  t.match(syntax.err, /^haproxy\.cfg:1:1: HAProxy does not load this: "nothing" stands in no section/);
  t.match((await command(["check", "--haproxy", "absent.cfg"], { cwd: alone })).err, /^absent\.cfg: cannot be read/);
});

test("a backend that is not in HAProxy's files is told, and nothing is called proven of it", async (t) => {
  const config = CONFIG.replace('{ orders: ["10.0.0.7:8080"] }', "{ app: external }");
  const own = "defaults\n    mode http\nbackend apps\n    server a 10.0.0.7:8080\n";
  const policy = POLICY.replace("backend: orders", "backend: app");
  const cwd = folderOf(t, { "countersign.yaml": config, "policies/orders.yaml": policy, "haproxy.cfg": own });
  t.equal((await command(["generate", "haproxy", "--fragment"], { cwd })).code, 0);
  const typo = await command(["check", "--haproxy", "haproxy.cfg", "countersign.cfg"], { cwd });
  t.equal(typo.code, 2);
  t.match(typo.err, "not proven: haproxy.cfg:1:1: no backend app in these files, which policies or configuration name");
  t.match(typo.err, 'did you mean apps? Else give --haproxy the file with "backend app" too');
  t.match(typo.out, "not proven: 1. Protected: nothing; perhaps, as no policies name them: apps.");
  const half = await command(["check", "--haproxy", "countersign.cfg"], { cwd });
  t.equal(half.code, 2);
  t.match(
    half.err,
    "no backend app in these files, which policies or configuration name; give --haproxy the file with",
  );

  writeFileSync(join(cwd, "haproxy.cfg"), own.replace("apps", "app"));
  const whole = ["check", "--haproxy", "haproxy.cfg", "countersign.cfg"];
  const fine = await command(whole, { cwd });
  t.equal(fine.code, 0, fine.err);
  t.match(fine.out, "proven: no request reaches a protected backend without a verdict for it. Protected: app.");
  const nobody = await command([...whole, "--public", "nope"], { cwd });
  t.equal(nobody.code, 2);
  t.match(nobody.err, "no backend nope in these files, which --public names; ");

  const fragment = readFileSync(join(cwd, "countersign.cfg"), "utf8");
  const spoe = readFileSync(join(cwd, "countersign.spoe.conf"), "utf8");
  const alone = folderOf(t, { "countersign.cfg": fragment, "countersign.spoe.conf": spoe });
  const nothing = await command(["check", "--haproxy", "countersign.cfg"], { cwd: alone });
  t.equal(nothing.code, 2, "without a configuration too");
  t.match(nothing.err, "not proven: countersign.cfg:1:1: no backend in these files is protected");
});

test("check ends with another exit code where nothing is wrong but something is not proven", async (t) => {
  const cwd = folderOf(t, FILES);
  await command(["generate", "haproxy"], { cwd });
  const generated = readFileSync(join(cwd, "haproxy.cfg"), "utf8");
  const rule = "    http-request strict-mode on\n";
  writeFileSync(join(cwd, "haproxy.cfg"), generated.replace(rule, `${rule}    http-request lua.any\n`));
  const line = generated.slice(0, generated.indexOf(rule)).split("\n").length + 1;
  const { code, err } = await command(["check", "--haproxy", "haproxy.cfg"], { cwd });
  t.equal(code, 2);
  t.match(err, `not proven: haproxy.cfg:${line}:5: "http-request lua.any" is not understood`);
  for (const [args, told] of [
    [["--define", "x"], "--define: "],
    [["--haproxy-version", "new"], "--haproxy-version: "],
    [["--haproxy-version", "2.4"], '--haproxy-version: "2.4" is not a version from 2.6 to 3.5'],
    [["--haproxy-version", "3.9"], "--haproxy-version: "],
  ] as const) {
    const misused = await command(["check", "--haproxy", "haproxy.cfg", ...args], { cwd });
    t.equal(misused.code, 64);
    t.match(misused.err, told);
  }
  t.match((await command(["check", "--public", "x"], { cwd })).err, "--public goes with --haproxy");
});
