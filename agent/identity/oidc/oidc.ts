import type { Principal } from "../../../policies/principal.ts";
import type { OidcIssuer } from "../../config/config.ts";
import { faultOf } from "../jwt/claims.ts";
import type { Key } from "../jwt/key.ts";
import { purposeFault } from "../jwt/purpose.ts";
import type { Refusal } from "../jwt/refusal.ts";
import type { Signatures } from "../jwt/signatures.ts";
import { type Token, typeOf } from "../jwt/token.ts";
import { Pool } from "../pool.ts";
import { type ClaimPaths, claimPaths, principalOf } from "../principal.ts";
import { KeySet, type Surroundings, type Wanted } from "./keys.ts";

/** What checking a token came to: a principal and the key it rests on, or a reason. */
export type Proof = { readonly principal: Principal; readonly key: Key } | Refusal;

/** Signature checks of one issuer under way at a time; a thousand take some 50 to 200 ms. */
const MOST_CHECKS = 1024;
/** Tokens of one issuer that wait for its keys at a time. Apart from the checks: unknown keys do not hinder known ones. */
const MOST_WAITING = 1024;

const OVERLOADED: Refusal = { reason: "overloaded" };

/** One issuer of type `oidc`: its keys, and what its tokens are held to. It outlives a reload that leaves it unchanged. */
export class OidcVerifier {
  readonly config: OidcIssuer;
  readonly keys: KeySet;
  /** Settles when the keys were asked for once. */
  readonly asked: Promise<void>;
  readonly #clock: () => number;
  readonly #types: ReadonlySet<string>;
  readonly #paths: ClaimPaths;
  readonly #signatures: Signatures;
  readonly #pool = new Pool();
  #checking = 0;
  #waiting = 0;
  #owners = 0;
  #ended = false;

  /** @param signatures what checks them */
  constructor(config: OidcIssuer, world: Surroundings, signatures: Signatures) {
    this.config = config;
    this.keys = new KeySet(config, world);
    this.#clock = world.clock;
    this.#signatures = signatures;
    this.#types = new Set(config.tokenTypes.map(typeOf));
    this.#paths = claimPaths(config);
    this.asked = this.keys.refresh();
  }

  /**
   * Checks a token of this issuer. A refusal that needs neither key nor signature is answered at once.
   *
   * @param now milliseconds since the epoch
   * @param wanted whether somebody still waits for it
   * @returns a refusal, or a promise that never rejects
   */
  verify(token: Token, now: number, wanted: () => boolean): Refusal | Promise<Proof> {
    const fault = this.#faultOf(token, now);
    if (fault !== undefined) return fault;
    const key = wantedBy(token, now);
    const selection = this.keys.select(key, now);
    if ("reason" in selection) return selection;
    if ("keys" in selection) {
      return this.#checking < MOST_CHECKS ? this.#check(token, selection.keys, wanted) : OVERLOADED;
    }
    return this.#waiting < MOST_WAITING ? this.#wait(token, key, selection.pending, wanted) : OVERLOADED;
  }

  /** One more snapshot uses this issuer. */
  retain(): void {
    this.#owners++;
  }

  /** One snapshot less; with the last one the keys end, and with them the identities that rest on them. */
  release(): void {
    if (--this.#owners > 0) return;
    this.#ended = true;
    this.keys.close();
  }

  get ended(): boolean {
    return this.#ended;
  }

  #faultOf({ algorithm, type, claims }: Token, now: number): Refusal | undefined {
    if (!this.config.algorithms.includes(algorithm)) return { reason: "algorithm-refused" };
    if (!this.#types.has(type)) return { reason: "token-type" };
    return purposeFault(type, claims, this.config.idTokens) ?? faultOf(claims, this.config, now);
  }

  async #wait(token: Token, key: Wanted, pending: Promise<void>, wanted: () => boolean): Promise<Proof> {
    this.#waiting++;
    await pending;
    this.#waiting--;
    const now = this.#clock();
    const fault = this.#faultOf(token, now);
    if (fault !== undefined) return fault;
    const selection = this.keys.reselect(key, now);
    if ("reason" in selection) return selection;
    return this.#checking < MOST_CHECKS ? this.#check(token, selection.keys, wanted) : OVERLOADED;
  }

  /** Only a token without `kid` has several keys to be tried. */
  #check(token: Token, [key, ...others]: readonly Key[], wanted: () => boolean): Promise<Proof> {
    if (key === undefined) return Promise.resolve({ reason: "signature-invalid" });
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

  #proven(token: Token, key: Key): Proof {
    try {
      return this.#principal(token, key);
    } catch {
      return { reason: "agent-error" };
    }
  }

  #principal(token: Token, key: Key): Proof {
    const principal = principalOf(token.claims, this.config, this.#paths, this.#pool);
    if ("reason" in principal) return principal;
    const now = this.#clock();
    // Time has passed, and the provider may have withdrawn the key meanwhile.
    if (now >= principal.expiresAt) return { reason: "token-expired" };
    return now < key.until ? { principal, key } : this.keys.missing();
  }
}

function wantedBy({ algorithm, kid, claims: { iat } }: Token, arrivedAt: number): Wanted {
  return { algorithm, kid, issuedAt: typeof iat === "number" ? iat : undefined, arrivedAt };
}
