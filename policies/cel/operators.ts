import type { ASTNode, TypeDeclaration } from "@marcbachmann/cel-js";
import { childrenOf } from "./admit.ts";
import { CHARACTERS, isEqual, isIn, isMap } from "./equality.ts";
import type { Evaluator, Scope } from "./macros.ts";
import { spend } from "./work.ts";

type Binary = (left: unknown, right: unknown, node: ASTNode, evaluator: Evaluator) => unknown;
type Unary = (operand: unknown, node: ASTNode, evaluator: Evaluator) => unknown;
type Choice = (condition: unknown, evaluator: Evaluator, node: ASTNode, scope: Scope) => unknown;
type Handler = (...args: unknown[]) => unknown;

/** What the library makes of a node once its types were checked, as far as it is changed here. */
interface Checked {
  setMeta(name: "evaluate", evaluate: (evaluator: Evaluator, node: ASTNode, scope: Scope) => unknown): void;
  readonly checkedType?: TypeDeclaration;
  /** Does the operation on operands that were evaluated. */
  handle?: unknown;
  /** The functions of a call's name. */
  readonly candidates?: {
    findFunction(types: readonly TypeDeclaration[], receiver?: TypeDeclaration): { readonly handler: Handler } | null;
  };
}

/**
 * Puts operations that count their work in the place of the library's, all through an expression whose types were
 * checked. Those of the library count nothing, and find out the type of a claim by walking into it.
 */
export function countWork(node: ASTNode): void {
  const checked = node as ASTNode & Checked;
  if (node.op === "&&" || node.op === "||") {
    const decisive = node.op === "||";
    checked.setMeta("evaluate", (evaluator: Evaluator, _: ASTNode, scope: Scope) =>
      logical(node.args, decisive, evaluator, scope),
    );
  } else if (checked.handle !== undefined) checked.handle = counted(node, checked.handle, checked);
  for (const child of childrenOf(node)) countWork(child);
}

function counted(node: ASTNode, handle: unknown, checked: Checked): unknown {
  switch (node.op) {
    case "==":
      return isEqual;
    case "!=":
      return (left: unknown, right: unknown) => !isEqual(left, right);
    case "in":
      return isIn;
    case "+":
      return adding(handle as Binary);
    case "[]":
      return indexing(handle as Binary);
    case "-":
    case "*":
    case "/":
    case "%":
      return onScalars(handle as Binary);
    case "<":
    case "<=":
    case ">":
    case ">=":
      return comparing(handle as Binary);
    case "!_":
    case "-_": {
      const own = handle as Unary;
      return (operand: unknown, ast: ASTNode, evaluator: Evaluator) => own(scalar(operand), ast, evaluator);
    }
    case "?:":
      return choosing(handle as Choice);
    case "call":
      return node.args[1].some(isDynamic)
        ? (args: unknown[], _: ASTNode, evaluator: Evaluator) => call(node, checked, args, false, evaluator)
        : handle;
    case "rcall":
      return [node.args[1], ...node.args[2]].some(isDynamic)
        ? (args: unknown[], evaluator: Evaluator) => call(node, checked, args, true, evaluator)
        : handle;
    default:
      return handle;
  }
}

function isDynamic(node: ASTNode): boolean {
  return (node as ASTNode & Checked).checkedType?.hasDynType !== false;
}

function adding(handle: Binary): Binary {
  return (left, right, node, evaluator) => {
    if (typeof left === "string" && typeof right === "string") {
      spend((left.length + right.length) / 16);
      return left + right;
    }
    if (Array.isArray(left) && Array.isArray(right)) {
      spend((left.length + right.length) / 2);
      return left.concat(right);
    }
    return handle(scalar(left), scalar(right), node, evaluator);
  };
}

/** A name that was put together has to be read as a whole before it can be looked up. */
function indexing(handle: Binary): Binary {
  return (left, right, node, evaluator) => {
    if (typeof right === "string") spend(right.length / 16);
    return handle(left, right, node, evaluator);
  };
}

function comparing(handle: Binary): Binary {
  return (left, right, node, evaluator) => {
    if (typeof left === "string" && typeof right === "string") spend(Math.min(left.length, right.length) / CHARACTERS);
    return handle(scalar(left), scalar(right), node, evaluator);
  };
}

function onScalars(handle: Binary): Binary {
  return (left, right, node, evaluator) => handle(scalar(left), scalar(right), node, evaluator);
}

function choosing(handle: Choice): Choice {
  return (condition, evaluator, node, scope) => handle(scalar(condition), evaluator, node, scope);
}

/** The library would look for what takes a list or map, or tell of it, by walking into it. Nothing does. */
function scalar(value: unknown): unknown {
  if (typeof value === "object" && (Array.isArray(value) || isMap(value))) throw new TypeError("not of a list or map");
  return value;
}

/** Calls the function for the operands as they are: a list is one whatever it holds. */
function call(node: ASTNode, { candidates }: Checked, args: unknown[], method: boolean, evaluator: Evaluator): unknown {
  const types = args.map((arg) => evaluator.debugType(arg));
  const found = method ? candidates?.findFunction(types.slice(1), types[0]) : candidates?.findFunction(types);
  if (found) return found.handler.apply(evaluator, args);
  throw evaluator.createError("no_matching_overload", "no function of this name takes such operands", node);
}

/** What an error takes that `&&`, `||`, `all` or `exists` goes on after: it is told with its place in the expression. */
export function spendOnError({ input }: ASTNode): void {
  spend(800 + input.length);
}

/** `&&` and `||`: what decides alone need not know the other. */
function logical([first, second]: [ASTNode, ASTNode], decisive: boolean, evaluator: Evaluator, scope: Scope): boolean {
  let left: unknown;
  try {
    left = evaluator.run(first, scope);
  } catch (error) {
    spendOnError(first);
    if (evaluator.run(second, scope) === decisive) return decisive;
    throw error;
  }
  if (left === decisive) return decisive;
  const right = evaluator.run(second, scope);
  if (right === decisive) return decisive;
  if (left === !decisive && right === !decisive) return !decisive;
  throw evaluator.createError(
    "invalid_logical_operand",
    "&& and || need true or false",
    left === !decisive ? second : first,
  );
}
