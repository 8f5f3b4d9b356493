import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Claims } from "../issuer.ts";

interface Pair {
  readonly kid: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** Keys that are published: the one to come, the one that signs, the one before, whose tokens end meanwhile. */
const PUBLISHED = 3;

/** An OpenID provider's key set server that rotates: a new key is published one rotation before it signs. */
export class RotatingProvider {
  readonly url: string;
  readonly #server: Server;
  /** The newest first. */
  #keys: readonly Pair[] = [pair(), pair()];

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<RotatingProvider> {
    const server = createServer((request, response) => {
      const { url } = provider;
      const body =
        request.url === "/jwks" ? { keys: provider.#keys.map(jwk) } : { issuer: url, jwks_uri: `${url}/jwks` };
      response.setHeader("content-type", "application/json").end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const provider = new RotatingProvider(server);
    return provider;
  }

  rotate(): void {
    this.#keys = [pair(), ...this.#keys].slice(0, PUBLISHED);
  }

  /** An access token that holds for so many seconds from now; negative: that has ended. */
  token(audience: string, seconds: number, claims: Claims): string {
    const [, signer] = this.#keys;
    if (signer === undefined) throw new Error("no key");
    return signed(signer, this.#claims(audience, seconds, claims));
  }

  /** What looks like a token of this provider, signed by nobody. */
  forged(audience: string, kid: string | undefined, claims: Claims): string {
    const [, signer] = this.#keys;
    const head = { alg: "EdDSA", typ: "at+jwt", kid: kid ?? signer?.kid };
    return `${encoded(head)}.${encoded(this.#claims(audience, 60, claims))}.${randomBytes(64).toString("base64url")}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #claims(audience: string, seconds: number, claims: Claims): object {
    const now = Math.floor(Date.now() / 1000);
    return { iss: this.url, aud: audience, iat: now - Math.max(0, -seconds) - 1, exp: now + seconds, ...claims };
  }
}

function pair(): Pair {
  return { kid: randomBytes(6).toString("hex"), ...generateKeyPairSync("ed25519") };
}

function jwk({ kid, publicKey }: Pair): object {
  return { ...publicKey.export({ format: "jwk" }), alg: "EdDSA", use: "sig", kid };
}

function signed({ kid, privateKey }: Pair, claims: object): string {
  const text = `${encoded({ alg: "EdDSA", typ: "at+jwt", kid })}.${encoded(claims)}`;
  return `${text}.${sign(null, Buffer.from(text), privateKey).toString("base64url")}`;
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}
