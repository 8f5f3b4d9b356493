import type { ExpressionInput, HeaderExpression, Work } from "../cel/conditions.ts";
import type { IdentityHeader } from "../decision.ts";
import type { TextFault } from "../fault.ts";
import { UnknownError, type UnknownReason } from "../unknown.ts";

/** An identity header of a route: how its value is found, and how long it may be. */
export interface HeaderRule {
  /** Lower case. */
  readonly name: string;
  readonly expression: HeaderExpression;
  /** Bytes. */
  readonly max: number;
}

/** Most identity headers of one set of policies: the agent's answer has to hold them all. */
export const MOST_HEADERS = 64;
export const DEFAULT_MAX = 256;

/** What policies are told of headers that are not theirs. A name ending in `*` is a prefix. */
export interface OwnedHeaders {
  /** What HAProxy, or a proxy after it, reads, sets or removes itself: no policy sets it. */
  readonly reserved: readonly string[];
  /** What proves who somebody is: an expression that reads it could give it to a backend. */
  readonly credentials: readonly string[];
}

/** Why a name cannot be an identity header's; undefined where it can. */
export function headerNameFault(name: string, { reserved }: Pick<OwnedHeaders, "reserved">): TextFault | undefined {
  const found = `the header name ${JSON.stringify(name)}`;
  if (!/^[a-z0-9-]{1,64}$/.test(name)) {
    return { offset: 0, found, right: "lower-case letters, digits and `-` only, at most 64: HAProxy deletes others" };
  }
  const owned = reserved.some((entry) => (entry.endsWith("*") ? name.startsWith(entry.slice(0, -1)) : name === entry));
  if (!owned) return undefined;
  return { offset: 0, found, right: "another name: HAProxy, or a proxy after it, sets or reads this one itself" };
}

/**
 * The identity headers of an allowed request, or why they cannot be sent; what is too long is never cut.
 *
 * @param work what is left of it to the decision
 */
export function identityHeaders(
  rules: readonly HeaderRule[],
  input: ExpressionInput,
  work: Work,
): readonly IdentityHeader[] | "header-error" | "header-too-long" | "cost-exceeded" | UnknownReason {
  const headers: IdentityHeader[] = [];
  for (const { name, expression, max } of rules) {
    let value: string | undefined;
    try {
      value = expression.evaluate(input, work);
    } catch (error) {
      if (work.exhausted) return "cost-exceeded";
      return error instanceof UnknownError ? error.reason : "header-error";
    }
    if (value !== undefined) {
      if (hasControls(value)) return "header-error";
      if (value.length > max || Buffer.byteLength(value) > max) return "header-too-long";
    }
    headers.push({ name, value });
  }
  return headers;
}

/** Whether a text cannot be a header's value: a control character could end its line; a lone surrogate is no text. */
export function hasControls(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return true;
  }
  return !text.isWellFormed();
}
