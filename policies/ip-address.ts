import { isIP } from "node:net";
import ipaddr, { type IPv4, type IPv6 } from "ipaddr.js";

/** Longest address with a prefix, `0000:…:255.255.255.255/128`, and some room. */
const LONGEST = 64;

/** An address; an IPv4 address that is mapped into IPv6 (RFC 4291, section 2.5.5.2) is that IPv4 address. */
export class IpAddress {
  readonly address: IPv4 | IPv6;

  constructor(address: IPv4 | IPv6) {
    this.address = address;
  }

  get family(): 4 | 6 {
    return this.address.kind() === "ipv4" ? 4 : 6;
  }

  equals(other: IpAddress): boolean {
    return this.text === other.text;
  }

  /** As RFC 5952 writes it. */
  get text(): string {
    return this.address.toString();
  }
}

/** A network: an address, and how many of its leading bits count. */
export class Network {
  readonly ip: IpAddress;
  readonly length: number;

  constructor(ip: IpAddress, length: number) {
    this.ip = ip;
    this.length = length;
  }

  contains({ address, family }: IpAddress): boolean {
    return family === this.ip.family && isWithin(address, this.ip.address, this.length);
  }

  /** The same network with no bit set behind its prefix. */
  get masked(): Network {
    const bytes = this.ip.address
      .toByteArray()
      .map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, this.length - 8 * i))) & 0xff);
    return new Network(new IpAddress(ipaddr.fromByteArray(bytes)), this.length);
  }

  /** What somebody can have meant who wrote it with bits behind its prefix; undefined where it has none. */
  get meant(): string | undefined {
    const { masked, ip } = this;
    if (masked.equals(this)) return undefined;
    return `"${masked.text}", or "${ip.text}/${ip.family === 4 ? 32 : 128}" for this address alone`;
  }

  equals(other: Network): boolean {
    return this.text === other.text;
  }

  get text(): string {
    return `${this.ip.text}/${this.length}`;
  }
}

function isWithin(address: IPv4 | IPv6, network: IPv4 | IPv6, length: number): boolean {
  // The library's types want to know which of the two it is.
  return (address as IPv4).match(network as IPv4, length);
}

/** @returns undefined for what is no address: a zone, a leading zero, a port or a blank among it */
export function readIp(text: string): IpAddress | undefined {
  if (text.length > LONGEST || isIP(text) === 0 || text.includes("%")) return undefined;
  return new IpAddress(ipaddr.process(text));
}

/** @returns undefined for what is no network: an address without a prefix length among it */
export function readNetwork(text: string): Network | undefined {
  const [, address = "", digits = ""] = /^([^/]*)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const ip = readIp(address);
  // Of a mapped address the first 96 bits say that it is one.
  const mapped = ip?.family === 4 && address.includes(":");
  const length = Number(digits) - (mapped ? 96 : 0);
  if (ip === undefined || length < 0 || length > (ip.family === 4 ? 32 : 128)) return undefined;
  return new Network(ip, length);
}
