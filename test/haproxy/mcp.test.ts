import { createServer, type IncomingMessage, request, Agent as Sockets } from "node:http";
import { text } from "node:stream/consumers";
import { type Test, test } from "tap";
import type { Verification } from "../../agent/identity/identity.ts";
import { ALICE, clientOf, identityOf, messageOf, serverOf, valuesOf } from "../support/agent.ts";
import { freePort, type HaproxyBinary, haproxies, startHaproxy } from "../support/haproxy.ts";
import { requestRaw } from "../support/http2.ts";
import { call, LIST, rpc } from "../support/mcp.ts";
import { policiesFrom } from "../support/policies.ts";
import { filesFor } from "../support/rendered.ts";

const POLICY = (headers = "") => `
services:
  tools:
    hosts: [orders.example.com, "*.tools.example.com"]
    issuers: [okta]
    audiences: [api://orders]
    backend: orders
    allow: [authenticated]
    routes:
      - name: mcp
        match: [POST /mcp, GET|DELETE /mcp, "POST /t/{tenant}/mcp"]
        scopes: [mcp:read]
        mcp:
          methods: [initialize, notifications/*, tools/list, tools/call]
          tools: { echo: {}, admin: { scopes: [mcp:write] } }
          ${headers}
      - { name: other, match: ["POST /other/{path...}", "POST|PUT /t/{tenant}/files", PUT /t/a/mcp] }
`;

const READER = { ...ALICE, issuer: "okta", scopes: ["mcp:read"] };
const WRITER = { ...READER, subject: "wendy", scopes: ["mcp:read", "mcp:write"] };
const late = (verification: Verification) => () =>
  new Promise<Verification>((done) => setImmediate(done, verification));
const IDENTITY = identityOf({
  reader: () => ({ principal: READER }),
  writer: () => ({ principal: WRITER }),
  cold: late({ principal: READER }),
});

interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  readonly body?: string | Buffer | undefined;
  /** In chunks, without a Content-Length. */
  readonly chunked?: boolean;
}

async function stage(t: Test, binary: HaproxyBinary, headers?: string) {
  const policies = policiesFrom(POLICY(headers));
  const running = await serverOf(t, policies, IDENTITY);
  const bodies: string[] = [];
  const backend = createServer(async (message, response) => {
    // Of a request that was given up there is no body.
    const body = await text(message).catch(() => undefined);
    if (body !== undefined) bodies.push(body);
    response.end("ok");
  });
  backend.on("upgrade", (_message, socket) => {
    bodies.push("a tunnel");
    socket.end(SWITCHED);
  });
  await new Promise<void>((done) => backend.listen(0, "127.0.0.1", done));
  const { port: behind } = backend.address() as { port: number };
  const port = await freePort();
  const changes = { uses: policies.uses, largestBody: 16_384 };
  await startHaproxy(t, binary, { ...filesFor(binary, `127.0.0.1:${port}`, running.port, behind, changes) }, port);
  const sockets = new Sockets({ keepAlive: true, maxSockets: 8 });
  t.teardown(() => {
    sockets.destroy();
    backend.closeAllConnections();
    backend.close();
  });
  const send = async ({ method = "POST", path = "/mcp", token = "reader", headers = {}, body, chunked }: Sent) => {
    const own = {
      host: "orders.example.com",
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(body === undefined || chunked ? {} : { "content-length": String(Buffer.byteLength(body)) }),
      ...headers,
    };
    const wanted = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
    const answer = await new Promise<IncomingMessage>((done, fail) => {
      const asked = request({ port, host: "127.0.0.1", method, path, headers: wanted, agent: sockets }, done);
      asked.once("error", fail);
      asked.once("upgrade", (message, socket) => {
        socket.destroy();
        done(message);
      });
      // At once it would be sent with its length after all.
      if (chunked) asked.write(body ?? "");
      asked.end(chunked ? undefined : body);
    });
    const said = await text(answer);
    const reason = said.startsWith("{") ? (JSON.parse(said) as { reason: string }).reason : said;
    return { status: answer.statusCode, reason, challenge: answer.headers["www-authenticate"] ?? "" };
  };
  for (let i = 0; i < 200 && (await send({ body: LIST })).status !== 200; i++) {
    await new Promise((done) => setTimeout(done, 50));
  }
  bodies.length = 0;
  /** Which comes first of a request whose body does not: that the backend hears of it, or an answer. */
  const firstOf = (method: string, path: string) =>
    new Promise<string | undefined>((done, fail) => {
      const headers = { host: "orders.example.com", authorization: "Bearer reader", "content-length": "9" };
      const asked = request({ port, host: "127.0.0.1", method, path, headers }, ({ statusCode }) =>
        done(`${statusCode}`),
      );
      backend.once("request", (message) => {
        done(message.url);
        asked
          .off("error", fail)
          .on("error", () => {})
          .destroy();
      });
      asked.once("error", fail).flushHeaders();
    });
  return { send, bodies, running, port, firstOf };
}

/** Node does not chunk by itself where there is no body as a rule. */
const CHUNKS = { "transfer-encoding": "chunked" };
const WEBSOCKET = {
  connection: "upgrade",
  upgrade: "websocket",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  "sec-websocket-version": "13",
};
/** RFC 6455, section 1.3. */
const SWITCHED = [
  "HTTP/1.1 101 Switching Protocols",
  "connection: upgrade",
  "upgrade: websocket",
  "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
  "\r\n",
].join("\r\n");
const b64 = (name: string) => `=?base64?${Buffer.from(name).toString("base64")}?=`;
/** Of facts that were measured: what a client may say in headers, and what in its body. */
const VERSIONS = [undefined, "2025-03-26", "2025-11-25", "2026-07-28"];
const METHODS = [undefined, "tools/call", "tools/list"];
const NAMES = [undefined, "echo", "admin", b64("echo"), b64("admin"), ["echo", "admin"]];
const BODIES: readonly (readonly [name: string, body: string, runs: "echo" | "list" | undefined])[] = [
  ["echo", call("echo"), "echo"],
  ["list", LIST, "list"],
  ["admin", call("admin"), undefined],
  ["a batch", `[${call("echo")},${call("admin")}]`, undefined],
  ["the name twice", call("echo").replace('"name":"echo"', '"name":"echo","name":"admin"'), undefined],
  ["the name twice, the other way", call("echo").replace('"name":"echo"', '"name":"admin","name":"echo"'), undefined],
  [
    "the name twice, once in disguise",
    call("echo").replace("{", '{"p":1,').replace('"name"', '"n\\u0061me":"admin","name"'),
    undefined,
  ],
  ["a name in another case", call("echo").replace('"name":"echo"', '"name":"echo","Name":"admin"'), undefined],
  ["params with a long s", call("echo").replace('"params"', '"param\u017f":{"name":"admin"},"params"'), undefined],
  ["a method in another case", call("admin").replace("tools/call", "Tools/Call"), undefined],
];

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: whatever headers say, no body calls a tool that it may not`, async (t) => {
    const { send, bodies, running } = await stage(t, binary);
    const wrong: string[] = [];
    const all = VERSIONS.flatMap((version) =>
      METHODS.flatMap((method) => NAMES.flatMap((name) => BODIES.map((body) => ({ version, method, name, body })))),
    );
    await Promise.all(
      all.map(async ({ version, method, name, body: [about, body, runs] }) => {
        const headers = {
          "mcp-protocol-version": version,
          "mcp-method": method,
          "mcp-name": name as string | undefined,
        };
        const { status } = await send({ headers, body });
        const agrees = runs === "echo" ? method !== "tools/list" : method !== "tools/call";
        const named = Array.isArray(name) ? false : runs === "list" || [undefined, "echo", b64("echo")].includes(name);
        const passes = runs !== undefined && agrees && named;
        if ((status === 200) !== passes) wrong.push(`${version} ${method} ${name} ${about}: ${status}`);
      }),
    );
    t.strictSame(wrong, [], `of ${all.length} combinations`);
    t.ok(bodies.length > 0 && bodies.every((body) => [call("echo"), LIST].includes(body)), "and nothing else arrived");
    const told = running.events.observations
      .filter(({ decision }) => decision.verdict === "allow")
      .map(({ mcp }) => mcp);
    t.ok(
      told.every((mcp) => mcp?.method === "tools/list" || mcp?.tool === "echo"),
      "the log is told what it was",
    );
  });

  test(`HAProxy ${binary.version}: a tool asks for its scopes, and a body that cannot be judged is refused`, async (t) => {
    const { send, bodies, port, firstOf } = await stage(t, binary);
    const big = (size: number) => rpc("tools/call", { name: "echo", arguments: { x: "x".repeat(size) } });
    const old = binary.version.startsWith("2.");
    const admin = await send({ body: call("admin") });
    t.match(admin, { status: 403, reason: "scope-missing", challenge: 'scope="mcp:read mcp:write"' });
    t.match(admin.challenge, 'error="insufficient_scope"');
    const rows: readonly (readonly [name: string, sent: Sent, reason: string])[] = [
      ["a writer's admin", { token: "writer", body: call("admin") }, "ok"],
      ["of somebody who had to be found out", { token: "cold", body: call("echo") }, "ok"],
      ["and his admin", { token: "cold", body: call("admin") }, "scope-missing"],
      ["nobody", { token: "", body: call("admin") }, "credential-malformed"],
      ["a tool that is not listed", { token: "writer", body: call("root") }, "mcp-tool-not-allowed"],
      ["a method that is not listed", { body: rpc("resources/read", { uri: "x" }) }, "mcp-method-not-allowed"],
      ["a notification", { body: JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" }) }, "ok"],
      ["a response", { body: JSON.stringify({ jsonrpc: "2.0", id: 1, result: {} }) }, "ok"],
      ["the stream", { method: "GET", headers: { accept: "text/event-stream" } }, "ok"],
      ["the end of a session", { method: "DELETE", headers: { "mcp-session-id": "s" } }, "ok"],
      ["a body where there is none", { method: "DELETE", body: call("admin") }, "mcp-body-malformed"],
      [
        "the same in chunks",
        { method: "DELETE", headers: CHUNKS, body: call("admin"), chunked: true },
        "mcp-body-malformed",
      ],
      ["by GET", { method: "GET", body: call("admin") }, "mcp-body-malformed"],
      [
        "by GET in chunks",
        { method: "GET", headers: CHUNKS, body: call("admin"), chunked: true },
        "mcp-body-malformed",
      ],
      ["a WebSocket", { method: "GET", headers: WEBSOCKET }, "mcp-body-unread"],
      // HAProxy 2.6 takes the Upgrade away from a request with a body.
      ["a WebSocket behind a body", { body: call("echo"), headers: WEBSOCKET }, old ? "ok" : "mcp-body-unread"],
      ["HTTP/2 in clear text", { body: call("echo"), headers: { ...WEBSOCKET, upgrade: "h2c" } }, "ok"],
      ["headers that call", { method: "GET", headers: { "mcp-method": "tools/call" } }, "mcp-header-mismatch"],
      ["as large as may be", { body: big(16_000) }, "ok"],
      ["larger than a buffer", { body: big(40_000) }, "mcp-body-unread"],
      ["chunks", { body: call("echo"), chunked: true }, "mcp-body-unread"],
      ["larger than a buffer, in chunks", { body: big(40_000), chunked: true }, "mcp-body-unread"],
      ["compressed", { body: call("echo"), headers: { "content-encoding": "gzip" } }, "mcp-body-unread"],
      ["another type", { body: call("echo"), headers: { "content-type": "text/plain" } }, "mcp-body-malformed"],
      [
        "two types",
        { body: call("echo"), headers: { "content-type": ["application/json", "text/plain"] } },
        "duplicate",
      ],
      ["UTF-16", { body: Buffer.from(call("echo"), "utf16le") }, "mcp-body-malformed"],
      [
        "another charset",
        { body: call("echo"), headers: { "content-type": "application/json; charset=utf-7" } },
        "mcp-body-malformed",
      ],
      ["no body", { body: "" }, "mcp-body-malformed"],
      [
        "in a wildcard's host",
        { body: call("root"), headers: { host: "a.tools.example.com:80" } },
        "mcp-tool-not-allowed",
      ],
      ["in capitals", { body: call("echo"), headers: { host: "ORDERS.example.com" } }, "ok"],
      ["with a capture", { path: "/t/acme/mcp", body: call("echo") }, "ok"],
      ["with a capture, admin", { path: "/t/acme/mcp", body: call("admin") }, "scope-missing"],
      ["another route, of any size", { path: "/other/mcp", body: big(100_000), chunked: true }, "ok"],
    ];
    for (const [name, sent, reason] of rows) t.equal((await send(sent)).reason, reason, name);
    for (const [method, path] of [
      ["POST", "/t/a/files"],
      ["PUT", "/t/a/mcp"],
    ] as const) {
      t.equal(await firstOf(method, path), path, `${method} ${path} waits for no body`);
    }
    const extended = [
      [":method", "CONNECT"],
      [":protocol", "websocket"],
      [":scheme", "http"],
      [":path", "/mcp"],
      [":authority", "orders.example.com"],
      ["authorization", "Bearer reader"],
    ] as const;
    t.equal(await requestRaw(port, extended), 400, "a WebSocket by HTTP/2 (RFC 8441)");
    t.notOk(
      bodies.some((body) => body.includes("root") || body === "a tunnel"),
      "nothing of what was refused arrived",
    );
  });

  test(`HAProxy ${binary.version}: headers count for a body that is not read, where the server is known to hold to them`, async (t) => {
    const { send } = await stage(t, binary, "headers: enforced");
    const large = (name: string) => rpc("tools/call", { name, arguments: { x: "x".repeat(40_000) } });
    const told = (name: string | undefined, version = "2026-07-28", method = "tools/call") => ({
      "mcp-protocol-version": version,
      "mcp-method": method,
      "mcp-name": name,
    });
    const rows: readonly (readonly [name: string, sent: Sent, reason: string])[] = [
      ["of this version", { body: large("echo"), headers: told("echo") }, "ok"],
      ["in chunks", { body: large("echo"), headers: told("echo"), chunked: true }, "ok"],
      ["in base64", { body: large("echo"), headers: told(b64("echo")) }, "ok"],
      ["in an odd base64", { body: large("echo"), headers: told("=?base64?ZWNobx==?=") }, "mcp-body-unread"],
      ["in another word for base64", { body: large("echo"), headers: told("=?Base64?YWRtaW4=?=") }, "mcp-body-unread"],
      ["admin", { body: large("admin"), headers: told("admin") }, "scope-missing"],
      ["another tool", { body: large("root"), headers: told("root") }, "mcp-tool-not-allowed"],
      ["no name", { body: large("echo"), headers: told(undefined) }, "mcp-body-unread"],
      ["no method", { body: large("echo"), headers: { ...told("echo"), "mcp-method": undefined } }, "mcp-body-unread"],
      [
        "another method",
        { body: large("echo"), headers: told("echo", "2026-07-28", "resources/read") },
        "mcp-method-not-allowed",
      ],
      ["of a version before", { body: large("echo"), headers: told("echo", "2025-11-25") }, "mcp-body-unread"],
      ["of a version that may be", { body: large("echo"), headers: told("echo", "2099-01-01") }, "mcp-body-unread"],
      [
        "of none",
        { body: large("echo"), headers: { ...told("echo"), "mcp-protocol-version": undefined } },
        "mcp-body-unread",
      ],
      ["where it is read, the body counts", { body: call("admin"), headers: told("echo") }, "mcp-header-mismatch"],
    ];
    for (const [name, sent, reason] of rows) t.equal((await send(sent)).reason, reason, name);
  });
}

test("a HAProxy that sends no bodies passes nothing on to a route that looks into them", async (t) => {
  const { port } = await serverOf(t, policiesFrom(POLICY()), IDENTITY);
  const spop = await clientOf(t, port);
  const headers = [
    "content-encoding",
    "content-length",
    "content-type",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "upgrade",
  ];
  const asked = {
    method: "POST",
    path: "/mcp",
    authorization: "Bearer writer",
    contract: "1:subject",
    ...Object.fromEntries(headers.map((name) => [`h_${name}`, null])),
    "h_content-type": "application/json",
    "h_content-length": String(call("echo").length),
  };
  const body = { type: "binary", value: Buffer.from(call("echo")) } as const;
  for (const [name, more, reason] of [
    ["an argument too few", {}, "haproxy-config-outdated"],
    ["a path that it did not know", { body: null }, "mcp-body-unread"],
    ["all", { body }, "allowed"],
    ["a header too few", { body, "h_mcp-name": undefined }, "haproxy-config-outdated"],
  ] as const) {
    t.match(valuesOf(await spop.notify(messageOf({ ...asked, ...more }))), { reason }, name);
  }
});
