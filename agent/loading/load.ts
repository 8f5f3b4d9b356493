import { isAmbient } from "../../haproxy/credentials.ts";
import { ownedHeaders } from "../../haproxy/owned-headers.ts";
import { isSession } from "../../haproxy/places.ts";
import { wholeIdentity } from "../../linkerd/identity.ts";
import { type CheckedPolicies, compilePolicies, type PolicyEnvironment } from "../../policies/compile/compile.ts";
import type { Fault } from "../../policies/fault.ts";
import type { CompiledPolicies } from "../../policies/judging/compiled.ts";
import type { Schema } from "../../policies/source/schema.ts";
import { type Config, hasClaims, type IssuerConfig } from "../config/config.ts";
import { loadConfig } from "../config/load-config.ts";
import type { IssuerTypes } from "../identity/issuer/issuer.ts";
import { exchanges } from "../identity/oidc/section.ts";
import { ISSUER_TYPES } from "../identity/types.ts";
import { findPolicyFiles, readPolicyFiles } from "./policy-files.ts";
import { silentParts } from "./silence.ts";

export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/** What configurations may hold; default: all that there is. */
export interface Known {
  readonly types: IssuerTypes;
  readonly schema?: Schema;
  /** Files and directories with policies, absolute, instead of the configuration's. */
  readonly policies?: readonly string[];
}

/** All that there is. */
export const ALL: Known = { types: ISSUER_TYPES };

/** Configuration and policies that fit each other. */
export interface Loaded {
  readonly config: Config;
  readonly policies: CompiledPolicies;
  /** What they were compiled from. */
  readonly checked: CheckedPolicies;
  readonly warnings: readonly Fault[];
  /** Of the warnings those about what says nothing: see silence.ts. */
  readonly silent: readonly Fault[];
  /** SHA-256 of the configuration as it is written, in hexadecimal. */
  readonly configuration: string;
  /** Files with cases for `countersign test`. */
  readonly tests: readonly string[];
}

/** What is wrong: nothing of it is used. */
export interface Failed {
  readonly loaded: undefined;
  readonly faults: readonly Fault[];
  readonly warnings: readonly Fault[];
  /** The configuration is at fault, so that policies were not looked at. */
  readonly unseen: boolean;
}

/** The same as plain data, which another thread or process can make; policies are yet to be compiled from it. */
export type CheckedSet = Omit<Loaded, "policies">;

/** What a load came to, with every file and directory that was read for it: what is to be watched. */
export type Load = { readonly read: readonly string[] } & ({ readonly loaded: Loaded } | Failed);

/** The same as plain data. */
export type Examined = { readonly read: readonly string[] } & ({ readonly loaded: CheckedSet } | Failed);

/** Reads the configuration file and all that it names, and checks it: every fault of it at once, or else of every policy file. */
export async function load(file: string, surroundings: Surroundings, known = ALL): Promise<Load> {
  const { read, outcome } = await readAll(file, surroundings, known);
  if (outcome.loaded === undefined) return { read, ...outcome };
  const { compiled, ...rest } = outcome.loaded;
  return { read, loaded: { ...rest, policies: compiled.policies, checked: compiled.checked } };
}

/** As `load`, but without what only the thread that judges can have. */
export async function examine(file: string, surroundings: Surroundings): Promise<Examined> {
  const { read, outcome } = await readAll(file, surroundings, ALL);
  if (outcome.loaded === undefined) return { read, ...outcome };
  const { compiled, ...rest } = outcome.loaded;
  return { read, loaded: { ...rest, checked: compiled.checked } };
}

async function readAll(file: string, { environment, clock }: Surroundings, { types, schema, policies }: Known) {
  const configured = loadConfig(file, environment, types, schema);
  if (!("config" in configured)) {
    return { read: configured.files, outcome: failed(configured.faults, [], true) };
  }
  const config = policies === undefined ? configured.config : { ...configured.config, policies };
  const found = await findPolicyFiles(config.policies);
  const { texts, faults } = await readPolicyFiles(found.policies);
  const compiled = compilePolicies(texts, policyEnvironment(config, clock()));
  const read = [...configured.files, ...config.policies, ...found.directories, ...found.policies];
  const unreadable = [...found.faults, ...faults];
  const warnings = [...configured.warnings, ...compiled.warnings];
  if ("faults" in compiled || unreadable.length > 0) {
    return {
      read,
      outcome: failed([...unreadable, ...("faults" in compiled ? compiled.faults : [])], warnings, false),
    };
  }
  const silent = silentParts(file, found.policies, compiled.checked);
  const loaded = {
    config,
    configuration: configured.digest,
    tests: found.tests,
    compiled,
    warnings: [...warnings, ...silent],
    silent,
  };
  return { read, outcome: { loaded } };
}

function failed(faults: readonly Fault[], warnings: readonly Fault[], unseen: boolean): Failed {
  return { loaded: undefined, faults, warnings, unseen };
}

/** What the policies are held against. */
export function policyEnvironment(config: Config, now: number): PolicyEnvironment {
  const issuers = config.issuers.map((issuer) => {
    const { name, audiences, credentials, proofs, kinds, arns, trustDomains, labels = [] } = issuer;
    const ambient = credentials.some(isAmbient);
    const server = serverOf(issuer);
    const given = { name, audiences, credentials, ambient, proofs, kinds, arns, trustDomains, labels, server };
    return { ...given, exchanges: exchanges(issuer), sessions: credentials.some(isSession) };
  });
  return {
    issuers,
    backends: Object.keys(config.haproxy.backends),
    headers: ownedHeaders(issuers.flatMap(({ credentials }) => credentials)),
    identitySuffix: config.mesh === undefined ? "" : wholeIdentity("a.b", config.mesh).slice("a.b".length),
    now,
  };
}

/** Where clients get tokens of this issuer; undefined where it has no address. */
function serverOf(issuer: IssuerConfig): string | undefined {
  return hasClaims(issuer) && URL.canParse(issuer.issuer) ? issuer.issuer : undefined;
}
