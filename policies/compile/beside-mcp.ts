import type { Rule } from "../judging/rule.ts";
import { commonPath, type Pattern } from "../routing/pattern.ts";
import type { RouteTable } from "../routing/routes.ts";
import type { Findings, Place } from "./findings.ts";

interface Entry {
  readonly pattern: Pattern;
  readonly place: Place;
  readonly value: Rule;
}

const METHODS = ["POST", "GET", "DELETE", "PUT", "PATCH", "OPTIONS"];

/**
 * Warns of a route without `mcp` that takes what a server may read as the path of one that has it, and leads to the same
 * backend: what is said there is not looked into.
 *
 * @param table the routes of all the entries
 */
export function warnBesideMcp(entries: readonly Entry[], table: RouteTable<Rule>, findings: Findings): void {
  for (const { pattern, place, value } of entries) {
    if (value.mcp === undefined) continue;
    const path = commonPath(pattern, pattern);
    const beside = nearOf(path).find(([method, near]) => {
      const found = table.find(method, near);
      return !("reason" in found) && found.value.mcp === undefined && found.value.backend === value.backend;
    });
    if (beside === undefined) continue;
    const found = `\`${beside.join(" ")}\`, which a server may take for \`${pattern.text}\`, leads to the same backend by a route without \`mcp\``;
    const right =
      "the methods of the path at the route with `mcp`, and elsewhere another backend, or patterns that do not take it";
    findings.warn(place, found, right);
  }
}

/** Requests that many servers take for one of this path. */
function nearOf(path: string): readonly (readonly [method: string, path: string])[] {
  const last = path.lastIndexOf("/", path.length - 2) + 1;
  const cases = [path.toUpperCase(), path.toLowerCase(), path.slice(0, last) + path.slice(last).toUpperCase()];
  const near = [path.endsWith("/") ? path.slice(0, -1) : `${path}/`, ...cases];
  return [...near.map((each) => ["POST", each] as const), ...METHODS.map((method) => [method, path] as const)];
}
