import { accepts, type Running } from "../processes.ts";
import type { Contestant, Stage } from "../stage.ts";
import { BASE } from "./countersign.ts";
import { type Configured, configure, startGenerated } from "./generated.ts";

/** Starts an agent on a unix socket. */
type Start = (stage: Stage, socket: string) => Running | Promise<Running>;

/** Another agent behind the very HAProxy configuration that Countersign generates for itself. */
export function stranger(name: string, start: Start): Contestant {
  return {
    name,
    async start(stage) {
      const configured = await configure(stage, { ...BASE, name });
      const path = socketOf(configured);
      const agent = await start(stage, path);
      await agent.until(() => accepts({ path }));
      return { agent, port: configured.port, haproxy: await startGenerated(stage, configured) };
    },
  };
}

function socketOf({ spop }: Configured): string {
  if (!("path" in spop)) throw new Error("strangers are reached by unix sockets");
  return spop.path;
}
