import type { ASTNode, Environment } from "@marcbachmann/cel-js";
import type { TextFault } from "../fault.ts";
import { admit, type Use } from "./admit.ts";
import { ExpressionFault, faultOf } from "./fault.ts";
import { type ExpressionInput, PolicyActivation } from "./input.ts";
import { LONGEST_EXPRESSION, POLICY_LANGUAGE } from "./language.ts";
import type { Activation } from "./macros.ts";
import { type ExpressionUses, usesOf } from "./uses.ts";

export type { ExpressionInput, ExpressionUses };

/** A CEL expression that is true or false. */
export interface Condition {
  readonly text: string;
  readonly uses: ExpressionUses;
  /** @throws where it cannot be told: a claim is missing, a value has another type, too much work. The caller denies. */
  evaluate(input: ExpressionInput): boolean;
}

/** A CEL expression for the value of an identity header. */
export interface HeaderExpression {
  readonly text: string;
  readonly uses: ExpressionUses;
  /**
   * `undefined` for null: the header is not set.
   *
   * @throws where it cannot be told, or is no string. The caller denies.
   */
  evaluate(input: ExpressionInput): string | undefined;
}

/** Checks a condition and makes it ready, or says what is wrong with it. */
export function compileCondition(text: string): Condition | TextFault {
  const expression = compile(text, "condition", ["bool"], "a condition, true or false");
  if ("offset" in expression) return expression;
  const { run, uses } = expression;
  return {
    text,
    uses,
    evaluate(input) {
      const value = run(new PolicyActivation(input));
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
    const part = compileCondition(text.slice(node.range.start, node.range.end));
    if (!("offset" in part)) parts.push(part);
  };
  visit(POLICY_LANGUAGE.parse(text).ast);
  return parts;
}

/** Checks the expression of a header and makes it ready, or says what is wrong with it. */
export function compileHeader(text: string): HeaderExpression | TextFault {
  const expression = compile(
    text,
    "header",
    ["string", "null"],
    "a string, or null for no header; list() makes one of a list",
  );
  if ("offset" in expression) return expression;
  const { run, uses } = expression;
  return {
    text,
    uses,
    evaluate(input) {
      const value = run(new PolicyActivation(input));
      if (value === null) return undefined;
      if (typeof value !== "string") throw new TypeError("the header's value is not a string");
      return value;
    },
  };
}

function compile(text: string, use: Use, types: readonly string[], right: string): Program | TextFault {
  try {
    const program = parse(text, POLICY_LANGUAGE, use);
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
  readonly run: (activation: Activation) => unknown;
}

/**
 * Parses and checks an expression in an environment made of LANGUAGE.
 *
 * @throws {ExpressionFault} and the library's ParseError and TypeError
 */
export function parse(text: string, environment: Environment, use: Use): Program {
  if (text.length > LONGEST_EXPRESSION) {
    throw new ExpressionFault({ pos: 0 }, `${text.length} characters`, `at most ${LONGEST_EXPRESSION}`);
  }
  const run = environment.parse(text);
  admit(run.ast, use);
  const { type, error } = run.check();
  const uses = usesOf(run.ast);
  if (type === undefined) throw error;
  return { uses, type, run };
}
