import { SessionClaims } from "../../identity/session/sessions.ts";
import { StoreUnavailable } from "../../identity/session/store.ts";
import type { Stored, StoredSession, StoredSessions } from "../../identity/session/stored.ts";
import type { LoginEvent } from "../../telemetry/events.ts";
import { failureOf, OtherSubject, Rotated } from "./failure.ts";
import type { LoggedIn, LoginProvider } from "./provider.ts";

/** Sessions of one issuer that are refreshed at a time; any other is told of again as long as it is used. */
const MOST_REFRESHES = 64;
/** Milliseconds for which it is tried to keep what the provider has given, and between: it gives it once. */
const KEEPING = 180_000;
const BETWEEN = 500;
/** Milliseconds that one agent has for it alone: for all of the provider's answers, and to keep what they say. */
const ALONE = KEEPING + 30_000;
/** Milliseconds for which nothing is refreshed once the provider could not be asked: at first, and at most. */
const FIRST_PAUSE = 5_000;
const LONGEST_PAUSE = 300_000;
/**
 * With these the provider says that a session is over: its token is no good, not even the one that it has just given, or
 * it wants to see its person again.
 */
const OVER: ReadonlySet<string> = new Set([
  ...["invalid_grant", "invalid_token"],
  ...["login_required", "interaction_required", "consent_required", "account_selection_required"],
]);
/** Milliseconds ahead of the access token's end at most. */
const AHEAD = 60_000;
/** Of tokens that do not say how long they last. Milliseconds. */
const USUAL = 3_600_000;

/**
 * When the provider is to be asked anew: ahead of the access token's end, and not for all sessions at once.
 *
 * @param now milliseconds since the epoch
 */
export function refreshAt({ tokens, expiresIn = USUAL }: Pick<LoggedIn, "tokens" | "expiresIn">, now: number): number {
  if (tokens.refresh === undefined) return 0;
  return Math.round(now + expiresIn - Math.min(AHEAD, expiresIn / 4) * (1 + Math.random() / 2));
}

/**
 * Asks one provider about sessions anew, by their refresh tokens (OpenID Connect Core 1.0, section 12): for each one
 * agent at a time, since a provider may take a second use of a token for a theft.
 */
export class Refresher {
  readonly #provider: LoginProvider;
  readonly #sessions: StoredSessions;
  readonly #clock: () => number;
  readonly #tell: (event: LoginEvent) => void;
  readonly #underWay = new Set<string>();
  #pause = FIRST_PAUSE;
  #pausedUntil = 0;

  /** @param clock milliseconds since the epoch */
  constructor(
    provider: LoginProvider,
    sessions: StoredSessions,
    clock: () => number,
    tell: (event: LoginEvent) => void,
  ) {
    this.#provider = provider;
    this.#sessions = sessions;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Refreshes a session where that is due, and nobody else does. Never rejects. */
  async refresh(id: string): Promise<void> {
    if (this.#underWay.has(id) || this.#underWay.size >= MOST_REFRESHES || this.#clock() < this.#pausedUntil) return;
    this.#underWay.add(id);
    try {
      await this.#sessions.alone(id, ALONE, () => this.#renew(id));
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) this.#failed("unexpected");
    } finally {
      this.#underWay.delete(id);
    }
  }

  async #renew(id: string): Promise<void> {
    const { issuer } = this.#provider;
    const before = await this.#sessions.read(id, issuer);
    const now = this.#clock();
    if (before?.tokens.refresh === undefined || now < before.session.refreshAt || now >= before.session.endsAt) return;
    let renewed: LoggedIn;
    try {
      renewed = await this.#provider.refresh(before.tokens.refresh, before.session);
    } catch (error) {
      return await this.#unrenewed(before, error);
    }
    this.#pause = FIRST_PAUSE;
    const tokens = { id: before.tokens.id, ...renewed.tokens };
    const { refresh = before.tokens.refresh } = tokens;
    try {
      const isKept = await this.#keep(before, this.#judged(before.session, renewed), tokens);
      if (isKept) this.#tell({ issuer: issuer.name, outcome: "refreshed" });
    } catch (error) {
      await this.#unrenewed(before, new Rotated(refresh, error));
    }
  }

  /** One that is refused says nothing of any other: it alone is asked about later. */
  async #unrenewed(before: Stored, error: unknown): Promise<void> {
    const rotated = error instanceof Rotated ? error : undefined;
    const cause = rotated?.cause ?? error;
    const { outcome, why } = failureOf(cause);
    if (OVER.has(why) || cause instanceof OtherSubject) return await this.#end(before);
    const isRefused = outcome === "refused";
    if (isRefused) this.#tell({ issuer: this.#provider.issuer.name, outcome: "failed", why: `refresh: ${why}` });
    else this.#failed(why);
    if (rotated === undefined && !isRefused) return;
    const refreshAt = isRefused ? this.#clock() + LONGEST_PAUSE : before.session.refreshAt;
    const tokens = rotated === undefined ? before.tokens : { ...before.tokens, refresh: rotated.refresh };
    await this.#keep(before, { ...before.session, refreshAt }, tokens);
  }

  /** What somebody is now known as. Where their claims are no longer enough, the verdicts say so. */
  #judged(before: StoredSession, renewed: LoggedIn): StoredSession {
    const { issuer } = this.#provider;
    const { claims, scopes } = renewed;
    const session = { ...before, claims, scopes, refreshAt: refreshAt(renewed, this.#clock()) };
    const principal = new SessionClaims(issuer, issuer.login).principalOf(session, session.endsAt);
    return "reason" in principal ? session : { ...session, subject: principal.subject };
  }

  /**
   * The token of before is used up: what came in its place is kept before anything uses it, however long the store is
   * away. Where the session has ended meanwhile, it is taken back at the provider. @returns whether it was kept
   */
  async #keep(before: Stored, session: StoredSession, tokens: Stored["tokens"]): Promise<boolean> {
    for (const until = Math.min(this.#clock() + KEEPING, session.endsAt); ; ) {
      try {
        const kept = await this.#sessions.replace(before, session, tokens, this.#clock());
        if (kept === "gone") await this.#takeBack(tokens);
        return kept === "written";
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        if (this.#clock() >= until) return this.#lost(error);
        await new Promise((resolve) => setTimeout(resolve, BETWEEN));
      }
    }
  }

  #lost(error: StoreUnavailable): false {
    this.#tell({ issuer: this.#provider.issuer.name, ...failureOf(error) });
    return false;
  }

  async #takeBack(tokens: Stored["tokens"]): Promise<void> {
    try {
      await this.#provider.revoke(tokens);
    } catch (error) {
      this.#tell({ issuer: this.#provider.issuer.name, outcome: "logout-failed", why: failureOf(error).why });
    }
  }

  /** Unless another has refreshed it meanwhile, whose token is then the good one. */
  async #end(before: Stored): Promise<void> {
    if (await this.#sessions.end(before, true)) this.#tell({ issuer: this.#provider.issuer.name, outcome: "ended" });
  }

  /** The session lasts, whatever the provider does. */
  #failed(why: string): void {
    this.#pausedUntil = this.#clock() + this.#pause;
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
    this.#tell({ issuer: this.#provider.issuer.name, outcome: "failed", why });
  }
}
