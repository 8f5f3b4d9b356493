import { OWNED_HEADERS } from "../../haproxy/owned-headers.ts";
import { compilePolicies, type PolicyEnvironment } from "../../policies/compile/compile.ts";
import { type Decision, refusal } from "../../policies/decision.ts";
import { faultText } from "../../policies/fault.ts";
import type { CompiledPolicies } from "../../policies/judging/compiled.ts";
import type { Policies } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import type { PolicyRequest } from "../../policies/request.ts";
import { parseRequestLine } from "../../policies/tools/request-line.ts";

/** An instant for tests, in milliseconds since the epoch. */
export const NOON = Date.UTC(2026, 10, 25, 12);

/**
 * Two issuers: `okta` with two audiences and kinds that its tokens say, `aws` with one audience, workloads only, and two
 * accounts.
 */
export const ENVIRONMENT: PolicyEnvironment = {
  issuers: [
    { name: "okta", audiences: ["api://orders", "api://files"], credentials: ["bearer"], kinds: undefined },
    {
      name: "aws",
      audiences: ["api://aws"],
      credentials: ["bearer"],
      kinds: ["workload"],
      arns: { partition: "aws", accounts: ["123456789012", "210987654321"] },
      labels: ["session_name"],
    },
  ],
  headers: OWNED_HEADERS,
  backends: [],
  identitySuffix: "",
  now: NOON,
};

/** The policies of one file. @throws Error with the faults */
export function policiesFrom(text: string, environment: Partial<PolicyEnvironment> = {}): CompiledPolicies {
  const compiled = compilePolicies([{ file: "p.yaml", text }], { ...ENVIRONMENT, ...environment });
  if ("policies" in compiled) return compiled.policies;
  throw new Error(compiled.faults.map(faultText).join("\n"));
}

/** Faults and warnings of one file or several, as text. */
export function findingsOf(
  text: string | Readonly<Record<string, string>>,
  environment: Partial<PolicyEnvironment> = {},
): { faults: readonly string[]; warnings: readonly string[] } {
  const files = typeof text === "string" ? { "p.yaml": text } : text;
  const texts = Object.entries(files).map(([file, content]) => ({ file, text: content }));
  const compiled = compilePolicies(texts, { ...ENVIRONMENT, ...environment });
  const faults = "faults" in compiled ? compiled.faults.map(faultText) : [];
  return { faults, warnings: compiled.warnings.map(faultText) };
}

/** A principal of okta. */
export function principalFrom(changes: Partial<Principal> = {}): Principal {
  return {
    issuer: "okta",
    subject: "alice",
    kind: "person",
    groups: [],
    scopes: [],
    audiences: ["api://orders"],
    claims: {},
    client: undefined,
    actor: [],
    arn: undefined,
    uri: undefined,
    authenticatedAt: undefined,
    expiresAt: NOON + 600_000,
    bound: "",
    ...changes,
  };
}

export interface Asked {
  readonly headers?: Readonly<Record<string, string>>;
  readonly time?: number;
  readonly src?: string;
  readonly mcp?: PolicyRequest["mcp"];
}

/** What the policies decide of a written request. */
export function decide(
  policies: Policies,
  request: string,
  principal: Principal | undefined,
  asked: Asked = {},
): Decision {
  const written = parseRequestLine(request);
  if ("offset" in written) throw new Error(`not a request: ${request}`);
  const { headers = {}, time = NOON, src = "192.0.2.7", mcp } = asked;
  const match = policies.match(written.host, written.method, written.path, headers);
  if ("reason" in match) return refusal(match.reason, match.rule);
  const who = match.route.access === "anyone" || match.preflight ? undefined : principal;
  return policies.decide(match, who, { ...written, host: match.host, headers, src, time, mcp });
}
