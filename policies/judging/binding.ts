import { type Arn, permissionSetOf, provenArn, readArn } from "../arn.ts";
import { claimAt, claimPath } from "../claim-path.ts";
import type { BindingEntry, WantedActor } from "../compile/policy-file.ts";
import { readInstant } from "../instant.ts";
import type { Actor, Kind, Principal } from "../principal.ts";
import { wantedDomain } from "../spiffe-id.ts";
import { allHold, type Truth, Unknown } from "../unknown.ts";
import type { Role } from "./roles.ts";
import { Wanted, type WantedEntry, type WantedText } from "./wanted.ts";

/** What a policy must know of a configured issuer to tell which of its rules can ever hold. */
export interface PolicyIssuer {
  readonly name: string;
  readonly audiences: readonly string[];
  /** Names of the kinds of credentials that it takes. */
  readonly credentials: readonly string[];
  /** Whether one of them is added by browsers, whatever page asks: then it counts whose page it is. Default: no */
  readonly ambient?: boolean | undefined;
  /** Names of the proofs beside them that it may ask for. Default: none. */
  readonly proofs?: readonly string[] | undefined;
  /** The kinds its principals can have; undefined where a claim of theirs says it. */
  readonly kinds: readonly Kind[] | undefined;
  /** Where the ARNs of its principals can be of; undefined where they have none. */
  readonly arns?: Arns | undefined;
  /** Trust domains of the SPIFFE ids of its principals. Default: none. */
  readonly trustDomains?: readonly string[] | undefined;
  /** Issuer identifier of the authorization server that makes its tokens, where clients can be sent there. */
  readonly server?: string | undefined;
  /** Whether it exchanges its tokens for others. Default: no */
  readonly exchanges?: boolean | undefined;
  /** Whether some of its credentials are sessions, which have no token. Default: no */
  readonly sessions?: boolean | undefined;
  /** Claims of its principals that these have chosen themselves: they prove nothing. Default: none. */
  readonly labels?: readonly string[];
}

/** Accounts of one AWS partition. */
export interface Arns {
  readonly partition: string;
  readonly accounts: readonly string[];
}

/** One key of a binding, and whether a principal has what it asks for. */
interface Check {
  readonly key: string;
  readonly wanted: string;
  readonly holds: (principal: Principal) => Truth;
}

/** One way of having a role, compiled. All that it names must hold. */
export class Binding {
  readonly entry: BindingEntry;
  /** The role that it includes. */
  readonly included: Role | undefined;
  /** Milliseconds since the epoch from which it no longer holds. */
  readonly until: number;
  /** Names of the issuers whose principals could have it, some day. Found once the included role's are. */
  issuers: ReadonlySet<string> = new Set();
  readonly checks: readonly Check[];

  constructor(entry: BindingEntry, included: Role | undefined) {
    this.entry = entry;
    this.included = included;
    this.until = entry.until === undefined ? Number.POSITIVE_INFINITY : (readInstant(entry.until) ?? 0);
    this.checks = checksOf(entry);
  }

  /**
   * Whether a principal has it, whatever the time. One key that does not hold is enough to tell that it has not; what
   * is unknown counts only where all else holds.
   *
   * @param roles those of the included roles that it has
   * @param doubts those of which it cannot be told
   */
  holds(principal: Principal, roles: ReadonlySet<Role>, doubts: ReadonlyMap<Role, Unknown>): Truth {
    const { included } = this;
    const has: Truth = included === undefined || roles.has(included) || (doubts.get(included) ?? false);
    if (has === false) return false;
    const truth = allHold(this.checks, (check) => check.holds(principal));
    return truth === true ? has : truth;
  }

  /** Finds `issuers`. */
  findIssuers(all: readonly PolicyIssuer[]): void {
    const { issuer, kind, uri } = this.entry;
    const possible = all.filter(
      ({ name, kinds, arns, trustDomains = [] }) =>
        (issuer === undefined || name === issuer) &&
        (kind === undefined || kinds === undefined || kinds.includes(kind)) &&
        canProve(arns, this.entry) &&
        (uri === undefined || trustDomains.includes(wantedDomain(uri) ?? "")) &&
        (this.included === undefined || this.included.issuers.has(name)),
    );
    this.issuers = new Set(possible.map(({ name }) => name));
  }
}

/** The claims of a binding, whichever way they are written. */
export function claimsOf({
  claim = {},
}: BindingEntry): readonly (readonly [string | readonly string[], WantedEntry])[] {
  return isList(claim) ? claim.map(({ path, value }) => [path, value]) : Object.entries(claim);
}

function isList(claim: NonNullable<BindingEntry["claim"]>): claim is Extract<typeof claim, readonly unknown[]> {
  return Array.isArray(claim);
}

/** Whether principals with ARNs of there can have what a binding asks for. */
function canProve(arns: Arns | undefined, { arn, account, permission_set }: BindingEntry): boolean {
  if ((arn ?? account ?? permission_set) === undefined) return true;
  const wanted = arn === undefined ? undefined : readArn(arn);
  if (arns === undefined || (wanted !== undefined && wanted.partition !== arns.partition)) return false;
  return [account, wanted?.account].every((each) => each === undefined || arns.accounts.includes(each));
}

function isParty(wanted: Wanted, party: string | undefined | Unknown, of: string): Truth {
  return party instanceof Unknown ? party : party !== undefined && wanted.isText(party, of);
}

/** What costs least comes first. */
function checksOf(entry: BindingEntry): readonly Check[] {
  const { issuer, kind } = entry;
  const name = (key: string, wanted: string | undefined, holds: Check["holds"]) =>
    wanted === undefined ? [] : [{ key, wanted, holds }];
  const value = (key: string, written: WantedEntry | undefined, holds: (wanted: Wanted, who: Principal) => Truth) => {
    if (written === undefined) return [];
    const wanted = new Wanted(written);
    const text = typeof written === "string" && !key.startsWith("claim") ? written : wanted.text;
    return [{ key, wanted: text, holds: (who: Principal) => holds(wanted, who) }];
  };
  return [
    ...name("issuer", issuer, (who) => who.issuer === issuer),
    ...name("kind", kind, (who) => (who.kind instanceof Unknown ? who.kind : who.kind === kind)),
    ...value("subject", entry.subject, (wanted, who) => wanted.isText(who.subject, "subject")),
    ...value("client", entry.client, (wanted, who) => isParty(wanted, who.client, "client")),
    ...actorChecks(entry),
    ...arnChecks(entry),
    ...value("uri", entry.uri, (wanted, who) => isParty(wanted, who.uri, "uri")),
    ...value("group", entry.group, (wanted, who) => wanted.isAmong(who.groups, "group")),
    ...value("scope", entry.scope, (wanted, who) => wanted.isAmong(who.scopes, "scope")),
    ...claimsOf(entry).flatMap(([written, wantedValue]) => {
      const path = claimPath(written);
      const holds = (wanted: Wanted, who: Principal) => wanted.isClaim(claimAt(who.claims, path), path.text);
      return value(`claim ${path.text}`, wantedValue, holds);
    }),
  ];
}

/** The outermost actor alone: RFC 8693, section 4.1, has those before it as history, by which nothing is decided. */
function actorChecks(entry: BindingEntry): readonly Check[] {
  const { subject, issuer, kind } = wantedActor(entry) ?? {};
  const check = (key: string, text: string, holds: (actor: Actor, who: Principal) => Truth): Check => ({
    key,
    wanted: text,
    holds: (who) => {
      if (who.actor instanceof Unknown) return who.actor;
      const [acting] = who.actor;
      return acting !== undefined && holds(acting, who);
    },
  });
  const name = subject === undefined ? undefined : new Wanted(subject);
  const nameText = typeof subject === "string" ? subject : (name?.text ?? "");
  return [
    ...(name === undefined ? [] : [check("actor", nameText, (actor) => name.isText(actor.subject, "actor"))]),
    ...(issuer === undefined ? [] : [check("actor's issuer", issuer, (actor, who) => isIssuer(issuer, actor, who))]),
    ...(kind === undefined ? [] : [check("actor's kind", kind, (actor) => isKind(kind, actor))]),
  ];
}

/** What a binding wants of who acts, whichever way it is written: a name alone stands for its subject. */
export function wantedActor({ actor }: BindingEntry): WantedActor | undefined {
  if (typeof actor !== "object") return actor === undefined ? undefined : { subject: actor };
  return "subject" in actor || "issuer" in actor || "kind" in actor ? actor : { subject: actor as WantedText };
}

/** One that names no issuer is the token's own issuer's, as its subject is. */
function isIssuer(wanted: string, { issuer }: Actor, { claims }: Principal): Truth {
  const named = issuer ?? claims.iss;
  return typeof named === "string" ? named === wanted : new Unknown("act.iss", "nothing that names its issuer");
}

function isKind(wanted: Kind, { kind }: Actor): Truth {
  if (kind === undefined) return new Unknown("act", "nothing that tells the kind of who acts");
  return kind instanceof Unknown ? kind : kind === wanted;
}

function arnChecks({ arn, account, permission_set }: BindingEntry): readonly Check[] {
  const named = arn === undefined ? undefined : readArn(arn);
  const check = (key: string, wanted: string | undefined, of: (own: Arn) => string | undefined) => {
    if (wanted === undefined) return [];
    const holds = (who: Principal) => {
      const own = who.arn === undefined ? undefined : readArn(who.arn);
      return own !== undefined && of(own) === wanted;
    };
    return [{ key, wanted, holds }];
  };
  return [
    ...check("arn", named === undefined ? arn : provenArn(named), provenArn),
    ...check("account", account, (own) => own.account),
    ...check("permission set", permission_set, permissionSetOf),
  ];
}
