import { hash } from "node:crypto";
import { wholeIdentity } from "./identity.ts";
import { type Inexpressible, InexpressibleError } from "./inexpressible.ts";
import { ingressServer } from "./ingress.ts";
import type { LinkerdInput, MeshInput, ServiceInput } from "./input.ts";
import { distinct, type HttpRouteMatch, type Rendered, siteMatches } from "./matches.ts";
import { type Kind, type Site, sitesOf } from "./sites.ts";

/** One meshed Service as Linkerd is to guard it. */
export interface MeshServer {
  /** Of its Server. */
  readonly name: string;
  readonly mesh: MeshInput;
  /** Whole identities that may call it, HAProxy's first. */
  readonly clients: readonly string[];
  readonly sites: readonly Site[];
  /** By name; none where all that the clients send passes. */
  readonly routes: readonly MeshRoute[];
}

/** What one rule becomes. */
export interface MeshRoute {
  readonly name: string;
  /** `service/route`; empty for what is refused. */
  readonly rule: string;
  readonly kind: Kind;
  readonly matches: readonly HttpRouteMatch[];
}

const LONGEST_IDENTITY = 253;
const MOST_MATCHES = 4096;

/**
 * All meshed Services, and HAProxy's own pods where meshed clients come to them, by namespace and name.
 *
 * @throws InexpressibleError that lists what no manifest could say exactly
 */
export function meshServers(input: LinkerdInput): readonly MeshServer[] {
  const problems: Inexpressible[] = [];
  const servers = input.services.flatMap((service) =>
    service.mesh === undefined ? [] : [serverOf(service.name, service.mesh, input, problems)],
  );
  if (problems.length > 0) throw new InexpressibleError(distinctProblems(problems));
  return [...servers, ...ingressServer(input)].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

function keyOf({ mesh, name }: MeshServer): string {
  return `${mesh.namespace}/${name}`;
}

function distinctProblems(problems: readonly Inexpressible[]): readonly Inexpressible[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}

function serverOf(owner: string, mesh: MeshInput, input: LinkerdInput, problems: Inexpressible[]): MeshServer {
  const clients = [input.mesh.identity, ...mesh.also].map((identity) => wholeIdentity(identity, input.mesh));
  for (const client of clients) {
    if (client.length <= LONGEST_IDENTITY) continue;
    problems.push({
      rule: owner,
      found: `an identity of ${client.length} characters`,
      right: `at most ${LONGEST_IDENTITY}`,
    });
  }
  const sites = sitesOf(mesh, input.services);
  const routes = mesh.routes ? routesOf(owner, mesh, sites, input.services, problems) : [];
  return { name: `${mesh.service}-${mesh.port}`, mesh, clients: [...new Set(clients)], sites, routes };
}

function routesOf(
  owner: string,
  mesh: MeshInput,
  sites: readonly Site[],
  services: readonly ServiceInput[],
  problems: Inexpressible[],
): readonly MeshRoute[] {
  checkPaths(mesh, services, problems);
  const rendered = sites.flatMap((site) => siteMatches(site, problems));
  const kinds = new Set(rendered.map(({ entry }) => entry.kind));
  if (sites.length > 1 && (kinds.has("other") || kinds.has("probed"))) {
    const what = kinds.has("probed")
      ? "`probes`"
      : "a pattern for any method beside a narrower one that leads elsewhere";
    const found = `${what}, where hosts with different routes lead to the backend "${mesh.backend}": the mesh does not know the host`;
    problems.push({
      rule: owner,
      found,
      right: "give the services the same hosts, or write `routes: false` in `mesh`",
    });
  }
  const routes = [...byRule(rendered)].map(([rule, all]) => routeOf(rule, all, mesh));
  if (routes.reduce((sum, { matches }) => sum + matches.length, 0) > MOST_MATCHES) {
    problems.push({
      rule: owner,
      found: `more than ${MOST_MATCHES} matches`,
      right: "fewer patterns, or `routes: false` in `mesh`",
    });
  }
  return routes.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What a service lets pass besides, no match here would. */
function checkPaths(mesh: MeshInput, services: readonly ServiceInput[], problems: Inexpressible[]): void {
  for (const { name, leniency, routes } of services) {
    const covered = routes.some(({ backend }) => backend === mesh.backend);
    if (!covered || Object.values(leniency).every((lenient) => !lenient)) continue;
    const found = `\`paths\` that lets pass what no HTTPRoute of the backend "${mesh.backend}" would`;
    problems.push({ rule: name, found, right: "leave it out, or write `routes: false` in `mesh`" });
  }
}

/** What is refused is one route, whosever it is. */
function byRule(rendered: readonly Rendered[]): Map<string, Rendered[]> {
  const rules = new Map<string, Rendered[]>();
  for (const item of rendered) {
    const rule = item.entry.kind === "other" ? "" : item.entry.route.rule;
    rules.set(rule, [...(rules.get(rule) ?? []), item]);
  }
  return rules;
}

function routeOf(rule: string, rendered: readonly Rendered[], mesh: MeshInput): MeshRoute {
  return {
    name: rule === "" ? `${mesh.service}-${mesh.port}.refused.elsewhere` : objectName(rule),
    rule,
    kind: rendered[0]?.entry.kind ?? "other",
    matches: distinct(rendered.flatMap(({ matches }) => matches)),
  };
}

const PLAIN_RULE = /^[a-z0-9](?:-?[a-z0-9])*\/[a-z0-9](?:-?[a-z0-9])*$/;

/** A Kubernetes name for a rule, which no other rule has: `service.route`, with a digest where that is not the whole name. */
function objectName(rule: string): string {
  if (PLAIN_RULE.test(rule)) return rule.replace("/", ".");
  const words = rule
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  return `${words}.${hash("sha256", rule).slice(0, 8)}.x`;
}
