import type { ASTNode, Environment, TypeDeclaration } from "@marcbachmann/cel-js";
import { RE2JS } from "re2js";
import { isSettled } from "../pattern-states.ts";
import { ExpressionFault } from "./fault.ts";
import type { Checker, Evaluator, Macro, MacroCall, Scope } from "./macros.ts";
import { spend } from "./work.ts";

/** A pattern's instructions. */
const LARGEST_PATTERN = 1000;
/** In units of work, of a text to match: for each character, and for each that this many instructions may search. */
const CHARACTER = 4;
const INSTRUCTIONS = 8;
const ZONE = 400;

/**
 * Functions whose last argument is a literal that is prepared when the policy loads: patterns for `matches`, which run
 * on RE2, and time zones. The library has `matches` on JavaScript's RegExp, which a short pattern can keep busy for
 * hours; but a macro takes every call of its name and number of arguments before any type is known, so that one is
 * never reached. The receiver's type here only keeps the library from calling that an overlap.
 */
export function registerLiterals(environment: Environment): Environment {
  environment
    .registerFunction("list.matches(ast): bool", (call: MacroCall) => new Matches(call))
    .registerFunction("matches(ast, ast): bool", (call: MacroCall) => new Matches(call));
  for (const [name, read] of Object.entries(ZONED)) {
    environment.registerFunction(`list.${name}(ast): int`, (call: MacroCall) => new Zoned(call, read));
  }
  return environment;
}

/** A call of one operand and one literal. */
abstract class Prepared<T> implements Macro {
  readonly async = false;
  readonly #operand: ASTNode;
  readonly #prepared: T;

  constructor({ args, receiver, ast }: MacroCall, prepare: (literal: string, node: ASTNode) => T) {
    const [operand = ast, literal = ast] = receiver === null ? args : [receiver, ...args];
    if (literal.op !== "value" || typeof literal.args !== "string") {
      throw new ExpressionFault(literal, "a value that is only known for each request", "a string written out here");
    }
    this.#operand = operand;
    this.#prepared = prepare(literal.args, literal);
  }

  abstract readonly operandType: string;
  abstract readonly resultType: string;
  /** In units of work. */
  abstract cost(operand: unknown, prepared: T): number;
  abstract result(operand: unknown, prepared: T): unknown;

  typeCheck(checker: Checker, _macro: unknown, scope: Scope): TypeDeclaration {
    const type = checker.check(this.#operand, scope);
    if (type.kind !== "dyn" && type.name !== this.operandType) {
      throw checker.createError(
        "no_matching_overload",
        `this is of type ${type}, not ${this.operandType}`,
        this.#operand,
      );
    }
    return checker.getType(this.resultType);
  }

  evaluate(evaluator: Evaluator, _macro: unknown, scope: Scope): unknown {
    const operand = evaluator.run(this.#operand, scope);
    if (evaluator.debugType(operand).name !== this.operandType) {
      throw evaluator.createError("no_matching_overload", `not of type ${this.operandType}`, this.#operand);
    }
    spend(this.cost(operand, this.#prepared));
    return this.result(operand, this.#prepared);
  }
}

class Matches extends Prepared<RE2JS> {
  readonly operandType = "string";
  readonly resultType = "bool";

  constructor(call: MacroCall) {
    super(call, compilePattern);
  }

  cost(text: string, pattern: RE2JS): number {
    return text.length * (CHARACTER + pattern.programSize() / INSTRUCTIONS);
  }

  result(text: string, pattern: RE2JS): boolean {
    return pattern.test(text);
  }
}

function compilePattern(text: string, node: ASTNode): RE2JS {
  let pattern: RE2JS;
  try {
    pattern = RE2JS.compile(text);
  } catch (error) {
    throw new ExpressionFault(
      node,
      `not a pattern of RE2: ${(error as Error).message}`,
      "a pattern as in RE2's syntax",
    );
  }
  if (pattern.programSize() <= LARGEST_PATTERN && isSettled(pattern, "search")) return pattern;
  throw new ExpressionFault(
    node,
    "a pattern that would take long for each request",
    "smaller repetitions, or `^` in front; `[^/]{1,9}/` instead of `.{1,9}/`",
  );
}

/** What a timestamp that was moved into a zone tells of itself. */
const ZONED: Readonly<Record<string, (local: Date) => number>> = {
  getFullYear: (local) => local.getUTCFullYear(),
  getMonth: (local) => local.getUTCMonth(),
  getDate: (local) => local.getUTCDate(),
  getDayOfMonth: (local) => local.getUTCDate() - 1,
  getDayOfWeek: (local) => local.getUTCDay(),
  getHours: (local) => local.getUTCHours(),
  getMinutes: (local) => local.getUTCMinutes(),
  getSeconds: (local) => local.getUTCSeconds(),
  getMilliseconds: (local) => local.getUTCMilliseconds(),
};

/** The library reads a zone by way of the machine's own, and so is wrong where that changes its clocks. */
class Zoned extends Prepared<Intl.DateTimeFormat> {
  readonly operandType = "google.protobuf.Timestamp";
  readonly resultType = "int";
  readonly #read: (local: Date) => number;

  constructor(call: MacroCall, read: (local: Date) => number) {
    super(call, offsetFormat);
    this.#read = read;
  }

  cost(): number {
    return ZONE;
  }

  result(at: Date, format: Intl.DateTimeFormat): bigint {
    return BigInt(this.#read(new Date(at.getTime() + offsetAt(at, format))));
  }
}

function offsetFormat(zone: string, node: ASTNode): Intl.DateTimeFormat {
  const timeZone = /^\d\d:\d\d$/.test(zone) ? `+${zone}` : zone;
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "longOffset" });
  } catch {
    throw new ExpressionFault(node, `no time zone ${JSON.stringify(zone)}`, '"Europe/Berlin", "UTC" or "+02:00"');
  }
}

/** Milliseconds to add to a timestamp for the zone's clock: `GMT`, `GMT+02:00`, and with seconds long ago. */
function offsetAt(at: Date, format: Intl.DateTimeFormat): number {
  const name = format.formatToParts(at).find(({ type }) => type === "timeZoneName")?.value ?? "";
  if (name === "GMT") return 0;
  const [, sign, hours, minutes, seconds = "0"] = /^GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(name) ?? [];
  if (sign === undefined) throw new RangeError("the zone's offset cannot be read");
  const offset = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000;
  return sign === "-" ? -offset : offset;
}
