import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import tap, { type Test, test } from "tap";
import { CALLBACK, logIn, Memory } from "../../demo/mcp/client.ts";
import { type Login, startLogin } from "../../demo/mcp/login.ts";
import { type NotesServer, startNotes } from "../../demo/mcp/server.ts";
import { freePort, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { command, configuration, folderOf, serve } from "../support/serve.ts";

/** The clients that there are: of the older protocol, of the newer in both of its eras. */
const CLIENTS = ["v1", "v2 legacy", "v2 auto"] as const;
type ClientName = (typeof CLIENTS)[number];

const WELL_KNOWN = "/.well-known/oauth-protected-resource";

/** What a client is about to do at the server. */
interface Walk {
  /** Every request, `POST RS/notes 401`, where RS is HAProxy and AS the authorization server. */
  readonly asked: readonly string[];
  /** The scopes of each login. */
  readonly logins: readonly string[];
  /** Texts of what tools gave; of a failure the message. */
  readonly outcome: string;
}

/** An SDK's client of either version, as far as both are alike. */
interface Either {
  connect(): Promise<void>;
  finish(callback: URLSearchParams): Promise<void>;
  tools(): Promise<readonly string[]>;
  use(tool: string): Promise<string>;
  close(): Promise<void>;
}

type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

function newClient(name: ClientName, url: string, memory: Memory, fetch: Fetch): Either {
  const options = { authProvider: memory, fetch };
  if (name === "v1") {
    const client = new OldClient({ name: "walker", version: "1.0.0" });
    const transport = new OldTransport(new URL(url), options as ConstructorParameters<typeof OldTransport>[1]);
    return {
      ...shared(client),
      connect: () => client.connect(transport as Parameters<typeof client.connect>[0]),
      finish: (callback) => transport.finishAuth(callback.get("code") ?? ""),
    };
  }
  const modes = name === "v2 auto" ? { versionNegotiation: { mode: "auto" as const } } : {};
  const client = new Client({ name: "walker", version: "1.0.0" }, modes);
  const transport = new StreamableHTTPClientTransport(new URL(url), options);
  return {
    ...shared(client),
    connect: () => client.connect(transport),
    finish: (callback) => transport.finishAuth(callback),
  };
}

function shared(client: Client | OldClient) {
  return {
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    async use(tool: string) {
      const { content } = (await client.callTool({ name: tool, arguments: {} })) as { content: { text: string }[] };
      return content.map(({ text }) => text).join();
    },
    close: () => client.close(),
  };
}

/** A client that was given a URL and nothing else: it finds out where to get a token, its user logs in, it uses tools. */
async function walk(name: ClientName, url: string, memory: Memory, ...tools: readonly string[]): Promise<Walk> {
  const asked: string[] = [];
  const logins: string[] = [];
  const told: Fetch = async (input, init) => {
    const { origin, pathname } = new URL(input);
    const at = asked.push("") - 1;
    const response = await fetch(input, init);
    asked[at] = `${init?.method ?? "GET"} ${url.startsWith(origin) ? "RS" : "AS"}${pathname} ${response.status}`;
    return response;
  };
  let client = newClient(name, url, memory, told);
  const again = async <T>(attempt: () => Promise<T>, renew: boolean): Promise<T> => {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Error && error.constructor.name === "UnauthorizedError") || memory.login === undefined)
        throw error;
      logins.push(memory.login.searchParams.get("scope") ?? "");
      await client.finish(await logIn(memory.login));
      memory.login = undefined;
      if (renew) client = newClient(name, url, memory, told);
      return await attempt();
    }
  };
  try {
    await again(() => client.connect(), true);
    const listed = await client.tools();
    const given: string[] = [];
    for (const tool of tools) given.push(await again(() => client.use(tool), false));
    return { asked, logins, outcome: [...listed, ...given].join(" ") };
  } catch (error) {
    return { asked, logins, outcome: (error as Error).message };
  } finally {
    await client.close();
  }
}

/** By the path of the server behind each. */
const NAMES = new Map(haproxies().map((binary) => [`n${minorOf(binary).replace(".", "")}`, binary]));
const [NEWEST = ["", undefined] as const] = [...NAMES].reverse();
/** The newest HAProxy again, with the files of before the policies had a resource. */
const OLD_FILES = "old";
const FRONTS = new Map([...NAMES, ...[...NAMES].slice(-1).map(([, binary]) => [OLD_FILES, binary] as const)]);

interface Stage {
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
  });
  t.teardown(() => login.close());
  const notes = await startNotes();
  t.teardown(() => notes.close());
  const policies = [...FRONTS.keys()].map((name) => policyOf(name, urlOf(name))).join("");
  const rest = (front: string, version: string) => `issuers:
  login: { type: oidc, issuer: "${login.issuer}", audiences: ${JSON.stringify([...urls, ELSE])} }
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
  return { login, notes, urlOf };
}

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
  `GET RS/${name} 405`,
  `POST RS/${name} 200`,
  `POST RS/${name} 200`,
];
const newer = (name: string) => [`POST RS/${name} 200`, `POST RS/${name} 200`, `POST RS/${name} 200`];

for (const [name, binary] of NAMES) {
  for (const client of CLIENTS) {
    test(`HAProxy ${binary.version}: ${client} finds the way to a token, and uses a tool`, async (t) => {
      const { notes, urlOf } = await STAGE;
      const before = notes.received.length;
      const { asked, logins, outcome } = await walk(client, urlOf(name), new Memory(), "read_notes");
      t.equal(outcome, "read_notes delete_notes buy milk");
      t.strictSame(asked, [...discovery(name), ...(client === "v2 auto" ? newer : older)(name)]);
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
