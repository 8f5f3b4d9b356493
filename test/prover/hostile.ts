import type { Received } from "../support/backend.ts";
import { RawClient } from "../support/http.ts";
import type { Field } from "./field.ts";
import type { Entrance } from "./merged.ts";

/** A request line and header lines; the credential is what the agent is told to do. */
type Request = readonly [line: string, credential: string | undefined, ...fields: string[]];

/** Requests that nobody may let through: no credential, a bad one, or one for something else. */
const REFUSED: readonly Request[] = [
  ["GET /v1/orders HTTP/1.1", undefined],
  ["GET /public HTTP/1.1", undefined],
  ["GET /public HTTP/1.1", undefined, "x-hop: 1"],
  ["GET /v1/orders HTTP/1.1", undefined, "user-agent: kube-probe/1.30"],
  ["OPTIONS /v1/orders HTTP/1.1", undefined],
  ["GET /v1/orders?debug=1 HTTP/1.1", undefined],
  ["GET /secret HTTP/1.1", "good"],
  ["GET /secret HTTP/1.1", "good", "x-path: /v1/orders"],
  ["GET /v1/orders HTTP/1.1", undefined, "x-verdict: allow", "x-user: eve", "x-hop: 1"],
  ["GET /v1/orders HTTP/1.1", "bad", "accept: text/html"],
  ["GET /public HTTP/1.1", "bad", "accept: text/html"],
  ["OPTIONS * HTTP/1.1", "good"],
];
/** Those that the agent answers badly, or not at all. */
const UNANSWERED: readonly Request[] = ["silent", "other-id", "no-id", "other-word", "upper", "no-verdict"].flatMap(
  (credential) => [
    ["GET /v1/orders HTTP/1.1", credential],
    ["GET /public?debug=1 HTTP/1.1", credential, "user-agent: kube-probe"],
  ],
);
/** At which it hangs up, on whoever else waits too. */
const CUT = UNANSWERED.slice(0, 2).map(([line, , ...fields]): Request => [line, "cut", ...fields]);
/** Requests that are allowed: what arrives must be what was judged, and say who it is in the agent's words. */
const ALLOWED: readonly Request[] = [
  ["GET /v1/orders HTTP/1.1", "good", "x-auth-subject: admin", "x-user: eve"],
  ["GET /public HTTP/1.1", "good", "x-auth-roles: admin", "user-agent: kube-probe"],
  ["GET /v1/orders?debug=1 HTTP/1.1", "good", "x-user: eve", "connection: keep-alive, x-auth-subject"],
  ["OPTIONS /public HTTP/1.1", "good", "x-auth-subject: admin"],
];
const GOOD: Request = ["GET /v1/orders HTTP/1.1", "good"];

/** Who got a request through. */
export type Adversary = "hostile client" | "faulty agent" | "no agent";

/** What got through, in words. */
export interface Through {
  readonly by: Adversary;
  readonly what: string;
}

/**
 * Attacks a HAProxy that runs: with requests that must be refused, with an agent that answers badly, and without any.
 * The agent is there before, and gone after.
 */
export async function attack(field: Field, entrances: readonly Entrance[]): Promise<readonly Through[]> {
  const found = new Map<string, Through>();
  const tell = (by: Adversary, what: string) => found.set(what, { by, what });
  const open = (await Promise.all(entrances.map(opens))).flatMap((one) => one ?? []);
  await untilAsked(open, field);
  const all = (by: Adversary, requests: readonly Request[]) =>
    Promise.all(open.flatMap((at) => requests.map((request) => refused(at, [request], field, by, tell))));
  await Promise.all(open.flatMap((at) => ALLOWED.map((request) => allowed(at, request, field, tell))));
  // On a kept connection, after a request that is allowed.
  const again = (credential: string): Request => ["GET /public HTTP/1.1", credential];
  const after = (credential: string, by: Adversary) =>
    Promise.all(open.map((at) => refused(at, [GOOD, again(credential)], field, by, tell)));
  await Promise.all([all("hostile client", REFUSED), after("bad", "hostile client")]);
  await Promise.all([all("faulty agent", UNANSWERED), after("silent", "faulty agent")]);
  const kept = await Promise.all(open.map((at) => keep(at, field)));
  await all("faulty agent", CUT);
  await field.leave();
  await all("no agent", [...ALLOWED, GOOD, ...REFUSED]);
  for (const one of kept) await one("no agent", tell);
  return [...found.values()];
}

async function opens(entrance: Entrance): Promise<Entrance | undefined> {
  const client = await connected(entrance);
  client?.close();
  return client === undefined ? undefined : entrance;
}

function connected({ port, host, tls }: Entrance): Promise<RawClient | undefined> {
  return RawClient.open(port, tls ? host : undefined).catch(() => undefined);
}

/** HAProxy finds the agent by its own checks. A mutant may never let anybody through: then there is nothing to wait for. */
async function untilAsked(open: readonly Entrance[], field: Field): Promise<void> {
  const judged = open.find((one) => one.judged);
  if (judged === undefined) return;
  for (let tried = 0; tried < 12; tried++) {
    const [mark = ""] = await send(judged, [GOOD]);
    if (field.arrived(mark) !== undefined) return;
    await new Promise((done) => setTimeout(done, 40));
  }
}

let marks = 0;

function marked([line, credential, ...fields]: Request, { host }: Entrance) {
  const mark = String(++marks);
  const authorization = credential === undefined ? [] : [`authorization: ${credential} ${mark}`];
  return { mark, line, fields: [`host: ${host}`, `x-mark: ${mark}`, ...authorization, ...fields] };
}

/** Sends requests over one connection; their marks. */
async function send(entrance: Entrance, requests: readonly Request[]): Promise<readonly string[]> {
  const client = await connected(entrance);
  const sent = await said(client, entrance, requests);
  client?.close();
  return sent;
}

async function said(
  client: RawClient | undefined,
  entrance: Entrance,
  requests: readonly Request[],
): Promise<readonly string[]> {
  const marked_ = requests.map((request) => marked(request, entrance));
  try {
    for (const { line, fields } of marked_) await client?.request(line, fields);
  } catch {
    // HAProxy closed: refused.
  }
  return marked_.map(({ mark }) => mark);
}

type Tell = (by: Adversary, what: string) => void;

async function refused(
  entrance: Entrance,
  requests: readonly Request[],
  field: Field,
  by: Adversary,
  tell: Tell,
): Promise<void> {
  judge(await send(entrance, requests), requests, field, by, tell);
}

function judge(marks: readonly string[], requests: readonly Request[], field: Field, by: Adversary, tell: Tell): void {
  if (field.arrived(marks.at(-1) ?? "") !== undefined)
    tell(
      by,
      `without a verdict: ${requests
        .at(-1)
        ?.filter((text) => text !== undefined)
        .join(" | ")}`,
    );
}

/** A connection on which a request was allowed, and on which another one is sent later. */
async function keep(entrance: Entrance, field: Field): Promise<(by: Adversary, tell: Tell) => Promise<void>> {
  const client = await connected(entrance);
  await said(client, entrance, [GOOD]);
  return async (by, tell) => {
    judge(await said(client, entrance, [GOOD]), [GOOD], field, by, tell);
    client?.close();
  };
}

async function allowed(entrance: Entrance, request: Request, field: Field, tell: Tell): Promise<void> {
  const [mark = ""] = await send(entrance, [request]);
  const arrived = field.arrived(mark);
  const told = field.told.get(mark);
  const [line] = request;
  if (arrived === undefined) return;
  if (told === undefined) tell("hostile client", `without a verdict: ${line}`);
  else for (const what of differences(arrived, told)) tell("hostile client", what);
}

/** What is forwarded and was not judged, and who it is said to be without the agent's word. */
function differences({ line, headers }: Received, told: ReadonlyMap<string, string>): readonly string[] {
  const [method = "", target = ""] = line.split(" ");
  const hosts = headers.filter(([name]) => name.toLowerCase() === "host").map(([, value]) => value);
  const forwarded = { method, path: target.replace(/\?.*/, ""), host: hosts.join(",") };
  const others = Object.entries(forwarded).flatMap(([what, text]) =>
    told.get(what) === text ? [] : [`another ${what}: ${told.get(what)} was judged, ${text} forwarded`],
  );
  const identity = headers.filter(([name]) => name.toLowerCase().startsWith("x-auth"));
  const forged = identity.filter(([name, value]) => name.toLowerCase() !== "x-auth-subject" || value !== "alice");
  return [...others, ...forged.map(([name, value]) => `an identity: ${name}: ${value}`)];
}
