import { chmodSync, chownSync, readFileSync } from "node:fs";
import type { SocketAddress } from "./address.ts";

/**
 * Lets in whom a socket's address names: the file gets its group first, and then its mode.
 *
 * @throws Error that says what to do, where there is no such group or the agent may not give the file to it
 */
export function admit({ path, mode, group }: SocketAddress): void {
  if (group !== undefined) giveTo(path, group);
  chmodSync(path, mode);
}

function giveTo(path: string, group: string): void {
  const id = groupId(group);
  try {
    chownSync(path, -1, id);
  } catch {
    throw new Error(`it cannot be given to the group "${group}": run the agent as a member of that group`);
  }
}

/** Node knows no names of groups; those of the machine stand in one file (group(5)). */
function groupId(group: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  const lines = readFileSync("/etc/group", "utf8").split("\n");
  const id = lines.map((line) => line.split(":")).find(([name]) => name === group)?.[2];
  if (id === undefined) throw new Error(`this machine has no group "${group}"; a number would do`);
  return Number(id);
}
