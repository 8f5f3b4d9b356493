import { MESH_BIND } from "../../../haproxy/mesh-bind.ts";
import { isLoopback } from "../../http/fetch.ts";
import { urlHost } from "../../net/address.ts";
import type { Config, IssuerConfig } from "../config.ts";
import type { Section } from "../section.ts";

/** Of an issuer of type `mesh` that names none; Linkerd's own default. */
export const TRUST_DOMAIN = "cluster.local";

/** What else of a configuration must be so where meshed clients are told from others. */
export function checkMeshClients(
  root: Section,
  issuers: readonly IssuerConfig[],
  config: Pick<Config, "listen" | "mesh">,
): void {
  const haproxy = root.section("haproxy");
  const taken = haproxy.texts("bind").findIndex((words) => words.split(/\s+/).includes(MESH_BIND));
  if (taken >= 0) {
    haproxy.fault(
      ["bind", taken],
      `another name than ${MESH_BIND}: by that one HAProxy knows where meshed clients come in`,
    );
  }
  const issuer = issuers.find(({ credentials }) => credentials.includes("mesh"));
  if (issuer === undefined) return;
  const section = root.section("issuers").section(issuer.name);
  if (config.mesh === undefined) {
    const found = "meshed clients, and nothing that says whose pods HAProxy's are, for `generate linkerd` and `doctor`";
    section.warn([], found, "`mesh: { identity: ACCOUNT.NAMESPACE }` of HAProxy's service account");
  }
  checkPod(section, config.listen);
  checkOneMesh(section, "trust_domain", section.optionalText("trust_domain") ?? TRUST_DOMAIN, config.mesh?.trustDomain);
  checkOneMesh(section, "control_plane", section.text("control_plane"), config.mesh?.controlPlane);
}

function checkOneMesh(section: Section, key: string, own: string, ours: string | undefined): void {
  if (ours === undefined || own === ours) return;
  section.fault(
    section.keys().includes(key) ? [key] : [],
    `\`${key}: ${ours}\`, as \`mesh\` says it: HAProxy's pod is in one mesh`,
  );
}

/** The proxy that the agent asks must be the one beside HAProxy, so the two are in one pod. */
function checkPod(section: Section, { spop }: Config["listen"]): void {
  if (spop.every((address) => "path" in address || isLoopback(urlHost(address.host) ?? ""))) return;
  const right =
    "loopback addresses and unix sockets in `listen.spop`: the agent asks the Linkerd proxy of its own pod, which must be HAProxy's";
  section.fault([], right, "meshed clients, and an agent that HAProxys of other pods can ask");
}
