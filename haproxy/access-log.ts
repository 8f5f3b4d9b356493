import { inTransaction, OWN, type VariableName } from "./variables.ts";

/** Longest part of a path that is logged, in characters: with all else a line stays below syslog's usual 1024. */
export const LOGGED_PATH = 384;

/** HAProxy's JSON escaping; with `utf8s` it skips bytes that are no UTF-8, so a line is well-formed whatever came in. */
const ESCAPED = "json(utf8s)";

/** Quoted, and empty where there is none; without `+Q` HAProxy would write a dash. */
function text(sample: string): string {
  return `%{+Q}[${sample}]`;
}

/**
 * One JSON object a request. The path is the one that was judged: `%HPO` and `capture.req.uri` have the target as it
 * came. A request that HAProxy could not even read has the method `<BADREQ>` and nothing in the fields that rules set.
 */
const FIELDS: readonly (readonly [name: string, value: string])[] = [
  ["time", "%Ts.%ms"],
  ["request_id", text(`var(${OWN.id})`)],
  ["src", '"%ci"'],
  ["method", '"%HM"'],
  ["path", text(`var(${OWN.path}),${ESCAPED}`)],
  ["status", "%ST"],
  ["verdict", text(`var(${OWN.verdict},deny)`)],
  ["reason", variable("reason")],
  ["rule", variable("rule")],
  ["subject", variable("subject")],
  ["revision", variable("revision")],
  ["spoe_error", text("var(txn.countersign.error)")],
  ["backend", '"%b"'],
  ["server", '"%s"'],
  ["bytes", "%B"],
  ["request_ms", "%TR"],
  ["queue_ms", "%Tw"],
  ["connect_ms", "%Tc"],
  ["response_ms", "%Tr"],
  ["total_ms", "%Ta"],
  ["end", '"%ts"'],
];

function variable(name: VariableName): string {
  return text(`var(${inTransaction(name)}),${ESCAPED}`);
}

/** Names of the access log's fields, in their order. What a contract names besides the subject stands behind it. */
export const LOG_FIELDS: readonly string[] = FIELDS.map(([name]) => name);

/** The argument of `log-format`. @param named the principal variables that the contract names */
export function logFormat(named: readonly VariableName[]): string {
  const fields = FIELDS.flatMap((field) =>
    field[0] === "subject" ? named.map((name) => [name, variable(name)] as const) : [field],
  );
  return `'{${fields.map(([name, value]) => `"${name}":${value}`).join(",")}}'`;
}
