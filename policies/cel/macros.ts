import type { ASTNode, Environment, TypeDeclaration } from "@marcbachmann/cel-js";
import { costOf, ROUND } from "./cost.ts";
import { isMap, keysOf } from "./equality.ts";
import { ExpressionFault } from "./fault.ts";
import { spendOnError } from "./operators.ts";
import { spend } from "./work.ts";

/** The library's scopes, checker and evaluator, as far as its documentation of macros goes. */
export interface Scope {
  forkWithVariable(name: string, type: TypeDeclaration): LoopScope;
}
interface LoopScope extends Scope {
  reuse(parent: Scope): LoopScope;
  setIterValue(value: unknown, evaluator: Evaluator): LoopScope;
}
export interface Checker {
  readonly registry: { getListType(type: TypeDeclaration): TypeDeclaration };
  check(node: ASTNode, scope: Scope): TypeDeclaration;
  getType(name: string): TypeDeclaration;
  createError(code: string, message: string, node: ASTNode): Error;
}
export interface Evaluator {
  run(node: ASTNode, scope: Scope): unknown;
  debugType(value: unknown): TypeDeclaration;
  createError(code: string, message: string, node: ASTNode): Error;
}
export interface MacroCall {
  readonly ast: ASTNode;
  readonly args: readonly ASTNode[];
  readonly receiver: ASTNode | null;
}
export interface Macro {
  readonly async: false;
  typeCheck(checker: Checker, macro: unknown, scope: Scope): TypeDeclaration;
  evaluate(evaluator: Evaluator, macro: unknown, scope: Scope): unknown;
}

/**
 * CEL's macros, in place of the library's, which count no work. The library finds a macro by its name and number of
 * arguments alone, the last registered first: the receiver's type here only keeps it from calling that an overlap.
 */
export function registerMacros(environment: Environment): Environment {
  return environment
    .registerFunction("map.all(ast, ast): bool", (call: MacroCall) => new Quantifier(call, false))
    .registerFunction("map.exists(ast, ast): bool", (call: MacroCall) => new Quantifier(call, true))
    .registerFunction("map.exists_one(ast, ast): bool", (call: MacroCall) => new ExistsOne(call))
    .registerFunction("map.filter(ast, ast): list<dyn>", (call: MacroCall) => new Filter(call))
    .registerFunction("map.map(ast, ast): list<dyn>", (call: MacroCall) => new Transform(call))
    .registerFunction("map.map(ast, ast, ast): list<dyn>", (call: MacroCall) => new Transform(call));
}

/** One call of a macro: a range, a variable that goes over it, and what is worked out for each member. */
abstract class Comprehension implements Macro {
  readonly async = false;
  readonly body: ASTNode;
  /** The condition on a member; the body itself but for `map`. */
  readonly predicate: ASTNode | undefined;
  readonly #range: ASTNode;
  readonly #variable: string;
  #scope: LoopScope | undefined;
  /** What one round takes, in units of work. */
  #round = ROUND;

  constructor({ args, receiver, ast }: MacroCall) {
    const [variable = ast, first = ast, second] = args;
    if (variable.op !== "id") throw new ExpressionFault(variable, "not a variable's name", "a plain name, such as `x`");
    this.#range = receiver ?? ast;
    this.#variable = variable.args;
    this.body = second ?? first;
    this.predicate = second === undefined ? undefined : first;
  }

  abstract evaluate(evaluator: Evaluator, macro: unknown, scope: Scope): unknown;
  /** The type of the whole, from that of the members and of the body. */
  abstract resultType(checker: Checker, member: TypeDeclaration, body: TypeDeclaration): TypeDeclaration;

  typeCheck(checker: Checker, _macro: unknown, scope: Scope): TypeDeclaration {
    const member = memberType(checker, checker.check(this.#range, scope), this.#range);
    this.#scope = scope.forkWithVariable(this.#variable, member);
    this.#round = ROUND + costOf(this.body) + (this.predicate === undefined ? 0 : costOf(this.predicate));
    if (this.predicate !== undefined) mustBeBool(checker, checker.check(this.predicate, this.#scope), this.predicate);
    return this.resultType(checker, member, checker.check(this.body, this.#scope));
  }

  /** Each member with the scope in which the body sees it. */
  *members(evaluator: Evaluator, outer: Scope): Generator<readonly [unknown, Scope]> {
    const members = membersOf(evaluator, evaluator.run(this.#range, outer), this.#range);
    const scope = (this.#scope as LoopScope).reuse(outer);
    for (const member of members) {
      spend(this.#round);
      yield [member, scope.setIterValue(member, evaluator)];
    }
  }

  /** The value of a condition, which has to be a boolean. */
  holds(evaluator: Evaluator, condition: ASTNode, scope: Scope): boolean {
    const value = evaluator.run(condition, scope);
    if (typeof value === "boolean") return value;
    throw evaluator.createError("invalid_condition_type", "a macro's condition must be bool", condition);
  }
}

/** `all` and `exists`: an error counts only where no other member decides (as with && and ||). */
class Quantifier extends Comprehension {
  readonly #decisive: boolean;

  constructor(call: MacroCall, decisive: boolean) {
    super(call);
    this.#decisive = decisive;
  }

  resultType(checker: Checker, _member: TypeDeclaration, body: TypeDeclaration): TypeDeclaration {
    return mustBeBool(checker, body, this.body);
  }

  evaluate(evaluator: Evaluator, _macro: unknown, outer: Scope): boolean {
    const errors: unknown[] = [];
    for (const [, scope] of this.members(evaluator, outer)) {
      try {
        if (this.holds(evaluator, this.body, scope) === this.#decisive) return this.#decisive;
      } catch (error) {
        spendOnError(this.body);
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
    return !this.#decisive;
  }
}

class ExistsOne extends Comprehension {
  resultType(checker: Checker, _member: TypeDeclaration, body: TypeDeclaration): TypeDeclaration {
    return mustBeBool(checker, body, this.body);
  }

  evaluate(evaluator: Evaluator, _macro: unknown, outer: Scope): boolean {
    let count = 0;
    for (const [, scope] of this.members(evaluator, outer)) if (this.holds(evaluator, this.body, scope)) count++;
    return count === 1;
  }
}

class Filter extends Comprehension {
  resultType(checker: Checker, member: TypeDeclaration, body: TypeDeclaration): TypeDeclaration {
    mustBeBool(checker, body, this.body);
    return checker.registry.getListType(member);
  }

  evaluate(evaluator: Evaluator, _macro: unknown, outer: Scope): unknown[] {
    const kept: unknown[] = [];
    for (const [member, scope] of this.members(evaluator, outer)) {
      if (this.holds(evaluator, this.body, scope)) kept.push(member);
    }
    return kept;
  }
}

class Transform extends Comprehension {
  resultType(checker: Checker, _member: TypeDeclaration, body: TypeDeclaration): TypeDeclaration {
    return checker.registry.getListType(body);
  }

  evaluate(evaluator: Evaluator, _macro: unknown, outer: Scope): unknown[] {
    const results: unknown[] = [];
    for (const [, scope] of this.members(evaluator, outer)) {
      if (this.predicate !== undefined && !this.holds(evaluator, this.predicate, scope)) continue;
      results.push(evaluator.run(this.body, scope));
    }
    return results;
  }
}

function mustBeBool(checker: Checker, type: TypeDeclaration, node: ASTNode): TypeDeclaration {
  if (type.isDynOrBool()) return checker.getType("bool");
  throw checker.createError("invalid_condition_type", `a macro's condition is of type ${type}`, node);
}

function memberType(checker: Checker, range: TypeDeclaration, node: ASTNode): TypeDeclaration {
  if (range.kind === "dyn") return range;
  const member = range.kind === "map" ? range.keyType : range.valueType;
  // The members of `[]` have a type that stands for any.
  if (member?.hasPlaceholderType) return checker.getType("dyn");
  if (member !== undefined) return member;
  throw checker.createError("invalid_comprehension_range", `a value of type ${range} has no members`, node);
}

function membersOf(evaluator: Evaluator, range: unknown, node: ASTNode): readonly unknown[] {
  if (Array.isArray(range)) return range;
  if (isMap(range)) return keysOf(range);
  throw evaluator.createError("invalid_comprehension_range", "the range is neither a list nor a map", node);
}
