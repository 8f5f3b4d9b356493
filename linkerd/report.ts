import { isUnbounded } from "./expression.ts";
import type { LinkerdInput, MeshInput, RouteInput } from "./input.ts";
import { type MeshServer, meshServers } from "./servers.ts";

/** What HAProxy's side asks for and the mesh does not, or what the mesh does not cover. */
export interface Unenforced {
  /** `namespace/server` */
  readonly server: string;
  /** `service/route`; empty for the whole Server. */
  readonly rule: string;
  readonly what: string;
}

/**
 * Everything of the policies that the manifests cannot say.
 *
 * @throws InexpressibleError where there can be no manifests
 */
export function unenforced(input: LinkerdInput): readonly Unenforced[] {
  // HAProxy's own pods are no Service of the policies: all that comes there is judged.
  const servers = meshServers({ ...input, ingress: undefined });
  const meshed = new Set(servers.map(({ mesh }) => mesh.backend));
  return servers.flatMap((server) => ofServer(server, input, meshed));
}

function ofServer(server: MeshServer, input: LinkerdInput, meshed: ReadonlySet<string>): readonly Unenforced[] {
  const { mesh, sites, clients } = server;
  const name = `${mesh.namespace}/${server.name}`;
  const about = (rule: string) => (what: string) => ({ server: name, rule, what });
  const hosts = [...new Set(sites.flatMap((site) => site.hosts))].sort();
  const whole = [
    ...(mesh.routes ? [] : ["paths and methods: `routes: false` lets pass all that its clients send"]),
    ...(hosts.length > 0 ? [`the host: any passes, where HAProxy's side takes ${hosts.join(", ")}`] : []),
    ...clients.slice(1).map((client) => `any identity of its own for ${client}, which is let in beside HAProxy`),
  ];
  const entries = sites.flatMap((site) => site.entries).filter(({ kind }) => kind !== "other");
  const routes = new Map(entries.map(({ route }) => [route.rule, route]));
  const owner = input.services.find((service) => service.mesh === mesh);
  const elsewhere = (owner?.routes ?? []).filter(({ backend }) => backend !== mesh.backend && !meshed.has(backend));
  return [
    ...whole.map(about("")),
    ...[...routes.values()].flatMap((route) => ofRoute(route, mesh).map(about(route.rule))),
    ...elsewhere.map(({ rule, backend }) => about(rule)(`it leads to the backend "${backend}", which has no \`mesh\``)),
  ];
}

function ofRoute({ access, asks, patterns }: RouteInput, mesh: MeshInput): readonly string[] {
  const { allow, deny, scopes, when, mcp } = asks;
  const some = (what: string, names: readonly string[]) => (names.length > 0 ? [`${what} ${names.join(", ")}`] : []);
  const credential = access === "optional" ? "the credential, if there is one" : "the credential";
  const roles = allow.includes("authenticated") ? [] : some("the roles", allow);
  const segments = mesh.routes ? patterns.flatMap((pattern) => pattern.segments) : [];
  return [
    ...(access === "anyone" ? [] : [credential, ...(allow.length === 0 ? ["that nobody is allowed"] : roles)]),
    ...some("the roles that are refused,", deny),
    ...some("the scopes", scopes),
    ...(when === undefined ? [] : [`the condition ${when}`]),
    ...(mcp === undefined ? [] : [`what is said to the MCP server: ${mcp}`]),
    ...(segments.some(({ kind }) => kind !== "literal")
      ? ["whether escapes beyond ASCII in wildcards are well-formed and unambiguous"]
      : []),
    ...(segments.some((segment) => segment.kind === "one" && segment.expression && isUnbounded(segment.expression))
      ? ["that a segment with an expression has at most 256 characters"]
      : []),
  ];
}
