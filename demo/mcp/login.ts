import "../quiet.ts";
import { generateKeyPair as generate } from "node:crypto";
import type { ServerResponse } from "node:http";
import { promisify } from "node:util";
import { type Context, errors, Provider } from "oidc-provider";
import { type Front, startFront } from "../front.ts";

const generateKeyPair = promisify(generate);

/** Seconds, of all that it gives. */
const LASTS = 600;

/** An authorization server at which clients register themselves, and people log in with a browser. */
export interface Login {
  /** The issuer, byte for byte as in its tokens. */
  readonly issuer: string;
  readonly front: Front;
  close(): Promise<void>;
}

export interface LoginOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** The resources that tokens are for, by the scopes of each; a token's `aud` is one of them (RFC 8707). */
  readonly resources: Readonly<Record<string, readonly string[]>>;
  /** Clients that it knows beforehand. Default: none */
  readonly clients?: readonly Readonly<Record<string, unknown>>[];
  /** Documents of clients that say so who they are (client ID metadata documents), by their URLs. Default: none */
  readonly documents?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Starts oidc-provider on 127.0.0.1. Anybody is let in, by whatever password. */
export async function startLogin({ port = 0, resources, clients = [], documents }: LoginOptions): Promise<Login> {
  const { privateKey } = await generateKeyPair("rsa", { modulusLength: 2048 });
  let handler = (_request: unknown, _response: unknown) => {};
  const front = await startFront((request, response) => handler(request, response), { port });
  const key = { ...privateKey.export({ format: "jwk" }), kid: "login", use: "sig", alg: "RS256" };
  const provider = new Provider(front.url, {
    jwks: { keys: [key] },
    clients,
    cookies: { keys: ["demo"] },
    scopes: ["openid", "offline_access", ...new Set(Object.values(resources).flat())],
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource: askWhetherTheyMeanIt },
      ...(documents && { clientIdMetadataDocument: { enabled: true, ack: "draft-02" } }),
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context: Context, resource: string) => serverOf(resource, resources),
      },
    },
    ...(documents && { fetch: (url: string | URL) => Promise.resolve(documentAt(String(url), documents)) }),
    ttl: { AccessToken: LASTS, Grant: LASTS, IdToken: LASTS, Interaction: LASTS, RefreshToken: LASTS, Session: LASTS },
    pkce: { required: () => true },
    issueRefreshToken: (_context: Context, client: { grantTypeAllowed(type: string): boolean }) =>
      Promise.resolve(client.grantTypeAllowed("refresh_token")),
    findAccount: (_context: Context, id: string) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  const inner = provider.callback();
  handler = ((request: never, response: ServerResponse) => {
    // Its pages would load a font from elsewhere.
    response.setHeader("content-security-policy", "style-src 'unsafe-inline'; font-src 'none'");
    return inner(request, response);
  }) as unknown as typeof handler;
  return { issuer: front.url, front, close: () => front.close() };
}

/** What a provider shows before it signs somebody out: its own page, without what that would load from elsewhere. */
export function askWhetherTheyMeanIt(context: { body: unknown }, form: string): void {
  const button = '<button name="logout" value="yes" form="op.logoutForm">Yes, sign me out</button>';
  context.body = `<!doctype html><html lang="en"><head><title>Sign out</title></head><body>${form}${button}</body></html>`;
}

/** A document's URL is https, and nothing listens there. */
function documentAt(url: string, documents: NonNullable<LoginOptions["documents"]>): Response {
  return Object.hasOwn(documents, url) ? Response.json(documents[url]) : new Response(null, { status: 404 });
}

function serverOf(resource: string, resources: LoginOptions["resources"]) {
  const scopes = Object.hasOwn(resources, resource) ? resources[resource] : undefined;
  if (scopes === undefined) throw new errors.InvalidTarget();
  return {
    scope: scopes.join(" "),
    audience: resource,
    accessTokenTTL: LASTS,
    accessTokenFormat: "jwt",
    jwt: { sign: { alg: "RS256" } },
  };
}
