import { isPlain, type PathLeniency, STRICT, segmentsOf } from "./path.ts";
import { commonPath, type Expression, type Pattern } from "./pattern.ts";

/** What a request leads to. Most decisions do not ask for what the path captured, so it is taken out on demand. */
export class Found<T> {
  readonly value: T;
  readonly #captures: readonly Capture[];
  readonly #segments: readonly string[];

  constructor(value: T, captures: readonly Capture[], segments: readonly string[]) {
    this.value = value;
    this.#captures = captures;
    this.#segments = segments;
  }

  /**
   * What the path captured, by name, percent-decoded. `{id}` is one segment, and holds a slash only where `%2f` may
   * pass. `{path...}` is the rest with `/` between its segments; a slash within one stays `%2F`, so it separates nothing.
   */
  get params(): Readonly<Record<string, string>> {
    const params: Record<string, string> = {};
    for (const { name, kind, index } of this.#captures) {
      params[name] = kind === "one" ? (this.#segments[index] ?? "") : restOf(this.#segments, index);
    }
    return params;
  }
}

export interface NotFound {
  readonly reason: "path-ambiguous" | "route-unknown" | "method-not-allowed";
}

/** A pattern, and what a request that it takes leads to. */
export interface RouteEntry<T> {
  readonly pattern: Pattern;
  readonly value: T;
}

const AMBIGUOUS: NotFound = { reason: "path-ambiguous" };
const UNKNOWN: NotFound = { reason: "route-unknown" };
const NOT_ALLOWED: NotFound = { reason: "method-not-allowed" };

/**
 * Routes by method and path. The most specific pattern wins: the one all whose requests the others match too.
 *
 * The patterns are a tree with a branch for each segment, and a path is tried against a branch's literal, expressions,
 * `{id}` and rest, in this order. Of two patterns that match a request one includes the other segment by segment, or
 * they are a conflict; so the first that is found is the most specific. No branch is entered twice for one path, and a
 * literal is one look-up however many there are: the search grows only with the number of ways in which patterns have
 * literals and wildcards at the same places, which is up to the policies' author.
 */
export class RouteTable<T> {
  readonly #root = new Branch<T>();
  /** The paths of patterns without wildcards, with all that match, the most specific first: one look-up finds them. */
  readonly #known = new Map<string, Known<T>>();

  /** @param entries whose patterns have no conflicts */
  constructor(entries: readonly RouteEntry<T>[]) {
    for (const _ of this.#fill(entries));
  }

  /** The same, a pattern at each `next`. */
  static *built<T>(entries: readonly RouteEntry<T>[]): Generator<undefined, RouteTable<T>> {
    const table = new RouteTable<T>([]);
    yield* table.#fill(entries);
    return table;
  }

  *#fill(entries: readonly RouteEntry<T>[]): Generator<undefined, void> {
    for (const { pattern, value } of entries) {
      this.#root.add(new Route(pattern, value));
      yield;
    }
    for (const { pattern } of entries) {
      this.#learn(pattern);
      yield;
    }
  }

  #learn({ segments }: Pattern): void {
    const literals = segments.flatMap((segment) => (segment.kind === "literal" ? [segment.value] : []));
    const path = `/${literals.join("/")}`;
    if (literals.length < segments.length || !isPlain(path) || this.#known.has(path)) return;
    const endings: Ending<T>[] = [];
    this.#root.search(literals, 0, (ending) => {
      endings.push(ending);
      return undefined;
    });
    this.#known.set(path, { segments: literals, endings });
  }

  /**
   * @param path raw, without query
   * @param leniency what the services let pass of what makes a path ambiguous
   */
  find(method: string, path: string, leniency: PathLeniency = STRICT): Found<T> | NotFound {
    const known = this.#known.get(path);
    if (known !== undefined) return findKnown(known, method);
    const segments = segmentsOf(path, leniency);
    if (segments === undefined) return AMBIGUOUS;
    let refusal = UNKNOWN;
    const route = this.#root.search(segments, 0, (ending) => {
      refusal = NOT_ALLOWED;
      return ending.find(method);
    });
    return route?.found(segments) ?? refusal;
  }

  /** What all patterns that take the path lead to, whatever their methods. */
  ofPath(path: string, leniency: PathLeniency = STRICT): readonly T[] {
    const values: T[] = [];
    this.#root.search(segmentsOf(path, leniency) ?? [], 0, ({ routes }) => {
      values.push(...routes.map(({ value }) => value));
      return undefined;
    });
    return values;
  }
}

interface Known<T> {
  readonly segments: readonly string[];
  readonly endings: readonly Ending<T>[];
}

function findKnown<T>({ segments, endings }: Known<T>, method: string): Found<T> | NotFound {
  for (const ending of endings) {
    const route = ending.find(method);
    if (route !== undefined) return route.found(segments);
  }
  return NOT_ALLOWED;
}

/** A pattern and what it leads to. */
class Route<T> {
  readonly pattern: Pattern;
  readonly value: T;
  /** GET includes HEAD. `undefined`: any. */
  readonly methods: readonly string[] | undefined;
  readonly #captures: readonly Capture[];
  readonly #always: Found<T>;

  constructor(pattern: Pattern, value: T) {
    const { methods } = pattern;
    this.pattern = pattern;
    this.value = value;
    this.methods = methods?.includes("GET") ? [...new Set([...methods, "HEAD"])] : methods;
    this.#captures = pattern.segments.flatMap((segment, index) =>
      segment.kind === "literal" ? [] : { ...segment, index },
    );
    this.#always = new Found(value, [], []);
  }

  found(segments: readonly string[]): Found<T> {
    return this.#captures.length === 0 ? this.#always : new Found(this.value, this.#captures, segments);
  }
}

interface Capture {
  readonly name: string;
  readonly kind: "one" | "rest";
  readonly index: number;
}

function restOf(segments: readonly string[], start: number): string {
  let rest = "";
  for (const [index, segment] of segments.entries()) {
    if (index < start) continue;
    if (index > start) rest += "/";
    rest += segment.includes("/") ? segment.replaceAll("/", "%2F") : segment;
  }
  return rest;
}

/** The routes that match the same paths. */
class Ending<T> {
  /** Of two without a conflict the one with fewer methods is the more specific: it comes first. */
  readonly routes: Route<T>[] = [];

  add(route: Route<T>): void {
    this.routes.push(route);
    this.routes.sort((a, b) => (a.methods?.length ?? Number.MAX_VALUE) - (b.methods?.length ?? Number.MAX_VALUE));
  }

  find(method: string): Route<T> | undefined {
    for (const route of this.routes) if (route.methods === undefined || route.methods.includes(method)) return route;
    return undefined;
  }
}

// In a Map the hash of a segment that has just come in costs as much as comparing it with this many literals.
const FEW = 8;

/** Where patterns that begin with the same segments go on. */
class Branch<T> {
  readonly literals = new Map<string, Branch<T>>();
  readonly #few: { readonly value: string; readonly branch: Branch<T> }[] = [];
  /** `{id}` is the last of them. */
  readonly wildcards: { readonly expression: Expression | undefined; readonly branch: Branch<T> }[] = [];
  /** The patterns that end here. */
  end: Ending<T> | undefined;
  /** The patterns that take all that is left. */
  rest: Ending<T> | undefined;

  add(route: Route<T>): void {
    let branch: Branch<T> = this;
    for (const segment of route.pattern.segments) {
      if (segment.kind === "rest") {
        branch.rest ??= new Ending();
        branch.rest.add(route);
        return;
      }
      branch = segment.kind === "literal" ? branch.#literal(segment.value) : branch.#wildcard(segment.expression);
    }
    branch.end ??= new Ending();
    branch.end.add(route);
  }

  #literal(value: string): Branch<T> {
    const existing = this.literals.get(value);
    if (existing !== undefined) return existing;
    const branch = new Branch<T>();
    this.literals.set(value, branch);
    if (this.#few.length < FEW) this.#few.push({ value, branch });
    return branch;
  }

  #wildcard(expression: Expression | undefined): Branch<T> {
    const existing = this.wildcards.find((wildcard) => wildcard.expression?.text === expression?.text);
    if (existing !== undefined) return existing.branch;
    const wildcard = { expression, branch: new Branch<T>() };
    if (expression === undefined) this.wildcards.push(wildcard);
    else this.wildcards.unshift(wildcard);
    return wildcard.branch;
  }

  #next(segment: string): Branch<T> | undefined {
    if (this.literals.size > FEW) return this.literals.get(segment);
    for (const { value, branch } of this.#few) if (value === segment) return branch;
    return undefined;
  }

  /** Visits what a path matches, the most specific first, until a visit gives something. */
  search<R>(segments: readonly string[], depth: number, visit: (ending: Ending<T>) => R | undefined): R | undefined {
    const segment = segments[depth];
    if (segment === undefined) return (this.end && visit(this.end)) ?? (this.rest && visit(this.rest));
    const literal = this.#next(segment)?.search(segments, depth + 1, visit);
    if (literal !== undefined) return literal;
    for (const { expression, branch } of this.wildcards) {
      if (!fits(expression, segment)) continue;
      const found = branch.search(segments, depth + 1, visit);
      if (found !== undefined) return found;
    }
    return this.rest && visit(this.rest);
  }

  /** All that end here or below. */
  *endings(): Generator<Ending<T>> {
    if (this.end) yield this.end;
    if (this.rest) yield this.rest;
    for (const branch of this.literals.values()) yield* branch.endings();
    for (const { branch } of this.wildcards) yield* branch.endings();
  }
}

/** No wildcard takes an empty segment. */
function fits(expression: Expression | undefined, segment: string): boolean {
  return segment !== "" && (expression === undefined || expression.matches(segment));
}

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
