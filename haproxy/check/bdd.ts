/** A boolean formula: 0 is false, 1 is true, everything else a node of its `Formulas`. */
export type Formula = number;

export const FALSE: Formula = 0;
export const TRUE: Formula = 1;

/** The formulas became too large to decide: nothing is proven then. */
export class TooLarge extends Error {
  override readonly name = "TooLarge";
}

/** Most nodes: a configuration of thousands of rules has some ten thousand. */
const MOST_NODES = 400_000;

/**
 * Reduced ordered binary decision diagrams (Bryant 1986): equal formulas are the same number, so that whether one holds
 * always, or never, is a comparison. The later atom stands above the earlier: what a new rule adds to a long list of
 * conditions is then a few nodes on top of it, and not a copy.
 */
export class Formulas {
  readonly #atom: number[] = [-1, -1];
  readonly #low: Formula[] = [0, 1];
  readonly #high: Formula[] = [0, 1];
  readonly #unique = new Map<string, Formula>();
  readonly #chosen = new Map<string, Formula>();

  /** The formula that is the n-th atom. */
  atom(n: number): Formula {
    return this.#node(n, FALSE, TRUE);
  }

  not(a: Formula): Formula {
    return this.choose(a, FALSE, TRUE);
  }

  and(a: Formula, b: Formula): Formula {
    return this.choose(a, b, FALSE);
  }

  or(a: Formula, b: Formula): Formula {
    return this.choose(a, TRUE, b);
  }

  all(formulas: Iterable<Formula>): Formula {
    let result: Formula = TRUE;
    for (const formula of formulas) result = this.and(result, formula);
    return result;
  }

  any(formulas: Iterable<Formula>): Formula {
    let result: Formula = FALSE;
    for (const formula of formulas) result = this.or(result, formula);
    return result;
  }

  /** a, and not b */
  without(a: Formula, b: Formula): Formula {
    return this.choose(b, FALSE, a);
  }

  /** Whether b holds wherever a does. */
  implies(a: Formula, b: Formula): boolean {
    return this.without(a, b) === FALSE;
  }

  /** `then` where `condition` holds, else `otherwise`. @throws TooLarge */
  choose(condition: Formula, then: Formula, otherwise: Formula): Formula {
    if (condition === TRUE || then === otherwise) return then;
    if (condition === FALSE) return otherwise;
    if (then === TRUE && otherwise === FALSE) return condition;
    const key = `${condition},${then},${otherwise}`;
    const known = this.#chosen.get(key);
    if (known !== undefined) return known;
    const top = Math.max(this.#top(condition), this.#top(then), this.#top(otherwise));
    const low = this.choose(this.#at(condition, top, 0), this.#at(then, top, 0), this.#at(otherwise, top, 0));
    const high = this.choose(this.#at(condition, top, 1), this.#at(then, top, 1), this.#at(otherwise, top, 1));
    const result = this.#node(top, low, high);
    this.#chosen.set(key, result);
    return result;
  }

  /** The formula where these atoms have this value. */
  given(formula: Formula, atoms: readonly number[], value: boolean): Formula {
    const fixed = new Set(atoms);
    const known = new Map<Formula, Formula>();
    const walk = (node: Formula): Formula => {
      if (node <= TRUE) return node;
      const done = known.get(node);
      if (done !== undefined) return done;
      const [top, low, high] = [this.#top(node), this.#low[node] ?? FALSE, this.#high[node] ?? FALSE];
      const result = fixed.has(top) ? walk(value ? high : low) : this.choose(this.atom(top), walk(high), walk(low));
      known.set(node, result);
      return result;
    };
    return walk(formula);
  }

  /** The atoms of one way to make it true, with as few true ones as the diagram's left edge has; undefined for none. */
  model(formula: Formula): ReadonlyMap<number, boolean> | undefined {
    if (formula === FALSE) return undefined;
    const values = new Map<number, boolean>();
    for (let node = formula; node !== TRUE; ) {
      const low = this.#low[node] ?? FALSE;
      values.set(this.#top(node), low === FALSE);
      node = low === FALSE ? (this.#high[node] ?? FALSE) : low;
    }
    return values;
  }

  /** Whether it holds where the named atoms are so; all others are false. */
  holds(formula: Formula, values: ReadonlyMap<number, boolean>): boolean {
    let node = formula;
    while (node > TRUE) {
      const children = values.get(this.#top(node)) === true ? this.#high : this.#low;
      node = children[node] ?? FALSE;
    }
    return node === TRUE;
  }

  /** The atoms that it depends on. */
  atoms(formula: Formula): ReadonlySet<number> {
    const found = new Set<number>();
    const seen = new Set<Formula>();
    const open = [formula];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if (node <= TRUE || seen.has(node)) continue;
      seen.add(node);
      found.add(this.#top(node));
      open.push(this.#low[node] ?? FALSE, this.#high[node] ?? FALSE);
    }
    return found;
  }

  #top(formula: Formula): number {
    return this.#atom[formula] ?? -1;
  }

  #at(formula: Formula, atom: number, value: 0 | 1): Formula {
    if (this.#top(formula) !== atom) return formula;
    return (value === 0 ? this.#low[formula] : this.#high[formula]) ?? FALSE;
  }

  #node(atom: number, low: Formula, high: Formula): Formula {
    if (low === high) return low;
    const key = `${atom},${low},${high}`;
    const known = this.#unique.get(key);
    if (known !== undefined) return known;
    if (this.#atom.length >= MOST_NODES) throw new TooLarge("the conditions are too many to decide");
    const node = this.#atom.push(atom) - 1;
    this.#low.push(low);
    this.#high.push(high);
    this.#unique.set(key, node);
    return node;
  }
}
