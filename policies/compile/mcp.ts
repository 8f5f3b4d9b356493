import { CALL, McpRule, OTHERS, type ToolRule } from "../judging/mcp.ts";
import type { Rule } from "../judging/rule.ts";
import type { BodyPlace } from "../policies.ts";
import type { Pattern } from "../routing/pattern.ts";
import { meaningless, signIn } from "../signs.ts";
import type { Findings, Place } from "./findings.ts";
import type { McpEntry, ToolEntry } from "./policy-file.ts";
import type { CompiledRoute } from "./route.ts";
import { allowedRoles, compileScopes, given, type TestContext } from "./test.ts";

/** The request headers that mirror a message, or say how it is to be read, or that it is not the last. */
export const MCP_HEADERS = [
  "content-encoding",
  "content-length",
  "content-type",
  "mcp-method",
  "mcp-name",
  "mcp-protocol-version",
  "upgrade",
];

/** All methods of HTTP that MCP's transport has. */
const TRANSPORT = ["POST", "GET", "HEAD", "DELETE"];

/** Compiles what may be sent to an MCP server. @param place of the route's `mcp` */
export function compileMcp(
  entry: McpEntry,
  place: Place,
  { access, patterns }: Pick<CompiledRoute, "patterns"> & Pick<Rule, "access">,
  context: TestContext,
): McpRule {
  const { findings } = context;
  const { methods, tools } = entry;
  for (const { pattern, place: at } of patterns) {
    if (pattern.methods?.every((method) => TRANSPORT.includes(method))) continue;
    const right = "POST, and where the server has them GET and DELETE: nothing else is looked into";
    findings.fault(at, `\`${pattern.text}\`, on a route with \`mcp\``, right);
  }
  if (tools !== undefined && methods !== undefined && !methods.some((each) => [CALL, "tools/*"].includes(each))) {
    const right = `\`${CALL}\` in \`methods\`, or no \`tools\``;
    findings.warn(place.at("tools"), "tools that nobody can call", right);
  }
  return new McpRule({
    methods,
    tools: tools === undefined ? undefined : compileTools(tools, place.at("tools"), access, context),
    headers: entry.headers !== undefined,
    text: JSON.stringify(entry),
  });
}

function compileTools(
  tools: NonNullable<McpEntry["tools"]>,
  place: Place,
  access: Rule["access"],
  context: TestContext,
): ReadonlyMap<string, ToolRule> {
  return new Map(
    Object.entries(tools).map(([name, entry]) => {
      checkName(name, entry?.equals, place.at(name), context.findings);
      return [name, compileTool(entry ?? {}, place.at(name), access, context)];
    }),
  );
}

/** Beside the rule for all others, a name that was meant for several would leave each of them to it. */
function checkName(name: string, equals: string | undefined, place: Place, findings: Findings): void {
  const literally = `\`{ equals: ${JSON.stringify(name)} }\``;
  const found = name === OTHERS || equals === name ? undefined : signIn(name);
  if (found !== undefined) {
    const right = `the whole name of one tool; ${literally} beside what it asks, if it is really called so`;
    findings.key(place, meaningless(found.sign), right);
  } else if (equals !== undefined && equals !== name) {
    findings.fault(place.at("equals"), "`equals` with another name than the tool's", `no \`equals\`, or ${literally}`);
  }
}

function compileTool(entry: ToolEntry, place: Place, access: Rule["access"], context: TestContext): ToolRule {
  if (access === "anyone" && (entry.allow ?? entry.scopes) !== undefined) {
    const right = "no more than the name, or a route that allows roles or `authenticated`: no credential is read here";
    context.findings.fault(place, "what a tool asks of who calls it, on a route that allows `anyone`", right);
  }
  const [allow, scopes] = [given(entry, "allow", place), given(entry, "scopes", place)];
  return {
    allow: allow === undefined ? undefined : allowedRoles(allow, context),
    scopes: scopes === undefined ? [] : compileScopes(scopes, context),
  };
}

/** Literals that have one form in a path. */
const PLAIN = /^[A-Za-z0-9._~-]*$/;

/** Where bodies are looked into: at least the requests that these patterns take. GET stands for HEAD too. */
export function bodiesOf(patterns: readonly Pattern[], hosts: readonly string[]): readonly BodyPlace[] {
  return patterns.map((pattern) => {
    const methods = pattern.methods ?? TRANSPORT;
    const all = methods.includes("GET") ? [...new Set([...methods, "HEAD"])] : methods;
    return { hosts, methods: all, ...pathOf(pattern) };
  });
}

function pathOf({ segments }: Pattern): Pick<BodyPlace, "path" | "whole" | "end"> {
  const begin = plainBefore(segments);
  if (begin.length === segments.length) return { path: `/${begin.join("/")}`, whole: true, end: "" };
  const next = segments[begin.length]?.kind === "rest" ? "" : "/";
  const path = begin.length === 0 ? "/" : `/${begin.join("/")}${next}`;
  const end = plainBefore(segments.toReversed()).toReversed();
  return { path, whole: false, end: end.length === 0 ? "" : `/${end.join("/")}` };
}

/** The literals that a path of the pattern has as they are, up to the first other segment. */
function plainBefore(segments: Pattern["segments"]): readonly string[] {
  const other = segments.findIndex((segment) => segment.kind !== "literal" || !PLAIN.test(segment.value));
  const plain = other < 0 ? segments : segments.slice(0, other);
  return plain.flatMap((segment) => (segment.kind === "literal" ? [segment.value] : []));
}
