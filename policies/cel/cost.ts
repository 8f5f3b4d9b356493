import type { ASTNode } from "@marcbachmann/cel-js";
import { childrenOf } from "./admit.ts";

/** What calling a function takes whatever its operands, in units of work (measured); what grows with them is counted then. */
const CALLS: Readonly<Record<string, number>> = {
  strict_int: 20,
  strict_double: 20,
  // Of a timestamp; of all else it is less.
  strict_string: 100,
  strict_timestamp: 130,
  strict_duration: 140,
};
const CALL = 14;
const FIELD = 6;
const OPERATOR = 3;
/** One round of a macro, apart from what is worked out in it. */
export const ROUND = 4;

/** What evaluating a node and all below takes at most, each once, with operands of no size. */
export function costOf(node: ASTNode): number {
  let cost = ownCost(node);
  for (const child of childrenOf(node)) cost += costOf(child);
  return cost;
}

function ownCost(node: ASTNode): number {
  switch (node.op) {
    case "value":
    case "id":
      return 1;
    case ".":
    case "[]":
      return FIELD;
    case "call":
    case "rcall":
      return CALLS[node.args[0]] ?? CALL;
    default:
      return OPERATOR;
  }
}

const MACROS = new Set(["all", "exists", "exists_one", "filter", "map"]);
/** These look at every member. */
const EXHAUSTIVE = new Set(["exists_one", "filter", "map"]);

/** What evaluating a node takes at least: an expression that takes more than there is can never be worked out. */
export function leastOf(node: ASTNode): number {
  if (node.op === "&&" || node.op === "||") return ownCost(node) + leastOf(node.args[0]);
  if (node.op === "?:") {
    const [condition, yes, no] = node.args;
    return ownCost(node) + leastOf(condition) + Math.min(leastOf(yes), leastOf(no));
  }
  if (node.op === "rcall" && MACROS.has(node.args[0])) return leastOfMacro(node.args);
  return childrenOf(node).reduce((sum, child) => sum + leastOf(child), ownCost(node));
}

/** Only a list that is written out has a length that is known. */
function leastOfMacro([name, range, [, ...bodies]]: [string, ASTNode, ASTNode[]]): number {
  const length = range.op === "list" ? range.args.length : 0;
  const rounds = EXHAUSTIVE.has(name) ? length : Math.min(length, 1);
  return leastOf(range) + rounds * (ROUND + Math.min(...bodies.map(leastOf)));
}
