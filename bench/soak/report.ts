import { loadavg } from "node:os";
import type { Judgement } from "./judge.ts";
import type { Sample } from "./samples.ts";
import type { Answers } from "./site.ts";

export interface Soak extends Judgement {
  readonly haproxy: string;
  readonly commit: string;
  readonly samples: readonly Sample[];
  readonly answers: Answers;
}

const ROWS: readonly (readonly [string, keyof Sample, number])[] = [
  ["requests a second", "rate", 0],
  ["CPU of the agent, cores", "cpu", 2],
  ["agent, resident MB", "resident", 0],
  ["agent, heap MB", "heap", 0],
  ["agent, buffers MB", "external", 1],
  ["agent, open descriptors", "descriptors", 0],
  ["SPOP connections", "connections", 0],
  ["requests in flight", "inFlight", 0],
  ["cached identities", "identities", 0],
  ["cached refusals", "refusals", 0],
  ["HAProxy, resident MB", "haproxyResident", 0],
  ["HAProxy, open descriptors", "haproxyDescriptors", 0],
];

/** The soak as docs/reliability.md has it. */
export function report({ haproxy, commit, samples, answers, thirds, faults, unjudged }: Soak): string {
  const last = samples.at(-1);
  const rows = ROWS.map(([what, name, digits]) => {
    const most = Math.max(...samples.map((sample) => sample[name]));
    return [what, ...thirds.map((third) => third[name].toFixed(digits)), most.toFixed(digits)];
  });
  const table = [
    ["median of", "first third", "second third", "last third", "most"],
    ["---", "--:", "--:", "--:", "--:"],
    ...rows,
  ];
  const { requests, allowed, refused, passed, mistaken, unanswered } = answers;
  return `Commit ${commit}, HAProxy ${haproxy}, ${samples.length} samples in ${Math.round((last?.at ?? 0) / 60)} minutes, load average at the end ${loadavg()[0]?.toFixed(1)}.

${table.map((row) => `| ${row.join(" | ")} |`).join("\n")}

Requests ${requests}: good ones let in ${allowed}, good ones refused ${mistaken}, bad ones refused ${refused}, bad ones let in ${passed}, without an answer ${unanswered}. Log lines lost ${last?.linesLost}, decisions that the audit log lost ${last?.auditLost}.

${verdict(faults, unjudged)}
`;
}

function verdict(faults: readonly string[], unjudged: readonly string[]): string {
  const bad = [...faults.map((fault) => `FAULT: ${fault}`), ...unjudged.map((what) => `NOT JUDGED: ${what}`)];
  return bad.length === 0 ? "All that must hold does." : bad.join("\n");
}
