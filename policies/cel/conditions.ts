import type { ASTNode, Environment } from "@marcbachmann/cel-js";
import type { TextFault } from "../fault.ts";
import { admit, type Use } from "./admit.ts";
import { costOf, leastOf } from "./cost.ts";
import { ExpressionFault, faultOf } from "./fault.ts";
import { type ExpressionInput, PolicyActivation } from "./input.ts";
import { LONGEST_EXPRESSION, POLICY_LANGUAGE } from "./language.ts";
import { countWork } from "./operators.ts";
import { type ExpressionUses, usesOf } from "./uses.ts";
import { drawOn, MOST_WORK, spend, Work } from "./work.ts";

export { type ExpressionInput, type ExpressionUses, Work };

/** A CEL expression that is true or false. */
export interface Condition {
  readonly text: string;
  readonly uses: ExpressionUses;
  /**
   * @param work what is left of it to the decision
   * @throws where it cannot be told: a claim is missing, a value has another type, too much work. The caller denies.
   */
  evaluate(input: ExpressionInput, work?: Work): boolean;
}

/** A CEL expression for the value of an identity header. */
export interface HeaderExpression {
  readonly text: string;
  readonly uses: ExpressionUses;
  /**
   * `undefined` for null: the header is not set.
   *
   * @param work what is left of it to the decision
   * @throws where it cannot be told, or is no string, or takes too much work. The caller denies.
   */
  evaluate(input: ExpressionInput, work?: Work): string | undefined;
}

/**
 * Checks a condition and makes it ready, or says what is wrong with it.
 *
 * @param secret lower-case names of the request headers that no expression may read
 */
export function compileCondition(text: string, secret: readonly string[]): Condition | TextFault {
  const expression = compile(text, secret, "condition", ["bool"], "a condition, true or false");
  if ("offset" in expression) return expression;
  const { run, uses } = expression;
  return {
    text,
    uses,
    evaluate(input, work = new Work()) {
      const value = run(new PolicyActivation(input), work);
      if (typeof value !== "boolean") throw new TypeError("the condition is neither true nor false");
      return value;
    },
  };
}

/** The conditions that `&&` joins to this one, in their order; itself alone where it is no such chain. */
export function conjunctsOf({ text }: Condition): readonly Condition[] {
  const parts: Condition[] = [];
  const visit = (node: ASTNode): void => {
    if (node.op === "&&") {
      for (const side of node.args) visit(side);
      return;
    }
    // The whole has been checked.
    const part = compileCondition(balanced(text.slice(node.range.start, node.range.end)), []);
    if ("offset" in part) throw new Error(`a part of a condition that is none by itself: ${part.found}`);
    parts.push(part);
  };
  visit(POLICY_LANGUAGE.parse(text).ast);
  return parts;
}

/** Strings, in which parentheses mean nothing, comments, and parentheses. */
const PARENTHESES = /[rR]("""|'''|"|').*?\1|("""|''').*?\2|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\/\/[^\n]*|[()]/gs;

/** An expression with the parentheses that its range in the library's tree leaves out, at its ends. */
function balanced(text: string): string {
  let [depth, lowest] = [0, 0];
  for (const [found] of text.matchAll(PARENTHESES)) {
    if (found === "(") depth++;
    if (found === ")") lowest = Math.min(lowest, --depth);
  }
  return "(".repeat(-lowest) + text + ")".repeat(depth - lowest);
}

/**
 * Checks the expression of a header and makes it ready, or says what is wrong with it.
 *
 * @param secret lower-case names of the request headers that no expression may read
 */
export function compileHeader(text: string, secret: readonly string[]): HeaderExpression | TextFault {
  const expression = compile(
    text,
    secret,
    "header",
    ["string", "null"],
    "a string, or null for no header; list() makes one of a list, json() of any value",
  );
  if ("offset" in expression) return expression;
  const { run, uses } = expression;
  return {
    text,
    uses,
    evaluate(input, work = new Work()) {
      const value = run(new PolicyActivation(input), work);
      if (value === null) return undefined;
      if (typeof value !== "string") throw new TypeError("the header's value is not a string");
      return value;
    },
  };
}

function compile(
  text: string,
  secret: readonly string[],
  use: Use,
  types: readonly string[],
  right: string,
): Program | TextFault {
  try {
    const program = parse(text, POLICY_LANGUAGE, use, secret);
    if (types.includes(program.type) || program.type.startsWith("dyn")) return program;
    return { offset: 0, found: `a value of type ${program.type}`, right };
  } catch (error) {
    return faultOf(error);
  }
}

/** An expression that was parsed and type-checked. */
export interface Program {
  readonly uses: ExpressionUses;
  /** Its static type, `dyn` where it depends on claims. */
  readonly type: string;
  /** @throws where it cannot be told, and where it has taken more than there was */
  readonly run: (activation: object, work: Work) => unknown;
}

/**
 * Parses and checks an expression in an environment made of LANGUAGE.
 *
 * @throws {ExpressionFault} and the library's ParseError and TypeError
 */
export function parse(text: string, environment: Environment, use: Use, secret: readonly string[]): Program {
  if (text.length > LONGEST_EXPRESSION) {
    throw new ExpressionFault({ pos: 0 }, `${text.length} characters`, `at most ${LONGEST_EXPRESSION}`);
  }
  const evaluate = environment.parse(text);
  const { ast } = evaluate;
  admit(ast, use);
  const { type, error } = evaluate.check();
  const uses = usesOf(ast, secret);
  if (type === undefined) throw error;
  mustFit(ast);
  countWork(ast);
  const cost = costOf(ast);
  const run = (activation: object, work: Work): unknown => {
    drawOn(work);
    spend(cost);
    const value = evaluate(activation);
    if (work.exhausted) throw new RangeError("the expression takes too much work");
    return value;
  };
  return { uses, type, run };
}

/** Most of what it takes is only known for each request; lists that are written out are not. */
function mustFit(ast: ASTNode): void {
  const least = leastOf(ast);
  if (least <= MOST_WORK) return;
  throw new ExpressionFault(
    { pos: 0 },
    `an expression that takes ${least} units of work for every request, of ${MOST_WORK} that there are`,
    "shorter lists, or fewer macros within each other",
  );
}
