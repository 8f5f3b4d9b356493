import { Branch, type Ending, fits, Route } from "./branches.ts";
import { commonPath, type Pattern } from "./pattern.ts";

/** Two patterns that match the same requests, or of which neither is the more specific for some request. */
export interface Conflict {
  /** Indexes of the patterns, the lower one first. */
  readonly first: number;
  readonly second: number;
  readonly kind: "equal" | "overlap";
  /** Method and path of a request that both match. Where no segment is known that fits its expressions, they stand for it. */
  readonly example: string;
}

const MOST_CONFLICTS = 100;

/** The conflicts among patterns, sorted; no more than the first 100 that come up. */
export function conflictsOf(patterns: readonly Pattern[]): readonly Conflict[] {
  const root = new Branch<number>();
  for (const [index, pattern] of patterns.entries()) root.add(new Route(pattern, index));
  const conflicts: Conflict[] = [];
  compareBranches({ at: root, within: true }, { at: root, within: true }, conflicts);
  return conflicts.sort((a, b) => a.first - b.first || a.second - b.second);
}

/** One of two branches or endings that some path reaches both of. */
interface Side<At> {
  readonly at: At;
  /** Every path that led here leads to the other, too. */
  readonly within: boolean;
}

/** Compares all that two branches, or one and itself, can both take. It never meets what no path reaches together. */
function compareBranches(a: Side<Branch<number>>, b: Side<Branch<number>>, conflicts: Conflict[]): void {
  if (conflicts.length >= MOST_CONFLICTS) return;
  const self = a.at === b.at;
  compareEndings({ ...a, at: a.at.end }, { ...b, at: b.at.end }, conflicts);
  compareEndings({ ...a, at: a.at.rest }, { ...b, at: b.at.rest }, conflicts);
  compareLiterals(a, b, conflicts);
  compareWildcards(a, b, conflicts);
  compareUnlike(a, b, conflicts);
  if (!self) compareUnlike(b, a, conflicts);
}

function compareLiterals(a: Side<Branch<number>>, b: Side<Branch<number>>, conflicts: Conflict[]): void {
  const [few, many] = a.at.literals.size <= b.at.literals.size ? [a, b] : [b, a];
  for (const [value, at] of few.at.literals) {
    const other = many.at.literals.get(value);
    if (other !== undefined) compareBranches({ ...few, at }, { ...many, at: other }, conflicts);
  }
}

/** Whether one expression lies within another is not asked: two that differ overlap. */
function compareWildcards(a: Side<Branch<number>>, b: Side<Branch<number>>, conflicts: Conflict[]): void {
  for (const [index, { expression: one, branch: first }] of a.at.wildcards.entries()) {
    for (const { expression: two, branch: second } of b.at.wildcards.slice(a.at === b.at ? index : 0)) {
      const same = one?.text === two?.text;
      const inFirst = { at: first, within: a.within && (same || two === undefined) };
      compareBranches(inFirst, { at: second, within: b.within && (same || one === undefined) }, conflicts);
    }
  }
}

/** The wildcards of one side against literals of the other, and the rest of one against all else that the other takes. */
function compareUnlike(wide: Side<Branch<number>>, narrow: Side<Branch<number>>, conflicts: Conflict[]): void {
  for (const { expression, branch } of wide.at.wildcards) {
    for (const [value, at] of narrow.at.literals) {
      if (fits(expression, value)) compareBranches({ at: branch, within: false }, { ...narrow, at }, conflicts);
    }
  }
  if (wide.at.rest === undefined) return;
  for (const at of narrow.at.endings()) {
    if (at !== narrow.at.rest) compareEndings({ at: wide.at.rest, within: false }, { ...narrow, at }, conflicts);
  }
}

type Reached = Side<Ending<number> | undefined>;

function compareEndings(a: Reached, b: Reached, conflicts: Conflict[]): void {
  for (const one of a.at?.routes ?? []) {
    for (const two of b.at?.routes ?? []) {
      if (conflicts.length >= MOST_CONFLICTS) return;
      if (a.at === b.at && one.value >= two.value) continue;
      const conflict = conflictOf(one, a.within, two, b.within);
      if (conflict !== undefined) conflicts.push(conflict);
    }
  }
}

function conflictOf(a: Route<number>, aWithin: boolean, b: Route<number>, bWithin: boolean): Conflict | undefined {
  const method = commonMethod(a.methods, b.methods);
  if (method === undefined) return undefined;
  const moreSpecific = aWithin && isWithin(a.methods, b.methods);
  const lessSpecific = bWithin && isWithin(b.methods, a.methods);
  if (moreSpecific !== lessSpecific) return undefined;
  const [first, second] = a.value < b.value ? [a, b] : [b, a];
  const example = `${method} ${commonPath(first.pattern, second.pattern)}`;
  return { first: first.value, second: second.value, kind: moreSpecific ? "equal" : "overlap", example };
}

type Methods = readonly string[] | undefined;

function commonMethod(a: Methods, b: Methods): string | undefined {
  if (a === undefined) return b === undefined ? "GET" : b[0];
  return b === undefined ? a[0] : a.find((method) => b.includes(method));
}

function isWithin(a: Methods, b: Methods): boolean {
  return b === undefined || (a?.every((method) => b.includes(method)) ?? false);
}
