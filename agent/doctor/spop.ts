import { type Exported, fields, members, text } from "../../linkerd/export.ts";
import type { Config, MeshConfig } from "../config/config.ts";
import { addressesOf } from "../net/addresses.ts";
import type { Finding } from "./finding.ts";
import { isHaproxy, isMeshed, listed, type Pod } from "./pods.ts";

const OPAQUE = "config.linkerd.io/opaque-ports";
const CAUSES =
  "a proxy looks for HTTP in what HAProxy asks: new connections wait for that, 10 s where their first byte is late, and where a Server says HTTP they are closed";

/** An agent off HAProxy's pod: its port is no HTTP, and proxies on both sides must have been told. */
export function spopFindings(
  config: Config,
  mesh: MeshConfig,
  exported: readonly Exported[],
  pods: readonly Pod[],
): readonly Finding[] {
  return [
    ...(config.haproxy.agents.servers ?? []).flatMap((server) => serviceFindings(server, mesh, exported, pods)),
    ...remotePorts(config).flatMap((port) => pods.flatMap((pod) => podFindings(pod, port))),
  ];
}

/** The ports that the agent's workers listen on with TLS: those that others than its own pod reach. */
function remotePorts({ listen, workers }: Config): readonly number[] {
  const all = Array.from({ length: workers }, (_, index) => addressesOf(listen.spop, index + 1)).flat();
  return [...new Set(all.flatMap((address) => ("tls" in address && address.tls !== undefined ? [address.port] : [])))];
}

/** Of the agent's own pods, which are those that say so by an image or a container of its name. */
function podFindings(pod: Pod, port: number): readonly Finding[] {
  const isAgent = [...members(pod.spec.containers), ...members(pod.spec.initContainers)]
    .map(fields)
    .some(({ name, image }) => name === "countersign" || /(?:^|\/)countersign(?:[:@]|$)/.test(text(image)));
  if (!isAgent || !isMeshed(pod) || listed(pod, OPAQUE, port)) return [];
  if (listed(pod, "config.linkerd.io/skip-inbound-ports", port)) return [];
  const remedy = `\`${OPAQUE}: "${port}"\` on the pod template, beside what it lists already`;
  return [{ at: pod.at, found: `port ${port}, where HAProxy asks the agent, is not opaque`, causes: CAUSES, remedy }];
}

/** HAProxy's proxy goes by the Service that it dials. */
function serviceFindings(
  server: string,
  mesh: MeshConfig,
  exported: readonly Exported[],
  pods: readonly Pod[],
): readonly Finding[] {
  const [, name, namespace, digits] = /^([a-z0-9-]+)\.([a-z0-9-]+)(?:\.svc[a-z0-9.-]*)?:(\d+)$/.exec(server) ?? [];
  const port = Number(digits);
  const services = exported.filter(
    (object) => object.kind === "Service" && object.name === name && object.namespace === namespace,
  );
  const asking = pods.filter((pod) => isHaproxy(pod, mesh) && isMeshed(pod));
  const skipped = asking.every((pod) => listed(pod, "config.linkerd.io/skip-outbound-ports", port));
  if (skipped) return [];
  return services.flatMap((service) => {
    if (isOpaque(service, port)) return [];
    const found = `port ${port}, where HAProxy asks the agent, is not opaque`;
    const remedy = `\`appProtocol: linkerd.io/opaque\` at the port, or \`${OPAQUE}: "${port}"\` on the Service`;
    return [{ at: `Service ${service.namespace}/${service.name}`, found, causes: CAUSES, remedy }];
  });
}

function isOpaque({ metadata, spec }: Exported, port: number): boolean {
  const annotations = fields(metadata.annotations);
  if (listed({ annotations }, OPAQUE, port)) return true;
  const own = members(spec.ports).map(fields);
  return own.some((each) => each.port === port && each.appProtocol === "linkerd.io/opaque");
}
