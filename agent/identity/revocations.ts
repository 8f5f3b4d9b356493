import { isDeepStrictEqual } from "node:util";
import type { Principal } from "../../policies/principal.ts";
import { REVOCABLE, type Revocable, type Revocation } from "../config/files/revoked.ts";
import type { Basis } from "./issuer/issuer.ts";

/** Where each is found that an identity is told by. */
const VALUES: Readonly<Record<Revocable, (principal: Principal, basis: Basis) => unknown>> = {
  subject: ({ subject }) => subject,
  token_id: ({ claims }) => claims.jti,
  key_id: (_, { kid }) => kid,
  role_session: ({ claims }) => claims.session_name,
  serial: ({ claims }) => serialOf(claims.serial),
};

type ByValue = Map<unknown, Revocation[]>;

/** What was taken back although it still proves somebody. */
export class Revocations {
  readonly #all: readonly Revocation[];
  /** By issuer; then by one of the things that tell an identity of it; then by what that must be. */
  readonly #byIssuer = new Map<string, Map<Revocable, ByValue>>();

  /** The list of before where it is the same: what was held against it need not be again. */
  static of(all: readonly Revocation[], previous: Revocations | undefined): Revocations {
    return previous !== undefined && isDeepStrictEqual(previous.#all, all) ? previous : new Revocations(all);
  }

  constructor(all: readonly Revocation[]) {
    this.#all = all;
    for (const revocation of all) this.#file(revocation);
  }

  /** Whether an identity was taken back. */
  has(principal: Principal, basis: Basis): boolean {
    const own = this.#byIssuer.get(principal.issuer);
    if (own === undefined) return false;
    for (const [key, byValue] of own) {
      const filed = byValue.get(VALUES[key](principal, basis)) ?? [];
      if (filed.some((revocation) => holds(revocation, principal, basis))) return true;
    }
    return false;
  }

  #file(revocation: Revocation): void {
    const { issuer, by } = revocation;
    const key = REVOCABLE.findLast((each) => by[each] !== undefined);
    if (key === undefined) return;
    const own = this.#byIssuer.get(issuer) ?? new Map<Revocable, ByValue>();
    this.#byIssuer.set(issuer, own);
    const byValue: ByValue = own.get(key) ?? new Map();
    own.set(key, byValue);
    byValue.set(by[key], [...(byValue.get(by[key]) ?? []), revocation]);
  }
}

/** What does not say when it was issued may have been before. */
function holds({ by, issuedBefore }: Revocation, principal: Principal, basis: Basis): boolean {
  const { iat } = principal.claims;
  if (issuedBefore !== undefined && typeof iat === "number" && iat * 1000 >= issuedBefore) return false;
  return REVOCABLE.every((key) => by[key] === undefined || by[key] === VALUES[key](principal, basis));
}

function serialOf(serial: unknown): unknown {
  return typeof serial === "string" ? serial.toLowerCase().replace(/^0+(?=.)/, "") : serial;
}
