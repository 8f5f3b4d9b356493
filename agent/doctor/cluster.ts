import { driftOf } from "../../linkerd/compare.ts";
import { type Exported, fields, members, text } from "../../linkerd/export.ts";
import { InexpressibleError } from "../../linkerd/inexpressible.ts";
import type { Mesh } from "../../policies/policies.ts";
import type { MeshConfig } from "../config/config.ts";
import { isMeshIssuer } from "../identity/mesh/section.ts";
import type { Finding } from "./finding.ts";
import { meshedFindings } from "./meshed.ts";
import { annotation, isHaproxy, listed, type Pod, podsOf, portOf } from "./pods.ts";
import type { Sources } from "./sources.ts";
import { spopFindings } from "./spop.ts";

/** A cluster's export: what the policies say of the mesh, and what would lead past it. */
export function clusterFindings({ exported, config, services, revision }: Sources): readonly Finding[] {
  if (exported === undefined) return [];
  const pods = exported.flatMap(podsOf);
  const ingress = config.issuers.find(isMeshIssuer);
  const meshes = services.flatMap(({ mesh }) => mesh ?? []);
  return [
    ...(config.mesh === undefined ? [] : drifts({ revision, mesh: config.mesh, services, ingress }, exported)),
    ...(config.mesh === undefined || ingress === undefined ? [] : meshedFindings(ingress, config.mesh, pods)),
    ...meshes.flatMap((mesh) => backendFindings(mesh, pods)),
    ...(config.mesh === undefined ? [] : haproxyFindings(config.mesh, meshes, pods)),
    ...pods.flatMap(requestHeaders),
    ...(config.mesh === undefined ? [] : spopFindings(config, config.mesh, exported, pods)),
  ];
}

function drifts(input: Parameters<typeof driftOf>[0], exported: readonly Exported[]): readonly Finding[] {
  if (input.ingress === undefined && input.services.every(({ mesh }) => mesh === undefined)) return [];
  const remedy = "`countersign generate linkerd`, and apply it; see docs/linkerd.md";
  try {
    return driftOf(input, exported).map(({ drift, object, what }) => ({
      at: object,
      found: `${drift}: ${what}`,
      causes: "the mesh lets pass what the policies do not, or refuses what they do",
      remedy,
    }));
  } catch (error) {
    if (!(error instanceof InexpressibleError)) throw error;
    return [
      { at: "policies", found: error.message, causes: "no manifests can be generated", remedy: "see what it says" },
    ];
  }
}

function backendFindings({ service, namespace, pods: labels, port }: Mesh, pods: readonly Pod[]): readonly Finding[] {
  const own = pods.filter(
    (pod) => pod.namespace === namespace && Object.entries(labels).every(([name, value]) => pod.labels[name] === value),
  );
  return own.flatMap((pod) => {
    const number = portOf(pod, port);
    const found: Finding[] = [];
    if (annotation(pod, "linkerd.io/inject") === "disabled") {
      found.push({
        at: pod.at,
        found: `the pods of ${service} are kept out of the mesh`,
        causes: "nobody guards them, and HAProxy reaches nobody it may",
        remedy: "`linkerd.io/inject: enabled`",
      });
    }
    if (listed(pod, "config.linkerd.io/skip-inbound-ports", number)) {
      found.push({
        at: pod.at,
        found: `port ${port} of ${service} is skipped by its proxy`,
        causes: "whoever reaches the pod goes past every policy of the mesh",
        remedy: "take it out of `config.linkerd.io/skip-inbound-ports`",
      });
    }
    if (listed(pod, "config.linkerd.io/opaque-ports", number)) {
      found.push({
        at: pod.at,
        found: `port ${port} of ${service} is opaque`,
        causes:
          "routes are not asked for, `l5d-require-id` reaches the application, and its `l5d-client-id` is whatever was sent",
        remedy: "take it out of `config.linkerd.io/opaque-ports`, or say `protocol: opaque` in the policy",
      });
    }
    return found;
  });
}

/** HAProxy's pods, by their service account. */
function haproxyFindings(mesh: MeshConfig, meshes: readonly Mesh[], pods: readonly Pod[]): readonly Finding[] {
  return pods
    .filter((pod) => isHaproxy(pod, mesh))
    .flatMap((pod) => {
      const found: Finding[] = [];
      if (!["enabled", "ingress"].includes(annotation(pod, "linkerd.io/inject"))) {
        found.push({
          at: pod.at,
          found: "HAProxy's pods are not injected by an annotation of their own",
          causes: "without a proxy HAProxy has no identity: meshed backends answer 403",
          remedy: "`linkerd.io/inject: enabled` on the pod template",
        });
      }
      for (const { port, service } of meshes) {
        if (!listed(pod, "config.linkerd.io/skip-outbound-ports", typeof port === "number" ? port : undefined))
          continue;
        found.push({
          at: pod.at,
          found: `HAProxy's proxy is skipped on the way to port ${port} of ${service}`,
          causes: "plain text, no identity, and `l5d-require-id` is checked by nobody",
          remedy: "take it out of `config.linkerd.io/skip-outbound-ports`",
        });
      }
      return found;
    });
}

/** Linkerd's policy controller, told to obey headers that clients may send. */
function requestHeaders({ at, spec }: Pod): readonly Finding[] {
  const args = members(spec.containers)
    .flatMap((container) => members(fields(container).args))
    .map(text);
  if (!args.some((arg) => /^--?allow-l5d-request-headers(=true)?$/.test(arg))) return [];
  return [
    {
      at,
      found: "proxies obey l5d-retry-*, l5d-timeout and their kin",
      causes: "whoever reaches a proxy past HAProxy, which removes them, sets retries and timeouts",
      remedy: "leave `--allow-l5d-request-headers` out",
    },
  ];
}
