import { type Condition, compileCondition, compileHeader, type HeaderExpression } from "../cel/conditions.ts";
import type { TextFault } from "../fault.ts";
import type { OwnedHeaders } from "../judging/headers.ts";

/**
 * The expressions of one set of policies. What many routes say, such as a default of their service, is compiled once:
 * 10,000 routes took 200 MB with one of their own each.
 */
export class Expressions {
  readonly #secret: readonly string[];
  readonly #conditions = new Map<string, Condition | TextFault>();
  readonly #headers = new Map<string, HeaderExpression | TextFault>();

  constructor({ credentials }: OwnedHeaders) {
    this.#secret = credentials;
  }

  condition(text: string): Condition | TextFault {
    return remembered(this.#conditions, text, () => compileCondition(text, this.#secret));
  }

  header(text: string): HeaderExpression | TextFault {
    return remembered(this.#headers, text, () => compileHeader(text, this.#secret));
  }
}

function remembered<T>(known: Map<string, T>, text: string, compile: () => T): T {
  const before = known.get(text);
  if (before !== undefined) return before;
  const compiled = compile();
  known.set(text, compiled);
  return compiled;
}
