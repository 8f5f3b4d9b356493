import type { ClaimsIssuer } from "../../config/config.ts";
import { type Claims, type Expectations, expectationsOf, requirementFault } from "../claims/claims.ts";
import { Pool } from "../claims/pool.ts";
import { type ClaimPaths, claimPaths, principalOf } from "../claims/principal.ts";
import type { Evidence } from "../issuer/evidence.ts";
import type { Basis, Finding, Issuer, IssuerReport, KeyView, Unproven } from "../issuer/issuer.ts";
import type { World } from "../issuer/world.ts";
import { groupsUnasked } from "../okta/okta.ts";
import type { OktaConfig } from "../okta/section.ts";
import { type LoginConfig, sessionKind } from "./section.ts";
import { type Refresh, SeenSession } from "./seen.ts";
import { issuerOf, type Session, SessionCookies, type Whose } from "./session.ts";
import { SessionStore, StoreUnavailable } from "./store.ts";
import { type StoredSession, StoredSessions } from "./stored.ts";

/** An issuer that people may log in at. */
type LoginIssuer = ClaimsIssuer & {
  readonly login?: LoginConfig | undefined;
  readonly okta?: OktaConfig | undefined;
};

/** An issuer as it is, or with the sessions of those who have logged in there. */
export function withSessions(issuer: Issuer, config: LoginIssuer, world: World): Issuer {
  return config.login === undefined ? issuer : new Sessions(issuer, config, config.login, world);
}

const INVALID: Unproven = { reason: "session-invalid", lasting: true };
const UNAVAILABLE: Unproven = { reason: "session-unavailable" };
const OVERLOADED: Unproven = { reason: "overloaded" };
/** Sessions of one issuer that a store is asked for at a time. */
const MOST_ASKED = 1024;
/** Milliseconds for which a session counts without asking the store again: so long one lasts that was ended there. */
const KNOWN = 5_000;
const EXPIRED: Unproven = { reason: "session-expired", lasting: true };

/** Opens sessions beside the tokens of an issuer: whom they prove is a principal of it like any other. */
class Sessions implements Issuer {
  readonly config: LoginIssuer;
  readonly #inner: Issuer;
  readonly #login: LoginConfig;
  readonly #whose: Whose;
  readonly #kind: string;
  readonly #cookies: SessionCookies;
  readonly #store: SessionStore | undefined;
  readonly #stored: StoredSessions | undefined;
  readonly #clock: () => number;
  readonly #due: World["due"];
  #asked = 0;
  readonly #claims: SessionClaims;
  readonly #basis: Basis = { until: Number.POSITIVE_INFINITY, identities: 0 };
  readonly #tolerance: number;

  constructor(inner: Issuer, config: LoginIssuer, login: LoginConfig, { clock, events, due }: World) {
    this.config = config;
    this.#inner = inner;
    this.#login = login;
    this.#whose = { ...config, login };
    this.#kind = sessionKind(login.sessions);
    this.#cookies = new SessionCookies(login.sessions);
    const { store } = login.sessions;
    const told = (problem: string | undefined) => events.sessionStore(config.name, problem);
    this.#store = store === undefined ? undefined : new SessionStore(store, told);
    this.#stored = this.#store === undefined ? undefined : new StoredSessions(login.sessions, this.#store);
    this.#clock = clock;
    this.#due = due;
    this.#claims = new SessionClaims(config, login);
    this.#tolerance = config.clockTolerance;
  }

  get version(): number {
    return this.#inner.version;
  }

  get patience(): number {
    return this.#inner.patience;
  }

  owns(evidence: Evidence): boolean {
    return evidence.kind === this.#kind ? issuerOf(evidence.text) === this.config.name : this.#inner.owns(evidence);
  }

  verify(evidence: Evidence, now: number, wanted: () => boolean): Finding | Promise<Finding> {
    if (evidence.kind !== this.#kind) return this.#inner.verify(evidence, now, wanted);
    if (this.#basis.until === 0) return { reason: "issuer-unavailable" };
    if (this.#stored !== undefined) return this.#find(evidence.text, this.#stored);
    return this.#proven(this.#cookies.open(evidence.text, this.#whose), now);
  }

  async ready(): Promise<void> {
    await Promise.all([this.#inner.ready(), this.#store?.ready()]);
  }

  status(): IssuerReport {
    const report = this.#inner.status();
    const problems = this.#store?.problems().map((problem) => ({ problem }));
    const details = problems === undefined ? report.details : { ...report.details, session_store: problems };
    return { ...report, details, identities: report.identities + this.#basis.identities };
  }

  keys(): readonly KeyView[] {
    return this.#inner.keys?.() ?? [];
  }

  /** What the store was asked before is still answered: a reload refuses nobody who waits. */
  close(): void {
    this.#basis.until = 0;
    this.#inner.close();
    this.#closeUnasked();
  }

  #closeUnasked(): void {
    if (this.#basis.until === 0 && this.#asked === 0) this.#store?.close();
  }

  /** What can be no session is told at once. */
  #find(cookie: string, stored: StoredSessions): Finding | Promise<Finding> {
    if (stored.idIn(cookie, this.#whose) === undefined) return INVALID;
    return this.#asked < MOST_ASKED ? this.#ask(cookie, stored) : OVERLOADED;
  }

  async #ask(cookie: string, stored: StoredSessions): Promise<Finding> {
    this.#asked++;
    try {
      const session = await stored.open(cookie, this.#whose);
      const now = this.#clock();
      const refresh = session === undefined ? undefined : this.#refreshOf(session);
      const finding = this.#proven(session, now, refresh);
      if (!("reason" in finding)) return { ...finding, lifetime: KNOWN };
      if (session === undefined || finding === INVALID || finding === EXPIRED) return finding;
      // What its claims lack now they may have once it is refreshed.
      if (refresh !== undefined && now >= refresh.at) refresh.tell();
      return { reason: finding.reason };
    } catch (error) {
      if (error instanceof StoreUnavailable) return UNAVAILABLE;
      throw error;
    } finally {
      this.#asked--;
      this.#closeUnasked();
    }
  }

  #refreshOf({ id, refreshAt }: StoredSession): Refresh | undefined {
    if (refreshAt === 0) return undefined;
    return { at: refreshAt, tell: () => this.#due?.({ issuer: this.config.name, id }) };
  }

  #proven(session: Session | undefined, now: number, refresh?: Refresh): Finding {
    if (session === undefined || session.begunAt > now + this.#tolerance) return INVALID;
    const { lifetime, idle } = this.#login.sessions;
    // What the configuration says now counts as well: a shorter life ends sessions that were given a longer one.
    const endsAt = Math.min(session.endsAt, session.begunAt + lifetime);
    if (now >= endsAt) return EXPIRED;
    const principal = this.#claims.principalOf(session, endsAt);
    if ("reason" in principal) return { ...principal, lasting: true };
    const seen = new SeenSession(session, idle, this.#cookies, refresh);
    return { principal, basis: this.#basis, confirmation: { session: seen } };
  }
}

/** What the claims of an ID token say of who has logged in. */
export class SessionClaims {
  readonly #issuer: LoginIssuer;
  readonly #paths: ClaimPaths;
  readonly #expected: Expectations;
  readonly #pool = new Pool();

  constructor(issuer: LoginIssuer, { claims }: Pick<LoginConfig, "claims">) {
    this.#issuer = { ...issuer, claims: { ...issuer.claims, ...claims } };
    this.#paths = claimPaths(this.#issuer);
    this.#expected = expectationsOf(this.#issuer);
  }

  /**
   * The principal of a session, or why it is none's. It is a person, for whom the agent itself is the audience: what the
   * ID token says of that was for the login.
   *
   * @param endsAt milliseconds since the epoch
   */
  principalOf({ claims, scopes }: Pick<Session, "claims" | "scopes">, endsAt: number) {
    const fault = requirementFault(claims, this.#expected.required);
    if (fault !== undefined) return fault;
    const ending: Claims = { ...claims, exp: endsAt / 1000 };
    const principal = principalOf(ending, this.#issuer, this.#paths, this.#pool);
    if ("reason" in principal) return principal;
    return Object.freeze({
      ...principal,
      kind: "person" as const,
      groups: groupsUnasked(principal, this.#issuer),
      scopes,
      audiences: this.#issuer.audiences,
      expiresAt: endsAt,
      bound: "" as const,
    });
  }
}
