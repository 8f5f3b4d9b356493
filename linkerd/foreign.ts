import { type Drift, nameOf } from "./drift.ts";
import { type Exported, type Fields, fields, members, text } from "./export.ts";
import { MANAGED_BY, POLICY_GROUP } from "./manifests.ts";
import type { MeshServer } from "./servers.ts";

/** What others have put at a meshed Service, and changes who gets in there. */
export function foreign(server: MeshServer, others: readonly Exported[]): readonly Drift[] {
  return others
    .filter(({ namespace }) => namespace === server.mesh.namespace)
    .flatMap((object) => {
      const what = effectOf(object, server);
      return what === undefined ? [] : [{ drift: "foreign", object: nameOf(object), what } as const];
    });
}

function effectOf({ group, kind, spec }: Exported, server: MeshServer): string | undefined {
  if (group === POLICY_GROUP && kind === "AuthorizationPolicy") return ofAuthorization(spec, server);
  if (group === POLICY_GROUP && kind === "ServerAuthorization") {
    return selects(fields(spec.server), server)
      ? `it lets others in at the Server ${server.name}: remove it`
      : undefined;
  }
  if (group === POLICY_GROUP && kind === "Server") {
    if (!isSamePort(spec.port, server) || !mayShare(spec, server)) return undefined;
    return `it may mean the pods and port of the Server ${server.name}, and Linkerd obeys the older one: remove it`;
  }
  const attached = members(spec.parentRefs).some((parent) => refersTo(fields(parent), "Server", server.name));
  const what = `it takes requests of the Server ${server.name}, and whoever is authorized for it gets in: remove it`;
  return kind.endsWith("Route") && attached ? what : undefined;
}

function ofAuthorization({ targetRef, requiredAuthenticationRefs }: Fields, server: MeshServer): string | undefined {
  const target = fields(targetRef);
  const routes = new Set(server.routes.map(({ name }) => name));
  const name = text(target.name);
  // A route with many matches is several objects: `service.route`, `service.route.2`.
  const route = target.kind === "HTTPRoute" && (routes.has(name) || routes.has(name.replace(/\.\d+$/, "")));
  const whole = target.kind === "Namespace" || refersTo(target, "Server", server.name);
  if (!route && !whole) return undefined;
  const everyone = members(requiredAuthenticationRefs).length === 0;
  const where = route ? `the HTTPRoute ${name}` : `all that the Server ${server.name} has`;
  return `it lets ${everyone ? "everyone" : "others"} in at ${where}: remove it`;
}

function refersTo({ kind, name }: Fields, wanted: string, own: string): boolean {
  return kind === wanted && name === own;
}

function selects({ name, selector }: Fields, server: MeshServer): boolean {
  if (name === server.name) return true;
  if (selector === undefined || selector === null) return false;
  const labels: Fields = { ...MANAGED_BY, "app.kubernetes.io/part-of": server.mesh.service };
  // Whether an expression holds is not asked: it may.
  return Object.entries(fields(fields(selector).matchLabels)).every(([label, value]) => labels[label] === value);
}

/** A name and a number may mean the same port. */
function isSamePort(port: unknown, { mesh }: MeshServer): boolean {
  return typeof port !== typeof mesh.port || port === mesh.port;
}

function mayShare({ podSelector }: Fields, { mesh }: MeshServer): boolean {
  if (podSelector === undefined) return false;
  const labels = Object.entries(fields(fields(podSelector).matchLabels));
  return labels.every(([label, value]) => (mesh.pods[label] ?? value) === value);
}
