import type { Fault } from "./faults.ts";
import { type Count, countOf } from "./ledger.ts";
import { Load } from "./load.ts";
import type { Stage } from "./stage.ts";

/** The most milliseconds of load after a fault, until somebody is let in again. */
const TAIL = 10_000;

/** How much of a fault. */
export interface Extent {
  /** It goes wrong again until so many have passed; at least once. */
  readonly seconds: number;
  /** Requests a second. */
  readonly rate: number;
}

/** Puts a stage under load while something goes wrong, and counts what became of every request. */
export async function tryFault(stage: Stage, fault: Fault, { seconds, rate }: Extent): Promise<Count> {
  await stage.traffic.renew();
  await fault.before?.(stage);
  await untilAllowed(stage);
  const [from, arrivals] = [stage.logged(), stage.backend.arrived.length];
  stage.relay.said.clear();
  stage.healed = [];
  const load = new Load(stage.ports.front, stage.traffic, rate);
  load.start();
  try {
    await pause(stage.pause / 2);
    const end = performance.now() + seconds * 1000;
    do {
      await fault.once(stage);
      await recovered(load, stage);
    } while (performance.now() < end);
  } finally {
    await load.stop();
  }
  // Records are written together, every tenth of a second.
  await pause(300);
  const { said } = stage.relay;
  const arrived = stage.backend.arrived.slice(arrivals);
  const count = countOf({ sent: load.sent, arrived, said, log: stage.log(from), healed: stage.healed });
  await fault.after?.(stage);
  return count;
}

/** Until somebody was let in who asked after all was well, and a little longer; or it takes too long. */
async function recovered(load: Load, { healed, pause: little }: Stage): Promise<void> {
  const since = healed.at(-1) ?? performance.now();
  const isBack = () => load.sent.some(({ at, status }) => at >= since && status === 200);
  while (!isBack() && performance.now() < since + TAIL) await pause(20);
  await pause(little / 2);
}

async function untilAllowed(stage: Stage): Promise<void> {
  const load = new Load(stage.ports.front, stage.traffic, 1);
  for (let tried = 0; tried < 200; tried++) {
    if ((await load.send(stage.traffic.good())).status === 200) return await load.stop();
    await pause(50);
  }
  throw new Error("nobody is let in, before anything is wrong");
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}
