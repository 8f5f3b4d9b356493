import { connect } from "node:http2";
import { type Test, test } from "tap";
import { ALICE, identityOf, policiesOf, snapshotOf, startServer } from "../support/agent.ts";
import { type Received, startBackend } from "../support/backend.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { filesFor } from "../support/rendered.ts";

const TRAILERS = [
  "x-auth-subject",
  "X-Auth-Subject",
  "X_AUTH_SUBJECT",
  "x-auth_subject",
  "l5d-client-id",
  "x-checksum",
] as const;
const HOST = "orders.example.com";
const IDENTITY = identityOf({ alice: () => ({ principal: ALICE }) });

/** From 3.2 on HAProxy can drop trailers; before, docs/haproxy.md says that they remain. */
function drops(binary: HaproxyBinary): boolean {
  const [major = 0, minor = 0] = minorOf(binary).split(".").map(Number);
  return major > 3 || (major === 3 && minor >= 2);
}

async function stage(t: Test, binary: HaproxyBinary, proto = "") {
  const { server, port } = await startServer(snapshotOf(policiesOf(), IDENTITY));
  t.teardown(() => server.close());
  const backend = await startBackend(t);
  const front = await freePort();
  await startHaproxy(t, binary, { ...filesFor(binary, `127.0.0.1:${front}${proto}`, port, backend.port) }, front);
  return { backend, front };
}

/** The identity is the header's in any case; a backend that folds trailers into headers finds what is left. */
function judged(t: Test, binary: HaproxyBinary, request: Received | undefined, sent: readonly string[]): void {
  const subjects = request?.headers.filter(([name]) => /^x[-_]auth[-_]subject$/i.test(name)) ?? [];
  t.strictSame(subjects, [["x-auth-subject", "alice"]]);
  const left = request?.trailers.map(([name]) => name.toLowerCase());
  t.strictSame(left, drops(binary) ? [] : sent.map((name) => name.toLowerCase()));
}

for (const binary of haproxies()) {
  const what = drops(binary) ? "no trailer reaches the backend" : "trailers reach the backend, beside the one header";
  test(`HAProxy ${binary.version}: ${what} over HTTP/1.1`, async (t) => {
    const { backend, front } = await stage(t, binary);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    const fields = [`host: ${HOST}`, "authorization: Bearer alice", "transfer-encoding: chunked"];
    const trailers = TRAILERS.map((name) => `${name}: mallory`);
    const body = ["5", "hello", "0", ...trailers].join("\r\n");
    const send = () => client.request("POST /v1/orders HTTP/1.1", [...fields, "", body]);
    while ((await send()).status !== 200) await new Promise((done) => setTimeout(done, 50));
    judged(t, binary, backend.received.at(-1), TRAILERS);
  });

  test(`HAProxy ${binary.version}: ${what} over HTTP/2`, async (t) => {
    const { backend, front } = await stage(t, binary, " proto h2");
    const session = connect(`http://127.0.0.1:${front}`);
    t.teardown(() => session.close());
    // HTTP/2 has no capitals in names (RFC 9113, section 8.2.1).
    const sent = TRAILERS.filter((name) => name === name.toLowerCase());
    const send = () =>
      new Promise<number>((done, fail) => {
        const stream = session.request(
          { ":method": "POST", ":path": "/v1/orders", ":authority": HOST, authorization: "Bearer alice" },
          { endStream: false, waitForTrailers: true },
        );
        stream.on("wantTrailers", () => stream.sendTrailers(Object.fromEntries(sent.map((name) => [name, "mallory"]))));
        stream.on("response", (headers) => done(Number(headers[":status"]))).on("error", fail);
        stream.resume().end("hello");
      });
    while ((await send()) !== 200) await new Promise((done) => setTimeout(done, 50));
    judged(t, binary, backend.received.at(-1), sent);
  });
}
