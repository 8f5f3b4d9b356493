import type { PolicyIssuer } from "../judging/binding.ts";
import { DEFAULT_MAX, type HeaderRule, headerNameFault } from "../judging/headers.ts";
import { Rule, type Test } from "../judging/rule.ts";
import { STEP_UP_CLAIMS } from "../judging/step-up.ts";
import type { BodyPlace, Service, Uses } from "../policies.ts";
import type { Resource } from "../resource.ts";
import { type Pattern, parsePattern } from "../routing/pattern.ts";
import type { Place } from "./findings.ts";
import { bodiesOf, compileMcp, MCP_HEADERS } from "./mcp.ts";
import type { HeaderEntries, RouteEntry, UpstreamTokenEntry } from "./policy-file.ts";
import { checkCaptures, compileTest, type Given, given, type TestContext, type TestParts, testParts } from "./test.ts";
import { compileUpstreamToken } from "./upstream-token.ts";

/** What is read of who asks. */
interface Evidence extends Pick<Uses, "credentials" | "proofs"> {
  /** Whether a browser may have added it by itself. */
  readonly ambient: boolean;
}

const UNREAD: Evidence = { credentials: [], proofs: [], ambient: false };

/** What a route inherits of its service. */
export interface RouteDefaults {
  readonly backend: Given<string> | undefined;
  readonly test: TestParts;
  readonly headers: Given<HeaderEntries> | undefined;
  readonly forwardCredential: boolean;
  readonly upstreamToken: Given<UpstreamTokenEntry> | undefined;
  /** All that the service takes. */
  readonly takes: readonly PolicyIssuer[];
  /** Its own, or the service's. */
  readonly resource: Resource | undefined;
  /** What the service's issuers read of who asks. */
  readonly evidence: Evidence;
}

export interface CompiledRoute {
  readonly rule: Rule;
  readonly patterns: readonly { readonly pattern: Pattern; readonly place: Place }[];
  /** The rule's backend; undefined where it has none, which is a fault. */
  readonly backend: Given<string> | undefined;
  /** What the rule and its shadow read and promise: what HAProxy is to be configured for. */
  readonly uses: Uses;
}

/** Compiles one route of a service. */
export function compileRoute(
  entry: RouteEntry,
  place: Place,
  service: Service,
  defaults: RouteDefaults,
  context: Omit<TestContext, "captures">,
): CompiledRoute {
  const patterns = compilePatterns(entry, place, context);
  const captures = patterns
    .map(({ pattern }) => new Set(pattern.captures))
    .reduce((a, b) => a.intersection(b), new Set(patterns[0]?.pattern.captures));
  const whole: TestContext = { ...context, captures };
  const parts = testParts(entry, place, defaults.test, true);
  if (parts.allow === undefined) {
    context.findings.key(
      place.at("name"),
      `the route "${entry.name}" does not say whom it allows`,
      "add `allow: [a role]`, `[authenticated]` or `[anyone]`, here or at the service",
    );
  }
  const backend = given(entry, "backend", place) ?? defaults.backend;
  if (backend === undefined) {
    context.findings.key(
      place.at("name"),
      `the route "${entry.name}" does not say which backend it leads to`,
      "add `backend: NAME`, here or at the service",
    );
  }
  const test = compileTest(parts, whole);
  const access = test.allow === "anyone" ? "anyone" : entry.optional === true ? "optional" : "required";
  const headers = access === "anyone" ? [] : compileHeaders(given(entry, "headers", place) ?? defaults.headers, whole);
  const shadow =
    entry.shadow === undefined
      ? undefined
      : compileTest(testParts(entry.shadow, place.at("shadow"), parts, false), whole);
  checkRoute(entry, place, { access, test, parts }, whole);
  const forwardCredential = entry.forward_credential ?? defaults.forwardCredential;
  const wanted = access === "anyone" ? undefined : (given(entry, "upstream_token", place) ?? defaults.upstreamToken);
  const upstreamToken =
    wanted && compileUpstreamToken(wanted, { ...context, access, forwardCredential, issuers: defaults.takes });
  const mcp = entry.mcp && compileMcp(entry.mcp, place.at("mcp"), { access, patterns }, whole);
  const read = patterns.map(({ pattern }) => pattern);
  const bodies = mcp === undefined ? [] : bodiesOf(read, service.hosts);
  const evidence = access === "anyone" ? UNREAD : defaults.evidence;
  const rule = new Rule({
    name: entry.name,
    service,
    patterns: read,
    backend: backend?.value ?? "",
    access,
    forwardCredential,
    upstreamToken,
    needs: usesOf([test], headers, evidence, service, bodies),
    resource: access === "anyone" ? undefined : defaults.resource,
    test,
    shadow,
    mcp,
    headers,
  });
  return {
    rule,
    patterns,
    backend,
    uses: shadow === undefined ? rule.needs : usesOf([test, shadow], headers, evidence, service, bodies),
  };
}

function compilePatterns(
  entry: RouteEntry,
  place: Place,
  { findings }: Pick<TestContext, "findings">,
): CompiledRoute["patterns"] {
  return entry.match.flatMap((text, index) => {
    const at = place.at("match", index);
    const pattern = parsePattern(text);
    if (!("offset" in pattern)) {
      if (isPrefixElsewhere(text, entry.match)) {
        const right = `\`${text}{path...}\` for all that lies below; this path without the \`/\` beside it where it alone is meant`;
        findings.warn(at, `\`${text}\`, which is this one path`, right);
      }
      return [{ pattern, place: at }];
    }
    findings.text(at, pattern);
    return [];
  });
}

/** Where a path ends in `/`, other tools match all below. Who names the path without it too means just these. */
function isPrefixElsewhere(text: string, all: RouteEntry["match"]): boolean {
  return /[^ /]\/$/.test(text) && !all.includes(text.slice(0, -1));
}

function compileHeaders(headers: Given<HeaderEntries> | undefined, context: TestContext): readonly HeaderRule[] {
  if (headers === undefined) return [];
  return Object.entries(headers.value).flatMap(([name, entry]) => {
    const place = headers.place.at(name);
    const fault = headerNameFault(name, context.owned);
    if (fault !== undefined) context.findings.key(place, fault.found, fault.right);
    const { value, max, at } =
      typeof entry === "string"
        ? { value: entry, max: undefined, at: place }
        : { ...entry, max: entry.max, at: place.at("value") };
    const expression = context.expressions.header(value);
    if ("offset" in expression) {
      context.findings.text(at, expression);
      return [];
    }
    checkCaptures(expression.uses, at, context);
    return [{ name, expression, max: max ?? DEFAULT_MAX }];
  });
}

/** Keys that contradict each other: somebody meant something that would not happen. */
function checkRoute(
  entry: RouteEntry,
  place: Place,
  { access, test, parts }: { access: Rule["access"]; test: Test; parts: TestParts },
  { findings }: TestContext,
): void {
  if (access === "optional" && test.when?.uses.principal === true && parts.when !== undefined) {
    findings.warn(
      parts.when.place,
      "a condition that reads the principal, on a route with `optional`",
      "a request without a credential is refused where the condition asks for the principal",
    );
  }
  if (access !== "anyone") return;
  const contradictions = [
    "deny",
    "scopes",
    "headers",
    "optional",
    "shadow",
    "resource",
    "step_up",
    "upstream_token",
  ] as const;
  for (const key of contradictions) {
    const value = entry[key];
    if (value === undefined || value === false) continue;
    findings.key(
      place.at(key),
      `\`${key}\` on a route that allows \`anyone\``,
      "the credential is not read there: remove it, or allow roles or `authenticated`, with `optional: true` if need be",
    );
  }
  if (test.when?.uses.principal === true && parts.when !== undefined) {
    findings.fault(
      parts.when.place,
      "a condition that reads the principal, on a route that allows `anyone`",
      "there is no principal: read only the request, or allow roles or `authenticated`",
    );
  }
}

function usesOf(
  tests: readonly Test[],
  headers: readonly HeaderRule[],
  { ambient, ...evidence }: Evidence,
  { cors }: Service,
  bodies: readonly BodyPlace[],
): Uses {
  const mirrored = bodies.length > 0 ? MCP_HEADERS : [];
  const read = [
    ...tests.flatMap(({ when }) => (when === undefined ? [] : [when.uses])),
    ...headers.map(({ expression }) => expression.uses),
  ];
  const origin = ambient ? ["origin", "sec-fetch-site"] : cors !== undefined ? ["origin"] : [];
  return {
    query: read.some(({ query }) => query),
    requestHeaders: [...new Set([...origin, ...mirrored, ...read.flatMap((uses) => uses.headers)])].sort(),
    claims: [...new Set([...read.flatMap((uses) => uses.claims), ...claimsOfLogin(tests)])].sort(),
    identityHeaders: headers.map(({ name, max }) => ({ name, max })).sort((a, b) => (a.name < b.name ? -1 : 1)),
    ...evidence,
    ...(bodies.length > 0 && { bodies }),
  };
}

function claimsOfLogin(tests: readonly Test[]): readonly string[] {
  return tests.some(({ stepUp }) => stepUp !== undefined) ? STEP_UP_CLAIMS : [];
}
