import { type ASTNode, EvaluationError, ParseError, TypeError as TypeFault } from "@marcbachmann/cel-js";
import type { TextFault } from "../fault.ts";
import { nearest } from "../source/validate.ts";

/** Thrown while an expression is compiled, for what the library itself would let pass or would tell badly. */
export class ExpressionFault extends Error {
  readonly fault: TextFault;

  constructor({ pos }: Pick<ASTNode, "pos">, found: string, right: string) {
    super(found);
    this.fault = { offset: pos, found, right };
  }
}

/** The name that was probably meant, or all there are. */
export function rightName(name: string, offered: readonly string[]): string {
  const meant = offered.find((each) => each.startsWith(name)) ?? nearest(name, offered);
  return meant === undefined ? `one of ${offered.join(", ")}` : `\`${meant}\``;
}

const AN_EXPRESSION = 'a CEL expression, such as `principal.claims.tenant == "emea"`';

/** What would be right, by the code of the library's error. */
const RIGHT: Readonly<Record<string, string>> = {
  limit_exceeded: "a shorter, less nested expression; or two routes",
  reserved_identifier: "another name: CEL keeps this one",
  unterminated_string: "a closing quote",
  unterminated_triple_quoted_string: "a closing quote",
  newline_in_string: "`\\n` for a line break, or three quotes around the string",
  invalid_escape_sequence: "a doubled backslash, or r in front of the string",
  unknown_variable: "a field of `request` or of `principal`",
  no_such_overload: "operands of the same type; size() for the length of a list, `in` to look into one",
  no_matching_overload: "arguments of the types this function takes",
  invalid_logical_operand: "a comparison on either side of && and ||",
  invalid_condition_type: "a comparison, or anything else that is true or false",
  incompatible_ternary_branches: "two values of one type; dyn() around one of them if they must differ",
  heterogeneous_list_element: "a list of values of one type",
  heterogeneous_map_key: "keys of one type",
  heterogeneous_map_value: "values of one type",
  invalid_index_type: "a number to index a list, a field by its name",
  cannot_index_type: "nothing behind it: only maps, lists, `request` and `principal` have fields",
  invalid_comprehension_range: "a list or a map",
  invalid_macro_argument: "a field in has(), such as has(principal.claims.tenant)",
};

const TOKENS: Readonly<Record<string, string>> = {
  RPAREN: "`)`",
  RBRACKET: "`]`",
  RBRACE: "`}`",
  COLON: "`:`",
  IDENTIFIER: "a name",
};

/** Whatever parsing or checking threw, as a fault. */
export function faultOf(error: unknown): TextFault {
  if (error instanceof ExpressionFault) return error.fault;
  if (error instanceof ParseError || error instanceof TypeFault || error instanceof EvaluationError) {
    const [, token = ""] = /^Expected (\w+)/.exec(error.summary) ?? [];
    const right = TOKENS[token] ?? RIGHT[error.code] ?? AN_EXPRESSION;
    return { offset: error.range?.start ?? 0, found: foundOf(error), right };
  }
  return { offset: 0, found: `an expression that cannot be checked: ${String(error)}`, right: AN_EXPRESSION };
}

/** The library's words in a policy author's. */
function foundOf({ code, summary, range, node }: ParseError | TypeFault | EvaluationError): string {
  const input = node?.input;
  if (/^(?:expected_token|unexpected_)/.test(code) && input !== undefined && range !== undefined) {
    const text = input.slice(range.start, Math.max(range.end, range.start + 1));
    return text === "" ? "the end of the expression, too early" : `an unexpected \`${text}\``;
  }
  const found = summary
    // The strict functions are registered under names of their own, which nobody wrote.
    .replaceAll("strict_", "")
    .replaceAll("google.protobuf.Timestamp", "timestamp")
    .replaceAll("google.protobuf.Duration", "duration")
    .replace(/^no such overload: (.+)$/s, "no operator for `$1`")
    .replace(/^found no matching overload for '(.+)'$/s, "no function for `$1`");
  return found.slice(0, 1).toLowerCase() + found.slice(1);
}
