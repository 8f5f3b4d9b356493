import { REASONS, type Reason } from "../decision.ts";
import type { CompiledPolicies } from "../judging/compiled.ts";
import { isForeign } from "../judging/origin.ts";
import type { Match, Refusal } from "../policies.ts";
import type { Actor, Kind, Principal } from "../principal.ts";
import type { PolicyRequest } from "../request.ts";
import { Unknown, UnknownError } from "../unknown.ts";

/** A decision as it was recorded, with as much as is known of what it was about; what is undefined was not recorded. */
export interface Recorded {
  readonly verdict: string;
  readonly reason: string;
  readonly rule: string;
  readonly request: Pick<PolicyRequest, "src" | "time"> & Partial<Omit<PolicyRequest, "src" | "time">>;
  /** undefined: nobody was proven. */
  readonly principal: RecordedPrincipal | undefined;
}

export interface RecordedPrincipal {
  readonly issuer: string;
  readonly subject: string | undefined;
  /** null: it was unknown then, too. */
  readonly kind: Kind | null;
  readonly client: string | undefined | null;
  /** The last first; undefined for each whose name is not recorded. */
  readonly actor: readonly (string | undefined)[] | undefined | null;
  readonly groups?: readonly string[] | null;
  readonly scopes?: readonly string[] | null;
  readonly audiences?: readonly string[];
  /** Those that were read then; null: one that the token does not have. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly arn?: string | null;
  readonly uri?: string | null;
  readonly authenticatedAt?: number | null;
  readonly expiresAt?: number;
  readonly bound?: Principal["bound"];
}

/** What other policies make of a recorded request. */
export type Outcome =
  | { readonly change: "same" }
  | {
      /** `laxer`: what was refused would pass. `reason`: it would be refused, or pass, for another reason or by another rule. */
      readonly change: "laxer" | "stricter" | "reason";
      readonly verdict: string;
      readonly reason: Reason;
      readonly rule: string;
    }
  /** It cannot be told. @member missing what was not recorded, each by its name in a condition */
  | { readonly change: "unclear"; readonly missing: readonly string[] };

/** Reasons of a credential, which other policies do not change. */
const OF_CREDENTIALS: ReadonlySet<string> = new Set(
  (Object.keys(REASONS) as Reason[])
    .filter((reason) => REASONS[reason] === 401)
    .concat("issuer-unavailable", "key-pending"),
);
/** What the principal of a request was refused for; who was refused for anything else of 401 was not proven. */
const OF_PRINCIPALS: ReadonlySet<string> = new Set(["issuer-not-accepted", "audience-not-accepted"]);

/** Judges a recorded request by other policies, at the time of the record. */
export function judgeAgain(policies: CompiledPolicies, recorded: Recorded): Outcome {
  const missing = new Set<string>();
  try {
    const found = again(policies, recorded, missing);
    if (found === undefined) return { change: "unclear", missing: ["the credential"] };
    if (missing.size > 0 && found.reason === "claim-unknown")
      return { change: "unclear", missing: [...missing].sort() };
    return compared(recorded, found);
  } catch (error) {
    if (error instanceof UnknownError) return { change: "unclear", missing: [...missing].sort() };
    throw error;
  }
}

interface Found {
  readonly verdict: string;
  readonly reason: Reason;
  readonly rule: string;
}

function again(policies: CompiledPolicies, recorded: Recorded, missing: Set<string>): Found | undefined {
  const request = requestOf(recorded.request, missing);
  const match = policies.match(request.host, request.method, request.path, request.headers);
  if ("reason" in match) return { verdict: "deny", reason: match.reason, rule: match.rule };
  const judged = asJudged(request, match);
  if (isForeignPage(recorded, match, request)) {
    return { verdict: "deny", reason: "origin-not-allowed", rule: match.route.rule };
  }
  if (match.preflight || match.route.access === "anyone") return policies.decide(match, undefined, judged);
  const refused = credentialFault(recorded, match);
  if (refused !== undefined) return refused;
  if (recorded.principal !== undefined) {
    return policies.decide(match, principalOf(recorded.principal, missing), judged);
  }
  const anonymous = ["anonymous", "credential-missing"].includes(recorded.reason);
  return anonymous ? policies.decide(match, undefined, judged) : undefined;
}

/** Which credential it was is not recorded: what browsers had added, for a page that may not, they would again. */
function isForeignPage({ reason }: Recorded, { route: { service } }: Match, { headers, host }: PolicyRequest): boolean {
  if (service.cors === undefined) return reason === "origin-not-allowed";
  const { origin } = headers;
  // Nor is the port.
  const own = origin?.replace(/^https?:\/\//, "").replace(/:\d+$/, "") === host ? (origin ?? "") : "";
  return isForeign(origin, own, service.cors, reason === "origin-not-allowed" && service.cors.origins === "any");
}

/** A spread would read what was not recorded: the getters stay where they are. */
function asJudged(request: PolicyRequest, { host }: Match): PolicyRequest {
  return Object.defineProperty(Object.create(request) as PolicyRequest, "host", { value: host });
}

function credentialFault({ reason, principal }: Recorded, { route }: Match): Found | undefined {
  if (principal !== undefined || reason === "credential-missing") return undefined;
  if (!OF_CREDENTIALS.has(reason) || OF_PRINCIPALS.has(reason)) return undefined;
  return { verdict: "deny", reason: reason as Reason, rule: route.rule };
}

function compared({ verdict, reason, rule }: Recorded, found: Found | Refusal): Outcome {
  const now = { verdict: "verdict" in found ? String(found.verdict) : "deny", reason: found.reason, rule: found.rule };
  if (now.verdict !== verdict) return { change: now.verdict === "allow" ? "laxer" : "stricter", ...now };
  return now.reason === reason && now.rule === rule ? { change: "same" } : { change: "reason", ...now };
}

function requestOf(recorded: Recorded["request"], missing: Set<string>): PolicyRequest {
  const request = { ...recorded, headers: new Proxy({ ...recorded.headers }, entriesOf("request.headers", missing)) };
  for (const name of ["method", "host", "path", "query", "tls", "mcp"] as const) {
    if (recorded[name] === undefined) unrecorded(request, name, `request.${name}`, missing);
  }
  return request as PolicyRequest;
}

/** What tells of a token that claims are kept elsewhere: one that is recorded has none. */
const OF_MAPPINGS: ReadonlySet<string | symbol> = new Set(["constructor", "_claim_names", "hasgroups"]);

/** A header or claim that was not looked at then is not an absent one; null stands for one that was absent. */
function entriesOf<T>(of: string, missing: Set<string>): ProxyHandler<Record<string, T>> {
  const told = (entries: Readonly<Record<string, T | null>>, name: string | symbol): boolean => {
    if (typeof name === "symbol") return false;
    if (Object.hasOwn(entries, name)) return entries[name] !== null;
    return OF_MAPPINGS.has(name) ? false : tell(`${of}["${name}"]`, missing);
  };
  return {
    get: (entries, name) => (told(entries, name) ? entries[name as string] : undefined),
    has: told,
    ownKeys: (entries) => Object.keys(entries).filter((name) => entries[name] !== null),
    getOwnPropertyDescriptor: (entries, name) =>
      told(entries, name) ? Object.getOwnPropertyDescriptor(entries, name) : undefined,
  };
}

/** What was not recorded is told when it is read: most policies do not ask for all of a principal. */
function principalOf(recorded: RecordedPrincipal, missing: Set<string>): Principal {
  const { issuer, subject, kind, client, actor, arn, uri, claims, authenticatedAt } = recorded;
  const principal = {
    ...recorded,
    kind: kind ?? UNKNOWN,
    client: client === null ? UNKNOWN : client,
    actor: actor === null ? UNKNOWN : (actor ?? []).map((each) => actorOf(each, missing)),
    groups: recorded.groups ?? UNKNOWN,
    scopes: recorded.scopes ?? UNKNOWN,
    claims: claims === undefined ? ALL_ELSEWHERE : new Proxy({ ...claims }, entriesOf("principal.claims", missing)),
    arn: arn ?? undefined,
    uri: uri ?? undefined,
    authenticatedAt: authenticatedAt ?? undefined,
    issuer,
    subject,
  };
  for (const [name, value] of [
    ["groups", UNKNOWN],
    ["scopes", UNKNOWN],
    ["claims", ALL_ELSEWHERE],
    ["authenticatedAt", UNKNOWN],
  ] as const) {
    if (recorded[name] !== undefined) continue;
    const told = `principal.${NAMES[name] ?? name}`;
    Object.defineProperty(principal, name, { get: () => missing.add(told) && value });
  }
  for (const name of ["subject", "arn", "uri", "audiences", "expiresAt", "bound"] as const) {
    if (recorded[name] === undefined) unrecorded(principal, name, `principal.${NAMES[name] ?? name}`, missing);
  }
  return principal as Principal;
}

/** Of those that act only the last one is recorded, by its name: who asks for more cannot be told. */
function actorOf(subject: string | undefined, missing: Set<string>): Actor {
  const actor = subject === undefined ? {} : { subject };
  for (const name of subject === undefined ? ["subject", "issuer", "kind"] : ["issuer", "kind"])
    unrecorded(actor, name, "principal.actor", missing);
  return actor as Actor;
}

const UNKNOWN = new Unknown("principal", "not recorded");

const NAMES: Readonly<Record<string, string>> = { expiresAt: "expires_at", authenticatedAt: "authenticated_at" };

/** Claims none of which can be told: as of a token whose `_claim_names` cannot be read. */
const ALL_ELSEWHERE: Principal["claims"] = Object.freeze({ _claim_names: "not recorded" });

function unrecorded(of: object, name: string, told: string, missing: Set<string>): void {
  Object.defineProperty(of, name, { configurable: true, enumerable: false, get: () => tell(told, missing) });
}

function tell(name: string, missing: Set<string>): never {
  missing.add(name);
  throw new UnknownError(new Unknown(name, "not recorded"));
}
