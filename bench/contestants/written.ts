import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startHaproxy } from "../haproxy.ts";
import type { Running } from "../processes.ts";
import { folderOf, type Stage } from "../stage.ts";

/** What a HAProxy configuration has beyond that of plain HAProxy. */
export interface Additions {
  /** Lines of the frontend. */
  readonly rules: readonly string[];
  /** Lines of the `global` section. */
  readonly global?: readonly string[];
  /** Sections after the frontend. */
  readonly sections?: string;
}

/** Starts a HAProxy that we configure ourselves, listening on the port. */
export function startWritten(stage: Stage, name: string, port: number, additions: Additions): Promise<Running> {
  const file = join(folderOf(stage, name), "haproxy.cfg");
  writeFileSync(file, config(stage, port, additions));
  return startHaproxy(stage.processes, stage.haproxy, [file], port);
}

/** It logs every request, as the generated configuration does, in HAProxy's own format. */
function config({ cores, backend }: Stage, port: number, { rules, global = [], sections = "" }: Additions): string {
  return `global
    nbthread ${cores}
    log stdout len 4096 format raw local0
${indented(global)}defaults
    mode http
    log global
    option httplog
    option dontlognull
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend measured
    bind 127.0.0.1:${port}
${indented(rules)}    default_backend orders
backend orders
    server orders1 127.0.0.1:${backend} check
${sections}`;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `    ${line}\n`).join("");
}
