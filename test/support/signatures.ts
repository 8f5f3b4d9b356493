import { createPublicKey, generateKeyPairSync, hash, type KeyObject, sign } from "node:crypto";

/** A key that an agent signs with, and how its directory shows it. */
export interface AgentKey {
  readonly privateKey: KeyObject;
  readonly jwk: Readonly<Record<string, string>>;
  /** RFC 7638. */
  readonly thumbprint: string;
}

export function agentKey(): AgentKey {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { kty = "", crv = "", x = "" } = createPublicKey(privateKey).export({ format: "jwk" });
  return { privateKey, jwk: { kty, crv, x }, thumbprint: hash("sha256", JSON.stringify({ crv, kty, x }), "base64url") };
}

/** What is signed, and how; what is not said is as a good agent does it. */
export interface Signing {
  readonly key: AgentKey;
  readonly method?: string;
  readonly host?: string;
  readonly path?: string;
  readonly query?: string;
  readonly scheme?: string;
  /** `Signature-Agent`; default: a dictionary with the directory. */
  readonly agent?: string;
  readonly directory?: string;
  /** Covered components, as they are written, with their values. */
  readonly components?: Readonly<Record<string, string>>;
  /** Seconds since the epoch. */
  readonly created?: number;
  readonly expires?: number;
  /** Parameters behind the list, each with its `;`; default: those of the draft. */
  readonly parameters?: string;
  readonly nonce?: string;
}

/** The three header values of a signed request (RFC 9421, section 4), put together by hand: no code under test takes part. */
export function signed(signing: Signing): {
  readonly signature: string;
  readonly input: string;
  readonly agent: string;
} {
  const {
    key,
    method = "GET",
    host = "orders.example.com",
    path = "/v1/orders",
    query = "",
    scheme = "https",
  } = signing;
  const { directory = "https://bot.example/keys", agent = `bot="${directory}"` } = signing;
  const target = query === "" ? path : `${path}?${query}`;
  const {
    components = {
      '"@method"': method,
      '"@authority"': host,
      '"@path"': path,
      '"@query"': `?${query}`,
      '"@target-uri"': `${scheme}://${host}${target}`,
      '"signature-agent";key="bot"': `"${directory}"`,
    },
  } = signing;
  const { created = Math.floor(Date.now() / 1000), expires = created + 60, nonce } = signing;
  const {
    parameters = `;created=${created};expires=${expires};keyid="${key.thumbprint}"${nonce === undefined ? "" : `;nonce="${nonce}"`};tag="web-bot-auth"`,
  } = signing;
  const list = `(${Object.keys(components).join(" ")})${parameters}`;
  const lines = Object.entries(components).map(([name, value]) => `${name}: ${value}\n`);
  const value = sign(null, Buffer.from(`${lines.join("")}"@signature-params": ${list}`), key.privateKey);
  return { signature: `sig=:${value.toString("base64")}:`, input: `sig=${list}`, agent };
}

/** The credential that the agent makes of a signed request. */
export function signedCredential(signing: Signing): string {
  const { method = "GET", host = "orders.example.com", path = "/v1/orders", query = "", scheme = "https" } = signing;
  const { signature, input, agent } = signed(signing);
  return Buffer.from(JSON.stringify([signature, input, agent, method, scheme, host, path, query])).toString(
    "base64url",
  );
}
