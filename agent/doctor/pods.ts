import { type Exported, type Fields, fields, members, text } from "../../linkerd/export.ts";
import { wholeIdentity } from "../../linkerd/identity.ts";
import type { MeshConfig } from "../config/config.ts";

/** A pod, or the template of pods. */
export interface Pod {
  readonly at: string;
  readonly namespace: string;
  readonly labels: Fields;
  readonly annotations: Fields;
  readonly spec: Fields;
}

/** Whether it is HAProxy's, by its service account. */
export function isHaproxy({ spec, namespace }: Pod, mesh: MeshConfig): boolean {
  const account = `${text(spec.serviceAccountName) || "default"}.${namespace}`;
  return wholeIdentity(account, mesh) === wholeIdentity(mesh.identity, mesh);
}

/** Whether it has a proxy, as far as its own annotation says. */
export function isMeshed(pod: Pod): boolean {
  return ["enabled", "ingress"].includes(annotation(pod, "linkerd.io/inject"));
}

/** The pods of an object; those of a template, too. */
export function podsOf(object: Exported): readonly Pod[] {
  const { kind, namespace, name, metadata, spec } = object;
  const at = `${kind} ${namespace}/${name}`;
  if (kind === "Pod")
    return [{ at, namespace, labels: fields(metadata.labels), annotations: fields(metadata.annotations), spec }];
  const template = fields(spec.template);
  if (!["Deployment", "StatefulSet", "DaemonSet"].includes(kind)) return [];
  const { labels, annotations } = fields(template.metadata);
  return [{ at, namespace, labels: fields(labels), annotations: fields(annotations), spec: fields(template.spec) }];
}

export function annotation({ annotations }: Pick<Pod, "annotations">, name: string): string {
  return text(annotations[name]);
}

/** Whether an annotation with ports and ranges of them has this one. */
export function listed(pod: Pick<Pod, "annotations">, name: string, port: number | undefined): boolean {
  if (port === undefined) return false;
  return annotation(pod, name)
    .split(",")
    .some((entry) => {
      const [from = Number.NaN, to = from] = entry.trim().split("-").map(Number);
      return port >= from && port <= to;
    });
}

/** The number of a port that may be named; undefined where no container declares it. */
export function portOf({ spec }: Pod, port: string | number): number | undefined {
  if (typeof port === "number") return port;
  const ports = members(spec.containers)
    .flatMap((container) => members(fields(container).ports))
    .map(fields);
  const declared = ports.find((own) => own.name === port)?.containerPort;
  return typeof declared === "number" ? declared : undefined;
}
