import type { Test } from "tap";
import type { Finding } from "../../haproxy/check/finding.ts";
import { checkConfig, freePort, type HaproxyBinary, minorOf } from "../support/haproxy.ts";
import { filesFor } from "../support/rendered.ts";
import { attack, startField } from "./hostile.ts";
import { mutantsOf } from "./mutants.ts";
import { prove } from "./proving.ts";

/** What became of one mutant. */
export interface Outcome {
  readonly name: string;
  /** What a hostile client got through, in words; nothing where all was refused. */
  readonly through: readonly string[];
  readonly said: "flagged" | "not proven" | "warned" | "fine";
  readonly findings: readonly Finding[];
}

/**
 * Proves the generated files and every n-th of their mutants that HAProxy loads, and runs each with a hostile client
 * and an agent that answers badly when it is told to.
 *
 * @param t ends agent, backend and HAProxys
 */
export async function* outcomesOf(t: Test, binary: HaproxyBinary, every: number): AsyncGenerator<Outcome> {
  const field = await startField(t);
  const [front, other] = [await freePort(), await freePort()];
  const { agent, backend } = field;
  const whole = { ...filesFor(binary, `127.0.0.1:${front}`, agent, backend.port, { deadline: 50 }) };
  const mutants = mutantsOf(whole, { other, backend: backend.port }).filter((_, index) => index % every === 0);
  for (const { name, files } of [{ name: "unchanged", files: whole }, ...mutants]) {
    if (checkConfig(binary, files).status !== 0) continue;
    const { findings } = prove(files, {
      version: minorOf(binary),
      backends: ["orders"],
      identityPrefix: "x-auth-",
      identityHeaders: ["x-auth-subject"],
    });
    const through = await alone((own) => attack(own, binary, files, field, [front, other]));
    yield { name, through, said: summary(findings), findings };
  }
}

function summary(findings: readonly Finding[]): Outcome["said"] {
  const has = (wanted: Finding["level"]) => findings.some(({ level }) => level === wanted);
  return has("fault") ? "flagged" : has("unproven") ? "not proven" : has("warning") ? "warned" : "fine";
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
