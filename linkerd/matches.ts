import { isWithin, pathsOf } from "./difference.ts";
import { type Inexpressible, PatternError } from "./inexpressible.ts";
import type { Pattern } from "./input.ts";
import type { Raw } from "./segments.ts";
import { type Entry, methodsOf, type Site, takes } from "./sites.ts";

/** Of an HTTPRoute (Gateway API v1). Without a method: any. */
export interface HttpRouteMatch {
  readonly path: { readonly type: "Exact" | "RegularExpression" | "PathPrefix"; readonly value: string };
  readonly method?: string;
}

/** The methods that an HTTPRoute can name. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const LONGEST = 1024;

/** What one pattern is rendered as, or cannot be. */
export interface Rendered {
  readonly entry: Entry;
  readonly matches: readonly HttpRouteMatch[];
}

/**
 * The matches of each pattern of a site that leads to the meshed Service, and those of other patterns that have to be
 * refused there.
 *
 * Linkerd prefers of several matches the one with the longer path, and of those one with a method; all that is rendered
 * here takes whole paths, so only the method is left to prefer by, and between equals the age of the objects decides. So
 * matches of different kinds have no request in common, but where one of them has a method and the other has not.
 */
export function siteMatches({ entries }: Site, problems: Inexpressible[]): readonly Rendered[] {
  const rendered: Rendered[] = [];
  for (const entry of entries) {
    try {
      const matches = entry.kind === "other" ? refusals(entry, entries) : admissions(entry, entries);
      if (matches.length > 0) rendered.push({ entry, matches });
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      const found = `${JSON.stringify(entry.pattern.text)} asks for ${error.message}, which no HTTPRoute can mean exactly`;
      problems.push({
        rule: entry.route.rule,
        found,
        right: "write the pattern otherwise, or `routes: false` in `mesh`",
      });
    }
  }
  return rendered;
}

function admissions(entry: Entry, entries: readonly Entry[]): readonly HttpRouteMatch[] {
  const narrower = entries.filter((other) => other.kind !== entry.kind && overrides(other.pattern, entry.pattern));
  const { pattern, service } = entry;
  const left = (method?: string) => pathsOf(pattern, patternsFor(narrower, method));
  if (pattern.methods !== undefined) {
    const methods = methodsOf(pattern);
    const preflight = service.preflight ? matchesOf(methods.flatMap(left), "OPTIONS") : [];
    return distinct([...methods.flatMap((method) => matchesOf(left(method), method)), ...preflight]);
  }
  // A match without a method takes every one: where a narrower pattern has one of its own, a match with it goes before.
  const named = [...new Set(narrower.flatMap((other) => methodsOf(other.pattern)))];
  return distinct([...named.flatMap((method) => matchesOf(left(method), method)), ...matchesOf(left())]);
}

/** What a pattern that leads elsewhere takes out of a wider one for any method. */
function refusals(entry: Entry, entries: readonly Entry[]): readonly HttpRouteMatch[] {
  const { pattern } = entry;
  const wider = entries.filter(
    (other) => other.kind !== "other" && other.pattern.methods === undefined && overrides(pattern, other.pattern),
  );
  if (wider.length === 0) return [];
  if (wider.some(({ service }) => service.preflight) && methodsOf(pattern).includes("OPTIONS")) {
    throw new PatternError("OPTIONS beside the `preflight` of a service with a wider pattern");
  }
  const narrower = entries.filter((other) => other.kind !== "other" && overrides(other.pattern, pattern));
  return methodsOf(pattern).flatMap((method) => matchesOf(pathsOf(pattern, patternsFor(narrower, method)), method));
}

/** Whether a pattern wins over another for what both take. */
function overrides(a: Pattern, b: Pattern): boolean {
  if (!isWithin(a, b)) return false;
  if (!isWithin(b, a)) return true;
  if (a.methods === undefined) return false;
  return b.methods === undefined || methodsOf(a).length < methodsOf(b).length;
}

/** @param method undefined: all that no pattern names */
function patternsFor(entries: readonly Entry[], method: string | undefined): readonly Pattern[] {
  const patterns = entries.map(({ pattern }) => pattern);
  return patterns.filter((pattern) => (method === undefined ? pattern.methods === undefined : takes(pattern, method)));
}

/** Expressions are joined as long as one match can hold them. */
function matchesOf(paths: readonly Raw[], method?: string): readonly HttpRouteMatch[] {
  if (method !== undefined && !METHODS.includes(method)) throw new PatternError(`the method ${method}`);
  const expressions: string[] = [];
  const match = (type: HttpRouteMatch["path"]["type"], value: string) => {
    if (value.length > LONGEST) throw new PatternError(`an expression of ${value.length} characters`);
    return { path: { type, value }, ...(method === undefined ? {} : { method }) };
  };
  for (const { expression, plain } of paths) {
    if (plain !== undefined) continue;
    const longer = `${expressions.at(-1)}|${expression}`;
    if (expressions.length > 0 && whole(longer).length <= LONGEST) expressions[expressions.length - 1] = longer;
    else expressions.push(expression);
  }
  const exact = paths.flatMap(({ plain }) => (plain === undefined ? [] : [match("Exact", plain)]));
  return [...exact, ...expressions.map((expression) => match("RegularExpression", whole(expression)))];
}

/** Anchored: Linkerd takes the first that it finds, and asks only then whether it is the whole path. */
function whole(expression: string): string {
  return `^(?:${expression})$`;
}

export function distinct(matches: readonly HttpRouteMatch[]): readonly HttpRouteMatch[] {
  return [...new Map(matches.map((match) => [JSON.stringify(match), match])).values()];
}
