import { createHash, generateKeyPairSync, randomBytes, randomUUID, sign } from "node:crypto";
import type { SealingKey } from "../agent/config/files/sealing-ring.ts";
import { SessionCookies } from "../agent/identity/session/session.ts";
import { awsToken } from "../demo/parties.ts";
import { presign, SESSION_KEY, tokenOf } from "../demo/sigv4.ts";
import { claimsOf, pathOf } from "./contestants/generated.ts";
import type { Issuer } from "./issuer.ts";
import { bearing, HOST, type Request } from "./load/load.ts";

/** What opaque tokens begin with. */
export const PREFIX = "opaque_";
/** The ingress for which a role of AWS signs. */
export const SERVER_ID = "ingress.example.com";

/** A token that nobody has seen. */
export function opaqueToken(): string {
  return PREFIX + randomBytes(24).toString("base64url");
}

/** A token of a role of AWS. */
export function roleToken(): string {
  return awsToken(SERVER_ID, Date.now());
}

/** So many others of it: no two are signed for as long and at the same time. */
export function roleTokens(count: number): readonly string[] {
  const now = Date.now();
  const host = "sts.eu-central-1.amazonaws.com";
  const request = { host, region: "eu-central-1", key: SESSION_KEY, headers: { "x-k8s-aws-id": SERVER_ID } };
  return Array.from({ length: count }, (_, n) => {
    const parameters = { "X-Amz-Expires": String((n % 900) + 1) };
    return tokenOf(presign({ ...request, at: now - 1000 * Math.floor(n / 900), parameters }));
  });
}

/** One token that is bound to a key, and so many proofs of it (RFC 9449). */
export function provenRequests(issuer: Issuer, count: number): readonly Request[] {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { crv = "", kty = "", x = "", y = "" } = publicKey.export({ format: "jwk" });
  const jwk = { crv, kty, x, y };
  const hash = (text: string) => createHash("sha256").update(text).digest("base64url");
  const token = issuer.token("RS256", { ...claimsOf(0), cnf: { jkt: hash(JSON.stringify(jwk)) } });
  const said = { htm: "GET", htu: `http://${HOST}${pathOf(10)}`, ath: hash(token), iat: Math.floor(Date.now() / 1000) };
  return Array.from({ length: count }, () => {
    const parts = [
      { typ: "dpop+jwt", alg: "ES256", jwk },
      { ...said, jti: randomUUID() },
    ];
    const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
    const signature = sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" });
    const other = `DPoP: ${text}.${signature.toString("base64url")}`;
    return { path: pathOf(10), header: `Authorization: DPoP ${token}`, other };
  });
}

/** With the two cookies of somebody who has just logged in at the issuer. */
export function sessionRequest({ url }: Issuer, ring: readonly SealingKey[]): Request {
  const hours = 3_600_000;
  const name = "__Host-countersign";
  const cookies = new SessionCookies({
    ...{ origins: [`https://${HOST}`], cookie: name, keys: "", ring },
    ...{ idle: hours, lifetime: 8 * hours, largest: 8192 },
  });
  const now = Date.now();
  const whose = { name: "bench", issuer: url, login: { client: { id: "bench" } } };
  const times = { begunAt: now, endsAt: now + 8 * hours };
  const session = { id: randomUUID(), host: HOST, ...times, claims: claimsOf(0), scopes: ["openid"] };
  const [sealed, seen] = [cookies.seal(session, whose, now), cookies.sealSeen(session.id, now)];
  return { path: pathOf(10), header: `Cookie: ${name}=${sealed}; ${name}-seen=${seen}` };
}

/** Without a token: the certificate says who it is. */
export const NO_TOKEN: Request = { path: pathOf(10), header: "Accept: */*" };

/** A service account of the mesh. */
export const MESHED = "web.shop.serviceaccount.identity.linkerd.cluster.local";
/** As the Linkerd proxy in HAProxy's pod would have written it. */
export const MESHED_REQUEST: Request = { path: pathOf(10), header: `l5d-client-id: ${MESHED}` };

export function bearer(token: string): Request {
  return bearing(token, pathOf(10));
}
