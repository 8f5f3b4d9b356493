import { readInstant } from "../instant.ts";
import type { PolicyIssuer } from "../judging/binding.ts";
import { Binding } from "../judging/binding.ts";
import { Role } from "../judging/roles.ts";
import { nearest } from "../source/validate.ts";
import { checkLabels, checkWanted } from "./binding.ts";
import { type Findings, named, type Place } from "./findings.ts";
import type { BindingEntry } from "./policy-file.ts";

/** One role as written, and where. */
export interface RoleEntry {
  readonly bindings: readonly BindingEntry[];
  readonly place: Place;
}

/** A role's compiled bindings, each with the place where it stands. */
export type BindingPlaces = ReadonlyMap<Binding, Place>;

/** Words that `allow` gives a meaning of their own. */
const RESERVED = ["anyone", "authenticated"];

/** Compiles all roles. One that a fault keeps from being used is there all the same, so that its uses are no faults too. */
export function compileRoles(
  entries: ReadonlyMap<string, RoleEntry>,
  issuers: readonly PolicyIssuer[],
  now: number,
  findings: Findings,
): { readonly roles: ReadonlyMap<string, Role>; readonly ordered: readonly Role[]; readonly places: BindingPlaces } {
  const roles = new Map([...entries].map(([name, { bindings }]) => [name, new Role(name, isWhole(bindings))]));
  const places = new Map<Binding, Place>();
  for (const [name, { bindings, place }] of entries) {
    if (RESERVED.includes(name)) {
      findings.key(place, `a role named "${name}"`, "another name: in `allow` this word has a meaning of its own");
    }
    // A binding that its file's schema refuses is a hole, which forEach passes over.
    bindings.forEach((entry, index) => {
      const at = place.at(index);
      checkBinding(entry, at, issuers, now, findings);
      const binding = new Binding(entry, includedRole(entry, at, roles, findings));
      roles.get(name)?.bindings.push(binding);
      places.set(binding, at);
    });
  }
  return { roles, ordered: inOrder(roles, places, issuers, findings), places };
}

function isWhole(bindings: readonly BindingEntry[]): boolean {
  return bindings.length > 0 && Object.keys(bindings).length === bindings.length;
}

function checkBinding(
  entry: BindingEntry,
  place: Place,
  issuers: readonly PolicyIssuer[],
  now: number,
  findings: Findings,
): void {
  const { issuer, until, role, ...rest } = entry;
  if (issuer !== undefined) checkIssuer(issuer, place.at("issuer"), issuers, findings);
  if (issuer === undefined && role === undefined && Object.keys(rest).length === 0) {
    findings.fault(
      place,
      "a binding that says nothing of who has the role",
      "add `issuer`, `subject`, `group` or another key",
    );
  }
  if (issuer === undefined && role === undefined && issuers.length > 1) {
    findings.warn(
      place,
      "a binding without `issuer`",
      `it holds for principals of every issuer (${named(issuers.map(({ name }) => name))}); name one`,
    );
  }
  checkWanted(entry, place, findings);
  const possible = issuers.filter(({ name }) => issuer === undefined || name === issuer);
  checkLabels(entry, new Set(possible.flatMap(({ labels = [] }) => labels)), place, findings);
  if (until === undefined) return;
  const time = readInstant(until);
  if (time === undefined)
    findings.fault(place.at("until"), `"${until}" is no time`, "a time that there is, such as `2026-12-01T00:00:00Z`");
  else if (time <= now)
    findings.warn(place.at("until"), `the binding ended at ${until}`, "remove it, or give a later time");
}

/** Checks the name of an issuer against the configuration. */
export function checkIssuer(name: string, place: Place, issuers: readonly PolicyIssuer[], findings: Findings): void {
  const names = issuers.map((issuer) => issuer.name);
  if (names.includes(name)) return;
  const known = names.length === 0 ? "the configuration has no issuers" : `the configuration has ${named(names)}`;
  findings.fault(place, `no issuer "${name}"`, `${suggestion(name, names)}${known}`);
}

function includedRole(
  { role }: BindingEntry,
  place: Place,
  roles: ReadonlyMap<string, Role>,
  findings: Findings,
): Role | undefined {
  return role === undefined ? undefined : roleNamed(role, place.at("role"), roles, findings);
}

/** The role of a name, or a fault that names the nearest one. */
export function roleNamed(
  name: string,
  place: Place,
  roles: ReadonlyMap<string, Role>,
  findings: Findings,
): Role | undefined {
  const role = roles.get(name);
  if (role === undefined) {
    findings.fault(place, `no role "${name}"`, `${suggestion(name, roles.keys())}define it under \`roles\``);
  }
  return role;
}

function suggestion(name: string, candidates: Iterable<string>): string {
  const close = nearest(name, [...candidates]);
  return close === undefined ? "" : `did you mean "${close}"? Else `;
}

/** A chain of inclusions is no longer than this. */
const DEEPEST = 32;

/** Included roles before those that include them; a circle is a fault, and so is a chain without a sensible end. */
function inOrder(
  roles: ReadonlyMap<string, Role>,
  places: BindingPlaces,
  issuers: readonly PolicyIssuer[],
  findings: Findings,
): readonly Role[] {
  const ordered = new Set<Role>();
  const open: Role[] = [];
  const visit = (role: Role): void => {
    if (ordered.has(role)) return;
    open.push(role);
    for (const binding of role.bindings) {
      if (binding.included !== undefined && !circular(binding, open, places, findings)) visit(binding.included);
      binding.findIssuers(issuers);
    }
    role.issuers = new Set(role.bindings.flatMap((binding) => [...binding.issuers]));
    open.pop();
    ordered.add(role);
  };
  for (const role of roles.values()) visit(role);
  return [...ordered];
}

function circular(binding: Binding, open: readonly Role[], places: BindingPlaces, findings: Findings): boolean {
  const { included } = binding;
  const place = places.get(binding);
  if (included === undefined || place === undefined) return false;
  const start = open.indexOf(included);
  if (start < 0 && open.length < DEEPEST) return false;
  const names = [...open.slice(Math.max(0, start)), included].map(({ name }) => name);
  const found =
    start < 0 ? `more than ${DEEPEST} inclusions in a row` : `the role includes itself: ${names.join(" -> ")}`;
  findings.fault(place.at("role"), found, "remove one of these inclusions");
  return true;
}
