import { type CountersignContestant, type CountersignSubject, countersign } from "../contestants/countersign.ts";
import { paced } from "../load/load.ts";
import type { Fact, Result, Sample } from "../results.ts";
import { type Field, measured, measureOnce, type Options, warmUp } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import { fileOf, ONE_TOKEN, type Traffic, tokens } from "../traffic.ts";
import { saturation } from "./latency.ts";
import { CONNECTIONS } from "./throughput.ts";

export const ONE_WORKER = countersign("countersign, 1 worker");
export const TWO_WORKERS = countersign("countersign, 2 workers", { workers: 2 });

export const SATURATED = "one warm token";
/** Every worker has to verify each token once: so few are warm in both when the measurement begins. */
export const SATURATED_MANY = "1,000 warm tokens";
/**
 * A request costs an agent the less the more of them wait for it, and where HAProxy is what is short of CPU, they wait
 * for one worker rather than for two. So what a second worker costs is seen where each has as much to do as one alone.
 */
export const EVEN = "a quarter of saturation for each worker";

interface Scenario {
  readonly name: string;
  readonly traffic: Traffic;
  /** Requests a second for each worker; as many as can be where there is none. */
  readonly rate?: number;
}

interface Running {
  readonly scenario: Scenario;
  readonly contestant: CountersignContestant;
  readonly subject: CountersignSubject;
  readonly samples: Sample[];
  /** Percent, of the worker that did less. */
  readonly shares: number[];
}

export const smallerShare = (scenario: string) => `smaller share of two workers, ${scenario}`;

/** What several workers cost, and how HAProxy shares the requests out. It has 2 threads, to feed both. */
export async function measureWorkers(
  field: Field,
  options: Options,
): Promise<{ readonly results: readonly Result[]; readonly facts: readonly Fact[] }> {
  const stage = { ...field.stage, cores: 2 as const };
  const one = await ONE_WORKER.start(stage);
  const two = await TWO_WORKERS.start(stage);
  const scenarios: readonly Scenario[] = [
    { name: SATURATED, traffic: ONE_TOKEN },
    { name: SATURATED_MANY, traffic: tokens(1000, "RS256") },
    { name: EVEN, traffic: ONE_TOKEN, rate: (await saturation(stage, one, options)) / 4 },
  ];
  const running: readonly Running[] = scenarios.flatMap((scenario) => [
    { scenario, contestant: ONE_WORKER, subject: one, samples: [], shares: [] },
    { scenario, contestant: TWO_WORKERS, subject: two, samples: [], shares: [] },
  ]);
  for (const each of running) await warmUp(stage, rowOf(each), each.subject, options);
  for (let round = 1; round <= options.rounds; round++) {
    options.tell(`workers: round ${round} of ${options.rounds}, ${running.length} rows`);
    for (const each of running) await measureRound(stage, each, options);
  }
  for (const { agent, haproxy } of [one, two]) {
    haproxy.kill("SIGKILL");
    agent?.kill("SIGTERM");
  }
  const results = running.map((each) => {
    const { scenario, contestant, connections } = rowOf(each);
    return { section: "workers", scenario, contestant: contestant.name, connections, samples: each.samples };
  });
  const shared = running.filter(({ shares }) => shares.length > 0);
  const facts = shared.map(({ scenario, shares }) => ({
    name: smallerShare(scenario.name),
    unit: "%",
    values: shares,
  }));
  return { results, facts };
}

async function measureRound(stage: Stage, each: Running, options: Options): Promise<void> {
  const { subject, scenario, contestant, samples, shares } = each;
  const before = await decidedBy(subject);
  if (scenario.rate === undefined) samples.push(await measureOnce(stage, rowOf(each), subject, options));
  else {
    const rate = scenario.rate * (contestant.variant.workers ?? 1);
    const load = { port: subject.port, file: fileOf(stage, scenario.traffic), connections: CONNECTIONS };
    samples.push(await measured(subject, scenario.traffic, () => paced({ ...load, rate, seconds: options.seconds })));
  }
  const decided = (await decidedBy(subject)).map((count, worker) => count - (before[worker] ?? 0));
  const all = decided.reduce((sum, count) => sum + count, 0);
  if (decided.length > 0) shares.push((100 * Math.min(...decided)) / all);
}

function rowOf({ scenario: { name, traffic }, contestant }: Running) {
  return { contestant, scenario: name, traffic, connections: CONNECTIONS };
}

/** Requests that each worker has decided so far; none where there is one process. */
async function decidedBy({ configured }: CountersignSubject): Promise<readonly number[]> {
  const response = await fetch(`http://127.0.0.1:${configured.admin}/status`);
  const { workers } = (await response.json()) as { workers: readonly { readonly requests: number }[] };
  return workers.map(({ requests }) => requests);
}
