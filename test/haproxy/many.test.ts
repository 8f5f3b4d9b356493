import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { type Test, test } from "tap";
import type { Verification } from "../../agent/identity/identity.ts";
import { ALICE, identityOf, policiesOf, snapshotOf, startServer } from "../support/agent.ts";
import { type Backend, startBackend } from "../support/backend.ts";
import { freePort, type HaproxyBinary, haproxies, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { filesFor } from "../support/rendered.ts";

const REQUESTS = 2000;
const PRINCIPALS = 50;
const CONNECTIONS = 32;
const HOST = "orders.example.com";

/** Half of the principals are known at once; the others take their time, so that answers overtake each other. */
const IDENTITY = identityOf(
  Object.fromEntries(
    Array.from({ length: PRINCIPALS }, (_, i) => {
      const verification: Verification = { principal: { ...ALICE, subject: `p${i}` } };
      const later = () => new Promise<Verification>((done) => setTimeout(() => done(verification), i % 7));
      return [`t${i}`, i % 2 === 0 ? () => verification : later];
    }),
  ),
);

async function stage(t: Test, binary: HaproxyBinary, protocol: "h1" | "h2") {
  const { server, port } = await startServer(snapshotOf(policiesOf(), IDENTITY));
  t.teardown(() => server.close());
  const backend = await startBackend(t);
  const front = await freePort();
  const bind = `127.0.0.1:${front}${protocol === "h2" ? " proto h2" : ""}`;
  await startHaproxy(t, binary, { ...filesFor(binary, bind, port, backend.port) }, front);
  return { backend, front };
}

/** The subject of request n, told in the path as well, so that the backend's record can be held against it. */
const principalOf = (n: number) => (n * 31) % PRINCIPALS;

function judged(t: Test, backend: Backend, allowed: number): void {
  const wrong = backend.received.filter(({ line, headers }) => {
    const subjects = headers.filter(([name]) => name.toLowerCase() === "x-auth-subject").map(([, value]) => value);
    return subjects.length !== 1 || !line.includes(`/as/${subjects[0]}/`);
  });
  t.strictSame(wrong, [], "every request carries its own identity, once");
  t.ok(allowed > REQUESTS * 0.9, `${allowed} of ${REQUESTS} were allowed`);
  t.equal(backend.received.length, allowed, "and none that was refused arrived");
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: identities do not mix over kept HTTP/1.1 connections`, async (t) => {
    const { backend, front } = await stage(t, binary, "h1");
    let next = 0;
    let allowed = 0;
    const worker = async () => {
      const client = await RawClient.open(front);
      for (let n = next++; n < REQUESTS; n = next++) {
        const path = `/as/p${principalOf(n)}/${n}`;
        const fields = [`host: ${HOST}`, `authorization: Bearer t${principalOf(n)}`];
        if ((await client.request(`GET ${path} HTTP/1.1`, fields)).status === 200) allowed++;
      }
      client.close();
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, worker));
    judged(t, backend, allowed);
  });

  test(`HAProxy ${binary.version}: identities do not mix over HTTP/2 streams`, async (t) => {
    const { backend, front } = await stage(t, binary, "h2");
    let next = 0;
    let allowed = 0;
    const worker = async (session: ClientHttp2Session) => {
      for (let n = next++; n < REQUESTS; n = next++) {
        const stream = session.request({
          ":path": `/as/p${principalOf(n)}/${n}`,
          ":authority": HOST,
          authorization: `Bearer t${principalOf(n)}`,
        });
        const [headers] = await once(stream, "response");
        if (headers[":status"] === 200) allowed++;
        await once(stream.resume(), "close");
      }
    };
    const sessions = Array.from({ length: 4 }, () => connect(`http://127.0.0.1:${front}`));
    await Promise.all(sessions.flatMap((session) => Array.from({ length: CONNECTIONS / 4 }, () => worker(session))));
    for (const session of sessions) session.close();
    judged(t, backend, allowed);
  });
}
