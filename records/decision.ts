import type { Field, RecordOf } from "./field.ts";

/** The fields of a decision record, a line of the agent's log, in their order. docs/observability.md says what each means. */
export const DECISION_FIELDS = {
  level: { type: "text" },
  time: { type: "text" },
  msg: { type: "text" },
  request_id: { type: "text", max: 64 },
  src: { type: "text", max: 64 },
  method: { type: "text", max: 32 },
  host: { type: "text", max: 255 },
  path: { type: "text", max: 1024 },
  issuer: { type: "text", max: 64, optional: true },
  subject: { type: "text", max: 1024, optional: true },
  kind: { type: "text", optional: true },
  client: { type: "text", max: 256, optional: true, nullable: true },
  actor: { type: "text", max: 256, optional: true, nullable: true },
  actors: { type: "number", optional: true },
  act_chain: { type: "text", max: 512, optional: true },
  rule: { type: "text", max: 256 },
  verdict: { type: "text" },
  status: { type: "number" },
  reason: { type: "text" },
  revision: { type: "text", max: 64 },
  duration_us: { type: "number" },
  shadow_verdict: { type: "text", optional: true },
  shadow_reason: { type: "text", optional: true },
  claim: { type: "text", max: 256, optional: true },
  mcp_method: { type: "text", max: 128, optional: true },
  mcp_tool: { type: "text", max: 128, optional: true },
  replay: { type: "mapping", optional: true },
} as const satisfies Readonly<Record<string, Field>>;

export type DecisionField = keyof typeof DECISION_FIELDS;

/** A decision record, as it is read. */
export type DecisionRecord = RecordOf<typeof DECISION_FIELDS>;
