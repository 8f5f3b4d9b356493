import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  buildAuthorizationUrlWithPAR,
  buildEndSessionUrl,
  Configuration,
  calculatePKCECodeChallenge,
  clockTolerance,
  customFetch,
  enableNonRepudiationChecks,
  fetchUserInfo,
  refreshTokenGrant,
  type ServerMetadata,
  skipSubjectCheck,
  tokenRevocation,
} from "openid-client";
import { getObject, permitted } from "../../http/document.ts";
import type { Send } from "../../http/fetch.ts";
import { failed } from "../../http/fetch-error.ts";
import { parseObject } from "../../http/json.ts";
import type { Claims } from "../../identity/claims/claims.ts";
import { objectOf } from "../../identity/jwt/token.ts";
import { authenticationOf } from "../../identity/oauth/authentication.ts";
import { type ClientFetch, fetchBy } from "../../identity/oauth/fetch.ts";
import { discover } from "../../identity/oidc/discovery.ts";
import { usableMembers } from "../../identity/oidc/jwks.ts";
import type { OidcIssuer } from "../../identity/oidc/section.ts";
import type { LoginConfig } from "../../identity/session/section.ts";
import type { Session } from "../../identity/session/session.ts";
import type { Tokens } from "../../identity/session/stored.ts";
import { Allowance } from "../allowance.ts";
import { OtherSubject, Rotated, TooManyLogins } from "./failure.ts";
import type { Pending } from "./pending.ts";

/** Milliseconds for one answer of a provider. */
const ANSWER_LIMIT = 5_000;
/** Statuses that OAuth 2.0 and OpenID Connect say something with. */
const READS = [200, 201, 400, 401, 403];

/** Milliseconds for which a discovery that has failed is not tried again. */
const DISCOVERED_AGAIN = 5_000;
/** Logins of an issuer that are begun at once, and a second; and as many that end. Anybody may begin one. */
const MOST_LOGINS = 100;
const PER_SECOND = 20;

/** What a provider's document has to name, and what else of it is asked. */
const NEEDED = ["authorization_endpoint", "token_endpoint", "jwks_uri"] as const;
const MAY_BE_ASKED = ["userinfo_endpoint", "pushed_authorization_request_endpoint"] as const;

/** Claims of an ID token that are about the login itself. */
const OF_THE_LOGIN: ReadonlySet<string> = new Set([
  ...["aud", "azp", "exp", "nbf", "nonce", "at_hash", "c_hash", "s_hash", "rat", "jti"],
]);

/** An issuer that people log in at. */
export type LoginIssuer = OidcIssuer & { readonly login: LoginConfig };

/** What came of a login at a provider. */
export interface LoggedIn {
  readonly claims: Claims;
  readonly scopes: readonly string[];
  readonly tokens: Tokens;
  /** Milliseconds that the access token lasts; undefined where the provider does not say it. */
  readonly expiresIn?: number | undefined;
}

/** What tokens say of the login itself, which stays as it was however often they are renewed. */
const STAYS = ["iat", "auth_time"] as const;
/** And what stays where a new token does not say it. */
const MAY_STAY = ["iss", "sid", "acr", "amr"] as const;

/** One OpenID provider, as a relying party talks to it. What goes wrong is thrown. */
export class LoginProvider {
  readonly issuer: LoginIssuer;
  readonly #send: Send;
  readonly #clock: () => number;
  /** Apart, so that whoever begins many ends nobody's. */
  readonly #beginnings: Allowance;
  readonly #ends: Allowance;
  #known: { until: number; readonly server: Promise<ServerMetadata> } | undefined;

  /** @param clock milliseconds that only grow */
  constructor(issuer: LoginIssuer, send: Send, clock: () => number) {
    this.issuer = issuer;
    this.#send = send;
    this.#clock = clock;
    this.#beginnings = new Allowance(MOST_LOGINS, PER_SECOND, clock);
    this.#ends = new Allowance(MOST_LOGINS, PER_SECOND, clock);
  }

  /**
   * Where a browser is sent to log in (OpenID Connect Core 1.0, section 3.1.2.1). Nothing of it is the browser's to say;
   * where the provider takes it beforehand (RFC 9126), nothing of it is the browser's to see.
   *
   * @param redirectUri from the configuration
   */
  async begin(pending: Pending, redirectUri: string): Promise<URL> {
    if (!this.#beginnings.take()) throw new TooManyLogins();
    const { scopes, parameters } = this.issuer.login;
    const configuration = await this.#configuration();
    const { acr, maxAge } = pending;
    const asked = {
      ...parameters,
      ...(acr === undefined || acr.length === 0 ? {} : { acr_values: acr.join(" ") }),
      ...(maxAge === undefined ? {} : { max_age: String(maxAge) }),
      redirect_uri: redirectUri,
      scope: scopes.join(" "),
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: "S256",
    };
    return configuration.serverMetadata().pushed_authorization_request_endpoint === undefined
      ? buildAuthorizationUrl(configuration, asked)
      : await buildAuthorizationUrlWithPAR(configuration, asked);
  }

  /**
   * Who has logged in: state, `iss` (RFC 9207), code, PKCE, nonce, and the ID token with its signature are checked.
   *
   * @param url the redirect URI with what the provider has added
   */
  async complete(pending: Pending, url: URL): Promise<LoggedIn> {
    if (!this.#ends.take()) throw new TooManyLogins();
    const configuration = await this.#configuration();
    const tokens = await authorizationCodeGrant(configuration, url, {
      pkceCodeVerifier: pending.verifier,
      expectedState: pending.state,
      expectedNonce: pending.nonce,
      idTokenExpected: true,
      ...(pending.maxAge === undefined ? {} : { maxAge: pending.maxAge }),
    });
    const claims = objectOf(tokens.id_token?.split(".")[1] ?? "");
    if (claims === undefined) throw new Error("the ID token can be read in two ways");
    return { claims: ofSession(claims), ...granted(tokens, this.issuer.login.scopes) };
  }

  /**
   * Who the session's person is now (OpenID Connect Core 1.0, section 12.2): by a new ID token, or what UserInfo says
   * where the provider gives none. When they have logged in does not change by it: it would undo what asks for that.
   *
   * @throws {Rotated} where another refresh token came, and nobody could tell whose
   */
  async refresh(token: string, session: Pick<Session, "claims" | "scopes">): Promise<LoggedIn> {
    let rotated: string | undefined;
    // The library tells nothing of an answer whose ID token it could not check, and the token before is used up by then.
    const configuration = await this.#configuration(async (url, response) => {
      if (url === configuration.serverMetadata().token_endpoint) rotated = await refreshTokenIn(response.clone());
    });
    try {
      return await this.#renewed(configuration, token, session);
    } catch (error) {
      throw rotated === undefined || error instanceof OtherSubject ? error : new Rotated(rotated, error);
    }
  }

  async #renewed(
    configuration: Configuration,
    token: string,
    { claims, scopes }: Pick<Session, "claims" | "scopes">,
  ): Promise<LoggedIn> {
    const tokens = await refreshTokenGrant(configuration, token);
    const told = await this.#told(configuration, tokens, claims);
    if (told.sub !== claims.sub) throw new OtherSubject();
    const kept = [...MAY_STAY.filter((name) => told[name] === undefined), ...STAYS];
    const renewed = Object.fromEntries(kept.map((name) => [name, claims[name]]));
    const all = Object.entries({ ...ofSession(told), ...renewed }).filter(([, value]) => value !== undefined);
    const { tokens: given, ...rest } = granted(tokens, scopes);
    return { claims: Object.fromEntries(all), ...rest, tokens: { ...given, refresh: given.refresh ?? token } };
  }

  async #told(configuration: Configuration, tokens: Granted, claims: Claims): Promise<Claims> {
    if (tokens.id_token !== undefined) {
      const told = objectOf(tokens.id_token.split(".")[1] ?? "");
      if (told === undefined) throw new Error("the ID token can be read in two ways");
      return told;
    }
    if (configuration.serverMetadata().userinfo_endpoint === undefined) return claims;
    // Whose it is, is looked at by the caller, as with an ID token.
    return await fetchUserInfo(configuration, tokens.access_token, skipSubjectCheck);
  }

  /**
   * Where a browser is sent on to sign out at the provider too (OpenID Connect RP-Initiated Logout 1.0, section 2);
   * undefined where it has no such place, or the configuration does not want it.
   *
   * @param back from the configuration @param state what the provider is to bring back there
   */
  async signOut(
    { claims, idToken }: { readonly claims: Claims; readonly idToken?: string | undefined },
    back: string,
    state: string,
  ): Promise<URL | undefined> {
    const { provider, hint } = this.issuer.login.logout;
    if (!provider) return undefined;
    const configuration = await this.#configuration();
    if (!mayBeAsked(configuration.serverMetadata().end_session_endpoint, this.#place())) return undefined;
    const told = hint === undefined ? undefined : claims[hint];
    return buildEndSessionUrl(configuration, {
      ...(idToken === undefined ? {} : { id_token_hint: idToken }),
      ...(typeof told === "string" ? { logout_hint: told } : {}),
      post_logout_redirect_uri: back,
      state,
    });
  }

  /** Takes tokens back (RFC 7009), where the provider has a place for it: some outlive its own session. */
  async revoke({ access, refresh }: Tokens): Promise<void> {
    const configuration = await this.#configuration();
    if (!mayBeAsked(configuration.serverMetadata().revocation_endpoint, this.#place())) return;
    if (refresh !== undefined) await tokenRevocation(configuration, refresh);
    await tokenRevocation(configuration, access);
  }

  /** Of its pages, as far as the configuration tells. */
  get origins(): readonly string[] {
    return [...new Set([new URL(this.issuer.issuer).origin, this.#place().origin])];
  }

  /**
   * The library as this provider's client. It keeps the keys that it has fetched for a minute, whatever comes meanwhile: so
   * each login has one of its own, and no ID token is refused for being signed with a new key.
   */
  async #configuration(heard = async (_url: string, _answer: Response) => {}): Promise<Configuration> {
    const server = await this.#server();
    const { issuer, algorithms, login, clockTolerance: tolerance } = this.issuer;
    const published = server.id_token_signing_alg_values_supported ?? ["RS256"];
    const configuration = new Configuration(
      { ...server, id_token_signing_alg_values_supported: published.filter((each) => algorithms.includes(each)) },
      login.client.id,
      { [clockTolerance]: Math.ceil(tolerance / 1000) },
      authenticationOf(login.client.authentication),
    );
    const keys = URL.parse(server.jwks_uri ?? issuer)?.href;
    configuration[customFetch] = async (url, options) => {
      if (url === keys) return await this.#keys(new URL(url));
      const answer = await this.#fetch(url, options as never);
      await heard(url, answer);
      return answer;
    };
    if (this.#place().protocol === "http:") allowInsecureRequests(configuration);
    enableNonRepudiationChecks(configuration);
    return configuration;
  }

  /**
   * Looked for once for all who log in, and again where that is long ago; where it has failed, after a while. What was found
   * before stays in use until then.
   */
  #server(): Promise<ServerMetadata> {
    const before = this.#known;
    if (before !== undefined && this.#clock() < before.until) return before.server;
    const failed = (error: unknown) => {
      known.until = this.#clock() + DISCOVERED_AGAIN;
      return before?.server ?? Promise.reject(error);
    };
    const server = this.#discovered().catch(failed);
    const known = { until: this.#clock() + this.issuer.keys.refresh, server };
    this.#known = known;
    return server;
  }

  async #discovered(): Promise<ServerMetadata> {
    const { issuer, aliases = [] } = this.issuer;
    const at = this.#place();
    const { document } = await discover(this.#send, at, [issuer, ...aliases], this.#bounds());
    const server = document as ServerMetadata;
    for (const name of NEEDED) checkEndpoint(server[name], at);
    for (const name of MAY_BE_ASKED) if (server[name] !== undefined) checkEndpoint(server[name], at);
    return server;
  }

  /** What counts for a token counts for an ID token: the library knows no weak key, nor a member that stands twice. */
  async #keys(url: URL): Promise<Response> {
    const document = await getObject(this.#send, url, this.#bounds());
    const keys = usableMembers(document, this.issuer.algorithms);
    if (typeof keys === "string") throw failed(url, keys);
    return Response.json({ keys });
  }

  async #fetch(url: string, request: Parameters<ClientFetch>[1]): Promise<Response> {
    const response = await fetchBy(this.#send, this.#bounds(), READS)(url, request);
    if (!READS.includes(response.status)) throw failed(new URL(url), `status ${response.status} instead of 200`);
    return response;
  }

  /** Where it is said to be. */
  #place(): URL {
    const { issuer, keys } = this.issuer;
    return new URL("discovery" in keys.source ? keys.source.discovery : issuer);
  }

  #bounds() {
    const { ca, proxy, keys, login } = this.issuer;
    const client = login.client.certificate;
    return { signal: AbortSignal.timeout(ANSWER_LIMIT), ca, proxy, maxSize: keys.maxSize, client };
  }
}

/** A token endpoint's answer, as far as anything here looks at it. */
interface Granted {
  readonly access_token: string;
  readonly refresh_token?: string | undefined;
  readonly id_token?: string | undefined;
  readonly scope?: string | undefined;
  readonly expires_in?: number | undefined;
}

/** @param scopes granted where nothing else is said */
function granted({ scope, expires_in, ...given }: Granted, scopes: readonly string[]): Omit<LoggedIn, "claims"> {
  const { access_token: access, refresh_token: refresh, id_token: id } = given;
  return {
    scopes: scope?.split(" ").filter((each) => each !== "") ?? scopes,
    tokens: { access, ...(refresh !== undefined && { refresh }), ...(id !== undefined && { id }) },
    expiresIn: expires_in === undefined ? undefined : expires_in * 1000,
  };
}

async function refreshTokenIn(response: Response): Promise<string | undefined> {
  if (response.status !== 200) return undefined;
  const token = parseObject(Buffer.from(await response.arrayBuffer()))?.refresh_token;
  return typeof token === "string" ? token : undefined;
}

function ofSession(claims: Claims): Claims {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !OF_THE_LOGIN.has(name)));
}

function checkEndpoint(written: unknown, at: URL): void {
  if (mayBeAsked(written, at)) return;
  throw new Error("the provider's document lacks an endpoint, or names one that may not be asked");
}

/** Nobody is sent from an https provider to plain http. */
function mayBeAsked(written: unknown, at: URL): boolean {
  const url = typeof written === "string" ? URL.parse(written) : null;
  return url !== null && permitted(url, at);
}
