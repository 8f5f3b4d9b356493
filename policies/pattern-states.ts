import type { RE2JS } from "re2js";

/** Most states that a pattern may have, and most instructions that are looked at to find them all: some 0.1 s. */
const MOST_STATES = 1000;
const MOST_STEPS = 200_000;

/** What RE2JS makes of a pattern, and does not document: a machine whose states are found when a text leads to them. */
interface Engine {
  /** A machine without states to be found, for patterns that need none. */
  readonly onepass: object | null;
  readonly dfa: {
    readonly failed: boolean;
    readonly numClasses: number;
    /** The first character of each class but the first. */
    readonly classBounds: Int32Array;
    start(input: { context(at: number): number }, at: number): State | null;
    step(state: State, characters: number, character: number, anchor: number): State | null;
  };
}

interface State {
  readonly isMatch: boolean;
  readonly nfaStates: readonly number[];
}

const BEGIN_OF_TEXT = { context: () => 4 };
const END_OF_TEXT = -1;

/** How a pattern is used: looked for in a text, or held against the whole of it. */
const ANCHORS = { search: 0, whole: 2 } as const;

/**
 * Finds all states of a pattern, so that from then on a character of a text takes the same time
 * whatever the text: some 10 ns. To find a state takes a thousand times as long, and who sends the texts would choose
 * when; `[ab]*a[ab]{30}` has 2^30 of them.
 *
 * @returns whether they are few enough
 */
export function isSettled(pattern: RE2JS, use: keyof typeof ANCHORS): boolean {
  const anchor = ANCHORS[use];
  const { onepass, dfa } = pattern.re2() as unknown as Engine;
  if (onepass !== null) return true;
  const first = dfa.failed ? null : dfa.start(BEGIN_OF_TEXT, 0);
  if (first === null) return false;
  const states = new Set([first]);
  let steps = 0;
  for (const state of states) {
    const over = use === "search" ? state.isMatch : state.nfaStates.length === 0;
    if (over) continue;
    for (let characters = 0; characters < dfa.numClasses; characters++) {
      const next = dfa.step(state, characters, dfa.classBounds[characters - 1] ?? 0, anchor);
      if (next === null) return false;
      states.add(next);
      steps += 1 + state.nfaStates.length;
    }
    if (dfa.step(state, dfa.numClasses, END_OF_TEXT, anchor) === null) return false;
    if (states.size > MOST_STATES || steps > MOST_STEPS) return false;
  }
  return true;
}
