import { chmodSync, chownSync, readFileSync } from "node:fs";
import type { SocketAddress } from "../config.ts";

/**
 * Lets a group use a socket file: it gets the group first, and then the mode.
 *
 * @throws Error that says what to do, where there is no such group or the agent may not give the file to it
 */
export function giveToGroup({ path, mode, group }: SocketAddress): void {
  if (group === undefined) return;
  const id = groupId(group);
  try {
    chownSync(path, -1, id);
  } catch {
    throw new Error(`it cannot be given to the group "${group}": run the agent as a member of that group`);
  }
  chmodSync(path, mode);
}

/** Node knows no names of groups; those of the machine stand in one file (group(5)). */
function groupId(group: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  const lines = readFileSync("/etc/group", "utf8").split("\n");
  const id = lines.map((line) => line.split(":")).find(([name]) => name === group)?.[2];
  if (id === undefined) throw new Error(`this machine has no group "${group}"; a number would do`);
  return Number(id);
}
