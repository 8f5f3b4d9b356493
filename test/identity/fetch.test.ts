import { generateKeyPairSync } from "node:crypto";
import dns from "node:dns";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { createServer as createTlsServer, TLSSocket } from "node:tls";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { type Test, test } from "tap";
import { Connections } from "../../agent/http/connections.ts";
import { getObject, permitted } from "../../agent/http/document.ts";
import { exchange } from "../../agent/http/exchange.ts";
import { send } from "../../agent/http/fetch.ts";
import { type ForwardProxy, proxyFor, proxyOfEnvironment } from "../../agent/http/proxy.ts";
import { type Behaviour, type Front, reply, startFront } from "../../demo/front.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { type ConnectProxy, startConnectProxy } from "../support/connect-proxy.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";
import { type RawProvider, startRawProvider } from "../support/raw-provider.ts";
import { ENDINGS } from "./endings.ts";

const KEY = { ...generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }), kid: "k" };
const TLS = { key: SERVER_KEY, cert: SERVER_CERTIFICATE };

function bounds(changes: { signal?: AbortSignal; ca?: string; maxSize?: number; proxy?: ForwardProxy } = {}) {
  return { signal: new AbortController().signal, ca: undefined, proxy: undefined, maxSize: 1000, ...changes };
}

const fetched = (front: Front, path = "/", changes = {}) => getObject(send, new URL(path, front.url), bounds(changes));

test("a document is read within its bounds", async (t) => {
  const front = await startFront(reply({ a: 1 }));
  t.teardown(() => front.close());
  t.same(await fetched(front), { a: 1 });

  const refused: readonly [name: string, error: RegExp, behaviour: Behaviour][] = [
    ["too large by its own word", /larger than 1000 bytes/, reply(" ".repeat(1001), 200, { "content-length": "1001" })],
    [
      "too large without a word",
      /larger than 1000 bytes/,
      (_request, response) => {
        response.writeHead(200);
        const flood = () => {
          while (!response.destroyed && response.write("x".repeat(500)));
        };
        response.on("drain", flood).on("error", () => {});
        flood();
      },
    ],
    ["not JSON", /not JSON/, reply("<html>")],
    ["not UTF-8", /not JSON/, (_request, response) => response.end(Buffer.from([0x22, 0xff, 0x22]))],
    ["nothing", /not JSON/, reply("")],
    ["status 500", /status 500 instead of 200/, reply({}, 500)],
    ["status 204", /status 204 instead of 200/, reply("", 204)],
    ["status 206", /status 206 instead of 200/, reply({}, 206)],
    ["a cut connection", /socket hang up/, "reset"],
    [
      "less than promised",
      /aborted/,
      (_request, response) => {
        response.writeHead(200, { "content-length": "100" }).write("{");
        setImmediate(() => response.destroy());
      },
    ],
    [
      "headers without end",
      /Header overflow|HPE/,
      (_request, response) => {
        response.writeHead(200, { "x-filler": "x".repeat(20_000) }).end("{}");
      },
    ],
  ];
  for (const [name, error, behaviour] of refused) {
    front.behave(behaviour);
    await t.rejects(fetched(front, `/doc?key=${"k".repeat(20)}`), { name: "FetchError", message: error }, name);
  }
  front.behave(reply(JSON.stringify({ a: "x".repeat(992) }), 200));
  t.equal(String((await fetched(front)).a).length, 992, "a body of exactly the size");
});

test("redirects are few and lead nowhere else", async (t) => {
  const front = await startFront(reply({ end: true }));
  const secure = await startFront(reply({ secure: true }), { tls: TLS });
  t.teardown(() => Promise.all([front.close(), secure.close()]));
  const hop = (to: string, status = 302) => reply("", status, { location: to });
  front.behave(hop("/2"), "/1");
  front.behave(hop("/3", 301), "/2");
  front.behave(hop("/4", 307), "/3");
  front.behave(hop("/5", 308), "/0");
  t.same(await fetched(front, "/1"), { end: true }, "three redirects");
  front.behave(hop("/1"), "/0");
  await t.rejects(fetched(front, "/0"), { message: /more than 3 redirects/ }, "four");
  front.behave(hop("/loop"), "/loop");
  await t.rejects(fetched(front, "/loop"), { message: /more than 3 redirects/ }, "a loop");

  for (const to of [
    "http://example.com/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "https://a:b@127.0.0.1/",
    "//",
    "http://0/",
  ]) {
    front.behave(hop(to), "/away");
    await t.rejects(fetched(front, "/away"), { message: /may not be asked/ }, to);
  }
  front.behave(reply("", 302), "/nowhere");
  await t.rejects(fetched(front, "/nowhere"), { message: /may not be asked/ }, "without a location");
  secure.behave(hop(`${front.url}/secret`), "/down");
  const asked = front.requests.length;
  await t.rejects(
    fetched(secure, "/down", { ca: AUTHORITY }),
    { message: /may not be asked/ },
    "https to loopback http",
  );
  t.equal(front.requests.length, asked);
  front.behave(hop(`${secure.url}/`), "/up");
  t.same(await fetched(front, "/up", { ca: AUTHORITY }), { secure: true }, "http to https");
});

test("which addresses a provider may lead to", (t) => {
  const judged: readonly [string, string, boolean][] = [
    ["https://keys.example/jwks", "https://issuer.example/", true],
    ["https://user@keys.example/jwks", "https://issuer.example/", false],
    ["http://issuer.example/jwks", "https://issuer.example/", false],
    ["http://localhost/jwks", "https://issuer.example/", false],
    ["http://localhost:8080/jwks", "http://127.0.0.1:3000/", true],
    ["http://[::1]/jwks", "http://localhost/", true],
    ["http://127.1/jwks", "http://localhost/", true],
    ["http://localhost.evil.example/jwks", "http://localhost/", false],
    ["http://10.0.0.1/jwks", "http://localhost/", false],
    ["data:application/json,{}", "https://issuer.example/", false],
  ];
  for (const [to, from, expected] of judged)
    t.equal(permitted(new URL(to), new URL(from)), expected, `${from} -> ${to}`);
  t.end();
});

test("a provider's certificate must be of the configured authority", async (t) => {
  const front = await startFront(reply({ secure: true }), { tls: TLS });
  t.teardown(() => front.close());
  t.same(await fetched(front, "/", { ca: AUTHORITY }), { secure: true });
  await t.rejects(fetched(front), { message: /certificate/ }, "the machine's own authorities do not know it");
  await t.rejects(fetched(front, "/", { ca: "no PEM" }), { name: "FetchError" }, "an authority that is none");
});

test("an issuer behind https with a private authority", async (t) => {
  const front = await startFront(
    (request, response) => {
      const document = request.url === "/jwks" ? { keys: [KEY] } : { issuer: front.url, jwks_uri: `${front.url}/jwks` };
      reply(document)(request, response);
    },
    { tls: TLS },
  );
  const trusting = startIdentity([oidcIssuer(front.url, { ca: AUTHORITY })]);
  const strict = startIdentity([oidcIssuer(front.url)]);
  t.teardown(async () => {
    trusting.identity.close();
    strict.identity.close();
    await front.close();
  });
  await Promise.all([trusting.identity.ready(), strict.identity.ready()]);
  t.match(trusting.identity.status(), [{ error: undefined }]);
  t.match(strict.identity.status(), [{ error: /certificate/ }]);
});

test("a slow provider is left when the time is up", async (t) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  const abort = new AbortController();
  const reading = getObject(send, new URL(`http://127.0.0.1:${port}/x?secret=1`), bounds({ signal: abort.signal }));
  const closed = new Promise((resolve) => server.once("connection", (socket) => socket.once("close", resolve)));
  await new Promise<void>((resolve) =>
    server.once("connection", (socket) => socket.once("data", () => setImmediate(resolve))),
  );
  abort.abort();
  await t.rejects(reading, { message: `http://127.0.0.1:${port}/x: no answer in time` });
  await closed;
});

/** A server of HTTP whose every answer is written by hand, with the connection and the number of the request on it. */
async function startScripted(t: Test, answer: (socket: Socket, request: number) => void, tls?: typeof TLS) {
  const sockets: Socket[] = [];
  const serve = (socket: Socket) => {
    let requests = 0;
    sockets.push(socket);
    socket.on("error", () => {}).on("data", () => answer(socket, ++requests));
  };
  const server = tls === undefined ? createServer(serve) : createTlsServer(tls, serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const connections = new Connections();
  t.teardown(async () => {
    connections.close();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const url = new URL(tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`);
  const ask = (ca?: string) => getObject(send, url, { ...bounds(), ca, connections });
  return { ask, sockets, connections };
}

function answerText(value: unknown, status = "200 OK"): string {
  const body = JSON.stringify(value);
  return `HTTP/1.1 ${status}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

test("a connection is kept for the next request, until its client ends", async (t) => {
  const { ask, sockets, connections } = await startScripted(
    t,
    (socket, request) => socket.write(answerText({ request })),
    TLS,
  );
  t.same(
    [await ask(AUTHORITY), await ask(AUTHORITY), await ask(AUTHORITY)],
    [{ request: 1 }, { request: 2 }, { request: 3 }],
  );
  t.equal(sockets.length, 1);
  const closed = sockets.map((socket) => once(socket, "close"));
  connections.close();
  await Promise.all(closed);
});

test("a kept connection that ends while the next request is on its way costs that request nothing", async (t) => {
  const { ask, sockets } = await startScripted(t, (socket, request) =>
    request === 1 ? socket.write(answerText({ connection: sockets.length })) : socket.destroy(),
  );
  t.same([await ask(), await ask()], [{ connection: 1 }, { connection: 2 }]);
  const refusing = await startScripted(t, (socket, request) =>
    refusing.sockets.length === 1 && request === 1 ? socket.write(answerText({})) : socket.destroy(),
  );
  await refusing.ask();
  await t.rejects(refusing.ask(), { message: /socket hang up/ }, "but it is asked only once more");
  t.equal(refusing.sockets.length, 2);
});

test("what a server says unasked is never heard as the answer to the next request", async (t) => {
  const { ask, sockets } = await startScripted(t, (socket, request) =>
    socket.write(answerText({ connection: sockets.length, request }) + answerText({ for: "nobody" })),
  );
  t.same(await ask(), { connection: 1, request: 1 });
  const late = await startScripted(t, (socket, request) =>
    socket.write(answerText({ connection: late.sockets.length, request })),
  );
  t.same(await late.ask(), { connection: 1, request: 1 });
  const [kept] = late.sockets;
  if (kept === undefined) throw new Error("no connection");
  const ended = once(kept, "close");
  kept.write(answerText({ for: "nobody" }));
  await ended;
  t.same(await late.ask(), { connection: 2, request: 1 }, "it ends the connection");
  t.not((await ask()).for, "nobody");
});

test("a connection whose answer was not read to its end is not kept", async (t) => {
  const { ask, sockets } = await startScripted(t, (socket) =>
    socket.write(answerText({ a: "x".repeat(sockets.length === 1 ? 2000 : 1) })),
  );
  await t.rejects(ask(), { message: /larger than 1000 bytes/ });
  t.same(await ask(), { a: "x" });
  t.equal(sockets.length, 2);
});

test("what is said about a failure is short, printable and without the query", async (t) => {
  const front = await startFront(reply({}, 500));
  t.teardown(() => front.close());
  const error = await fetched(front, `/${"é".repeat(400)}?token=secret`).catch((caught: Error) => caught);
  t.ok(error instanceof Error && error.message.length <= 500 && !error.message.includes("secret"));
  const hostile = await getObject(
    () => Promise.reject(new Error("\u001b[31m\r\ninjected")),
    new URL(front.url),
    bounds(),
  ).catch((caught: Error) => caught.message);
  t.equal(hostile, `${front.url}/: ?[31m??injected`);
});

for (const path of ["/openid-configuration", "/jwks"]) {
  test(`whatever becomes of the connection that asks for ${path}, it ends in time, and the next one works`, async (t) => {
    const provider = await startRawProvider([KEY]);
    t.teardown(() => provider.close());
    for (const [name, error, ending] of ENDINGS) {
      provider.end(path, ending);
      const { identity, time, told } = startIdentity([oidcIssuer(provider.url)], { fetches: 1 });
      const failed = told.next("error");
      for (let arrivals = path === "/jwks" ? 2 : 1; arrivals > 0; arrivals--) await provider.arrival();
      // Only what nobody ends is ended by the limit.
      if (error.test("no answer in time")) time.advance(5_000);
      await failed;
      t.match(identity.status(), [{ details: { keys: 0 }, error }], name);
      await provider.quiet();
      provider.end(path, undefined);
      const mended = told.next("jwks ok");
      time.advance(1_000);
      await mended;
      t.match(identity.status(), [{ details: { keys: 1 }, error: undefined }], `after ${name}`);
      identity.close();
    }
  });
}

test("what comes before the answer is no answer", async (t) => {
  const provider = await startRawProvider([]);
  t.teardown(() => provider.close());
  provider.end("/", (socket) => {
    socket.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{"a":1}');
  });
  t.same(await getObject(send, new URL(provider.url), bounds()), { a: 1 });
});

/** Asks a provider on TLS that does not answer, with one slot, and then again when it does. */
async function recovers(t: Test, provider: RawProvider, fail: () => () => void) {
  const mend = fail();
  const { identity, time, told } = startIdentity([oidcIssuer(provider.url, { ca: AUTHORITY })], { fetches: 1 });
  t.teardown(() => identity.close());
  if (provider.mute) await provider.arrival();
  const failed = told.next("error");
  time.advance(5_000);
  await failed;
  t.match(identity.status(), [{ details: { keys: 0 }, error: /no answer in time/ }]);
  await provider.quiet();
  mend();
  const mended = told.next("jwks ok");
  time.advance(1_000);
  await mended;
  t.match(identity.status(), [{ details: { keys: 1 }, error: undefined }]);
}

test("a TLS handshake that never ends, and a name that is never resolved, end in time", async (t) => {
  const provider = await startRawProvider([KEY], TLS);
  t.teardown(() => provider.close());
  await recovers(t, provider, () => {
    provider.mute = true;
    return () => {
      provider.mute = false;
    };
  });
  const { lookup } = dns;
  await recovers(t, provider, () => {
    // The resolver of this process: what asks for an address finds it here.
    Object.assign(dns, { lookup: () => {} });
    return () => Object.assign(dns, { lookup });
  });
});

test("a GET that never settles is left when the time is up, and its slot is free", async (t) => {
  let lost = true;
  const answers = async (url: URL) => {
    const issuer = url.origin;
    const body = JSON.stringify(url.pathname === "/jwks" ? { keys: [KEY] } : { issuer, jwks_uri: `${issuer}/jwks` });
    return { status: 200, headers: {}, body: Buffer.from(body) };
  };
  const issuer = oidcIssuer("https://issuer.example", { keys: { timeout: 2_000 } });
  const { identity, time, told } = startIdentity([issuer], {
    fetches: 1,
    send: (url) => (lost ? new Promise(() => {}) : answers(url)),
  });
  t.teardown(() => identity.close());
  const failed = told.next("error");
  time.advance(1_999);
  t.match(identity.status(), [{ error: undefined }]);
  time.advance(1);
  await failed;
  t.match(identity.status(), [{ details: { keys: 0 }, error: /no answer in time/ }], "after `keys.timeout`");
  lost = false;
  const mended = told.next("jwks ok");
  time.advance(1_000);
  await mended;
  t.match(identity.status(), [{ details: { keys: 1 }, error: undefined }]);
});

test("a compressed document is read, and bounded by what comes out", async (t) => {
  const front = await startFront(reply({}));
  t.teardown(() => front.close());
  const document = Buffer.from(JSON.stringify({ a: "x".repeat(900) }));
  const compressed =
    (encoding: string, body: Buffer): Behaviour =>
    (request, response) => {
      t.equal(request.headers.accept, "application/json, application/jwk-set+json");
      response.writeHead(200, { "content-encoding": encoding }).end(body);
    };
  const ways = [
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["GZIP", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
  ] as const;
  for (const [encoding, compress] of ways) {
    front.behave(compressed(encoding, compress(document)));
    t.same(await fetched(front), { a: "x".repeat(900) }, encoding);
    front.behave(compressed(encoding, compress(Buffer.alloc(10_000_000, " "))));
    await t.rejects(
      fetched(front, "/", { maxSize: 100_000 }),
      { message: /larger than 100000 bytes/ },
      `a bomb of ${encoding}`,
    );
  }
  front.behave(compressed("gzip, gzip", gzipSync(gzipSync(document))));
  await t.rejects(fetched(front), { message: /compressed in a way/ });
  front.behave(compressed("identity", document));
  t.same(await fetched(front), { a: "x".repeat(900) });
});

test("a document that can be read in two ways is refused", async (t) => {
  const front = await startFront(reply({}));
  t.teardown(() => front.close());
  const deep = `${'{"a":'.repeat(20)}1${"}".repeat(20)}`;
  for (const text of ['{"keys":[],"keys":[]}', '{"a":{"b":1,"\\u0062":2}}', "[]", "null", '{"__proto__":{}}', deep]) {
    front.behave(reply(text));
    await t.rejects(fetched(front), { message: /can be read in two ways|not JSON/ }, text);
  }
});

test("what the environment says of proxies", (t) => {
  const judged: readonly (readonly [Record<string, string>, unknown])[] = [
    [{}, undefined],
    [{ HTTPS_PROXY: "" }, undefined],
    [{ HTTP_PROXY: "http://p:1" }, undefined],
    [{ HTTPS_PROXY: "http://p:3128" }, { url: "http://p:3128/", except: [] }],
    [
      { HTTPS_PROXY: "http://a", https_proxy: "https://b" },
      { url: "https://b/", except: [] },
    ],
    [
      { HTTPS_PROXY: "p:3128", NO_PROXY: "a, .b,,10.0.0.0/8 c" },
      { url: "http://p:3128/", except: ["a", ".b", "10.0.0.0/8", "c"] },
    ],
    [
      { HTTPS_PROXY: "http://p", NO_PROXY: "a", no_proxy: "b" },
      { url: "http://p/", except: ["b"] },
    ],
  ];
  for (const [environment, proxy] of judged)
    t.strictSame(proxyOfEnvironment(environment), proxy, JSON.stringify(environment));
  for (const HTTPS_PROXY of [
    "socks5://secret@p",
    "http://secret@",
    "http://p/secret",
    "http://%ff:secret@p",
    "http://p?secret",
  ]) {
    const faulty = proxyOfEnvironment({ HTTPS_PROXY });
    t.match(faulty, { fault: /HTTPS_PROXY/ }, HTTPS_PROXY);
    t.notMatch(JSON.stringify(faulty), /secret/);
  }
  t.end();
});

test("which addresses are asked through a proxy", (t) => {
  const except = [
    "example.com",
    ".svc",
    "*.internal",
    "10.0.0.0/8",
    "192.0.2.7",
    "fd00::/8",
    "::1",
    "[2001:db8::1]",
    "host:8443",
    "UPPER.example",
    "",
  ];
  const judged: readonly (readonly [string, boolean])[] = [
    ["https://example.org/", true],
    ["https://example.com/", false],
    ["https://example.com./", false],
    ["https://a.example.com:8443/", false],
    ["https://badexample.com/", true],
    ["https://keycloak.auth.svc/", false],
    ["https://svc.example/", true],
    ["https://a.internal/", false],
    ["https://10.1.2.3/", false],
    ["https://11.1.2.3/", true],
    ["https://192.0.2.7:9443/", false],
    ["https://192.0.2.70/", true],
    ["https://[fd00::7]/", false],
    ["https://[::1]/", false],
    ["https://[2001:db8::1]/", false],
    ["https://[2001:db8::2]/", true],
    ["https://host:8443/", false],
    ["https://host/", true],
    ["https://upper.example/", false],
    ["http://127.0.0.1:8080/", false],
  ];
  for (const [url, through] of judged)
    t.equal(
      proxyFor(new URL(url), { url: "http://proxy:3128/", except })?.host,
      through ? "proxy:3128" : undefined,
      url,
    );
  t.equal(proxyFor(new URL("https://example.org"), { url: "http://proxy:3128/", except: ["*"] }), undefined);
  t.equal(proxyFor(new URL("https://example.org"), undefined), undefined);
  t.end();
});

test("an issuer is asked through its proxy, with TLS of its own to the end", async (t) => {
  const provider = await startRawProvider([KEY], TLS);
  const plain = await startConnectProxy(undefined, Number(new URL(provider.url).port));
  t.teardown(() => Promise.all([provider.close(), plain.close()]));
  const asked = async (url: string, issuer = provider.url) => {
    const changes = { ca: AUTHORITY, proxy: { url, except: [] } };
    const { identity } = startIdentity([oidcIssuer(issuer, changes)]);
    await identity.ready();
    identity.close();
    return identity.status()[0];
  };
  t.match(await asked(`http://us%40er:pass@127.0.0.1:${plain.port}`), { error: undefined });
  const target = new URL(provider.url).host;
  const authorization = `Basic ${Buffer.from("us@er:pass").toString("base64")}`;
  t.same(
    plain.tunnels,
    [
      { target, authorization },
      { target, authorization },
    ],
    "discovery and keys",
  );
  await plain.quiet();

  const other = await asked(`http://127.0.0.1:${plain.port}`, "https://issuer.example");
  t.match(other, { error: /altnames|certificate/ }, "the certificate is of another name, whatever the proxy says");
  t.match(plain.tunnels.at(-1), { target: "issuer.example:443", authorization: undefined });
  await plain.quiet();

  // What a proxy itself is asked by is trusted as Node trusts: the tests' authority is none of these.
  const secure = await startConnectProxy(TLS);
  t.teardown(() => secure.close());
  t.match(await asked(`https://a:secret@localhost:${secure.port}`), {
    error: /the proxy localhost:\d+: .*certificate/,
  });
});

test("a proxy that does not do its part is named, without its password, and ends in time", async (t) => {
  const provider = await startRawProvider([KEY], TLS);
  const proxy = await startConnectProxy();
  t.teardown(() => Promise.all([provider.close(), proxy.close()]));
  const ways: readonly (readonly [name: string, error: RegExp, ConnectProxy["instead"]])[] = [
    [
      "a password is wanted",
      /status 407/,
      (socket) => socket.write("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
    ],
    [
      "an upgrade",
      /status 101/,
      (socket) => socket.write("HTTP/1.1 101 Up\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
    ],
    ["an end", /socket hang up/, (socket) => socket.end()],
    ["a reset", /ECONNRESET/, (socket) => socket.resetAndDestroy()],
    [
      "headers without end",
      /Header overflow/,
      (socket) => socket.write(`HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(10_000)}`),
    ],
    ["no HTTP", /Parse Error/, (socket) => socket.write("\u0005\u0000")],
    [
      "no TLS behind",
      /SSL|wrong version|EPROTO/,
      (socket) => socket.write("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
    ["an end behind", /before secure TLS|ECONNRESET|hang up/, (socket) => socket.end("HTTP/1.1 200 OK\r\n\r\n")],
    [
      "a reset behind",
      /before secure TLS|ECONNRESET|hang up/,
      (socket) => socket.write("HTTP/1.1 200 OK\r\n\r\n", () => socket.resetAndDestroy()),
    ],
    ["silence", /no answer in time/, () => {}],
    ["silence behind", /no answer in time/, (socket) => socket.write("HTTP/1.1 200 OK\r\n\r\n")],
  ];
  for (const [name, error, instead] of ways) {
    const changes = { ca: AUTHORITY, proxy: { url: `http://agent:secret@127.0.0.1:${proxy.port}`, except: [] } };
    const asked = new Promise<void>((resolve) => {
      proxy.instead = (socket) => {
        instead?.(socket);
        socket.resume();
        resolve();
      };
    });
    const { identity, time, told } = startIdentity([oidcIssuer(provider.url, changes)], { fetches: 1 });
    const failed = told.next("error");
    await asked;
    if (error.test("no answer in time")) time.advance(5_000);
    await failed;
    const [status] = identity.status();
    t.match(status, { error }, name);
    t.notMatch(status?.error ?? "secret", /secret/);
    await proxy.quiet();
    proxy.instead = undefined;
    const mended = told.next("jwks ok");
    time.advance(1_000);
    await mended;
    t.match(identity.status(), [{ details: { keys: 1 }, error: undefined }], `after ${name}`);
    identity.close();
  }
});

/** Tells what it was asked, as JSON. */
async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url, headers, socket } = request;
  const shown = socket instanceof TLSSocket ? socket.getPeerCertificate().subject?.CN : undefined;
  reply({ method, url, headers, body: await text(request), shown })(request, response);
}

test("a form is posted, with its client's credentials and nothing else of ours", async (t) => {
  const front = await startFront(echo);
  t.teardown(() => front.close());
  const body = String(new URLSearchParams({ token: "a b&c=\u00e9" }));
  const headers = { "content-type": "application/x-www-form-urlencoded", authorization: "Basic eA==", accept: "a/b" };
  const answer = await exchange(send, new URL("/introspect?x=1", front.url), bounds(), {
    method: "POST",
    headers,
    body,
  });
  t.equal(answer.status, 200);
  const { host } = new URL(front.url);
  t.strictSame(JSON.parse(String(answer.body)), {
    method: "POST",
    url: "/introspect?x=1",
    headers: {
      accept: "a/b",
      "accept-encoding": "identity",
      "user-agent": "countersign",
      "content-type": "application/x-www-form-urlencoded",
      authorization: "Basic eA==",
      "content-length": String(body.length),
      host,
      connection: "close",
    },
    body,
  });
  await t.rejects(
    exchange(send, new URL(front.url), bounds(), { headers: { authorization: "secret\r\nx: y" } }),
    { name: "FetchError", message: /^(?!.*secret).*Invalid character/s },
    "a header that would be two",
  );
});

test("status and headers are passed through, and the body of the statuses that are asked for, within its bounds", async (t) => {
  const front = await startFront(reply({}));
  t.teardown(() => front.close());
  const link = '<https://a.example/1>; rel="self", <https://a.example/2>; rel="next"';
  front.behave((_request, response) => {
    response.setHeader("link", link.split(", "));
    response.writeHead(403, { "retry-after": "7", location: "/elsewhere" }).end("because");
  });
  const asked = (reads?: readonly number[], maxSize = 1000) =>
    exchange(send, new URL(front.url), bounds({ maxSize }), reads === undefined ? {} : { reads });
  t.match(await asked(), { status: 403, body: Buffer.alloc(0), headers: { link, "retry-after": "7" } });
  t.same((await asked([200, 403])).body, Buffer.from("because"));
  await t.rejects(asked([403], 6), { message: /larger than 6 bytes/ });
  t.equal((await asked(undefined, 6)).status, 403, "what is not read has no size");
  const hop = reply("", 302, { location: `${front.url}/2` });
  front.behave(hop);
  t.match(await asked(), { status: 302, headers: { location: `${front.url}/2` } }, "a redirect is an answer");
  t.same(front.requests.slice(-1), ["/"]);
});

test("whoever shows who it is, is not sent elsewhere", async (t) => {
  const other = await startFront(reply({ stolen: true }));
  const front = await startFront(reply("", 302, { location: `${other.url}/` }));
  t.teardown(() => Promise.all([front.close(), other.close()]));
  const url = new URL(front.url);
  t.same(await getObject(send, url, bounds()), { stolen: true });
  const asked = other.requests.length;
  const status = { message: /status 302 instead of 200/ };
  await t.rejects(getObject(send, url, bounds(), { authorization: "Bearer x" }), status);
  const client = { cert: SERVER_CERTIFICATE, key: SERVER_KEY };
  await t.rejects(getObject(send, url, { ...bounds(), client }), status);
  t.equal(other.requests.length, asked);
});

test("a certificate is shown to the server that asks for one, through a proxy too, and to no proxy", async (t) => {
  const tls = { ...TLS, requestCert: true, rejectUnauthorized: false };
  const front = await startFront(echo, { tls });
  const port = Number(new URL(front.url).port);
  const proxy = await startConnectProxy(undefined, port);
  t.teardown(() => Promise.all([front.close(), proxy.close()]));
  const client = { cert: SERVER_CERTIFICATE, key: SERVER_KEY };
  const shown = async (changes: object) => {
    const answer = await exchange(send, new URL(`https://localhost:${port}`), {
      ...bounds({ ca: AUTHORITY }),
      ...changes,
    });
    return JSON.parse(String(answer.body)).shown;
  };
  t.equal(await shown({}), undefined);
  t.equal(await shown({ client }), "localhost");
  t.equal(await shown({}), undefined, "not without being told to, whatever was shown before");
  t.equal(await shown({ client, proxy: { url: `http://127.0.0.1:${proxy.port}`, except: [] } }), "localhost");
  t.equal(proxy.tunnels.length, 1);
  await t.rejects(shown({ client: { ...client, key: "no key" } }), { name: "FetchError" });
});

test("an exchange ends with its signal, and tells nothing of what was sent", async (t) => {
  const front = await startFront(reply({}));
  t.teardown(() => front.close());
  front.behave("silent");
  for (const sent of [send, () => new Promise<never>(() => {})]) {
    const abort = new AbortController();
    const request = { method: "POST", body: "token=secret", headers: { authorization: "secret" } } as const;
    const asked = exchange(sent, new URL("/x?token=secret", front.url), bounds({ signal: abort.signal }), request);
    if (sent === send) await front.arrival("/x?token=secret");
    abort.abort();
    await t.rejects(asked, { name: "FetchError", message: `${front.url}/x: no answer in time` });
  }
});
