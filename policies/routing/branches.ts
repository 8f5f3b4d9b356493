import { type Capture, Found } from "./found.ts";
import type { Expression, Pattern } from "./pattern.ts";

/** A pattern and what it leads to. */
export class Route<T> {
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

/** The routes that match the same paths. */
export class Ending<T> {
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
export class Branch<T> {
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
export function fits(expression: Expression | undefined, segment: string): boolean {
  return segment !== "" && (expression === undefined || expression.matches(segment));
}
