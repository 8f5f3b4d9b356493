import { type Compiled, compilePolicies, type PolicyEnvironment } from "../policies/compile/compile.ts";
import type { Fault } from "../policies/fault.ts";
import type { CompiledPolicies } from "../policies/judging/compiled.ts";
import type { Config, OidcIssuer } from "./config.ts";
import { loadConfig } from "./load-config.ts";
import { findPolicyFiles, readPolicyFiles } from "./policy-files.ts";

export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/** Configuration and policies that fit each other. */
export interface Loaded {
  readonly config: Config;
  readonly policies: CompiledPolicies;
  readonly warnings: readonly Fault[];
  /** Files with cases for `countersign test`. */
  readonly tests: readonly string[];
}

/** What a load came to. */
export type Outcome =
  | { readonly loaded: Loaded }
  | { readonly loaded: undefined; readonly faults: readonly Fault[]; readonly warnings: readonly Fault[] };

/** An outcome, with every file and directory that was read for it: what is to be watched. */
export type Load = Outcome & { readonly read: readonly string[] };

/** Reads the configuration file and all that it names, and checks all of it: every fault of every file at once. */
export async function load(file: string, { environment, clock }: Surroundings): Promise<Load> {
  const configured = loadConfig(file, environment);
  if (!("config" in configured))
    return { loaded: undefined, read: configured.files, faults: configured.faults, warnings: [] };
  const { config } = configured;
  const found = await findPolicyFiles(config.policies);
  const { texts, faults } = await readPolicyFiles(found.policies);
  const compiled = compilePolicies(texts, policyEnvironment(config, clock()));
  const read = [...configured.files, ...config.policies, ...found.policies];
  return { read, ...joined(config, compiled, [...found.faults, ...faults], configured.warnings, found.tests) };
}

function joined(
  config: Config,
  compiled: Compiled,
  unreadable: readonly Fault[],
  configWarnings: readonly Fault[],
  tests: readonly string[],
): Outcome {
  const warnings = [...configWarnings, ...compiled.warnings];
  if ("policies" in compiled && unreadable.length === 0) {
    return { loaded: { config, policies: compiled.policies, warnings, tests } };
  }
  return { loaded: undefined, faults: [...unreadable, ...("faults" in compiled ? compiled.faults : [])], warnings };
}

/** What the policies are held against. */
export function policyEnvironment(config: Config, now: number): PolicyEnvironment {
  return { issuers: config.issuers.map(policyIssuer), backends: Object.keys(config.haproxy.backends), now };
}

function policyIssuer({ name, audiences, kind, claims }: OidcIssuer) {
  return { name, audiences, kinds: claims.kind === undefined ? [kind] : undefined };
}
