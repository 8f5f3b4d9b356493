import { type Load, paced, type Seen, saturate } from "./load/load.ts";
import { cpuTime, familyOf, residentMemory } from "./measure.ts";
import type { Result, Sample } from "./results.ts";
import { type Contestant, Missing, type Stage, type Subject } from "./stage.ts";
import { fileOf, type Traffic } from "./traffic.ts";

/** One contestant under one load. */
export interface Row {
  readonly contestant: Contestant;
  readonly scenario: string;
  readonly traffic: Traffic;
  readonly connections: number;
  /** How many times as long as others it is measured. */
  readonly times?: number;
}

export interface Options {
  readonly rounds: number;
  /** Of load in each measurement. */
  readonly seconds: number;
  /** Seconds of load before the first measurement; a runtime compiles its hot code for some time. */
  readonly warmUp: number;
  /** Share of the answers that may be wrong: those for which HAProxy did not wait any longer. */
  readonly mostWrong: number;
  /** Says what is being done. */
  readonly tell: (line: string) => void;
}

/** Starts contestants on demand, each once; what cannot be had is remembered with the reason. */
export class Field {
  readonly stage: Stage;
  readonly missing: Record<string, string> = {};
  readonly #subjects = new Map<Contestant, Promise<Subject | undefined>>();

  constructor(stage: Stage) {
    this.stage = stage;
  }

  subject(contestant: Contestant): Promise<Subject | undefined> {
    const subject = this.#subjects.get(contestant) ?? this.#start(contestant);
    this.#subjects.set(contestant, subject);
    return subject;
  }

  async #start(contestant: Contestant): Promise<Subject | undefined> {
    try {
      return await contestant.start(this.stage);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      this.missing[contestant.name] = error.message;
      return undefined;
    }
  }
}

/** Measures rows in interleaved rounds, A B C A B C: a machine that slows down slows all of them. */
export async function measureRows(
  field: Field,
  section: string,
  rows: readonly Row[],
  options: Options,
): Promise<readonly Result[]> {
  const running: { readonly row: Row; readonly subject: Subject; readonly samples: Sample[] }[] = [];
  for (const row of rows) {
    const subject = await field.subject(row.contestant);
    if (subject !== undefined) running.push({ row, subject, samples: [] });
  }
  for (const { row, subject } of running) await warmUp(field.stage, row, subject, options);
  for (let round = 1; round <= options.rounds; round++) {
    options.tell(`${section}: round ${round} of ${options.rounds}, ${running.length} rows`);
    for (const { row, subject, samples } of running)
      samples.push(await measureOnce(field.stage, row, subject, options));
  }
  return running.map(({ row, samples }) => {
    return { section, scenario: row.scenario, contestant: row.contestant.name, connections: row.connections, samples };
  });
}

/** Every request once, then a while of load: caches are full and the code is compiled. */
export async function warmUp(stage: Stage, row: Row, subject: Subject, options: Options): Promise<void> {
  const load = loadOf(stage, row, subject);
  await paced({ ...load, connections: Math.min(row.connections, 16) });
  if (options.warmUp > 0) await saturate(load, options.warmUp);
}

export async function measureOnce(stage: Stage, row: Row, subject: Subject, options: Options): Promise<Sample> {
  const load = loadOf(stage, row, subject);
  const sample = await measured(subject, row.traffic, () => saturate(load, options.seconds * (row.times ?? 1)));
  mustBeRight(`${row.contestant.name}, ${row.scenario}`, sample, options);
  return sample;
}

/**
 * A stalled machine may miss a deadline now and then; a benchmark of wrong answers would measure nothing.
 *
 * @throws Error where more are wrong than may be
 */
export function mustBeRight(
  what: string,
  { wrong, requests }: Sample,
  { mostWrong }: Pick<Options, "mostWrong">,
): void {
  if (wrong > requests * mostWrong) throw new Error(`${what}: ${wrong} of ${requests} answers are wrong`);
}

/** What a load cost the processes of a subject. */
export async function measured(subject: Subject, { expect }: Traffic, load: () => Promise<Seen>): Promise<Sample> {
  const agent = subject.agent === undefined ? [] : familyOf(subject.agent.pid);
  const spent = () => [cpuTime(subject.haproxy.pid), total(agent.map(cpuTime))] as const;
  const [haproxyBefore, agentBefore] = spent();
  const seen = await load();
  const [haproxyAfter, agentAfter] = spent();
  return {
    ...seen,
    wrong: seen.broken + (expect === "allowed" ? seen.refused : seen.requests - seen.refused),
    haproxy: (haproxyAfter - haproxyBefore) / seen.requests,
    agent: (agentAfter - agentBefore) / seen.requests,
    memory: total(agent.map(residentMemory)),
  };
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function loadOf(stage: Stage, row: Row, subject: Subject): Load {
  return { port: subject.port, file: fileOf(stage, row.traffic), connections: row.connections };
}
