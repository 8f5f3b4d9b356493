import "./quiet.ts";
import { generateKeyPair as generate, type KeyObject, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { CompactSign } from "jose";
import { type Context, errors, type Jwt, Provider, type Token } from "oidc-provider";
import { EXCHANGE_GRANT, registerExchange } from "./exchange.ts";
import { type Front, startFront } from "./front.ts";

const generateKeyPair = promisify(generate);

export type Algorithm = "RS256" | "ES256" | "EdDSA";

/** Somebody whom the provider gives tokens to. */
export interface Party {
  readonly kind: "person" | "workload" | "agent";
  readonly groups?: readonly string[];
  /** Separated by spaces. */
  readonly scope?: string;
  /** Further claims, such as `amr`, `tenant` or `act`. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** A delegation (RFC 8693, section 4.1): `sub` is this subject, and `act.sub` the party that acts for it. */
  readonly actsFor?: string;
  /** Default: RS256. */
  readonly algorithm?: Algorithm;
  /** Whether its tokens say something to nobody but the provider, which tells about them (RFC 7662); default: JWTs. */
  readonly opaque?: boolean;
  /** Seconds; default 600. */
  readonly lifetime?: number;
}

/** A key pair of the provider. */
export interface SigningKey {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly private: KeyObject;
  readonly public: KeyObject;
}

/** A running OpenID provider. */
export interface RunningProvider {
  /** The issuer, byte for byte as in its tokens. */
  readonly issuer: string;
  readonly tokenEndpoint: string;
  /** What stands before it: makes it fail, and counts requests. */
  readonly front: Front;
  /** The keys it signs with now. */
  readonly keys: readonly SigningKey[];
  /** A fresh access token of a party for api://orders, from the token endpoint; bound to the key of a DPoP proof. */
  token(party: string, proof?: string): Promise<string>;
  /** Takes an opaque token of a party back (RFC 7009). */
  revoke(party: string, token: string): Promise<void>;
  /** The form that gets such a token from the token endpoint, for a curl line. */
  form(party: string): Readonly<Record<string, string>>;
  /** A token with just these claims and header members, signed with the provider's own key. */
  sign(claims: unknown, header?: Readonly<Record<string, unknown>>, algorithm?: Algorithm): Promise<string>;
  /** New keys; those of before are published beside them for as long as `keep` says so. */
  rotate(options: { keep: boolean }): Promise<void>;
  close(): Promise<void>;
}

export const RESOURCE = "api://orders";
/** A person's token without a browser: the provider's own token, keys and endpoint, a grant made for demo and tests. */
const PERSON_GRANT = "urn:countersign:demo:person";
const PORTAL = "portal";
/** The client that asks about opaque tokens, and exchanges others. */
const GATEWAY = "gateway";
const SECRET = readFileSync(new URL("client-secret", import.meta.url), "utf8").trimEnd();
const ALGORITHMS: readonly Algorithm[] = ["RS256", "ES256", "EdDSA"];

/**
 * Starts oidc-provider on 127.0.0.1, as a real issuer of access tokens for `api://orders`.
 *
 * Workloads and agents are clients that use client_credentials, `sub` is the client; persons have tokens of the client
 * `portal`. Claims: iss, sub, aud, exp, iat, jti, scope, client_id, groups, client_kind and those of the party.
 *
 * @param parties by their subject
 * @param port default: a free one
 */
export async function startProvider(parties: Readonly<Record<string, Party>>, port = 0): Promise<RunningProvider> {
  let keys = await newKeys();
  let former: readonly SigningKey[] = [];
  let handler = (_request: unknown, _response: unknown) => {};
  const front = await startFront((request, response) => handler(request, response), { port });
  const issuer = front.url;
  const renew = () => {
    handler = newProvider(issuer, parties, [...keys, ...former]).callback() as typeof handler;
  };
  renew();
  return {
    issuer,
    tokenEndpoint: `${issuer}/token`,
    front,
    get keys() {
      return keys;
    },
    form: (party) => formOf(parties, party),
    token: (party, proof) => fetchToken(`${issuer}/token`, formOf(parties, party), proof),
    async revoke(party, token) {
      const body = new URLSearchParams({ ...formOf(parties, party), token });
      const { ok, status } = await fetch(`${issuer}/token/revocation`, { method: "POST", body });
      if (!ok) throw new Error(`not revoked: ${status}`);
    },
    sign(claims, header = {}, algorithm = "RS256") {
      const key = keys.find((candidate) => candidate.algorithm === algorithm);
      if (key === undefined) throw new Error(`no key for ${algorithm}`);
      return new CompactSign(Buffer.from(JSON.stringify(claims)))
        .setProtectedHeader({ alg: algorithm, kid: key.kid, typ: "at+jwt", ...header })
        .sign(key.private);
    },
    async rotate({ keep }) {
      former = keep ? keys : [];
      keys = await newKeys();
      renew();
    },
    close: () => front.close(),
  };
}

async function newKeys(): Promise<readonly SigningKey[]> {
  const pairs = await Promise.all([
    generateKeyPair("rsa", { modulusLength: 2048 }),
    generateKeyPair("ec", { namedCurve: "P-256" }),
    generateKeyPair("ed25519"),
  ]);
  return ALGORITHMS.map((algorithm, i) => {
    const pair = pairs[i];
    if (pair === undefined) throw new Error("no key pair");
    return { kid: `${algorithm}-${randomUUID()}`, algorithm, private: pair.privateKey, public: pair.publicKey };
  });
}

function newProvider(issuer: string, parties: Readonly<Record<string, Party>>, keys: readonly SigningKey[]): Provider {
  const partyOf = (name = "") => parties[name];
  const scopes = [...new Set(Object.values(parties).flatMap(({ scope = "" }) => scope.split(" ")))];
  const serverOf = (party: Party | undefined) => ({
    audience: RESOURCE,
    scope: scopes.join(" "),
    accessTokenFormat: party?.opaque === true ? "opaque" : "jwt",
    accessTokenTTL: party?.lifetime ?? 600,
    jwt: { sign: { alg: party?.algorithm ?? "RS256" } },
  });
  const clients = Object.keys(parties).filter((name) => parties[name]?.kind !== "person");
  const store = newStore();
  const provider = new Provider(issuer, {
    clients: [
      ...clients.map((name) => client(name, "client_credentials", parties[name]?.scope)),
      client(PORTAL, PERSON_GRANT, undefined),
      { ...client(GATEWAY, EXCHANGE_GRANT, undefined), token_endpoint_auth_method: "client_secret_basic" },
    ],
    scopes,
    jwks: { keys: keys.map((key) => ({ ...key.private.export({ format: "jwk" }), kid: key.kid, alg: key.algorithm })) },
    adapter: () => store,
    cookies: { keys: [SECRET] },
    ttl: { AccessToken: ttl, ClientCredentials: ttl },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        getResourceServerInfo: (_context: unknown, _resource: string, { clientId }: { clientId: string }) =>
          serverOf(partyOf(clientId)),
      },
    },
    formats: {
      customizers: { jwt: (_context: unknown, token: Token, jwt: Jwt) => delegate(partyOf(token.clientId), jwt) },
    },
    extraTokenClaims: (_context: unknown, token: Token) => claimsOf(partyOf(token.accountId ?? token.clientId)),
  });
  const grant = async (context: Context) => {
    const { person, scope } = context.oidc.params;
    const party = partyOf(person);
    if (party?.kind !== "person") throw new errors.InvalidGrant("no such person");
    const token = new provider.AccessToken({
      client: context.oidc.client,
      accountId: person,
      scope,
      gty: PERSON_GRANT,
    });
    token.resourceServer = new provider.ResourceServer(RESOURCE, serverOf(party));
    context.oidc.entity("AccessToken", token);
    const value = await token.save();
    context.body = { access_token: value, expires_in: token.expiration, token_type: "Bearer", scope };
  };
  provider.registerGrantType(PERSON_GRANT, grant, ["person", "scope"]);
  registerExchange(
    provider,
    issuer,
    keys.map((key) => ({ ...key.public.export({ format: "jwk" }), kid: key.kid, alg: key.algorithm })),
  );
  return provider;
}

/** Opaque tokens have to be found again; JWTs are not kept, and clients are configured. */
function newStore() {
  const kept = new Map<string, unknown>();
  return {
    upsert: async (id: string, payload: unknown) => void kept.set(id, payload),
    find: async (id: string) => kept.get(id),
    destroy: async (id: string) => void kept.delete(id),
  };
}

function ttl(_context: unknown, token: { resourceServer?: { accessTokenTTL?: number } }): number {
  return token.resourceServer?.accessTokenTTL ?? 600;
}

function client(id: string, grant: string | undefined, scope: string | undefined) {
  return {
    client_id: id,
    client_secret: SECRET,
    grant_types: grant === undefined ? [] : [grant],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: "client_secret_post",
    ...(scope === undefined ? {} : { scope }),
  };
}

function claimsOf(party: Party | undefined): Readonly<Record<string, unknown>> {
  if (party === undefined) return {};
  return { groups: party.groups ?? [], client_kind: party.kind, ...party.claims };
}

function delegate(party: Party | undefined, { payload }: Jwt): void {
  if (party?.actsFor === undefined) return;
  payload.act = { sub: payload.sub };
  payload.sub = party.actsFor;
}

function formOf(parties: Readonly<Record<string, Party>>, name: string): Readonly<Record<string, string>> {
  const party = parties[name];
  if (party === undefined) throw new Error(`no party ${name}`);
  const scope = party.scope === undefined ? {} : { scope: party.scope };
  return party.kind === "person"
    ? { grant_type: PERSON_GRANT, client_id: PORTAL, client_secret: SECRET, person: name, ...scope }
    : { grant_type: "client_credentials", client_id: name, client_secret: SECRET, ...scope };
}

async function fetchToken(
  endpoint: string,
  form: Readonly<Record<string, string>>,
  proof: string | undefined,
): Promise<string> {
  const headers = proof === undefined ? {} : { dpop: proof };
  const response = await fetch(endpoint, { method: "POST", headers, body: new URLSearchParams(form) });
  const body = (await response.json()) as { access_token?: string; error?: string; error_description?: string };
  if (body.access_token === undefined) throw new Error(`no token: ${body.error}: ${body.error_description}`);
  return body.access_token;
}
