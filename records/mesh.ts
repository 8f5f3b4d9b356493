import type { Field, RecordOf } from "./field.ts";

/**
 * The fields of a mesh record, a line of the access log of the Linkerd proxy before the backend, as far as they are read
 * here. Its numbers are texts, but for the status. `uri` has the query.
 */
export const MESH_FIELDS = {
  "client.addr": { type: "text" },
  "client.id": { type: "text" },
  timestamp: { type: "text" },
  method: { type: "text" },
  uri: { type: "text" },
  host: { type: "text" },
  status: { type: "number" },
  total_ns: { type: "text" },
  trace_id: { type: "text" },
} as const satisfies Readonly<Record<string, Field>>;

/** A mesh record, as it is read. */
export type MeshRecord = RecordOf<typeof MESH_FIELDS>;
