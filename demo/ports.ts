import { createServer } from "node:net";
import { holderOf } from "../agent/net/holder.ts";

/** A port of 127.0.0.1 that somebody else listens on. */
export interface TakenPort {
  readonly port: number;
  /** `haproxy (pid 4711)`, where this machine lets us know. */
  readonly holder: string | undefined;
}

export async function takenPorts(ports: readonly number[]): Promise<readonly TakenPort[]> {
  const free = await Promise.all(ports.map(isFree));
  return ports.filter((_, i) => !free[i]).map((port) => ({ port, holder: holderOf({ host: "127.0.0.1", port }) }));
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
