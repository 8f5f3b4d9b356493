import { accepts } from "../processes.ts";
import { type Contestant, Missing, type Stage, type Subject } from "../stage.ts";
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

/** Another version of Countersign, with HAProxy's files as it generates them. */
export function otherVersion(name: string, difference: Partial<Variant> = {}): Contestant {
  return {
    name,
    async start(stage) {
      const { beside } = stage.given;
      if (beside === undefined) throw new Missing("give --beside, the dist/agent/main.js of another version");
      const configured = await configure(stage, { ...BASE, ...difference, name }, beside);
      const agent = await serve(stage, configured, beside);
      return { agent, port: configured.port, haproxy: await startGenerated(stage, configured) };
    },
  };
}

/** Starts the agent and waits until it says that it is ready. */
export async function serve(stage: Stage, { file, admin }: Configured, program = COUNTERSIGN) {
  const agent = stage.processes.start(process.execPath, [program, "serve", "--config", file]);
  await agent.until(() => ready(admin));
  return agent;
}

async function ready(admin: number): Promise<boolean> {
  if (!(await accepts({ host: "127.0.0.1", port: admin }))) return false;
  return (await fetch(`http://127.0.0.1:${admin}/ready`)).ok;
}
