import { hash, randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { DpopConfig } from "../../config/config.ts";
import type { Confirmation } from "../issuer/issuer.ts";
import type { Refusal } from "../issuer/refusal.ts";
import type { SignatureChecks } from "../issuer/world.ts";
import { importKey, type Key } from "../jwt/key.ts";
import { type DpopProof, parseProof } from "./dpop-proof.ts";
import { Nonces } from "./nonces.ts";
import { ReplayMemory, type Replays, type Seen } from "./replays.ts";
import type { Shown } from "./shown.ts";
import { isTarget } from "./target.ts";

/** What looking at a proof came to: nothing against it, or why it proves nothing. */
export type Proving = {
  readonly refusal: Refusal | undefined;
  /** What the client is to use as `nonce` from now on, where it has not used that. */
  readonly nonce?: string | undefined;
};

const PROVEN: Proving = { refusal: undefined };
const OVERLOADED: Proving = { refusal: { reason: "overloaded" } };

/** Keys of clients that were imported. */
const MOST_KEYS = 10_000;
/** Proofs that are looked at at a time: their signatures, and whether a store has seen them. */
const MOST_CHECKS = 1024;

/** Milliseconds for which what has come has to be known: a DPoP proof, and a credential that counts once. */
export interface Kept {
  readonly proof: number;
  readonly once: number;
}

/** What outlives every configuration of one process. */
export class ProofMemory {
  readonly keys = new LRUCache<string, Key>({ max: MOST_KEYS });
  /** DPoP proofs, and credentials that count once: neither takes room from the other. */
  readonly replays: ReplayMemory;
  readonly once: ReplayMemory;
  /** Of nonces, where the configuration has no secret. */
  readonly secret = randomBytes(32);
  checking = 0;

  /** @param now milliseconds since the epoch */
  constructor(now: number) {
    this.replays = new ReplayMemory(now);
    this.once = new ReplayMemory(now);
  }

  /** @param now milliseconds since the epoch */
  begin(now: number): void {
    this.replays.begin(now);
    this.once.begin(now);
  }
}

/**
 * Whether who sends a credential that is bound to a key has that key: for a certificate by what HAProxy's TLS has seen
 * (RFC 8705, section 3), for DPoP by a proof that was made for this request alone (RFC 9449, section 4.3).
 */
export class Proofs {
  readonly #config: DpopConfig;
  readonly #memory: ProofMemory;
  readonly #replays: Replays;
  readonly #onces: Replays;
  readonly #signatures: SignatureChecks;
  readonly #nonces: Nonces;

  /** @param store what agents share; default: this process's memory */
  constructor(config: DpopConfig, memory: ProofMemory, signatures: SignatureChecks, kept: Kept, store?: Replays) {
    this.#config = config;
    this.#memory = memory;
    this.#signatures = signatures;
    this.#nonces = new Nonces(config.secret ?? memory.secret, config.maxAge);
    const { remembered } = config;
    this.#replays = store ?? { note: (...proof) => memory.replays.note(...proof, kept.proof, remembered) };
    this.#onces = store ?? { note: (...credential) => memory.once.note(...credential, kept.once, remembered) };
  }

  /**
   * Looks at what a request shows. What needs neither signature nor store is answered at once.
   *
   * @param confirmation what the credential is bound to; undefined for nothing
   * @param now milliseconds since the epoch
   * @param wanted whether somebody still waits for it
   */
  prove(
    confirmation: Confirmation | undefined,
    shown: Shown | undefined,
    now: number,
    wanted: () => boolean,
  ): Proving | Promise<Proving> {
    const { jkt, x5tS256, once } = confirmation ?? {};
    if (once !== undefined) return this.#once(once, now);
    if (shown === undefined) return { refusal: { reason: "proof-missing" } };
    if (x5tS256 !== undefined && shown.certificate !== x5tS256) {
      return refused(shown.certificate === undefined ? "proof-missing" : "binding-mismatch", "x5t#S256");
    }
    // RFC 9449, section 7.2: neither scheme stands for the other.
    if (shown.kind !== "dpop") return jkt === undefined ? PROVEN : refused("token-bound", "jkt");
    if (jkt === undefined) return refused("token-unbound", "jkt");
    return this.#dpop(jkt, shown, now, wanted);
  }

  /** A credential that is a proof itself, made for one request. */
  #once({ digest, madeAt }: NonNullable<Confirmation["once"]>, now: number): Proving | Promise<Proving> {
    const memory = this.#memory;
    if (memory.checking >= MOST_CHECKS) return OVERLOADED;
    const seen = this.#onces.note(digest, madeAt, now);
    if (!(seen instanceof Promise)) return provingOf(seen);
    memory.checking++;
    return seen.then(provingOf).finally(() => memory.checking--);
  }

  #dpop(jkt: string, shown: Shown, now: number, wanted: () => boolean): Proving | Promise<Proving> {
    if (shown.dpop === undefined) return refused("proof-missing", "jkt");
    const proof = parseProof(shown.dpop, this.#config.algorithms);
    if ("reason" in proof) return { refusal: proof };
    const fault = this.#faultOf(proof, jkt, shown, now);
    if (fault !== undefined) return { refusal: fault };
    const nonce = this.#config.nonces ? this.#nonces.current(now) : undefined;
    if (nonce !== undefined && !this.#nonces.takes(proof.nonce, now))
      return { ...refused("proof-nonce", "nonce"), nonce };
    const key = this.#keyOf(proof);
    if (key === undefined) return refused("proof-malformed", "jwk");
    if (!wanted() || this.#memory.checking >= MOST_CHECKS) return OVERLOADED;
    const fresh = nonce === proof.nonce ? undefined : nonce;
    return this.#checked(proof, key, now, wanted).then((refusal) => ({ refusal, nonce: fresh }));
  }

  /** Whatever can be told by comparing: of whose key, for what, and when. */
  #faultOf(proof: DpopProof, jkt: string, { method, target, ath }: Shown, now: number): Refusal | undefined {
    const { maxAge, clockTolerance, ports } = this.#config;
    if (proof.thumbprint !== jkt) return { reason: "binding-mismatch", claim: "jkt" };
    if (proof.htm !== method) return { reason: "proof-mismatch", claim: "htm" };
    if (!isTarget(proof.htu, target, ports)) return { reason: "proof-mismatch", claim: "htu" };
    if (proof.ath !== ath) return { reason: "proof-mismatch", claim: "ath" };
    const age = now - proof.issuedAt;
    return age > maxAge || age < -clockTolerance ? { reason: "proof-stale", claim: "iat" } : undefined;
  }

  /** The key of a proof; undefined for one that is too weak, or none. */
  #keyOf({ thumbprint, jwk, algorithm }: DpopProof): Key | undefined {
    const name = `${algorithm} ${thumbprint}`;
    const known = this.#memory.keys.get(name);
    if (known !== undefined) return known;
    const key = importKey(jwk, [algorithm]);
    if (!("publicKey" in key) || !key.algorithms.has(algorithm)) return undefined;
    this.#memory.keys.set(name, key);
    return key;
  }

  /** Only a proof that holds is noted: nobody else can use one up. */
  async #checked(proof: DpopProof, key: Key, now: number, wanted: () => boolean): Promise<Refusal | undefined> {
    this.#memory.checking++;
    try {
      const outcome = await this.#signatures.check(proof.text, proof.algorithm, key, wanted);
      if (outcome === "dropped") return { reason: "overloaded" };
      if (!outcome) return { reason: "proof-invalid" };
      const digest = hash("sha256", `${proof.thumbprint} ${proof.jti}`, "binary");
      const seen = await this.#replays.note(digest, proof.issuedAt, now);
      return seen === "new" ? undefined : (REFUSALS[seen] ?? { reason: "agent-error" });
    } catch {
      return { reason: "agent-error" };
    } finally {
      this.#memory.checking--;
    }
  }
}

function provingOf(seen: Seen): Proving {
  return seen === "new" ? PROVEN : { refusal: { reason: REFUSALS[seen]?.reason ?? "agent-error" } };
}

const REFUSALS: Readonly<Record<Exclude<Seen, "new">, Refusal>> = {
  before: { reason: "proof-replayed", claim: "jti" },
  "too-old": { reason: "proof-stale", claim: "iat" },
  unavailable: { reason: "proof-unavailable" },
};

/**
 * How long what has come could come again: a proof from the future can for longest.
 *
 * @param longest the same of credentials that count once
 */
export function keptFor({ maxAge, clockTolerance }: DpopConfig, longest: number): Kept {
  return { proof: maxAge + clockTolerance + 1_000, once: longest + 1_000 };
}

function refused(reason: Refusal["reason"], claim: string): Proving {
  return { refusal: { reason, claim } };
}
