import type { LinkerdInput } from "./input.ts";
import type { HttpRouteMatch } from "./matches.ts";
import { type MeshRoute, type MeshServer, meshServers } from "./servers.ts";

/** A Kubernetes object. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>>;
}

export const MANAGED_BY = { "app.kubernetes.io/managed-by": "countersign" };
export const POLICY_GROUP = "policy.linkerd.io";
export const GATEWAY_GROUP = "gateway.networking.k8s.io";

// The schema of HTTPRoute has no more.
const MOST_MATCHES = 8;
const MOST_RULES = 16;

type Make = (version: string, kind: string, name: string, spec: Manifest["spec"], rule?: string) => Manifest;

/**
 * The objects that make Linkerd enforce what the policies say of who calls which path, in a fixed order.
 *
 * @throws InexpressibleError that lists what no manifest could say exactly
 */
export function manifestsOf(input: LinkerdInput): readonly Manifest[] {
  return meshServers(input).flatMap((server) => objectsOf(server, input.revision));
}

function objectsOf(server: MeshServer, revision: string): readonly Manifest[] {
  const { mesh, name, clients } = server;
  const labels = { ...MANAGED_BY, "app.kubernetes.io/part-of": mesh.service };
  const make: Make = (version, kind, own, spec, rule) => ({
    apiVersion: version,
    kind,
    metadata: {
      name: own,
      namespace: mesh.namespace,
      labels,
      annotations: {
        "countersign.dev/revision": revision,
        ...(rule === undefined ? {} : { "countersign.dev/rule": rule }),
      },
    },
    spec,
  });
  const policy = (kind: string, own: string, spec: Manifest["spec"]) =>
    make(`${POLICY_GROUP}/v1alpha1`, kind, own, spec);
  const probes = mesh.probes.map((cidr) => ({ cidr }));
  return [
    make(`${POLICY_GROUP}/v1beta3`, "Server", name, {
      accessPolicy: "deny",
      podSelector: { matchLabels: sortedKeys(mesh.pods) },
      port: mesh.port,
      proxyProtocol: mesh.protocol,
    }),
    policy("MeshTLSAuthentication", `${name}.clients`, { identities: clients }),
    ...(probes.length > 0 ? [policy("NetworkAuthentication", `${name}.probes`, { networks: probes })] : []),
    ...(mesh.routes
      ? server.routes.flatMap((route) => routeObjects(route, server, make))
      : [authorization(name, { group: POLICY_GROUP, kind: "Server", name }, "MeshTLSAuthentication", server, make)]),
  ];
}

/** The HTTPRoutes of a rule, and who may use them; nobody where they lead elsewhere. */
function routeObjects(route: MeshRoute, server: MeshServer, make: Make): readonly Manifest[] {
  const chunks = chunksOf(chunksOf(route.matches, MOST_MATCHES), MOST_RULES);
  return chunks.flatMap((rules, index) => {
    const name = index === 0 ? route.name : `${route.name}.${index + 1}`;
    const target = { group: GATEWAY_GROUP, kind: "HTTPRoute", name };
    const own = make(`${GATEWAY_GROUP}/v1`, "HTTPRoute", name, httpRoute(rules, server), route.rule || undefined);
    if (route.kind === "other") return [own];
    const clients = authorization(name, target, "MeshTLSAuthentication", server, make);
    if (route.kind === "own") return [own, clients];
    return [own, clients, authorization(`${name}.probes`, target, "NetworkAuthentication", server, make)];
  });
}

function httpRoute(rules: readonly (readonly HttpRouteMatch[])[], { name }: MeshServer): Manifest["spec"] {
  return {
    parentRefs: [{ group: POLICY_GROUP, kind: "Server", name }],
    rules: rules.map((matches) => ({ matches })),
  };
}

function authorization(
  name: string,
  targetRef: { readonly group: string; readonly kind: string; readonly name: string },
  kind: "MeshTLSAuthentication" | "NetworkAuthentication",
  server: MeshServer,
  make: Make,
): Manifest {
  const reference = `${server.name}.${kind === "MeshTLSAuthentication" ? "clients" : "probes"}`;
  return make(`${POLICY_GROUP}/v1alpha1`, "AuthorizationPolicy", name, {
    requiredAuthenticationRefs: [{ group: POLICY_GROUP, kind, name: reference }],
    targetRef,
  });
}

function sortedKeys(record: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function chunksOf<T>(items: readonly T[], most: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / most) }, (_, i) => items.slice(i * most, (i + 1) * most));
}
