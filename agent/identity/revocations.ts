import { isDeepStrictEqual } from "node:util";
import type { Principal } from "../../policies/principal.ts";
import { Unknown } from "../../policies/unknown.ts";
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

/** The name of an issuer by each `iss` that it goes by. */
export type IssuerNames = ReadonlyMap<string, string>;

/** What was taken back although it still proves somebody. */
export class Revocations {
  readonly #all: readonly Revocation[];
  readonly #names: IssuerNames;
  /** By issuer; then by one of the things that tell an identity of it; then by what that must be. */
  readonly #byIssuer = new Map<string, Map<Revocable, ByValue>>();

  /** The list of before where it is the same: what was held against it need not be again. */
  static of(all: readonly Revocation[], names: IssuerNames, previous: Revocations | undefined): Revocations {
    const same = previous !== undefined && isDeepStrictEqual([previous.#all, previous.#names], [all, names]);
    return same ? previous : new Revocations(all, names);
  }

  constructor(all: readonly Revocation[], names: IssuerNames) {
    this.#all = all;
    this.#names = names;
    for (const revocation of all) this.#file(revocation);
  }

  /** Whether an identity was taken back, or that of who acts for it. */
  has(principal: Principal, basis: Basis): boolean {
    return this.#hasOwn(principal, basis) || this.#hasActor(principal, basis);
  }

  /** Nothing but its subject tells who acts: a token or key is the principal's. */
  #hasActor(principal: Principal, basis: Basis): boolean {
    if (principal.actor instanceof Unknown) return false;
    const [acting] = principal.actor;
    if (acting === undefined) return false;
    const issuer = acting.issuer === undefined ? principal.issuer : this.#names.get(acting.issuer);
    const filed =
      this.#byIssuer
        .get(issuer ?? "")
        ?.get("subject")
        ?.get(acting.subject) ?? [];
    const subject = acting.subject;
    return filed.some((revocation) => holds(revocation, { ...principal, subject }, basis));
  }

  #hasOwn(principal: Principal, basis: Basis): boolean {
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
