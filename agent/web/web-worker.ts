/** What the thread of page-listener.ts runs: connections, HTTP, and the agent's pages for whoever asks. */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer, type Socket } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { parentPort, workerData } from "node:worker_threads";
import type { StoreConfig } from "../config/config.ts";
import { send as sendToProvider } from "../http/fetch.ts";
import { SessionStore } from "../identity/session/store.ts";
import { listen } from "../net/listen.ts";
import { standBack } from "../threads/stand-back.ts";
import { Allowance } from "./allowance.ts";
import { formOf } from "./form.ts";
import { isFromHere } from "./from-here.ts";
import type { Answer } from "./login/answer.ts";
import { cookiesIn } from "./login/cookies.ts";
import { type LoginSetup, Logins } from "./login/logins.ts";
import { wrongRequestPage } from "./login/pages.ts";
import type { Begin, Page, Said, Told } from "./messages.ts";
import { OneRequest } from "./one-request.ts";
import { SharedPage } from "./shared-page.ts";

/** Probes, scrapers, backends and somebody with curl; one more, and the oldest is closed. */
const MOST_CONNECTIONS = 256;
/** Milliseconds in which the agent has to answer; several workers report within 500. */
const ANSWER_LIMIT = 2_000;
const END_OF_HEAD = "\r\n\r\n";

/** Milliseconds until what the configuration no longer has is closed: what is under way may still ask it. */
const LINGERS = 30_000;

/** Own pages, of all who ask: so many at once, and a second. */
const MOST_OWN = 40;

const NO_ANSWER: Page = text(503, "the agent does not answer");
const NOT_HERE: Page = text(403, "only for askers on this machine, at its loopback address or unix socket");
const TOO_OFTEN: Page = text(429, "asked too often");
const NOT_ALLOWED: Page = text(405, "GET or HEAD only");

const { address, limit, largestHead, paths, own, login } = workerData as Begin;
const all = [...paths.filter((path) => !path.includes(" ")), ...own];
const UNKNOWN: Page = text(404, `there ${all.length === 1 ? "is" : "are"} ${listed(all)}`);
const ownAllowed = new Allowance(MOST_OWN, MOST_OWN, () => performance.now());
/** By their numbers. */
const asked = new Map<number, (page: Page) => void>();
let askings = 0;
const pages = new Map(
  paths.map((path) => [
    path,
    new SharedPage(
      () => ask(path),
      () => performance.now(),
    ),
  ]),
);
let store: { readonly config: StoreConfig; readonly value: SessionStore } | undefined;
let logins = loginsOf(login);
let inForce = login;
/** The oldest first. */
const connections = new Set<Socket>();
/** Answers and refreshes that have begun: whoever ends the thread waits for them. */
const underWay = new Set<Promise<void>>();
const server = createServer({ allowHalfOpen: true }, accept);

function tell(told: Told): void {
  parentPort?.postMessage(told);
}

/** A page of the agent's, or that there is none in time. */
function ask(path: string, query = ""): Promise<Page> {
  return new Promise((resolve) => {
    const id = askings++;
    const answer = (page: Page) => {
      asked.delete(id);
      clearTimeout(late);
      resolve(page);
    };
    const late = setTimeout(answer, ANSWER_LIMIT, NO_ANSWER);
    asked.set(id, answer);
    tell({ kind: "asked", id, path, query });
  });
}

/**
 * Reads the head of one request, and hands it to node:http, with what follows where that is a form and without it
 * anywhere else: whatever a client sends, a connection has one request and one answer.
 */
function accept(socket: Socket): void {
  makeRoom();
  connections.add(socket);
  const late = setTimeout(() => socket.destroy(), limit);
  socket.on("error", () => {});
  socket.on("close", () => {
    clearTimeout(late);
    connections.delete(socket);
  });
  let head = Buffer.alloc(0);
  const read = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf(END_OF_HEAD);
    if (end < 0 && head.length <= largestHead) return;
    socket.off("data", read).off("end", ended);
    const form = end >= 0 && bringsForm(head);
    const whole = end < 0 || form ? head : head.subarray(0, end + END_OF_HEAD.length);
    http.emit("connection", new OneRequest(whole, socket, form));
  };
  const ended = () => socket.destroy();
  socket.on("data", read).on("end", ended);
}

/** By the request line alone; node:http reads it again. */
function bringsForm(head: Buffer): boolean {
  const [, path = ""] = /^POST ([^ ?]{1,1024})[ ?]/.exec(head.toString("latin1", 0, 1100)) ?? [];
  return logins !== undefined && Logins.takesForm(path);
}

function makeRoom(): void {
  const [oldest] = connections;
  if (connections.size < MOST_CONNECTIONS || oldest === undefined) return;
  connections.delete(oldest);
  oldest.destroy();
}

const http = createHttpServer({ maxHeaderSize: largestHead }, (request, response) => {
  if (request.socket instanceof OneRequest && !request.socket.isFirst()) return;
  void untilDone(answerFor(request).then((answer) => send(request, response, answer)));
});

async function untilDone(task: Promise<void> | undefined): Promise<void> {
  if (task === undefined) return;
  underWay.add(task);
  try {
    await task;
  } finally {
    underWay.delete(task);
  }
}

function loginsOf(setup: LoginSetup | undefined): Logins | undefined {
  if (setup === undefined) return undefined;
  return new Logins(
    setup,
    sendToProvider,
    Date.now,
    (event) => tell({ kind: "login", event }),
    storeFor(setup.sessions.store),
  );
}

/** Most reloads change nothing of logins, which then know all that they knew. */
function renew(setup: LoginSetup | undefined): void {
  if (isDeepStrictEqual(setup, inForce)) return;
  const before = logins;
  if (before !== undefined) setTimeout(() => before.close(), LINGERS);
  logins = loginsOf(setup);
  inForce = setup;
}

/** That of before where it is the same; another one is closed once nobody asks it any more. */
function storeFor(config: StoreConfig | undefined): SessionStore | undefined {
  const before = store;
  if (before !== undefined && isDeepStrictEqual(before.config, config)) return before.value;
  if (before !== undefined) setTimeout(() => before.value.close(), LINGERS);
  store = config === undefined ? undefined : { config, value: new SessionStore(config) };
  return store?.value;
}

async function answerFor(request: IncomingMessage): Promise<Answer> {
  return (await loginAnswer(request)) ?? answerOf(await pageFor(request));
}

/** What concerns logins; undefined where it is for another page. */
async function loginAnswer(request: IncomingMessage): Promise<Answer | undefined> {
  const { method = "", url = "", headers } = request;
  const at = URL.parse(url, "http://agent.invalid");
  if (logins === undefined || at === null) return undefined;
  const origin = logins.originOf(headers.host);
  const asked = { method, path: at.pathname, query: at.searchParams, headers, cookies: cookiesIn(headers.cookie) };
  if (origin !== undefined) {
    const form = request.socket instanceof OneRequest && request.socket.body ? await formOf(request) : undefined;
    return await logins.answer({ ...asked, origin, form });
  }
  return Logins.has(at.pathname) ? wrongRequestPage({ headers }, 400) : undefined;
}

function answerOf({ status, type, body, cache = "no-store" }: Page): Answer {
  const allow = status === NOT_ALLOWED.status ? { allow: "GET, HEAD" } : {};
  return {
    status,
    headers: { "content-type": type, "cache-control": cache, "x-content-type-options": "nosniff", ...allow },
    body,
  };
}

async function pageFor(request: IncomingMessage): Promise<Page> {
  const { method, url = "" } = request;
  if (method !== "GET" && method !== "HEAD") return NOT_ALLOWED;
  const [path = ""] = url.split("?", 1);
  if (own.includes(path)) return await ownPage(request, path, url.slice(path.length + 1));
  return (await pageOf(path, request.headers.accept)?.get()) ?? UNKNOWN;
}

/** The one of a type that is accepted, where there is one, before that of the path alone. */
function pageOf(path: string, accept = ""): SharedPage | undefined {
  if (path.includes(" ")) return undefined;
  const types = accept.split(",").map((range) => range.split(";", 1)[0]?.trim().toLowerCase());
  const typed = types.flatMap((type) => pages.get(`${path} ${type}`) ?? [])[0];
  return typed ?? pages.get(path);
}

async function ownPage(request: IncomingMessage, path: string, query: string): Promise<Page> {
  if (!isFromHere(request)) return NOT_HERE;
  return ownAllowed.take() ? await ask(path, query) : TOO_OFTEN;
}

/** Resolves once it is sent, or nobody is there any more to take it. */
async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: Answer,
): Promise<void> {
  if (response.closed) return;
  response.statusCode = status;
  response.shouldKeepAlive = false;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader("content-length", Buffer.byteLength(body));
  const closed = new Promise((resolve) => response.once("close", resolve));
  response.end(request.method === "HEAD" ? undefined : body);
  await closed;
}

/** `a, b and c` */
function listed(names: readonly string[]): string {
  return names.join(", ").replace(/, ([^,]*)$/, " and $1");
}

function text(status: number, body: string): Page {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}

async function begin(): Promise<void> {
  try {
    await listen(server, address);
  } catch (error) {
    tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
    return;
  }
  const bound = server.address();
  tell({ kind: "listening", port: typeof bound === "object" ? bound?.port : undefined });
}

/** Takes nothing new. */
async function finish(): Promise<void> {
  server.close();
  while (underWay.size > 0) await Promise.all(underWay);
  tell({ kind: "finished" });
}

standBack();
parentPort?.on("message", (said: Said) => {
  if (said === "finish") void finish();
  else if ("due" in said) void untilDone(logins?.refresh(said.due));
  else if ("page" in said) asked.get(said.id)?.(said.page);
  else renew(said.login);
});
await begin();
