import {
  allowInsecureRequests,
  type Client,
  type ClientAuth,
  clientCredentialsGrantRequest,
  customFetch,
  DPoP,
  type DPoPHandle,
  generateKeyPair,
  isDPoPNonceError,
  processClientCredentialsResponse,
  protectedResourceRequest,
  WWWAuthenticateChallengeError,
} from "oauth4webapi";
import type { Bounds, Send } from "../../http/fetch.ts";
import { FetchError, failed } from "../../http/fetch-error.ts";
import { authenticationOf } from "../oauth/authentication.ts";
import { fetchBy } from "../oauth/fetch.ts";
import { groupsOf, nextPage } from "./page.ts";
import { type GroupsConfig, tokenEndpoint } from "./section.ts";

const SCOPE = "okta.users.read";
/** What Okta gives at a time, and how often it is asked for more: nobody has more groups than their product. */
const PAGE = 200;
const MOST_PAGES = 25;
/** Answers that say something; of all others the status does. */
const READS = [200, 400, 401, 403, 404, 429];
/** Milliseconds before its end that a token is not used any more. */
const MARGIN = 60_000;

interface AccessToken {
  readonly value: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

/** What an org says of somebody: the groups, that it does not know them, or that they are too many to be listed. */
export type Listed = readonly string[] | "nobody" | "too many";

/** An org's API, as a service app of its with the scope okta.users.read. */
export class OktaApi {
  readonly #org: string;
  readonly #config: GroupsConfig;
  readonly #send: Send;
  readonly #clock: () => number;
  readonly #client: Client;
  readonly #authenticate: ClientAuth;
  /** Told of each answer, before anything is made of it. */
  readonly #answered: (status: number, headers: Headers) => void;
  #key: Promise<DPoPHandle> | undefined;
  #token: AccessToken | undefined;
  #asking: Promise<AccessToken> | undefined;

  constructor(
    org: string,
    config: GroupsConfig,
    world: { readonly send: Send; readonly clock: () => number },
    answered: (status: number, headers: Headers) => void,
  ) {
    this.#org = org;
    this.#config = config;
    this.#send = world.send;
    this.#clock = world.clock;
    this.#client = { client_id: config.client.id };
    this.#authenticate = authenticationOf(config.client.authentication);
    this.#answered = answered;
  }

  /**
   * All groups of a user.
   *
   * @param user as tokens have it in `uid`
   * @throws {FetchError}
   */
  async groups(user: string, bounds: Bounds): Promise<Listed> {
    const groups: string[] = [];
    let url: URL | undefined = new URL(`${this.#org}/api/v1/users/${encodeURIComponent(user)}/groups?limit=${PAGE}`);
    for (let page = 0; url !== undefined; page++) {
      if (page === MOST_PAGES) return "too many";
      const response = await this.#get(url, bounds);
      if (response.status === 404) return "nobody";
      if (response.status !== 200) throw failed(url, await whyNot(response));
      const found = groupsOf(url, Buffer.from(await response.arrayBuffer()), this.#config.values);
      groups.push(...found);
      // Some lists of Okta's name a next page although they have ended.
      url = found.length === 0 ? undefined : nextPage(url, response.headers.get("link") ?? "");
    }
    return groups;
  }

  /** A token that is refused is replaced once: it may have been taken back. */
  async #get(url: URL, bounds: Bounds): Promise<Response> {
    const token = await this.#accessToken(bounds);
    try {
      return await this.#getWith(token, url, bounds);
    } catch (error) {
      if (!(error instanceof WWWAuthenticateChallengeError)) throw error;
      if (!isDPoPNonceError(error) && this.#token === token) this.#token = undefined;
    }
    const again = await this.#accessToken(bounds);
    return this.#getWith(again, url, bounds).catch((error: unknown) => {
      throw error instanceof WWWAuthenticateChallengeError
        ? failed(url, `status ${error.status} instead of 200`)
        : error;
    });
  }

  async #getWith({ value }: AccessToken, url: URL, bounds: Bounds): Promise<Response> {
    const headers = new Headers({ accept: "application/json" });
    const options = { ...this.#options(bounds), ...(await this.#dpop()) };
    return protectedResourceRequest(value, "GET", url, headers, null, options);
  }

  #accessToken(bounds: Bounds): Promise<AccessToken> {
    if (this.#token !== undefined && this.#clock() < this.#token.until) return Promise.resolve(this.#token);
    this.#asking ??= this.#grant(bounds).finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** The first proof has no nonce, where the org wants one: it is told, and the answer brings it. */
  async #grant(bounds: Bounds): Promise<AccessToken> {
    const url = new URL(tokenEndpoint(this.#org));
    try {
      const granted = await this.#granted(bounds).catch((error: unknown) => {
        if (isDPoPNonceError(error)) return this.#granted(bounds);
        throw error;
      });
      const until = this.#clock() + (granted.expires_in ?? 0) * 1000 - MARGIN;
      this.#token = { value: granted.access_token, until };
      return this.#token;
    } catch (error) {
      throw error instanceof FetchError ? error : failed(url, refusalText(error));
    }
  }

  async #granted(bounds: Bounds) {
    const server = { issuer: this.#org, token_endpoint: tokenEndpoint(this.#org) };
    const options = { ...this.#options(bounds), ...(await this.#dpop()) };
    const [client, authenticate] = [this.#client, this.#authenticate];
    const response = await clientCredentialsGrantRequest(server, client, authenticate, { scope: SCOPE }, options);
    return processClientCredentialsResponse(server, client, response);
  }

  #options(bounds: Bounds) {
    const fetch = fetchBy(this.#send, bounds, READS);
    return {
      // The configuration has seen to it that this is loopback.
      [allowInsecureRequests]: this.#org.startsWith("http:"),
      [customFetch]: async (...request: Parameters<typeof fetch>) => {
        const response = await fetch(...request);
        this.#answered(response.status, response.headers);
        return response;
      },
    };
  }

  async #dpop(): Promise<{ readonly DPoP?: DPoPHandle }> {
    if (!this.#config.dpop) return {};
    this.#key ??= generateKeyPair("ES256").then((pair) => DPoP(this.#client, pair));
    return { DPoP: await this.#key };
  }
}

/** Okta's own code, such as E0000006 where the app lacks the scope or an admin role. */
async function whyNot(response: Response): Promise<string> {
  const [, code] = /"errorCode"\s*:\s*"(E\d{1,9})"/.exec(await response.text()) ?? [];
  return `status ${response.status} instead of 200${code === undefined ? "" : ` (${code})`}`;
}

/** What the authorization server says of a request for a token, by the code of RFC 6749, section 5.2. */
function refusalText(error: unknown): string {
  const code = error instanceof Error && "error" in error ? String(error.error) : "";
  return /^[a-z_]{1,64}$/.test(code) ? `no token: ${code}` : "no token that can be used";
}
