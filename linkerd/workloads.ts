import { type Drift, nameOf } from "./drift.ts";
import { type Exported, type Fields, fields, members, text } from "./export.ts";
import { wholeIdentity } from "./identity.ts";
import type { LinkerdInput } from "./input.ts";
import { POLICY_GROUP } from "./manifests.ts";
import type { MeshServer } from "./servers.ts";

const TEMPLATED = new Set(["Deployment", "StatefulSet", "DaemonSet"]);

/** Pods that Linkerd would not guard from the first connection on, or that are not who the policies say. */
export function workloadDrift(
  server: MeshServer,
  mesh: LinkerdInput["mesh"],
  exported: readonly Exported[],
): readonly Drift[] {
  const { namespace, pods, port, identity } = server.mesh;
  const workloads = exported
    .filter((object) => object.namespace === namespace)
    .flatMap((object) => {
      const pod = podOf(object);
      const fits = Object.entries(pods).every(([label, value]) => fields(pod?.labels)[label] === value);
      return pod !== undefined && fits ? [{ object: nameOf(object), spec: fields(pod.spec) }] : [];
    });
  if (workloads.length === 0) {
    const object = nameOf({ group: POLICY_GROUP, kind: "Server", namespace, name: server.name });
    return [
      {
        drift: "unseen",
        object,
        what: "no pod or workload with its labels is in the export: their ports cannot be told",
      },
    ];
  }
  return workloads.flatMap(({ object, spec }): readonly Drift[] => {
    const own = `${text(spec.serviceAccountName) || "default"}.${namespace}`;
    const whole = `${own}.serviceaccount.identity.${mesh.controlPlane}.${mesh.trustDomain}`;
    const wanted = wholeIdentity(identity, mesh);
    const declared = `no container declares the port ${port}: Linkerd lets pass what comes there first. Add it to \`ports\``;
    return [
      ...(declares(spec, port) ? [] : [{ drift: "undeclared", object, what: declared } as const]),
      ...(wanted.startsWith("spiffe://") || wanted === whole
        ? []
        : [{ drift: "changed", object, what: `it runs as ${own}, and \`identity\` says ${identity}` } as const]),
    ];
  });
}

/** What a workload's pods are like; undefined for what has none, and for pods that have ended. */
function podOf({ kind, metadata, spec, status }: Exported): { labels: unknown; spec: unknown } | undefined {
  if (kind === "Pod") {
    return ["Succeeded", "Failed"].includes(text(status.phase)) ? undefined : { labels: metadata.labels, spec };
  }
  if (!TEMPLATED.has(kind)) return undefined;
  const template = fields(spec.template);
  return { labels: fields(template.metadata).labels, spec: template.spec };
}

function declares({ containers, initContainers }: Fields, port: string | number): boolean {
  return [...members(containers), ...members(initContainers)]
    .flatMap((container) => members(fields(container).ports))
    .map(fields)
    .some(
      (own) => (own.protocol ?? "TCP") === "TCP" && (typeof port === "string" ? own.name : own.containerPort) === port,
    );
}
