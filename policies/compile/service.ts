import type { PolicyIssuer } from "../judging/binding.ts";
import type { Rule } from "../judging/rule.ts";
import type { Route, Service } from "../policies.ts";
import { parseHostPattern } from "../routing/hosts.ts";
import type { PathLeniency } from "../routing/path.ts";
import { conflictsOf, RouteTable } from "../routing/routes.ts";
import { type Findings, named, type Place } from "./findings.ts";
import type { ServiceEntry } from "./policy-file.ts";
import { checkIssuer } from "./roles.ts";
import { type CompiledRoute, compileRoute, type RouteDefaults } from "./route.ts";
import { given, type TestContext, testParts } from "./test.ts";

/** One service as written, and where. */
export interface ServicePlace {
  readonly name: string;
  readonly entry: ServiceEntry;
  readonly place: Place;
}

/** A service ready to find routes in. */
export interface CompiledService {
  readonly service: Service;
  readonly hosts: readonly { readonly host: string; readonly place: Place }[];
  readonly table: RouteTable<Rule>;
  readonly leniency: PathLeniency;
  /** CORS preflights pass without being judged. */
  readonly preflight: boolean;
  readonly routes: readonly CompiledRoute[];
}

export interface ServiceContext extends Pick<TestContext, "roles" | "findings" | "used"> {
  readonly issuers: readonly PolicyIssuer[];
}

/** Compiles one service with its routes, a route at each `next`. */
export function* compileService(
  { name, entry, place }: ServicePlace,
  context: ServiceContext,
): Generator<undefined, CompiledService> {
  const { findings } = context;
  const issuers = takenIssuers(entry, place, context);
  checkAudiences(entry, place, issuers, findings);
  const rules: Route[] = [];
  const service: Service = {
    name,
    hosts: entry.hosts,
    issuers: new Set(issuers.map((issuer) => issuer.name)),
    audiences: entry.audiences ?? [],
    backend: entry.backend,
    routes: rules,
  };
  const defaults: RouteDefaults = {
    test: testParts(entry, place, undefined, true),
    headers: given(entry, "headers", place),
    forwardCredential: entry.forward_credential ?? false,
  };
  checkRouteNames(entry, place, findings);
  const routes: CompiledRoute[] = [];
  for (const [index, route] of entry.routes.entries()) {
    // A route that its file's schema refuses is a hole.
    if (route === undefined) continue;
    routes.push(
      compileRoute(route, place.at("routes", index), service, defaults, { ...context, issuers: service.issuers }),
    );
    yield;
  }
  rules.push(...routes.map(({ rule }) => rule));
  return {
    service,
    hosts: compileHosts(entry, place, findings),
    table: tableOf(routes, findings),
    leniency: {
      encodedSlash: entry.paths?.encoded_slash !== undefined,
      emptySegments: entry.paths?.empty_segments !== undefined,
      parameters: entry.paths?.parameters !== undefined,
      encodedUnreserved: entry.paths?.encoded_unreserved !== undefined,
      encodedPercent: entry.paths?.encoded_percent !== undefined,
      brackets: entry.paths?.brackets !== undefined,
    },
    preflight: entry.preflight !== undefined,
    routes,
  };
}

function takenIssuers(
  entry: ServiceEntry,
  place: Place,
  { issuers, findings }: ServiceContext,
): readonly PolicyIssuer[] {
  if (entry.issuers === undefined) return issuers;
  for (const [index, name] of entry.issuers.entries()) checkIssuer(name, place.at("issuers", index), issuers, findings);
  return issuers.filter(({ name }) => entry.issuers?.includes(name));
}

/** A token for another service must not do here: where an issuer makes several kinds, the service says which are its own. */
function checkAudiences(entry: ServiceEntry, place: Place, issuers: readonly PolicyIssuer[], findings: Findings): void {
  const { audiences } = entry;
  if (audiences === undefined) {
    for (const { name, audiences: all } of issuers) {
      if (all.length < 2) continue;
      findings.key(
        place,
        `the issuer "${name}" lists several audiences, and the service does not say which are its own`,
        `add \`audiences\` with some of ${named(all)}`,
      );
    }
    return;
  }
  const known = new Set(issuers.flatMap((issuer) => issuer.audiences));
  for (const [index, audience] of audiences.entries()) {
    if (known.has(audience)) continue;
    findings.fault(
      place.at("audiences", index),
      `no issuer of the service lists the audience "${audience}"`,
      known.size === 0 ? "add an issuer" : `one of ${named(known)}`,
    );
  }
  for (const { name, audiences: all } of issuers) {
    if (all.some((audience) => audiences.includes(audience))) continue;
    findings.warn(
      place.at("audiences"),
      `none of the audiences of the issuer "${name}" is among them`,
      "none of its tokens can pass: add one of its audiences, or leave it out of `issuers`",
    );
  }
}

function checkRouteNames(entry: ServiceEntry, place: Place, findings: Findings): void {
  const seen = new Map<string, Place>();
  entry.routes.forEach(({ name }, index) => {
    const at = place.at("routes", index, "name");
    const first = seen.get(name);
    if (first === undefined) seen.set(name, at);
    else findings.fault(at, `a second route "${name}" in this service`, `another name; the first is at ${first.text}`);
  });
}

function compileHosts(entry: ServiceEntry, place: Place, findings: Findings): CompiledService["hosts"] {
  return entry.hosts.flatMap((text, index) => {
    const at = place.at("hosts", index);
    const parsed = parseHostPattern(text);
    if ("host" in parsed) return [{ host: parsed.host, place: at }];
    findings.text(at, parsed);
    return [];
  });
}

/** The route table; two patterns of which neither is the more specific are a fault that names both. */
function tableOf(routes: readonly CompiledRoute[], findings: Findings): RouteTable<Rule> {
  const entries = routes.flatMap(({ rule, patterns }) =>
    patterns.map(({ pattern, place }) => ({ pattern, place, value: rule })),
  );
  for (const { first, second, kind, example } of conflictsOf(entries.map(({ pattern }) => pattern))) {
    const [one, two] = [entries[first], entries[second]];
    if (one === undefined || two === undefined) continue;
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
  return new RouteTable(entries);
}
