/** `npm run fuzz -- TARGET`: has readers read what nobody would write. docs/reliability.md says what came of it. */
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { commit } from "../../bench/page.ts";
import { type Outcome, run, save } from "./runner.ts";
import type { Target } from "./target.ts";
import { TARGETS } from "./targets.ts";

const USAGE = `npm run fuzz -- TARGET [options]
  TARGET           ${TARGETS.map(({ name }) => name).join(", ")}; or all
  --cases N        how many (100000); all targets share them
  --seed S         what they follow from (another one each time; it is told)
  --case K         only this one of them
  --input FILE     only what this file holds
  --limit MS       CPU time after which a case is a finding (2000)
  --findings DIR   where inputs are kept that were found (a folder of the machine's for passing files)
  --json           what came of it as JSON
  --help`;

/** The first part of a folder's name below which findings are kept. */
const FOLDER = "countersign-fuzz";

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      cases: { type: "string", default: "100000" },
      seed: { type: "string" },
      case: { type: "string" },
      input: { type: "string" },
      limit: { type: "string", default: "2000" },
      findings: { type: "string", default: join(tmpdir(), FOLDER) },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const [name = "", ...more] = positionals;
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const targets = name === "all" ? TARGETS : TARGETS.filter((target) => target.name === name);
  if (targets.length === 0 || more.length > 0) throw new Error(`TARGET "${positionals.join(" ")}"\n${USAGE}`);
  const seed = whole("seed", values.seed ?? String(randomInt(2 ** 31)));
  const only = values.case === undefined ? undefined : whole("case", values.case);
  const order = {
    seed,
    first: only ?? 0,
    cases: only === undefined ? whole("cases", values.cases) : 1,
    limit: whole("limit", values.limit),
  };
  process.stderr.write(`seed ${seed}, commit ${commit()}\n`);
  let found = false;
  for (const target of targets) {
    const outcome = await (values.input === undefined
      ? run(target, name === "all" ? { ...order, cases: shareOf(target, order.cases) } : order)
      : run(reading(target, readFileSync(values.input)), { ...order, first: 0, cases: 1 }));
    found ||= outcome.findings.length > 0;
    process.stdout.write(
      values.json ? `${JSON.stringify({ ...outcome, findings: outcome.findings.length, seed })}\n` : text(outcome),
    );
    for (const finding of outcome.findings) {
      const file = save(values.findings, finding);
      process.stdout.write(
        `  case ${finding.source}, kept as ${file}:\n    ${finding.problem.split("\n").slice(0, 6).join("\n    ")}\n`,
      );
    }
  }
  return found ? 1 : 0;
}

/** The target with this input as its only case. */
function reading(target: Target, input: Buffer): Target {
  return { ...target, open: async () => ({ ...(await target.open()), input: () => input }) };
}

function text({ target, cases, words, findings, seconds, longest }: Outcome): string {
  const came = Object.entries(words).map(([word, times]) => `${word} ${times}`);
  return `${target}: ${cases} cases, ${findings.length} findings, ${seconds.toFixed(0)} s of CPU, the longest ${longest.toFixed(0)} ms; ${came.join(", ")}\n`;
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} ${text}: a whole number`);
  return value;
}

/** Of so many cases of all. */
function shareOf({ share }: Target, cases: number): number {
  return Math.ceil((cases * share) / TARGETS.reduce((sum, each) => sum + each.share, 0));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 64;
}
