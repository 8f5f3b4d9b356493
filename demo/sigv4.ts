import { createHash, createHmac } from "node:crypto";

/** Credentials of AWS; those of its own documentation, which are nobody's. */
export interface AwsKey {
  readonly id: string;
  readonly secret: string;
  /** Of temporary ones. */
  readonly session?: string;
}

export const KEY: AwsKey = { id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
export const SESSION_KEY: AwsKey = { ...KEY, id: "ASIAIOSFODNN7EXAMPLE", session: "IQoJb3JpZ2luX2VjEXAMPLE//+token==" };

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
