import { LRUCache } from "lru-cache";
import type { Reason } from "../../policies/decision.ts";
import type { UpstreamToken } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import { FetchError } from "../http/fetch-error.ts";
import { Slots } from "../http/slots.ts";
import type { AskingWorld } from "../identity/issuer/world.ts";
import type { ExchangingIssuer } from "../identity/oidc/section.ts";
import { type Exchanged, ExchangeEndpoint } from "./exchange-endpoint.ts";

/** Tokens of one issuer's exchanges that are kept. */
export const MOST_TOKENS = 10_000;
/** Exchanges that were refused, and milliseconds for which that is remembered. */
const MOST_REFUSALS = 1_000;
const REFUSAL_LIFETIME = 10_000;
/** Exchanges of one issuer that are under way or wait. */
const MOST_WAITING = 1_024;

/** Why there is no token. */
export interface NoToken {
  readonly reason: Reason;
  /** How its issuer calls it, of a few errors that OAuth names; undefined where it has not said so. */
  readonly claim?: string | undefined;
}

/** Who waits for an exchange. */
export interface ExchangeWaiter {
  readonly wanted: () => boolean;
}

/** A token as the backend gets it. */
interface Kept {
  /** The Authorization header's. Empty once it was pushed out. */
  value: string;
  /** Milliseconds since the epoch. */
  readonly from: number;
  readonly until: number;
}

interface Asking {
  readonly outcome: Promise<string | NoToken>;
  readonly waiters: ExchangeWaiter[];
}

const UNAVAILABLE: NoToken = { reason: "exchange-unavailable" };
const OVERLOADED: NoToken = { reason: "overloaded" };
const TOO_LONG: NoToken = { reason: "header-too-long" };

/**
 * The exchanges of one issuer's tokens, with what came of them: kept for each credential and what is wanted for it, until
 * shortly before the token's end, and never longer than the credential proves somebody.
 */
export class Exchanger {
  readonly issuer: ExchangingIssuer;
  readonly #endpoint: ExchangeEndpoint;
  readonly #clock: () => number;
  readonly #slots: Slots;
  readonly #largest: number;
  readonly #tokens = new LRUCache<string, Kept>({
    max: MOST_TOKENS,
    dispose: (kept) => {
      kept.value = "";
    },
  });
  readonly #refusals = new LRUCache<string, NoToken & { readonly at: number }>({ max: MOST_REFUSALS });
  /** The same tokens by who is known already, so that no digest is made of a credential that comes again. */
  readonly #known = new WeakMap<Principal, Map<string, Kept>>();
  readonly #asking = new Map<string, Asking>();
  #closed = false;

  /** @param largest bytes of the whole header */
  constructor(issuer: ExchangingIssuer, world: AskingWorld, largest: number) {
    this.issuer = issuer;
    this.#endpoint = new ExchangeEndpoint(issuer, world);
    this.#clock = world.clock;
    this.#slots = new Slots(issuer.exchange.concurrency);
    this.#largest = largest;
    void this.#endpoint.ready();
  }

  get size(): number {
    return this.#tokens.size;
  }

  /** What is kept for somebody who was given it before; undefined where it has to be asked for. */
  find(principal: Principal, { key }: UpstreamToken, now: number): string | undefined {
    const kept = this.#known.get(principal)?.get(key);
    return kept !== undefined && holds(kept, now) ? kept.value : undefined;
  }

  /**
   * The Authorization header for a backend.
   *
   * @param credential the client's token
   * @param digest what tells it from all others
   * @returns a promise where its issuer has to be asked: once, for all who wait for the same
   */
  exchange(
    principal: Principal,
    wanted: UpstreamToken,
    credential: string,
    digest: string,
    waiter: ExchangeWaiter,
  ): string | NoToken | Promise<string | NoToken> {
    const now = this.#clock();
    const key = `${digest}${wanted.key}`;
    const kept = this.#tokens.get(key);
    if (kept !== undefined && holds(kept, now)) return this.#remember(principal, wanted, kept);
    const refusal = this.#refusals.get(key);
    if (refusal !== undefined && Math.abs(now - refusal.at) < REFUSAL_LIFETIME) return refusal;
    const asking = this.#asking.get(key);
    if (asking !== undefined) {
      asking.waiters.push(waiter);
      return asking.outcome;
    }
    if (this.#closed) return UNAVAILABLE;
    if (this.#asking.size >= MOST_WAITING) return OVERLOADED;
    return this.#begin(key, principal, wanted, credential, waiter);
  }

  /** Ends whatever is under way, and forgets what is kept. */
  close(): void {
    this.#closed = true;
    this.#endpoint.close();
    this.#tokens.clear();
  }

  #begin(key: string, principal: Principal, wanted: UpstreamToken, credential: string, waiter: ExchangeWaiter) {
    const waiters = [waiter];
    const outcome = this.#slots
      .run(async () => {
        if (!waiters.some((each) => each.wanted())) return OVERLOADED;
        const begun = this.#clock();
        return this.#concluded(key, principal, wanted, begun, await this.#endpoint.exchange(credential, wanted));
      })
      .catch((error: unknown) => {
        if (error instanceof FetchError) return UNAVAILABLE;
        throw error;
      })
      .finally(() => this.#asking.delete(key));
    this.#asking.set(key, { outcome, waiters });
    return outcome;
  }

  /** What was told is as old as the question. */
  #concluded(key: string, principal: Principal, wanted: UpstreamToken, begun: number, exchanged: Exchanged) {
    if ("refused" in exchanged) return this.#refused(key, { reason: "exchange-refused", claim: exchanged.refused });
    const value = `Bearer ${exchanged.token}`;
    if (value.length > this.#largest) return this.#refused(key, TOO_LONG);
    if (this.#closed) return UNAVAILABLE;
    const kept = { value, from: begun, until: Math.min(begun + exchanged.lifetime, principal.expiresAt) };
    this.#tokens.set(key, kept);
    return this.#remember(principal, wanted, kept);
  }

  #refused(key: string, refusal: NoToken): NoToken {
    this.#refusals.set(key, { ...refusal, at: this.#clock() });
    return refusal;
  }

  #remember(principal: Principal, { key }: UpstreamToken, kept: Kept): string {
    const known = this.#known.get(principal);
    if (known === undefined) this.#known.set(principal, new Map([[key, kept]]));
    else known.set(key, kept);
    return kept.value;
  }
}

/** A clock that was set back must not prolong it. */
function holds({ value, from, until }: Kept, now: number): boolean {
  return value !== "" && now >= from && now < until;
}
