import "../../demo/quiet.ts";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import type { IncomingMessage, RequestListener } from "node:http";
import type { TLSSocket } from "node:tls";
import { type Context, errors, Provider } from "oidc-provider";
import { send } from "../../agent/http/fetch.ts";
import { type Front, startFront } from "../../demo/front.ts";
import { RESOURCE } from "../../demo/provider.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "./certificates.ts";

const GRANT = "urn:countersign:test:person";
const ES256 = { id_token_signed_response_alg: "ES256", introspection_signed_response_alg: "ES256" };
const PORTAL = { client_id: "portal", client_secret: "portal-secret" };

/** Clients of the provider that ask about tokens; each authenticates in its own way. */
export const ASKERS = {
  basic: { id: "orders:gateway", secret: "a secret/with+odd&signs=%" },
  post: { id: "poster", secret: "another-secret" },
  signer: { id: "signer" },
  shower: { id: "shower" },
  signed: { id: "signed", secret: "third-secret" },
};

/** The key of `signer`, whose public half the provider knows. */
export const SIGNER_KEY = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** A real OpenID provider whose access tokens are opaque, and which tells about them. */
export interface OpaqueProvider {
  readonly issuer: string;
  readonly endpoint: string;
  readonly front: Front;
  /** A fresh access token of somebody. */
  token(subject: string, options?: { audience?: string; scope?: string }): Promise<string>;
  /** Takes a token back (RFC 7009). */
  revoke(token: string): Promise<void>;
  /** What it keeps of a token may be changed; undefined where there is none. */
  stored(token: string): Record<string, unknown> | undefined;
  close(): Promise<void>;
}

/** @param claims what its answers tell beside, by subject */
export async function startOpaqueProvider(
  claims: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {},
  { tls = false } = {},
): Promise<OpaqueProvider> {
  let handler: RequestListener = () => {};
  const secure = { key: SERVER_KEY, cert: SERVER_CERTIFICATE, requestCert: true, rejectUnauthorized: false };
  const front = await startFront((request, response) => handler(request, response), tls ? { tls: secure } : {});
  const store = new Map<string, Record<string, unknown>>();
  const provider = providerOf(front.url, claims, store);
  handler = provider.callback() as RequestListener;
  const post = async (path: string, form: Readonly<Record<string, string>>) => {
    const bounds = { signal: new AbortController().signal, ca: AUTHORITY, proxy: undefined, maxSize: 65_536 };
    const { status, body } = await send(new URL(path, front.url), bounds, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ ...PORTAL, ...form }).toString(),
    });
    return { status, text: body.toString() };
  };
  return {
    issuer: front.url,
    endpoint: `${front.url}/token/introspection`,
    front,
    async token(subject, { audience = RESOURCE, scope = "orders:read" } = {}) {
      const { text } = await post("/token", { grant_type: GRANT, person: subject, audience, scope });
      const { access_token } = JSON.parse(text) as { readonly access_token?: string };
      if (access_token === undefined) throw new Error(text);
      return access_token;
    },
    async revoke(token) {
      const { status, text } = await post("/token/revocation", { token });
      if (status !== 200) throw new Error(text);
    },
    stored: (token) => store.get(token),
    close: () => front.close(),
  };
}

function providerOf(
  issuer: string,
  claims: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  store: Map<string, Record<string, unknown>>,
): Provider {
  const asks = { grant_types: [], redirect_uris: [], response_types: [], ...ES256 };
  const { basic, post, signer, shower, signed } = ASKERS;
  const x5c = [new X509Certificate(SERVER_CERTIFICATE).raw.toString("base64")];
  const signing = { ...SIGNER_KEY.publicKey.export({ format: "jwk" }), kid: "signer-1", use: "sig" };
  const shown = { ...new X509Certificate(SERVER_CERTIFICATE).publicKey.export({ format: "jwk" }), x5c };
  const method = (name: string) => ({ ...asks, token_endpoint_auth_method: name });
  const provider = new Provider(issuer, {
    clients: [
      { ...PORTAL, ...method("client_secret_post"), grant_types: [GRANT] },
      { client_id: basic.id, client_secret: basic.secret, ...method("client_secret_basic") },
      { client_id: post.id, client_secret: post.secret, ...method("client_secret_post") },
      {
        client_id: signer.id,
        jwks: { keys: [signing] },
        ...method("private_key_jwt"),
        token_endpoint_auth_signing_alg: "ES256",
      },
      { client_id: shower.id, jwks: { keys: [shown] }, ...method("self_signed_tls_client_auth") },
      { client_id: signed.id, client_secret: signed.secret, ...method("client_secret_basic") },
    ],
    jwks: { keys: [signingKey()] },
    scopes: ["orders:read"],
    adapter: () => adapterOf(store),
    cookies: { keys: ["for-tests-only"] },
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt", "self_signed_tls_client_auth"],
    enabledJWA: { introspectionSigningAlgValues: ["ES256"] },
    ttl: { AccessToken: 600 },
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        getResourceServerInfo: () => serverOf(RESOURCE),
      },
      mTLS: { enabled: true, selfSignedTlsClientAuth: true, getCertificate },
    },
    extraTokenClaims: (_context: unknown, { accountId = "" }: { accountId?: string }) => claims[accountId] ?? {},
  });
  const grant = async (context: Context) => {
    const { person, scope, audience = RESOURCE } = context.oidc.params;
    if (person === undefined) throw new errors.InvalidGrant("nobody");
    const token = new provider.AccessToken({ client: context.oidc.client, accountId: person, scope, gty: GRANT });
    token.resourceServer = new provider.ResourceServer(audience, serverOf(audience));
    context.oidc.entity("AccessToken", token);
    context.body = { access_token: await token.save(), token_type: "Bearer" };
  };
  provider.registerGrantType(GRANT, grant, ["person", "scope", "audience"]);
  return provider;
}

function serverOf(audience: string) {
  return { audience, scope: "orders:read", accessTokenFormat: "opaque", accessTokenTTL: 600 };
}

function signingKey() {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { ...privateKey.export({ format: "jwk" }), kid: "answers-1", alg: "ES256", use: "sig" };
}

function getCertificate({ req }: { readonly req: IncomingMessage }): X509Certificate | undefined {
  return (req.socket as TLSSocket).getPeerX509Certificate?.();
}

function adapterOf(store: Map<string, Record<string, unknown>>) {
  return {
    upsert: async (id: string, payload: Record<string, unknown>) => void store.set(id, payload),
    find: async (id: string) => store.get(id),
    destroy: async (id: string) => void store.delete(id),
  };
}
