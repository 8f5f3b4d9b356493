import { wholeIdentity } from "../../linkerd/identity.ts";
import type { Service } from "../../policies/policies.ts";
import type { Config } from "../config/config.ts";

/**
 * Whom the pods behind each HAProxy backend have to be in the mesh, by the backend's name. Linkerd's proxy beside HAProxy
 * then sends them nothing if they are somebody else or in no mesh; without it, it would send plain text.
 *
 * Only those that a proxy sees HTTP to: elsewhere the header would reach the application, and be checked by nobody.
 */
export function meshIdentities(
  { mesh, haproxy }: Pick<Config, "mesh" | "haproxy">,
  services: readonly Pick<Service, "mesh">[],
): ReadonlyMap<string, string> {
  if (mesh === undefined) return new Map();
  const meshed = services.flatMap((service) => service.mesh ?? []);
  const seen = meshed.filter(({ backend, protocol }) => protocol !== "opaque" && !isHidden(haproxy.backends[backend]));
  return new Map(seen.map(({ backend, identity }) => [backend, wholeIdentity(identity, mesh)]));
}

/** TLS of HAProxy's own is bytes to a proxy, and a unix socket leads past it. */
function isHidden(backend: Config["haproxy"]["backends"][string] | undefined): boolean {
  const servers = backend?.servers.map((server) => (typeof server === "string" ? server : server.address)) ?? [];
  return backend?.tls !== undefined || servers.some((address) => address.startsWith("unix@"));
}
