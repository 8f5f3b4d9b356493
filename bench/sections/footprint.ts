import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { countersign, serve } from "../contestants/countersign.ts";
import { paced, saturate } from "../load/load.ts";
import { residentMemory } from "../measure.ts";
import { freePort } from "../processes.ts";
import type { Fact } from "../results.ts";
import { folderOf, type Stage } from "../stage.ts";
import { fileOf, ONE_TOKEN, tokens } from "../traffic.ts";
import { CONNECTIONS } from "./throughput.ts";

const IDENTITIES = 100_000;
const STARTS = 10;

export const CACHED_MEMORY = "100,000 cached identities, resident memory above empty";
export const START_TIME = "start to ready without issuers";

export async function measureFootprint(stage: Stage): Promise<readonly Fact[]> {
  return [
    { name: CACHED_MEMORY, unit: "MB", values: [await cachedMemory(stage)] },
    { name: START_TIME, unit: "ms", values: await startTimes(stage) },
  ];
}

/** Empty means: has served a while, but knows one identity only. */
async function cachedMemory(stage: Stage): Promise<number> {
  const { port, agent } = await countersign("countersign, full cache").start(stage);
  if (agent === undefined) throw new Error("no agent");
  await saturate({ port, file: fileOf(stage, ONE_TOKEN), connections: CONNECTIONS }, 3);
  const empty = residentMemory(agent.pid);
  await paced({ port, file: fileOf(stage, tokens(IDENTITIES, "EdDSA")), connections: CONNECTIONS });
  return (residentMemory(agent.pid) - empty) / 1e6;
}

async function startTimes(stage: Stage): Promise<readonly number[]> {
  const folder = folderOf(stage, "start");
  const admin = await freePort();
  const file = join(folder, "countersign.yaml");
  mkdirSync(join(folder, "policies"), { recursive: true });
  writeFileSync(file, configuration(stage, await freePort(), admin));
  writeFileSync(join(folder, "policies/open.yaml"), POLICY);
  const configured = { folder, file, admin, port: 0, spop: { path: "" } };
  const times: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    const started = performance.now();
    const agent = await serve(stage, configured);
    times.push(performance.now() - started);
    agent.kill("SIGTERM");
    await agent.ended();
  }
  return times;
}

function configuration({ backend }: Stage, spop: number, admin: number): string {
  return `listen: { spop: ["127.0.0.1:${spop}"], admin: "127.0.0.1:${admin}" }
policies: ./policies
issuers: {}
haproxy: { version: "3.2", bind: ["127.0.0.1:8080"], scheme: http, backends: { open: ["127.0.0.1:${backend}"] } }
`;
}

const POLICY = `services:
  open:
    hosts: [open.example.com]
    backend: open
    routes: [{ name: all, match: ["* /{path...}"], allow: [anyone] }]
`;
