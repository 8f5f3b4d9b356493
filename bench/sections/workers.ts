import { type CountersignContestant, type CountersignSubject, countersign } from "../contestants/countersign.ts";
import type { Fact, Result, Sample } from "../results.ts";
import { type Field, measureOnce, type Options, type Row, warmUp } from "../rounds.ts";
import { ONE_TOKEN, tokens } from "../traffic.ts";
import { CONNECTIONS } from "./throughput.ts";

export const ONE_WORKER = countersign("countersign, 1 worker");
export const TWO_WORKERS = countersign("countersign, 2 workers", { workers: 2 });

/** Every worker has to verify each token once: so many are warm in both when the measurement begins. */
const MANY = 1000;

export const WORKER_SCENARIOS = [
  { name: "one warm token", traffic: ONE_TOKEN },
  { name: "1,000 warm tokens", traffic: tokens(MANY, "RS256") },
] as const;

export const smallerShare = (scenario: string) => `smaller share of two workers, ${scenario}`;

interface Running {
  readonly row: Row;
  readonly subject: CountersignSubject;
  readonly samples: Sample[];
  /** Percent, of the worker that did less. */
  readonly shares: number[];
}

/** What several workers cost, and how HAProxy shares the requests out. It has 2 threads, to feed both. */
export async function measureWorkers(
  field: Field,
  options: Options,
): Promise<{ readonly results: readonly Result[]; readonly facts: readonly Fact[] }> {
  const stage = { ...field.stage, cores: 2 as const };
  const subjects = new Map<CountersignContestant, CountersignSubject>();
  for (const contestant of [ONE_WORKER, TWO_WORKERS]) subjects.set(contestant, await contestant.start(stage));
  const running: readonly Running[] = WORKER_SCENARIOS.flatMap(({ name, traffic }) => {
    return [...subjects].map(([contestant, subject]) => {
      return {
        row: { contestant, scenario: name, traffic, connections: CONNECTIONS },
        subject,
        samples: [],
        shares: [],
      };
    });
  });
  for (const { row, subject } of running) await warmUp(stage, row, subject, options);
  for (let round = 1; round <= options.rounds; round++) {
    options.tell(`workers: round ${round} of ${options.rounds}, ${running.length} rows`);
    for (const { row, subject, samples, shares } of running) {
      const before = await decidedBy(subject);
      samples.push(await measureOnce(stage, row, subject, options));
      const decided = (await decidedBy(subject)).map((count, worker) => count - (before[worker] ?? 0));
      if (decided.length > 0)
        shares.push((100 * Math.min(...decided)) / decided.reduce((sum, count) => sum + count, 0));
    }
  }
  for (const { agent, haproxy } of subjects.values()) {
    haproxy.kill("SIGKILL");
    agent?.kill("SIGTERM");
  }
  const results = running.map(({ row: { scenario, contestant, connections }, samples }) => {
    return { section: "workers", scenario, contestant: contestant.name, connections, samples };
  });
  const shared = running.filter(({ shares }) => shares.length > 0);
  const facts = shared.map(({ row, shares }) => ({ name: smallerShare(row.scenario), unit: "%", values: shares }));
  return { results, facts };
}

/** Requests that each worker has decided so far; none where there is one process. */
async function decidedBy({ configured }: CountersignSubject): Promise<readonly number[]> {
  const response = await fetch(`http://127.0.0.1:${configured.admin}/status`);
  const { workers } = (await response.json()) as { workers: readonly { readonly requests: number }[] };
  return workers.map(({ requests }) => requests);
}
