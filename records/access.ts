import type { Field, RecordOf } from "./field.ts";

/**
 * The fields of an access record, a line of HAProxy's log as generated, in their order. What a decision record holds as
 * well has the same name there. docs/haproxy.md says what each means.
 */
export const ACCESS_FIELDS = {
  time: { type: "number" },
  request_id: { type: "text" },
  src: { type: "text" },
  method: { type: "text" },
  path: { type: "text" },
  status: { type: "number" },
  verdict: { type: "text" },
  reason: { type: "text" },
  rule: { type: "text" },
  subject: { type: "text" },
  issuer: { type: "text", optional: true },
  kind: { type: "text", optional: true },
  client: { type: "text", optional: true },
  actor: { type: "text", optional: true },
  revision: { type: "text" },
  spoe_error: { type: "text" },
  backend: { type: "text" },
  server: { type: "text" },
  bytes: { type: "number" },
  request_ms: { type: "number" },
  queue_ms: { type: "number" },
  connect_ms: { type: "number" },
  response_ms: { type: "number" },
  total_ms: { type: "number" },
  end: { type: "text" },
} as const satisfies Readonly<Record<string, Field>>;

/** An access record, as it is read. */
export type AccessRecord = RecordOf<typeof ACCESS_FIELDS>;
