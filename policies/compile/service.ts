import type { PolicyIssuer } from "../judging/binding.ts";
import type { Route, Service } from "../policies.ts";
import type { Resource } from "../resource.ts";
import { parseHostPattern } from "../routing/hosts.ts";
import type { PathLeniency } from "../routing/path.ts";
import { compileCors } from "./cors.ts";
import { type Findings, named, type Place } from "./findings.ts";
import { compileMesh } from "./mesh.ts";
import type { ResourceEntry, ServiceEntry } from "./policy-file.ts";
import { checkCovered, compileResource } from "./resource.ts";
import { checkIssuer } from "./roles.ts";
import { type CompiledRoute, compileRoute, type RouteDefaults } from "./route.ts";
import { type Given, given, type TestContext, testParts } from "./test.ts";

/** One service as written, and where. */
export interface ServicePlace {
  readonly name: string;
  readonly entry: ServiceEntry;
  readonly place: Place;
}

/** A service whose routes are ready to be found among those of its hosts. */
export interface CompiledService {
  readonly service: Service;
  readonly hosts: readonly { readonly host: string; readonly place: Place }[];
  /** Where its `mesh` is, or would be. */
  readonly mesh: Place;
  /** Its own, and those of its routes. */
  readonly resources: readonly { readonly resource: Resource; readonly place: Place }[];
  readonly routes: readonly CompiledRoute[];
}

export interface ServiceContext extends Pick<TestContext, "roles" | "owned" | "expressions" | "findings" | "used"> {
  readonly issuers: readonly PolicyIssuer[];
  /** Of the environment. */
  readonly identitySuffix: string;
}

/** Compiles one service with its routes, a route at each `next`. */
export function* compileService(
  { name, entry, place }: ServicePlace,
  context: ServiceContext,
): Generator<undefined, CompiledService> {
  const { findings } = context;
  const issuers = takenIssuers(entry, place, context);
  const resources: { readonly resource: Resource; readonly place: Place }[] = [];
  const resourceOf = (written: Given<ResourceEntry> | undefined) => {
    if (written === undefined) return undefined;
    const resource = compileResource(written, { hosts: entry.hosts, audiences: entry.audiences, issuers, findings });
    if (resource !== undefined) resources.push({ resource, place: written.place });
    return resource;
  };
  const ownResource = resourceOf(given(entry, "resource", place));
  const rules: Route[] = [];
  const service: Service = {
    name,
    hosts: entry.hosts,
    issuers: new Set(issuers.map((issuer) => issuer.name)),
    audiences: entry.audiences ?? [],
    leniency: leniencyOf(entry),
    preflight: entry.preflight !== undefined,
    cors: compileCors(entry, place, findings),
    mesh: compileMesh(entry, place, context),
    routes: rules,
  };
  const defaults: Omit<RouteDefaults, "resource"> = {
    backend: given(entry, "backend", place),
    test: testParts(entry, place, undefined, true),
    headers: given(entry, "headers", place),
    forwardCredential: entry.forward_credential ?? false,
    upstreamToken: given(entry, "upstream_token", place),
    takes: issuers,
    evidence: {
      credentials: [...new Set(issuers.flatMap(({ credentials }) => credentials))].sort(),
      proofs: [...new Set(issuers.flatMap(({ proofs = [] }) => proofs))].sort(),
      ambient: issuers.some(({ ambient }) => ambient === true),
    },
  };
  checkRouteNames(entry, place, findings);
  checkBackend(entry, place, findings);
  const routes: CompiledRoute[] = [];
  for (const [index, route] of entry.routes.entries()) {
    // A route that its file's schema refuses is a hole.
    if (route === undefined) continue;
    const at = place.at("routes", index);
    const resource = resourceOf(given(route, "resource", at)) ?? ownResource;
    const compiled = compileRoute(
      route,
      at,
      service,
      { ...defaults, resource },
      { ...context, issuers: service.issuers },
    );
    if (resource !== undefined) checkCovered(resource, compiled, findings);
    routes.push(compiled);
    yield;
  }
  checkAudiences(entry, place, issuers, routes, findings);
  rules.push(...routes.map(({ rule }) => rule));
  return {
    service,
    hosts: compileHosts(entry, place, findings),
    mesh: place.at("mesh"),
    resources,
    routes,
  };
}

function leniencyOf({ paths }: ServiceEntry): PathLeniency {
  return {
    encodedSlash: paths?.encoded_slash !== undefined,
    emptySegments: paths?.empty_segments !== undefined,
    parameters: paths?.parameters !== undefined,
    encodedUnreserved: paths?.encoded_unreserved !== undefined,
    encodedPercent: paths?.encoded_percent !== undefined,
    brackets: paths?.brackets !== undefined,
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
function checkAudiences(
  entry: ServiceEntry,
  place: Place,
  issuers: readonly PolicyIssuer[],
  routes: readonly CompiledRoute[],
  findings: Findings,
): void {
  const { audiences } = entry;
  if (audiences === undefined) {
    for (const { name, audiences: all } of issuers) {
      // A resource says it, too.
      const isTold = ({ rule }: CompiledRoute) => rule.access === "anyone" || rule.resource?.issuers.has(name) === true;
      if (all.length < 2 || routes.every(isTold)) continue;
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
  const hosts = new Map<string, Place>();
  for (const [index, text] of entry.hosts.entries()) {
    const at = place.at("hosts", index);
    const parsed = parseHostPattern(text);
    if (!("host" in parsed)) {
      findings.text(at, parsed);
      continue;
    }
    const first = hosts.get(parsed.host);
    if (first === undefined) hosts.set(parsed.host, at);
    else findings.fault(at, `the host "${text}" a second time`, `name it once; the first is at ${first.text}`);
  }
  return [...hosts].map(([host, at]) => ({ host, place: at }));
}

/** A default that nothing uses is a leftover, or was meant for a route that names another. */
function checkBackend({ backend, routes }: ServiceEntry, place: Place, findings: Findings): void {
  if (backend === undefined || routes.some((route) => route?.backend === undefined)) return;
  findings.warn(
    place.at("backend"),
    `no route leads to the backend "${backend}": each names one of its own`,
    "remove it, or the `backend` of the routes that it is for",
  );
}
