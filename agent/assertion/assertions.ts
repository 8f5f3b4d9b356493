import { createPrivateKey } from "node:crypto";
import { backendHeader } from "../../haproxy/variables.ts";
import type { Reason } from "../../policies/decision.ts";
import type { AssertionConfig } from "../config/config.ts";
import type { RingKey } from "../config/files/key-ring.ts";
import { type Asserted, claimsText } from "./claims.ts";
import { tokenLength } from "./jws.ts";
import { signingKey } from "./ring.ts";
import type { Signing } from "./signing.ts";
import type { SigningKey } from "./signing-batch.ts";

/** Longest assertion in characters. It bounds the ACK (docs/haproxy-contract.md, "tune.bufsize"). */
export const LARGEST_ASSERTION = backendHeader("assertion")?.max ?? 0;

/** What is to be signed of one request. */
export interface Unsigned {
  readonly claims: string;
  readonly key: SigningKey;
}

/** Tells backends who asks, in a form that they can check without trusting what is in between. Of one snapshot. */
export class Assertions {
  readonly #config: AssertionConfig;
  readonly #signing: Signing;
  readonly #keys: ReadonlyMap<RingKey, SigningKey>;

  constructor(config: AssertionConfig, signing: Signing) {
    this.#config = config;
    this.#signing = signing;
    this.#keys = new Map(config.ring.map((key) => [key, keyOf(key)]));
  }

  /** The claims and the key of an allowed request's assertion; or why there can be none. */
  of(asserted: Asserted): Unsigned | Reason {
    const ringKey = signingKey(this.#config.ring, asserted.request.time / 1000);
    const key = ringKey && this.#keys.get(ringKey);
    if (key === undefined) return "assertion-unavailable";
    const claims = claimsText(asserted, this.#config);
    if ("reason" in claims) return claims.reason;
    return tokenLength(key, claims.text) > LARGEST_ASSERTION ? "header-too-long" : { claims: claims.text, key };
  }

  /**
   * The assertion.
   *
   * @param wanted whether somebody still waits for it
   * @throws Error when it cannot be signed
   */
  sign({ claims, key }: Unsigned, wanted: () => boolean): Promise<string | "dropped"> {
    return this.#signing.sign(claims, key, wanted);
  }
}

function keyOf({ kid, algorithm, jwk }: RingKey): SigningKey {
  return { id: `${kid} ${jwk.x}`, kid, algorithm, key: createPrivateKey({ key: jwk, format: "jwk" }) };
}
