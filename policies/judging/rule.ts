import type { Condition, Work } from "../cel/conditions.ts";
import type { Reason } from "../decision.ts";
import type { Match, Route, Service, Uses } from "../policies.ts";
import type { Principal } from "../principal.ts";
import type { PolicyRequest } from "../request.ts";
import { Unknown, UnknownError, type UnknownReason } from "../unknown.ts";
import type { HeaderRule } from "./headers.ts";
import type { Asked, McpRule } from "./mcp.ts";
import type { Role } from "./roles.ts";
import { type StepUp, stepUpFault } from "./step-up.ts";
import type { Subject } from "./subjects.ts";

/** Who may pass: what a route's rule and its shadow have in common. */
export interface Test {
  /** Any one of these roles; or any principal of the service's issuers; or whoever. */
  readonly allow: readonly Role[] | "authenticated" | "anyone";
  /** None of these roles, whatever `allow` says. */
  readonly deny: readonly Role[];
  /** All of these. */
  readonly scopes: readonly string[];
  readonly when: Condition | undefined;
  /** How they must have logged in; undefined where that does not matter. */
  readonly stepUp: StepUp | undefined;
}

/** A compiled route. */
export class Rule implements Route {
  readonly name: string;
  readonly rule: string;
  readonly service: Service;
  readonly patterns: Route["patterns"];
  readonly backend: string;
  readonly access: Route["access"];
  readonly forwardCredential: boolean;
  readonly upstreamToken: Route["upstreamToken"];
  readonly needs: Uses;
  readonly resource: Route["resource"];
  readonly asks: Route["asks"];
  readonly test: Test;
  readonly shadow: Test | undefined;
  /** What may be sent to the MCP server behind it; undefined where nothing is said of that. */
  readonly mcp: McpRule | undefined;
  readonly headers: readonly HeaderRule[];
  /** Whether it asks nothing of the request, its time neither: then the same principal always gets the same decision. */
  readonly constant: boolean;

  constructor(parts: Omit<Rule, "rule" | "asks" | "constant">) {
    this.name = parts.name;
    this.rule = `${parts.service.name}/${parts.name}`;
    this.service = parts.service;
    this.patterns = parts.patterns;
    this.backend = parts.backend;
    this.access = parts.access;
    this.forwardCredential = parts.forwardCredential;
    this.upstreamToken = parts.upstreamToken;
    this.needs = parts.needs;
    this.resource = parts.resource;
    this.test = parts.test;
    this.asks = asksOf(parts.test, parts.mcp);
    this.shadow = parts.shadow;
    this.mcp = parts.mcp;
    this.headers = parts.headers;
    const expressions = [parts.test.when, parts.shadow?.when, ...parts.headers.map(({ expression }) => expression)];
    const ages = [parts.test.stepUp?.maxAge, parts.shadow?.stepUp?.maxAge];
    this.constant =
      parts.mcp === undefined &&
      expressions.every((expression) => expression?.uses.request !== true) &&
      ages.every((age) => age === undefined);
  }
}

function asksOf({ allow, deny, scopes, when, stepUp }: Test, mcp: McpRule | undefined): Route["asks"] {
  const names = (roles: readonly Role[]) => roles.map(({ name }) => name);
  return {
    allow: typeof allow === "string" ? [allow] : names(allow),
    deny: names(deny),
    scopes,
    when: when?.text,
    stepUp,
    ...(mcp !== undefined && { mcp: mcp.text }),
  };
}

/**
 * Why a principal of the service's issuers may or may not pass.
 *
 * @param asked what its message to an MCP server asks besides
 */
export function judge(
  test: Test,
  subject: Subject,
  match: Match,
  request: PolicyRequest,
  work: Work,
  asked: Asked,
): Reason {
  const { allow, deny, scopes } = test;
  const { roles, doubtful } = subject.held;
  for (const role of deny) if (roles.has(role)) return "role-denied";
  if (doubtful.size > 0 && deny.some((role) => doubtful.has(role))) return doubtOf(subject);
  const fault = (typeof allow === "string" ? undefined : roleFault(allow, subject)) ?? messageFault(asked, subject);
  if (fault !== undefined) return fault;
  const curable = stepUpFault(test.stepUp, subject.principal, request.time) ?? consentFault(scopes, asked, subject);
  if (curable === undefined) return conditionFault(test, subject, match, request, work) ?? "allowed";
  // A new login or consent does not help with a request that passes for nobody.
  if (test.when?.uses.principal !== false) return curable;
  return conditionFault(test, subject, match, request, work) ?? curable;
}

function roleFault(allow: readonly Role[], subject: Subject): Reason | undefined {
  const { roles, doubtful } = subject.held;
  if (allow.some((role) => roles.has(role))) return undefined;
  return allow.some((role) => doubtful.has(role)) ? doubtOf(subject) : "role-missing";
}

/** Of what is said to an MCP server, and no consent helps with. */
function messageFault(asked: Asked, subject: Subject): Reason | undefined {
  if (typeof asked === "string") return asked;
  return asked.allow === undefined ? undefined : roleFault(asked.allow, subject);
}

/** The scopes of the route, and of the tool that is called. */
function consentFault(scopes: readonly string[], asked: Asked, { principal }: Subject): Reason | undefined {
  const more = typeof asked === "string" ? undefined : scopeFault(asked.scopes, principal);
  return scopeFault(scopes, principal) ?? more;
}

/** Why a role cannot be told: for want of groups, where those cannot be had now; or else as it was for the others. */
function doubtOf({ principal: { groups }, held: { names } }: Subject): UnknownReason {
  if (groups instanceof Unknown) return groups.reason;
  return names instanceof Unknown ? names.reason : "claim-unknown";
}

function scopeFault(required: readonly string[], { scopes }: Principal): Reason | undefined {
  if (required.length === 0) return undefined;
  if (scopes instanceof Unknown) return scopes.reason;
  for (const scope of required) if (!scopes.includes(scope)) return "scope-missing";
  return undefined;
}

/**
 * Why the condition refuses; undefined where it does not. One that cannot be worked out refuses.
 *
 * @param work what is left of it to the decision
 */
export function conditionFault(
  { when }: Test,
  subject: Subject | undefined,
  { params }: Match,
  request: PolicyRequest,
  work: Work,
): "condition-false" | "condition-error" | "cost-exceeded" | UnknownReason | undefined {
  if (when === undefined) return undefined;
  try {
    const input = { request, params, principal: subject?.principal, roles: subject?.held.names ?? [] };
    return when.evaluate(input, work) === true ? undefined : "condition-false";
  } catch (error) {
    if (work.exhausted) return "cost-exceeded";
    return error instanceof UnknownError ? error.reason : "condition-error";
  }
}

/** Why the route's service, or the resource that it is of, does not take this principal at all; undefined where both do. */
export function serviceFault({ service, resource }: Rule, principal: Principal): Reason | undefined {
  const { issuers, audiences } = service;
  if (!issuers.has(principal.issuer)) return "issuer-not-accepted";
  if (audiences.length > 0 && !principal.audiences.some((audience) => audiences.includes(audience)))
    return "audience-not-accepted";
  const isMaker = resource?.issuers.has(principal.issuer) === true;
  return isMaker && !principal.audiences.includes(resource.audience) ? "audience-not-accepted" : undefined;
}
