import type { MeshInput, Pattern, RouteInput, ServiceInput } from "./input.ts";

/** HAProxy alone may ask; probes too; or it leads to another backend. */
export type Kind = "own" | "probed" | "other";

/** One pattern of a host, as a meshed Service sees it. */
export interface Entry {
  readonly pattern: Pattern;
  readonly route: RouteInput;
  readonly service: ServiceInput;
  readonly kind: Kind;
}

/** Hosts that the same services name: a request for one of them leads where the most specific of the entries does. */
export interface Site {
  readonly hosts: readonly string[];
  readonly entries: readonly Entry[];
}

/** The sites of which some route leads to a meshed Service. */
export function sitesOf(mesh: MeshInput, services: readonly ServiceInput[]): readonly Site[] {
  const hosts = [...new Set(services.flatMap((service) => service.hosts))];
  const sites = new Map<string, { hosts: string[]; services: readonly ServiceInput[] }>();
  for (const host of hosts) {
    const together = services.filter((service) => service.hosts.includes(host));
    const key = together.map(({ name }) => name).join();
    const site = sites.get(key) ?? { hosts: [], services: together };
    site.hosts.push(host);
    sites.set(key, site);
  }
  return [...sites.values()]
    .map((site) => ({ hosts: site.hosts, entries: site.services.flatMap((service) => entriesOf(service, mesh)) }))
    .filter(({ entries }) => entries.some(({ kind }) => kind !== "other"));
}

function entriesOf(service: ServiceInput, mesh: MeshInput): readonly Entry[] {
  return service.routes.flatMap((route) =>
    route.patterns.map((pattern) => ({ pattern, route, service, kind: kindOf(route, mesh) })),
  );
}

/** A probe does not come through HAProxy: it may ask only what HAProxy lets whoever comes ask, whatever else is asked. */
function kindOf({ backend, access, asks }: RouteInput, mesh: MeshInput): Kind {
  if (backend !== mesh.backend) return "other";
  return mesh.probes.length > 0 && access === "anyone" && asks.when === undefined ? "probed" : "own";
}

/** Whether a pattern takes a method. */
export function takes({ methods }: Pattern, method: string): boolean {
  return methods === undefined || methods.includes(method) || (method === "HEAD" && methods.includes("GET"));
}

/** The methods that a pattern names, HEAD with GET. */
export function methodsOf({ methods = [] }: Pattern): readonly string[] {
  return methods.flatMap((method) => (method === "GET" && !methods.includes("HEAD") ? ["GET", "HEAD"] : [method]));
}
