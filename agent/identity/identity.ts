import { isDeepStrictEqual } from "node:util";
import type { CredentialName } from "../../haproxy/credentials.ts";
import type { Reason } from "../../policies/decision.ts";
import { type Config, type IssuerConfig, spellingsOf } from "../config/config.ts";
import type { Revocation } from "../config/files/revoked.ts";
import type { Send } from "../http/fetch.ts";
import { Slots } from "../http/slots.ts";
import { type CachedIdentity, type CacheUse, IdentityCache, RefusalCache, type Verification } from "./cache.ts";
import { Held } from "./held.ts";
import { InFlight, type Waiter } from "./in-flight.ts";
import type { IdentityEvents } from "./issuer/events.ts";
import type { Confirmation, Finding, Issuer, IssuerReport, IssuerTypes, KeyView } from "./issuer/issuer.ts";
import { timer } from "./issuer/timer.ts";
import type { Due, Schedule, World } from "./issuer/world.ts";
import { Signatures } from "./jwt/signatures.ts";
import type { TokenBytes } from "./jwt/token.ts";
import { credentialIn, digestOf, evidenceOf, type Offered } from "./offered.ts";
import { ownerOf } from "./owner.ts";
import type { Proving } from "./proof/proofs.ts";
import { SharedProofs } from "./proof/shared.ts";
import type { Shown } from "./proof/shown.ts";
import { RecentTokens } from "./recent.ts";
import { Revocations } from "./revocations.ts";
import { ISSUER_TYPES } from "./types.ts";

export type { IdentityEvents, Offered, Verification, Waiter };

/** What one issuer is doing, for /status. */
export interface IssuerStatus extends IssuerReport {
  readonly name: string;
  /** As in its configuration: of JWTs the `iss`. */
  readonly issuer: string;
}

/** All issuers of one snapshot and what has been proven by them. */
export interface Identity {
  /**
   * Who a credential proves its sender to be. A known one is answered at once, and so is whatever needs neither
   * signature nor provider; the rest by a promise. It throws, or the promise rejects, by a bug alone.
   *
   * The promise may take as long as a provider does; the caller has a deadline of its own. The work goes on all the
   * same, and its result answers the next request; only what others would have to wait for is dropped once nobody
   * waits for it any more.
   *
   * @param offered in a header's bytes, which are read before this returns; or a text
   * @param now milliseconds since the epoch
   * @param waiter who waits for it; default: somebody who never leaves. Where nobody wants it nothing is begun
   */
  verify(offered: Offered, now: number, waiter?: Waiter): Verification | Promise<Verification>;
  /**
   * Whether what a request shows proves that a credential is its sender's. What needs neither signature nor store is
   * answered at once.
   *
   * @param confirmation what the credential is bound to, as `verify` has told it
   * @param shown undefined where the route's issuers ask for nothing
   */
  prove(
    confirmation: Confirmation | undefined,
    shown: Shown | undefined,
    now: number,
    waiter: Waiter,
  ): Proving | Promise<Proving>;
  /** Settles when every issuer is ready, and after the most that one may take at the latest. */
  ready(): Promise<void>;
  status(): readonly IssuerStatus[];
  /** The keys of the issuer with this URL, for an explanation; none where it has none. */
  keysOf(issuer: string): readonly KeyView[];
  /** `proofs` came with DPoP, `once` are credentials that count once, where this process remembers them. */
  caches(): {
    readonly identities: CacheUse;
    readonly refusals: CacheUse;
    readonly proofs?: CacheUse;
    readonly once?: CacheUse;
  };
  /** Ends the issuers that no later snapshot has taken over. */
  close(): void;
}

export interface IdentityOptions {
  readonly cache: Config["cache"];
  readonly limits: Pick<Config["limits"], "token" | "fetches">;
  readonly send: Send;
  readonly clock: () => number;
  readonly events: IdentityEvents;
  /** What proofs are held to; default: there are none, and what is bound to a key proves nobody. */
  readonly dpop?: Config["dpop"];
  /** Milliseconds that a token may wait for a fetch that is due; default: none does. */
  readonly deadline?: number;
  /** Default: all that there are. */
  readonly types?: IssuerTypes;
  /** What was taken back. Default: nothing */
  readonly revoked?: readonly Revocation[] | undefined;
  /** The identity of the snapshot before: issuers whose configuration is the same keep their keys and identities. */
  readonly previous?: Identity | undefined;
  /** Told of sessions that are due. */
  readonly due?: ((due: Due) => void) | undefined;
  /** Timers; default: the process's own, which do not keep it alive. */
  readonly schedule?: Schedule;
}

/** Milliseconds for which a token may stay in memory as it came once it proves nobody any more. */
const FORGET_AFTER = 10_000;

const PATIENT: Waiter = { wanted: () => true };

/**
 * Starts all issuers, which ask their providers at once; see `ready`.
 *
 * @throws {Error} where two issuers have the same URL or one is of no type, which the configuration does not allow
 */
export function createIdentity(issuers: readonly IssuerConfig[], options: IdentityOptions): Identity {
  return new Issuers(issuers, options);
}

class Issuers implements Identity {
  readonly #held: readonly Held<Issuer>[];
  readonly #proofs: SharedProofs | undefined;
  readonly #issuers: readonly Issuer[];
  readonly #largest: number;
  readonly #events: IdentityEvents;
  readonly #clock: () => number;
  readonly #schedule: Schedule;
  readonly #slots: Slots;
  readonly #signatures: Signatures;
  readonly #identities: IdentityCache;
  readonly #revocations: Revocations;
  readonly #refusals: RefusalCache;
  readonly #recent = new RecentTokens<CachedIdentity>();
  readonly #inFlight = new InFlight();
  #cancelForgetting: (() => void) | undefined;
  #closed = false;

  constructor(issuers: readonly IssuerConfig[], options: IdentityOptions) {
    const { cache, limits, clock, events, send, due, deadline = 0, schedule = timer, types = ISSUER_TYPES } = options;
    const previous = options.previous instanceof Issuers ? options.previous : undefined;
    const spellings = issuers.flatMap(spellingsOf);
    if (new Set(spellings).size < spellings.length) throw new Error("two issuers with one URL");
    this.#largest = limits.token;
    this.#events = events;
    this.#clock = clock;
    this.#schedule = schedule;
    const before = previous === undefined ? undefined : previous.#inheritance();
    const slots = before?.slots;
    this.#slots = slots !== undefined && slots.size === limits.fetches ? slots : new Slots(limits.fetches);
    this.#signatures = before?.signatures ?? new Signatures();
    const world = { send, clock, schedule, slots: this.#slots, signatures: this.#signatures, events, due, deadline };
    this.#held = issuers.map((config) => heldFor(config, before?.held ?? [], types, world));
    this.#issuers = this.#held.map(({ value }) => value);
    const longest = Math.max(0, ...issuers.map(({ countsOnceFor = 0 }) => countsOnceFor));
    const { dpop } = options;
    this.#proofs = dpop === undefined ? undefined : new SharedProofs(dpop, world, longest, before?.proofs);
    const members = new Set(this.#issuers);
    const names = new Map(issuers.flatMap((issuer) => spellingsOf(issuer).map((iss) => [iss, issuer.name] as const)));
    this.#revocations = Revocations.of(options.revoked ?? [], names, before?.revocations);
    const { identities, lifetime } = cache;
    this.#identities = new IdentityCache(identities, lifetime, members, this.#revocations, before?.identities);
    this.#refusals = new RefusalCache(cache.refusals);
  }

  verify(told: Offered, now: number, waiter = PATIENT): Verification | Promise<Verification> {
    const length = typeof told === "string" ? told.length : told.end - told.start;
    if (length > this.#largest) return refused("token-too-large");
    const offered = credentialIn(told);
    const isText = typeof offered === "string";
    const kind = isText ? "bearer" : offered.kind;
    const recent = isText ? undefined : this.#recent.find(offered);
    if (recent !== undefined && recent.kind === kind && this.#identities.holds(recent, now)) {
      return this.#used(recent, now);
    }
    const digest = digestOf(offered);
    const identity = this.#identities.find(kind, digest, now);
    if (identity !== undefined) {
      if (!isText) this.#keep(offered, identity);
      return this.#used(identity, now);
    }
    const refusal = this.#refusals.find(kind, digest, now);
    if (refusal !== undefined) {
      this.#events.cache("refusal_hit");
      return refusal;
    }
    this.#events.cache("miss");
    if (!waiter.wanted()) return refused("overloaded");
    return this.#inFlight.join(kind, digest, waiter) ?? this.#begin(offered, kind, digest, now, waiter);
  }

  prove(...[confirmation, shown, now, waiter]: Parameters<Identity["prove"]>): Proving | Promise<Proving> {
    if (this.#proofs === undefined) return { refusal: { reason: "proof-missing" } };
    return this.#proofs.proofs.prove(confirmation, shown, now, () => waiter.wanted());
  }

  #used(identity: CachedIdentity, now: number): CachedIdentity {
    const { basis } = identity;
    if (basis.usedAt !== undefined) basis.usedAt = now;
    this.#events.cache("hit");
    return identity;
  }

  async ready(): Promise<void> {
    if (this.#issuers.length === 0) return;
    const longest = Math.max(...this.#issuers.map(({ patience }) => patience));
    const asked = Promise.all(this.#issuers.map((issuer) => issuer.ready()));
    let cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#schedule(longest, resolve);
    });
    await Promise.race([asked, late]);
    cancel();
  }

  status(): readonly IssuerStatus[] {
    return this.#issuers.map((issuer) => {
      const { name, issuer: url } = issuer.config;
      return { name, issuer: url, ...issuer.status() };
    });
  }

  keysOf(issuer: string): readonly KeyView[] {
    return this.#issuers.find(({ config }) => config.issuer === issuer)?.keys?.() ?? [];
  }

  caches() {
    return { identities: this.#identities.use, refusals: this.#refusals.use, ...this.#proofs?.use };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelForgetting?.();
    this.#recent.forget(() => true);
    for (const held of this.#held) held.release();
    this.#proofs?.close();
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
      held: this.#held,
      proofs: this.#proofs,
      slots: this.#slots,
      signatures: this.#signatures,
      identities: this.#identities,
      revocations: this.#revocations,
    };
  }

  /** A first use; what cannot be answered at once is verified once for all who ask meanwhile. */
  #begin(
    offered: Offered,
    kind: CredentialName,
    digest: string,
    now: number,
    waiter: Waiter,
  ): Verification | Promise<Verification> {
    const evidence = evidenceOf(offered);
    if (evidence === undefined) return refused("credential-malformed");
    const issuer = ownerOf(this.#issuers, evidence);
    if ("reason" in issuer) return refused(issuer.reason, issuer.claim);
    const { version } = issuer;
    const waiters = [waiter];
    const found = issuer.verify(evidence, now, () => waiters.some(({ wanted }) => wanted()));
    if (!(found instanceof Promise)) return this.#settle(kind, digest, issuer, version, found);
    const verification = found.then(
      (finding) => {
        this.#inFlight.delete(kind, digest);
        return this.#settle(kind, digest, issuer, version, finding);
      },
      (bug: unknown) => {
        this.#inFlight.delete(kind, digest);
        throw bug;
      },
    );
    this.#inFlight.add(kind, digest, verification, waiters);
    return verification;
  }

  #settle(kind: CredentialName, digest: string, issuer: Issuer, version: number, finding: Finding): Verification {
    const at = this.#clock();
    if ("principal" in finding && this.#revocations.has(finding.principal, finding.basis)) {
      return this.#settle(kind, digest, issuer, version, { reason: "credential-revoked", lasting: true });
    }
    if ("principal" in finding) {
      const { principal, confirmation, basis, lifetime = Number.MAX_SAFE_INTEGER } = finding;
      const cleared = this.#revocations;
      const identity = { kind, digest, principal, confirmation, issuer, basis, verifiedAt: at, lifetime, cleared };
      // One that counts once cannot answer again, and must not push out those that can.
      if (confirmation?.once === undefined) this.#identities.add(identity);
      if (basis.usedAt !== undefined) basis.usedAt = at;
      return identity;
    }
    const verification = refused(finding.reason, finding.claim);
    if (finding.lasting) this.#refusals.add({ kind, digest, verification, issuer, version, refusedAt: at });
    return verification;
  }
}

/** An issuer of the snapshot before, where its configuration is the same in every detail; else a new one. */
function heldFor(
  config: IssuerConfig,
  before: readonly Held<Issuer>[],
  types: IssuerTypes,
  world: World,
): Held<Issuer> {
  const known = before.find(({ value }) => value.config.issuer === config.issuer);
  const same = known !== undefined && !known.ended && isDeepStrictEqual(known.value.config, config);
  const held = same ? known : new Held(created(config, types, world));
  held.retain();
  return held;
}

function created(config: IssuerConfig, types: IssuerTypes, world: World): Issuer {
  const type = Object.hasOwn(types, config.type) ? types[config.type] : undefined;
  if (type === undefined) throw new Error(`no type of issuers: ${config.type}`);
  return type.create(config, world);
}

function refused(reason: Reason, claim?: string): Verification {
  return { principal: undefined, reason, claim };
}
