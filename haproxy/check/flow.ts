import { MESSAGE } from "../arguments.ts";
import { isPlacedArgument } from "../places.ts";
import { NotUnderstood } from "./acls.ts";
import { actionOf, conditionAt, type Effect } from "./actions.ts";
import { FALSE, type Formula, TRUE } from "./bdd.ts";
import type { Evaluated, Evaluator } from "./evaluate.ts";
import { isClients } from "./fetches.ts";
import { type HeaderRule, headerMatches, headerRuleOf } from "./header-rules.ts";
import type { ProxySection, Rule } from "./proxies.ts";
import { headersTold } from "./questions.ts";
import { isScripted, isVariable, readBy, type Sample, sampleOf, samplesIn, writtenBy } from "./samples.ts";
import type { Engine } from "./spoe.ts";
import {
  type Case,
  type Change,
  casesOf,
  type Dirt,
  type Hazard,
  type State,
  touched,
  UNSET,
  written,
} from "./state.ts";
import { WARNED_HEADERS } from "./warnings.ts";
import { type Statement, texts } from "./where.ts";

/** What the rules are followed in. */
export interface Surroundings {
  readonly evaluator: Evaluator;
  /** Names of all variables that the files speak of. */
  readonly variables: ReadonlySet<string>;
  enginesOf(proxy: ProxySection): readonly Engine[];
}

/** Follows a request through lists of rules, in all the ways that it can go. */
export class Flow {
  readonly #around: Surroundings;
  readonly #evaluator: Evaluator;
  #lists = 0;
  #asks = 0;

  constructor(around: Surroundings) {
    this.#around = around;
    this.#evaluator = around.evaluator;
  }

  /** The state after the rules. @param at index of the action's word */
  run(state: State, proxy: ProxySection, rules: readonly Rule[], at: number): State {
    const list = this.#lists++;
    let current = state;
    let stopped: Formula = FALSE;
    for (const rule of rules) {
      const words = texts(rule.statement);
      const before = current.live;
      current = this.#rule(current, proxy, rule, words, at, list);
      const step = current.steps.at(-1);
      if (step?.effect === "stops" && step.statement === rule.statement)
        stopped = this.#evaluator.formulas.or(stopped, this.#evaluator.formulas.and(before, step.fires));
    }
    return { ...current, live: this.#evaluator.formulas.or(current.live, stopped) };
  }

  /** The state after rules that only decide, whose expressions may write variables all the same. @param at the first word of its own */
  evaluated(state: State, rules: readonly Rule[], at: number): State {
    return rules.reduce((current, { statement, acls }) => {
      const words = texts(statement);
      const end = conditionAt(statement, at, 0);
      const after = this.#sideEffects(current, statement, words.slice(at, end));
      return this.#written(after, this.#tests(words.slice(end), acls, statement, after), statement);
    }, state);
  }

  #tests(words: readonly string[], acls: Rule["acls"], statement: Statement, state: State): Evaluated["tests"] {
    try {
      return this.#evaluator.condition(words, acls, statement, state).tests;
    } catch (error) {
      if (error instanceof NotUnderstood) return [];
      throw error;
    }
  }

  /** Questions that an event asks, before the rules of its phase. */
  event(state: State, proxy: ProxySection, name: string): State {
    let current = state;
    for (const engine of this.#around.enginesOf(proxy)) {
      const messages = engine.messages.filter(({ event }) => event === name).map((message) => message.name);
      if (messages.length > 0) current = this.#ask(current, engine, messages, current.live, engine.filter);
    }
    return current;
  }

  #rule(
    state: State,
    proxy: ProxySection,
    { statement, acls }: Rule,
    words: readonly string[],
    at: number,
    list: number,
  ): State {
    const action = actionOf(words[at] ?? "");
    if (action === undefined)
      return hazard(state, {
        when: state.live,
        statement,
        kind: "unknown",
        what: `the action ${words[at]} is not known`,
      });
    const end = conditionAt(statement, at + 1, action.words);
    const own = words.slice(at, end);
    let current = this.#sideEffects(state, statement, own);
    let evaluated: Evaluated;
    try {
      const unread = this.#evaluator.condition(words.slice(end), acls, statement, current);
      current = this.#written(current, unread.tests, statement);
      evaluated = this.#evaluator.condition(words.slice(end), acls, statement, current);
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      current = hazard(current, { when: current.live, statement, kind: "unknown", what: error.message });
      evaluated = { holds: this.#evaluator.unknown(), looked: [], judges: true, tests: [] };
    }
    const fires = this.#evaluator.formulas.and(current.live, evaluated.holds);
    const { effect } = action;
    const { looked, judges, tests } = evaluated;
    const after = this.#effect(current, proxy, effect, own, fires, statement);
    const step = { statement, effect, list, fires, reached: current.live, looked, judges, tests };
    return { ...after, steps: [...after.steps, step] };
  }

  #effect(
    state: State,
    proxy: ProxySection,
    effect: Effect,
    own: readonly string[],
    fires: Formula,
    statement: Statement,
  ): State {
    const { formulas } = this.#evaluator;
    const passed = { ...state, live: formulas.without(state.live, fires) };
    switch (effect) {
      case "ends":
        return own.includes("ignore-empty") ? state : passed;
      case "stops":
        return passed;
      case "service":
        if (!own[1]?.startsWith("lua.")) return passed;
        return hazard(passed, {
          when: fires,
          statement,
          kind: "script",
          what: "a Lua service may fetch from anywhere",
        });
      case "asks":
        return this.#group(state, proxy, own, fires, statement);
      case "writes":
        return this.#write(state, own, fires, statement);
      case "rewrites":
        return this.#rewrite(state, own, fires, statement);
      case "header":
        return this.#header(state, own, fires, statement);
      case "source":
        return this.#source(state, own, fires, statement);
      case "looks-up":
        return this.#lookUp(state, own, fires, statement);
      case "destination":
        return touched(this.#change(state, fires, statement, "destination"), "dst");
      case "caches":
        return hazard(state, { when: fires, statement, kind: "cache", what: "" });
      case "switches":
        return { ...state, switched: formulas.or(state.switched, fires) };
      case "neutral":
        return own[0] === "wait-for-handshake" ? touched(state, "handshake") : state;
    }
  }

  /** Any sample expression of a rule may write variables on the way, whether its condition holds or not. */
  #sideEffects(state: State, statement: Statement, words: readonly string[]): State {
    const samples = words.flatMap((word) => [...samplesIn(word), ...expressionOf(word)]);
    return this.#scripted(this.#writtenBy(state, samples, statement), samples, statement);
  }

  #written(state: State, tests: readonly { readonly statement: Statement }[], user: Statement): State {
    let current = state;
    for (const { statement } of [{ statement: user }, ...tests])
      current = this.#writtenBy(current, texts(statement).flatMap(expressionOf), statement);
    return current;
  }

  #writtenBy(state: State, samples: readonly Sample[], writer: Statement): State {
    let current = state;
    for (const name of samples.flatMap(writtenBy)) {
      current = this.#perhaps(current, name, state.live, writer);
    }
    return current;
  }

  /** Something that a client may have a say in is written, or nothing. */
  #perhaps(state: State, name: string, fires: Formula, writer: Statement): State {
    const { formulas } = this.#evaluator;
    const when = formulas.and(fires, this.#evaluator.chance(`${name} is written`));
    const key = `${name} by line ${writer.line}`;
    const value: Case["value"] = { kind: "some", key, expression: "req.hdr", origin: "request" };
    return written(state, formulas, name, when, [{ when: TRUE, value, writer }]);
  }

  /** `do-resolve(NAME,…)` writes the address that it finds. */
  #lookUp(state: State, [action = ""]: readonly string[], fires: Formula, statement: Statement): State {
    const name = /\(([^,)]+)/.exec(action)?.[1];
    if (name !== undefined) return this.#perhaps(state, name.trim(), fires, statement);
    return hazard(state, { when: fires, statement, kind: "unknown", what: "a variable without a name" });
  }

  #scripted(state: State, samples: readonly Sample[], statement: Statement): State {
    if (!samples.some(isScripted)) return state;
    return hazard(state, { when: state.live, statement, kind: "script", what: "a Lua sample may write any variable" });
  }

  #group(
    state: State,
    proxy: ProxySection,
    [, name, group = ""]: readonly string[],
    fires: Formula,
    statement: Statement,
  ): State {
    const engine = this.#around.enginesOf(proxy).find((one) => one.name === name);
    const messages = engine?.groups.get(group);
    if (engine !== undefined && messages !== undefined) return this.#ask(state, engine, messages, fires, statement);
    const what = `no "filter spoe" of ${proxy.kind} ${proxy.name} knows engine ${name} and group ${group}`;
    return hazard(state, { when: fires, statement, kind: "unknown", what });
  }

  #ask(state: State, engine: Engine, names: readonly string[], fires: Formula, statement: Statement): State {
    const { formulas } = this.#evaluator;
    const message = engine.messages.find(({ name }) => name === MESSAGE && names.includes(name));
    const n = this.#asks++;
    const answered = formulas.and(fires, this.#evaluator.atom(`question ${n} is answered`, "answer"));
    const sample = message?.args.find(({ name }) => name === "id")?.sample;
    const id = sample === undefined ? undefined : this.#evaluator.idOf(sample, state);
    // Countersign writes to `txn` only; what another agent writes to is its own choice.
    const scopes = message === undefined ? ["proc", "sess", "txn", "req", "res"] : ["txn"];
    const starts = scopes.map((scope) => `${scope}.${engine.prefix}.`);
    let current = state;
    for (const full of this.#around.variables) {
      const start = starts.find((one) => full.startsWith(one));
      if (start === undefined) continue;
      const name = full.slice(start.length);
      const value: Case["value"] =
        message === undefined
          ? { kind: "some", key: `${engine.name} ${n} ${name}`, expression: "req.hdr", origin: "request" }
          : { kind: "answer", ask: n, name };
      const writer = message === undefined ? statement : undefined;
      // What an answer does not name stays what it was.
      const there = message === undefined ? TRUE : this.#evaluator.isThere(n, name);
      const when = formulas.and(name === engine.onError ? fires : answered, there);
      current = written(current, formulas, full, when, [{ when: TRUE, value, writer }]);
    }
    if (message === undefined) return current;
    return { ...current, asks: [...current.asks, { n, statement, engine, message, answered, id }] };
  }

  #write(state: State, own: readonly string[], fires: Formula, statement: Statement): State {
    const { formulas } = this.#evaluator;
    const match = /^(set-var-fmt|set-var|unset-var)[^(]*\(([^,)]*)(,[^)]*)?\)?/.exec(own[0] ?? "");
    if (match === null)
      return hazard(state, { when: fires, statement, kind: "unknown", what: "a variable without a name" });
    const [, kind, name = "", condition] = match;
    const when = condition === undefined ? fires : formulas.and(fires, this.#evaluator.chance(`${name} as it says`));
    const word = own[1] ?? "";
    if (kind === "unset-var")
      return written(state, formulas, name, when, [{ when: TRUE, value: UNSET, writer: statement }]);
    const values =
      kind === "set-var"
        ? this.#evaluator.values(own.slice(1).join(","), state, statement)
        : this.#format(word, state, statement);
    return written(state, formulas, name, when, values);
  }

  #format(format: string, state: State, writer: Statement): readonly Case[] {
    const samples = samplesIn(format);
    const [only] = samples;
    if (only !== undefined && format === `%[${only.text}]`) return this.#evaluator.values(only.text, state, writer);
    if (!format.includes("%")) return [{ when: TRUE, value: { kind: "text", text: format }, writer }];
    const derived = samples.some((sample) => this.#evaluator.originOf(sample, state) !== "request");
    const origin = derived ? "derived" : "request";
    const key = `${format} line ${writer.line} ${this.#lists}`;
    return [{ when: TRUE, value: { kind: "some", key, expression: samples[0]?.text ?? "", origin }, writer }];
  }

  #rewrite(state: State, own: readonly string[], fires: Formula, statement: Statement): State {
    const [name = "", value = ""] = own;
    // `method` goes on being what the client sent, for conditions and for the agent, above the question too.
    if (name === "set-method") return hazard(state, { when: fires, statement, kind: "method", what: "" });
    const same =
      (name === "set-uri" && value === "%[pathq]") || (/^set-pathq?$/.test(name) && value === `%[${name.slice(4)}]`);
    const after = touched(state, "target");
    if (same) return after;
    return this.#change(after, fires, statement, name === "set-query" ? "query" : "path");
  }

  /** What is done to a header that is judged, or that only the agent may write. */
  #header(state: State, own: readonly string[], fires: Formula, statement: Statement): State {
    const rule = headerRuleOf(own);
    let current = rule.exact ? touched(state, `header ${rule.name}`) : touched(state, "headers");
    const clients = rule.values.some((value) => this.#isClients(value, state));
    const hop = clients && !rule.deletes ? [{ when: fires, word: "other" } as const] : [];
    const empty = { when: this.#unfilled(rule, fires, state), word: "empty" } as const;
    const words = rule.deletes ? [] : [...this.#words(rule, fires, state), empty];
    const headers = new Map(current.headers);
    for (const [name, dirt] of headers) {
      const added = (WARNED_HEADERS.includes(name) ? hop : words).map((one) => ({ ...one, cause: statement }));
      const changed = this.#dirt(name, dirt, rule, fires, added);
      if (changed !== dirt) headers.set(name, changed);
    }
    current = { ...current, headers };
    for (const { n, message } of state.asks) {
      // What only bears a credential may go on without it.
      const judged = message.args.filter(({ name }) => clients || !isPlacedArgument(name));
      const told = judged.flatMap(({ sample }) => /^req\.f?hdr\(([^,)]*)/.exec(sample)?.[1]?.toLowerCase() ?? []);
      const names = ["host", ...told.filter((name) => name !== "authorization" || clients)];
      const kept = new Set(["host", ...headersTold(message)]);
      for (const name of new Set(names)) {
        if (!headerMatches(rule, name) || (rule.deletes && !kept.has(name))) continue;
        current = { ...current, changes: [...current.changes, { when: fires, ask: n, statement, what: name }] };
      }
    }
    return current;
  }

  #dirt(name: string, dirt: readonly Dirt[], rule: HeaderRule, fires: Formula, added: readonly Dirt[]) {
    const { formulas } = this.#evaluator;
    if (!headerMatches(rule, name)) return dirt;
    const kept = rule.replaces ? dirt.map((one) => ({ ...one, when: formulas.without(one.when, fires) })) : dirt;
    return [...kept, ...added].filter(({ when }) => when !== FALSE);
  }

  /** When it writes nothing but a variable that nobody has set. */
  #unfilled({ values }: HeaderRule, fires: Formula, state: State): Formula {
    const [, name] = (values.length === 1 && ONE_VARIABLE.exec(values[0] ?? "")) || [];
    if (name === undefined) return FALSE;
    const unset = casesOf(state, name).filter(({ value }) => value.kind === "unset");
    return this.#evaluator.formulas.and(fires, this.#evaluator.formulas.any(unset.map(({ when }) => when)));
  }

  /** Whether a client has a say in the text. */
  #isClients(format: string, state: State): boolean {
    return hasAlias(format) || samplesIn(format).some((sample) => this.#isClientsSample(sample, state));
  }

  #isClientsSample(sample: Sample, state: State): boolean {
    if (isClients(sample)) return true;
    const values = readBy(sample).flatMap((name) => casesOf(state, name).map(({ value }) => value));
    return values.some((value) => {
      const read = value.kind === "some" ? sampleOf(value.expression) : undefined;
      return read !== undefined && isClients(read);
    });
  }

  /** What a rule puts into a header that only the agent fills: when that is somebody else's word, or written out. */
  #words({ values }: HeaderRule, fires: Formula, state: State): Pick<Dirt, "when" | "word">[] {
    const { formulas } = this.#evaluator;
    if (values.some(hasAlias)) return [{ when: fires, word: "other" }];
    const samples = values.flatMap(samplesIn);
    if (samples.length === 0)
      return values.every((value) => REFERENCES.test(value)) ? [] : [{ when: fires, word: "nobody" }];
    if (!samples.every(({ calls: [fetch] }) => /^(?:var|str|int|bool)$/.test(fetch?.name ?? "")))
      return [{ when: fires, word: "other" }];
    const cases = samples.flatMap(readBy).flatMap((name) => casesOf(state, name));
    if (cases.length === 0) return [{ when: fires, word: "nobody" }];
    // Each value for itself: a client may have a say in which of them it is.
    const words = cases.flatMap(({ when, value }) => {
      const word = wordOf(value);
      return word === undefined ? [] : [{ when: formulas.and(fires, when), word }];
    });
    return values.every((value) => ONE_VARIABLE.test(value)) ? words : [...words, { when: fires, word: "made" }];
  }

  /** The client's address may come from a header only on connections of those who are believed. */
  #source(state: State, own: readonly string[], fires: Formula, statement: Statement): State {
    const sample = sampleOf(own[1] ?? "");
    const believed = this.#evaluator.trustsSource(fires, state);
    const after = touched(state, "src");
    if (sample === undefined || !this.#isClientsSample(sample, state) || believed) return after;
    return hazard(after, { when: fires, statement, kind: "source", what: "" });
  }

  #change(state: State, when: Formula, statement: Statement, what: string): State {
    const changes: readonly Change[] = state.asks.map(({ n }) => ({ when, ask: n, statement, what }));
    return { ...state, changes: [...state.changes, ...changes] };
  }
}

/** Of what was there before, and of nothing else. */
const REFERENCES = /^(?:\\[0-9])+$/;
/** A variable as it is. */
const ONE_VARIABLE = /^%\[var\(([^,()]+)\)\]$/;

/** Whose word a variable has; undefined for the agent's, or what was made of it. */
function wordOf(value: Case["value"]): Dirt["word"] | undefined {
  if (value.kind === "text" || value.kind === "flag") return "nobody";
  return value.kind === "some" && value.origin !== "derived" ? "other" : undefined;
}

/** `%HQ` and its kin: what a log line says of the request, in a text. */
function hasAlias(format: string): boolean {
  return /%(?:\{[^}]*\})?[A-Za-z]/.test(format);
}

function hazard(state: State, one: Hazard): State {
  return { ...state, hazards: [...state.hazards, one] };
}

/** The word, where it can be an expression that does something. */
function expressionOf(word: string): readonly Sample[] {
  const sample = /[(,]|^lua\./.test(word) && !isVariable(word) ? sampleOf(word) : undefined;
  return sample === undefined ? [] : [sample];
}
