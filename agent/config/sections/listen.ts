import { isIP } from "node:net";
import { isLoopback } from "../../http/fetch.ts";
import {
  type Address,
  addressText,
  haproxyAddress,
  type SocketAddress,
  type TcpAddress,
  urlHost,
} from "../../net/address.ts";
import { addressOf } from "../../net/addresses.ts";
import type { Config } from "../config.ts";
import type { Section } from "../section.ts";
import { readListenerTls } from "./listener-tls.ts";

/** How the address of a unix socket begins; HAProxy's own `unix@` is as long. */
const UNIX = "unix:";

/** An address that is listened on, and where the file says so. */
interface Listener {
  readonly entry: Section;
  readonly address: Address;
}

/** Reads `listen`. @param workers how many processes are to listen on each address of `spop`, or those after it */
export function readListen(listen: Section, workers: number): Config["listen"] {
  const spop = listen.items("spop").flatMap(readListener);
  for (const { entry, address } of spop) checkLocal(entry, address);
  if (listen.section("admin").keys().includes("haproxy")) {
    listen.fault(["admin", "haproxy"], "no haproxy: HAProxy does not ask here");
  }
  for (const key of ["admin", "web"]) {
    if (listen.section(key).keys().includes("tls")) listen.fault([key, "tls"], "no tls: only `spop` has it");
  }
  const [admin, web] = ["admin", "web"].map((key) =>
    listen.keys().includes(key) ? readListener(listen.section(key)) : [],
  );
  const others = spop.flatMap((listener) => derived(listener, workers));
  checkDistinct([...spop, ...(admin ?? []), ...(web ?? [])], others);
  return { spop: spop.map(({ address }) => address), admin: admin?.[0]?.address, web: web?.[0]?.address };
}

/** SPOP has neither password nor encryption: whoever can read it has the tokens, and whoever can ask has verdicts. */
function checkLocal(entry: Section, address: Address): void {
  if ("path" in address || isLoopback(urlHost(address.host) ?? "") || entry.means("tls")) return;
  const long = `{ address: "${addressText(address)}", tls: { cert: FILE, key: FILE, client_ca: FILE } }`;
  entry.fault([], `127.0.0.1:9000, another loopback address, unix:/PATH, or \`${long}\``);
}

/** @returns the address, or nothing after a fault */
function readListener(entry: Section): Listener[] {
  const text = entry.whole ?? entry.optionalText("address");
  if (text === undefined) return [];
  const steps = entry.whole === undefined ? ["address"] : [];
  if (text.startsWith(UNIX)) return [{ entry, address: socketAddress(entry, text.slice(UNIX.length)) }];
  for (const key of ["mode", "group", "haproxy"]) {
    if (entry.keys().includes(key)) entry.fault([key], `no ${key}: only a unix socket has one`);
  }
  const address = parseAddress(text);
  if (address !== undefined) return [{ entry, address: withTls(entry, address) }];
  entry.fault(steps, "a numeric address and a port from 1 to 65535, such as 127.0.0.1:9000 or [::1]:9000");
  return [];
}

function withTls(entry: Section, address: TcpAddress): TcpAddress {
  const tls = entry.keys().includes("tls") ? readListenerTls(entry.section("tls")) : undefined;
  return tls === undefined ? address : { ...address, tls };
}

function socketAddress(entry: Section, path: string): SocketAddress {
  if (entry.keys().includes("tls")) entry.fault(["tls"], "no tls: who may write to a unix socket's file may ask");
  const group = entry.optionalText("group");
  const seen = entry.optionalText("haproxy")?.slice(UNIX.length);
  return {
    path,
    mode: Number.parseInt(entry.text("mode"), 8),
    ...(group === undefined ? {} : { group }),
    ...(seen === undefined ? {} : { haproxyPath: seen }),
  };
}

function parseAddress(text: string): TcpAddress | undefined {
  const [, six, four, port] = /^(?:\[(.+)\]|([\d.]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = six ?? four ?? "";
  const version = six === undefined ? 4 : 6;
  return isIP(host) === version && isPort(Number(port)) ? { host, port: Number(port) } : undefined;
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}

/** Where the second and later workers listen for one address of the file. */
function derived({ entry, address }: Listener, workers: number): Listener[] {
  if ("port" in address && !isPort(address.port + workers - 1)) {
    const found = `${addressText(address)} for ${workers} workers, each of which takes a port`;
    entry.fault([], `a port of at most ${65_535 - workers + 1}`, found);
    return [];
  }
  return Array.from({ length: Math.max(0, workers - 1) }, (_, n) => ({ entry, address: addressOf(address, n + 2) }));
}

/** @param others addresses that are not in the file but follow from it */
function checkDistinct(written: readonly Listener[], others: readonly Listener[]): void {
  const first = new Map<string, Section>();
  const check = ({ entry, address }: Listener, whose: string) => {
    for (const text of namesOf(address)) {
      const before = first.get(text);
      if (before === undefined) first.set(text, entry);
      else
        entry.fault(
          [],
          `another address; the first is at ${before.place}`,
          `the address ${text} a second time${whose}`,
        );
    }
  };
  for (const listener of written) check(listener, "");
  for (const listener of others) check(listener, ", for another worker");
}

/** What must be one listener's alone: where the agent listens, and where HAProxy finds it. */
function namesOf(address: Address): readonly string[] {
  const seen = "path" in address && address.haproxyPath !== undefined ? [haproxyAddress(address)] : [];
  return [addressText(address), ...seen];
}
