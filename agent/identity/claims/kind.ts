import type { Kind } from "../../../policies/principal.ts";
import { allHold, Unknown } from "../../../policies/unknown.ts";
import type { ClaimsIssuer } from "../../config/config.ts";
import { type ClaimTest, claimTest } from "./claim-test.ts";
import type { Claims } from "./claims.ts";

interface Rule {
  readonly kind: Kind;
  readonly claims: readonly ClaimTest[];
}

/** What a principal is by the form of its token: what the rules of a configuration say, compiled. */
export class KindRules {
  readonly #rules: readonly Rule[];
  readonly #otherwise: Kind;

  constructor({ kind, kindRules }: Pick<ClaimsIssuer, "kind" | "kindRules">) {
    this.#otherwise = kind;
    this.#rules = kindRules.map((rule) => ({ kind: rule.kind, claims: rule.claims.map(claimTest) }));
  }

  /** Unknown where the rules of two kinds hold, or one cannot be told. */
  of(claims: Claims): Kind | Unknown {
    return this.ruled(claims) ?? this.#otherwise;
  }

  /** The same, and undefined where no rule holds. */
  ruled(claims: Claims): Kind | Unknown | undefined {
    let kind: Kind | undefined;
    for (const rule of this.#rules) {
      const holds = allHold(rule.claims, (test) => test.holds(claims));
      if (holds instanceof Unknown) return holds;
      if (!holds || rule.kind === kind) continue;
      if (kind !== undefined) return new Unknown("kind", `the claims of both ${kind} and ${rule.kind}`);
      kind = rule.kind;
    }
    return kind;
  }
}
