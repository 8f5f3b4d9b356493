import { accepts } from "../processes.ts";
import type { Contestant, Stage, Subject } from "../stage.ts";
import { COUNTERSIGN, type Configured, configure, startGenerated, type Variant } from "./generated.ts";

/** A running Countersign, with what the scenarios need to disturb it. */
export interface CountersignSubject extends Subject {
  readonly configured: Configured;
}

export interface CountersignContestant extends Contestant {
  readonly variant: Variant;
  start(stage: Stage): Promise<CountersignSubject>;
}

/** What `countersign init` would leave a user with, and two identity headers as `jwt_verify` sets. */
export const BASE: Variant = { name: "countersign", transport: "unix", routes: 10, headers: 2, decisions: "refused" };

export function countersign(name: string, difference: Partial<Variant> = {}): CountersignContestant {
  const variant = { ...BASE, ...difference, name };
  return {
    name,
    variant,
    async start(stage) {
      const configured = await configure(stage, variant);
      const agent = await serve(stage, configured);
      return { configured, agent, port: configured.port, haproxy: await startGenerated(stage, configured) };
    },
  };
}

/** Starts the agent and waits until it says that it is ready. */
export async function serve(stage: Stage, { file, admin }: Configured) {
  const agent = stage.processes.start(process.execPath, [COUNTERSIGN, "serve", "--config", file]);
  await agent.until(() => ready(admin));
  return agent;
}

async function ready(admin: number): Promise<boolean> {
  if (!(await accepts({ host: "127.0.0.1", port: admin }))) return false;
  return (await fetch(`http://127.0.0.1:${admin}/ready`)).ok;
}
