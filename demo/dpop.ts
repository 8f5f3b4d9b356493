import { createHash, randomUUID } from "node:crypto";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

/** Proves that its client has a key, for one method and URL, and for a token (RFC 9449, section 4.2). */
export type Prover = (method: string, url: string, token?: string) => Promise<string>;

/** @returns the prover of a new key */
export async function newProver(): Promise<Prover> {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const header = { typ: "dpop+jwt", alg: "ES256", jwk: await exportJWK(publicKey) };
  return (htm, htu, token) => {
    const ath = token === undefined ? {} : { ath: createHash("sha256").update(token).digest("base64url") };
    return new SignJWT({ jti: randomUUID(), htm, htu, ...ath })
      .setIssuedAt()
      .setProtectedHeader(header)
      .sign(privateKey);
  };
}
