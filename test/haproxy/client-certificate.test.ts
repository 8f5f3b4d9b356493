import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { type Test, test } from "tap";
import { startBackend } from "../support/backend.ts";
import {
  AUTHORITY,
  Authority,
  extension,
  type Issued,
  pem,
  SERVER_CERTIFICATE,
  SERVER_KEY,
  type Wanted,
} from "../support/certificates.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { configuration, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const ID = "spiffe://example.org/ns/shop/sa/web";

const POLICY = `
roles:
  web: [{ issuer: spire, uri: ${ID} }]
  machines: [{ issuer: machines, subject: { suffix: .machines.example } }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers:
      x-auth-subject: principal.subject
      x-auth-issuer: principal.issuer
      x-auth-serial: principal.claims.serial
    routes:
      - { name: read, match: [GET /v1/orders], allow: [web, machines] }
      - { name: maybe, match: [GET /v1/maybe], allow: [web, machines], optional: true }
  tokens:
    hosts: [tokens.example.com]
    issuers: [idp]
    backend: orders
    routes:
      - { name: read, match: [GET /v1/orders], allow: [authenticated] }
`;

interface Answer {
  /** Undefined where the handshake failed. */
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly resumed: boolean;
}

/** One request on a connection of its own; what HAProxy has to say against the certificate ends it. */
async function request(port: number, options: ConnectionOptions, fields: readonly string[], path: string) {
  const socket: TLSSocket = connect({ host: "127.0.0.1", port, servername: "localhost", ca: AUTHORITY, ...options });
  const lines = [`GET ${path} HTTP/1.1`, ...fields, "connection: close"];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  let text = "";
  let session: Buffer | undefined;
  socket.setEncoding("utf8").on("data", (part: string) => (text += part));
  socket.on("session", (ticket: Buffer) => (session = ticket));
  socket.on("error", () => {});
  let resumed = false;
  socket.on("secureConnect", () => (resumed = socket.isSessionReused()));
  await new Promise<void>((closed) => socket.once("close", () => closed()));
  const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
  const reason = /"reason":"([a-z-]+)"/.exec(text)?.[1];
  const answer: Answer = {
    status: status === undefined ? undefined : Number(status),
    reason,
    resumed,
  };
  return { ...answer, session };
}

/** HAProxy with two authorities of clients, and an agent that knows which is whose. */
async function stage(t: Test, binary: HaproxyBinary) {
  const [spire, machines] = [new Authority("SPIRE"), new Authority("Machines")];
  const backend = await startBackend(t);
  const [front, lax] = [await freePort(), await freePort()];
  const folder = folderOf(t, {
    "server.pem": SERVER_CERTIFICATE + SERVER_KEY,
    "clients.pem": spire.pem + machines.pem,
    "spire.pem": spire.pem,
    "spire-crl.pem": listOf(spire, []),
    "machines.pem": machines.pem,
    "policies/orders.yaml": POLICY,
  });
  const bind = (port: number) =>
    `127.0.0.1:${port} ssl crt ${folder}/server.pem ca-file ${folder}/clients.pem verify optional`;
  const { text, ...ports } = await configuration(`
issuers:
  spire: { type: client-certificate, identity: spiffe, trust_domain: example.org, ca: spire.pem, crl: spire-crl.pem }
  machines: { type: client-certificate, identity: dns, ca: machines.pem }
  idp: { type: oidc, issuer: "https://127.0.0.1:1", audiences: [a] }
haproxy:
  version: "${minorOf(binary)}"
  bind: ["${bind(front)}", "${bind(lax)} crt-ignore-err all ca-ignore-err all"]
  backends: { orders: ["127.0.0.1:${backend.port}"] }
`);
  write(folder, "countersign.yaml", text);
  const served = await serve(t, folder, ports);
  await startHaproxy(t, binary, await generated(folder), front);
  const ask = (who?: Issued, more: AskOptions = {}) => {
    const { host = "orders", path = "/v1/orders", fields = [], port = front, ...options } = more;
    const certificate = who === undefined ? {} : { cert: who.pem, key: who.key };
    return request(port, { ...certificate, ...options }, [`host: ${host}.example.com`, ...fields], path);
  };
  const said = async (who?: Issued, more?: AskOptions) => {
    const { status, reason } = await ask(who, more);
    return status === 200 ? "allowed" : (reason ?? "no handshake");
  };
  /** Asks until it is answered so: HAProxy finds an agent, and an agent a changed file, a moment later. */
  const until = async (outcome: string, who?: Issued, more?: AskOptions) => {
    while ((await said(who, more)) !== outcome) await new Promise((done) => setTimeout(done, 50));
  };
  await until("credential-missing");
  return { folder, spire, machines, backend, served, ask, said, until, lax };
}

interface AskOptions extends ConnectionOptions {
  readonly host?: string;
  readonly path?: string;
  readonly fields?: readonly string[];
  readonly port?: number;
}

/** Whole at once, as whatever renews certificates writes them. */
function write(folder: string, name: string, content: string): void {
  writeFileSync(join(folder, "next"), content);
  renameSync(join(folder, "next"), join(folder, name));
}

function listOf(authority: Authority, serials: readonly number[]): string {
  return pem("X509 CRL", authority.revoke(serials));
}

const web = (changes: Wanted = {}): Wanted => ({ names: [`uri:${ID}`], ...changes });

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: a client's certificate says who it is, over real TLS`, async (t) => {
    const { folder, spire, machines, backend, ask, said, until, lax } = await stage(t, binary);
    const svid = spire.issue(web({ serial: 0x4711 }));
    const printer = machines.issue({ names: ["dns:Printer-7.machines.example"] });

    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const only = { minVersion: version, maxVersion: version };
      const first = await ask(svid, only);
      t.equal(first.status, 200, version);
      t.strictSame(backend.last("x-auth-subject"), [ID]);
      t.strictSame(backend.last("x-auth-issuer"), ["spire"]);
      t.strictSame(backend.last("x-auth-serial"), ["4711"]);
      t.match(await ask(undefined, { ...only, session: first.session }), { status: 200, resumed: true }, "resumed");
      t.strictSame(backend.last("x-auth-subject"), [ID], "the certificate of the session that it resumes");
    }
    t.equal(await said(printer), "allowed");
    t.strictSame(backend.last("x-auth-subject"), ["printer-7.machines.example"]);

    const before = backend.received.length;
    for (const [name, outcome, who, more] of [
      ["none", "credential-missing", undefined],
      ["one letter of the id", "role-missing", spire.issue({ names: [`uri:${ID}b`] })],
      ["another trust domain", "issuer-unknown", spire.issue({ names: ["uri:spiffe://example.com/ns/shop/sa/web"] })],
      ["two ids", "claim-malformed", spire.issue({ names: [`uri:${ID}`, `uri:${ID}/b`] })],
      ["an authority that HAProxy trusts, of others", "issuer-unknown", machines.issue(web())],
      ["a name of others by SPIRE", "issuer-unknown", spire.issue({ names: ["dns:printer-7.machines.example"] })],
      ["an authority that HAProxy does not trust", "no handshake", new Authority("SPIRE").issue(web())],
      ["a day too old", "no handshake", spire.issue(web({ until: Date.now() - 86_400_000 }))],
      ["a day too young", "no handshake", spire.issue(web({ from: Date.now() + 86_400_000 }))],
      ["what HAProxy lets in unverified", "credential-malformed", new Authority("SPIRE").issue(web()), { port: lax }],
      ["expired, and let in", "credential-malformed", spire.issue(web({ until: Date.now() - 1_000 })), { port: lax }],
      [
        "not for clients",
        "no handshake",
        machines.issue({ names: ["dns:a.machines.example"], purposes: ["1.3.6.1.5.5.7.3.1"] }),
      ],
      ["no keyUsage", "certificate-unsuitable", spire.issue(web({ usage: undefined }))],
      ["a bad token beside it", "credential-malformed", svid, { fields: ["authorization: Bearer"] }],
      ["a forged token beside it", "token-malformed", svid, { fields: ["authorization: Bearer x.y.z"] }],
      ["where only tokens are taken", "credential-missing", svid, { host: "tokens" }],
      ["too large", "token-too-large", spire.issue(web({ more: padding(4_000) }))],
      ["larger than a buffer", "credential-malformed", spire.issue(web({ more: padding(40_000) }))],
    ] as const) {
      t.equal(await said(who, more), outcome, name);
    }
    t.equal(backend.received.length, before, "nothing of it arrived");
    t.equal(await said(undefined, { path: "/v1/maybe" }), "allowed", "nobody, where that may be");
    t.strictSame(backend.last("x-auth-subject"), []);
    t.equal(await said(new Authority("SPIRE").issue(web()), { path: "/v1/maybe", port: lax }), "credential-malformed");

    const large = spire.issue(web({ more: padding(3_500) }));
    const head = [`authorization: Basic ${"a".repeat(25_000)}`];
    t.equal(await said(large, { fields: head }), "allowed", "the largest that HAProxy reads, with a large certificate");

    const short = spire.issue(web({ until: Math.floor(Date.now() / 1000) * 1000 + 3_000 }));
    const session = (await ask(short)).session;
    await until("token-expired", undefined, { session });
    t.pass("a session that goes on lets no certificate count any longer");

    write(folder, "spire-crl.pem", listOf(spire, [0x4711]));
    await until("credential-revoked", svid);
    t.equal(await said(spire.issue(web())), "allowed", "and no other one");
    write(folder, "machines.pem", new Authority("Machines").pem);
    await until("signature-invalid", printer);
  });
}

/** An extension that makes a certificate as large as somebody likes. */
function padding(size: number): readonly Buffer[] {
  return [extension("1.2.3.4", Buffer.alloc(size, 0x04))];
}
