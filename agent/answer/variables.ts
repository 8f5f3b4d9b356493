import type { Decision } from "../../policies/decision.ts";
import { hasControls } from "../../policies/judging/headers.ts";
import type { Principal } from "../../policies/principal.ts";
import { Unknown, type UnknownReason } from "../../policies/unknown.ts";

/** Largest value of a principal variable, in bytes of UTF-8. It bounds the ACK (docs/haproxy-contract.md, "tune.bufsize"). */
export const LARGEST_VARIABLE = 256;

/** The principal variables that a contract may name, and what each holds. Lists are joined with commas. */
const VALUES: Readonly<
  Record<string, (principal: Principal, decision: Decision) => string | readonly string[] | Unknown>
> = {
  subject: (principal) => principal.subject,
  issuer: (principal) => principal.issuer,
  kind: (principal) => principal.kind,
  client: (principal) => principal.client ?? "",
  actor: ({ actor }) => (actor instanceof Unknown ? actor : (actor[0]?.subject ?? "")),
  groups: (principal) => principal.groups,
  roles: (_principal, decision) => decision.roles,
  scopes: (principal) => principal.scopes,
};

/** A variable's value, or the reason for which an allowed request must be refused instead of travelling without it. */
export type VariableValue =
  | { readonly value: string }
  | { readonly reason: "header-error" | "header-too-long" | UnknownReason };

/**
 * The value of a principal variable as HAProxy gets it.
 *
 * A list entry that holds a comma could pass for two, and a control character could end a header line:
 * neither is ever sent.
 */
export function variableValue(name: string, principal: Principal, decision: Decision): VariableValue {
  const value = VALUES[name]?.(principal, decision) ?? "";
  if (value instanceof Unknown) return { reason: value.reason };
  if (typeof value !== "string" && value.some((entry) => entry.includes(","))) return { reason: "header-error" };
  const text = typeof value === "string" ? value : value.join(",");
  if (text.length > LARGEST_VARIABLE || Buffer.byteLength(text) > LARGEST_VARIABLE)
    return { reason: "header-too-long" };
  return hasControls(text) ? { reason: "header-error" } : { value: text };
}
