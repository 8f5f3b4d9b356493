import { claimsOf } from "../judging/binding.ts";
import type { CompiledPolicies } from "../judging/compiled.ts";
import type { Role } from "../judging/roles.ts";
import type { Rule } from "../judging/rule.ts";
import type { Pattern, Segment } from "../routing/pattern.ts";

/** Who may do one thing: requests of one method that one pattern takes, at one host. */
export interface Access {
  readonly host: string;
  readonly method: string;
  /** As the pattern writes it. */
  readonly path: string;
  readonly rule: string;
  /** Each way of being allowed, as text, sorted: `anyone`, `authenticated`, or all keys of a binding. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly scopes: readonly string[];
  readonly when: string | undefined;
  /** What may be sent to an MCP server, as the policy has it; absent where nothing is said of that. */
  readonly mcp?: string;
  /** Without a credential, too. */
  readonly anonymous: boolean;
  readonly issuers: readonly string[];
  readonly audiences: readonly string[];
}

/** What one set of policies lets pass and another does not. */
export interface Difference {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  /** `new`: somebody gains; `lost`: somebody loses; `undecided`: who does depends on a condition. */
  readonly change: "new" | "lost" | "undecided";
  /** Who, or which condition. */
  readonly what: string;
}

/** Who may do what under a set of policies: for a review of access. */
export function accessOf(policies: CompiledPolicies): readonly Access[] {
  return policies.services.flatMap(({ hosts, routes }) =>
    routes.flatMap((route) =>
      route.patterns.flatMap((pattern) =>
        hosts.flatMap((host) =>
          methodsOf(pattern).map((method) => accessTo(route as Rule, host, method, pathOf(pattern))),
        ),
      ),
    ),
  );
}

/** What changes from one set of policies to another, by the requests that either has a pattern for. */
export function differencesOf(before: CompiledPolicies, after: CompiledPolicies): readonly Difference[] {
  const asked = new Map<string, Asked>();
  for (const policies of [before, after]) for (const each of askedOf(policies)) asked.set(keyOf(each), each);
  return [...asked.values()].flatMap((each) => {
    const [old, now] = [found(before, each), found(after, each)];
    const { host, method, path } = each;
    return changesOf(old, now).map((change) => ({ host, method, path, ...change }));
  });
}

/** A request that stands for all that a pattern takes. */
interface Asked {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly sample: string;
}

function keyOf({ host, method, sample }: Asked): string {
  return `${method} ${host}${sample}`;
}

function* askedOf(policies: CompiledPolicies): Generator<Asked> {
  for (const { hosts, routes } of policies.services) {
    for (const { patterns } of routes) {
      for (const pattern of patterns) {
        const sample = pattern.segments.map((segment) => `/${sampleOf(segment)}`).join("");
        for (const host of hosts) {
          const name = host.replace(/^\*/, "any");
          for (const method of methodsOf(pattern)) yield { host: name, method, path: pathOf(pattern), sample };
        }
      }
    }
  }
}

/** What segments often look like: the first that an expression takes stands for all. */
const SAMPLES = [
  "x7",
  "7",
  "2026",
  "a",
  "A",
  "v1",
  "x7.txt",
  "00000000-0000-4000-8000-000000000000",
  "2026-11-28",
  "x",
];

function sampleOf(segment: Segment): string {
  if (segment.kind === "literal") return encodeURIComponent(segment.value);
  if (segment.kind === "rest") return "x7/x7";
  const { expression } = segment;
  const lengths = Array.from({ length: 64 }, (_, length) => ["7".repeat(length + 1), "a".repeat(length + 1)]).flat();
  return [...SAMPLES, ...lengths].find((sample) => expression?.matches(sample) !== false) ?? SAMPLES[0] ?? "";
}

/** GET stands for HEAD. */
function methodsOf({ methods }: Pattern): readonly string[] {
  return methods ?? ["*"];
}

function pathOf({ text }: Pattern): string {
  return text.slice(text.indexOf(" ") + 1);
}

function found(policies: CompiledPolicies, { host, method, path, sample }: Asked): Access | undefined {
  const match = policies.match(host, method === "*" ? "PROPFIND" : method, sample, {});
  return "reason" in match ? undefined : accessTo(match.route as Rule, host, method, path);
}

function accessTo(rule: Rule, host: string, method: string, path: string): Access {
  const { allow, deny, scopes, when } = rule.test;
  const { issuers, audiences } = rule.service;
  const ways = (roles: readonly Role[]) => [...new Set(roles.flatMap((role) => waysOf(role, issuers)))].sort();
  return {
    host,
    method,
    path,
    rule: rule.rule,
    allow: typeof allow === "string" ? [allow] : ways(allow),
    deny: ways(deny),
    scopes: [...scopes].sort(),
    when: when?.text,
    ...(rule.mcp !== undefined && { mcp: rule.mcp.text }),
    anonymous: rule.access === "optional",
    issuers: rule.access === "anyone" ? [] : [...issuers].sort(),
    audiences: [...audiences].sort(),
  };
}

/** Each way to a role for principals of these issuers, what it includes in place. */
function waysOf(role: Role, issuers: ReadonlySet<string>): readonly string[] {
  return role.bindings.flatMap(({ entry, included, issuers: possible }) => {
    if (possible.isDisjointFrom(issuers)) return [];
    const { role: _, claim: __, ...own } = entry;
    const keys = Object.entries(own).map(([key, value]) => `${key}: ${textOf(value)}`);
    const claims = claimsOf(entry).map(([path, value]) => `claim ${String(path)}: ${textOf(value)}`);
    const here = [...keys, ...claims].join(", ");
    if (included === undefined) return [here];
    return waysOf(included, issuers).map((way) => (here === "" ? way : `${here}, ${way}`));
  });
}

function textOf(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

type Change = Pick<Difference, "change" | "what">;

function changesOf(old: Access | undefined, now: Access | undefined): readonly Change[] {
  if (old === undefined || now === undefined) {
    const whole = old ?? now;
    if (whole === undefined) return [];
    const change = old === undefined ? "new" : "lost";
    const who = whole.anonymous ? ["anonymous", ...whole.allow] : whole.allow;
    return who.map((what) => ({ change, what: whole.when === undefined ? what : `${what}, when ${whole.when}` }));
  }
  return [
    ...moved(old.allow, now.allow, "new", "lost"),
    ...moved(old.deny, now.deny, "lost", "new", "denied: "),
    ...moved(old.scopes, now.scopes, "lost", "new", "asks for the scope "),
    ...ofServices(old, now),
    ...(old.anonymous === now.anonymous
      ? []
      : [{ change: now.anonymous ? "new" : "lost", what: "anonymous" } as const]),
    ...(old.when === now.when ? [] : [conditional(old.when, now.when)]),
    ...(old.mcp === now.mcp ? [] : [messages(old.mcp, now.mcp)]),
  ];
}

/** Which issuers and audiences a service takes; where anyone may come, none are asked for. */
function ofServices(old: Access, now: Access): readonly Change[] {
  if (old.issuers.length === 0 || now.issuers.length === 0) return [];
  const audiences = ({ audiences }: Access) => (audiences.length === 0 ? ["any of the issuers'"] : audiences);
  return [
    ...moved(old.issuers, now.issuers, "new", "lost", "principals of "),
    ...moved(audiences(old), audiences(now), "new", "lost", "tokens for "),
  ];
}

function moved(
  old: readonly string[],
  now: readonly string[],
  added: Change["change"],
  removed: Change["change"],
  head = "",
): readonly Change[] {
  return [
    ...now.filter((each) => !old.includes(each)).map((each) => ({ change: added, what: `${head}${each}` })),
    ...old.filter((each) => !now.includes(each)).map((each) => ({ change: removed, what: `${head}${each}, no more` })),
  ];
}

function conditional(old: string | undefined, now: string | undefined): Change {
  if (old === undefined) return { change: "lost", what: `those for whom this is false: ${now}` };
  if (now === undefined) return { change: "new", what: `those for whom this is false: ${old}` };
  return { change: "undecided", what: `the condition was: ${old}; is: ${now}` };
}

function messages(old: string | undefined, now: string | undefined): Change {
  if (old === undefined) return { change: "lost", what: `messages to the MCP server, but these: ${now}` };
  if (now === undefined) return { change: "new", what: `messages to the MCP server that were not among these: ${old}` };
  return { change: "undecided", what: `messages to the MCP server were: ${old}; are: ${now}` };
}
