import { createHmac } from "node:crypto";

/** Bytes of a nonce: enough that nobody guesses one. */
const SIZE = 16;
/** Characters of one; it bounds the ACK. */
export const LARGEST_NONCE = 22;

/**
 * Nonces that nobody has to remember (RFC 9449, sections 8 and 9): each is made of a secret and of the time, and is good
 * for the period that it was made in and for the one after. Whoever has the secret knows the nonces of all.
 */
export class Nonces {
  readonly #secret: string | Buffer;
  readonly #period: number;
  #number = Number.NaN;
  #current = "";
  #previous = "";

  /** @param period milliseconds */
  constructor(secret: string | Buffer, period: number) {
    this.#secret = secret;
    this.#period = period;
  }

  /** The one to use now. @param now milliseconds since the epoch */
  current(now: number): string {
    const number = Math.floor(now / this.#period);
    if (number !== this.#number) {
      this.#number = number;
      this.#current = this.#made(number);
      this.#previous = this.#made(number - 1);
    }
    return this.#current;
  }

  /** Whether a nonce is good. */
  takes(nonce: string | undefined, now: number): boolean {
    return nonce === this.current(now) || nonce === this.#previous;
  }

  #made(number: number): string {
    return createHmac("sha256", this.#secret)
      .update(`countersign dpop nonce ${number}`)
      .digest()
      .toString("base64url", 0, SIZE);
  }
}
