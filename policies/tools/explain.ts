import { conjunctsOf, Work } from "../cel/conditions.ts";
import { type Decision, type Reason, refusal, statusOf } from "../decision.ts";
import type { CompiledPolicies } from "../judging/compiled.ts";
import { identityHeaders } from "../judging/headers.ts";
import type { McpRule } from "../judging/mcp.ts";
import { isForeign, originOf } from "../judging/origin.ts";
import type { Held, Role } from "../judging/roles.ts";
import { conditionFault, Rule } from "../judging/rule.ts";
import type { Site } from "../judging/site.ts";
import { stepUpFault } from "../judging/step-up.ts";
import type { Subject } from "../judging/subjects.ts";
import type { Match, Refusal, Service, UpstreamToken } from "../policies.ts";
import type { Principal } from "../principal.ts";
import type { PolicyRequest } from "../request.ts";
import { normalizeHost } from "../routing/host.ts";
import { ambiguityOf } from "../routing/path.ts";
import { RouteTable } from "../routing/routes.ts";
import { nearest } from "../source/validate.ts";
import { type Truth, Unknown } from "../unknown.ts";

/** One step on the way to a decision. `no` is what refused, or what did not apply; `note` says what was found. */
export interface Step {
  readonly about:
    | "host"
    | "route"
    | "origin"
    | "credential"
    | "deny"
    | "role"
    | "login"
    | "scope"
    | "mcp"
    | "condition"
    | "header"
    | "upstream"
    | "backend"
    | "shadow"
    | "decision";
  readonly outcome: "yes" | "no" | "note";
  readonly text: string;
}

export interface Explanation {
  readonly steps: readonly Step[];
  readonly decision: Decision;
}

/** What came of the credential: a principal, a reason why it proves none with what was found, or nothing to look at. */
export type Who =
  | { readonly principal: Principal }
  | { readonly reason: Reason; readonly found?: readonly string[] }
  | undefined;

/** Patterns that are listed although their path does not match. */
const MOST_OTHERS = 20;

/** Every step to the decision on a request, in the order in which the agent takes them. */
export function explain(policies: CompiledPolicies, request: PolicyRequest, who: Who): Explanation {
  const steps: Step[] = [];
  const site = explainHost(policies, request.host, steps);
  const match = policies.match(request.host, request.method, request.path, request.headers);
  if (site !== undefined) explainRoutes(site, request, match, steps);
  if ("reason" in match) return concluded(steps, refusal(match.reason, match.rule));
  const { route } = match;
  if (!(route instanceof Rule)) throw new TypeError("a route of other policies");
  const judged = { ...request, host: match.host };
  if (match.preflight) return concluded(steps, policies.decide(match, undefined, judged), route);
  const asked = route.access === "anyone" ? undefined : who;
  if (
    isForeign(request.headers.origin, originOf(request.tls ? "https" : "http", request.host), route.service.cors, false)
  ) {
    steps.push({ about: "origin", outcome: "no", text: `the service takes no pages of ${request.headers.origin}` });
    return concluded(steps, refusal("origin-not-allowed", route.rule));
  }
  explainCredential(route, asked, steps);
  if (asked !== undefined && "reason" in asked) return concluded(steps, refusal(asked.reason, route.rule));
  const principal = asked?.principal;
  const decision = policies.decide(match, principal, judged);
  const subject = principal === undefined ? undefined : policies.subjects.of(principal, request.time);
  if (subject !== undefined) explainRoles(route, subject, request.time, steps);
  if (subject !== undefined) explainLogin(route, subject, request.time, steps);
  if (subject !== undefined) explainScopes(route, subject, steps);
  if (route.mcp !== undefined) explainMessage(route.mcp, judged, subject, request.time, steps);
  explainCondition(route, subject, match, judged, steps);
  if (decision.reason in HEADER_FAULTS) explainHeaders(route, subject, match, judged, steps);
  return concluded(steps, decision, route);
}

function explainHost(policies: CompiledPolicies, raw: string, steps: Step[]): Site | undefined {
  const host = normalizeHost(raw);
  const site = host === undefined ? undefined : policies.hosts.find(host);
  if (site !== undefined) {
    const names = site.services.map(({ name }) => name);
    const whose = names.length === 1 ? "is the service" : "is shared by the services";
    steps.push({ about: "host", outcome: "yes", text: `${host} ${whose} ${names.join(", ")}` });
    return site;
  }
  const known = policies.services.flatMap(({ hosts }) => hosts);
  const close = nearest(raw, known);
  const text =
    host === undefined
      ? `${raw} is neither a host name nor an address`
      : `no service has the host ${host}${close === undefined ? "" : `; did you mean ${close}?`}`;
  steps.push({ about: "host", outcome: "no", text });
  return undefined;
}

/** The route that matched, those whose path does too, and a few of the others, each with why not. */
function explainRoutes(site: Site, request: PolicyRequest, match: Match | Refusal, steps: Step[]): void {
  const others = site.services.flatMap((service) => explainService(service, request, match, steps));
  steps.push(...others.slice(0, MOST_OTHERS));
  if (others.length > MOST_OTHERS)
    steps.push({ about: "route", outcome: "no", text: `and ${others.length - MOST_OTHERS} patterns of other paths` });
}

/** @returns those of other paths */
function explainService(
  { name, leniency, routes }: Service,
  { method, path }: PolicyRequest,
  match: Match | Refusal,
  steps: Step[],
): readonly Step[] {
  const ambiguity = ambiguityOf(path, leniency);
  if (ambiguity !== undefined) {
    const text = `${name}: the path has ${ambiguity.found}; ${ambiguity.right}`;
    steps.push({ about: "route", outcome: "no", text });
    return [];
  }
  const matched = "route" in match ? match.route : undefined;
  const others: Step[] = [];
  for (const route of routes) {
    for (const pattern of route.patterns) {
      const found = new RouteTable([{ pattern, value: route }]).find(method, path, leniency);
      const head = `${route.rule}  ${pattern.text}`;
      if (!("reason" in found)) {
        const params = Object.entries(found.params).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
        const less = route === matched ? "" : ": another pattern is more specific";
        steps.push({
          about: "route",
          outcome: route === matched ? "yes" : "no",
          text: `${head}${less}${params.length > 0 ? `  ${params.join(" ")}` : ""}`,
        });
      } else if (found.reason === "method-not-allowed")
        steps.push({ about: "route", outcome: "no", text: `${head}: another method` });
      else others.push({ about: "route", outcome: "no", text: `${head}: another path` });
    }
  }
  return others;
}

function explainCredential({ access, service, resource }: Rule, who: Who, steps: Step[]): void {
  const push = (outcome: Step["outcome"], text: string) => steps.push({ about: "credential", outcome, text });
  if (access === "anyone") push("note", "not read: the route allows anyone");
  else if (who === undefined)
    push(
      access === "optional" ? "note" : "no",
      access === "optional" ? "none; the route's is optional" : "none, and the route needs one",
    );
  else if ("reason" in who) {
    push("no", `does not prove anything: ${who.reason}`);
    for (const text of who.found ?? []) push("note", text);
  } else {
    const { subject, issuer, kind, client, actor, arn, uri, groups, scopes, audiences, bound } = who.principal;
    const kindText = kind instanceof Unknown ? `principal of an unknown kind (${kind.text})` : kind;
    push(
      "note",
      `${kindText} ${JSON.stringify(subject)} of ${issuer}${clientText(client)}${actorText(actor)}${named("ARN", arn)}${named("SPIFFE id", uri)}; groups ${listed(groups)}; scopes ${listed(scopes)}; audiences ${listed(audiences)}`,
    );
    if (bound !== "")
      push("note", `bound to a key (${bound}): every request must prove to have it, which is not asked here`);
    if (!service.issuers.has(issuer)) push("no", `the service takes principals of ${listed([...service.issuers])}`);
    if (service.audiences.length > 0 && !audiences.some((audience) => service.audiences.includes(audience)))
      push("no", `the service takes tokens for ${listed(service.audiences)}`);
    if (resource?.issuers.has(issuer) === true && !audiences.includes(resource.audience))
      push("no", `the resource ${resource.url} takes tokens for ${listed([resource.audience])}`);
  }
}

function clientText(client: Principal["client"]): string {
  if (client instanceof Unknown) return ` by an unknown client (${client.text})`;
  return client === undefined ? "" : ` by the client ${JSON.stringify(client)}`;
}

function named(what: string, name: string | undefined): string {
  return name === undefined ? "" : `; ${what} ${name}`;
}

function actorText(actor: Principal["actor"]): string {
  if (actor instanceof Unknown) return `; who acts for it is unknown (${actor.text})`;
  const [acting] = actor;
  const chain = actor.length > 1 ? `, the last of ${actor.length} actors` : "";
  if (acting === undefined) return "";
  const { subject, issuer, kind } = acting;
  const told = kind === undefined || kind instanceof Unknown ? "" : `, ${kind}`;
  return `; ${JSON.stringify(subject)}${issuer === undefined ? "" : ` of ${issuer}`}${told} acts for it${chain}`;
}

function listed(values: readonly string[] | Unknown): string {
  if (values instanceof Unknown) return `unknown (${values.text})`;
  return values.length === 0 ? "none" : values.map((value) => JSON.stringify(value)).join(", ");
}

function explainRoles({ test }: Rule, { principal, held }: Subject, now: number, steps: Step[]): void {
  for (const role of test.deny) {
    const has = held.roles.has(role);
    const doubtful = held.doubtful.has(role);
    steps.push({
      about: "deny",
      outcome: has || doubtful ? "no" : "yes",
      text: doubtful
        ? `cannot be told to lack the denied role ${role.name}: ${bindingsText(role, principal, held, now)}`
        : `${has ? "has" : "does not have"} the denied role ${role.name}`,
    });
  }
  if (test.allow === "authenticated")
    steps.push({ about: "role", outcome: "yes", text: "any principal of the service's issuers is allowed" });
  if (typeof test.allow === "string") return;
  if (test.allow.length === 0)
    steps.push({ about: "role", outcome: "no", text: "the route allows nobody: `allow` is empty" });
  for (const role of test.allow) {
    steps.push({
      about: "role",
      outcome: held.roles.has(role) ? "yes" : "no",
      text: `${role.name}: ${bindingsText(role, principal, held, now)}`,
    });
  }
}

function bindingsText(role: Role, principal: Principal, { roles, doubtful, names }: Held, now: number): string {
  if (doubtful.has(role) && names instanceof Unknown && names.reason === "cost-exceeded")
    return `unknown (${names.text})`;
  return role.bindings
    .map(({ checks, included, until }) => {
      const parts = checks.map(({ key, wanted, holds }) => checkText(`${key} ${wanted}`, holds(principal)));
      if (included !== undefined && doubtful.has(included)) parts.push(`unknown role ${included.name}`);
      else if (included !== undefined) parts.push(checkText(`role ${included.name}`, roles.has(included)));
      if (until !== Number.POSITIVE_INFINITY)
        parts.push(checkText(`until ${new Date(until).toISOString()}`, now < until));
      return `{ ${parts.join(", ")} }`;
    })
    .join(" or ");
}

function checkText(text: string, truth: Truth): string {
  if (truth instanceof Unknown) return `unknown ${text} (${truth.text})`;
  return truth ? text : `not ${text}`;
}

function explainLogin({ test: { stepUp } }: Rule, { principal }: Subject, now: number, steps: Step[]): void {
  if (stepUp === undefined) return;
  const { acr, maxAge } = stepUp;
  const { acr: has, auth_time: time } = principal.claims;
  const push = (holds: boolean, text: string) => steps.push({ about: "login", outcome: holds ? "yes" : "no", text });
  if (acr.length > 0) {
    const found = typeof has === "string" ? JSON.stringify(has) : "not told";
    push(
      stepUpFault({ acr, maxAge: undefined }, principal, now) === undefined,
      `acr is ${found}; one of ${listed(acr)}`,
    );
  }
  if (maxAge === undefined) return;
  const found =
    typeof time === "number" ? `${Math.round(now / 1000 - time)} s ago` : "at a time that auth_time does not tell";
  push(
    stepUpFault({ acr: [], maxAge }, principal, now) === undefined,
    `logged in ${found}; at most ${maxAge / 1000} s`,
  );
}

function explainScopes({ test }: Rule, { principal: { scopes } }: Subject, steps: Step[]): void {
  for (const scope of test.scopes) {
    const has = !(scopes instanceof Unknown) && scopes.includes(scope);
    const text = scopes instanceof Unknown ? `cannot be told to have ${scope}` : `${has ? "has" : "lacks"} ${scope}`;
    steps.push({ about: "scope", outcome: has ? "yes" : "no", text });
  }
}

/** What is said to an MCP server, and what that asks besides. */
function explainMessage(
  mcp: McpRule,
  request: PolicyRequest,
  subject: Subject | undefined,
  now: number,
  steps: Step[],
): void {
  const push = (about: Step["about"], outcome: Step["outcome"], text: string) => steps.push({ about, outcome, text });
  const asked = mcp.asked(request);
  const { mcp: said } = request;
  const told =
    typeof said === "object"
      ? `${said.method ?? "no method"}${said.tool === undefined ? "" : ` ${said.tool}`}`
      : "a body that is not told";
  push(
    "mcp",
    typeof asked === "string" ? "no" : "yes",
    `${told}${typeof asked === "string" ? `: ${asked}` : ""}; the route takes ${mcp.text}`,
  );
  if (typeof asked === "string" || subject === undefined) return;
  for (const role of asked.allow ?? []) {
    const has = subject.held.roles.has(role);
    push(
      "role",
      has ? "yes" : "no",
      `the tool asks for ${role.name}: ${bindingsText(role, subject.principal, subject.held, now)}`,
    );
  }
  const { scopes } = subject.principal;
  for (const scope of asked.scopes) {
    const has = !(scopes instanceof Unknown) && scopes.includes(scope);
    push("scope", has ? "yes" : "no", `the tool asks for ${scope}, which the token ${has ? "has" : "lacks"}`);
  }
}

const CONDITION_FAULTS = {
  "condition-false": "is false",
  "condition-error": "cannot be told",
  "cost-exceeded": "takes too much work",
  "claim-unknown": "cannot be told: it reads what is unknown of the principal",
  "groups-unavailable": "cannot be told now: the issuer's groups cannot be asked for",
} as const;

/** The condition as a whole, and where it is a chain of `&&` each of its parts. */
function explainCondition(
  { test }: Rule,
  subject: Subject | undefined,
  match: Match,
  request: PolicyRequest,
  steps: Step[],
): void {
  const { when } = test;
  if (when === undefined) return;
  for (const part of conjunctsOf(when)) {
    const fault = conditionFault({ ...test, when: part }, subject, match, request, new Work());
    const text = `${part.text}  ${fault === undefined ? "is true" : CONDITION_FAULTS[fault]}`;
    steps.push({ about: "condition", outcome: fault === undefined ? "yes" : "no", text });
  }
}

const HEADER_FAULTS = {
  "header-error": "fails, or gives what no header can hold",
  "header-too-long": "is longer than its `max`",
  "cost-exceeded": "takes too much work",
  "claim-unknown": "cannot be told: it reads what is unknown of the principal",
  "groups-unavailable": "cannot be told now: the issuer's groups cannot be asked for",
} as const;

/** Each header that cannot be made. */
function explainHeaders(
  { headers }: Rule,
  subject: Subject | undefined,
  { params }: Match,
  request: PolicyRequest,
  steps: Step[],
): void {
  const input = { request, params, principal: subject?.principal, roles: subject?.held.names ?? [] };
  for (const header of headers) {
    const made = identityHeaders([header], input, new Work());
    if (typeof made !== "string") continue;
    steps.push({
      about: "header",
      outcome: "no",
      text: `${header.name}: ${header.expression.text}  ${HEADER_FAULTS[made]}`,
    });
  }
}

function upstreamStep({ exchange, audience, scopes }: UpstreamToken): Step {
  const good = scopes.length === 0 ? "" : `, with ${listed(scopes)}`;
  const text = `the backend gets a token of ${exchange} for ${JSON.stringify(audience)}${good}, in place of the client's; whether ${exchange} gives one is not asked here`;
  return { about: "upstream", outcome: "note", text };
}

function concluded(steps: readonly Step[], decision: Decision, route?: Rule): Explanation {
  const { verdict, reason, headers, shadow, roles } = decision;
  const last: Step[] = headers.map(({ name, value }) => ({
    about: "header",
    outcome: "note",
    text: value === undefined ? `${name} is not set` : `${name}: ${value}`,
  }));
  if (!(roles instanceof Unknown) && roles.length > 0)
    last.unshift({ about: "role", outcome: "note", text: `all roles: ${roles.join(", ")}` });
  if (shadow !== undefined)
    last.push({ about: "shadow", outcome: "note", text: `would ${shadow.verdict}: ${shadow.reason}` });
  if (route !== undefined && verdict === "allow") {
    if (route.upstreamToken !== undefined && reason === "allowed") last.push(upstreamStep(route.upstreamToken));
    last.push({ about: "backend", outcome: "note", text: route.backend });
  }
  const status = statusOf(reason);
  last.push({
    about: "decision",
    outcome: verdict === "allow" ? "yes" : "no",
    text: `${verdict}: ${reason}${status === 200 ? "" : ` (${status})`}`,
  });
  return { steps: [...steps, ...last], decision };
}
