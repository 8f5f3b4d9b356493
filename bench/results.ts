import type { Seen } from "./load/load.ts";

/** One measurement of one round. */
export interface Sample extends Seen {
  /** Answers other than the ones to be expected, and requests without one. */
  readonly wrong: number;
  /** CPU microseconds a request. */
  readonly haproxy: number;
  /** CPU microseconds a request; 0 where there is no agent. */
  readonly agent: number;
  /** Resident memory of the agent in bytes; 0 where there is none. */
  readonly memory: number;
}

/** One line of the table: all rounds of one contestant under one load. */
export interface Result {
  readonly section: string;
  readonly scenario: string;
  readonly contestant: string;
  readonly connections: number;
  readonly samples: readonly Sample[];
}

/** A number that is not of a load: memory, time to start. */
export interface Fact {
  readonly name: string;
  readonly unit: string;
  readonly values: readonly number[];
}

/** All that was measured with one HAProxy. */
export interface Report {
  /** HAProxy's version. */
  readonly haproxy: string;
  /** The agent that was started: source, or built. */
  readonly agent: string;
  readonly cores: 1 | 2;
  readonly results: readonly Result[];
  readonly facts: readonly Fact[];
  /** Contestants that could not be had, with the reason. */
  readonly missing: Readonly<Record<string, string>>;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Half of the way between the smallest and the largest. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / 2;
}

/** The values of one column, round by round. */
const COLUMNS = {
  requests: ({ requests }: Sample) => requests,
  rate: ({ requests, seconds }: Sample) => requests / seconds,
  p50: ({ p50 }: Sample) => p50,
  p99: ({ p99 }: Sample) => p99,
  p999: ({ p999 }: Sample) => p999,
  max: ({ max }: Sample) => max,
  haproxy: ({ haproxy }: Sample) => haproxy,
  agent: ({ agent }: Sample) => agent,
  both: ({ haproxy, agent }: Sample) => haproxy + agent,
  memory: ({ memory }: Sample) => memory / 1e6,
  refused: ({ refused }: Sample) => refused,
  wrong: ({ wrong }: Sample) => wrong,
  broken: ({ broken }: Sample) => broken,
} as const;
export type Column = keyof typeof COLUMNS;

export function column(result: Result, name: Column): readonly number[] {
  return result.samples.map(COLUMNS[name]);
}

/** Median of a column over the rounds. */
export function typical(result: Result, name: Column): number {
  return median(column(result, name));
}
