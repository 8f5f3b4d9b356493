import { type CredentialUses, sentKinds } from "./credentials.ts";
import { OWN } from "./variables.ts";

/**
 * Where the Linkerd proxy in HAProxy's own pod hands over what meshed clients send. That proxy is told from whoever else
 * reaches the port by its address: it connects to the pod's own from the pod's own (Linux takes the one that is dialled
 * where that is its own), and from there nobody comes who is outside the pod. Loopback is another matter: from there
 * comes what `kubectl port-forward` brings in.
 */
export interface MeshBind {
  /** `*:8081`; a network address of the pod, or all of them. */
  readonly address: string;
}

/** Its name, by which rules tell it from the binds of everybody else. */
export const MESH_BIND = "countersign-mesh";

/** A request that came in there. */
export const AT_MESH_BIND = `{ so_name ${MESH_BIND} }`;

/** What the proxy sets, and takes away from who has no mesh identity. */
export const MESH_HEADER = "l5d-client-id";

/** Whether the rendered HAProxy reads who a meshed client is. */
export function readsMesh(uses: CredentialUses): boolean {
  return sentKinds(uses).some(({ name }) => name === "mesh");
}

/** The words of its `bind`: no certificate, and no PROXY protocol, since nobody but the pod's own proxy comes in there. */
export function meshBind({ address }: MeshBind): string {
  return `${address}${address.startsWith("[::]:") ? " v4v6" : ""} name ${MESH_BIND}`;
}

/** Before `src` becomes anything else, and before the header goes. */
export function meshRules(uses: CredentialUses): readonly string[] {
  if (!readsMesh(uses)) return [];
  return [
    "# Who a meshed client is counts from the proxy in this pod alone: on its own bind, from the pod's own address.",
    ...MESH_RULES.map((rule) => `http-request ${rule}`),
    "",
  ];
}

/** The only lines that may write these variables: the prover holds every configuration to them, word by word. */
export const MESH_RULES: readonly string[] = [
  `set-var(${OWN.reached}) dst if ${AT_MESH_BIND}`,
  `set-var(${OWN.sidecar}) bool(true) if ${AT_MESH_BIND} { src,strcmp(${OWN.reached}) eq 0 } !{ src 127.0.0.0/8 ::1 }`,
  `set-var(${OWN.meshed}) req.fhdr(${MESH_HEADER}) if { var(${OWN.sidecar}) -m bool }`,
];

/** Whoever reaches that bind around the proxy: its port is skipped, say. */
export const BESIDE_MESH = `${AT_MESH_BIND} !{ var(${OWN.sidecar}) -m bool }`;
