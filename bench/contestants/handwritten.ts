import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Algorithm } from "../issuer.ts";
import { AUDIENCE } from "../issuer.ts";
import { freePort } from "../processes.ts";
import { type Contestant, folderOf, type Stage, type Subject } from "../stage.ts";
import { startWritten } from "./written.ts";

/** HAProxy as it would be without any authorization: what every other row is held against. */
export const PLAIN: Contestant = { name: "plain HAProxy", start: (stage) => startAlone(stage, PLAIN.name, []) };

/**
 * HAProxy's own check of a token: algorithm, signature, issuer, audience and expiry, with two claims as headers for
 * the backend. It has no groups, routes, key rotation or reasons; it is here as the cost of one signature in HAProxy.
 */
export function jwtVerify(algorithm: Exclude<Algorithm, "EdDSA">): Contestant {
  const name = `jwt_verify ${algorithm}`;
  return {
    name,
    start(stage) {
      const key = join(folderOf(stage, name), "key.pem");
      writeFileSync(key, stage.issuer.publicKey(algorithm));
      return startAlone(stage, name, jwtRules(algorithm, key, stage.issuer.url));
    },
  };
}

function jwtRules(algorithm: string, key: string, issuer: string): readonly string[] {
  return [
    "http-request del-header x-auth- -m beg",
    "http-request set-var(txn.bearer) http_auth_bearer",
    "http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')",
    `http-request deny deny_status 401 unless { var(txn.alg) -m str ${algorithm} }`,
    `http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${key}") -m int 1 }`,
    "http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')",
    "http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud')",
    "http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')",
    "http-request set-var(txn.now) date()",
    `http-request deny deny_status 401 unless { var(txn.iss) -m str ${issuer} }`,
    `http-request deny deny_status 401 unless { var(txn.aud) -m str ${AUDIENCE} }`,
    "http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }",
    "http-request set-header x-auth-subject %[var(txn.bearer),jwt_payload_query('$.sub')]",
    "http-request set-header x-auth-tenant %[var(txn.bearer),jwt_payload_query('$.tenant')]",
    "http-request del-header authorization",
  ];
}

async function startAlone(stage: Stage, name: string, rules: readonly string[]): Promise<Subject> {
  const port = await freePort();
  return { port, haproxy: await startWritten(stage, name, port, { rules }), agent: undefined };
}
