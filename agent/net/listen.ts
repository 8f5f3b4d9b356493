import { lstatSync, statSync, unlinkSync } from "node:fs";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { type Address, addressText } from "./address.ts";
import { holderOf } from "./holder.ts";
import { admit } from "./socket-file.ts";

// HAProxy opens a burst of connections after a stall or a reload: 131 to 151 were seen at 500 requests a second.
const BACKLOG = 1024;

/**
 * Binds a server to one address, TCP or unix socket.
 *
 * A socket file that a killed process left behind is replaced; one that somebody still answers on, or a file that
 * is no socket, is not touched. The socket file never lets in more than its mode says, from the moment it exists.
 *
 * @throws Error that names the address and what to do, when it cannot be bound
 */
export async function listen(server: Server, address: Address): Promise<void> {
  if ("path" in address) await removeStale(address.path);
  try {
    await bind(server, address);
    if ("path" in address) admit(address);
  } catch (error) {
    server.close();
    throw new Error(`cannot listen on ${addressText(address)}: ${bindProblem(error, address)}`, { cause: error });
  }
}

/** Waits for all of several steps of a start. @throws Error with a line for each that failed */
export async function allOf(steps: readonly Promise<unknown>[]): Promise<void> {
  const reasons = (await Promise.allSettled(steps)).flatMap((step) => {
    if (step.status === "fulfilled") return [];
    return [step.reason instanceof Error ? step.reason.message : String(step.reason)];
  });
  if (reasons.length > 0) throw new Error(reasons.join("\n"));
}

function bind(server: Server, address: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    // `exclusive`: in a worker of node:cluster, too, the address is bound here and shared with nobody.
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    if (!("path" in address)) {
      server.listen({ host: address.host, port: address.port, backlog: BACKLOG, exclusive: true });
      return;
    }
    // bind(2) happens within listen(). The file is its owner's alone until `admit`, by the umask of `countersign serve`:
    // one that is set here would be the whole process's, and another thread cannot set it.
    server.listen({ path: address.path, backlog: BACKLOG, exclusive: true });
  });
}

async function removeStale(path: string): Promise<void> {
  const directory = dirname(path);
  // libuv would say EACCES of it.
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new Error(`cannot listen on unix:${path}: there is no directory ${directory}`);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new Error(`cannot listen on unix:${path}: a file is in the way that is not a socket`);
  if (await answers(path)) throw new Error(`cannot listen on unix:${path}: ${taken({ path, mode: 0 })}`);
  unlinkSync(path);
}

/** Whether a process accepts connections on the socket file. Only a refused connection proves that nobody does. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}

function taken(address: Address): string {
  return `${holderOf(address) ?? "another process"} is listening there`;
}

function bindProblem(error: unknown, address: Address): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : textOf(error);
  if (code === "EADDRINUSE") return taken(address);
  if (code === "EACCES" || code === "EPERM") return "permission denied";
  if (code === "EADDRNOTAVAIL") return "this machine has no such address";
  return code;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
