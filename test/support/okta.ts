import { generateKeyPairSync, hash, type KeyObject, randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { calculateJwkThumbprint, EmbeddedJWK, type JWTPayload, jwtVerify, SignJWT } from "jose";
import { type Front, startFront } from "../../demo/front.ts";

/** The service app that asks for groups. */
export const APP = { id: "0oaServiceApp", key: generateKeyPairSync("rsa", { modulusLength: 2048 }) };

/**
 * A stand-in for an Okta org: what it answers has the shapes that Okta's documentation and API description record (names,
 * codes, headers), and it holds a client to all that those demand. It is not Okta.
 */
export interface Okta {
  readonly org: string;
  /** A custom authorization server of its. */
  readonly issuer: string;
  readonly front: Front;
  /** Names of the groups of each user. */
  readonly groups: Map<string, readonly string[]>;
  /** What it does; may be changed at any time. */
  readonly ways: { dpop: boolean; page: number; remaining: number; reset: number; answer: Answer | undefined };
  /** A token of the custom authorization server, as it makes them, with some claims changed. */
  token(claims?: Readonly<Record<string, unknown>>): Promise<string>;
  /** Takes back every token of the service app. */
  forget(): void;
  /** How often these were asked for. */
  count(what: "token" | "groups"): number;
  close(): Promise<void>;
}

type Answer = (response: ServerResponse) => void;

/** An error as Okta's API words it. */
export function oktaError(code: string): string {
  return JSON.stringify({ errorCode: code, errorSummary: "…", errorLink: code, errorId: "oae", errorCauses: [] });
}

export async function startOkta(now: () => number = Date.now): Promise<Okta> {
  const signing = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const groups = new Map<string, readonly string[]>();
  const ways: Okta["ways"] = { dpop: true, page: 2, remaining: 599, reset: 0, answer: undefined };
  const tokens = new Map<string, string | undefined>();
  const jtis = new Set<unknown>();
  const nonce = "8NLZUUhVawx1ns8AjrC4F6j8D2phvaw7";
  const counts = { token: 0, groups: 0 };
  const front = await startFront((request, response) => void answer(request, response).catch(() => response.destroy()));
  const [org, issuer] = [front.url, `${front.url}/oauth2/default`];
  const json = (response: ServerResponse, status: number, body: unknown, headers = {}) => {
    const written = typeof body === "string" ? body : JSON.stringify(body);
    response.writeHead(status, { "content-type": "application/json", date: new Date(now()).toUTCString(), ...headers });
    response.end(written);
  };
  const once = ({ jti }: JWTPayload) => {
    if (typeof jti !== "string" || jtis.has(jti)) throw new Error("a jti a second time");
    jtis.add(jti);
  };
  /** RFC 9449, section 4.3. @returns the thumbprint of the proof's key */
  const proofOf = async ({ method, headers: { dpop } }: IncomingMessage, path: string, token?: string) => {
    const { payload, protectedHeader } = await jwtVerify(String(dpop), EmbeddedJWK, { typ: "dpop+jwt" });
    once(payload);
    const ath = token === undefined ? undefined : hash("sha256", token, "base64url");
    if (payload.htm !== method || payload.htu !== `${org}${path}` || payload.ath !== ath)
      throw new Error("a proof of something else");
    return { thumbprint: await calculateJwkThumbprint(protectedHeader.jwk ?? {}), nonce: payload.nonce };
  };
  const grant = async (request: IncomingMessage, response: ServerResponse) => {
    counts.token++;
    const form = new URLSearchParams(await text(request));
    const { payload } = await jwtVerify(form.get("client_assertion") ?? "", APP.key.publicKey, {
      ...{ issuer: APP.id, subject: APP.id, audience: `${org}/oauth2/v1/token` },
      requiredClaims: ["exp", "jti"],
    });
    once(payload);
    if (form.get("grant_type") !== "client_credentials" || form.get("scope") !== "okta.users.read") {
      return json(response, 400, { error: "invalid_scope" });
    }
    if (ways.dpop && request.headers.dpop === undefined) {
      return json(response, 400, {
        error: "invalid_dpop_proof",
        error_description: "The DPoP proof JWT header is missing.",
      });
    }
    const proof = ways.dpop ? await proofOf(request, "/oauth2/v1/token") : undefined;
    if (proof !== undefined && proof.nonce !== nonce) {
      const error_description = "Authorization server requires nonce in DPoP proof.";
      return json(response, 400, { error: "use_dpop_nonce", error_description }, { "dpop-nonce": nonce });
    }
    const access_token = randomUUID();
    tokens.set(access_token, proof?.thumbprint);
    const token_type = ways.dpop ? "DPoP" : "Bearer";
    json(response, 200, { token_type, expires_in: 3600, access_token, scope: "okta.users.read" });
  };
  const list = async (request: IncomingMessage, response: ServerResponse, url: URL) => {
    counts.groups++;
    if (ways.answer !== undefined) return ways.answer(response);
    const [scheme, token = ""] = (request.headers.authorization ?? "").split(" ");
    if (!tokens.has(token) || scheme !== (ways.dpop ? "DPoP" : "Bearer")) {
      const challenge = {
        "www-authenticate": `${scheme} error="invalid_token", error_description="The access token is invalid."`,
      };
      return json(response, 401, oktaError("E0000011"), challenge);
    }
    if (ways.dpop && (await proofOf(request, url.pathname, token)).thumbprint !== tokens.get(token))
      throw new Error("another key");
    const names = groups.get(url.pathname.split("/")[4] ?? "");
    if (names === undefined) return json(response, 404, oktaError("E0000007"));
    const start = Number(url.searchParams.get("after") ?? 0);
    const end = start + ways.page;
    const self = `<${url.href}>; rel="self"`;
    const next = `<${org}${url.pathname}?after=${end}&limit=200>; rel="next"`;
    const headers = {
      link: end < names.length ? [self, next] : [self],
      "x-rate-limit-limit": "600",
      "x-rate-limit-remaining": String(ways.remaining),
      "x-rate-limit-reset": String(ways.reset),
    };
    const page = names.slice(start, end).map((name) => ({ id: `00g${name}`, type: "OKTA_GROUP", profile: { name } }));
    json(response, 200, page, headers);
  };
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", org);
    if (url.pathname === "/oauth2/v1/token") return grant(request, response);
    if (/^\/api\/v1\/users\/\w+\/groups$/.test(url.pathname)) return list(request, response, url);
    if (url.pathname === "/oauth2/default/v1/keys") {
      const jwk = signing.publicKey.export({ format: "jwk" });
      return json(response, 200, { keys: [{ ...jwk, kid: "k", alg: "RS256", use: "sig" }] });
    }
    if (url.pathname.endsWith("/oauth2/default/.well-known/openid-configuration")) {
      return json(response, 200, { issuer, jwks_uri: `${issuer}/v1/keys` });
    }
    json(response, 404, oktaError("E0000022"));
  }
  return {
    ...{ org, issuer, front, groups, ways },
    token: (claims = {}) => tokenOf(signing.privateKey, issuer, now(), claims),
    forget: () => tokens.clear(),
    count: (what) => counts[what],
    close: () => front.close(),
  };
}

/** As a custom authorization server makes them: no `typ`, scopes as a list, the client in `cid`. */
function tokenOf(key: KeyObject, iss: string, now: number, claims: Readonly<Record<string, unknown>>): Promise<string> {
  const iat = Math.floor(now / 1000);
  const payload = {
    ...{ ver: 1, jti: `AT.${randomUUID()}`, iss, aud: "api://orders", iat, exp: iat + 600 },
    ...{ cid: "0oa4dr9kzkykPrLhq0g7", uid: "00u47ijy7sRLaeSdC0g7", scp: ["orders:read"], sub: "alice@example.com" },
    ...claims,
  };
  return new SignJWT(payload).setProtectedHeader({ kid: "k", alg: "RS256" }).sign(key);
}
