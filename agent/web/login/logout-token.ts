import { LRUCache } from "lru-cache";
import { isMapping } from "../../../policies/claim-path.ts";
import { statusOf } from "../../../policies/decision.ts";
import { spellingsOf } from "../../config/config.ts";
import type { Send } from "../../http/fetch.ts";
import { Slots } from "../../http/slots.ts";
import { type Claims, isDate, stringsOf } from "../../identity/claims/claims.ts";
import { UNHEARD } from "../../identity/issuer/events.ts";
import type { Token } from "../../identity/issuer/evidence.ts";
import { timer } from "../../identity/issuer/timer.ts";
import type { Key } from "../../identity/jwt/key.ts";
import { isSignedBy } from "../../identity/jwt/signature.ts";
import { parseToken } from "../../identity/jwt/token.ts";
import { KeySet } from "../../identity/oidc/keys.ts";
import type { LoginIssuer } from "./provider.ts";

/** Whose sessions end: those of one login at the provider, or all of a subject. */
export interface LoggedOut {
  readonly sid: string | undefined;
  readonly subject: string | undefined;
  /** To be called once they have ended: the token ends no others then. */
  readonly done: () => void;
}

/** Why a logout token ends nothing: `refused` for good, `failed` where it may be sent again. */
export interface BadLogoutToken {
  readonly outcome: "refused" | "failed";
  /** A code, or a text of ours. */
  readonly why: string;
}

/** The member of `events` by which a token is one (OpenID Connect Back-Channel Logout 1.0, section 2.4). */
const EVENT = "http://schemas.openid.net/event/backchannel-logout";
/** What its header may have as `typ`: some providers leave it out, or write what all their tokens have. */
const TYPES: ReadonlySet<string> = new Set(["logout+jwt", "jwt"]);
/** Milliseconds after which a token is not new any more; its `exp` may say less. */
const LATEST = 300_000;
/** Characters of a token, and of `jti`, `sid` and `sub`. */
const LONGEST = 8_192;
const LONGEST_ID = 512;
/** Tokens that have come lately. */
const MOST_SEEN = 10_000;
/** Milliseconds that somebody waits for keys which are about to be asked for. */
const PATIENCE = 5_000;
/** Tokens that do so at a time: anybody can send one of a key that nobody has, and pages are to be answered on. */
const MOST_WAITING = 8;
const TOO_MANY: BadLogoutToken = { outcome: "failed", why: "too many logout tokens wait for the provider's keys" };

/** Checks the logout tokens of one provider: all that section 2.6 asks for, and none twice. */
export class LogoutTokens {
  readonly #issuer: LoginIssuer;
  readonly #clock: () => number;
  readonly #keys: KeySet;
  readonly #seen = new LRUCache<string, true>({ max: MOST_SEEN, ttl: 2 * LATEST });
  #waiting = 0;

  /** @param clock milliseconds since the epoch */
  constructor(issuer: LoginIssuer, send: Send, clock: () => number) {
    this.#issuer = issuer;
    this.#clock = clock;
    const world = { send, clock, schedule: timer, slots: new Slots(1), events: UNHEARD, deadline: PATIENCE };
    this.#keys = new KeySet(issuer, world);
  }

  /** Never rejects. */
  async check(text: string): Promise<LoggedOut | BadLogoutToken> {
    const token = text.length > LONGEST ? "token-too-large" : parseToken(text);
    if (typeof token === "string") return refused(token);
    const { claims } = token;
    const fault = this.#faultOf(token);
    if (fault !== undefined) return refused(fault);
    const keys = await this.#keysFor(token);
    if ("outcome" in keys) return keys;
    if (!keys.some((key) => holds(token, key))) return refused("signature-invalid");
    const jti = String(claims.jti);
    if (this.#seen.has(jti)) return refused("it has come before");
    return { sid: textOf(claims.sid), subject: textOf(claims.sub), done: () => void this.#seen.set(jti, true) };
  }

  close(): void {
    this.#keys.close();
  }

  #faultOf({ algorithm, type, claims }: Token): string | undefined {
    if (!this.#issuer.algorithms.includes(algorithm)) return "algorithm-refused";
    if (!TYPES.has(type)) return "token-type";
    return this.#purposeFault(claims) ?? this.#timeFault(claims);
  }

  /** Whether it is this provider's, for this client, and a logout token, which an ID token never is. */
  #purposeFault({ iss, aud, events, nonce, jti, sid, sub }: Claims): string | undefined {
    if (!spellingsOf(this.#issuer).some((name) => name === iss)) return "another issuer's";
    if (stringsOf(aud)?.includes(this.#issuer.login.client.id) !== true) return "audience-not-accepted";
    if (!isMapping(events) || !isMapping(events[EVENT])) return "no logout token: `events`";
    if (nonce !== undefined) return "no logout token: `nonce`";
    if (textOf(jti) === undefined) return "claim-missing: jti";
    const named = [sid, sub].filter((claim) => claim !== undefined);
    if (named.length === 0) return "claim-missing: sid or sub";
    return named.every((claim) => textOf(claim) !== undefined) ? undefined : "claim-malformed: sid or sub";
  }

  #timeFault({ iat, exp }: Claims): string | undefined {
    if (!isDate(iat) || !isDate(exp)) return "claim-missing: iat and exp";
    const [now, tolerance] = [this.#clock(), this.#issuer.clockTolerance];
    if (iat * 1000 > now + tolerance) return "token-not-yet-valid";
    return now >= Math.min(exp * 1000, iat * 1000 + LATEST) + tolerance ? "token-expired" : undefined;
  }

  /** A key that nobody knows is asked for no more than once a `keys.cooldown`. */
  async #keysFor({ algorithm, kid, claims }: Token): Promise<readonly Key[] | BadLogoutToken> {
    const wanted = { algorithm, kid, issuedAt: Number(claims.iat), arrivedAt: this.#clock() };
    let selection = this.#keys.select(wanted, this.#clock());
    if ("pending" in selection) {
      if (this.#waiting >= MOST_WAITING) return TOO_MANY;
      this.#waiting++;
      await selection.pending;
      this.#waiting--;
      selection = this.#keys.reselect(wanted, this.#clock());
    }
    if ("keys" in selection) return selection.keys;
    return { outcome: statusOf(selection.reason) === 503 ? "failed" : "refused", why: selection.reason };
  }
}

function holds({ text, algorithm }: Token, { publicKey }: Key): boolean {
  return isSignedBy(Buffer.from(text, "latin1"), algorithm, publicKey);
}

function textOf(claim: unknown): string | undefined {
  return typeof claim === "string" && claim !== "" && claim.length <= LONGEST_ID ? claim : undefined;
}

function refused(why: string): BadLogoutToken {
  return { outcome: "refused", why };
}
