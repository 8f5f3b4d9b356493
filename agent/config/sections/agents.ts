import { isIP } from "node:net";
import { hostName } from "../../../haproxy/input.ts";
import { isLoopback } from "../../http/fetch.ts";
import { type Address, haproxyAddress } from "../../net/address.ts";
import type { HaproxyConfig } from "../config.ts";
import type { Section } from "../section.ts";
import { addressIn, checkAddresses } from "./backends.ts";

/**
 * Reads `haproxy.agents`.
 *
 * @param section that of `haproxy`
 * @param listen that of `listen`
 * @param spop where this agent listens
 */
export function readAgents(section: Section, listen: Section, spop: readonly Address[]): HaproxyConfig["agents"] {
  const own = section.section("agents");
  const entries = own.items("servers");
  checkAddresses(entries);
  const servers = entries.length > 0 ? entries.map(addressIn) : undefined;
  const hasTls = own.keys().includes("tls");
  if (hasTls) checkNames(own, servers ?? spop.map(haproxyAddress));
  else if (!own.means("tls")) for (const entry of entries) checkPlain(entry);
  if (isSaid(section) && !own.means("servers")) checkListeners(section, listen, spop, hasTls);
  return { servers, tls: hasTls ? tlsOf(own.section("tls")) : undefined };
}

/** Whether there is nothing else to be told of it: it is a mapping, or not there, and `haproxy` is. */
function isSaid(section: Section): boolean {
  return section.keys().length > 0 && (section.means("agents") ? typeof section.value("agents") === "object" : true);
}

function tlsOf(section: Section): HaproxyConfig["agents"]["tls"] {
  const [ca, serverName] = [section.optionalText("ca"), section.optionalText("server_name")];
  return { verify: "required", cert: section.text("cert"), ...(ca && { ca }), ...(serverName && { serverName }) };
}

/** Where HAProxy asks at the addresses that are listened on, one rule holds for all of them. */
function checkListeners(section: Section, listen: Section, spop: readonly Address[], hasTls: boolean): void {
  for (const [index, entry] of listen.items("spop").entries()) {
    const address = spop[index];
    const listens = entry.keys().includes("tls");
    if (listens && !hasTls) {
      const right = "`agents: { tls: { cert: FILE, ca: FILE, server_name: NAME } }` here, with what HAProxy shows";
      section.fault(
        [],
        right,
        `no \`agents\`, and ${address && haproxyAddress(address)} asks HAProxy for a certificate`,
      );
      return;
    }
    if (hasTls && !listens) {
      const right = "`tls` here too, or `haproxy: { agents: { servers: [HOST:PORT] } }` with those that HAProxy asks";
      entry.fault([], right, `${entry.found([])} without TLS, which \`haproxy.agents.tls\` speaks`);
    }
    if (address !== undefined && "host" in address && ["0.0.0.0", "::"].includes(address.host)) {
      const right = "`servers: [HOST:PORT]` in `haproxy.agents`, with a name or an address that HAProxy can ask";
      entry.fault([], right, `${entry.found([])}, which is no address to ask`);
    }
  }
}

/** The clients' tokens are in what HAProxy tells the agent. */
function checkPlain(entry: Section): void {
  const address = addressIn(entry);
  const host = /^\[?(.*?)\]?:\d+$/.exec(address)?.[1] ?? "";
  if (address.startsWith("unix@") || isLoopback(isIP(host) === 6 ? `[${host}]` : host)) return;
  entry.fault([], "`tls: { cert: FILE, ca: FILE, server_name: NAME }` beside `servers`, or a loopback address");
}

/** Without a name, any certificate that the authority has signed would do. */
function checkNames(own: Section, servers: readonly string[]): void {
  if (own.section("tls").keys().includes("server_name")) return;
  const nameless = servers.find((address) => hostName(address) === undefined);
  if (nameless === undefined) return;
  own.fault(
    ["tls"],
    "`server_name: NAME` with the name in the agents' certificates, or host names in `servers`",
    `no \`server_name\`, and the agent ${nameless} has none that its certificate could be held against`,
  );
}
