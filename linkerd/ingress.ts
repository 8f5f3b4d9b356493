import { meshIdentity, wholeIdentity } from "./identity.ts";
import { InexpressibleError } from "./inexpressible.ts";
import type { LinkerdInput } from "./input.ts";
import type { MeshServer } from "./servers.ts";

const NAME = "countersign-mesh";

/**
 * HAProxy's own pods, where meshed clients come to them. The proxy there is to be one of HTTP, and nothing else: so it
 * writes who they are itself. They are let in at the route, not at the Server: what it would take for something else
 * than HTTP, whatever becomes of this Server, nobody is let in for.
 *
 * @throws InexpressibleError where HAProxy's identity does not say in which namespace its pods are
 */
export function ingressServer({ ingress, mesh }: LinkerdInput): readonly MeshServer[] {
  if (ingress === undefined) return [];
  const identity = wholeIdentity(mesh.identity, mesh);
  const namespace = meshIdentity(identity)?.namespace;
  if (namespace === undefined) {
    const found = `the identity ${mesh.identity}, which does not tell the namespace of HAProxy's pods`;
    throw new InexpressibleError([{ rule: NAME, found, right: "`mesh: { identity: ACCOUNT.NAMESPACE }`" }]);
  }
  const of = `serviceaccount.identity.${mesh.controlPlane}.${mesh.trustDomain}`;
  const { namespaces, port, pods } = ingress;
  const clients = namespaces.length === 0 ? [`*.${of}`] : namespaces.map((each) => `*.${each}.${of}`);
  const whole = { type: "PathPrefix", value: "/" } as const;
  return [
    {
      name: NAME,
      mesh: {
        ...{ backend: "", service: NAME, namespace, port, pods, identity, protocol: "HTTP/1" },
        ...{ routes: true, probes: [], also: [] },
      },
      clients,
      sites: [],
      routes: [{ name: NAME, rule: "", kind: "own", matches: [{ path: whole }] }],
    },
  ];
}
