import { spellingsOf } from "../../config/config.ts";
import { type Claims, type Expectations, expectationsOf, faultOf } from "../claims/claims.ts";
import { confirmationOf } from "../claims/confirmation.ts";
import { Pool } from "../claims/pool.ts";
import { type ClaimPaths, claimPaths, principalOf } from "../claims/principal.ts";
import type { Evidence, Token } from "../issuer/evidence.ts";
import type { Finding, Issuer, IssuerReport, IssuerType, KeyView } from "../issuer/issuer.ts";
import type { Refusal } from "../issuer/refusal.ts";
import type { World } from "../issuer/world.ts";
import type { Key } from "../jwt/key.ts";
import { purposeFault } from "../jwt/purpose.ts";
import { typeOf } from "../jwt/token.ts";
import { withOkta } from "../okta/okta.ts";
import { withSessions } from "../session/sessions.ts";
import { KeySet, type Wanted } from "./keys.ts";
import { isTrustDomain } from "./names.ts";
import { type OidcIssuer, readOidc } from "./section.ts";

/** JWT access tokens of OpenID Connect providers. */
export const OIDC: IssuerType<OidcIssuer> = {
  revocable: ["token_id", "key_id"],
  read: readOidc,
  create: (config, world) => withSessions(withOkta(new OidcVerifier(config, world), config, world), config, world),
};

/** Signature checks of one issuer under way at a time; a thousand take some 50 to 200 ms. */
const MOST_CHECKS = 1024;
/** Tokens of one issuer that wait for its keys at a time. Apart from the checks: unknown keys do not hinder known ones. */
const MOST_WAITING = 1024;

const OVERLOADED: Refusal = { reason: "overloaded" };
/** Characters of a key id that a report shows. */
const LONGEST_KID = 64;

/** One issuer of type `oidc`: its keys, and what its tokens are held to. */
class OidcVerifier implements Issuer {
  readonly config: OidcIssuer;
  readonly #keys: KeySet;
  /** Settles when the keys were asked for once. */
  readonly #asked: Promise<void>;
  readonly #clock: () => number;
  readonly #types: ReadonlySet<string>;
  readonly #paths: ClaimPaths;
  readonly #expected: Expectations;
  readonly #spellings: readonly string[];
  readonly #signatures: World["signatures"];
  readonly #pool = new Pool();
  #checking = 0;
  #waiting = 0;

  constructor(config: OidcIssuer, world: World) {
    this.config = config;
    this.#keys = new KeySet(config, world);
    this.#clock = world.clock;
    this.#signatures = world.signatures;
    this.#types = new Set(config.tokenTypes.map(typeOf));
    this.#paths = claimPaths(config);
    this.#expected = expectationsOf(config);
    this.#spellings = spellingsOf(config);
    this.#asked = this.#keys.refresh();
  }

  get version(): number {
    return this.#keys.version;
  }

  get patience(): number {
    return this.config.keys.timeout;
  }

  owns({ token }: Evidence): boolean {
    return typeof token !== "string" && this.#names(token.claims);
  }

  /** A refusal that needs neither key nor signature is answered at once. */
  verify({ token }: Evidence, now: number, wanted: () => boolean): Refusal | Promise<Finding> {
    if (typeof token === "string") return { reason: token };
    const fault = this.#faultOf(token, now);
    if (fault !== undefined) return fault;
    const key = wantedBy(token, now);
    const selection = this.#keys.select(key, now);
    if ("reason" in selection) return selection;
    if ("keys" in selection) {
      return this.#checking < MOST_CHECKS ? this.#check(token, selection.keys, wanted) : OVERLOADED;
    }
    return this.#waiting < MOST_WAITING ? this.#wait(token, key, selection.pending, wanted) : OVERLOADED;
  }

  async ready(): Promise<void> {
    await Promise.all([this.#signatures.start(), this.#asked]);
  }

  status(): IssuerReport {
    const { keys, unused, succeededAt, failedAt, error } = this.#keys;
    return {
      identities: keys.reduce((sum, key) => sum + key.identities, 0),
      succeededAt,
      failedAt,
      error,
      details: {
        keys: keys.filter(({ algorithms }) => algorithms.size > 0).length,
        unused_keys: unused.map(({ kid = "", why }) => ({ kid: shownKid(kid), why })),
      },
    };
  }

  keys(): readonly KeyView[] {
    return this.#keys.keys;
  }

  close(): void {
    this.#keys.close();
  }

  /** A JWT-SVID need not have `iss`: whose it is tells the trust domain of its `sub` (JWT-SVID, sections 3 and 4). */
  #names({ iss, sub }: Claims): boolean {
    if (iss !== undefined) return this.#spellings.some((spelling) => spelling === iss);
    return (
      typeof sub === "string" && this.#spellings.some((domain) => isTrustDomain(domain) && sub.startsWith(`${domain}/`))
    );
  }

  #faultOf({ algorithm, type, claims }: Token, now: number): Refusal | undefined {
    if (!this.config.algorithms.includes(algorithm)) return { reason: "algorithm-refused" };
    if (!this.#types.has(type)) return { reason: "token-type" };
    return purposeFault(type, claims, this.config.idTokens) ?? faultOf(claims, this.#expected, now);
  }

  async #wait(token: Token, key: Wanted, pending: Promise<void>, wanted: () => boolean): Promise<Finding> {
    this.#waiting++;
    await pending;
    this.#waiting--;
    const selection = this.#keys.reselect(key, this.#clock());
    if ("reason" in selection) return selection;
    return this.#checking < MOST_CHECKS ? this.#check(token, selection.keys, wanted) : OVERLOADED;
  }

  /** Only a token without `kid` has several keys to be tried. */
  #check(token: Token, [key, ...others]: readonly Key[], wanted: () => boolean): Promise<Finding> {
    if (key === undefined) return Promise.resolve({ reason: "signature-invalid", lasting: true });
    this.#checking++;
    // One promise for all that follows the check: each takes its time, and a new token passes through several.
    return this.#signatures.check(token.text, token.algorithm, key, wanted).then(
      (outcome) => {
        this.#checking--;
        if (outcome === "dropped") return OVERLOADED;
        return outcome ? this.#proven(token, key) : this.#check(token, others, wanted);
      },
      () => {
        this.#checking--;
        return { reason: "agent-error" };
      },
    );
  }

  #proven(token: Token, key: Key): Finding {
    try {
      return this.#principal(token, key);
    } catch {
      return { reason: "agent-error" };
    }
  }

  #principal(token: Token, key: Key): Finding {
    const principal = principalOf(token.claims, this.config, this.#paths, this.#pool);
    if ("reason" in principal) return { ...principal, lasting: true };
    const now = this.#clock();
    // Time has passed, and the provider may have withdrawn the key meanwhile.
    if (now >= principal.expiresAt) return { reason: "token-expired" };
    const confirmation = confirmationOf(token.claims, this.config);
    if (confirmation !== undefined && "reason" in confirmation) return confirmation;
    return now < key.until ? { principal, basis: key, confirmation } : this.#keys.missing();
  }
}

function wantedBy({ algorithm, kid, claims: { iat } }: Token, arrivedAt: number): Wanted {
  return { algorithm, kid, issuedAt: typeof iat === "number" ? iat : undefined, arrivedAt };
}

/** A key id is as long as a provider likes. */
function shownKid(kid: string): string {
  return kid.length <= LONGEST_KID ? kid : `${kid.slice(0, LONGEST_KID - 1)}…`;
}
