import type { RequestListener } from "node:http";
import { type Test, test } from "tap";
import { startFront } from "../../demo/front.ts";
import { Memory } from "../../demo/mcp/client.ts";
import { type Login, startLogin } from "../../demo/mcp/login.ts";
import { CLIENTS, walk } from "../support/mcp-clients.ts";
import { command } from "../support/serve.ts";

const WELL_KNOWN = "/.well-known/oauth-protected-resource";
const AT_SERVER = "/.well-known/oauth-authorization-server";

/** How a resource server, and the authorization server that it names, are not as they should be. */
interface Case {
  /** Status without a token. */
  readonly status?: number;
  /** The challenge, made of where the metadata is; `undefined` for none. */
  readonly challenge?: (metadata: string) => string | undefined;
  /** Status of the metadata, or what it says otherwise; `null` for a page. */
  readonly metadata?: number | null | ((origin: string) => Readonly<Record<string, unknown>>);
  /** Where it is; default: where it belongs. */
  readonly place?: string;
  /** What the authorization server says otherwise of itself; `null` for a page. */
  readonly server?: Readonly<Record<string, unknown>> | null;
  /** What is at `/.well-known/openid-configuration` of the resource server. Default: nothing */
  readonly elsewhere?: RequestListener;
  readonly headers?: Readonly<Record<string, string>>;
}

const CORS = { "access-control-allow-origin": "*" };
const scoped = (metadata: string) => `Bearer resource_metadata="${metadata}", scope="notes:read"`;
const page: RequestListener = (_request, response) =>
  void response.writeHead(200, { "content-type": "text/html" }).end("<p>");

/** Each with what is said of it. Where it is a fault, one of the SDKs at least gets no token; where it is not, both do. */
const CASES: Readonly<Record<string, readonly [Case, fault: boolean, ...said: RegExp[]]>> = {
  "nothing wrong": [{}, false],
  "a login page instead of 401": [{ status: 302 }, true, /status 302; 401: clients follow no redirect/],
  "a plain 403": [{ status: 403 }, true, /status 403; 401/],
  "guarded metadata": [{ metadata: 401 }, true, /no metadata: .*status 401/],
  "metadata that is elsewhere": [{ metadata: 302 }, true, /status 302, which clients do not follow/],
  "metadata that depends on who is alive": [{ metadata: 503 }, true, /status 503/],
  "a page for metadata": [{ metadata: null }, true, /no JSON object \(text\/html\)/],
  "metadata without a server": [
    { metadata: () => ({ authorization_servers: [] }) },
    true,
    /no `authorization_servers`/,
  ],
  "a resource of another path": [
    { metadata: (origin) => ({ resource: `${origin}/other` }) },
    true,
    /the `resource` ".*other"/,
  ],
  "a resource with a `/` at its end": [
    { metadata: (origin) => ({ resource: `${origin}/notes/` }) },
    true,
    /the `resource` ".*notes\/"; .*\/notes, letter by letter: clients use no token/,
  ],
  "a resource that is the whole host": [
    { metadata: (origin) => ({ resource: origin }) },
    false,
    /warning: .*letter by letter: some clients take it only for that/,
  ],
  "a description that holds a `=`": [
    { challenge: (metadata) => `Bearer error_description="use scope=x, please", ${scoped(metadata).slice(7)}` },
    true,
    /`scope=` within another parameter/,
  ],
  "no challenge": [{ challenge: () => undefined }, false, /warning: .*401 without `WWW-Authenticate`/],
  "another challenge first": [
    { challenge: (metadata) => `Basic realm="x", ${scoped(metadata)}` },
    false,
    /warning: .*a challenge that begins with "basic"/,
  ],
  "a challenge that does not say where": [
    { challenge: () => 'Bearer realm="x", scope="notes:read"' },
    false,
    /without `resource_metadata`/,
  ],
  "an error where there was no token": [
    { challenge: (metadata) => `${scoped(metadata)}, error="invalid_token"` },
    false,
    /`error="invalid_token"` although no token came/,
  ],
  "metadata of the whole host only": [
    { challenge: () => 'Bearer scope="notes:read"', place: WELL_KNOWN, metadata: (origin) => ({ resource: origin }) },
    false,
    /warning: .*: metadata at .*resource; .*resource\/notes/,
  ],
  "metadata that pages cannot read": [{ headers: {} }, false, /pages of other origins cannot read/],
  "another server's name": [{ server: { issuer: "http://127.0.0.1:9" } }, true, /the `issuer` "http:\/\/127.0.0.1:9"/],
  "a server without PKCE": [{ server: { code_challenge_methods_supported: ["plain"] } }, true, /no `S256`/],
  "a server without tokens": [{ server: { token_endpoint: undefined } }, true, /no `token_endpoint`/],
  "a page for a server": [{ server: null }, true, /no metadata of this authorization server/],
  "a page where clients look else": [{ elsewhere: page }, false, /warning: .*openid-configuration: a page; 404/],
};

test("what keeps the SDKs from a token is a fault of `check --resource`, and nothing else is", async (t) => {
  const front = await startFront((request, response) => answer(request, response), { port: 0 });
  t.teardown(() => front.close());
  const url = `${front.url}/notes`;
  const login = await startLogin({ resources: { [url]: ["notes:read"], [front.url]: ["notes:read"] } });
  t.teardown(() => login.close());
  let answer: RequestListener = () => {};
  for (const [name, [like, isFault, ...said]] of Object.entries(CASES)) {
    answer = resourceServer(front.url, login, like);
    await behave(login, like.server);
    const { code, out, err } = await command(["check", "--resource", url], { cwd: t.testdir({}) });
    t.equal(code, isFault ? 1 : 0, `${name}: ${err}`);
    for (const each of said) t.match(err, each, name);
    if (said.length === 0) t.equal(err, "", name);
    t.match(out, isFault ? /do not find out/ : /gets as far as the login/, name);
    const memories = CLIENTS.map(() => new Memory());
    for (const [at, client] of CLIENTS.entries()) await walk(client, url, memories[at] as Memory);
    const all = memories.every((memory) => memory.tokens() !== undefined);
    t.equal(all, !isFault, `${name}: ${isFault ? "not all" : "all"} clients get a token`);
  }
});

/** Behind its challenge there is nothing: a client that has a token has got what this is about. */
function resourceServer(origin: string, login: Login, like: Case): RequestListener {
  const {
    status = 401,
    challenge = scoped,
    metadata = () => ({}),
    place = `${WELL_KNOWN}/notes`,
    headers = CORS,
  } = like;
  return (request, response) => {
    const { url, method } = request;
    if (url === place && method === "OPTIONS") response.writeHead(200, headers).end();
    else if (url === place && typeof metadata === "number")
      response.writeHead(metadata, { location: `${login.issuer}/x` }).end();
    else if (url === place && metadata === null) page(request, response);
    else if (url === place && typeof metadata === "function") {
      const document = {
        resource: `${origin}/notes`,
        authorization_servers: [login.issuer],
        scopes_supported: ["notes:read"],
        ...metadata(origin),
      };
      response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(document));
    } else if (url === "/notes" && request.headers.authorization === undefined) {
      const told = challenge(origin + place);
      const fields = { location: `${login.issuer}/login`, ...(told !== undefined && { "www-authenticate": told }) };
      response.writeHead(status, fields).end();
    } else if (like.elsewhere !== undefined && url === "/.well-known/openid-configuration")
      like.elsewhere(request, response);
    else response.writeHead(404).end();
  };
}

/** Has the authorization server say something else of itself. */
async function behave(login: Login, changes: Case["server"]): Promise<void> {
  login.front.behave("up", AT_SERVER);
  if (changes === undefined) return login.front.behave("up", "/.well-known/openid-configuration");
  const whole = (await (await fetch(login.issuer + AT_SERVER)).json()) as object;
  const told: RequestListener =
    changes === null
      ? page
      : (_request, response) =>
          void response
            .writeHead(200, { "content-type": "application/json" })
            .end(JSON.stringify({ ...whole, ...changes }));
  login.front.behave(told, AT_SERVER);
  login.front.behave(told, "/.well-known/openid-configuration");
}

test("what is no URL is no resource, and one that nobody serves is told as such", async (t: Test) => {
  const wrong = await command(["check", "--resource", "mcp.example.com"], { cwd: t.testdir({}) });
  t.equal(wrong.code, 64);
  t.match(wrong.err, /--resource: "mcp.example.com" is no URL such as/);
  const gone = await command(["check", "--resource", "http://127.0.0.1:9/mcp", "--json"], { cwd: t.testdir({}) });
  t.equal(gone.code, 1);
  const { faults, resources } = JSON.parse(gone.out);
  t.strictSame(faults, []);
  t.match(resources[0], {
    url: "http://127.0.0.1:9/mcp",
    findings: [{ level: "fault", at: "http://127.0.0.1:9/mcp" }],
  });
});
