import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";

/** A port of 127.0.0.1 that somebody else listens on. */
export interface TakenPort {
  readonly port: number;
  /** `haproxy (pid 4711)`, where this machine lets us know. */
  readonly holder: string | undefined;
}

export async function takenPorts(ports: readonly number[]): Promise<readonly TakenPort[]> {
  const free = await Promise.all(ports.map(isFree));
  return ports.filter((_, i) => !free[i]).map((port) => ({ port, holder: holderOf(port) }));
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Linux tells the inode of a listening socket, and which process has it open, as far as we may look. */
function holderOf(port: number): string | undefined {
  const inode = ["tcp", "tcp6"].map((file) => listeningInode(file, port)).find((found) => found !== undefined);
  if (inode === undefined) return undefined;
  const pid = list("/proc").find((name) => /^\d+$/.test(name) && hasOpen(name, `socket:[${inode}]`));
  return pid === undefined ? undefined : `${readFileSync(`/proc/${pid}/comm`, "utf8").trim()} (pid ${pid})`;
}

/** proc_pid_net(5): `sl local_address rem_address st … inode`, the port in hexadecimal, and 0A for a listening socket. */
function listeningInode(file: string, port: number): string | undefined {
  const end = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = read(`/proc/net/${file}`)
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  return rows.find(([, local, , state]) => local?.endsWith(end) && state === "0A")?.[9];
}

function hasOpen(pid: string, what: string): boolean {
  return list(`/proc/${pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`) === what;
    } catch {
      return false;
    }
  });
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
