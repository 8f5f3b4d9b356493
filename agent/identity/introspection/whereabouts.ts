import { isMapping } from "../../../policies/claim-path.ts";
import { spellingsOf } from "../../config/config.ts";
import type { Bounds } from "../../http/fetch.ts";
import { FetchError } from "../../http/fetch-error.ts";
import type { World } from "../issuer/world.ts";
import { discover, endpointOf, type Metadata } from "../oidc/discovery.ts";
import type { IntrospectionIssuer } from "./section.ts";

/** Milliseconds for which an issuer's metadata count. */
const LIFETIME = 3_600_000;
/** Milliseconds after which it is looked again where they cannot be found. */
const RETRY = 60_000;
const NAME = "introspection_endpoint";

/** Where an issuer is asked about tokens: what the configuration says, or its metadata (RFC 8414). */
export class Whereabouts {
  readonly #config: IntrospectionIssuer;
  readonly #world: World;
  #known: URL | undefined;
  #lookAt = Number.NEGATIVE_INFINITY;
  #finding: Promise<URL> | undefined;

  constructor(config: IntrospectionIssuer, world: World) {
    this.#config = config;
    this.#world = world;
    if (config.endpoint !== undefined) this.#known = new URL(config.endpoint);
  }

  /** What was found last; it stays in use while it cannot be found anew. */
  get known(): URL | undefined {
    return this.#known;
  }

  /** Whether it is time to look anew. A clock that was set back must not put it off. */
  get isDue(): boolean {
    if (this.#config.endpoint !== undefined || this.#finding !== undefined) return false;
    const left = this.#lookAt - this.#world.clock();
    return left <= 0 || left > LIFETIME;
  }

  /**
   * Looks at most once at a time.
   *
   * @throws {FetchError}
   */
  find(bounds: Bounds): Promise<URL> {
    this.#finding ??= this.#discover(bounds).finally(() => {
      this.#finding = undefined;
    });
    return this.#finding;
  }

  async #discover(bounds: Bounds): Promise<URL> {
    const { clock, events, send } = this.#world;
    const { name } = this.#config;
    const begun = clock();
    try {
      const metadata = await discover(send, this.#document, spellingsOf(this.#config), bounds);
      this.#known = endpointOf(this.#forUs(metadata), NAME);
      this.#lookAt = clock() + LIFETIME;
      events.fetched(name, "discovery", "ok", clock() - begun);
      return this.#known;
    } catch (error) {
      this.#lookAt = clock() + RETRY;
      const text = error instanceof FetchError ? error.message : "failed";
      events.fetched(name, "discovery", "error", clock() - begun, text);
      throw error;
    }
  }

  get #document(): URL {
    const { source } = this.#config.keys;
    const url = "discovery" in source ? URL.parse(source.discovery) : null;
    if (url === null) throw new FetchError("nothing says where the issuer is asked");
    return url;
  }

  /** RFC 8705, section 5: who shows a certificate may have to ask elsewhere. */
  #forUs({ url, document }: Metadata): Metadata {
    const aliases = document.mtls_endpoint_aliases;
    const shows = this.#config.client.certificate !== undefined;
    return shows && isMapping(aliases) && aliases[NAME] !== undefined ? { url, document: aliases } : { url, document };
  }
}
