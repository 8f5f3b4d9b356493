import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import {
  type ClientHttp2Session,
  connect,
  createSecureServer,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer as createHttps } from "node:https";
import net, { type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { type Test, test } from "tap";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { type HttpAnswer, RawClient } from "../support/http.ts";
import { configuration, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const HOST = "api.example.com";
const IDENTITY = { cert: SERVER_CERTIFICATE, key: SERVER_KEY };

/** What arrived where, as `server path`. */
type Arrived = string[];

/** Listens on 127.0.0.1 and ends with the test. */
async function port(t: Test, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** gRPC's way: a message comes back, and how it went in a trailer. */
function answerCall(arrived: Arrived, name: string) {
  return (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    arrived.push(`${name} ${headers[":path"]} te: ${headers.te}`);
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("error", () => {});
    stream.pipe(stream);
  };
}

async function startServers(t: Test, arrived: Arrived) {
  const answering =
    (name: string) => (request: { url?: string | undefined }, response: { end(body: string): void }) => {
      arrived.push(`${name} ${request.url}`);
      response.end(name);
    };
  const calls = createServer().on("stream", answerCall(arrived, "calls"));
  const secure = createSecureServer(IDENTITY).on("stream", answerCall(arrived, "secure calls"));
  return {
    plain: await port(t, createHttp(answering("plain"))),
    tls: await port(t, createHttps(IDENTITY, answering("tls"))),
    calls: await port(t, calls),
    secureCalls: await port(t, secure),
  };
}

/** One host, and a service for each backend that shares it. */
function policy(backends: readonly string[]): string {
  const services = backends.map(
    (name) => `  ${name}:
    hosts: [${HOST}]
    backend: ${name}
    allow: [anyone]
    routes: [{ name: all, match: ["* /${name}/{path...}"] }, { name: elsewhere, match: ["GET /${name}/moved"], backend: plain }]
`,
  );
  return `services:\n${services.join("")}`;
}

async function stage(t: Test, binary: HaproxyBinary) {
  const arrived: Arrived = [];
  const { plain, tls, calls, secureCalls } = await startServers(t, arrived);
  const [front, h2, dead] = [await freePort(), await freePort(), await freePort()];
  const folder = folderOf(t, { "ca.pem": AUTHORITY, "client.pem": SERVER_CERTIFICATE + SERVER_KEY });
  const ca = join(folder, "ca.pem");
  const soon = "check: { interval: 100ms, fall: 1, rise: 1 }";
  const backends: Readonly<Record<string, string>> = {
    plain: `["127.0.0.1:${plain}"]`,
    calls: `{ servers: ["127.0.0.1:${calls}"], proto: h2 }`,
    tls: `{ servers: ["127.0.0.1:${tls}"], tls: { ca: ${ca}, server_name: localhost, cert: ${join(folder, "client.pem")} } }`,
    named: `{ servers: ["localhost:${tls}"], tls: { ca: ${ca} } }`,
    "secure-calls": `{ servers: ["127.0.0.1:${secureCalls}"], proto: h2, tls: { ca: ${ca}, server_name: localhost } }`,
    unverified: `{ servers: ["127.0.0.1:${tls}"], tls: { verify: none } }`,
    standby: `{ servers: [{ address: "127.0.0.1:${dead}", weight: 200 }, { address: "127.0.0.1:${plain}", maxconn: 5, backup: true }], ${soon} }`,
    misnamed: `{ servers: ["127.0.0.1:${tls}"], tls: { ca: ${ca}, server_name: other.example }, ${soon} }`,
    foreign: `{ servers: ["127.0.0.1:${tls}"], tls: { server_name: localhost }, ${soon} }`,
  };
  const { text, ...ports } = await configuration(`issuers: {}
haproxy:
  version: "${minorOf(binary)}"
  bind: ["127.0.0.1:${front}", "127.0.0.1:${h2} proto h2"]
  scheme: http
  backends:
${Object.entries(backends)
  .map(([name, value]) => `    ${name}: ${value}\n`)
  .join("")}`);
  const all = folderOf(t, { "countersign.yaml": text, "policies/all.yaml": policy(Object.keys(backends)) });
  await serve(t, all, ports);
  const haproxy: { child?: ChildProcess } = {};
  const log = await startHaproxy(t, binary, await generated(all), front, (child) => {
    haproxy.child = child;
  });
  const client = await RawClient.open(front);
  t.teardown(() => client.close());
  const session = connect(`http://127.0.0.1:${h2}`);
  t.teardown(() => session.destroy());
  const get = (path: string) => client.request(`GET ${path} HTTP/1.1`, [`host: ${HOST}`]);
  const stop = async () => {
    haproxy.child?.kill("SIGUSR1");
    await until(async () => log.some((line) => line.includes("Proxy countersign stopped")), Boolean);
  };
  return { arrived, get, call: (path: string) => call(session, path), front, stop };
}

/** The message and the trailer that come back, or the status of a refusal. */
async function call(session: ClientHttp2Session, path: string): Promise<readonly unknown[]> {
  const stream = session.request({
    ...{ ":method": "POST", ":path": path, ":authority": HOST },
    ...{ "content-type": "application/grpc", te: "trailers" },
  });
  const outcome: { status?: unknown; trailer?: unknown } = {};
  stream.on("response", (headers) => {
    outcome.status = headers[":status"];
  });
  stream.on("trailers", (headers) => {
    outcome.trailer = headers["grpc-status"];
  });
  let body = "";
  stream.setEncoding("latin1").on("data", (text: string) => {
    body += text;
  });
  stream.end("\0\0\0\0\x02hi");
  await once(stream, "close");
  return outcome.status === 200 ? [body, outcome.trailer] : [outcome.status];
}

/** Asks until it is as said: HAProxy finds agent and servers, and what is wrong with them, by its own checks. */
async function until<T>(ask: () => Promise<T>, good: (answer: T) => boolean): Promise<T> {
  for (let i = 0; i < 400; i++) {
    const answer = await ask();
    if (good(answer)) return answer;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error("never");
}

const isReason = (reason: string) => (answer: HttpAnswer) =>
  answer.headers["content-type"] === "application/problem+json" && JSON.parse(answer.body).reason === reason;

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: one host leads to backends of every sort`, async (t) => {
    const { arrived, get, call, front, stop } = await stage(t, binary);
    const ok = ({ status }: HttpAnswer) => status === 200;
    await until(() => get("/plain/x"), ok);
    t.equal((await get("/plain/x")).body, "plain");
    for (const name of ["tls", "named", "unverified"]) {
      t.equal((await until(() => get(`/${name}/x`), ok)).body, "tls", name);
      t.equal((await get(`/${name}/moved`)).body, "plain", "a route's own backend");
    }
    t.equal((await until(() => get("/standby/x"), ok)).body, "plain", "the backup, since the other is down");

    const message = ["\0\0\0\0\x02hi", "0"];
    for (const name of ["calls", "secure-calls"]) {
      t.strictSame(
        await until(
          () => call(`/${name}/Get`),
          ([status]) => status !== 503,
        ),
        message,
        name,
      );
    }
    t.ok(arrived.includes("calls /calls/Get te: trailers"));
    t.ok(arrived.includes("secure calls /secure-calls/Get te: trailers"));

    for (const name of ["misnamed", "foreign"]) {
      await until(() => get(`/${name}/x`), isReason("backend-unavailable"));
      t.strictSame(
        arrived.filter((line) => line.includes(`/${name}/x`)),
        [],
        `${name}: nothing arrived`,
      );
    }
    t.ok(isReason("route-unknown")(await get("/nowhere")));

    // As in a reload: what has been begun when HAProxy is told to end is judged and forwarded as before.
    const begun = net.connect(front, "127.0.0.1").setEncoding("latin1");
    await once(begun, "connect");
    begun.write(`GET /plain/late HTTP/1.1\r\nhost: ${HOST}\r\n`);
    // Answered by the same HAProxy, and so after it has read that.
    await get("/plain/x");
    await stop();
    begun.write("\r\n");
    const [answer] = await once(begun, "data");
    t.match(answer, /^HTTP\/1.1 200 /, "a HAProxy that is stopping lets in whom the agent allows");
    begun.destroy();
  });
}
