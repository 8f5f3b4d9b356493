import {
  type InnerList,
  type Item,
  isInnerList,
  parseDictionary,
  parseItem,
  serializeInnerList,
  serializeItem,
} from "structured-headers";
import type { Refusal } from "../issuer/refusal.ts";
import { directoryOf } from "./agent-url.ts";

/** What draft-ietf-webbotauth-httpsig-protocol-01 has its signatures say that they are. */
const TAG = "web-bot-auth";

/** Algorithms of RFC 9421, section 6.2, by the names that JOSE has for them; no shared secrets. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  ed25519: "Ed25519",
  "ecdsa-p256-sha256": "ES256",
  "ecdsa-p384-sha384": "ES384",
  "rsa-pss-sha512": "PS512",
};

/** A request and what was said to sign it, as it came. Nothing in it is proven. */
export interface SignedRequest {
  readonly signature: string;
  readonly input: string;
  readonly agent: string;
  readonly method: string;
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
}

/** A signature, taken apart. Nothing in it is proven. */
export interface Signed {
  /** What is signed (RFC 9421, section 2.5). */
  readonly base: string;
  /** In base64url. */
  readonly signature: string;
  /** The directory that the agent names, normalized. */
  readonly directory: string;
  /** Of the key. */
  readonly thumbprint: string;
  readonly algorithm: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly nonce: string | undefined;
}

/** The request in a credential, as answer/credentials.ts has put it together; undefined for what is none, or written otherwise. */
export function signedRequest(text: string): SignedRequest | undefined {
  const written = Buffer.from(text, "base64url").toString();
  const parts: unknown = attempt(() => JSON.parse(written));
  const isList = Array.isArray(parts) && parts.every((part) => typeof part === "string");
  if (!isList || Buffer.from(JSON.stringify(parts)).toString("base64url") !== text) return undefined;
  const [signature = "", input = "", agent = "", method = "", scheme = "", host = "", path = "", query = ""] = parts;
  return { signature, input, agent, method, scheme, host, path, query };
}

/** Takes the one signature of a request apart that is for agents, before any cryptography. */
export function readSigned(request: SignedRequest | undefined): Signed | Refusal {
  if (request === undefined) return { reason: "credential-malformed" };
  const covered = coveredOf(request.input);
  if ("reason" in covered) return covered;
  const { label, list } = covered;
  const signature = signatureOf(request.signature, label);
  if (signature === undefined) return { reason: "credential-malformed", claim: "Signature" };
  const told = parametersOf(list);
  if ("reason" in told) return told;
  const directory = directoryIn(request.agent, list);
  if (directory === undefined) return { reason: "signature-incomplete", claim: "signature-agent" };
  const base = baseOf(request, list);
  return typeof base === "string" ? { base, signature, directory, ...told } : base;
}

/** Of several for agents none could be told to be meant; one for something else is not ours to judge. */
function coveredOf(input: string): { readonly label: string; readonly list: InnerList } | Refusal {
  const members = attempt(() => parseDictionary(input));
  if (members === undefined || members.size === 0) return { reason: "credential-malformed", claim: "Signature-Input" };
  const lists = [...members].flatMap(([label, member]) => (isInnerList(member) ? [{ label, list: member }] : []));
  const [one, other] = lists.filter(({ list: [, parameters] }) => parameters.get("tag") === TAG);
  if (one === undefined) return { reason: "issuer-unknown", claim: "tag" };
  return other === undefined ? one : { reason: "credential-malformed", claim: "Signature-Input" };
}

function signatureOf(header: string, label: string): string | undefined {
  const [value] = attempt(() => parseDictionary(header))?.get(label) ?? [];
  return value instanceof ArrayBuffer ? Buffer.from(value).toString("base64url") : undefined;
}

type Told = Pick<Signed, "thumbprint" | "algorithm" | "createdAt" | "expiresAt" | "nonce">;

function parametersOf([, parameters]: InnerList): Told | Refusal {
  const [created, expires, keyid] = ["created", "expires", "keyid"].map((name) => parameters.get(name));
  const [nonce, alg = "ed25519"] = [parameters.get("nonce"), parameters.get("alg")];
  if (!isTime(created)) return { reason: "signature-incomplete", claim: "created" };
  if (!isTime(expires)) return { reason: "signature-incomplete", claim: "expires" };
  if (typeof keyid !== "string") return { reason: "signature-incomplete", claim: "keyid" };
  if (nonce !== undefined && typeof nonce !== "string") return { reason: "credential-malformed", claim: "nonce" };
  const algorithm = typeof alg === "string" && Object.hasOwn(ALGORITHMS, alg) ? ALGORITHMS[alg] : undefined;
  if (algorithm === undefined) return { reason: "algorithm-refused", claim: "alg" };
  return { thumbprint: keyid, algorithm, createdAt: created * 1000, expiresAt: expires * 1000, nonce };
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * The directory that the signature is said to be of, where it covers that: the member of `Signature-Agent` that the
 * covered component names, or the text that the field is as a whole, as it was before there were several.
 */
function directoryIn(header: string, [items]: InnerList): string | undefined {
  const [covered, other] = items.filter(([name]) => name === "signature-agent");
  if (covered === undefined || other !== undefined) return undefined;
  const key = covered[1].get("key");
  const [value] = (key === undefined ? attempt(() => parseItem(header)) : memberOf(header, key)) ?? [];
  return typeof value === "string" ? directoryOf(value) : undefined;
}

function memberOf(header: string, key: unknown): Item | undefined {
  const member = typeof key === "string" ? attempt(() => parseDictionary(header))?.get(key) : undefined;
  return member === undefined || isInnerList(member) ? undefined : member;
}

/** RFC 9421, section 2.5. What is signed has to name whom it is for, or it could be shown to anybody. */
function baseOf(request: SignedRequest, list: InnerList): string | Refusal {
  const [items] = list;
  const lines = new Map<string, string>();
  for (const item of items) {
    const [name, value] = [serializeItem(item), componentOf(request, item)];
    if (value === undefined) return { reason: "signature-incomplete", claim: "components" };
    // RFC 9421, section 2: each once.
    if (lines.has(name)) return { reason: "credential-malformed", claim: "Signature-Input" };
    lines.set(name, `${name}: ${value}`);
  }
  if (!lines.has('"@authority"') && !lines.has('"@target-uri"')) {
    return { reason: "signature-incomplete", claim: "@authority" };
  }
  return [...lines.values(), `"@signature-params": ${serializeInnerList(list)}`].join("\n");
}

/** The value of a component (RFC 9421, sections 2.1 and 2.2); undefined for one that is not seen here. */
function componentOf(request: SignedRequest, [name, parameters]: Item): string | undefined {
  const { method, scheme, path, query, agent } = request;
  if (name === "signature-agent") {
    const key = parameters.get("key");
    if (parameters.size === 0) return agent.trim();
    const member = parameters.size === 1 ? memberOf(agent, key) : undefined;
    return member === undefined ? undefined : serializeItem(member);
  }
  if (parameters.size > 0) return undefined;
  const authority = authorityOf(request);
  const target = query === "" ? path : `${path}?${query}`;
  const derived: Readonly<Record<string, string>> = {
    "@method": method,
    "@scheme": scheme,
    "@authority": authority,
    "@path": path,
    "@query": `?${query}`,
    "@request-target": target,
    "@target-uri": `${scheme}://${authority}${target}`,
  };
  return typeof name === "string" && Object.hasOwn(derived, name) ? derived[name] : undefined;
}

/** RFC 9421, section 2.2.3: in lower case, without the scheme's own port. */
function authorityOf({ scheme, host }: SignedRequest): string {
  return host.toLowerCase().replace(scheme === "https" ? /:443$/ : /:80$/, "");
}

/** What the library throws at a text that is none is no bug of anybody here. */
function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
