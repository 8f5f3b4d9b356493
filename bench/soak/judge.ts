import { median } from "../results.ts";
import type { Sample } from "./samples.ts";
import { type Answers, LIMITS } from "./site.ts";

/** How much more of the memory the last third may have than the second one; and how many descriptors. */
export const MARGIN = 0.1;
export const SPARE = 4;
/** How many times as many requests the last third may have had: an agent that has more to do has more garbage. */
const ALIKE = 1.5;

/** What a soak has come to, and what must hold and does not. */
export interface Judgement {
  /** Medians of each third. */
  readonly thirds: readonly Sample[];
  readonly faults: readonly string[];
  /** What could not be judged, and why. */
  readonly unjudged: readonly string[];
}

/** A machine that others use as well may be slow, so nothing here is a time. */
export function judge(samples: readonly Sample[], answers: Answers): Judgement {
  const length = Math.ceil(samples.length / 3);
  const parts = [0, 1, 2].map((n) => samples.slice(n * length, (n + 1) * length));
  const thirds = parts.map(thirdOf);
  const [, second, last] = thirds;
  const faults: string[] = [];
  const must = (holds: boolean, fault: string) => {
    if (!holds) faults.push(fault);
  };
  must(answers.passed === 0, `${answers.passed} requests passed that must not`);
  must(answers.allowed > 0 && answers.refused > 0, "nothing was let in, or nothing refused");
  if (second === undefined || last === undefined || samples.length < 3) {
    return { thirds, faults: ["too few samples"], unjudged: [] };
  }
  const alike = last.rate <= second.rate * ALIKE;
  for (const name of alike ? (["resident", "heap"] as const) : []) {
    const [before, after] = [second[name], last[name]];
    must(
      after <= before * (1 + MARGIN),
      `${name}: ${after.toFixed(1)} MB in the last third, ${before.toFixed(1)} before`,
    );
  }
  // HAProxy opens and closes connections to the agent as it likes: a reload of it, or a slow moment, brings some.
  const [, before = 0, after = 0] = parts.map((part) => median(part.map((s) => s.descriptors - s.connections)));
  must(after <= before + SPARE, `${after} descriptors but for SPOP connections in the last third, ${before} before`);
  for (const name of ["identities", "refusals"] as const) {
    const most = Math.max(...samples.map((sample) => sample[name]));
    must(most <= LIMITS[name], `${name}: ${most} in a cache of ${LIMITS[name]}`);
  }
  const unlike = `memory: ${last.rate.toFixed(0)} requests a second in the last third, ${second.rate.toFixed(0)} before`;
  return { thirds, faults, unjudged: alike ? [] : [unlike] };
}

function thirdOf(samples: readonly Sample[]): Sample {
  const names = Object.keys(samples[0] ?? {}) as (keyof Sample)[];
  return Object.fromEntries(names.map((name) => [name, median(samples.map((s) => s[name]))])) as unknown as Sample;
}
