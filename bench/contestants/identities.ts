import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { rotatedSealing, sealingText } from "../../agent/config/files/sealing-ring.ts";
import { digestOf, makeKey } from "../../agent/identity/api-key/key.ts";
import { AWS_KEYS } from "../../demo/parties.ts";
import { startSts } from "../../demo/sts.ts";
import { Authority } from "../../test/support/certificates.ts";
import { POD, startSidecarAdmin } from "../../test/support/sidecar.ts";
import { MESHED, PREFIX, SERVER_ID, sessionRequest } from "../credentials.ts";
import { startHaproxy } from "../haproxy.ts";
import { AUDIENCE } from "../issuer.ts";
import { HOST, type Request } from "../load/load.ts";
import { freePort, type Running } from "../processes.ts";
import { folderOf, type Stage } from "../stage.ts";
import { claimsOf, type Others } from "./generated.ts";

/** Somebody of each kind, and the stand-ins that know them. */
export interface Parties {
  readonly others: Others;
  /** Milliseconds that introspection and STS take for an answer, from now on. */
  delay(milliseconds: number): void;
  readonly apiKey: string;
  /** Of somebody who has logged in with a browser. */
  readonly session: Request;
  /**
   * Ports that carry what they get to HAProxy: by TLS, with a client's certificate and without; and to its mesh bind, from
   * the pod's own address, as Linkerd's proxy would.
   */
  readonly relay: Relay;
  close(): Promise<void>;
}

/** What the configuration and the policies say of them. */
type Kinds = Pick<Others, "issuers" | "readers">;

type Relay = Readonly<Record<"certificate" | "none" | "mesh", number>>;

const AUTHORITY_OF_STS = resolve(import.meta.dirname, "../../demo/sts-authority.pem");
const CLIENT = "orders-web.example.com";

export async function startParties(stage: Stage): Promise<Parties> {
  let delay = 0;
  const [sts, tls, meshed] = [await freePort(), await freePort(), await freePort()];
  const amazon = await startSts(sts, AWS_KEYS, () => delay);
  const introspection = await startIntrospection(() => delay);
  const sidecar = await startSidecarAdmin();
  const key = makeKey("bench_");
  const folder = folderOf(stage, "parties");
  writeFileSync(join(folder, "keys.yaml"), recordOf(key));
  writeCertificates(folder);
  const ring = rotatedSealing([], Math.floor(Date.now() / 1000), 0);
  const sessionKeys = join(folder, "session-keys.json");
  writeFileSync(sessionKeys, sealingText(ring), { mode: 0o600 });
  const { running, relay } = await startRelay(stage, tls, meshed);
  const { port } = introspection.address() as AddressInfo;
  return {
    others: {
      ...withMesh(othersOf(folder, port, sts), meshed, sidecar.url),
      bind: `127.0.0.1:${tls} ssl crt ${folder}/server.pem ca-file ${folder}/ca.pem verify optional`,
      sessionKeys,
    },
    delay(milliseconds) {
      delay = milliseconds;
    },
    apiKey: key.text,
    session: sessionRequest(stage.issuer, ring),
    relay,
    async close() {
      running.kill("SIGKILL");
      introspection.close();
      introspection.closeAllConnections();
      await sidecar.close();
      await amazon.close();
    },
  };
}

/** Nobody is asked twice within a run, and AWS as often as the load wants. */
function othersOf(folder: string, introspection: number, sts: number): Kinds {
  const url = `http://127.0.0.1:${introspection}`;
  const client = "client: { id: bench, secret: bench-secret }";
  const asked = `endpoint: "${url}/introspect", token_prefix: ${PREFIX}, ${client}, lifetime: 1h`;
  const limits = "sts: { rate: 10000, strangers: 10000, timeout: 5s }";
  const aws = `accounts: ["123456789012"], regions: [eu-central-1], server_id: ${SERVER_ID}, ${limits}`;
  return {
    issuers: [
      `opaque: { type: introspection, issuer: "${url}", audiences: [${AUDIENCE}], ${asked} }`,
      `keys: { type: api-key, prefix: bench_, file: ${folder}/keys.yaml, audiences: [${AUDIENCE}] }`,
      `aws: { type: aws-iam, ${aws}, proxy: "http://127.0.0.1:${sts}", ca: ${AUTHORITY_OF_STS} }`,
      `certificates: { type: client-certificate, identity: dns, ca: ${folder}/ca.pem, audiences: [${AUDIENCE}] }`,
    ],
    readers: [
      "{ issuer: opaque, group: Orders Readers }",
      "{ issuer: keys, group: Orders Readers }",
      '{ issuer: aws, account: "123456789012" }',
      `{ issuer: certificates, subject: ${CLIENT} }`,
    ],
  };
}

/** Clients of the mesh, too: no Linkerd runs here, only what stands for its proxy in HAProxy's pod. */
function withMesh({ issuers, readers }: Kinds, port: number, admin: string): Kinds {
  const mesh = `bind: "${POD}:${port}", pods: { app: haproxy }, admin: "${admin}", audiences: [${AUDIENCE}]`;
  return {
    issuers: [...issuers, `mesh: { type: mesh, ${mesh} }`],
    readers: [...readers, `{ issuer: mesh, subject: ${MESHED} }`],
  };
}

function recordOf({ id, text }: { readonly id: string; readonly text: string }): string {
  const record = `sha256: ${digestOf(text)}, subject: batch, kind: workload, groups: [Orders Readers], expires: never`;
  return `keys:\n  ${id}: { ${record} }\n`;
}

function writeCertificates(folder: string): void {
  const authority = new Authority("Benchmark");
  const [server, client] = [authority.issue({ names: [`dns:${HOST}`] }), authority.issue({ names: [`dns:${CLIENT}`] })];
  writeFileSync(join(folder, "ca.pem"), authority.pem);
  writeFileSync(join(folder, "server.pem"), server.pem + server.key);
  writeFileSync(join(folder, "client.pem"), client.pem + client.key);
}

/** An authorization server that takes every token for a good one. */
async function startIntrospection(delay: () => number): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume();
    const now = Math.floor(Date.now() / 1000);
    const answer = { active: true, token_type: "Bearer", aud: AUDIENCE, exp: now + 7200, ...claimsOf(0) };
    response.setHeader("content-type", "application/json");
    setTimeout(() => response.end(JSON.stringify(answer)), delay());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** What no load generator here does: the client's side of TLS, and Linkerd's. Another HAProxy, which is not counted. */
async function startRelay(stage: Stage, tls: number, meshed: number): Promise<{ running: Running; relay: Relay }> {
  const folder = folderOf(stage, "parties");
  const relay = { certificate: await freePort(), none: await freePort(), mesh: await freePort() };
  const listen = (name: keyof Relay, to: string) => `listen ${name}
    bind 127.0.0.1:${relay[name]}
    server haproxy ${to}
`;
  const byTls = `127.0.0.1:${tls} ssl verify none`;
  const file = join(folder, "relay.cfg");
  writeFileSync(
    file,
    `global
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
${listen("certificate", `${byTls} crt ${folder}/client.pem`)}${listen("none", byTls)}${listen("mesh", `${POD}:${meshed}`)}`,
  );
  return { running: await startHaproxy(stage.processes, stage.haproxy, [file], relay.certificate), relay };
}
