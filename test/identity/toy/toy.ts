import { getObject } from "../../../agent/http/document.ts";
import type { Evidence } from "../../../agent/identity/issuer/evidence.ts";
import type {
  Basis,
  Finding,
  Issuer,
  IssuerReport,
  IssuerType,
  Unproven,
} from "../../../agent/identity/issuer/issuer.ts";
import type { World } from "../../../agent/identity/issuer/world.ts";
import { type Grant, readToy, type ToyIssuer } from "./section.ts";

/** Opaque tokens by a fixed table: the least that an issuer can be. */
export const TOY: IssuerType<ToyIssuer> = { read: readToy, create: (config, world) => new Toy(config, world) };

const TIMEOUT = 5_000;
const UNAVAILABLE: Unproven = { reason: "issuer-unavailable" };

class Toy implements Issuer {
  readonly config: ToyIssuer;
  readonly version = 0;
  readonly patience = TIMEOUT;
  readonly #world: World;
  readonly #basis: Basis = { until: Number.POSITIVE_INFINITY, identities: 0 };
  #succeededAt: number | undefined;
  #failedAt: number | undefined;

  constructor(config: ToyIssuer, world: World) {
    this.config = config;
    this.#world = world;
  }

  owns({ text }: Evidence): boolean {
    return text.startsWith(this.config.issuer);
  }

  verify({ text }: Evidence, now: number): Finding | Promise<Finding> {
    const { tokens, desk } = this.config;
    const grant = Object.hasOwn(tokens, text) ? tokens[text] : undefined;
    if (grant === undefined) return { reason: "signature-invalid", lasting: true };
    if (desk === undefined) return this.#found(grant, now);
    return this.#isOpen(desk).then((open) => (open ? this.#found(grant, this.#world.clock()) : UNAVAILABLE));
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  status(): IssuerReport {
    return {
      identities: this.#basis.identities,
      succeededAt: this.#succeededAt,
      failedAt: this.#failedAt,
      error: (this.#failedAt ?? 0) > (this.#succeededAt ?? 0) ? "the desk is shut" : undefined,
      details: { tokens: Object.keys(this.config.tokens).length },
    };
  }

  close(): void {
    this.#basis.until = 0;
  }

  #found({ subject, audience, until, bound }: Grant, now: number): Finding {
    if (now >= this.#basis.until) return UNAVAILABLE;
    if (now >= until) return { reason: "token-expired" };
    if (!this.config.audiences.includes(audience)) return { reason: "audience-not-accepted" };
    const principal = Object.freeze({
      issuer: this.config.name,
      subject,
      kind: "workload",
      groups: [],
      scopes: [],
      audiences: [audience],
      claims: {},
      client: undefined,
      actor: [],
      arn: undefined,
      uri: undefined,
      authenticatedAt: undefined,
      expiresAt: until,
      bound: "",
    } as const);
    return { principal, basis: this.#basis, ...(bound === undefined ? {} : { confirmation: { jkt: bound } }) };
  }

  async #isOpen(desk: string): Promise<boolean> {
    const { send, slots, schedule, clock } = this.#world;
    const abort = new AbortController();
    const cancel = schedule(TIMEOUT, () => abort.abort());
    const bounds = { signal: abort.signal, ca: undefined, proxy: undefined, maxSize: 1024 };
    const answer = await slots.run(() => getObject(send, new URL(desk), bounds)).catch(() => undefined);
    cancel();
    const open = answer?.open === true;
    if (open) this.#succeededAt = clock();
    else this.#failedAt = clock();
    return open;
  }
}
