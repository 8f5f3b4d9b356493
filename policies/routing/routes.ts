import { Branch, type Ending, Route } from "./branches.ts";
import type { Found } from "./found.ts";
import { isPlain, type PathLeniency, STRICT, segmentsOf } from "./path.ts";
import type { Pattern } from "./pattern.ts";

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
