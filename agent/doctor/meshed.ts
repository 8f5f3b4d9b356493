import type { MeshConfig } from "../config/config.ts";
import type { MeshIssuer } from "../identity/mesh/section.ts";
import type { Samples } from "./exposition.ts";
import type { Finding } from "./finding.ts";
import { annotation, isHaproxy, listed, type Pod } from "./pods.ts";

const FORGED = "whoever comes so writes `l5d-client-id` itself, and is any meshed client";

/** HAProxy's pods, where meshed clients are known by what the proxy in them says. */
export function meshedFindings({ port }: MeshIssuer, mesh: MeshConfig, pods: readonly Pod[]): readonly Finding[] {
  return pods.filter((pod) => isHaproxy(pod, mesh)).flatMap((pod) => ofPod(pod, port));
}

function ofPod(pod: Pod, port: number): readonly Finding[] {
  const policy = annotation(pod, "config.linkerd.io/default-inbound-policy");
  const unbelieved = "the agent believes nothing of their proxy: 503 `issuer-unavailable` for every meshed client";
  const rows: readonly (readonly [seen: boolean, found: string, causes: string, remedy: string])[] = [
    [
      policy !== "deny",
      `HAProxy's pods have ${policy === "" ? "no" : "another"} \`default-inbound-policy\`${policy === "" ? "" : `, ${policy}`}`,
      unbelieved,
      "`config.linkerd.io/default-inbound-policy: deny` on the pod template, and new pods",
    ],
    [
      listed(pod, "config.linkerd.io/skip-inbound-ports", port),
      `port ${port}, for meshed clients, is skipped by the proxy`,
      "HAProxy refuses all that comes there: 403 `mesh-bypassed`",
      "take it out of `config.linkerd.io/skip-inbound-ports`",
    ],
    [
      listed(pod, "config.linkerd.io/opaque-ports", port),
      `port ${port}, for meshed clients, is opaque`,
      unbelieved,
      "take it out of `config.linkerd.io/opaque-ports`",
    ],
    [
      annotation(pod, "linkerd.io/inject") === "ingress",
      "the proxy of HAProxy's pods goes where a header says (`linkerd.io/inject: ingress`)",
      unbelieved,
      "`linkerd.io/inject: enabled`, with the backends' Services as servers",
    ],
    [
      pod.spec.hostNetwork === true,
      "HAProxy's pods are on the network of their nodes",
      `what a node forwards has the address of HAProxy's own proxy: ${FORGED}`,
      "leave `hostNetwork` out, or the issuer of type `mesh`",
    ],
  ];
  return rows.flatMap(([seen, found, causes, remedy]) => (seen ? [{ at: pod.at, found, causes, remedy }] : []));
}

/** What the proxy beside HAProxy has counted: whoever was let through there without being read as HTTP. */
export function opaqueFindings(at: string, samples: Samples, { port }: MeshIssuer): readonly Finding[] {
  const through = samples.find(
    ({ name, labels, value }) =>
      name === "inbound_tcp_authz_allow_total" && labels.target_port === String(port) && value > 0,
  );
  if (through === undefined) return [];
  const found = `connections to port ${port} were let through as they came, by ${through.labels.srv_kind} ${through.labels.srv_name}`;
  const remedy =
    "one Server for the port, `proxyProtocol: HTTP/1`, and no authorization but its HTTPRoute's: `generate linkerd --check`";
  return [{ at, found, causes: FORGED, remedy }];
}
