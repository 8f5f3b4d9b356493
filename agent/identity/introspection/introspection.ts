import { FetchError } from "../../http/fetch-error.ts";
import { Slots } from "../../http/slots.ts";
import { type Claims, type Expectations, expectationsOf } from "../claims/claims.ts";
import { confirmationOf } from "../claims/confirmation.ts";
import { Pool } from "../claims/pool.ts";
import { type ClaimPaths, claimPaths, principalOf } from "../claims/principal.ts";
import type { Evidence } from "../issuer/evidence.ts";
import type { Basis, Finding, Issuer, IssuerReport, IssuerType, Unproven } from "../issuer/issuer.ts";
import type { World } from "../issuer/world.ts";
import { neverAccess } from "../jwt/purpose.ts";
import { withOkta } from "../okta/okta.ts";
import { tokenFault } from "./answer.ts";
import { Endpoint } from "./endpoint.ts";
import { type IntrospectionIssuer, readIntrospection } from "./section.ts";
import { hasForm } from "./token-form.ts";

/** Access tokens that their authorization server is asked about, since nobody else can tell what they are. */
export const INTROSPECTION: IssuerType<IntrospectionIssuer> = {
  revocable: ["token_id"],
  read: readIntrospection,
  create: (config, world) => withOkta(new Introspection(config, world), config, world),
};

/** Tokens of one issuer that wait to be asked about. */
const MOST_WAITING = 1024;

const OVERLOADED: Unproven = { reason: "overloaded" };
const UNAVAILABLE: Unproven = { reason: "issuer-unavailable" };
const INACTIVE: Unproven = { reason: "token-inactive", lasting: true };

/** One issuer of type `introspection`. What it is told counts for `lifetime`, and never longer than the token. */
class Introspection implements Issuer {
  readonly config: IntrospectionIssuer;
  readonly version = 0;
  readonly #endpoint: Endpoint;
  /** Its own: however slow it is, it takes nothing from what other issuers have to fetch. */
  readonly #slots: Slots;
  readonly #clock: () => number;
  readonly #paths: ClaimPaths;
  readonly #expected: Expectations;
  readonly #pool = new Pool();
  readonly #basis: Basis = { until: Number.POSITIVE_INFINITY, identities: 0 };
  readonly #asked: Promise<void>;
  #waiting = 0;

  constructor(config: IntrospectionIssuer, world: World) {
    this.config = config;
    this.#endpoint = new Endpoint(config, world);
    this.#slots = new Slots(config.concurrency);
    this.#clock = world.clock;
    this.#paths = claimPaths(config);
    this.#expected = expectationsOf(config);
    this.#asked = this.#endpoint.ready();
  }

  get patience(): number {
    return this.config.timeout;
  }

  owns(evidence: Evidence): boolean {
    return hasForm(evidence, this.config);
  }

  verify({ text, token }: Evidence, _now: number, wanted: () => boolean): Finding | Promise<Finding> {
    // A JWT that says what else it is need not be asked about, whatever its authorization server knows of it.
    if (typeof token !== "string" && neverAccess(token.type) !== undefined) return { reason: "token-type" };
    if (this.#isClosed) return UNAVAILABLE;
    if (this.#waiting >= MOST_WAITING) return OVERLOADED;
    this.#waiting++;
    return this.#slots.run(() => {
      this.#waiting--;
      return wanted() ? this.#judge(text) : Promise.resolve(OVERLOADED);
    });
  }

  ready(): Promise<void> {
    return this.#asked;
  }

  status(): IssuerReport {
    const { succeededAt, failedAt, error } = this.#endpoint.state;
    return { identities: this.#basis.identities, succeededAt, failedAt, error, details: {} };
  }

  close(): void {
    this.#basis.until = 0;
    this.#endpoint.close();
  }

  get #isClosed(): boolean {
    return this.#basis.until === 0;
  }

  async #judge(text: string): Promise<Finding> {
    const begun = this.#clock();
    try {
      const claims = await this.#endpoint.ask(text);
      if (this.#isClosed) return UNAVAILABLE;
      return claims === undefined ? INACTIVE : this.#found(claims, begun);
    } catch (error) {
      if (error instanceof FetchError) return UNAVAILABLE;
      throw error;
    }
  }

  /** What was told is as old as the question. */
  #found(claims: Claims, begun: number): Finding {
    const now = this.#clock();
    const fault = tokenFault(claims, this.config, this.#expected, now);
    if (fault !== undefined) return { ...fault, lasting: fault.reason !== "token-not-yet-valid" };
    const principal = principalOf(claims, this.config, this.#paths, this.#pool);
    if ("reason" in principal) return { ...principal, lasting: true };
    const confirmation = confirmationOf(claims, this.config);
    if (confirmation !== undefined && "reason" in confirmation) return confirmation;
    return { principal, basis: this.#basis, confirmation, lifetime: this.config.lifetime - Math.abs(now - begun) };
  }
}
