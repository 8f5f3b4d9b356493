import { ACCESS_FIELDS, type AccessRecord } from "./access.ts";
import { DECISION_FIELDS, type DecisionRecord } from "./decision.ts";
import type { Field } from "./field.ts";
import { MESH_FIELDS, type MeshRecord } from "./mesh.ts";

/** What one line of a log tells of a request, and when by the clock of who wrote it: milliseconds since the epoch. */
export type Event =
  | { readonly log: "haproxy"; readonly at: number; readonly record: AccessRecord }
  | { readonly log: "decisions"; readonly at: number; readonly record: DecisionRecord }
  | { readonly log: "mesh"; readonly at: number; readonly record: MeshRecord };

/** A refusal in the log of a mesh proxy. It has no request id, and a time only where something put it before the line. */
export interface MeshDenial {
  readonly at: number | undefined;
  /** `HTTP` or `TCP`. */
  readonly what: "request" | "connection";
  /** Name of the Server, and of the route. */
  readonly server: string;
  readonly route: string;
  /** The mesh identity of who was refused; undefined for who has none. */
  readonly client: string | undefined;
}

/**
 * Reads a line, whatever a log collector has put before its JSON, and whatever it has wrapped it into.
 *
 * @returns undefined for a line that is about no request, or is none of these logs'
 */
export function eventOf(line: string): Event | undefined {
  const start = line.indexOf("{");
  if (start < 0) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line.slice(start));
  } catch {
    return undefined;
  }
  if (!isMapping(value)) return undefined;
  // Docker's json-file has the line as a text.
  if (typeof value.log === "string" && !("request_id" in value)) return eventOf(value.log);
  if (value.msg === "decision") return dated("decisions", value, DECISION_FIELDS, instantOf(value.time));
  if ("trace_id" in value) return dated("mesh", value, MESH_FIELDS, instantOf(value.timestamp));
  return dated("haproxy", value, ACCESS_FIELDS, instantOf(value.time));
}

/** Milliseconds since the epoch of a text, or of a number of seconds; NaN for whatever else a line may say. */
function instantOf(time: unknown): number {
  if (typeof time === "string") return Date.parse(time);
  return typeof time === "number" ? time * 1000 : Number.NaN;
}

const DENIAL = / (Request|Connection) denied /;
const CLIENT_ID = /client_id: Some\(ClientId\((?:Dns\(Name\("([^"]{1,255})"\)|Uri\("?([^")]{1,2048}))/;

/** Reads a line about a refusal of a mesh proxy; undefined for another. */
export function denialOf(line: string): MeshDenial | undefined {
  const what = DENIAL.exec(line)?.[1];
  if (what === undefined) return undefined;
  const named = (name: string) => new RegExp(` ${name}=([^ ]{1,253})`).exec(line)?.[1] ?? "";
  const [, dns, uri] = CLIENT_ID.exec(line) ?? [];
  // `kubectl logs --timestamps` and the container runtime put one there; the proxy's own is the time since its start.
  const at = Date.parse(/\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d)/.exec(line)?.[0] ?? "");
  return {
    at: Number.isNaN(at) ? undefined : at,
    what: what === "Request" ? "request" : "connection",
    server: named("server\\.name"),
    route: named("route\\.name"),
    client: dns ?? uri,
  };
}

/** The request id that the event is found by. */
export function idOf(event: Event): string {
  return event.log === "mesh" ? event.record.trace_id : event.record.request_id;
}

function dated(
  log: Event["log"],
  value: Readonly<Record<string, unknown>>,
  fields: Readonly<Record<string, Field>>,
  at: number,
): Event | undefined {
  if (!Number.isFinite(at) || !Object.entries(fields).every(([name, field]) => fits(value[name], field)))
    return undefined;
  return { log, at, record: value } as unknown as Event;
}

function fits(value: unknown, { type, optional, nullable }: Field): boolean {
  if (value === undefined) return optional === true;
  if (value === null) return nullable === true;
  if (type === "mapping") return isMapping(value);
  return type === "number" ? typeof value === "number" : typeof value === "string";
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
