import type { Socket } from "node:net";
import type { Test } from "tap";
import { encodeFrame } from "../../protocol/encode.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { type Backend, type Received, startBackend } from "../support/backend.ts";
import { type HaproxyBinary, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { type Asked, actions, startRogue } from "../support/rogue.ts";
import type { Files } from "./mutants.ts";

/** An agent that does what the credential says, well or badly, and remembers what it was told. */
export interface Field {
  readonly agent: number;
  readonly backend: Backend;
  /** What the agent last allowed. */
  readonly told: Map<string, string>;
}

const ack = (asked: Asked, list: readonly (readonly [string, string])[]) =>
  encodeFrame(FRAME_TYPE.ack, actions(list), asked);

const allowed = (id: string, verdict: string) =>
  [
    ["id", id],
    ["backend", "orders"],
    ["subject", "alice"],
    ["header_1", "alice"],
    ["verdict", verdict],
  ] as const;

/** Starts the agent and the backend; they end with the test. */
export async function startField(t: Test): Promise<Field> {
  const told = new Map<string, string>();
  const agent = await startRogue(t, (asked, socket) => answer(asked, socket, told));
  return { agent, backend: await startBackend(t), told };
}

function answer(asked: Asked, socket: Socket, told: Map<string, string>): void {
  const credential = asked.told.get("authorization");
  const send = (id: string, verdict: string) => socket.write(ack(asked, allowed(id, verdict)));
  const known = ["path", "host", "method"].every((name) => asked.told.has(name));
  if (credential === "good" && known && asked.told.get("path") !== "/secret") {
    told.clear();
    for (const [name, value] of asked.told) told.set(name, value);
    send(asked.id, "allow");
  } else if (credential === "other-id") send("0".repeat(32), "allow");
  else if (credential === "no-id") socket.write(ack(asked, allowed("", "allow").slice(1)));
  else if (credential === "other-word") send(asked.id, "allowed");
  else if (credential === "upper") send(asked.id, "ALLOW");
  else if (credential === "no-verdict") socket.write(ack(asked, allowed(asked.id, "").slice(0, 4)));
  else if (credential === "cut") socket.destroy();
  else if (credential !== "silent")
    socket.write(
      ack(asked, [
        ["id", asked.id],
        ["status", "401"],
        ["verdict", "deny"],
      ]),
    );
}

/** Requests that nobody may let through: no credential, or one that the agent answers badly. */
const REFUSED: readonly (readonly [line: string, ...fields: string[]])[] = [
  ["GET /v1/orders HTTP/1.1"],
  ["GET /public HTTP/1.1"],
  ["GET /public HTTP/1.1", "x-hop: 1"],
  ["GET /v1/orders HTTP/1.1", "user-agent: kube-probe/1.30"],
  ["OPTIONS /v1/orders HTTP/1.1"],
  ["GET /v1/orders?debug=1 HTTP/1.1"],
  ["GET /secret HTTP/1.1", "authorization: good"],
  ["GET /secret HTTP/1.1", "authorization: good", "x-path: /v1/orders"],
  ["GET /v1/orders HTTP/1.1", "x-verdict: allow", "x-user: eve", "x-hop: 1"],
  ["GET /v1/orders HTTP/1.1", "authorization: bad", "accept: text/html"],
  ["GET /public HTTP/1.1", "authorization: bad", "accept: text/html"],
  ...["other-id", "no-id", "other-word", "upper", "no-verdict", "cut"].flatMap((credential) => [
    ["GET /v1/orders HTTP/1.1", `authorization: ${credential}`] as const,
    ["GET /public?debug=1 HTTP/1.1", `authorization: ${credential}`, "user-agent: kube-probe"] as const,
  ]),
  ["OPTIONS * HTTP/1.1", "authorization: good"],
];
/** Requests that are allowed: what arrives must be what was judged, and say who it is in the agent's words. */
const ALLOWED: readonly (readonly [line: string, ...fields: string[]])[] = [
  ["GET /v1/orders HTTP/1.1", "x-auth-subject: admin", "x-user: eve"],
  ["GET /public HTTP/1.1", "x-auth-roles: admin", "user-agent: kube-probe"],
  ["GET /v1/orders?debug=1 HTTP/1.1", "x-user: eve", "connection: keep-alive, x-auth-subject"],
  ["OPTIONS /public HTTP/1.1", "x-auth-subject: admin"],
];
const HOST = "host: orders.example.com";

/** What got through, in words; nothing where every request was refused, or arrived as it was judged. */
export async function attack(
  t: Test,
  binary: HaproxyBinary,
  files: Files,
  field: Field,
  ports: readonly number[],
): Promise<readonly string[]> {
  const [front = 0] = ports;
  await startHaproxy(t, binary, files, front);
  const found = new Set<string>();
  for (const port of ports) {
    if (!(await opens(port))) continue;
    await untilAsked(port, field);
    for (const request of ALLOWED) await allow(port, request, field, found);
    for (const request of REFUSED) await refuse(port, [request], field, found);
    // On a kept connection, after a request that is allowed.
    const good = ["GET /v1/orders HTTP/1.1", "authorization: good"] as const;
    for (const credential of ["silent", "bad"])
      await refuse(port, [good, ["GET /public HTTP/1.1", `authorization: ${credential}`]], field, found);
  }
  return [...found];
}

async function opens(port: number): Promise<boolean> {
  const client = await RawClient.open(port).catch(() => undefined);
  client?.close();
  return client !== undefined;
}

/** HAProxy finds the agent by its own checks. A mutant may never let anybody through: then there is nothing to wait for. */
async function untilAsked(port: number, { backend }: Field): Promise<void> {
  const before = backend.received.length;
  for (let tried = 0; tried < 12 && backend.received.length === before; tried++) {
    await send(port, [["GET /v1/orders HTTP/1.1", "authorization: good"]]);
    if (backend.received.length === before) await new Promise((done) => setTimeout(done, 40));
  }
}

async function send(port: number, requests: readonly (readonly [line: string, ...fields: string[]])[]): Promise<void> {
  const client = await RawClient.open(port).catch(() => undefined);
  if (client === undefined) return;
  try {
    for (const [line, ...fields] of requests) await client.request(line, [HOST, ...fields]);
  } catch {
    // HAProxy closed: refused.
  }
  client.close();
}

async function refuse(
  port: number,
  requests: readonly (readonly [line: string, ...fields: string[]])[],
  { backend }: Field,
  found: Set<string>,
): Promise<void> {
  const before = backend.received.length;
  await send(port, requests);
  const arrived = backend.received.length - before - (requests.length - 1);
  if (arrived > 0) found.add(`without a verdict: ${requests.at(-1)?.join(" | ")}`);
}

async function allow(
  port: number,
  [line, ...fields]: readonly [line: string, ...fields: string[]],
  { backend, told }: Field,
  found: Set<string>,
): Promise<void> {
  const before = backend.received.length;
  told.clear();
  await send(port, [[line, "authorization: good", ...fields]]);
  const request = backend.received[before];
  if (request === undefined) return;
  const values = (name: string) =>
    request.headers.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);
  const [method = "", target = ""] = request.line.split(" ");
  const path = target.replace(/\?.*/, "");
  const same = (what: string, judged: string | undefined, forwarded: string) => {
    if (judged !== forwarded) found.add(`another ${what}: ${judged} was judged, ${forwarded} forwarded`);
  };
  same("method", told.get("method"), method);
  same("path", told.get("path"), path);
  same("host", told.get("host"), values("host").join(","));
  const identity = request.headers.filter(([name]) => name.toLowerCase().startsWith("x-auth"));
  for (const [name, value] of identity)
    if (name.toLowerCase() !== "x-auth-subject" || value !== "alice") found.add(`an identity: ${name}: ${value}`);
}

export type { Received };
