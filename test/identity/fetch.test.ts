import { createServer, type Socket } from "node:net";
import { test } from "tap";
import { get, getJson, permitted } from "../../agent/identity/fetch.ts";
import { type Behaviour, type Front, reply, startFront } from "../../demo/front.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";

const TLS = { key: SERVER_KEY, cert: SERVER_CERTIFICATE };

function bounds(changes: { signal?: AbortSignal; ca?: string; maxSize?: number } = {}) {
  return { signal: new AbortController().signal, ca: undefined, maxSize: 1000, ...changes };
}

const fetched = (front: Front, path = "/", changes = {}) => getJson(get, new URL(path, front.url), bounds(changes));

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
    ["compressed", /compressed/, reply("x", 200, { "content-encoding": "gzip" })],
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
  front.behave(reply(JSON.stringify("x".repeat(998)), 200));
  t.equal(((await fetched(front)) as string).length, 998, "a body of exactly the size");
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
      const document = request.url === "/jwks" ? { keys: [] } : { issuer: front.url, jwks_uri: `${front.url}/jwks` };
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
  const reading = getJson(get, new URL(`http://127.0.0.1:${port}/x?secret=1`), bounds({ signal: abort.signal }));
  const closed = new Promise((resolve) => server.once("connection", (socket) => socket.once("close", resolve)));
  await new Promise<void>((resolve) =>
    server.once("connection", (socket) => socket.once("data", () => setImmediate(resolve))),
  );
  abort.abort();
  await t.rejects(reading, { message: `http://127.0.0.1:${port}/x: no answer in time` });
  await closed;
});

test("what is said about a failure is short, printable and without the query", async (t) => {
  const front = await startFront(reply({}, 500));
  t.teardown(() => front.close());
  const error = await fetched(front, `/${"é".repeat(400)}?token=secret`).catch((caught: Error) => caught);
  t.ok(error instanceof Error && error.message.length <= 300 && !error.message.includes("secret"));
  const hostile = await getJson(
    () => Promise.reject(new Error("\u001b[31m\r\ninjected")),
    new URL(front.url),
    bounds(),
  ).catch((caught: Error) => caught.message);
  t.equal(hostile, `${front.url}/: ?[31m??injected`);
});
