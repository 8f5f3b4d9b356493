import { exchange } from "../../http/exchange.ts";
import type { Bounds, HttpAnswer } from "../../http/fetch.ts";
import { failed } from "../../http/fetch-error.ts";
import type { Claims } from "../claims/claims.ts";
import type { World } from "../issuer/world.ts";
import { authenticationOf, type ClientAuth } from "../oauth/authentication.ts";
import { ProviderEndpoint } from "../oidc/provider-endpoint.ts";
import { knownOf, plainAnswer } from "./answer.ts";
import type { IntrospectionIssuer } from "./section.ts";
import { SIGNED_TYPE, SignedAnswers } from "./signed-answers.ts";

/** An authorization server's introspection endpoint (RFC 7662, section 2), as one client of it asks. */
export class Endpoint {
  readonly #config: IntrospectionIssuer;
  readonly #world: World;
  readonly #authenticate: ClientAuth;
  readonly #endpoint: ProviderEndpoint;
  /** Undefined where answers are plain JSON. */
  readonly #signed: SignedAnswers | undefined;

  constructor(config: IntrospectionIssuer, world: World) {
    const { endpoint, client, timeout, maxSize } = config;
    this.#config = config;
    this.#world = world;
    this.#authenticate = authenticationOf(client.authentication);
    const where = { owner: config, name: "introspection_endpoint", what: "introspection" } as const;
    this.#endpoint = new ProviderEndpoint({ ...where, endpoint, client, timeout, maxSize }, world);
    this.#signed = config.answers === "signed" ? new SignedAnswers(config, world) : undefined;
  }

  /** What was told last, and what is wrong. */
  get state(): Pick<ProviderEndpoint, "succeededAt" | "failedAt" | "error"> {
    return this.#endpoint;
  }

  /** Settles when it was looked once for whatever has to be known before anything is asked. */
  async ready(): Promise<void> {
    await Promise.all([this.#endpoint.look(), this.#signed?.ready()]);
  }

  /**
   * What the authorization server knows of a token.
   *
   * @returns undefined for a token that is not active
   * @throws {FetchError} where it cannot be told
   */
  ask(token: string): Promise<Claims | undefined> {
    return this.#endpoint.ask((url, bounds) => this.#told(url, token, bounds));
  }

  /** Ends whatever is under way. */
  close(): void {
    this.#signed?.close();
    this.#endpoint.close();
  }

  async #told(url: URL, token: string, bounds: Bounds): Promise<Claims | undefined> {
    const answer = await this.#answer(url, token, bounds);
    // RFC 7662, section 2.3. Elsewhere it would be the token that is refused.
    if (answer.status === 401) throw failed(url, "status 401 instead of 200: it refuses what `client` says");
    return knownOf(url, await (this.#signed?.read(url, answer) ?? plainAnswer(url, answer)));
  }

  async #answer(url: URL, token: string, bounds: Bounds): Promise<HttpAnswer> {
    const { client, issuer } = this.#config;
    const form = new URLSearchParams({ token, token_type_hint: "access_token" });
    const headers = new Headers({
      accept: this.#signed === undefined ? "application/json" : SIGNED_TYPE,
      "content-type": "application/x-www-form-urlencoded",
    });
    await this.#authenticate({ issuer }, { client_id: client.id }, form, headers);
    return exchange(this.#world.send, url, bounds, {
      method: "POST",
      headers: Object.fromEntries(headers),
      body: form.toString(),
    });
  }
}
