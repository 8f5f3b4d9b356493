import { createHash, createHmac } from "node:crypto";
import type { RequestListener } from "node:http";
import type { Test } from "tap";
import { type Front, startFront } from "../../demo/front.ts";
import RESPONSES from "../vectors/aws/sts-responses.json" with { type: "json" };
import { STS_AUTHORITY, STS_CERTIFICATE, STS_KEY } from "./certificates.ts";
import { type ConnectProxy, startConnectProxy } from "./connect-proxy.ts";

/** Credentials of AWS; those of its own documentation, which are nobody's. */
export interface AwsKey {
  readonly id: string;
  readonly secret: string;
  /** Of temporary ones. */
  readonly session?: string;
}

export const KEY: AwsKey = { id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
export const SESSION_KEY: AwsKey = { ...KEY, id: "ASIAIOSFODNN7EXAMPLE", session: "IQoJb3JpZ2luX2VjEXAMPLE//+token==" };

export type Recorded = keyof typeof RESPONSES;

/** Whom a key belongs to: a recorded answer, or one put together. */
export type Holder = Recorded | { readonly account: string; readonly arn: string; readonly userId: string };

/**
 * A stand-in for AWS STS: no AWS is asked anywhere in these tests. It checks the signature of every request by AWS's
 * specification of SigV4, over what has arrived, and answers as AWS does, as far as answers were recorded. It is as
 * careless as AWS where AWS is: it does not hold anybody to `X-Amz-Expires`, nor to signing any header but `host`.
 */
export interface Sts {
  /** What answers instead; by the end of a request's path. */
  readonly front: Front;
  /** Where hosts of AWS lead here: in the configuration, `proxy` and `ca`. */
  readonly proxy: ConnectProxy;
  readonly ca: string;
  /** Keys that it knows, by their id, and whom they belong to. */
  readonly keys: Map<string, { readonly key: AwsKey; readonly holder: Holder }>;
  /** Requests that have arrived. */
  readonly requests: readonly { readonly url: string; readonly headers: Readonly<Record<string, unknown>> }[];
  /** Answers in XML, as AWS does to whom does not ask for JSON. */
  format: "json" | "xml";
}

/** @param clock milliseconds since the epoch */
export async function startSts(t: Test, clock: () => number): Promise<Sts> {
  const keys: Sts["keys"] = new Map();
  const requests: { url: string; headers: Readonly<Record<string, unknown>> }[] = [];
  const listener: RequestListener = (request, response) => {
    const { method = "", url = "", headers } = request;
    requests.push({ url, headers });
    const name = judge(method, url, headers, keys, clock());
    const answer = typeof name === "string" ? RESPONSES[name] : madeUp(name);
    const json = sts.format === "json" && headers.accept === "application/json";
    response.writeHead(answer.status, { "content-type": json ? "application/json" : "text/xml" });
    response.end(json ? JSON.stringify(answer.json) : answer.xml);
  };
  const front = await startFront(listener, { tls: { key: STS_KEY, cert: STS_CERTIFICATE } });
  const proxy = await startConnectProxy(undefined, Number(new URL(front.url).port));
  t.teardown(async () => {
    await proxy.close();
    await front.close();
  });
  const sts: Sts = { front, proxy, ca: STS_AUTHORITY, keys, requests, format: "json" };
  return sts;
}

function madeUp({ account, arn, userId }: Exclude<Holder, string>) {
  const result = { Account: account, Arn: arn, UserId: userId };
  const json = { GetCallerIdentityResponse: { GetCallerIdentityResult: result } };
  const { xml } = RESPONSES.user;
  const put = (text: string, name: keyof typeof result) =>
    text.replace(new RegExp(`<${name}>[^<]*`), `<${name}>${result[name]}`);
  return { status: 200, json, xml: (["Account", "Arn", "UserId"] as const).reduce(put, xml) };
}

const MINUTE = 60_000;

/** What STS says of a request. */
function judge(
  method: string,
  target: string,
  headers: Readonly<Record<string, unknown>>,
  keys: Sts["keys"],
  now: number,
): Holder {
  const { pathname, searchParams } = new URL(`https://sts${target}`);
  const parameters = [...searchParams];
  const get = (name: string) => searchParams.get(name) ?? "";
  const [id = "", day = "", region = "", service = ""] = get("X-Amz-Credential").split("/");
  const known = keys.get(id);
  if (known === undefined || (known.key.session ?? "") !== get("X-Amz-Security-Token")) return "bad-access-key";
  const at = Date.parse(get("X-Amz-Date").replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (now > at + 15 * MINUTE) return "signature-expired";
  if (at > now + 5 * MINUTE) return "not-yet-current";
  const names = get("X-Amz-SignedHeaders").split(";");
  if (!names.includes("host") || service !== "sts") return "signature-mismatch";
  const signature = signatureOf({
    method,
    path: pathname,
    parameters: parameters.filter(([name]) => name !== "X-Amz-Signature"),
    headers: names.map((name) => [name, String(headers[name] ?? "")]),
    scope: [day, region, service],
    date: get("X-Amz-Date"),
    secret: known.key.secret,
  });
  return signature === get("X-Amz-Signature") ? known.holder : "signature-mismatch";
}

/** What is signed: all as it is sent, but for escapes. */
export interface Signed {
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly (readonly [string, string])[];
  readonly headers: readonly (readonly [string, string])[];
  /** Day, region and service. */
  readonly scope: readonly string[];
  readonly date: string;
  readonly secret: string;
}

/** SigV4, as https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html has it. */
export function signatureOf({ method, path, parameters, headers, scope, date, secret }: Signed): string {
  const pairs = parameters.map(([name, value]) => [escaped(name), escaped(value)] as const);
  const query = pairs.sort(([a, x], [b, y]) => (a < b || (a === b && x < y) ? -1 : 1)).map((pair) => pair.join("="));
  const lines = headers.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, " ")}\n`).join("");
  const names = headers.map(([name]) => name).join(";");
  const request = [method, path, query.join("&"), lines, names, digestOf("")].join("\n");
  const whole = [...scope, "aws4_request"];
  const text = ["AWS4-HMAC-SHA256", date, whole.join("/"), digestOf(request)].join("\n");
  const key = whole.reduce<string | Buffer>((secret, part) => mac(secret, part), `AWS4${secret}`);
  return mac(key, text).toString("hex");
}

export function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function mac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** What a client may choose of its request. */
export interface Choice {
  readonly key: AwsKey;
  readonly host: string;
  readonly region: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly path: string;
  readonly method: string;
  readonly service: string;
  /** Signed beside `host`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Others than these, or these with another value; undefined for one that is left out. */
  readonly parameters: Readonly<Record<string, string | undefined>>;
}

export const CHOICE: Choice = {
  key: KEY,
  host: "sts.us-west-2.amazonaws.com",
  region: "us-west-2",
  at: 0,
  path: "/",
  method: "GET",
  service: "sts",
  headers: { "x-k8s-aws-id": "ingress.example.com" },
  parameters: {},
};

/** A URL that is signed as it says, whatever it says. */
export function presign(changes: Partial<Choice> & { readonly at: number }): string {
  const { key, host, region, at, path, method, service, headers, parameters } = { ...CHOICE, ...changes };
  const date = new Date(at).toISOString().replace(/[-:]|\.\d+/g, "");
  const signed = Object.entries({ host, ...headers }).sort(([a], [b]) => (a < b ? -1 : 1));
  const all = {
    Action: "GetCallerIdentity",
    Version: "2011-06-15",
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": [key.id, date.slice(0, 8), region, service, "aws4_request"].join("/"),
    "X-Amz-Date": date,
    "X-Amz-Expires": "60",
    "X-Amz-SignedHeaders": signed.map(([name]) => name).join(";"),
    "X-Amz-Security-Token": key.session,
    ...parameters,
  };
  const given = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  const scope = (all["X-Amz-Credential"] ?? "").split("/").slice(1, 4);
  const signature = signatureOf({
    method,
    path,
    parameters: given,
    headers: signed,
    scope,
    date: all["X-Amz-Date"] ?? "",
    secret: key.secret,
  });
  const query = [...given, ["X-Amz-Signature", signature] as const];
  return `https://${host}${path}?${query.map(([name, value]) => `${escaped(name)}=${escaped(value)}`).join("&")}`;
}

/** The token of a URL. */
export function tokenOf(url: string): string {
  return `k8s-aws-v1.${Buffer.from(url, "latin1").toString("base64url")}`;
}
