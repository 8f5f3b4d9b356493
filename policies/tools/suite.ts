import type { PolicyEnvironment, PolicyText } from "../compile/compile.ts";
import { Findings, Place } from "../compile/findings.ts";
import { checkIssuer } from "../compile/roles.ts";
import { type Decision, REASONS, refusal } from "../decision.ts";
import type { Fault } from "../fault.ts";
import { readInstant } from "../instant.ts";
import { isForeign, originOf } from "../judging/origin.ts";
import type { Match, Policies } from "../policies.ts";
import schema from "../policy-test.schema.json" with { type: "json" };
import type { Kind, Principal } from "../principal.ts";
import type { McpMessage } from "../request.ts";
import { readDocument } from "../source/document.ts";
import { nearest, schemaFaults } from "../source/validate.ts";
import { Unknown } from "../unknown.ts";
import { parseRequestLine, type WrittenRequest } from "./request-line.ts";

/** One case as a file has it (policy-test.schema.json). */
interface CaseEntry {
  readonly name: string;
  readonly request: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly src?: string;
  readonly mcp?: { readonly method: string; readonly tool?: string };
  readonly time?: string;
  readonly principal?: PrincipalEntry;
  readonly expect: Expectation;
}

interface PrincipalEntry {
  readonly issuer: string;
  readonly subject: string;
  readonly kind?: Kind;
  readonly groups?: readonly string[];
  readonly scopes?: readonly string[];
  readonly audiences?: readonly string[];
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly client?: string;
  readonly actor?: readonly (string | { readonly subject: string; readonly issuer?: string; readonly kind?: Kind })[];
  readonly arn?: string;
  readonly uri?: string;
  readonly unknown?: readonly ("kind" | "groups" | "scopes" | "client" | "actor" | "authenticated_at")[];
}

interface Expectation {
  readonly verdict: "allow" | "deny";
  readonly reason?: string;
  readonly rule?: string;
  readonly backend?: string;
  readonly shadow?: "allow" | "deny";
  readonly headers?: Readonly<Record<string, string | null>>;
}

/** How one case went. */
export interface CaseResult {
  readonly file: string;
  readonly line: number;
  readonly name: string;
  readonly request: string;
  readonly decision: Decision;
  /** What is not as expected, each `reason: role-missing instead of allowed`; empty for a case that passed. */
  readonly differences: readonly string[];
}

/** How often the cases had a rule allow and refuse. */
export interface RuleCoverage {
  readonly rule: string;
  readonly allowed: number;
  readonly refused: number;
}

export interface SuiteResult {
  readonly cases: readonly CaseResult[];
  readonly coverage: readonly RuleCoverage[];
  /** Mistakes in the test files; then no case was run. */
  readonly faults: readonly Fault[];
}

interface Case {
  readonly entry: CaseEntry;
  readonly written: WrittenRequest;
  readonly place: Place;
}

/** Judges the cases of test files by a set of policies. */
export function runSuite(
  texts: readonly PolicyText[],
  policies: Policies,
  environment: PolicyEnvironment,
): SuiteResult {
  const findings = new Findings();
  const all = texts.flatMap((text) => readCases(text, environment, findings));
  if (findings.faults.length > 0) return { cases: [], coverage: [], faults: findings.faults };
  const cases = all.map((each) => run(each, policies, environment));
  return { cases, coverage: coverageOf(policies, cases), faults: [] };
}

function readCases({ file, text }: PolicyText, environment: PolicyEnvironment, findings: Findings): readonly Case[] {
  const document = readDocument(file, text);
  if (!("value" in document)) {
    findings.faults.push(...document);
    return [];
  }
  const faults = schemaFaults(document, schema);
  findings.faults.push(...faults);
  if (faults.length > 0) return [];
  const { cases } = document.value as { readonly cases: readonly CaseEntry[] };
  return cases.flatMap((entry, index) => {
    const place = new Place(document, ["cases", index]);
    checkCase(entry, place, environment, findings);
    const written = parseRequestLine(entry.request);
    if (!("offset" in written)) return [{ entry, written, place }];
    findings.text(place.at("request"), written);
    return [];
  });
}

function checkCase(
  { principal, time, expect }: CaseEntry,
  place: Place,
  { issuers }: PolicyEnvironment,
  findings: Findings,
): void {
  if (principal !== undefined) checkIssuer(principal.issuer, place.at("principal", "issuer"), issuers, findings);
  if (time !== undefined && readInstant(time) === undefined)
    findings.fault(place.at("time"), `"${time}" is no time`, "a time that there is, such as `2026-12-01T00:00:00Z`");
  const { reason } = expect;
  if (reason === undefined || Object.hasOwn(REASONS, reason)) return;
  const close = nearest(reason, Object.keys(REASONS));
  findings.fault(
    place.at("expect", "reason"),
    `no reason "${reason}"`,
    close === undefined ? "one of docs/reasons.md" : `did you mean "${close}"?`,
  );
}

function run({ entry, written, place }: Case, policies: Policies, environment: PolicyEnvironment): CaseResult {
  const { decision, backend } = decide(entry, written, policies, environment);
  const { file, line } = place.document.fault(place.path, "", "");
  return {
    file,
    line,
    name: entry.name,
    request: entry.request,
    decision,
    differences: differencesOf(entry.expect, decision, backend),
  };
}

function decide(
  entry: CaseEntry,
  written: WrittenRequest,
  policies: Policies,
  environment: PolicyEnvironment,
): { readonly decision: Decision; readonly backend: string | undefined } {
  const { headers = {}, src = "192.0.2.1", time } = entry;
  const { method, host, path } = written;
  const match = policies.match(host, method, path, headers);
  if ("reason" in match) return { decision: refusal(match.reason, match.rule), backend: undefined };
  if (isForeignCase(match, headers.origin, written))
    return { decision: refusal("origin-not-allowed", match.route.rule), backend: undefined };
  const principal =
    match.route.access === "anyone" || match.preflight ? undefined : principalOf(entry.principal, environment);
  const now = readInstant(time ?? "") ?? environment.now;
  const request = { ...written, host: match.host, headers, src, time: now, mcp: messageOf(entry, method) };
  const decision = policies.decide(match, principal, request);
  return { decision, backend: decision.verdict === "allow" ? match.route.backend : undefined };
}

/** What a case shows is a principal: how it has proven itself is not asked, so what browsers add neither. */
function isForeignCase({ route }: Match, origin: string | undefined, { tls, host }: WrittenRequest): boolean {
  return isForeign(origin, originOf(tls ? "https" : "http", host), route.service.cors, false);
}

/** What it says to an MCP server. A case that does not say it has a body that nobody can read, where it could have one. */
function messageOf({ mcp }: CaseEntry, method: string): McpMessage | undefined {
  if (mcp === undefined && method === "POST") return undefined;
  return { method: mcp?.method, tool: mcp?.tool, by: "body" };
}

function principalOf(entry: PrincipalEntry | undefined, { issuers, now }: PolicyEnvironment): Principal | undefined {
  if (entry === undefined) return undefined;
  const issuer = issuers.find(({ name }) => name === entry.issuer);
  const { subject, groups = [], scopes = [], claims = {}, client, actor = [], unknown = [] } = entry;
  const unless = <T>(field: (typeof unknown)[number], value: T) =>
    unknown.includes(field) ? new Unknown(field, "unknown in this case") : value;
  return {
    issuer: entry.issuer,
    subject,
    kind: unless("kind", entry.kind ?? issuer?.kinds?.[0] ?? "person"),
    groups: unless("groups", groups),
    scopes: unless("scopes", scopes),
    audiences: entry.audiences ?? issuer?.audiences ?? [],
    claims,
    client: unless("client", client),
    actor: unless(
      "actor",
      actor.map((each) => ({ issuer: undefined, ...(typeof each === "string" ? { subject: each } : each) })),
    ),
    arn: entry.arn,
    uri: entry.uri,
    authenticatedAt: unless("authenticated_at", undefined),
    expiresAt: now + 600_000,
    bound: "",
  };
}

function differencesOf(expect: Expectation, decision: Decision, backend: string | undefined): readonly string[] {
  const differences: string[] = [];
  const compare = (what: string, wanted: string | null | undefined, got: string | null | undefined) => {
    if (wanted !== undefined && wanted !== got)
      differences.push(`${what}: ${got ?? "none"} instead of ${wanted ?? "none"}`);
  };
  compare("verdict", expect.verdict, decision.verdict);
  compare("reason", expect.reason, decision.reason);
  compare("rule", expect.rule, decision.rule);
  compare("backend", expect.backend, backend);
  compare("shadow", expect.shadow, decision.shadow?.verdict ?? null);
  for (const [name, wanted] of Object.entries(expect.headers ?? {})) {
    compare(name, wanted, decision.headers.find((header) => header.name === name)?.value ?? null);
  }
  return differences;
}

function coverageOf({ services }: Policies, cases: readonly CaseResult[]): readonly RuleCoverage[] {
  return services.flatMap(({ routes }) =>
    routes.map(({ rule }) => {
      const verdicts = cases.filter(({ decision }) => decision.rule === rule).map(({ decision }) => decision.verdict);
      const allowed = verdicts.filter((verdict) => verdict === "allow").length;
      return { rule, allowed, refused: verdicts.length - allowed };
    }),
  );
}
