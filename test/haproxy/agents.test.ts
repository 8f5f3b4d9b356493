import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DpopSession } from "@modelcontextprotocol/client";
import tap, { type Test, test } from "tap";
import { CALLBACK, Memory } from "../../demo/mcp/client.ts";
import { type Login, startLogin } from "../../demo/mcp/login.ts";
import { type NotesServer, startNotes } from "../../demo/mcp/server.ts";
import { freePort, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { CLIENTS, type ClientName, walk } from "../support/mcp-clients.ts";
import { command, configuration, folderOf, serve } from "../support/serve.ts";

const WELL_KNOWN = "/.well-known/oauth-protected-resource";

/** By the path of the server behind each. */
const NAMES = new Map(haproxies().map((binary) => [`n${minorOf(binary).replace(".", "")}`, binary]));
const [NEWEST = ["", undefined] as const] = [...NAMES].reverse();
/** The newest HAProxy again, with the files of before the policies had a resource. */
const OLD_FILES = "old";
const FRONTS = new Map([...NAMES, ...[...NAMES].slice(-1).map(([, binary]) => [OLD_FILES, binary] as const)]);

interface Stage {
  /** With countersign.yaml and the policies. */
  readonly folder: string;
  readonly login: Login;
  readonly notes: NotesServer;
  /** The URL that users give their clients, by the name of a HAProxy. */
  urlOf(name: string, path?: string): string;
}

/** One provider, one MCP server and one agent behind all HAProxys, each with resources of its own. */
async function stage(t: Test): Promise<Stage> {
  const ports = new Map<string, number>();
  for (const name of FRONTS.keys()) ports.set(name, await freePort());
  const urlOf = (name: string, path = "") => `http://127.0.0.1:${ports.get(name)}/${name}${path}`;
  const urls = [...FRONTS.keys()].map((name) => urlOf(name));
  const scopes = ["notes:read", "notes:write"];
  const login = await startLogin({
    resources: Object.fromEntries(urls.flatMap((url) => [url, `${url}/other`]).map((url) => [url, scopes])),
    clients: ["refreshing", "forgetting"].map((client_id) => ({
      client_id,
      token_endpoint_auth_method: "none",
      application_type: "native",
      redirect_uris: [CALLBACK],
      grant_types: ["authorization_code", ...(client_id === "refreshing" ? ["refresh_token"] : [])],
    })),
    documents: { [DOCUMENT]: { client_id: DOCUMENT, ...new Memory().clientMetadata, application_type: "native" } },
  });
  t.teardown(() => login.close());
  const notes = await startNotes();
  t.teardown(() => notes.close());
  const policies = [...FRONTS.keys()].map((name) => policyOf(name, urlOf(name))).join("");
  const rest = (front: string, version: string) => `issuers:
  login: { type: oidc, issuer: "${login.issuer}", audiences: ${JSON.stringify([...urls, ELSE])}, proofs: [dpop] }
dpop: { ports: ${JSON.stringify([...ports.values()])} }
haproxy: { version: "${version}", bind: ["127.0.0.1:${ports.get(front)}"], scheme: http, backends: { notes: ["${new URL(notes.url).host}"] } }
`;
  const { text, ...agent } = await configuration("");
  const files: Record<string, string> = { "policies/p.yaml": `services:\n${policies}` };
  for (const [name, binary] of FRONTS) files[`${name}.yaml`] = text + rest(name, minorOf(binary));
  const folder = folderOf(t, { ...files, "countersign.yaml": Object.values(files)[1] ?? "" });
  const served = serve(t, folder, agent);
  for (const [name, binary] of FRONTS) {
    const { code, err } = await command(["generate", "haproxy", "--config", `${name}.yaml`, "--output", name], {
      cwd: folder,
    });
    if (code !== 0) throw new Error(err);
    const read = (file: string) => readFileSync(join(folder, name, file), "utf8");
    const whole = read("haproxy.cfg");
    const cfg = name === OLD_FILES ? whole.replace(/^ *http-request return .*\n/gm, "") : whole;
    const rendered = { "haproxy.cfg": cfg, "countersign.spoe.conf": read("countersign.spoe.conf") };
    await startHaproxy(t, binary, rendered, ports.get(name) ?? 0);
  }
  await served;
  for (const name of FRONTS.keys()) await untilJudged(urlOf(name));
  return { folder, login, notes, urlOf };
}

/** Where a client says who it is. */
const DOCUMENT = "https://walker.example/client.json";
/** What a policy wrongly says that tokens are for. */
const ELSE = "http://127.0.0.1/else";

function policyOf(name: string, url: string): string {
  return `  ${name}:
    hosts: [127.0.0.1]
    backend: notes
    allow: [authenticated]
    resource: { url: "${url}", scopes: [notes:read] }
    routes:
      - { name: notes, match: [GET|POST|DELETE /${name}], scopes: [notes:read] }
      - { name: write, match: [GET|POST|DELETE /${name}/write], scopes: [notes:write] }
      - name: tools
        match: [GET|POST|DELETE /${name}/tools]
        scopes: [notes:read]
        mcp: { tools: { read_notes: {}, delete_notes: { scopes: [notes:write] } } }
      - { name: other, match: [POST /${name}/other], scopes: [notes:read], resource: { url: "${url}/other", audience: "${ELSE}" } }
`;
}

/** HAProxy finds the agent by a check of its own. */
async function untilJudged(url: string): Promise<void> {
  while ((await fetch(url, { method: "POST" })).status === 503) await new Promise((done) => setTimeout(done, 50));
}

const STAGE = stage(tap);

/** From the first request to a token. */
const discovery = (name: string) => [
  `POST RS/${name} 401`,
  `GET RS${WELL_KNOWN}/${name} 200`,
  "GET AS/.well-known/oauth-authorization-server 200",
  "POST AS/reg 201",
  "POST AS/token 200",
];
/** To the tools, in either era. */
const older = (name: string) => [
  `POST RS/${name} 200`,
  `POST RS/${name} 202`,
  `POST RS/${name} 200`,
  `POST RS/${name} 200`,
  `GET RS/${name} 405`,
];
const newer = (name: string) => [`POST RS/${name} 200`, `POST RS/${name} 200`, `POST RS/${name} 200`];

/** What was asked, and behind it where somebody has listened, which an older client does beside the rest. */
const inOrder = (asked: readonly string[]) => {
  const [listened, others] = [true, false].map((is) => asked.filter((line) => line.endsWith(" 405") === is));
  return [...(others ?? []), ...(listened ?? [])];
};

for (const [name, binary] of NAMES) {
  for (const client of CLIENTS) {
    test(`HAProxy ${binary.version}: ${client} finds the way to a token, and uses a tool`, async (t) => {
      const { notes, urlOf } = await STAGE;
      const before = notes.received.length;
      const { asked, logins, outcome } = await walk(client, urlOf(name), new Memory(), "read_notes");
      t.equal(outcome, "read_notes delete_notes buy milk");
      t.strictSame(inOrder(asked), [...discovery(name), ...(client === "v2 auto" ? newer : older)(name)]);
      t.strictSame(logins, [client === "v1" ? "notes:read" : "notes:read offline_access"]);
      const received = notes.received.slice(before);
      t.equal(received.length, client === "v2 auto" ? 3 : 5);
      for (const { authorization } of received) t.equal(authorization, undefined, "the token does not travel on");
    });
  }
}

test("a client that has to ask for more scopes asks for all, where its SDK asks at all", async (t) => {
  const { login, urlOf } = await STAGE;
  const [name] = NEWEST;
  const more = async (client: ClientName, id: string) => {
    const memory = new Memory({ client_id: id, issuer: login.issuer });
    t.match(await walk(client, urlOf(name), memory), { outcome: "read_notes delete_notes" });
    return await walk(client, urlOf(name, "/write"), memory, "delete_notes");
  };
  const write = (status: number) => `POST RS/${name}/write ${status}`;
  for (const id of ["refreshing", "forgetting"]) {
    const { asked, logins, outcome } = await more("v2 auto", id);
    t.equal(outcome, "read_notes delete_notes deleted", id);
    t.strictSame(
      logins.map((scopes) => scopes.split(" ").sort().join(" ")),
      ["notes:read notes:write offline_access"],
    );
    t.strictSame(asked, [write(403), "POST AS/token 200", write(200), write(200), write(200)]);
  }
  const forgetting = await more("v1", "forgetting");
  t.equal(forgetting.outcome, "read_notes delete_notes deleted");
  t.strictSame(forgetting.logins, ["notes:write notes:read"], "what it had is not lost");
  // With a refresh token it never asks its user, whatever the challenge says.
  const refreshing = await more("v1", "refreshing");
  t.match(refreshing, { outcome: /403 after trying upscoping/, logins: [] });
  t.strictSame(refreshing.asked, [write(403), "POST AS/token 200", write(403)]);
});

test("a client that has a document of its own is known by it, and registers nowhere", async (t) => {
  const { urlOf } = await STAGE;
  for (const name of NAMES.keys()) {
    for (const client of CLIENTS) {
      const { asked, outcome } = await walk(client, urlOf(name), new Memory(undefined, DOCUMENT), "read_notes");
      t.equal(outcome, "read_notes delete_notes buy milk", `${name}: ${client}`);
      const known = discovery(name).filter((line) => line !== "POST AS/reg 201");
      t.strictSame(inOrder(asked), [...known, ...(client === "v2 auto" ? newer : older)(name)], `${name}: ${client}`);
    }
  }
});

test("a tool that asks for more scopes is used once its client has asked for them", async (t) => {
  const { login, urlOf } = await STAGE;
  const use = (client: ClientName, name: string, id: string) =>
    walk(
      client,
      urlOf(name, "/tools"),
      new Memory({ client_id: id, issuer: login.issuer }),
      "read_notes",
      "delete_notes",
    );
  const wider = "notes:read notes:write";
  for (const name of NAMES.keys()) {
    const { asked, logins, outcome } = await use("v2 auto", name, "refreshing");
    t.equal(outcome, "read_notes delete_notes buy milk deleted", name);
    t.strictSame(
      logins.map((scopes) => scopes.split(" ").sort().join(" ")),
      ["notes:read offline_access", `${wider} offline_access`],
      name,
    );
    t.strictSame(
      asked.slice(-3),
      [`POST RS/${name}/tools 403`, "POST AS/token 200", `POST RS/${name}/tools 200`],
      name,
    );
  }
  const [name] = NEWEST;
  const forgetting = await use("v1", name, "forgetting");
  t.equal(forgetting.outcome, "read_notes delete_notes buy milk deleted");
  t.strictSame(forgetting.logins, ["notes:read", wider]);
  // With a refresh token version 1 never asks its user.
  t.match(await use("v1", name, "refreshing"), { outcome: /403 after trying upscoping/ });
});

test("a client that binds its tokens to a key proves to have it with every request", async (t) => {
  const { notes, urlOf } = await STAGE;
  for (const name of NAMES.keys()) {
    for (const client of ["v2 legacy", "v2 auto"] as const) {
      const before = notes.received.length;
      const session = await DpopSession.create();
      const memory = Object.assign(new Memory(), { dpop: () => session });
      const { asked, outcome } = await walk(client, urlOf(name), memory, "read_notes");
      t.equal(outcome, "read_notes delete_notes buy milk", `${name}: ${client}`);
      t.strictSame(
        inOrder(asked),
        [...discovery(name), ...(client === "v2 auto" ? newer : older)(name)],
        `${name}: ${client}`,
      );
      t.equal(memory.tokens()?.token_type.toLowerCase(), "dpop");
      t.ok(notes.received.slice(before).every(({ authorization, dpop }) => (authorization ?? dpop) === undefined));
      const stolen = { authorization: `Bearer ${memory.tokens()?.access_token}` };
      const { status, headers } = await fetch(urlOf(name), { method: "POST", headers: stolen });
      t.equal(status, 401, "without the proof it is nobody's");
      t.match(headers.get("www-authenticate"), /DPoP /);
    }
  }
});

test("what does not fit ends, for every client, before anything reaches the server", async (t) => {
  const { urlOf, notes } = await STAGE;
  const [name] = NEWEST;
  for (const client of CLIENTS) {
    const before = notes.received.length;
    const wrong = await walk(client, urlOf(name, "/other"), new Memory(), "read_notes");
    t.match(wrong.outcome, /401 after/, `${client}: a token for an audience that is not taken`);
    t.strictSame(wrong.asked.slice(-3), [
      `POST RS/${name}/other 401`,
      "POST AS/token 200",
      `POST RS/${name}/other 401`,
    ]);
    const unknown = await walk(client, urlOf(OLD_FILES), new Memory(), "read_notes");
    t.match(unknown.outcome, /HTTP 403/, `${client}: metadata that HAProxy does not have`);
    t.strictSame(unknown.asked, [
      `POST RS/${OLD_FILES} 401`,
      `GET RS${WELL_KNOWN}/${OLD_FILES} 403`,
      "GET RS/.well-known/oauth-authorization-server 403",
      "GET RS/.well-known/openid-configuration 403",
      "POST RS/register 403",
    ]);
    t.equal(notes.received.length, before, client);
  }
});

test("check --resource finds nothing wrong with any of it, and what HAProxy was not rendered for", async (t) => {
  const { folder, urlOf } = await STAGE;
  for (const name of NAMES.keys()) {
    const { code, out, err } = await command(["check", "--resource", urlOf(name)], { cwd: folder });
    t.equal(code, 0, name);
    t.equal(err, "", name);
    t.match(out, /gets as far as the login\.\n$/, name);
  }
  const old = await command(["check", "--resource", urlOf(OLD_FILES)], { cwd: folder });
  t.equal(old.code, 1);
  t.match(old.err, /\/old: no metadata: .*\/oauth-protected-resource\/old: status 403 instead of 200; the metadata/);
  const [name] = NEWEST;
  const policies = readFileSync(join(folder, "policies/p.yaml"), "utf8").replaceAll(
    "scopes: [notes:read] }\n    routes",
    "name: x }\n    routes",
  );
  const changed = {
    "policies/p.yaml": policies,
    "countersign.yaml": readFileSync(join(folder, "countersign.yaml"), "utf8"),
  };
  const stale = await command(["check", "--resource", urlOf(name)], { cwd: folderOf(t, changed) });
  t.equal(stale.code, 1);
  t.match(
    stale.err,
    /metadata that is not what these policies say; `countersign generate haproxy`, and reload HAProxy/,
  );
});
