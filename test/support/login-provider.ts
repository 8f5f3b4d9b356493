import "../../demo/quiet.ts";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { SignJWT } from "jose";
import { Provider } from "oidc-provider";
import { createMemoryAdapter } from "oidc-provider/lib/adapters/memory_adapter.js";
import type { Test } from "tap";
import { type Front, startFront } from "../../demo/front.ts";
import { askWhetherTheyMeanIt } from "../../demo/mcp/login.ts";
import { SERVER_CERTIFICATE, SERVER_KEY } from "./certificates.ts";

/** An OpenID provider that people log in at by a browser. */
export interface LoginProvider {
  readonly issuer: string;
  readonly front: Front;
  /** Who logs in next; undefined for somebody who gives it up. */
  who: string | undefined;
  /** How they log in, of `pwd` and `mfa`. */
  acr: string;
  /** Tells its client that somebody has logged out. It rejects where the client's answer is not 200. */
  logout(subject: string, sid: string): Promise<void>;
  /** What the provider signs: a token with these claims, and no others. */
  sign(claims: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>;
  /** From now on it signs with a new key, and publishes no other. */
  rotate(): void;
  /** What it has in a frame on its page for who has signed out there, beside `iss` and `sid` (front-channel logout). */
  frame: string | undefined;
  /** Seconds that an access token lasts. */
  lasts: number;
  /** How often the token endpoint was asked. */
  readonly tokenCalls: number;
}

/** Of its one client. */
export const CLIENT = { id: "countersign", secret: randomBytes(24).toString("hex") };

/** What each account's ID token says beside `sub`. */
type Accounts = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Brings a logout token to its client, at an address that it is known by. @returns the answer's status */
export type Deliver = (to: URL, form: string) => Promise<number>;

interface Options {
  readonly par?: boolean;
  readonly refresh?: boolean;
  readonly deliver?: Deliver;
  /** By https, with a certificate of the tests' authority. */
  readonly tls?: boolean;
}

/** Starts it on 127.0.0.1. It ends with the test. @param redirects of its client */
export async function startLoginProvider(
  t: Test,
  accounts: Accounts,
  redirects: readonly string[],
  options: Options = {},
): Promise<LoginProvider> {
  let handler = (_request: unknown, _response: unknown) => {};
  const tls = options.tls === true ? { tls: { key: SERVER_KEY, cert: SERVER_CERTIFICATE } } : {};
  const front = await startFront((request, response) => handler(request, response), tls);
  t.teardown(() => front.close());
  const adapter = createMemoryAdapter();
  const ended = { sid: "" };
  let key = newKey("login");
  const running = {
    sign: (claims: Readonly<Record<string, unknown>>, header: Readonly<Record<string, unknown>> = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: key.kid, ...header }).sign(key.privateKey),
    logout: async (subject: string, sid: string): Promise<void> =>
      (await provider.Client.find(CLIENT.id)).backchannelLogout(subject, sid),
    issuer: front.url,
    front,
    who: Object.keys(accounts)[0] as string | undefined,
    acr: "pwd",
    frame: undefined as string | undefined,
    lasts: 3600,
    get tokenCalls() {
      return front.requests.filter((path) => path === "/token").length;
    },
    rotate() {
      key = newKey(randomBytes(8).toString("hex"));
      provider = begin();
    },
  };
  const begin = () => {
    const begun = new Provider(front.url, {
      adapter,
      clients: [
        {
          ...{ client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: redirects },
          ...{ grant_types: ["authorization_code", "refresh_token"], response_types: ["code"] },
          ...backchannelOf(options.deliver === undefined ? undefined : redirects[0]),
          post_logout_redirect_uris: [
            ...new Set(redirects.map((redirect) => new URL("/.countersign/signed-out", redirect).href)),
          ],
        },
      ],
      jwks: { keys: [{ ...key.privateKey.export({ format: "jwk" }), kid: key.kid, alg: "RS256", use: "sig" }] },
      cookies: { keys: ["test"] },
      scopes: ["openid", "email", "groups", "offline_access"],
      claims: { openid: ["sub", ...new Set(Object.values(accounts).flatMap(Object.keys))] },
      acrValues: ["pwd", "mfa"],
      conformIdTokenClaims: false,
      ttl: { AccessToken: () => running.lasts },
      // Each refresh token counts once: a second use takes all back.
      rotateRefreshToken: true,
      issueRefreshToken: () => options.refresh ?? false,
      features: {
        devInteractions: { enabled: false },
        revocation: { enabled: true },
        rpInitiatedLogout: {
          enabled: true,
          logoutSource: (context: SignOutContext, form: string) => {
            ended.sid = context.oidc.session.sidFor(CLIENT.id);
            askWhetherTheyMeanIt(context, form);
          },
          postLogoutSuccessSource: (context: SignOutContext) => {
            const query = new URLSearchParams({ iss: front.url, sid: ended.sid });
            const frame = running.frame === undefined ? "" : `<iframe src="${running.frame}?${query}"></iframe>`;
            context.body = `<!doctype html><html lang="en"><head><title>Signed out</title></head><body>${frame}</body></html>`;
          },
        },
        backchannelLogout: { enabled: true },
        pushedAuthorizationRequests: { enabled: options.par ?? true },
      },
      fetch: async (url: string, { body }: { body?: unknown }) =>
        new Response(null, { status: (await options.deliver?.(new URL(url), String(body))) ?? 500 }),
      pkce: { required: () => true },
      interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
      findAccount: (_context: unknown, sub: string) => ({ accountId: sub, claims: () => ({ sub, ...accounts[sub] }) }),
      async loadExistingGrant({ oidc }: GrantContext) {
        const known = oidc.session.grantIdFor(oidc.client.clientId);
        if (known !== undefined) return oidc.provider.Grant.find(known);
        const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
        grant.addOIDCScope(oidc.params.scope);
        await grant.save();
        return grant;
      },
    });
    const inner = begun.callback();
    handler = ((request: { url?: string }, response: never) => {
      if (!request.url?.startsWith("/interaction/")) return inner(request as never, response);
      const { who, acr } = running;
      const result = who === undefined ? { error: "access_denied" } : { login: { accountId: who, acr } };
      return begun.interactionFinished(request as never, response, result, { mergeWithLastSubmission: false });
    }) as unknown as typeof handler;
    return begun;
  };
  let provider = begin();
  return running;
}

function newKey(kid: string) {
  return { kid, privateKey: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey };
}

/** Where its client hears of logouts; in its ID tokens is then `sid`. */
function backchannelOf(redirect: string | undefined) {
  if (redirect === undefined) return {};
  return {
    backchannel_logout_uri: redirect.replace("/callback/", "/backchannel-logout/"),
    backchannel_logout_session_required: true,
  };
}

interface SignOutContext {
  body: unknown;
  readonly oidc: { readonly session: { sidFor(client: string): string } };
}

interface GrantContext {
  readonly oidc: {
    readonly provider: {
      readonly Grant: (new (options: object) => Grant) & { find(id: string): Promise<Grant | undefined> };
    };
    readonly client: { readonly clientId: string };
    readonly session: { readonly accountId: string; grantIdFor(client: string): string | undefined };
    readonly params: { readonly scope: string };
  };
}

interface Grant {
  addOIDCScope(scope: string): void;
  save(): Promise<string>;
}
