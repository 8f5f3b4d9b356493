import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { type Test, test } from "tap";
import { SpopServer } from "../../agent/server/spop-server.ts";
import { SpopClient } from "../../protocol/client.ts";
import { IDENTITY, messageOf, policiesOf, Recorder, snapshotOf, valuesOf } from "../support/agent.ts";
import { Authority } from "../support/certificates.ts";
import { freePort } from "../support/haproxy.ts";

/** A server with TLS on a port of its own, with what HAProxy shows it. */
async function tlsServer(t: Test, hello: number) {
  const [agents, proxies] = [new Authority("Agents"), new Authority("Proxies")];
  const own = agents.issue({ names: ["dns:countersign.example"] });
  const shown = proxies.issue({ names: ["dns:haproxy.example"] });
  const tls = { cert: own.pem, key: own.key, clientCa: proxies.pem, clientNames: [] };
  const address = { host: "127.0.0.1", port: await freePort(), tls };
  const events = new Recorder();
  const snapshot = snapshotOf(policiesOf(), IDENTITY, {
    listen: { spop: [address], admin: undefined, web: undefined },
  });
  const server = new SpopServer({ snapshot, events, clock: Date.now, patience: { hello } });
  await server.listen([address]);
  t.teardown(() => server.close());
  const open = (options: ConnectionOptions = {}): TLSSocket => {
    const trusted = { servername: "countersign.example", ca: agents.pem, cert: shown.pem, key: shown.key };
    const socket = connect({ host: "127.0.0.1", port: address.port, ...trusted, ...options });
    socket.on("error", () => {});
    t.teardown(() => socket.destroy());
    return socket;
  };
  const told = async (code: string) => {
    while (!events.errors.includes(code)) await new Promise((done) => setTimeout(done, 10));
  };
  return { server, events, port: address.port, open, told };
}

async function silent(t: Test, port: number): Promise<Socket> {
  const socket = connectTcp(port, "127.0.0.1");
  socket.on("error", () => {});
  t.teardown(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

test("whoever does not shake hands makes room in time, and where there are too many", async (t) => {
  const { open, port, events, server } = await tlsServer(t, 60_000);
  const first = await silent(t, port);
  const ended = once(first, "close");
  for (let n = 0; n < 256; n++) await silent(t, port);
  await ended;
  t.strictSame(events.errors, ["TLS_HANDSHAKES_TOO_MANY"], "the first one of them");
  const client = await SpopClient.over(open());
  t.match(valuesOf(await client.notify(messageOf())), { verdict: "allow" }, "HAProxy comes in all the same");
  await server.close();

  const impatient = await tlsServer(t, 50);
  await once(await silent(t, impatient.port), "close");
  t.strictSame(impatient.events.errors, ["TLS_HANDSHAKE_TIMEOUT"]);
});

test("TLS is of a version that is sound, is not shaken hands about again, and nothing is resumed", async (t) => {
  const { open, told, events } = await tlsServer(t, 2_000);
  const old = open({ minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
  await new Promise<void>((closed) => old.once("close", () => closed()));
  await told("TLS_HANDSHAKE_FAILED");
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const only = { minVersion: version, maxVersion: version };
    const socket = open(only);
    const sessions: Buffer[] = [];
    socket.on("session", (session: Buffer) => sessions.push(session));
    await once(socket, "secureConnect");
    const client = await SpopClient.over(socket);
    t.match(valuesOf(await client.notify(messageOf())), { verdict: "allow" }, version);
    const again = open({ ...only, session: sessions[0] });
    await once(again, "secureConnect");
    t.notOk(again.isSessionReused(), `${version}: a certificate is asked for each time`);
  }
  const socket = open({ maxVersion: "TLSv1.2" });
  await once(socket, "secureConnect");
  const renegotiated = new Promise((done) => {
    if (socket.renegotiate({}, (error) => done(error === null)) !== true) done(false);
    socket.once("close", () => done(false));
  });
  t.equal(await renegotiated, false);
  t.strictSame(events.bugs, []);
});
