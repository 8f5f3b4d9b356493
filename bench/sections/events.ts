import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CountersignSubject, countersign, serve } from "../contestants/countersign.ts";
import { policy, startGenerated } from "../contestants/generated.ts";
import { floodAdmin } from "../load/admin-flood.ts";
import { paced } from "../load/load.ts";
import type { Result, Sample } from "../results.ts";
import { type Field, measured, type Options } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import { fileOf, oneToken } from "../traffic.ts";
import { saturationOf } from "./latency.ts";
import { CONNECTIONS } from "./throughput.ts";

const ROUTES = 1000;
const TRAFFIC = oneToken(ROUTES);
const DISTURBED = countersign("countersign, 1,000 routes", { routes: ROUTES });

/** Milliseconds after a disturbance, in which HAProxy's checks find out and an old process ends. */
const SETTLE = 2000;

/** Disturbs a subject while it is under load, for so many seconds if it lasts; what it leaves running takes the load from then on. */
type Disturb = (stage: Stage, subject: CountersignSubject, seconds: number) => Promise<CountersignSubject>;

const EVENTS: Readonly<Record<string, Disturb>> = {
  nothing: async (_stage, subject) => subject,
  "policy reload": async (_stage, subject) => {
    const text = `${policy(DISTURBED.variant)}# changed at ${Date.now()}\n`;
    writeFileSync(join(subject.configured.folder, "policies/orders.yaml"), text);
    return subject;
  },
  "agent restart": async (stage, subject) => {
    subject.agent?.kill("SIGTERM");
    await subject.agent?.ended();
    return { ...subject, agent: await serve(stage, subject.configured) };
  },
  "HAProxy reload": async (stage, subject) => {
    const old = String(subject.haproxy.pid);
    return { ...subject, haproxy: await startGenerated(stage, subject.configured, ["-sf", old]) };
  },
  "admin listener flooded": async (_stage, subject, seconds) => {
    await floodAdmin(subject.configured.admin, seconds);
    return subject;
  },
};

/** Each disturbance once a round, in the middle of a load that does not wait for answers. */
export async function measureEvents(field: Field, options: Options): Promise<readonly Result[]> {
  const rate = (await saturationOf(field, options)) / 4;
  let subject = await DISTURBED.start(field.stage);
  const rows = Object.entries(EVENTS).map(([scenario, disturb]) => ({ scenario, disturb, samples: [] as Sample[] }));
  for (let round = 0; round <= options.rounds; round++) {
    options.tell(`events: ${round === 0 ? "warming up" : `round ${round} of ${options.rounds}`}`);
    for (const { disturb, samples } of rows) {
      const outcome = await measureEvent(field.stage, subject, disturb, rate, options.seconds);
      subject = outcome.subject;
      if (round > 0) samples.push(outcome.sample);
    }
  }
  return rows.map(({ scenario, samples }) => {
    return { section: "events", scenario, contestant: DISTURBED.name, connections: CONNECTIONS, samples };
  });
}

async function measureEvent(
  stage: Stage,
  subject: CountersignSubject,
  disturb: Disturb,
  rate: number,
  seconds: number,
) {
  const load = { port: subject.port, file: fileOf(stage, TRAFFIC), connections: CONNECTIONS, rate };
  const disturbed = new Promise<CountersignSubject>((resolve, reject) => {
    setTimeout(() => disturb(stage, subject, seconds).then(resolve, reject), seconds * 500);
  });
  const seen = await paced({ ...load, seconds: seconds * 2 });
  const after = await disturbed;
  await new Promise((resolve) => setTimeout(resolve, SETTLE));
  return { subject: after, sample: await measured(after, TRAFFIC, async () => seen) };
}
