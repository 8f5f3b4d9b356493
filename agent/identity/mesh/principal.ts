import { meshIdentity } from "../../../linkerd/identity.ts";
import type { Principal } from "../../../policies/principal.ts";
import type { Refusal } from "../issuer/refusal.ts";
import type { MeshIssuer } from "./section.ts";

const NONE = Object.freeze([]);

/**
 * Whom a name is of that the proxy in HAProxy's pod has told, and why it is nobody's: whether that proxy is to be
 * believed is not asked here.
 *
 * @param until milliseconds since the epoch until which it is: the name is told anew with every request
 */
export function meshPrincipal(text: string, config: MeshIssuer, until: number): Principal | Refusal {
  const identity = meshIdentity(text);
  if (identity === undefined) return { reason: "credential-malformed" };
  const { account, namespace, controlPlane, trustDomain } = identity;
  const { namespaces, name, kind, audiences } = config;
  const isOurs = trustDomain === config.trustDomain && controlPlane === config.controlPlane;
  if (!isOurs || (namespaces.length > 0 && !namespaces.includes(namespace))) return { reason: "issuer-unknown" };
  return Object.freeze({
    issuer: name,
    subject: text,
    kind,
    groups: NONE,
    scopes: NONE,
    audiences,
    claims: Object.freeze({ service_account: account, namespace, trust_domain: trustDomain }),
    client: undefined,
    actor: NONE,
    arn: undefined,
    uri: undefined,
    authenticatedAt: undefined,
    expiresAt: until,
    bound: "" as const,
  });
}
