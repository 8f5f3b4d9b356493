import { createHmac, generateKeyPairSync, type KeyObject, sign as signBytes } from "node:crypto";
import { CompactEncrypt } from "jose";
import { type Algorithm, type RunningProvider, startProvider } from "../../demo/provider.ts";

/** What an attack is made of. */
export interface Kit {
  readonly provider: RunningProvider;
  /** The provider's own keys. */
  readonly key: (algorithm: Algorithm) => { kid: string; private: KeyObject; public: KeyObject };
  /** Good claims, with changes; undefined removes one. */
  readonly claims: (changes?: Record<string, unknown>) => Record<string, unknown>;
  /** Properly signed by the provider, with claims and header changed. */
  readonly signed: (changes?: Record<string, unknown>, header?: Record<string, unknown>) => Promise<string>;
  /** Properly signed by the provider, with texts that no JSON library would write. */
  readonly raw: (header: string | undefined, payload: string | Buffer) => string;
  /** An address that nobody may ask. */
  readonly trap: string;
}

export const text = (value: string | Buffer) => Buffer.from(value).toString("base64url");
export const json = (value: unknown) => text(JSON.stringify(value));
export const mallory = generateKeyPairSync("rsa", { modulusLength: 2048 });

/** Signed by nobody's business: a key of the attacker. */
export function forged(kit: Kit, header: Record<string, unknown>, key: KeyObject = mallory.privateKey): string {
  const input = `${json({ alg: "RS256", kid: kit.key("RS256").kid, typ: "at+jwt", ...header })}.${json(kit.claims())}`;
  return `${input}.${signBytes("sha256", Buffer.from(input), key).toString("base64url")}`;
}

/** HMAC with a public key as the secret, which every library that trusts the header's `alg` accepts. */
export function confused(kit: Kit, algorithm: string, secret: string | Buffer): string {
  const input = `${json({ alg: algorithm, kid: kit.key("RS256").kid, typ: "at+jwt" })}.${json(kit.claims())}`;
  const hash = `sha${algorithm.trim().slice(2)}`;
  return `${input}.${createHmac(hash, secret).update(input).digest("base64url")}`;
}

/** The same claims behind another signature. */
export function resigned(kit: Kit, algorithm: Algorithm, signature: (input: Buffer) => Buffer): string {
  const input = `${json({ alg: algorithm, kid: kit.key(algorithm).kid, typ: "at+jwt" })}.${json(kit.claims())}`;
  return `${input}.${signature(Buffer.from(input)).toString("base64url")}`;
}

export async function segmentsOf(kit: Kit): Promise<[string, string, string]> {
  return (await kit.signed()).split(".") as [string, string, string];
}

export async function encrypted(kit: Kit, header: Record<string, string>): Promise<string> {
  return new CompactEncrypt(Buffer.from(JSON.stringify(kit.claims())))
    .setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM", ...header })
    .encrypt(kit.key("RS256").public);
}

/** The last character of a segment carries bits that must be zero; this sets one. */
export function respelled(segment: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return segment.slice(0, -1) + alphabet.charAt(alphabet.indexOf(segment.slice(-1)) + 1);
}

export const pem = (kit: Kit) => kit.key("RS256").public.export({ type: "spki", format: "pem" }).toString();

export async function newKit(trap: string): Promise<Kit> {
  const provider = await startProvider({});
  const key = (algorithm: Algorithm) => {
    const found = provider.keys.find((candidate) => candidate.algorithm === algorithm);
    if (found === undefined) throw new Error(algorithm);
    return found;
  };
  const now = Math.floor(Date.now() / 1000);
  const good = { iss: provider.issuer, sub: "alice", aud: "api://orders", exp: now + 600, iat: now };
  const claims = (changes = {}) => ({ ...good, ...changes });
  return {
    provider,
    key,
    claims,
    trap,
    signed: (changes, header) => provider.sign(claims(changes), header),
    raw(header = `{"alg":"RS256","kid":"${key("RS256").kid}"}`, payload) {
      const input = `${text(header)}.${text(payload)}`;
      return `${input}.${signBytes("sha256", Buffer.from(input), key("RS256").private).toString("base64url")}`;
    },
  };
}
