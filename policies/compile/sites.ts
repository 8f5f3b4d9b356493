import type { Rule } from "../judging/rule.ts";
import { Site } from "../judging/site.ts";
import { type Conflict, conflictsOf } from "../routing/conflicts.ts";
import { HostTable } from "../routing/hosts.ts";
import type { Pattern } from "../routing/pattern.ts";
import { RouteTable } from "../routing/routes.ts";
import { warnBesideMcp } from "./beside-mcp.ts";
import type { Findings, Place } from "./findings.ts";
import type { CompiledService } from "./service.ts";

/** They take some 1.3 KB each. */
const MOST_PATTERNS = 200_000;

/** Services that have hosts to themselves. */
interface Group {
  readonly hosts: string[];
  readonly services: readonly CompiledService[];
}

/** A pattern of a service, and where it is written. */
interface Entry {
  readonly service: CompiledService;
  readonly pattern: Pattern;
  readonly place: Place;
  readonly value: Rule;
}

/**
 * Brings together what each host leads to: the routes of all the services that name it. Hosts that the same services
 * name share one table. A little at each `next`.
 *
 * @param checked whether patterns have been looked at for conflicts before, which takes long and in one go
 */
export function* compileSites(
  services: readonly CompiledService[],
  findings: Findings,
  checked: boolean,
): Generator<undefined, HostTable<Site>> {
  const sites: { readonly host: string; readonly value: Site }[] = [];
  let patterns = 0;
  for (const group of groupsOf(services)) {
    const entries = group.services.flatMap(entriesOf);
    patterns += entries.length;
    if (patterns > MOST_PATTERNS) return tooMany(group, findings);
    if (!checked) checkConflicts(entries, findings);
    const services = group.services.map(({ service }) => service);
    const table = yield* RouteTable.built(entries);
    if (!checked) warnBesideMcp(entries, table, findings);
    const value = new Site(services, table);
    sites.push(...group.hosts.map((host) => ({ host, value })));
  }
  return new HostTable(sites);
}

function tooMany({ services }: Group, findings: Findings): HostTable<Site> {
  const [first] = services;
  const place = first?.hosts[0]?.place;
  if (place !== undefined) {
    findings.fault(
      place,
      `more than ${MOST_PATTERNS} patterns in the tables of all hosts: those of a service count once for each set of services that its hosts have`,
      "fewer patterns, or services that share either all of their hosts or none",
    );
  }
  return new HostTable([]);
}

/** A service all of whose hosts are faults is a group without one: its patterns are looked at all the same. */
function groupsOf(services: readonly CompiledService[]): Iterable<Group> {
  const byHost = new Map<string, CompiledService[]>();
  for (const service of services) {
    for (const { host } of service.hosts) {
      const together = byHost.get(host);
      if (together === undefined) byHost.set(host, [service]);
      else together.push(service);
    }
  }
  const groups = new Map<string, Group>();
  for (const [host, together] of byHost) {
    const names = together.map(({ service }) => service.name).join();
    const group = groups.get(names);
    if (group === undefined) groups.set(names, { hosts: [host], services: together });
    else group.hosts.push(host);
  }
  const homeless = services.filter(({ hosts }) => hosts.length === 0);
  return [...groups.values(), ...homeless.map((service) => ({ hosts: [], services: [service] }))];
}

function entriesOf(service: CompiledService): readonly Entry[] {
  return service.routes.flatMap(({ rule, patterns }) =>
    patterns.map(({ pattern, place }) => ({ service, pattern, place, value: rule })),
  );
}

/** Two patterns of which neither is the more specific are a fault that names both. */
function checkConflicts(entries: readonly Entry[], findings: Findings): void {
  for (const conflict of conflictsOf(entries.map(({ pattern }) => pattern))) {
    const [one, two] = [entries[conflict.first], entries[conflict.second]];
    if (one === undefined || two === undefined) continue;
    if (one.service === two.service) tellWithin(one, two, conflict, findings);
    else tellBetween(one, two, conflict, findings);
  }
}

function tellWithin(one: Entry, two: Entry, { kind, example }: Conflict, findings: Findings): void {
  const other = `"${one.pattern.text}" of the route "${one.value.name}" at ${one.place.text}`;
  if (kind === "equal")
    findings.fault(two.place, `"${two.pattern.text}" matches just what ${other} does`, "remove one of them");
  else {
    findings.fault(
      two.place,
      `"${two.pattern.text}" and ${other} both match "${example}", and neither is more specific`,
      `make one more specific, or add a pattern for what both match`,
    );
  }
}

/** The text does not depend on which of the hosts is looked at: what several groups have is told once. */
function tellBetween(one: Entry, two: Entry, { kind, example }: Conflict, findings: Findings): void {
  const host = one.service.hosts.find((each) => two.service.hosts.some((other) => other.host === each.host))?.host;
  const own = `"${two.pattern.text}" of "${two.value.rule}"`;
  const other = `"${one.pattern.text}" of "${one.value.rule}" at ${one.place.text}`;
  if (kind === "equal") {
    findings.fault(
      two.place,
      `${own} matches just what ${other} does, and both services have the host "${host}"`,
      "remove one of them, or give the services hosts of their own",
    );
  } else {
    findings.fault(
      two.place,
      `${own} and ${other} both match "${example}" at the host "${host}", and neither is more specific`,
      "make one more specific, or add a pattern for what both match, in either service",
    );
  }
}
