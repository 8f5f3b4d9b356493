import type { Issuer } from "./issuer/issuer.ts";

/** An issuer with how many snapshots use it: with the last one it ends. */
export class Held {
  readonly issuer: Issuer;
  #owners = 0;
  #ended = false;

  constructor(issuer: Issuer) {
    this.issuer = issuer;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** One more snapshot uses it. */
  retain(): void {
    this.#owners++;
  }

  /** One snapshot less. */
  release(): void {
    if (--this.#owners > 0) return;
    this.#ended = true;
    this.issuer.close();
  }
}
