import type { Principal } from "../../../policies/principal.ts";
import { Unknown } from "../../../policies/unknown.ts";
import type { ClaimsIssuer } from "../../config/config.ts";
import { type Sources, sourcesOf, valueAt } from "../claims/sources.ts";
import type { Evidence } from "../issuer/evidence.ts";
import type { Finding, Issuer, IssuerReport, KeyView, Proven } from "../issuer/issuer.ts";
import type { World } from "../issuer/world.ts";
import { GroupDirectory, type Groups } from "./groups.ts";
import type { OktaConfig } from "./section.ts";

/** An issuer whose authorization server is one of Okta's. */
type OktaIssuer = ClaimsIssuer & {
  readonly okta?: OktaConfig | undefined;
  readonly ca?: string | undefined;
  readonly proxy?: { readonly url: string; readonly except: readonly string[] } | undefined;
};

/** An issuer as it is, or with Okta's groups where its configuration says that it is Okta. */
export function withOkta(issuer: Issuer, config: OktaIssuer, world: World): Issuer {
  return config.okta === undefined ? issuer : new OktaGroups(issuer, config, config.okta, world);
}

/** The groups that claims of an issuer describe while nobody is asked: unknown where Okta would have to be. */
export function groupsUnasked({ claims, groups }: Principal, issuer: OktaIssuer): Principal["groups"] {
  if (issuer.okta === undefined || valueAt(claims, sourcesOf(issuer.claims.groups)) !== undefined) return groups;
  return isOfClient(claims) ? groups : UNTOLD;
}

/** A token of client credentials is of no user, and has no groups. */
function isOfClient({ uid, cid, client_id, sub }: Readonly<Record<string, unknown>>): boolean {
  return uid === undefined && sub !== undefined && sub === (cid ?? client_id);
}

/** As Okta writes them; nothing else is ever put into an address. */
const USER = /^[A-Za-z0-9]{1,64}$/;
const FOR_EVER = Number.MAX_SAFE_INTEGER;
const NONE: readonly string[] = Object.freeze([]);

/**
 * Adds what a token of Okta's does not tell. Its list of groups is whole where it is there: with more than an
 * authorization server lists, Okta issues no token. Where it is absent, groups are not none: they are asked for, or
 * unknown.
 */
class OktaGroups implements Issuer {
  readonly config: OktaIssuer;
  readonly #inner: Issuer;
  readonly #clock: () => number;
  readonly #told: Sources;
  readonly #directory: GroupDirectory | undefined;

  constructor(inner: Issuer, config: OktaIssuer, { org, groups }: OktaConfig, world: World) {
    this.config = config;
    this.#inner = inner;
    this.#clock = world.clock;
    this.#told = sourcesOf(config.claims.groups);
    this.#directory = groups === undefined ? undefined : new GroupDirectory(config, org, groups, world);
  }

  get version(): number {
    return this.#inner.version;
  }

  get patience(): number {
    return this.#inner.patience;
  }

  owns(evidence: Evidence): boolean {
    return this.#inner.owns(evidence);
  }

  verify(evidence: Evidence, now: number, wanted: () => boolean): Finding | Promise<Finding> {
    const found = this.#inner.verify(evidence, now, wanted);
    return found instanceof Promise ? found.then((finding) => this.#whole(finding)) : this.#whole(found);
  }

  ready(): Promise<void> {
    return this.#inner.ready();
  }

  status(): IssuerReport {
    const report = this.#inner.status();
    return { ...report, error: report.error ?? this.#directory?.error };
  }

  keys(): readonly KeyView[] {
    return this.#inner.keys?.() ?? [];
  }

  close(): void {
    this.#inner.close();
    this.#directory?.close();
  }

  #whole(finding: Finding): Finding | Promise<Finding> {
    if (!("principal" in finding)) return finding;
    if (valueAt(finding.principal.claims, this.#told) !== undefined) return finding;
    const groups = this.#groupsOf(finding.principal.claims);
    const since = this.#clock();
    return groups instanceof Promise
      ? groups.then((had) => this.#with(finding, had, since))
      : this.#with(finding, groups, since);
  }

  #groupsOf(claims: Readonly<Record<string, unknown>>): Groups | Promise<Groups> {
    const { uid } = claims;
    if (typeof uid === "string" && USER.test(uid)) {
      return this.#directory?.find(uid) ?? { groups: UNTOLD, lifetime: FOR_EVER };
    }
    return { groups: isOfClient(claims) ? NONE : UNTOLD, lifetime: FOR_EVER };
  }

  #with({ principal, basis, confirmation, lifetime = FOR_EVER }: Proven, had: Groups, since: number): Finding {
    // Time has passed while Okta was asked.
    const now = this.#clock();
    if (now >= basis.until) return { reason: "issuer-unavailable" };
    if (now >= principal.expiresAt) return { reason: "token-expired" };
    return {
      principal: Object.freeze({ ...principal, groups: had.groups }),
      ...{ basis, confirmation, lifetime: Math.min(lifetime - Math.abs(now - since), had.lifetime) },
    };
  }
}

const UNTOLD = new Unknown("groups", "the token has none, and nothing says where else they are: `okta.groups`");
