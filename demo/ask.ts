import { readFileSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { request as requestByTls } from "node:https";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AccessRecord } from "../records/access.ts";
import type { EchoBackend, Received } from "./backend.ts";
import { type Places, REPOSITORY } from "./places.ts";
import type { Outcome, Row } from "./rows.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What of a line of HAProxy's access log is shown. */
type Logged = Pick<AccessRecord, "reason" | "rule">;

/** What shows who asks. */
export interface Shown {
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM of a certificate and its key, for a connection with TLS. */
  readonly certificate?: string;
  /** Whether the connection has TLS without one. */
  readonly tls?: boolean;
}

export function bearer(token: string): Shown {
  return { headers: { authorization: `Bearer ${token}` } };
}

/** A file of demo/certificates/. */
export function certificateFile(name: string): string {
  return readFileSync(resolve(REPOSITORY, "demo/certificates", name), "utf8");
}

/** Who has signed HAProxy's own certificate. */
const SERVERS = certificateFile("devices-authority.pem");

/** Sends one request to HAProxy, the path byte for byte. */
export function send(
  { haproxy, tls }: Pick<Places, "haproxy" | "tls">,
  row: Pick<Row, "method" | "host" | "path" | "headers">,
  { headers: shown = {}, certificate, tls: secure = certificate !== undefined }: Shown = {},
): Promise<Answer> {
  const { method, host, path } = row;
  const headers = { host, accept: "application/json", ...row.headers, ...shown };
  const options = { host: "127.0.0.1", method, path, headers, agent: false, timeout: 10_000 };
  return new Promise((done, fail) => {
    const sent = secure
      ? requestByTls({ ...options, port: tls, ca: SERVERS, cert: certificate, key: certificate })
      : request({ ...options, port: haproxy });
    sent.once("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.once("end", () => done({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.once("timeout", () => sent.destroy(new Error("no answer in 10 s")));
    sent.once("error", fail).end();
  });
}

/** Sends a row's request and gathers what became of it: the answer, HAProxy's log line, what a backend received. */
export async function ask(
  row: Omit<Row, "credential">,
  shown: Shown,
  { places, backends, log }: { places: Places; backends: readonly EchoBackend[]; log: string },
): Promise<Outcome> {
  const before = backends.map(({ received }) => received.length);
  const { status, body } = await send(places, row, shown);
  const received = backends.flatMap((backend, i) => backend.received.slice(before[i]));
  // A redirect has no body that names its id: it is the first request for its path, whose slashes HAProxy escapes.
  const { reason, rule } = await logged(log, status === 303 ? row.path.replaceAll("/", "\\/") : requestId(body));
  return { status, reason, rule, received: received.map(identityOf) };
}

/** A refusal names the request's id in its body (RFC 9457), and the backends' answer all that they received. */
export function requestId(body: string): string {
  return /"(?:request_id|x-request-id)": ?"([0-9a-f]{32})"/.exec(body)?.[1] ?? "";
}

function identityOf({ headers }: Received): Readonly<Record<string, string>> {
  return tellingHeaders(headers);
}

/** Those that say who asks. */
export function tellingHeaders(headers: Received["headers"]): Readonly<Record<string, string>> {
  const telling = Object.entries(headers).filter(([name]) => /^(?:x-auth-.*|authorization|dpop|cookie)$/.test(name));
  return Object.fromEntries(telling.map(([name, value]) => [name, String(value)]));
}

/**
 * HAProxy writes its line once the answer has gone out, so it may come a moment later.
 *
 * @param id the request's, or its path where that is asked for the first time
 */
export async function logged(log: string, id: string): Promise<Logged> {
  if (id === "") return { reason: "an answer without an id", rule: "" };
  for (let i = 0; i < 100; i++) {
    const line = readFileSync(resolve(REPOSITORY, log), "utf8")
      .split("\n")
      .find((text) => text.includes(`"${id}"`));
    if (line !== undefined) return JSON.parse(line) as Logged;
    await sleep(20);
  }
  throw new Error(`${log} has no line of the request ${id}`);
}
