import { PLAIN } from "../contestants/handwritten.ts";
import { type Load, paced, type Seen } from "../load/load.ts";
import { median, type Result, type Sample } from "../results.ts";
import { type Field, measured, type Options } from "../rounds.ts";
import type { Stage, Subject } from "../stage.ts";
import { fileOf, GARBAGE, ONE_TOKEN, type Traffic } from "../traffic.ts";
import { CONNECTIONS, COUNTERSIGN } from "./throughput.ts";

export const HALF = "half of saturation";
export const QUARTER = "a quarter of saturation";
export const FLOOD = "a quarter of saturation, as much garbage beside it";

/** A p99 is made by few requests: it takes more rounds than a mean, until its median stays where it is. */
export const TIMES = 2;

/** Seconds for which other requests are there before and after: the start of their client is not what is measured. */
const LEAD = 1;

/**
 * Requests a second that Countersign answers at most, with one warm identity, to the client that the latencies are taken
 * with: where it shares the machine, half of what a lighter one can send may be all that this one can.
 */
export async function saturation(stage: Stage, { port }: Subject, { seconds }: Options): Promise<number> {
  const load = { port, file: fileOf(stage, ONE_TOKEN), connections: CONNECTIONS };
  await paced({ ...load, seconds: 2 });
  const rates: number[] = [];
  for (let i = 0; i < 3; i++) {
    const { requests, seconds: lasted } = await paced({ ...load, seconds });
    rates.push(requests / lasted);
  }
  return median(rates);
}

/** Of the Countersign that the other sections measure. */
export async function saturationOf(field: Field, options: Options): Promise<number> {
  const subject = await field.subject(COUNTERSIGN);
  if (subject === undefined) throw new Error("Countersign is missing");
  return await saturation(field.stage, subject, options);
}

/**
 * How long requests take at a rate that does not depend on the answers. Both sides of a comparison get the same rate,
 * from the same client, so what the client itself adds is in both.
 */
export async function measureLatency(field: Field, options: Options): Promise<readonly Result[]> {
  const most = await saturationOf(field, options);
  options.tell(`latency: Countersign is saturated at ${Math.round(most)} requests/s`);
  const rows = [
    { contestant: PLAIN, scenario: HALF, rate: most / 2 },
    { contestant: COUNTERSIGN, scenario: HALF, rate: most / 2 },
    { contestant: COUNTERSIGN, scenario: QUARTER, rate: most / 4 },
    { contestant: COUNTERSIGN, scenario: FLOOD, rate: most / 4, beside: { traffic: GARBAGE, rate: most / 4 } },
  ].map((row) => ({ ...row, samples: [] as Sample[] }));
  const rounds = options.rounds * TIMES;
  for (let round = 1; round <= rounds; round++) {
    options.tell(`latency: round ${round} of ${rounds}`);
    for (const { contestant, rate, beside, samples } of rows) {
      const subject = await field.subject(contestant);
      if (subject !== undefined) samples.push(await measureAt(field.stage, subject, rate, options.seconds, beside));
    }
  }
  return rows.map(({ contestant, scenario, samples }) => {
    return { section: "latency", scenario, contestant: contestant.name, connections: CONNECTIONS, samples };
  });
}

/** Other requests at the same time, which are not measured. */
interface Beside {
  readonly traffic: Traffic;
  /** Requests a second. */
  readonly rate: number;
}

/** How long requests with one warm token take at a rate. */
export async function measureAt(
  stage: Stage,
  subject: Subject,
  rate: number,
  seconds: number,
  beside?: Beside,
): Promise<Sample> {
  const load: Load = { port: subject.port, file: fileOf(stage, ONE_TOKEN), connections: CONNECTIONS };
  let others = 0;
  const sample = await measured(subject, ONE_TOKEN, async () => {
    const sending = beside === undefined ? undefined : sendBeside(stage, load, seconds, beside);
    if (sending !== undefined) await new Promise((resolve) => setTimeout(resolve, LEAD * 1000));
    const seen = await paced({ ...load, rate, seconds });
    others = (await sending)?.requests ?? 0;
    return seen;
  });
  // The cost was of all requests, the latencies are of the measured ones.
  const share = sample.requests / (sample.requests + others);
  return { ...sample, haproxy: sample.haproxy * share, agent: sample.agent * share };
}

function sendBeside(stage: Stage, load: Load, seconds: number, { traffic, rate }: Beside): Promise<Seen> {
  return paced({ ...load, file: fileOf(stage, traffic), rate, seconds: seconds + 2 * LEAD });
}
