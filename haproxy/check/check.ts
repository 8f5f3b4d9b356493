import { MESSAGE } from "../arguments.ts";
import { absentBackends, nothingProtected } from "./absent.ts";
import { TooLarge } from "./bdd.ts";
import { environmentFindings } from "./environment.ts";
import { type Finding, finding, merged } from "./finding.ts";
import { meshFindings } from "./mesh.ts";
import { type Model, modelOf, type ReadFile } from "./model.ts";
import type { Knowledge } from "./protection.ts";
import type { SourceFile } from "./reader.ts";
import { runtimeSockets } from "./runtime.ts";
import { unknownLines, unreadLines } from "./vocabulary.ts";
import { Proof } from "./ways.ts";
import { type Deployment, everyWorld } from "./world.ts";

/** What is to be proven of which files. */
export interface CheckInput extends Deployment, Knowledge {
  /** In the order of HAProxy's `-f`. */
  readonly files: readonly SourceFile[];
  /** Reads the SPOE files. */
  readonly readFile: ReadFile;
  /** Of these names the one that was probably meant. */
  readonly nearest: (name: string, known: readonly string[]) => string | undefined;
}

/** What was found, and how much of the files was looked at. */
export interface CheckReport {
  readonly findings: readonly Finding[];
  /** In how many ways the files can be read. */
  readonly worlds: number;
  /** Lines that say something, and those of them that are not understood, wherever they stand. */
  readonly lines: number;
  readonly unread: number;
  /** Names of the backends that are protected. */
  readonly guarded: readonly string[];
  /** And of those that a verdict may name, where no policies say whether it does. */
  readonly perhaps: readonly string[];
}

/** Names of backends, gathered in all worlds. */
interface Names {
  readonly guarded: Set<string>;
  readonly perhaps: Set<string>;
}

/**
 * Proves that no request reaches a protected backend without the agent's verdict for it, in every way in which the
 * files can be read, and tells each line that breaks it. What is not understood is told as not proven.
 */
export function checkHaproxy(input: CheckInput): CheckReport {
  const worlds: { readonly described: readonly string[]; readonly findings: readonly Finding[] }[] = [];
  const names: Names = { guarded: new Set(), perhaps: new Set() };
  let [lines, unread] = [0, 0];
  try {
    everyWorld(input, (world) => {
      const model = modelOf(input.files, input.readFile, world);
      lines = Math.max(
        lines,
        model.sections.reduce((sum, { statements }) => sum + statements.length + 1, 0),
      );
      unread = Math.max(unread, unreadLines(model));
      const findings = findingsOf(model, input, names);
      worlds.push({ described: world.described, findings });
    });
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
    worlds.push({ described: [], findings: [tooLarge(input, error.message)] });
  }
  const found = merged(
    worlds,
    input.files.map(({ name }) => name),
  );
  const empty = names.perhaps.size === 0 && found.every(({ level }) => level === "warning");
  return {
    findings: empty ? [nothingProtected(input), ...found] : found,
    worlds: worlds.length,
    lines,
    unread,
    guarded: [...names.guarded].sort(),
    perhaps: [...names.perhaps].filter((name) => !names.guarded.has(name)).sort(),
  };
}

function findingsOf(model: Model, input: CheckInput, names: Names): readonly Finding[] {
  const syntax = model.faults.map((fault) =>
    finding("fault", "syntax", fault, `HAProxy does not load this: ${fault.found}`, fault.right),
  );
  // HAProxy does not start on it: there is nothing to prove.
  if (syntax.length > 0) return syntax;
  const missing = model.missing.map((fault) => finding("unproven", "missing", fault, fault.found, fault.right));
  return [
    ...syntax,
    ...missing,
    ...absentBackends(model, input),
    ...unknownLines(model),
    ...environmentFindings(model),
    ...nobodyAsks(model, input),
    ...meshFindings(model),
    ...proofOf(model, input, names),
    ...(names.perhaps.size > 0 ? runtimeSockets(model) : []),
  ];
}

function proofOf(model: Model, input: CheckInput, names: Names): readonly Finding[] {
  try {
    const proof = new Proof(model, input);
    const findings = proof.run();
    for (const { name } of proof.guarded.certain) names.guarded.add(name);
    for (const { name } of proof.guarded.possible) names.perhaps.add(name);
    return findings;
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
    return [tooLarge(input, error.message)];
  }
}

/** Without a question there is nothing to prove, and nothing is judged. */
function nobodyAsks({ engines, missing }: Model, { files }: CheckInput): readonly Finding[] {
  const asked = [...engines.values()].flat().some(({ messages }) => messages.some(({ name }) => name === MESSAGE));
  if (asked || missing.length > 0) return [];
  const place = { file: files[0]?.name ?? "", line: 1, column: 1 };
  return [
    finding(
      "fault",
      "gate",
      place,
      `no "filter spoe" sends the message ${MESSAGE}: every request passes without a verdict`,
      "merge what countersign generate haproxy --fragment writes",
    ),
  ];
}

function tooLarge({ files }: CheckInput, why: string): Finding {
  return finding(
    "unproven",
    "bound",
    { file: files[0]?.name ?? "", line: 1, column: 1 },
    `nothing is proven: ${why}`,
    "say --haproxy-version and --define, or make the conditions simpler",
  );
}
