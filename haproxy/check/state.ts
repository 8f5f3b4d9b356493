import { FALSE, type Formula, type Formulas, TRUE } from "./bdd.ts";
import type { Engine, Message } from "./spoe.ts";
import type { Statement } from "./where.ts";

/** What a variable can hold, as far as the proof tells values apart. */
export type Value =
  | { readonly kind: "unset" }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "flag"; readonly flag: boolean }
  /** What the agent answered to the n-th question. */
  | { readonly kind: "answer"; readonly ask: number; readonly name: string }
  /** Whatever an expression gave that one time. */
  | { readonly kind: "some"; readonly key: string; readonly expression: string; readonly origin: Origin };

/** Whose say it is: the client's or the surroundings', or something that was made of the agent's answer. */
export type Origin = "request" | "derived" | "remembered";

/** One of the values that a variable can have, and when. */
export interface Case {
  readonly when: Formula;
  readonly value: Value;
  /** The line that wrote it; undefined for one that was there before, or that the agent set. */
  readonly writer: Statement | undefined;
}

/** A question to the agent. */
export interface Ask {
  readonly n: number;
  readonly statement: Statement;
  readonly engine: Engine;
  readonly message: Message;
  /** When it is asked and answered. */
  readonly answered: Formula;
  /** What `id` was filled with, so that the same is found equal to it. */
  readonly id: string | undefined;
}

/** Something that changes what was judged, below the question. */
export interface Change {
  readonly when: Formula;
  readonly ask: number;
  readonly statement: Statement;
  readonly what: string;
}

/** When a header can be there that the agent has not filled. */
export interface Dirt {
  readonly when: Formula;
  /** The line that wrote it; undefined for the client's own header. */
  readonly cause: Statement | undefined;
  /**
   * `other`: it says what a client, or whoever else, says. `nobody`: it is written out in the file. `made`: it is made of
   * what the agent said, and of something else. `empty`: it is there, and the agent did not say what the line writes.
   */
  readonly word: "other" | "nobody" | "made" | "empty";
}

/** Something that no condition can be trusted beside, where it happens. */
export interface Hazard {
  readonly when: Formula;
  readonly statement: Statement;
  readonly kind: "cache" | "script" | "unknown" | "source" | "method";
  readonly what: string;
}

/** One rule as it was met. */
export interface Step {
  readonly statement: Statement;
  readonly effect: string;
  /** Tells the lists of rules apart. */
  readonly list: number;
  /** When it does what it does. */
  readonly fires: Formula;
  /** When it was reached at all. */
  readonly reached: Formula;
  /** The variables' values that its condition looked at. */
  readonly looked: readonly Case[];
  /** Whether it looked at anything that the agent answered, by whatever way. */
  readonly judges: boolean;
  /** The `acl` lines that its condition uses. */
  readonly tests: readonly { readonly statement: Statement; readonly holds: Formula; readonly text: string }[];
}

/** Where a request is between two rules. It is never changed, only replaced. */
export interface State {
  /** When the request gets here. */
  readonly live: Formula;
  readonly variables: ReadonlyMap<string, readonly Case[]>;
  /** How often each part of the request has been changed, so that an old test says nothing of the new one. */
  readonly versions: ReadonlyMap<string, number>;
  readonly asks: readonly Ask[];
  readonly changes: readonly Change[];
  readonly headers: ReadonlyMap<string, readonly Dirt[]>;
  readonly hazards: readonly Hazard[];
  /** When a TCP stream has become an HTTP one. */
  readonly switched: Formula;
  readonly steps: readonly Step[];
}

export const UNSET: Value = { kind: "unset" };

/** The state of a request that has just come. */
export function fresh(headers: Iterable<string>): State {
  return {
    live: TRUE,
    variables: new Map(),
    versions: new Map(),
    asks: [],
    changes: [],
    headers: new Map([...headers].map((name) => [name, [{ when: TRUE, cause: undefined, word: "other" as const }]])),
    hazards: [],
    switched: FALSE,
    steps: [],
  };
}

/** What the variable can hold. `sess` and `proc` hold what an earlier request left there. */
export function casesOf({ variables }: State, name: string): readonly Case[] {
  const known = variables.get(name);
  if (known !== undefined) return known;
  const remembered = /^(?:sess|proc|psess)\./.test(name);
  const value: Value = remembered
    ? { kind: "some", key: `before ${name}`, expression: name, origin: "remembered" }
    : UNSET;
  return [{ when: TRUE, value, writer: undefined }];
}

/** The state after the variable was given the value, where `when` holds. */
export function written(state: State, formulas: Formulas, name: string, when: Formula, values: readonly Case[]): State {
  const added = values.map((one) => ({ ...one, when: formulas.and(one.when, when) }));
  const kept = casesOf(state, name).map((one) => ({ ...one, when: formulas.without(one.when, when) }));
  const cases = [...added, ...kept].filter((one) => one.when !== FALSE);
  return touched({ ...state, variables: new Map(state.variables).set(name, cases) }, name);
}

/** The state after a part of the request was changed. */
export function touched(state: State, part: string): State {
  return { ...state, versions: new Map(state.versions).set(part, versionOf(state, part) + 1) };
}

export function versionOf({ versions }: State, part: string): number {
  return versions.get(part) ?? 0;
}
