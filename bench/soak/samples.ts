import { readdirSync } from "node:fs";
import { cpuTime, residentMemory } from "../measure.ts";
import type { Subject } from "../stage.ts";
import { ANSWERS, type Answers } from "./site.ts";

/** One look at everything. Memory in MB, `cpu` in parts of a core. */
export interface Sample {
  /** Seconds since the load began. */
  readonly at: number;
  readonly rate: number;
  readonly resident: number;
  readonly heap: number;
  /** Beside the heap: buffers. */
  readonly external: number;
  readonly descriptors: number;
  readonly connections: number;
  readonly inFlight: number;
  readonly identities: number;
  readonly refusals: number;
  readonly cpu: number;
  readonly haproxyResident: number;
  readonly haproxyDescriptors: number;
  /** All of it so far. */
  readonly linesLost: number;
  readonly auditLost: number;
}

type Told = Pick<
  Sample,
  "heap" | "external" | "connections" | "inFlight" | "identities" | "refusals" | "linesLost" | "auditLost"
>;

/** Takes samples of a running agent and its HAProxy. */
export class Sampler {
  readonly #admin: number;
  readonly #subject: () => Subject;
  readonly #begun = performance.now();
  #last = { at: performance.now(), requests: 0, cpu: 0 };

  constructor(admin: number, subject: () => Subject) {
    this.#admin = admin;
    this.#subject = subject;
  }

  /** @throws Error where the agent has ended, or its admin listener does not answer */
  async take(answers: Answers): Promise<Sample> {
    const { agent, haproxy } = this.#subject();
    if (agent === undefined) throw new Error("no agent");
    const told = await this.#asked();
    const now = { at: performance.now(), requests: answers.requests, cpu: cpuTime(agent.pid) / 1e6 };
    const last = this.#last;
    const seconds = (now.at - last.at) / 1000;
    this.#last = now;
    return {
      at: (now.at - this.#begun) / 1000,
      rate: (now.requests - last.requests) / seconds,
      cpu: (now.cpu - last.cpu) / seconds,
      resident: residentMemory(agent.pid) / 1e6,
      descriptors: descriptorsOf(agent.pid),
      haproxyResident: residentMemory(haproxy.pid) / 1e6,
      haproxyDescriptors: descriptorsOf(haproxy.pid),
      ...told,
    };
  }

  async #asked(): Promise<Told> {
    const [metrics, status] = await Promise.all([this.#page("metrics"), this.#page("status")]);
    const metric = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(metrics)?.[1] ?? Number.NaN);
    const { caches } = JSON.parse(status) as { caches: Record<string, { entries: number } | undefined> };
    return {
      heap: metric("nodejs_heap_size_used_bytes") / 1e6,
      external: metric("nodejs_external_memory_bytes") / 1e6,
      connections: metric("countersign_connections"),
      inFlight: metric("countersign_requests_in_flight"),
      identities: caches.identities?.entries ?? Number.NaN,
      refusals: caches.refusals?.entries ?? Number.NaN,
      linesLost: metric("countersign_log_lines_dropped_total"),
      auditLost: metric("countersign_audit_lost_total"),
    };
  }

  async #page(name: string): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.#admin}/${name}`);
    if (!response.ok) throw new Error(`/${name}: ${response.status}`);
    return await response.text();
  }
}

export function plus(a: Answers, b: Answers): Answers {
  const names = Object.keys(ANSWERS) as (keyof Answers)[];
  return Object.fromEntries(names.map((name) => [name, a[name] + b[name]])) as unknown as Answers;
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
