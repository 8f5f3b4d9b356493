import { isUnknown } from "./where.ts";

/** Where a server is, or where HAProxy listens, in a form in which two spellings of one place are equal. */
export interface Address {
  readonly kind: "ip" | "name" | "path" | "other";
  /** `loopback`, `any`, an address, a name or a path. */
  readonly host: string;
  /** Undefined where it is the client's, or unknown. */
  readonly port: number | undefined;
  /** The last of a range of ports. */
  readonly last: number | undefined;
}

const FAMILY = /^(?:ipv4|ipv6|ipv|tcp4|tcp6|tcp|udp4|udp6|quic4|quic6|mptcp4|mptcp6|mptcp|stream\+|dgram\+)+@/;

/** The addresses of a `bind` or `server` line. */
export function addressesOf(text: string): readonly Address[] {
  return text.split(",").map(addressOf);
}

function addressOf(text: string): Address {
  const bare = text.replace(FAMILY, "");
  if (isUnknown(text) && /@/.test(text)) return { kind: "other", host: bare, port: undefined, last: undefined };
  if (/^(?:unix@|uxst@|uxdg@|\/)/.test(bare) || bare.startsWith("unix@"))
    return { kind: "path", host: bare.replace(/^[a-z]+@/, "").replace(/\/+/g, "/"), port: undefined, last: undefined };
  if (/^[a-z]+@/.test(bare)) return { kind: "other", host: bare, port: undefined, last: undefined };
  const { host, port, last } = portOf(bare);
  const numeric = ipOf(host.replace(/^\[(.*)\]$/, "$1"));
  if (numeric !== undefined) return { kind: "ip", host: numeric, port, last };
  return { kind: "name", host: host.toLowerCase().replace(/\.$/, ""), port, last };
}

/** The port stands behind the last colon; a server without one has the client's, moved by `+n` or `-n`. */
function portOf(text: string): {
  readonly host: string;
  readonly port: number | undefined;
  readonly last: number | undefined;
} {
  const match = /^(.*):([+-]?[0-9]*)(?:-([0-9]+))?$/.exec(text);
  if (match === null) return { host: text, port: undefined, last: undefined };
  const [, host = "", port = "", last] = match;
  if (port === "" || /^[+-]/.test(port)) return { host, port: undefined, last: undefined };
  return { host, port: Number(port), last: last === undefined ? undefined : Number(last) };
}

/** IPv4 in every form that inet_aton() reads, and IPv6, one spelling each; all of loopback is one host. */
function ipOf(host: string): string | undefined {
  if (host === "" || host === "*" || host === "::" || host === "0.0.0.0") return "any";
  if (host.toLowerCase() === "localhost" || host === "ip6-localhost") return "loopback";
  const mapped = /^(?:0*:)*:?ffff:([0-9.]+)$/i.exec(host)?.[1];
  const four = quad(mapped ?? host);
  if (four !== undefined) return four === "0.0.0.0" ? "any" : four.startsWith("127.") ? "loopback" : four;
  if (!/^[0-9a-f:]+(%.*)?$/i.test(host) || !host.includes(":")) return undefined;
  const six = URL.canParse(`http://[${host}]/`)
    ? new URL(`http://[${host}]/`).hostname.slice(1, -1)
    : host.toLowerCase();
  return six === "::1" ? "loopback" : six;
}

function quad(host: string): string | undefined {
  const parts = host.split(".");
  if (parts.length > 4 || !parts.every((part) => /^(?:0[xX][0-9a-fA-F]+|[0-9]+)$/.test(part))) return undefined;
  const numbers = parts.map((part) => (/^0[0-7]+$/.test(part) ? Number.parseInt(part, 8) : Number(part)));
  const last = numbers.pop() ?? 0;
  if (numbers.some((number) => number > 255) || last >= 256 ** (4 - numbers.length)) return undefined;
  const bytes = [...numbers];
  for (let shift = 3 - numbers.length; shift >= 0; shift--) bytes.push(Math.floor(last / 256 ** shift) % 256);
  return bytes.join(".");
}

/** Whether whoever goes to `server` arrives where `bind` listens. */
export function reaches(server: Address, bind: Address): boolean {
  if (server.kind !== bind.kind) return false;
  const sameHost = server.host === bind.host || (bind.host === "any" && server.host === "loopback");
  if (!sameHost) return false;
  if (server.port === undefined || bind.port === undefined) return server.port === bind.port || server.kind === "ip";
  return server.port >= bind.port && server.port <= (bind.last ?? bind.port);
}

/** Whether the two are one server. */
export function isSame(a: Address, b: Address): boolean {
  const samePort = a.port === b.port || a.port === undefined || b.port === undefined;
  return a.kind === b.kind && a.host === b.host && samePort;
}

/** Whether the client's own destination is where the server is. */
export function isWild({ kind, host }: Address): boolean {
  return kind === "ip" && host === "any";
}

/** Other addresses without a network; what is unknown behind them makes none of it. */
const OF_THIS_MACHINE = /^(?:abnsz?|fd|sockpair|unix|uxst|uxdg)@/;

/** Whether nobody off this machine is on the way there. */
export function isLocal({ kind, host }: Address): boolean {
  return kind === "path" || host === "loopback" || (kind === "other" && OF_THIS_MACHINE.test(host));
}
