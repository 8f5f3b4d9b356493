import type { ClaimsIssuer } from "../../config/config.ts";
import { type Claims, type Expectations, expectationsOf, requirementFault } from "../claims/claims.ts";
import { Pool } from "../claims/pool.ts";
import { type ClaimPaths, claimPaths, principalOf } from "../claims/principal.ts";
import type { Evidence } from "../issuer/evidence.ts";
import type { Basis, Finding, Issuer, IssuerReport, KeyView, Unproven } from "../issuer/issuer.ts";
import { groupsUnasked } from "../okta/okta.ts";
import type { OktaConfig } from "../okta/section.ts";
import { type LoginConfig, sessionKind } from "./section.ts";
import { SeenSession } from "./seen.ts";
import { issuerOf, type Session, SessionCookies } from "./session.ts";

/** An issuer that people may log in at. */
type LoginIssuer = ClaimsIssuer & {
  readonly login?: LoginConfig | undefined;
  readonly okta?: OktaConfig | undefined;
};

/** An issuer as it is, or with the sessions of those who have logged in there. */
export function withSessions(issuer: Issuer, config: LoginIssuer): Issuer {
  return config.login === undefined ? issuer : new Sessions(issuer, config, config.login);
}

const INVALID: Unproven = { reason: "session-invalid", lasting: true };
const EXPIRED: Unproven = { reason: "session-expired", lasting: true };

/** Opens sessions beside the tokens of an issuer: whom they prove is a principal of it like any other. */
class Sessions implements Issuer {
  readonly config: LoginIssuer;
  readonly #inner: Issuer;
  readonly #login: LoginConfig;
  readonly #kind: string;
  readonly #cookies: SessionCookies;
  readonly #claims: SessionClaims;
  readonly #basis: Basis = { until: Number.POSITIVE_INFINITY, identities: 0 };
  readonly #tolerance: number;

  constructor(inner: Issuer, config: LoginIssuer, login: LoginConfig) {
    this.config = config;
    this.#inner = inner;
    this.#login = login;
    this.#kind = sessionKind(login.sessions);
    this.#cookies = new SessionCookies(login.sessions);
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
    return evidence.kind === this.#kind ? this.#open(evidence.text, now) : this.#inner.verify(evidence, now, wanted);
  }

  ready(): Promise<void> {
    return this.#inner.ready();
  }

  status(): IssuerReport {
    const report = this.#inner.status();
    return { ...report, identities: report.identities + this.#basis.identities };
  }

  keys(): readonly KeyView[] {
    return this.#inner.keys?.() ?? [];
  }

  close(): void {
    this.#basis.until = 0;
    this.#inner.close();
  }

  #open(cookie: string, now: number): Finding {
    if (this.#basis.until === 0) return { reason: "issuer-unavailable" };
    const session = this.#cookies.open(cookie, { ...this.config, login: this.#login });
    if (session === undefined || session.begunAt > now + this.#tolerance) return INVALID;
    const { lifetime, idle } = this.#login.sessions;
    // What the configuration says now counts as well: a shorter life ends sessions that were given a longer one.
    const endsAt = Math.min(session.endsAt, session.begunAt + lifetime);
    if (now >= endsAt) return EXPIRED;
    const principal = this.#claims.principalOf(session, endsAt);
    if ("reason" in principal) return { ...principal, lasting: true };
    const seen = new SeenSession(session, idle, this.#cookies);
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
