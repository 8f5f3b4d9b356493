import { hash } from "node:crypto";
import { claimPath } from "../claim-path.ts";
import { type Fault, faultText } from "../fault.ts";
import { type Binding, claimsOf, type PolicyIssuer } from "../judging/binding.ts";
import { CompiledPolicies } from "../judging/compiled.ts";
import { MOST_HEADERS, type OwnedHeaders } from "../judging/headers.ts";
import { type Role, Roles } from "../judging/roles.ts";
import type { Uses } from "../policies.ts";
import schema from "../policy-file.schema.json" with { type: "json" };
import { readDocument } from "../source/document.ts";
import { nearest, schemaFaults } from "../source/validate.ts";
import { checkSharedCors } from "./cors.ts";
import { Expressions } from "./expressions.ts";
import { Findings, Place, Placeless, type Source } from "./findings.ts";
import { checkMeshes } from "./mesh.ts";
import type { PolicyFile } from "./policy-file.ts";
import { checkResources } from "./resource.ts";
import { type BindingPlaces, compileRoles, type RoleEntry } from "./roles.ts";
import { type CompiledService, compileService, type ServicePlace } from "./service.ts";
import { compileSites } from "./sites.ts";
import { soundPart } from "./sound.ts";

/** A policy file as read; `file` is how faults name it. */
export interface PolicyText {
  readonly file: string;
  readonly text: string;
}

/** What the policies are held against. */
export interface PolicyEnvironment {
  readonly issuers: readonly PolicyIssuer[];
  /** Names of the HAProxy backends that the configuration knows; empty where it leaves all to the reader's haproxy.cfg. */
  readonly backends: readonly string[];
  /** Those that are not the policies'. */
  readonly headers: OwnedHeaders;
  /** What the mesh adds to an identity that is written short; empty where there is no mesh. */
  readonly identitySuffix: string;
  /** Milliseconds since the epoch, for warnings about bindings that have ended. */
  readonly now: number;
}

/** A policy file that has been checked, without the places of what is in it; plain data. */
export interface CheckedFile {
  readonly file: string;
  /** SHA-256 of its text, in hexadecimal. */
  readonly sha256: string;
  readonly content: PolicyFile;
}

/** A set of policy files that was compiled once without a fault. It may travel to another thread, and be compiled there. */
export interface CheckedPolicies {
  readonly revision: string;
  readonly files: readonly CheckedFile[];
}

export type Compiled =
  | {
      readonly policies: CompiledPolicies;
      readonly checked: CheckedPolicies;
      readonly warnings: readonly Fault[];
    }
  | { readonly faults: readonly Fault[]; readonly warnings: readonly Fault[] };

/** Compiles a set of policy files, or says everything that is wrong with it. Pure: the same texts give the same policies. */
export function compilePolicies(texts: readonly PolicyText[], environment: PolicyEnvironment): Compiled {
  const findings = new Findings();
  const readable = read(texts, findings);
  const revision = revisionOf(texts);
  const steps = compile({ revision, checked: false }, readable, environment, findings);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  const order = texts.map(({ file }) => file);
  const warnings = sorted(findings.warnings, order);
  if (findings.faults.length > 0) return { faults: sorted(findings.faults, order), warnings };
  const digests = new Map(texts.map(({ file, text }) => [file, hash("sha256", text)]));
  const files = readable.map(({ document: { file }, content }) => ({ file, sha256: digests.get(file) ?? "", content }));
  return { policies: step.value, checked: { revision, files }, warnings };
}

/**
 * Compiles policies that have been checked, a little at each `next`: who has requests to answer does so in between.
 *
 * @throws Error where they have a fault all the same
 */
export function* compileChecked(
  { revision, files }: CheckedPolicies,
  environment: PolicyEnvironment,
): Generator<undefined, CompiledPolicies> {
  const findings = new Findings();
  const readable = files.map(({ file, content }) => ({ document: new Placeless(file), content }));
  const policies = yield* compile({ revision, checked: true }, readable, environment, findings);
  const [fault] = findings.faults;
  if (fault !== undefined) throw new Error(`checked policies with a fault: ${faultText(fault)}`);
  return policies;
}

function* compile(
  { revision, checked }: { readonly revision: string; readonly checked: boolean },
  readable: readonly Readable[],
  { issuers, backends, headers: owned, identitySuffix, now }: PolicyEnvironment,
  findings: Findings,
): Generator<undefined, CompiledPolicies> {
  const { roles: roleEntries, services } = collect(readable, findings);
  const { roles, ordered, places } = compileRoles(roleEntries, issuers, now, findings);
  const usage = new Map<Role, Set<string>>();
  const used = (role: Role, by: ReadonlySet<string>) => usage.set(role, new Set([...(usage.get(role) ?? []), ...by]));
  const expressions = new Expressions(owned);
  const compiled: CompiledService[] = [];
  for (const service of services) {
    compiled.push(
      yield* compileService(service, { roles, issuers, owned, identitySuffix, expressions, findings, used }),
    );
  }
  const hosts = yield* compileSites(compiled, findings, checked);
  const uses = unionOf(compiled, ordered);
  checkHeaderCount(uses, compiled, findings);
  checkMeshes(compiled, findings);
  checkResources(compiled, findings);
  checkSharedCors(compiled, findings);
  warnOfBackends(compiled, backends, findings);
  warnOfUselessBindings(ordered, usage, places, findings);
  return new CompiledPolicies(
    revision,
    compiled.map(({ service }) => service),
    hosts,
    uses,
    new Roles(ordered),
  );
}

interface Readable {
  readonly document: Source;
  /** What the schema has nothing against. */
  readonly content: PolicyFile;
}

function read(texts: readonly PolicyText[], findings: Findings): readonly Readable[] {
  return texts.flatMap(({ file, text }) => {
    const document = readDocument(file, text);
    if (!("value" in document)) {
      findings.faults.push(...document);
      return [];
    }
    if (document.value === null) return [];
    const faults = schemaFaults(document, schema);
    findings.faults.push(...faults);
    return [{ document, content: soundPart(document.value, faults) }];
  });
}

/** Brings the roles and services of all files together; a name in two places is a fault. */
function collect(documents: readonly Readable[], findings: Findings) {
  const roles = new Map<string, RoleEntry>();
  const services = new Map<string, ServicePlace>();
  for (const { document, content } of documents) {
    for (const [name, bindings] of Object.entries(content.roles ?? {})) {
      once(roles, name, { bindings, place: new Place(document, ["roles", name]) }, "role", findings);
    }
    for (const [name, entry] of Object.entries(content.services ?? {})) {
      once(services, name, { name, entry, place: new Place(document, ["services", name]) }, "service", findings);
    }
  }
  return { roles, services: [...services.values()] };
}

function once<T extends { readonly place: Place }>(
  all: Map<string, T>,
  name: string,
  entry: T,
  what: string,
  findings: Findings,
): void {
  const first = all.get(name);
  if (first === undefined) all.set(name, entry);
  else
    findings.key(
      entry.place,
      `a second ${what} "${name}"`,
      `another name, or one entry for both; the first is at ${first.place.text}`,
    );
}

/** What all routes and their shadows read and promise; a header has the largest of its maxima. */
function unionOf(services: readonly CompiledService[], roles: readonly Role[]): Uses {
  const all = services.flatMap(({ routes }) => routes.map(({ uses }) => uses));
  const headers = new Map<string, number>();
  for (const { name, max } of all.flatMap(({ identityHeaders }) => identityHeaders))
    headers.set(name, Math.max(max, headers.get(name) ?? 0));
  const preflight = services.some(({ service }) => service.preflight)
    ? ["access-control-request-method", "origin"]
    : [];
  const bodies = all.flatMap((uses) => uses.bodies ?? []);
  return {
    ...(bodies.length > 0 && { bodies }),
    query: all.some(({ query }) => query),
    requestHeaders: [...new Set([...preflight, ...all.flatMap(({ requestHeaders }) => requestHeaders)])].sort(),
    claims: [...new Set([...all.flatMap(({ claims }) => claims), ...claimsOfRoles(roles)])].sort(),
    identityHeaders: [...headers].map(([name, max]) => ({ name, max })).sort((a, b) => (a.name < b.name ? -1 : 1)),
    credentials: [...new Set(all.flatMap(({ credentials }) => credentials))].sort(),
    proofs: [...new Set(all.flatMap(({ proofs }) => proofs))].sort(),
  };
}

function claimsOfRoles(roles: readonly Role[]): readonly string[] {
  const entries = roles.flatMap(({ bindings }) => bindings.map(({ entry }) => entry));
  return entries.flatMap((entry) => claimsOf(entry).map(([path]) => claimPath(path).names[0] ?? ""));
}

function checkHeaderCount({ identityHeaders }: Uses, services: readonly CompiledService[], findings: Findings): void {
  const place = services[0]?.hosts[0]?.place;
  if (identityHeaders.length <= MOST_HEADERS || place === undefined) return;
  findings.fault(
    place,
    `the policies set ${identityHeaders.length} different identity headers`,
    `at most ${MOST_HEADERS} in all services together`,
  );
}

function warnOfBackends(services: readonly CompiledService[], backends: readonly string[], findings: Findings): void {
  if (backends.length === 0) return;
  const known = new Set(backends);
  for (const { backend } of services.flatMap(({ routes }) => routes)) {
    if (backend === undefined || known.has(backend.value)) continue;
    const close = nearest(backend.value, backends);
    findings.warn(
      backend.place,
      `the configuration's \`haproxy.backends\` has no "${backend.value}"`,
      `${close === undefined ? "" : `did you mean "${close}"? Else `}give it its servers there, or say \`${backend.value}: external\` where your own haproxy.cfg has it`,
    );
  }
}

/** A binding that can let nobody in, wherever its role is used. */
function warnOfUselessBindings(
  ordered: readonly Role[],
  usage: Map<Role, Set<string>>,
  places: BindingPlaces,
  findings: Findings,
): void {
  // From those that include to those that are included: usage travels that way.
  for (const role of ordered.toReversed()) {
    const issuers = usage.get(role);
    if (issuers === undefined) continue;
    for (const binding of role.bindings) {
      const possible = binding.issuers.intersection(issuers);
      if (binding.included !== undefined)
        usage.set(binding.included, possible.union(usage.get(binding.included) ?? new Set()));
      if (possible.size === 0) warnOf(binding, places, findings);
    }
  }
}

function warnOf(binding: Binding, places: BindingPlaces, findings: Findings): void {
  const place = places.get(binding);
  if (place !== undefined)
    findings.warn(
      place,
      "a binding that can let nobody in",
      "the services that use its role take no principal of its issuer, kind or account: remove it, or correct it",
    );
}

/** Digest of the files' content. */
function revisionOf(texts: readonly PolicyText[]): string {
  return hash("sha256", texts.map(({ text }) => `${text.length}:${text}`).join("")).slice(0, 12);
}

/** By file and place; what was found by way of several routes, such as a service's default, is told once. */
function sorted(faults: readonly Fault[], files: readonly string[]): readonly Fault[] {
  const order = new Map(files.map((file, index) => [file, index]));
  const distinct = new Map(faults.map((fault) => [faultText(fault), fault])).values();
  return [...distinct].sort(
    (a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
  );
}
