import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export const ALGORITHMS = ["RS256", "ES256", "EdDSA"] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export const AUDIENCE = "api://orders";

/** What a token says beyond issuer, audience and times. */
export type Claims = Readonly<Record<string, unknown>> & { readonly sub: string };

interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/**
 * A stand-in for an OpenID provider: a discovery document, a JWKS with one key an algorithm, and tokens signed in a
 * loop. A real provider would take minutes for 100,000 tokens; the agent cannot tell them apart.
 */
export class Issuer {
  readonly url: string;
  readonly #server: Server;
  readonly #keys: Readonly<Record<Algorithm, Pair>>;

  private constructor(server: Server, keys: Readonly<Record<Algorithm, Pair>>) {
    this.#server = server;
    this.#keys = keys;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<Issuer> {
    const keys = {
      RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
      ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
      EdDSA: generateKeyPairSync("ed25519"),
    };
    const server = createServer((request, response) => {
      const body =
        request.url === "/jwks" ? { keys: jwksOf(keys) } : { issuer: issuer.url, jwks_uri: `${issuer.url}/jwks` };
      response.setHeader("content-type", "application/json").end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const issuer = new Issuer(server, keys);
    return issuer;
  }

  /** An access token that holds for two hours. */
  token(algorithm: Algorithm, claims: Claims): string {
    const now = Math.floor(Date.now() / 1000);
    const signed = unsigned(algorithm, { iss: this.url, aud: AUDIENCE, iat: now, exp: now + 7200, ...claims });
    return `${signed}.${signatureOf(algorithm, this.#keys[algorithm].privateKey, signed)}`;
  }

  publicKey(algorithm: Algorithm): string {
    return String(this.#keys[algorithm].publicKey.export({ type: "spki", format: "pem" }));
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

function unsigned(algorithm: Algorithm, claims: object): string {
  const parts = [{ alg: algorithm, typ: "at+jwt", kid: algorithm }, claims];
  return parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
}

function signatureOf(algorithm: Algorithm, key: KeyObject, text: string): string {
  const digest = algorithm === "EdDSA" ? null : "sha256";
  return sign(digest, Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
}

function jwksOf(keys: Readonly<Record<Algorithm, Pair>>): readonly object[] {
  return ALGORITHMS.map((alg) => ({ ...keys[alg].publicKey.export({ format: "jwk" }), alg, use: "sig", kid: alg }));
}
