import type { Manifest } from "./manifests.ts";

/** One difference between what the policies say and what a cluster has. */
export interface Drift {
  readonly drift:
    | "missing"
    | "changed"
    /** Not of these policies, and it widens or takes away who gets in. */
    | "foreign"
    /** It names an object that is not there. */
    | "dangling"
    /** A port that no container declares. */
    | "undeclared"
    /** The export does not hold what would tell. */
    | "unseen";
  /** `KIND NAMESPACE/NAME` */
  readonly object: string;
  readonly what: string;
}

/** What a cluster's object and a manifest are compared by. A cluster may export another version than was applied. */
export interface Identified {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export function identified({ apiVersion, kind, metadata }: Manifest): Identified {
  const group = apiVersion.slice(0, apiVersion.indexOf("/"));
  return { group, kind, namespace: metadata.namespace, name: metadata.name };
}

export function keyOf({ group, kind, namespace, name }: Identified): string {
  return [group, kind, namespace, name].join("/");
}

export function nameOf({ kind, namespace, name }: Identified): string {
  return `${kind} ${namespace}/${name}`;
}
