import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { endianness } from "node:os";
import { basename } from "node:path";
import { type Address, urlHost } from "./address.ts";

/** Of proc_pid_net(5): a socket that listens. */
const LISTENING = { tcp: "0A", unix: "00010000" };

/**
 * Who listens on an address, such as `haproxy (pid 4711)`. Linux tells the inode of a listening socket, and which
 * process has it open, as far as we may look.
 *
 * @returns undefined where that cannot be known
 */
export function holderOf(address: Address): string | undefined {
  const inode = "path" in address ? unixInode(address.path) : tcpInode(address.host, address.port);
  if (inode === undefined) return undefined;
  const pid = list("/proc").find((name) => /^\d+$/.test(name) && hasOpen(name, `socket:[${inode}]`));
  return pid === undefined ? undefined : `${nameOf(pid)} (pid ${pid})`;
}

/** `Num RefCount Protocol Flags Type St Inode Path` */
function unixInode(path: string): string | undefined {
  return rows("unix").find(([, , , flags, , , , at]) => at === path && flags === LISTENING.unix)?.[6];
}

/** The socket at just this address, else one at all addresses, or any where all are asked for. */
function tcpInode(host: string, port: number): string | undefined {
  const wanted = canonical(host);
  const found = [...rows("tcp"), ...rows("tcp6")].flatMap(([, local = "", , state, , , , , , inode]) => {
    const [hex = "", portHex = ""] = local.split(":");
    return state === LISTENING.tcp && Number.parseInt(portHex, 16) === port ? [{ at: addressOf(hex), inode }] : [];
  });
  return (found.find(({ at }) => at === wanted) ?? found.find(({ at }) => isAny(at) || isAny(wanted)))?.inode;
}

/** An address as the kernel prints it: words of 32 bits in the machine's own order. */
function addressOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => {
    const four = word.match(/../g) ?? [];
    return endianness() === "LE" ? four.reverse() : four;
  });
  if (bytes.length === 4) return canonical(bytes.map((byte) => Number.parseInt(byte, 16)).join("."));
  return canonical((bytes.join("").match(/.{4}/g) ?? []).join(":"));
}

function canonical(host: string): string {
  return urlHost(host) ?? host;
}

function isAny(host: string): boolean {
  return host === "0.0.0.0" || host === "[::]";
}

function hasOpen(pid: string, what: string): boolean {
  return list(`/proc/${pid}/fd`).some((fd) => target(`/proc/${pid}/fd/${fd}`) === what);
}

function nameOf(pid: string): string {
  return basename(target(`/proc/${pid}/exe`) ?? "a process");
}

function rows(file: string): readonly string[][] {
  try {
    const lines = readFileSync(`/proc/net/${file}`, "utf8").split("\n");
    return lines.map((line) => line.trim().split(/\s+/));
  } catch {
    return [];
  }
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function target(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}
