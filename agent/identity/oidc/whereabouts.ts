import { isMapping } from "../../../policies/claim-path.ts";
import { spellingsOf } from "../../config/config.ts";
import type { Bounds } from "../../http/fetch.ts";
import { FetchError } from "../../http/fetch-error.ts";
import type { AskingWorld } from "../issuer/world.ts";
import { discover, endpointOf, type Metadata } from "./discovery.ts";
import type { KeyOwner } from "./section.ts";

/** Milliseconds for which an issuer's metadata count. */
const LIFETIME = 3_600_000;
/** Milliseconds after which it is looked again where they cannot be found. */
const RETRY = 60_000;

/** Which endpoint of an issuer it is. */
export interface Sought {
  readonly owner: KeyOwner;
  /** As metadata call it. */
  readonly name: "introspection_endpoint" | "token_endpoint";
  /** What the configuration says; undefined for what the metadata do. */
  readonly endpoint: string | undefined;
  /** Whether who asks there shows a certificate. */
  readonly shows: boolean;
}

/** Where one endpoint of an issuer is: what the configuration says, or its metadata (RFC 8414). */
export class Whereabouts {
  readonly #sought: Sought;
  readonly #world: AskingWorld;
  #known: URL | undefined;
  #lookAt = Number.NEGATIVE_INFINITY;
  #finding: Promise<URL> | undefined;

  constructor(sought: Sought, world: AskingWorld) {
    this.#sought = sought;
    this.#world = world;
    if (sought.endpoint !== undefined) this.#known = new URL(sought.endpoint);
  }

  /** What was found last; it stays in use while it cannot be found anew. */
  get known(): URL | undefined {
    return this.#known;
  }

  /** Whether it is time to look anew. A clock that was set back must not put it off. */
  get isDue(): boolean {
    if (this.#sought.endpoint !== undefined || this.#finding !== undefined) return false;
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
    const { owner, name: endpoint } = this.#sought;
    const { name } = owner;
    const begun = clock();
    try {
      const metadata = await discover(send, this.#document, spellingsOf(owner), bounds);
      this.#known = endpointOf(this.#forUs(metadata), endpoint);
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
    const { source } = this.#sought.owner.keys;
    const url = "discovery" in source ? URL.parse(source.discovery) : null;
    if (url === null) throw new FetchError("nothing says where the issuer is asked");
    return url;
  }

  /** RFC 8705, section 5: who shows a certificate may have to ask elsewhere. */
  #forUs({ url, document }: Metadata): Metadata {
    const aliases = document.mtls_endpoint_aliases;
    const { shows, name } = this.#sought;
    return shows && isMapping(aliases) && aliases[name] !== undefined ? { url, document: aliases } : { url, document };
  }
}
