import { BlockList, isIP } from "node:net";
import type { Kind } from "../../../policies/principal.ts";
import type { IssuerConfig, MeshConfig } from "../../config/config.ts";
import { readAudiences } from "../../config/names.ts";
import type { Section } from "../../config/section.ts";
import { TRUST_DOMAIN } from "../../config/sections/mesh-clients.ts";

/** Clients of HAProxy's own Linkerd mesh, whom the proxy in HAProxy's pod names. */
export interface MeshIssuer extends IssuerConfig, Pick<MeshConfig, "trustDomain" | "controlPlane"> {
  readonly type: "mesh";
  /** Those whose service accounts count; empty for all. */
  readonly namespaces: readonly string[];
  readonly kind: Kind;
  /** Where HAProxy takes what that proxy hands over, `*:8081`. */
  readonly bind: string;
  readonly port: number;
  /** Labels of HAProxy's pods. */
  readonly pods: Readonly<Record<string, string>>;
  /** The proxy's admin server, as this agent sees it: in the same pod. */
  readonly admin: string;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

export function isMeshIssuer(issuer: IssuerConfig): issuer is MeshIssuer {
  return issuer.type === "mesh";
}

/** Reads the section of an issuer of this type. */
export function readMeshIssuer(name: string, section: Section): MeshIssuer {
  const kind = section.choice<Kind>("kind");
  const bind = section.text("bind");
  const port = Number(/:([0-9]+)$/.exec(bind)?.[1] ?? 0);
  if (bind !== "" && (port < 1 || port > 65_535)) section.fault(["bind"], "a port from 1 to 65535, such as *:8081");
  if (isLoopback(bind.replace(/:[0-9]+$/, "").replace(/^\[(.*)\]$/, "$1"))) {
    section.fault(["bind"], "an address that the pod has in the network, or *: the proxy dials no other");
  }
  return {
    name,
    type: "mesh",
    // There is one of it: HAProxy's pod is in one mesh.
    issuer: "mesh",
    credentials: ["mesh"],
    audiences: readAudiences(section),
    kinds: [kind],
    trustDomain: section.optionalText("trust_domain") ?? TRUST_DOMAIN,
    controlPlane: section.text("control_plane"),
    namespaces: section.texts("namespaces"),
    kind,
    bind,
    port,
    pods: labelsOf(section.section("pods")),
    admin: section.text("admin"),
  };
}

/** IPv4 in IPv6 (`::ffff:127.0.0.1`), too. */
function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 6 ? "ipv6" : "ipv4");
}

function labelsOf(section: Section): Readonly<Record<string, string>> {
  return Object.fromEntries(section.keys().map((key) => [key, section.text(key)]));
}
