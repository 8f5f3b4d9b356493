import { type Finding, finding, noteOn } from "./finding.ts";
import type { Guarded, Targets } from "./protection.ts";
import { hasEntrance } from "./protection.ts";
import { type ProxySection, rulesOf } from "./proxies.ts";
import { lineText, type Place, type Statement, texts } from "./where.ts";

/**
 * Caches that keep what a protected backend answered, and answer with it where nobody is judged: a cache is one for all
 * proxies that name it.
 *
 * @param told the lines that a way to a protected backend has told of already
 */
export function sharedCaches(guarded: Guarded, targets: Targets, told: readonly Place[]): readonly Finding[] {
  const leads = (found: ReadonlySet<ProxySection>) => (proxy: ProxySection) =>
    found.has(proxy) || (targets.get(proxy) ?? []).some(({ target }) => found.has(target));
  const reached = reachedFrom(targets);
  const used = [...reached].flatMap((proxy) => lines(proxy, "http-request", "cache-use"));
  return used.flatMap((statement) => {
    if (told.some(({ file, line }) => file === statement.file && line === statement.line)) return [];
    const name = texts(statement)[2] ?? "";
    const storing = (found: ReadonlySet<ProxySection>) =>
      [...reached]
        .filter(leads(found))
        .flatMap((proxy) => lines(proxy, "http-response", "cache-store"))
        .find((line) => texts(line)[2] === name);
    const [certain, possible] = [storing(guarded.certain), storing(guarded.possible)];
    if (possible === undefined) return [];
    return [
      finding(
        certain === undefined ? "unproven" : "fault",
        "cache",
        statement,
        `"${lineText(statement)}" answers with what a protected backend said to somebody who was allowed: nobody is judged`,
        "a cache of its own for what anybody may see",
        { also: [noteOn(certain ?? possible, "it is kept here")] },
      ),
    ];
  });
}

/** Frontends where requests come in, and what they lead to. */
function reachedFrom(targets: Targets): ReadonlySet<ProxySection> {
  const open = [...targets].filter(([frontend]) => hasEntrance(frontend));
  return new Set(open.flatMap(([frontend, routes]) => [frontend, ...routes.map(({ target }) => target)]));
}

function lines(proxy: ProxySection, keyword: string, action: string): readonly Statement[] {
  return rulesOf(proxy, keyword, action).map(({ statement }) => statement);
}
