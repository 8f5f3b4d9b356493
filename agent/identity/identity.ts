import { hash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Reason } from "../../policies/decision.ts";
import type { Config, OidcIssuer } from "../config/config.ts";
import type { Get } from "../http/fetch.ts";
import { Slots } from "../http/slots.ts";
import { type CachedIdentity, type CacheUse, IdentityCache, RefusalCache, type Verification } from "./cache.ts";
import type { IdentityEvents } from "./events.ts";
import { InFlight, type Waiter } from "./in-flight.ts";
import type { Unused } from "./jwt/key.ts";
import { Signatures } from "./jwt/signatures.ts";
import { bearerText, parseToken, type TokenBytes } from "./jwt/token.ts";
import type { KeyView, Schedule, Surroundings } from "./oidc/keys.ts";
import { OidcVerifier, type Proof } from "./oidc/oidc.ts";
import { RecentTokens } from "./recent.ts";

export type { IdentityEvents, Verification, Waiter };

/** What one issuer is doing, for /status. */
export interface IssuerStatus {
  readonly name: string;
  /** Its URL, the tokens' `iss`. */
  readonly issuer: string;
  readonly keys: number;
  /** The members of its last JWKS that no token can be checked with; the key ids are as the provider wrote them. */
  readonly unused: readonly Unused[];
  /** Cached identities of the issuer. */
  readonly identities: number;
  /** Milliseconds since the epoch; undefined where there was none. */
  readonly succeededAt: number | undefined;
  readonly failedAt: number | undefined;
  /** Why the provider cannot be asked, while it cannot; safe to show. */
  readonly error: string | undefined;
}

/** All issuers of one snapshot and what has been proven by them. */
export interface Identity {
  /**
   * Who a bearer token proves its sender to be. A known token is answered at once, and so is whatever needs neither
   * signature nor provider; the rest by a promise that never rejects. Throws nothing.
   *
   * The promise may take as long as a provider does; the caller has a deadline of its own. The work goes on all the
   * same, and its result answers the next request; only what others would have to wait for is dropped once nobody
   * waits for it any more.
   *
   * @param token in a header's bytes, which are read before this returns; or a text
   * @param now milliseconds since the epoch
   * @param waiter who waits for it; default: somebody who never leaves. Where nobody wants it nothing is begun
   */
  verify(token: TokenBytes | string, now: number, waiter?: Waiter): Verification | Promise<Verification>;
  /** Settles when every issuer's keys were asked for once, well or not, and after the longest `keys.timeout` at the latest. */
  ready(): Promise<void>;
  status(): readonly IssuerStatus[];
  /** The keys of the issuer with this URL, for an explanation. */
  keysOf(issuer: string): readonly KeyView[];
  caches(): { readonly identities: CacheUse; readonly refusals: CacheUse };
  /** Ends the issuers that no later snapshot has taken over. */
  close(): void;
}

export interface IdentityOptions {
  readonly cache: Config["cache"];
  readonly limits: Pick<Config["limits"], "token" | "fetches">;
  readonly fetch: Get;
  readonly clock: () => number;
  readonly events: IdentityEvents;
  /** Milliseconds that a token may wait for a fetch that is due; default: none does. */
  readonly deadline?: number;
  /** The identity of the snapshot before: issuers whose configuration is the same keep their keys and identities. */
  readonly previous?: Identity | undefined;
  /** Timers; default: the process's own, which do not keep it alive. */
  readonly schedule?: Schedule;
}

/** Milliseconds for which a token may stay in memory as it came once it proves nobody any more. */
const FORGET_AFTER = 10_000;

const PATIENT: Waiter = { wanted: () => true };

/** Refusals that the passing of time does not change. The others are cheap to find again, or may not hold next time. */
const LASTING: ReadonlySet<Reason> = new Set(["signature-invalid", "claim-missing", "claim-malformed"]);

/**
 * Starts all issuers and asks their providers for their keys at once; see `ready`.
 *
 * @throws {Error} where two issuers have the same URL, which the configuration does not allow
 */
export function createIdentity(issuers: readonly OidcIssuer[], options: IdentityOptions): Identity {
  return new Issuers(issuers, options);
}

class Issuers implements Identity {
  readonly #byIss = new Map<string, OidcVerifier>();
  readonly #largest: number;
  readonly #events: IdentityEvents;
  readonly #clock: () => number;
  readonly #schedule: Schedule;
  readonly #slots: Slots;
  readonly #signatures: Signatures;
  readonly #identities: IdentityCache;
  readonly #refusals: RefusalCache;
  readonly #recent = new RecentTokens<CachedIdentity>();
  readonly #inFlight = new InFlight();
  #cancelForgetting: (() => void) | undefined;
  #closed = false;

  constructor(issuers: readonly OidcIssuer[], options: IdentityOptions) {
    const { cache, limits, clock, events, fetch, deadline = 0, schedule = timer } = options;
    const previous = options.previous instanceof Issuers ? options.previous : undefined;
    if (new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length) throw new Error("two issuers with one URL");
    this.#largest = limits.token;
    this.#events = events;
    this.#clock = clock;
    this.#schedule = schedule;
    const before = previous === undefined ? undefined : previous.#inheritance();
    const slots = before?.slots;
    this.#slots = slots !== undefined && slots.size === limits.fetches ? slots : new Slots(limits.fetches);
    this.#signatures = before?.signatures ?? new Signatures();
    const world = { get: fetch, clock, schedule, slots: this.#slots, events, deadline };
    for (const config of issuers)
      this.#byIss.set(config.issuer, verifierOf(config, before?.issuers, world, this.#signatures));
    const members = new Set(this.#byIss.values());
    this.#identities = new IdentityCache(cache.identities, cache.lifetime, members, before?.identities);
    this.#refusals = new RefusalCache(cache.refusals);
  }

  verify(token: TokenBytes | string, now: number, waiter = PATIENT): Verification | Promise<Verification> {
    const length = typeof token === "string" ? token.length : token.end - token.start;
    if (length > this.#largest) return refused("token-too-large");
    const recent = typeof token === "string" ? undefined : this.#recent.find(token);
    if (recent !== undefined && this.#identities.holds(recent, now)) {
      this.#events.cache("hit");
      return recent;
    }
    const digest = digestOf(token);
    const identity = this.#identities.find(digest, now);
    if (identity !== undefined) {
      if (typeof token !== "string") this.#keep(token, identity);
      this.#events.cache("hit");
      return identity;
    }
    const refusal = this.#refusals.find(digest, now);
    if (refusal !== undefined) {
      this.#events.cache("refusal_hit");
      return refusal;
    }
    this.#events.cache("miss");
    if (!waiter.wanted()) return refused("overloaded");
    return this.#inFlight.join(digest, waiter) ?? this.#begin(token, digest, now, waiter);
  }

  async ready(): Promise<void> {
    if (this.#byIss.size === 0) return;
    const longest = Math.max(...this.#byIss.values().map(({ config }) => config.keys.timeout));
    const asked = Promise.all([this.#signatures.start(), ...this.#byIss.values().map((issuer) => issuer.asked)]);
    let cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#schedule(longest, resolve);
    });
    await Promise.race([asked, late]);
    cancel();
  }

  status(): readonly IssuerStatus[] {
    return [...this.#byIss.values()].map(({ config, keys }) => ({
      name: config.name,
      issuer: config.issuer,
      keys: keys.keys.filter(({ algorithms }) => algorithms.size > 0).length,
      unused: keys.unused,
      identities: keys.keys.reduce((sum, key) => sum + key.identities, 0),
      succeededAt: keys.succeededAt,
      failedAt: keys.failedAt,
      error: keys.error,
    }));
  }

  keysOf(issuer: string): readonly KeyView[] {
    return this.#byIss.get(issuer)?.keys.keys ?? [];
  }

  caches() {
    return { identities: this.#identities.use, refusals: this.#refusals.use };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelForgetting?.();
    this.#recent.forget(() => true);
    for (const issuer of this.#byIss.values()) issuer.release();
  }

  #keep(token: TokenBytes, identity: CachedIdentity): void {
    if (this.#closed) return;
    this.#recent.keep(token, identity);
    if (this.#cancelForgetting === undefined) this.#forgetLater();
  }

  #forgetLater(): void {
    this.#cancelForgetting = this.#schedule(FORGET_AFTER, () => {
      this.#cancelForgetting = undefined;
      const now = this.#clock();
      if (this.#recent.forget((identity) => !this.#identities.holds(identity, now))) this.#forgetLater();
    });
  }

  /** What the snapshot after this one may go on with. */
  #inheritance() {
    return {
      issuers: this.#byIss,
      slots: this.#slots,
      signatures: this.#signatures,
      identities: this.#identities,
    };
  }

  /** A first use; what cannot be answered at once is verified once for all who ask meanwhile. */
  #begin(
    bearer: TokenBytes | string,
    digest: string,
    now: number,
    waiter: Waiter,
  ): Verification | Promise<Verification> {
    const text = typeof bearer === "string" ? bearer : bearerText(bearer);
    if (text === undefined) return refused("credential-malformed");
    const token = parseToken(text);
    if (typeof token === "string") return refused(token);
    const { iss } = token.claims;
    if (typeof iss !== "string") return refused(iss === undefined ? "claim-missing" : "claim-malformed", "iss");
    const issuer = this.#byIss.get(iss);
    if (issuer === undefined) return refused("issuer-unknown", "iss");
    const { version } = issuer.keys;
    const waiters = [waiter];
    const begun = issuer.verify(token, now, () => waiters.some(({ wanted }) => wanted()));
    if ("reason" in begun) return refused(begun.reason, begun.claim);
    const verification = begun.then((proof) => this.#settle(digest, issuer, version, proof));
    this.#inFlight.add(digest, verification, waiters);
    return verification;
  }

  #settle(digest: string, issuer: OidcVerifier, version: number, proof: Proof): Verification {
    this.#inFlight.delete(digest);
    const at = this.#clock();
    if ("principal" in proof) {
      const identity = { digest, principal: proof.principal, issuer, key: proof.key, verifiedAt: at };
      this.#identities.add(identity);
      return identity;
    }
    const verification = refused(proof.reason, proof.claim);
    if (LASTING.has(proof.reason)) this.#refusals.add({ digest, verification, issuer, version, refusedAt: at });
    return verification;
  }
}

/** An issuer of the snapshot before, where its configuration is the same in every detail; else a new one. */
function verifierOf(
  config: OidcIssuer,
  before: ReadonlyMap<string, OidcVerifier> | undefined,
  world: Surroundings,
  signatures: Signatures,
): OidcVerifier {
  const known = before?.get(config.issuer);
  const same = known !== undefined && !known.ended && isDeepStrictEqual(known.config, config);
  const verifier = same ? known : new OidcVerifier(config, world, signatures);
  verifier.retain();
  return verifier;
}

function digestOf(token: TokenBytes | string): string {
  const input = typeof token === "string" ? token : token.bytes.subarray(token.start, token.end);
  return hash("sha256", input, "binary");
}

function refused(reason: Reason, claim?: string): Verification {
  return { principal: undefined, reason, claim };
}

/** What setTimeout takes; a longer delay would run at once. */
const LONGEST_DELAY = 2 ** 31 - 1;

const timer: Schedule = (delay, task) => {
  const timeout = setTimeout(task, Math.min(delay, LONGEST_DELAY)).unref();
  return () => clearTimeout(timeout);
};
