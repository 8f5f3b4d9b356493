import { spellingsOf } from "../../config/config.ts";
import { getObject } from "../../http/document.ts";
import type { Bounds } from "../../http/fetch.ts";
import { FetchError, failed } from "../../http/fetch-error.ts";
import type { KeyWorld } from "../issuer/world.ts";
import { bearerFrom } from "./bearer.ts";
import { discover, endpointOf } from "./discovery.ts";
import { type Jwks, readJwks } from "./jwks.ts";
import type { KeyOwner } from "./section.ts";

/** A JWKS, and where it was found. */
export interface Found {
  readonly url: URL;
  readonly jwks: Jwks;
}

/** A document that keys stand in. */
export interface KeyDocument {
  readonly read: typeof readJwks;
  /** Its media type, where it has one of its own: it is then where it was looked for, and nowhere else. */
  readonly accept?: string;
}

export const JWKS: KeyDocument = { read: readJwks };

const DISCOVERY_LIFETIME = 3_600_000;

/** Fetches the keys of one issuer: asks where they are, if need be, and then for them. */
export class JwksFetch {
  readonly #issuer: KeyOwner;
  readonly #world: KeyWorld;
  readonly #names: readonly string[];
  readonly #form: KeyDocument;
  #discovered: URL | undefined;
  #discoveredAt = 0;

  constructor(issuer: KeyOwner, world: KeyWorld, form: KeyDocument) {
    this.#form = form;
    this.#issuer = issuer;
    this.#world = world;
    this.#names = spellingsOf(issuer);
  }

  /**
   * Asks once; discovery and keys together take no longer than `keys.timeout`.
   *
   * @param abort ends it before
   * @param afresh whether it is asked again where the keys are, although that was asked lately
   * @param adopt what to make of the keys; what it throws counts as the provider's failure
   * @throws {FetchError}
   */
  async run<T>(abort: AbortController, afresh: boolean, adopt: (found: Found) => T): Promise<T> {
    const { ca, proxy, keys } = this.#issuer;
    const cancel = this.#world.schedule(keys.timeout, () => abort.abort());
    const bounds: Bounds = { signal: abort.signal, ca, proxy, maxSize: keys.maxSize };
    try {
      const url = await this.#whereabouts(bounds, afresh);
      return await this.#told("jwks", async () => adopt({ url, jwks: await this.#jwks(url, bounds) }));
    } finally {
      cancel();
    }
  }

  async #whereabouts(bounds: Bounds, afresh: boolean): Promise<URL> {
    const { source } = this.#issuer.keys;
    if ("url" in source) return new URL(source.url);
    if ("document" in source) throw new FetchError("the keys are a file's");
    const { clock, send } = this.#world;
    const known = !afresh && clock() - this.#discoveredAt < DISCOVERY_LIFETIME ? this.#discovered : undefined;
    if (known !== undefined) return known;
    const url = URL.parse(source.discovery);
    if (url === null) throw new FetchError("the issuer is not an address");
    this.#discovered = await this.#told("discovery", async () =>
      endpointOf(await discover(send, url, this.#names, bounds, this.#headers(url)), "jwks_uri"),
    );
    this.#discoveredAt = clock();
    return this.#discovered;
  }

  async #jwks(url: URL, bounds: Bounds): Promise<Jwks> {
    const { accept, read } = this.#form;
    const headers = { ...this.#headers(url), ...(accept !== undefined && { accept }) };
    const document = await getObject(this.#world.send, url, bounds, headers);
    const jwks = read(document, this.#issuer.algorithms);
    if (typeof jwks === "string") throw failed(url, jwks);
    return jwks;
  }

  /** The token is for where the configuration says, and not for where a document leads. */
  #headers(url: URL): Readonly<Record<string, string>> {
    const { bearer, source } = this.#issuer.keys;
    const own = "url" in source ? source.url : "discovery" in source ? source.discovery : undefined;
    if (bearer === undefined || own === undefined || new URL(own).origin !== url.origin) return {};
    const read = bearerFrom(bearer);
    if ("problem" in read) throw failed(url, `\`keys.bearer\` ${read.problem}`);
    return { authorization: `Bearer ${read.token}` };
  }

  async #told<T>(what: "discovery" | "jwks", task: () => Promise<T>): Promise<T> {
    const { clock, events } = this.#world;
    const begun = clock();
    try {
      const result = await task();
      events.fetched(this.#issuer.name, what, "ok", clock() - begun);
      return result;
    } catch (error) {
      const text = error instanceof FetchError ? error.message : "failed";
      events.fetched(this.#issuer.name, what, "error", clock() - begun, text);
      throw error;
    }
  }
}
