import type { Refusal } from "../issuer/refusal.ts";
import type { Endpoints } from "./endpoints.ts";

/** How the tokens begin that `aws eks get-token` and aws-iam-authenticator make. */
export const PREFIX = "k8s-aws-v1.";

/** A GetCallerIdentity request that its sender has signed for us to send. */
export interface Presigned {
  /** Made anew of what was checked: nothing of the token is sent that is not understood. */
  readonly url: URL;
  readonly accessKeyId: string;
  /** Milliseconds since the epoch. */
  readonly signedAt: number;
}

/** What a request must be for, to be sent. */
export interface Expected {
  readonly endpoints: Endpoints;
  /** The header, in lower case, by which its sender has signed that the request is for us. */
  readonly header: string;
}

/** As aws-iam-authenticator has it; the longest that AWS makes have some 1,500. */
const LONGEST = 4096;
// One spelling of each request, and no character that two programs read in two ways: URL parsers of browsers and of Node
// take upper case, `:443`, `user@`, a tab in the host, `\` and many more for what is meant here.
const REQUEST = /^https:\/\/([a-z0-9.-]{1,253})\/\?([\w.~%=&-]+)$/;
const ESCAPED = /^(?:[\w.~-]|%[2-7][0-9A-F])*$/;

/** Every parameter that a request may have, each exactly once. STS knows others, and reads names in more ways than one. */
const PARAMETERS: Readonly<Record<string, RegExp>> = {
  Action: /^GetCallerIdentity$/,
  Version: /^2011-06-15$/,
  "X-Amz-Algorithm": /^[!-~]{1,64}$/,
  "X-Amz-Credential": /^[A-Z0-9]{16,128}\/\d{8}\/[a-z0-9-]{1,64}\/sts\/aws4_request$/,
  "X-Amz-Date": /^\d{8}T\d{6}Z$/,
  // At most the 900 seconds that SigV4 allows. STS does not hold anybody to it.
  "X-Amz-Expires": /^(?:\d|[1-9]\d|[1-8]\d\d|900)$/,
  "X-Amz-Security-Token": /^[A-Za-z0-9+/=_-]{1,3800}$/,
  "X-Amz-Signature": /^[0-9a-f]{64}$/,
  "X-Amz-SignedHeaders": /^[a-z0-9;-]{1,256}$/,
};
/** Only temporary credentials have one. */
const OPTIONAL = "X-Amz-Security-Token";

/**
 * Takes a token apart, and refuses whatever is not exactly a request that may be sent. It asks nobody, and says nothing
 * of time; see `timesFault`.
 */
export function readPresigned(text: string, expected: Expected): Presigned | Refusal {
  if (text.length > LONGEST) return { reason: "token-too-large" };
  const encoded = text.slice(PREFIX.length);
  const bytes = Buffer.from(encoded, "base64url");
  if (!text.startsWith(PREFIX) || bytes.toString("base64url") !== encoded) return { reason: "token-malformed" };
  const [, host, query] = REQUEST.exec(bytes.toString("latin1")) ?? [];
  if (host === undefined || query === undefined) return { reason: "token-malformed", claim: "URL" };
  const region = Object.hasOwn(expected.endpoints, host) ? expected.endpoints[host] : undefined;
  if (region === undefined) return { reason: "issuer-unknown", claim: "host" };
  const parameters = parametersOf(query);
  if ("reason" in parameters) return parameters;
  const fault = faultOf(parameters, region, expected.header);
  if (fault !== undefined) return fault;
  const { "X-Amz-Credential": credential = "", "X-Amz-Date": date = "" } = parameters.named;
  const [accessKeyId = ""] = credential.split("/");
  return { url: urlOf(host, parameters.named), accessKeyId, signedAt: instantOf(date) };
}

interface Parameters {
  readonly named: Readonly<Record<string, string>>;
}

/** Each known one once, as the one who signs them writes them. CVE-2022-2385: what came twice, in two cases, was read twice. */
function parametersOf(query: string): Parameters | Refusal {
  const named: Record<string, string> = {};
  for (const part of query.split("&")) {
    const [name = "", written = "", ...more] = part.split("=");
    const form = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
    if (form === undefined || more.length > 0) return malformed("query");
    const value = unescaped(written);
    if (named[name] !== undefined || value === undefined || !form.test(value)) return malformed(name);
    named[name] = value;
  }
  const missing = Object.keys(PARAMETERS).find((name) => name !== OPTIONAL && named[name] === undefined);
  return missing === undefined ? { named } : malformed(missing);
}

/** What the parameters must be to each other and to us. */
function faultOf({ named }: Parameters, region: string, header: string): Refusal | undefined {
  const { "X-Amz-Credential": credential = "", "X-Amz-Date": date = "", "X-Amz-SignedHeaders": signed = "" } = named;
  // `AWS4-ECDSA-P256-SHA256` is signed for many regions at once.
  if (named["X-Amz-Algorithm"] !== "AWS4-HMAC-SHA256") return { reason: "algorithm-refused", claim: "X-Amz-Algorithm" };
  const [, day, place] = credential.split("/");
  if (day !== date.slice(0, 8) || place !== region) return malformed("X-Amz-Credential");
  if (Number.isNaN(instantOf(date))) return malformed("X-Amz-Date");
  const headers = signed.split(";");
  if (!headers.includes(header)) return { reason: "audience-not-accepted", claim: "X-Amz-SignedHeaders" };
  // In the one order that SigV4 has for them. Of any other header we would have to send what its sender wants.
  return signed === ["host", header].sort().join(";") ? undefined : malformed("X-Amz-SignedHeaders");
}

/** Why a request may not be sent at an instant. STS does not hold to `X-Amz-Expires`, but takes what is 15 minutes old. */
export function timesFault(
  signedAt: number,
  { maxAge, clockTolerance }: { readonly maxAge: number; readonly clockTolerance: number },
  now: number,
): Refusal | undefined {
  if (now >= signedAt + maxAge) return { reason: "token-expired", claim: "X-Amz-Date" };
  return signedAt > now + clockTolerance ? { reason: "token-not-yet-valid", claim: "X-Amz-Date" } : undefined;
}

function malformed(claim: string): Refusal {
  return { reason: "token-malformed", claim };
}

/** Decoded, where it is escaped as SigV4 escapes: what must be, in upper case, and nothing else. */
function unescaped(written: string): string | undefined {
  if (!ESCAPED.test(written)) return undefined;
  const value = decodeURIComponent(written);
  return escaped(value) === written ? value : undefined;
}

/** RFC 3986, section 2.3: all but unreserved characters; encodeURIComponent leaves some more. */
function escaped(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Milliseconds since the epoch; NaN where there is no such day or time. */
function instantOf(date: string): number {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? [];
  const text = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const instant = Date.parse(text);
  return Number.isNaN(instant) || new Date(instant).toISOString() !== text ? Number.NaN : instant;
}

/** The host is one of ours by now, and each parameter has the form that it must have. */
function urlOf(host: string, named: Readonly<Record<string, string>>): URL {
  const query = Object.keys(PARAMETERS).flatMap((name) => {
    const value = named[name];
    return value === undefined ? [] : [`${name}=${escaped(value)}`];
  });
  return new URL(`https://${host}/?${query.join("&")}`);
}
