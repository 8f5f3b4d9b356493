import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Haproxy, startHaproxy } from "./haproxy.ts";
import { Issuer } from "./issuer.ts";
import { freePort, Processes, type Running } from "./processes.ts";

/** Contestants that are not built here: paths of their programs, and of the Lua files that one of them needs. */
export interface Given {
  readonly criteo: string | undefined;
  readonly oauth2Proxy: string | undefined;
  readonly lua: string | undefined;
  /** The main.js of another version of Countersign. */
  readonly beside: string | undefined;
}

/** What all contestants of a run share, one HAProxy version at a time. */
export interface Stage {
  readonly haproxy: Haproxy;
  /** Threads that HAProxy and the agents may use for requests. */
  readonly cores: 1 | 2;
  readonly folder: string;
  readonly issuer: Issuer;
  /** Port of the backend: as light as can be, and not counted. */
  readonly backend: number;
  readonly processes: Processes;
  readonly given: Given;
}

/** What is put under load. */
export interface Subject {
  /** Where clients reach HAProxy on 127.0.0.1. */
  readonly port: number;
  readonly haproxy: Running;
  readonly agent: Running | undefined;
}

export interface Contestant {
  readonly name: string;
  /** @throws Missing where the machine lacks what it is built from */
  start(stage: Stage): Promise<Subject>;
}

/** A contestant that cannot be measured here: named, never left out. */
export class Missing extends Error {}

export async function openStage(haproxy: Haproxy, cores: 1 | 2, given: Given): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-bench-"));
  const processes = new Processes();
  const backend = await freePort();
  const config = join(folder, "backend.cfg");
  writeFileSync(config, backendConfig(backend));
  await startHaproxy(processes, haproxy, [config], backend);
  return { haproxy, cores, folder, issuer: await Issuer.start(), backend, processes, given };
}

export function closeStage({ processes, issuer, folder }: Stage): void {
  processes.end();
  issuer.close();
  rmSync(folder, { recursive: true, force: true });
}

/** A folder of one contestant's own. */
export function folderOf(stage: Stage, name: string): string {
  const folder = join(stage.folder, name.replaceAll(/[^a-z0-9]+/gi, "-"));
  mkdirSync(folder, { recursive: true });
  return folder;
}

function backendConfig(port: number): string {
  return `global
    nbthread 1
defaults
    mode http
    timeout client 1m
    timeout http-keep-alive 1m
frontend backend
    bind 127.0.0.1:${port}
    http-request return status 200 content-type text/plain string ok
`;
}
