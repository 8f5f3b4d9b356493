import { type ClaimPath, claimAt, claimPath } from "../claim-path.ts";
import type { BindingEntry } from "../compile/policy-file.ts";
import type { Kind, Principal } from "../principal.ts";
import type { Role } from "./roles.ts";

/** What a policy must know of a configured issuer to tell which of its rules can ever hold. */
export interface PolicyIssuer {
  readonly name: string;
  readonly audiences: readonly string[];
  /** The kinds its principals can have; undefined where a claim of theirs says it. */
  readonly kinds: readonly Kind[] | undefined;
}

type Claim = readonly [path: ClaimPath, value: string | number | boolean];

/** One way of having a role, compiled. All that it names must hold. */
export class Binding {
  readonly entry: BindingEntry;
  /** The role that it includes. */
  readonly included: Role | undefined;
  /** Milliseconds since the epoch from which it no longer holds. */
  readonly until: number;
  /** Names of the issuers whose principals could have it, some day. Found once the included role's are. */
  issuers: ReadonlySet<string> = new Set();
  readonly #claims: readonly Claim[];

  constructor(entry: BindingEntry, included: Role | undefined) {
    this.entry = entry;
    this.included = included;
    this.until = entry.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(entry.until);
    this.#claims = Object.entries(entry.claim ?? {}).map(([name, value]) => [claimPath(name), value]);
  }

  /** Whether a principal has it, whatever the time and apart from the role that it includes. */
  fits(principal: Principal): boolean {
    const { issuer, subject, group, scope, kind, client, actor } = this.entry;
    return (
      (issuer === undefined || principal.issuer === issuer) &&
      (subject === undefined || principal.subject === subject) &&
      (group === undefined || principal.groups.includes(group)) &&
      (scope === undefined || principal.scopes.includes(scope)) &&
      (kind === undefined || principal.kind === kind) &&
      (client === undefined || principal.client === client) &&
      (actor === undefined || principal.actor[0]?.subject === actor) &&
      this.#claims.every((claim) => hasClaim(principal.claims, claim))
    );
  }

  /** Each key of the binding and whether it holds, for an explanation; `fits` is all of them, faster. */
  checks(principal: Principal): readonly { readonly key: string; readonly wanted: string; readonly holds: boolean }[] {
    const { issuer, subject, group, scope, kind, client, actor } = this.entry;
    const check = (key: string, wanted: string | undefined, holds: boolean) =>
      wanted === undefined ? [] : [{ key, wanted, holds }];
    return [
      ...check("issuer", issuer, principal.issuer === issuer),
      ...check("subject", subject, principal.subject === subject),
      ...check("group", group, group !== undefined && principal.groups.includes(group)),
      ...check("scope", scope, scope !== undefined && principal.scopes.includes(scope)),
      ...check("kind", kind, principal.kind === kind),
      ...check("client", client, principal.client === client),
      ...check("actor", actor, principal.actor[0]?.subject === actor),
      ...this.#claims.flatMap((claim) =>
        check(`claim ${claim[0].join(".")}`, JSON.stringify(claim[1]), hasClaim(principal.claims, claim)),
      ),
    ];
  }

  /** Finds `issuers`. */
  findIssuers(all: readonly PolicyIssuer[]): void {
    const { issuer, kind } = this.entry;
    const possible = all.filter(
      ({ name, kinds }) =>
        (issuer === undefined || name === issuer) &&
        (kind === undefined || kinds === undefined || kinds.includes(kind)) &&
        (this.included === undefined || this.included.issuers.has(name)),
    );
    this.issuers = new Set(possible.map(({ name }) => name));
  }
}

/** A claim equals the value, or is a list that holds it. */
function hasClaim(claims: Principal["claims"], [path, wanted]: Claim): boolean {
  const value = claimAt(claims, path);
  return Array.isArray(value) ? value.includes(wanted) : value === wanted;
}
