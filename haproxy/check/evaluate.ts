import type { Acls, Condition, Term, Test } from "./acls.ts";
import { conditionOf, NotUnderstood } from "./acls.ts";
import { FALSE, type Formula, Formulas, TRUE } from "./bdd.ts";
import { isClients, momentOf } from "./fetches.ts";
import { type Call, isScripted, readBy, type Sample, sampleOf } from "./samples.ts";
import { type Ask, type Case, casesOf, type Origin, type State, type Step } from "./state.ts";
import type { Statement } from "./where.ts";

/** What an atom says, so that a request can be made of it. */
export interface Atom {
  readonly key: string;
  readonly origin: Origin | "answer" | "unknown";
  /** The test and the one pattern of it that the atom is about. */
  readonly test: Test | undefined;
  readonly pattern: string | undefined;
}

/** A condition's meaning, and what it looked at on the way. */
export interface Evaluated {
  readonly holds: Formula;
  readonly looked: readonly Case[];
  readonly judges: boolean;
  readonly tests: Step["tests"];
}

const NOWHERE: Statement = { file: "", line: 0, column: 0, words: [] };
const INTEGER: ReadonlySet<string> = new Set(["eq", "ge", "gt", "le", "lt"]);
const NOTHING: Evaluated = { holds: TRUE, looked: [], judges: false, tests: [] };

/** Turns conditions into formulas. One for each proof: its atoms are numbered as they are met. */
export class Evaluator {
  readonly formulas = new Formulas();
  readonly #atoms: Atom[] = [];
  readonly #numbers = new Map<string, number>();
  #unrepeated = 0;

  /** The formula of an atom; the same key is the same atom. */
  atom(key: string, origin: Atom["origin"], test?: Test, pattern?: string): Formula {
    const known = this.#numbers.get(key);
    if (known !== undefined) return this.formulas.atom(known);
    const number = this.#atoms.push({ key, origin, test, pattern }) - 1;
    this.#numbers.set(key, number);
    return this.formulas.atom(number);
  }

  /** An atom that nothing else is about. */
  chance(what: string): Formula {
    return this.atom(`${what} #${this.#unrepeated++}`, "request");
  }

  atomOf(number: number): Atom | undefined {
    return this.#atoms[number];
  }

  /** An atom for what is not understood: nothing may follow from it. */
  unknown(): Formula {
    return this.atom(`unknown #${this.#unrepeated++}`, "unknown");
  }

  /**
   * Where the formula holds whatever the truth is about what is not understood. What was made of an answer in a way
   * that is not understood is false: without an answer there is nothing to make it of.
   */
  definite(formula: Formula): Formula {
    const of = (origin: Atom["origin"]) =>
      [...this.formulas.atoms(formula)].filter((number) => this.#atoms[number]?.origin === origin);
    const unknown = of("unknown");
    const plain = this.formulas.given(formula, of("derived"), false);
    return this.formulas.and(this.formulas.given(plain, unknown, true), this.formulas.given(plain, unknown, false));
  }

  /**
   * The meaning of a rule's condition.
   *
   * @param words from `if` or `unless` on; none is always
   * @throws NotUnderstood
   */
  condition(words: readonly string[], acls: Acls, statement: Statement, state: State): Evaluated {
    if (words.length === 0) return NOTHING;
    return this.evaluate(conditionOf(words, acls, statement), state);
  }

  evaluate({ negated, clauses }: Condition, state: State): Evaluated {
    const terms = clauses.map((clause) => clause.map((term) => this.#term(term, state)));
    const holds = this.formulas.any(terms.map((clause) => this.formulas.all(clause.map((term) => term.holds))));
    const all = terms.flat();
    return {
      holds: negated ? this.formulas.not(holds) : holds,
      looked: all.flatMap(({ looked }) => looked),
      judges: all.some(({ judges }) => judges),
      tests: all.flatMap(({ tests }) => tests),
    };
  }

  #term({ negated, tests, text }: Term, state: State): Evaluated {
    const each = tests.map((test) => this.#test(test, state));
    const any = this.formulas.any(each.map(({ holds }) => holds));
    return {
      holds: negated ? this.formulas.not(any) : any,
      looked: each.flatMap(({ looked }) => looked),
      judges: each.some(({ judges }) => judges),
      tests: tests.map(({ statement }, index) => ({ statement, holds: each[index]?.holds ?? FALSE, text })),
    };
  }

  #test(test: Test, state: State): Evaluated {
    if (isScripted(test.sample)) throw new NotUnderstood(`a Lua sample, ${test.sample.text}`);
    const bound = this.#bound(test, state);
    if (bound !== undefined) return bound;
    const constant = constantOf(test.sample);
    if (constant !== undefined) return { ...NOTHING, holds: this.#known(constant, test) };
    const [fetch] = test.sample.calls;
    if (fetch?.name === "var" && test.sample.calls.length === 1) return this.#variable(test, fetch.values, state);
    return this.#sample(test, state);
  }

  /** `X,strcmp(Y) eq 0`, where one of both is the id that was asked with and the other the one that was answered. */
  #bound(test: Test, state: State): Evaluated | undefined {
    const [fetch, compared] = test.sample.calls;
    const zero = [...test.patterns].join(" ");
    if (compared?.name !== "strcmp" || test.sample.calls.length !== 2 || test.file || test.flags.length > 0)
      return undefined;
    if ((zero !== "eq 0" && zero !== "0") || (test.match !== undefined && test.match !== "int")) return undefined;
    const [other = ""] = compared.values;
    const own =
      fetch?.name === "var"
        ? casesOf(state, fetch.values[0] ?? "")
        : [{ when: TRUE, value: fixed(fetch), writer: undefined }];
    const both = [...own, ...casesOf(state, other)];
    if (!both.some(({ value }) => value.kind === "answer")) return undefined;
    const equal = own.flatMap((a) => casesOf(state, other).map((b) => this.#equal(a, b, state)));
    return { ...NOTHING, holds: this.formulas.any(equal), looked: both, judges: true };
  }

  #equal(a: Case, b: Case, { asks }: State): Formula {
    const both = this.formulas.and(a.when, b.when);
    if (both === FALSE || a.value.kind === "unset" || b.value.kind === "unset") return FALSE;
    const [answer, other] = a.value.kind === "answer" ? [a.value, b.value] : [b.value, a.value];
    const chance = (origin: Atom["origin"]) =>
      this.formulas.and(both, this.atom(`${keyOf(answer)} is ${keyOf(other)}`, origin));
    if (answer.kind !== "answer") return chance("request");
    if (other.kind === "text") return this.formulas.and(both, this.answerIs(answer.ask, answer.name, other.text));
    const id = asks.find(({ n }) => n === answer.ask)?.id;
    if (answer.name !== "id" || other.kind !== "some" || id !== other.key) return chance("derived");
    return this.formulas.and(both, this.bound(answer.ask));
  }

  /** That the n-th answer has come back with the id of its question. */
  bound(ask: number): Formula {
    return this.atom(`answer ${ask} is for this request`, "answer");
  }

  /** That the variable is in the n-th answer and has this value. */
  answerIs(ask: number, name: string, text: string): Formula {
    return this.formulas.and(this.isThere(ask, name), this.atom(`answer ${ask}.${name} = ${text}`, "answer"));
  }

  /** That the answer lets the request through. */
  allows({ n, answered }: Ask): Formula {
    return this.formulas.all([answered, this.answerIs(n, "verdict", "allow"), this.bound(n)]);
  }

  /** That the n-th answer names the variable. */
  isThere(ask: number, name: string): Formula {
    return this.atom(`answer ${ask}.${name} is there`, "answer");
  }

  #variable(test: Test, [name = "", fallback]: readonly string[], state: State): Evaluated {
    const cases = casesOf(state, name);
    const holds = this.formulas.any(cases.map((one) => this.formulas.and(one.when, this.#value(test, one, fallback))));
    const judges = cases.some(
      ({ value }) => value.kind === "answer" || (value.kind === "some" && value.origin !== "request"),
    );
    const decided = cases.some(({ writer }) => writer !== undefined);
    return { holds, looked: cases, judges: judges || decided || cases.length > 1, tests: [] };
  }

  #value(test: Test, { value }: Case, fallback: string | undefined): Formula {
    if (value.kind === "unset")
      return fallback === undefined ? FALSE : this.#known({ kind: "text", text: fallback }, test);
    if (value.kind === "text" || value.kind === "flag") return this.#known(value, test);
    if (value.kind === "some") {
      const origin = value.origin === "derived" ? "derived" : "request";
      return test.match === "found"
        ? this.atom(`${value.key} is there`, origin, test)
        : this.#each(test, origin, value.key);
    }
    const found = this.isThere(value.ask, value.name);
    if (test.match === "found") return found;
    const exact = test.match === "str" && !test.file && !test.flags.some((flag) => flag !== "-n");
    const key = `answer ${value.ask}.${value.name}`;
    const is = exact
      ? this.formulas.any(test.patterns.map((pattern) => this.atom(`${key} = ${pattern}`, "answer")))
      : this.#each(test, "answer", key);
    return this.formulas.and(found, is);
  }

  #known(value: Known, test: Test): Formula {
    const passes = test.file ? undefined : compare(value, test);
    if (passes !== undefined) return passes ? TRUE : FALSE;
    return this.#each(test, "request", value.kind === "text" ? value.text : String(value.flag));
  }

  /** One atom for each pattern: which of them it is stays open. */
  #each(test: Test, origin: Atom["origin"], key: string): Formula {
    const about = `${key} ${test.match ?? ""} ${test.flags.join("")}${test.file ? ` file ${this.#unrepeated++}` : ""}`;
    const [first = ""] = test.patterns;
    const patterns = INTEGER.has(first) || test.patterns.length === 0 ? [test.patterns.join(" ")] : test.patterns;
    const listed = test.file ? ["a line of the file", ...test.patterns] : patterns;
    return this.formulas.any(listed.map((pattern) => this.atom(`${about} ${pattern}`, origin, test, pattern)));
  }

  #sample(test: Test, state: State): Evaluated {
    const { sample } = test;
    const variables = readBy(sample);
    const looked = variables.flatMap((name) => casesOf(state, name));
    const derived = looked.some(
      ({ value }) => value.kind === "answer" || (value.kind === "some" && value.origin === "derived"),
    );
    const moment = momentOf(sample, state) ?? `#${this.#unrepeated++}`;
    // How many servers are up is nobody's word, and holds of whatever backend an answer names.
    const origin = derived && !/^(?:nbsrv|length)$/.test(sample.calls.at(-1)?.name ?? "") ? "derived" : "request";
    return {
      ...NOTHING,
      holds: this.#each(test, origin, `${sample.text} ${moment}`),
      looked,
      judges: derived,
    };
  }

  /** The values that an expression can give, as a variable would hold them. */
  values(text: string, state: State, writer: Statement): readonly Case[] {
    const sample = sampleOf(text);
    const single = (value: Case["value"]): readonly Case[] => [{ when: TRUE, value, writer }];
    if (sample === undefined) return single(this.#some(text, "derived", undefined));
    const constant = constantOf(sample);
    if (constant !== undefined) return single(constant);
    const [fetch] = sample.calls;
    if (fetch?.name === "var" && sample.calls.length === 1 && fetch.values.length === 1)
      return casesOf(state, fetch.values[0] ?? "").map((one) => ({ ...one, writer: one.writer ?? writer }));
    return single(this.#some(sample.text, this.originOf(sample, state), momentOf(sample, state)));
  }

  #some(expression: string, origin: Origin, moment: string | undefined): Case["value"] {
    return { kind: "some", key: `${expression} ${moment ?? `#${this.#unrepeated++}`}`, expression, origin };
  }

  /** Whose say the value of an expression is. */
  originOf(sample: Sample, state: State): Origin {
    const cases = readBy(sample).flatMap((name) => casesOf(state, name));
    if (cases.some(({ value }) => value.kind === "answer" || (value.kind === "some" && value.origin === "derived")))
      return "derived";
    return cases.some(({ value }) => value.kind === "some" && value.origin === "remembered") ? "remembered" : "request";
  }

  /** What `ssl_fc` is, where all binds are alike; with what is known already. @param tls of each bind */
  overTls(tls: readonly boolean[], state: State): Formula {
    const sample = { text: "ssl_fc", calls: [{ name: "ssl_fc", values: [] }] };
    const asked = this.#sample(
      { sample, match: undefined, flags: [], patterns: [], file: false, statement: NOWHERE },
      state,
    );
    if (tls.every((one) => one)) return this.formulas.and(state.live, tls.length > 0 ? asked.holds : TRUE);
    return tls.some((one) => one) ? state.live : this.formulas.without(state.live, asked.holds);
  }

  /** Whether, among these requests, a client has a say in which of them it holds for. */
  isPicked(formula: Formula, among: Formula): boolean {
    const { formulas } = this;
    const each = (whole: Formula, n: number) => [formulas.given(whole, [n], true), formulas.given(whole, [n], false)];
    const clients = [...formulas.atoms(formula)].filter((n) => isClientsAtom(this.#atoms[n]));
    return clients.some((n) => {
      const [yes = FALSE, no = FALSE] = each(formula, n);
      const differs = formulas.or(formulas.without(yes, no), formulas.without(no, yes));
      return formulas.all([differs, ...each(among, n)]) !== FALSE;
    });
  }

  /** Whether something is only done to connections from addresses that the rule names. */
  trustsSource(fires: Formula, state: State): boolean {
    const moment = `src src@${state.versions.get("src") ?? 0} `;
    const known = [...this.formulas.atoms(fires)].filter((number) => this.#atoms[number]?.key.startsWith(moment));
    return fires !== FALSE && this.formulas.implies(fires, this.formulas.any(known.map((n) => this.formulas.atom(n))));
  }

  /** That a rule has found servers in the backend that the sample names: `var(txn.p.backend),nbsrv gt 0`. */
  counted(sample: string, state: State): Formula {
    const counts = this.#atoms.flatMap(({ key, test, pattern }, number) =>
      test?.sample.text === `${sample},nbsrv` && /^(?:gt 0|ge 1)$/.test(pattern ?? "") && key.includes(sample)
        ? [number]
        : [],
    );
    return state.asks.length === 0 ? FALSE : this.formulas.any(counts.map((number) => this.formulas.atom(number)));
  }

  /** What identifies the value that `id` is filled with; undefined for one that is another each time it is read. */
  idOf(text: string, state: State): string | undefined {
    const sample = sampleOf(text);
    const [fetch] = sample?.calls ?? [];
    if (fetch === undefined || sample?.calls.length !== 1) return undefined;
    if (fetch.name !== "var") return unnamed(fetch.name).key;
    const cases = casesOf(state, fetch.values[0] ?? "").filter(({ value }) => value.kind !== "unset");
    const [only] = cases;
    return cases.length === 1 && only?.value.kind === "some" ? only.value.key : undefined;
  }
}

/** What a variable was made of is not looked into: it may be the client's. */
function isClientsAtom(atom: Atom | undefined): boolean {
  if (atom?.origin !== "request") return false;
  return atom.test === undefined || atom.test.sample.calls[0]?.name === "var" || isClients(atom.test.sample);
}

function keyOf(value: Case["value"]): string {
  if (value.kind === "answer") return `answer ${value.ask}.${value.name}`;
  if (value.kind === "some") return value.key;
  return value.kind === "text" ? value.text : value.kind;
}

/** The value of a fetch that is no variable. */
function fixed(fetch: Call | undefined): Case["value"] {
  return (fetch === undefined ? undefined : constantOf({ text: "", calls: [fetch] })) ?? unnamed(fetch?.name ?? "");
}

function unnamed(fetch: string): {
  readonly kind: "some";
  readonly key: string;
  readonly expression: string;
  readonly origin: Origin;
} {
  return { kind: "some", key: fetch, expression: fetch, origin: "request" };
}

/** The value of an expression that is written out. */
function constantOf({ calls }: Sample): Known | undefined {
  const [fetch] = calls;
  if (fetch === undefined || calls.length !== 1) return undefined;
  const [value = ""] = fetch.values;
  if (fetch.name === "always_true") return { kind: "flag", flag: true };
  if (fetch.name === "always_false") return { kind: "flag", flag: false };
  if (fetch.name === "bool") return { kind: "flag", flag: TRUTHS.test(value) };
  return fetch.name === "str" || fetch.name === "int" ? { kind: "text", text: value } : undefined;
}

type Known = Extract<Case["value"], { kind: "text" | "flag" }>;

const TRUTHS = /^(?:true|1|yes|on)$/i;

/** Whether a known value passes the test; undefined where that is not known. */
function compare(value: Known, { match, patterns, flags }: Test): boolean | undefined {
  if (match === "found") return true;
  if (value.kind === "flag") {
    if (match !== undefined && match !== "bool") return undefined;
    return patterns.length === 0 ? value.flag : patterns.some((pattern) => TRUTHS.test(pattern) === value.flag);
  }
  if (match === "int") return comparesInteger(value.text, patterns);
  if (INTEGER.has(patterns[0] ?? "")) return undefined;
  if (match !== undefined && match !== "str" && match !== "beg" && match !== "end" && match !== "sub") return undefined;
  const fold = (text: string) => (flags.includes("-i") ? text.toLowerCase() : text);
  const own = fold(value.text);
  return patterns.map(fold).some((pattern) => {
    if (match === "beg") return own.startsWith(pattern);
    if (match === "end") return own.endsWith(pattern);
    return match === "sub" ? own.includes(pattern) : own === pattern;
  });
}

/** `eq`, `ge` and their kin hold for the patterns behind them, one of which must fit. */
function comparesInteger(text: string, patterns: readonly string[]): boolean | undefined {
  if (![text, ...patterns].every((word) => INTEGER.has(word) || /^-?[0-9]{1,15}$/.test(word))) return undefined;
  const own = Number(text);
  let operator = "eq";
  for (const word of patterns) {
    if (INTEGER.has(word)) operator = word;
    else if (fits(own, operator, Number(word))) return true;
  }
  return false;
}

function fits(own: number, operator: string, other: number): boolean {
  if (operator === "ge") return own >= other;
  if (operator === "gt") return own > other;
  if (operator === "le") return own <= other;
  return operator === "lt" ? own < other : own === other;
}
