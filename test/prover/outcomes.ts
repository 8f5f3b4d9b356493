import type { Test } from "tap";
import type { CheckInput } from "../../haproxy/check/check.ts";
import type { Finding } from "../../haproxy/check/finding.ts";
import { checkConfig, type HaproxyBinary, minorOf, startHaproxy } from "../support/haproxy.ts";
import { filesFor } from "../support/rendered.ts";
import { Field } from "./field.ts";
import { attack, type Through } from "./hostile.ts";
import { type Entrance, type Files, knownOf, MERGED, mergedFiles } from "./merged.ts";
import { type Kind, type Mutant, mutantsOf, OTHER } from "./mutants.ts";
import { prove } from "./proving.ts";

/** What became of one mutant. */
export interface Outcome {
  /** The configuration that it was made of. */
  readonly of: string;
  readonly kind: Kind | "unchanged";
  readonly name: string;
  /** What got through; nothing where all was refused. */
  readonly through: readonly Through[];
  readonly said: "flagged" | "not proven" | "warned" | "fine";
  readonly findings: readonly Finding[];
}

/** A configuration that mutants are made of, what is known of it, and where requests come in. */
interface Subject {
  readonly name: string;
  readonly files: Files;
  readonly known: Partial<CheckInput>;
  readonly entrances: readonly Entrance[];
}

/** How many, and which. */
export interface Selection {
  /** Of each kind and configuration, as far as there are so many that HAProxy loads; undefined for all. */
  readonly each: number | undefined;
  readonly seed: number;
  /** Default: all. */
  readonly kinds?: readonly Kind[];
}

const IN = { host: "orders.example.com", tls: false };
/** Long enough for the agent, short for what it does not answer. */
const DEADLINE = 100;

/** The files that are generated whole, and those of others that the fragment is merged into. */
function subjects(binary: HaproxyBinary): readonly Subject[] {
  const version = minorOf(binary);
  return [
    {
      name: "generated",
      files: { ...filesFor(binary, "127.0.0.1:18080", 9000, 21_001, { deadline: DEADLINE }) },
      known: { backends: ["orders"], identityPrefix: "x-auth-", identityHeaders: ["x-auth-subject"] },
      entrances: [{ ...IN, port: 18_080, judged: true }],
    },
    ...MERGED.map((one) => ({
      name: one.name,
      files: mergedFiles(one, { version, deadline: DEADLINE }),
      known: knownOf(one),
      entrances: one.entrances,
    })),
  ];
}

/**
 * Proves configurations and their mutants that HAProxy loads, and runs each with a hostile client, an agent that
 * answers badly when it is told to, and none.
 *
 * @param t ends agent and servers; the HAProxys end by themselves
 */
export async function* outcomesOf(t: Test, binary: HaproxyBinary, selection: Selection): AsyncGenerator<Outcome> {
  const field = new Field(t);
  for (const subject of subjects(binary)) {
    const whole = { kind: "unchanged", name: "unchanged", files: subject.files } as const;
    const counts = new Map<string, number>();
    for (const mutant of [whole, ...shuffled(mutantsOf(subject.files), selection.seed)]) {
      const count = counts.get(mutant.kind) ?? 0;
      if (mutant.kind !== "unchanged" && count >= most(mutant.kind, selection)) continue;
      const placed = await field.placed(mutant.files);
      if (checkConfig(binary, placed).status !== 0) continue;
      counts.set(mutant.kind, count + 1);
      yield await outcomeOf(mutant, placed, subject, field, binary);
    }
  }
}

function most(kind: Kind, { each = Number.POSITIVE_INFINITY, kinds }: Selection): number {
  return kinds === undefined || kinds.includes(kind) ? each : 0;
}

async function outcomeOf(
  { kind, name, files }: Omit<Mutant, "kind"> & Pick<Outcome, "kind">,
  placed: Files,
  subject: Subject,
  field: Field,
  binary: HaproxyBinary,
): Promise<Outcome> {
  const { findings } = prove(files, { ...subject.known, version: minorOf(binary) });
  const through = await alone(async (own) => {
    const entrances = [...subject.entrances, { ...IN, port: OTHER, judged: false }];
    const at = await Promise.all(entrances.map(async (one) => ({ ...one, port: await field.port(one.port) })));
    await field.come();
    await startHaproxy(own, binary, placed, at[0]?.port ?? 0);
    return await attack(field, at);
  });
  return { of: subject.name, kind, name, through, said: summary(findings), findings };
}

function summary(findings: readonly Finding[]): Outcome["said"] {
  const has = (wanted: Finding["level"]) => findings.some(({ level }) => level === wanted);
  return has("fault") ? "flagged" : has("unproven") ? "not proven" : has("warning") ? "warned" : "fine";
}

/** In an order that the seed says. */
function shuffled<T>(items: readonly T[], seed: number): readonly T[] {
  let state = seed >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  return items
    .map((item) => ({ item, place: next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

/** What the run starts ends with it: two HAProxys on one port would share it. */
export async function alone<T>(run: (t: Test) => Promise<T>): Promise<T> {
  const ends: (() => unknown)[] = [];
  try {
    return await run({ teardown: (end: () => unknown) => ends.push(end) } as unknown as Test);
  } finally {
    for (const end of ends) await end();
  }
}
