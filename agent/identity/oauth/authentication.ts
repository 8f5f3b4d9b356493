import { createPrivateKey } from "node:crypto";
import {
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  modifyAssertion,
  PrivateKeyJwt,
  TlsClientAuth,
} from "oauth4webapi";
import type { SigningKey } from "./key-files.ts";
import type { ClientAuthentication } from "./section.ts";

export type { ClientAuth };

/** What adds a client's proof to a request of it. */
export function authenticationOf(authentication: ClientAuthentication): ClientAuth {
  switch (authentication.method) {
    case "client_secret_basic":
      return ClientSecretBasic(authentication.secret);
    case "client_secret_post":
      return ClientSecretPost(authentication.secret);
    case "private_key_jwt":
      return signedBy(authentication.key);
    case "tls_client_auth":
      return TlsClientAuth();
  }
}

function signedBy({ pem, id, algorithm, audience }: SigningKey): ClientAuth {
  const key = cryptoKey(pem, algorithm);
  return PrivateKeyJwt(id === undefined ? key : { key, kid: id }, {
    [modifyAssertion](header, payload) {
      // The library knows the newer of the two names of Ed25519 alone (RFC 9864).
      header.alg = algorithm;
      if (audience !== undefined) payload.aud = audience;
    },
  });
}

/** A private key for signatures of one JWS algorithm (RFC 7518, section 3.1). */
function cryptoKey(pem: string, algorithm: string): CryptoKey {
  return createPrivateKey(pem).toCryptoKey(parametersOf(algorithm), false, ["sign"]);
}

function parametersOf(algorithm: string) {
  const hash = `SHA-${algorithm.slice(2)}`;
  if (algorithm.startsWith("RS")) return { name: "RSASSA-PKCS1-v1_5", hash };
  if (algorithm.startsWith("PS")) return { name: "RSA-PSS", hash };
  if (!algorithm.startsWith("ES")) return { name: "Ed25519" };
  return { name: "ECDSA", namedCurve: algorithm === "ES512" ? "P-521" : `P-${algorithm.slice(2)}` };
}
