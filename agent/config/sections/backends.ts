import { isIP } from "node:net";
import { type Backend, type BackendTls, type HealthCheck, hostName, type Server } from "../../../haproxy/input.ts";
import type { HaproxyConfig } from "../config.ts";
import type { Section } from "../section.ts";

/** Reads `haproxy.backends`. */
export function readBackends(section: Section): HaproxyConfig["backends"] {
  return Object.fromEntries(section.keys().map((name) => [name, readBackend(section, name)]));
}

function readBackend(section: Section, name: string): Omit<Backend, "name"> {
  const own = section.section(name);
  // The one text that the schema takes is `external`.
  if (own.whole !== undefined) return { servers: [] };
  const listed = section.items(name);
  const entries = listed.length > 0 ? listed : own.items("servers");
  checkAddresses(entries);
  const tls = own.keys().includes("tls") ? readTls(own.section("tls")) : undefined;
  if (tls?.verify === "required" && !own.section("tls").keys().includes("server_name")) checkNames(own, entries);
  const check = own.keys().includes("check") ? readCheck(own.section("check")) : undefined;
  return {
    servers: entries.map(readServer),
    ...(own.optionalText("proto") === "h2" && { proto: "h2" }),
    ...(tls && { tls }),
    ...(check && { check }),
  };
}

/** A server that is an address alone, as a list of servers may have it, stays one. */
function readServer(entry: Section): string | Server {
  const address = addressIn(entry);
  if (entry.whole !== undefined) return address;
  return {
    address,
    weight: entry.number("weight"),
    ...(entry.keys().includes("maxconn") && { maxconn: entry.number("maxconn") }),
    backup: entry.flag("backup"),
  };
}

/** The address of a server, in HAProxy's own way of writing it. */
export function addressIn(entry: Section): string {
  return (entry.whole ?? entry.text("address")).replace(/^unix:/, "unix@");
}

function stepsOf(entry: Section): readonly string[] {
  return entry.whole === undefined ? ["address"] : [];
}

/** Holds servers to be addresses, each of them once. */
export function checkAddresses(entries: readonly Section[]): void {
  const first = new Map<string, Section>();
  for (const entry of entries) {
    const address = addressIn(entry);
    const port = Number(/:(\d+)$/.exec(address)?.[1] ?? 1);
    const six = /^\[(.*)\]/.exec(address)?.[1];
    if (port < 1 || port > 65_535 || (six !== undefined && isIP(six) !== 6)) {
      entry.fault(stepsOf(entry), "HOST:PORT with a port from 1 to 65535");
    }
    const before = first.get(address);
    if (before === undefined) first.set(address, entry);
    else {
      const right = `name it once, with a \`weight\` if it is to have more requests; the first is at ${before.place}`;
      entry.fault(stepsOf(entry), right, `the server ${address} a second time`);
    }
  }
}

function readTls(section: Section): BackendTls {
  const verify = section.choice<BackendTls["verify"]>("verify");
  const [ca, cert, serverName] = ["ca", "cert", "server_name"].map((key) => section.optionalText(key));
  if (verify === "none") {
    if (ca !== undefined) section.fault(["ca"], "leave it out, or `verify: required`: with `none` nothing is checked");
    const right = "`ca` with the authority that signed the servers' certificates, and `verify: required`";
    section.warn(["verify"], "whoever stands between HAProxy and the servers can read and change everything", right);
  }
  return { verify, ...(ca && { ca }), ...(cert && { cert }), ...(serverName && { serverName }) };
}

/** Without a name, any certificate that the authority has signed would do. */
function checkNames(own: Section, entries: readonly Section[]): void {
  const nameless = entries.map(addressIn).find((address) => hostName(address) === undefined);
  if (nameless === undefined) return;
  const found = `no \`server_name\`, and the server ${nameless} has none that its certificate could be held against`;
  own.fault(
    ["tls"],
    "`server_name: NAME` with the name in the servers' certificates, or host names for servers",
    found,
  );
}

function readCheck(section: Section): HealthCheck {
  return { interval: section.milliseconds("interval"), fall: section.number("fall"), rise: section.number("rise") };
}
