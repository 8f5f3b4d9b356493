/** W3C Trace Context, section 3.2, of a request that is to be recorded: HAProxy lets no other version pass. */
const SAMPLED = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f][13579bdf]$/;

/** The trace that a request belongs to, and the span in it that has caused it. */
export interface Parent {
  readonly traceId: string;
  readonly spanId: string;
}

/** @returns undefined where the request is in no trace that is recorded */
export function parentOf(traceparent: string): Parent | undefined {
  const [, traceId, spanId] = SAMPLED.exec(traceparent) ?? [];
  return traceId === undefined || spanId === undefined ? undefined : { traceId, spanId };
}
