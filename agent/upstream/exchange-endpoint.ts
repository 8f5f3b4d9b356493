import {
  allowInsecureRequests,
  Configuration,
  customFetch,
  genericGrantRequest,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from "openid-client";
import type { UpstreamToken } from "../../policies/policies.ts";
import type { Bounds, Send } from "../http/fetch.ts";
import { FetchError, failed } from "../http/fetch-error.ts";
import { mediaType } from "../identity/introspection/answer.ts";
import type { AskingWorld } from "../identity/issuer/world.ts";
import { authenticationOf } from "../identity/oauth/authentication.ts";
import { type ClientFetch, fetchBy } from "../identity/oauth/fetch.ts";
import { ProviderEndpoint } from "../identity/oidc/provider-endpoint.ts";
import type { ExchangingIssuer } from "../identity/oidc/section.ts";
import { ACCESS_TOKEN, type Granted, grantedOf, lacking } from "./granted.ts";

const GRANT = "urn:ietf:params:oauth:grant-type:token-exchange";
/** Statuses that say something in their body. */
const READS = [200, 400, 401, 403];

/**
 * Errors by which it is the token, or what is wanted for it, that is refused: RFC 8693, section 2.2.2; RFC 6749, section
 * 5.2; and what servers say of a client whose user may not. All others are about this agent.
 */
export const REFUSALS = [
  "invalid_request",
  "invalid_grant",
  "invalid_target",
  "invalid_scope",
  "access_denied",
] as const;

/** What an exchange came to. */
export type Exchanged = Granted | { readonly refused: (typeof REFUSALS)[number] };

/** An authorization server's token endpoint, as one client of it exchanges tokens there (RFC 8693). */
export class ExchangeEndpoint {
  readonly #issuer: ExchangingIssuer;
  readonly #send: Send;
  readonly #endpoint: ProviderEndpoint;

  constructor(issuer: ExchangingIssuer, world: AskingWorld) {
    const { endpoint, client, timeout, maxSize } = issuer.exchange;
    this.#issuer = issuer;
    this.#send = world.send;
    const where = { owner: issuer, name: "token_endpoint", what: "exchange" } as const;
    this.#endpoint = new ProviderEndpoint({ ...where, endpoint, client, timeout, maxSize }, world);
  }

  /** Settles when it was looked once for where to ask; never rejects. */
  ready(): Promise<void> {
    return this.#endpoint.look();
  }

  /**
   * A token for a client's own. No actor's token goes with it: who acts is this agent, which its authentication says.
   *
   * @throws {FetchError} where it cannot be told whether there is one
   */
  exchange(token: string, wanted: UpstreamToken): Promise<Exchanged> {
    return this.#endpoint.ask((url, bounds) => this.#exchanged(url, bounds, token, wanted));
  }

  close(): void {
    this.#endpoint.close();
  }

  async #exchanged(url: URL, bounds: Bounds, token: string, wanted: UpstreamToken): Promise<Exchanged> {
    const { audience, scopes } = wanted;
    try {
      const said = await genericGrantRequest(this.#configuration(url, bounds), GRANT, {
        subject_token: token,
        subject_token_type: ACCESS_TOKEN,
        requested_token_type: ACCESS_TOKEN,
        audience,
        ...(scopes.length > 0 && { scope: scopes.join(" ") }),
      });
      if (lacking(said, wanted)) return { refused: "invalid_scope" };
      const granted = grantedOf(said, token);
      if ("fault" in granted) throw failed(url, granted.fault);
      return granted;
    } catch (error) {
      return refusalOf(error, url);
    }
  }

  #configuration(url: URL, bounds: Bounds): Configuration {
    const { issuer, exchange } = this.#issuer;
    const server = { issuer, token_endpoint: url.href };
    const configuration = new Configuration(
      server,
      exchange.client.id,
      {},
      authenticationOf(exchange.client.authentication),
    );
    const fetch = fetchBy(this.#send, bounds, READS);
    configuration[customFetch] = async (at, request) => {
      const response = await fetch(at, request as Parameters<ClientFetch>[1]);
      const type = response.headers.get("content-type") ?? "";
      if (response.status === 200 && mediaType({ headers: { "content-type": type } }) !== "application/json")
        throw failed(url, "the answer's type is not application/json");
      return response;
    };
    if (url.protocol === "http:") allowInsecureRequests(configuration);
    return configuration;
  }
}

/** @throws {FetchError} whose text tells nothing of tokens, nor anything that the server has made up */
function refusalOf(error: unknown, url: URL): Exchanged {
  if (error instanceof ResponseBodyError || error instanceof WWWAuthenticateChallengeError) {
    const said = error instanceof ResponseBodyError && error.status !== 401 ? error.error : undefined;
    const refused = REFUSALS.find((each) => each === said);
    if (refused !== undefined) return { refused };
    throw failed(
      url,
      `status ${error.status} instead of 200: it refuses what \`exchange.client\` says, or exchanges nothing`,
    );
  }
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof FetchError) throw cause;
  throw failed(url, "an answer that is none of a token endpoint");
}
