import { resolve } from "node:path";
import { type CaseResult, type RuleCoverage, runSuite } from "../../policies/tools/suite.ts";
import { policyEnvironment } from "../loading/load.ts";
import { readPolicyFiles } from "../loading/policy-files.ts";
import { EXIT } from "../processes/exit.ts";
import {
  CONFIG_OPTION,
  type Command,
  CommandError,
  type Context,
  faultsText,
  JSON_OPTION,
  jsonText,
  loadOrFail,
  type Options,
} from "./command.ts";

export const TEST: Command = {
  usage: "test [FILES] [--config FILE] [--json]",
  summary: "judge the cases of test files by the policies",
  help: `
Without FILES, all *.test.yaml beside the policies. Exit code 1 where a case is not as expected. docs/policies.md
describes the cases.
`,
  example: "countersign test policies/orders.test.yaml",
  options: { ...CONFIG_OPTION, ...JSON_OPTION },
  positionals: [0, 1000],
  run: test,
};

async function test(files: readonly string[], options: Options, context: Context): Promise<number> {
  const { config, policies, tests } = await loadOrFail(options, context);
  const chosen = files.length > 0 ? files.map((file) => resolve(file)) : tests;
  if (chosen.length === 0)
    throw new CommandError("no test files: put a *.test.yaml beside the policies, or name one", EXIT.configuration);
  const { texts, faults } = await readPolicyFiles(chosen);
  const result = runSuite(texts, policies, policyEnvironment(config, context.clock()));
  const all = [...faults, ...result.faults];
  const code = files.length > 0 && faults.length > 0 ? EXIT.noInput : EXIT.configuration;
  if (all.length > 0) throw new CommandError(faultsText(all), code);
  const failed = result.cases.filter(({ differences }) => differences.length > 0).length;
  if (options.json === true)
    context.out(
      jsonText({ passed: result.cases.length - failed, failed, cases: result.cases, coverage: result.coverage }),
    );
  else
    context.out(
      `${table(result.cases)}\n${coverageText(result.coverage)}\n${result.cases.length - failed} passed, ${failed} failed\n`,
    );
  return failed === 0 ? EXIT.fine : EXIT.bad;
}

function table(cases: readonly CaseResult[]): string {
  const width = Math.max(...cases.map(({ name }) => name.length));
  return cases.map((each) => row(each, width)).join("");
}

function row({ file, line, name, request, decision, differences }: CaseResult, width: number): string {
  const { verdict, reason, rule } = decision;
  const head = `${differences.length === 0 ? "pass" : "FAIL"}  ${name.padEnd(width)}  ${verdict.padEnd(5)}  ${reason}  ${rule}\n`;
  return (
    head +
    differences.map((difference) => `      ${difference}\n`).join("") +
    (differences.length === 0 ? "" : `      ${request}\n      at ${file}:${line}\n`)
  );
}

/** Rules whose effect no case shows are where a mistake would go unnoticed. */
function coverageText(coverage: readonly RuleCoverage[]): string {
  const width = Math.max(...coverage.map(({ rule }) => rule.length));
  const rows = coverage.map(({ rule, allowed, refused }) => {
    const missing = allowed === 0 ? "no case that it allows" : refused === 0 ? "no case that it refuses" : "";
    return `${rule.padEnd(width)}  ${String(allowed).padStart(7)}  ${String(refused).padStart(7)}  ${missing}`.trimEnd();
  });
  return [`${"rule".padEnd(width)}  allowed  refused`, ...rows, ""].join("\n");
}
