import { isDeepStrictEqual } from "node:util";
import { isSession } from "../../haproxy/places.ts";
import { backendHeader } from "../../haproxy/variables.ts";
import type { UpstreamToken } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import type { IssuerConfig } from "../config/config.ts";
import { Held } from "../identity/held.ts";
import type { AskingWorld } from "../identity/issuer/world.ts";
import { bearerText } from "../identity/jwt/token.ts";
import { digestOf, type Offered } from "../identity/offered.ts";
import { type ExchangingIssuer, exchanges } from "../identity/oidc/section.ts";
import { Exchanger, type ExchangeWaiter, MOST_TOKENS, type NoToken } from "./exchanger.ts";

/** Longest Authorization header in bytes. It bounds the ACK (docs/haproxy-contract.md, "tune.bufsize"). */
export const LARGEST_UPSTREAM_TOKEN = backendHeader("upstream_token")?.max ?? 0;

/** A credential where it lies in bytes that were read. */
export type Subject = Exclude<Offered, string>;

const IMPOSSIBLE: NoToken = { reason: "exchange-impossible" };

/** Gets backends tokens of their own for those of clients. Of one snapshot; unchanged issuers keep what they know. */
export class UpstreamTokens {
  readonly #exchangers: ReadonlyMap<string, Held<Exchanger>>;

  constructor(issuers: readonly IssuerConfig[], world: AskingWorld, previous?: UpstreamTokens) {
    const before = previous === undefined ? undefined : previous.#exchangers;
    const held = issuers.filter(exchanges).map((issuer) => heldFor(issuer, world, before?.get(issuer.name)));
    this.#exchangers = new Map(held.map((each) => [each.value.issuer.name, each]));
  }

  /** How many are kept, and how many may be; undefined where nothing is exchanged. */
  get use(): { readonly entries: number; readonly limit: number } | undefined {
    const all = [...this.#exchangers.values()];
    if (all.length === 0) return undefined;
    return { entries: all.reduce((sum, { value }) => sum + value.size, 0), limit: all.length * MOST_TOKENS };
  }

  /** The Authorization header of a backend that was given one for this principal before; one look-up. */
  find(principal: Principal, wanted: UpstreamToken, now: number): string | undefined {
    return this.#exchangers.get(wanted.exchange)?.value.find(principal, wanted, now);
  }

  /**
   * The same, asked for where it is not known. Nobody's token is sent to another issuer than its own.
   *
   * @param subject what has proven the principal; its bytes are read before this returns
   * @returns why there is none; or a promise, which rejects by a bug alone
   */
  exchange(
    principal: Principal,
    wanted: UpstreamToken,
    subject: Subject | undefined,
    waiter: ExchangeWaiter,
  ): string | NoToken | Promise<string | NoToken> {
    const exchanger = this.#exchangers.get(wanted.exchange)?.value;
    if (exchanger === undefined) return { reason: "exchange-unavailable" };
    if (subject === undefined || isSession(subject.kind) || principal.issuer !== wanted.exchange) return IMPOSSIBLE;
    const token = bearerText(subject);
    if (token === undefined) return IMPOSSIBLE;
    return exchanger.exchange(principal, wanted, token, digestOf(subject), waiter);
  }

  /** Ends what no later snapshot has taken over. */
  close(): void {
    for (const held of this.#exchangers.values()) held.release();
  }
}

function heldFor(issuer: ExchangingIssuer, world: AskingWorld, before: Held<Exchanger> | undefined): Held<Exchanger> {
  const same = before !== undefined && !before.ended && isDeepStrictEqual(before.value.issuer, issuer);
  const held = same ? before : new Held(new Exchanger(issuer, world, LARGEST_UPSTREAM_TOKEN));
  held.retain();
  return held;
}
