import type { ASTNode } from "@marcbachmann/cel-js";
import { exactNumber } from "../number.ts";
import { ADDRESS_FUNCTIONS, ADDRESS_METHODS } from "./addresses.ts";
import { ExpressionFault, rightName } from "./fault.ts";
import { STRICT } from "./functions.ts";
import { HEADER_FUNCTIONS, mustSeparate } from "./header-values.ts";

/** What conditions may call. The library has more: not of CEL, or not as CEL has it. */
const GLOBAL = [
  "size",
  "int",
  "double",
  "string",
  "bool",
  "timestamp",
  "duration",
  "type",
  "dyn",
  "has",
  "matches",
  ...ADDRESS_FUNCTIONS,
];
const MACROS = ["all", "exists", "exists_one", "filter", "map"];
const ZONED = ["FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "Hours", "Minutes", "Seconds", "Milliseconds"];
const STRINGS = ["contains", "startsWith", "endsWith", "matches", "lowerAscii", "upperAscii", "split", "size"];
const METHODS = [...STRINGS, ...MACROS, ...ADDRESS_METHODS, ...ZONED.map((part) => `get${part}`)];
const HEADER_GLOBAL = [...GLOBAL, ...HEADER_FUNCTIONS];

/** Most macros within each other. */
const DEEPEST = 2;
const LARGEST = 2n ** 63n - 1n;
/** The library drops these keys from a map without a word. */
const DROPPED_KEYS = new Set(["__proto__", "constructor", "prototype"]);

/** Where an expression stands: only a header's may call what makes a header's value. */
export type Use = "condition" | "header";

/**
 * Looks over what was parsed, before its types are checked: every function must be offered, and nothing may be there
 * that the library takes in another way than CEL. Calls of strict functions are led to ours.
 *
 * @throws {ExpressionFault}
 */
export function admit(node: ASTNode, use: Use, depth = 0): void {
  if (node.op === "value") mustBeJson(node, node.args);
  else if (node.op === "map") mustHaveStringKeys(node.args);
  else if (node.op === "call") admitCall(node.args, node, use);
  const within = node.op === "rcall" ? admitMethod(node.args, node, depth) : depth;
  for (const child of childrenOf(node)) {
    // What a macro goes over is worked out once, outside of it.
    admit(child, use, node.op === "rcall" && child === node.args[1] ? depth : within);
  }
}

function admitCall(call: [string, ASTNode[]], node: ASTNode, use: Use): void {
  const [name, [, separator]] = call;
  mustBeOffered(node, name, use === "header" ? HEADER_GLOBAL : GLOBAL);
  if (name === "list" && separator !== undefined) mustSeparate(separator);
  if (STRICT.has(name)) call[0] = `strict_${name}`;
}

/** How deep the arguments are within macros. */
function admitMethod(call: [string, ASTNode, ASTNode[]], { input }: ASTNode, depth: number): number {
  const [name, receiver] = call;
  const at = { pos: input.indexOf(name, receiver.end) };
  mustBeOffered(at, name, METHODS);
  if (STRICT.has(name)) call[0] = `strict_${name}`;
  const within = MACROS.includes(name) ? depth + 1 : depth;
  if (within <= DEEPEST) return within;
  throw new ExpressionFault(at, `macros more than ${DEEPEST} deep`, `at most ${DEEPEST} within each other`);
}

function mustBeOffered(at: Pick<ASTNode, "pos">, name: string, offered: readonly string[]): void {
  if (offered.includes(name)) return;
  throw new ExpressionFault(at, `unknown function \`${name}\``, rightName(name, offered));
}

/** Claims hold neither bytes nor unsigned integers, and the library compares both in its own way. */
function mustBeJson(node: ASTNode, value: unknown): void {
  if (typeof value === "bigint" && value > LARGEST) {
    throw new ExpressionFault(node, `the integer ${value}`, `at most ${LARGEST}`);
  }
  if (typeof value === "number") mustBeExact(node);
  if (typeof value !== "object" || value === null) return;
  throw new ExpressionFault(node, "bytes or an unsigned integer", "a string, or an integer without the u");
}

/** What is written with a fraction or exponent is a double, which may be another number. */
function mustBeExact(node: ASTNode): void {
  const written = node.input.slice(node.start, node.end);
  if (exactNumber(written) !== undefined) return;
  throw new ExpressionFault(node, `the number ${written}, which has to be rounded`, "an integer, written in digits");
}

function mustHaveStringKeys(entries: readonly [ASTNode, ASTNode][]): void {
  const seen = new Set<string>();
  for (const [key] of entries) {
    if (key.op !== "value" || typeof key.args !== "string") {
      throw new ExpressionFault(key, "a map's key that is not a string written out", "a string written out here");
    }
    if (seen.has(key.args)) throw new ExpressionFault(key, `the key ${JSON.stringify(key.args)} twice`, "each once");
    if (DROPPED_KEYS.has(key.args)) throw new ExpressionFault(key, `the key ${key.args}`, "another key");
    seen.add(key.args);
  }
}

export function childrenOf(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case "value":
    case "id":
      return [];
    case ".":
    case ".?":
      return [node.args[0]];
    case "call":
      return node.args[1];
    case "rcall":
      return [node.args[1], ...node.args[2]];
    case "map":
      return node.args.flat();
    case "!_":
    case "-_":
      return [node.args];
    default:
      return node.args;
  }
}
