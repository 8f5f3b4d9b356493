import type { AccessRecord } from "./access.ts";
import type { DecisionRecord } from "./decision.ts";
import { type Event, idOf, type MeshDenial } from "./event.ts";
import type { MeshRecord } from "./mesh.ts";

/** All that the logs tell of one request. */
export interface Trace {
  readonly id: string;
  /** In the order of their times, which several clocks have told. */
  readonly events: readonly Event[];
  /** Refusals in the mesh that may be this request's: in its time, and of the identity that it came with there. */
  readonly denials: readonly MeshDenial[];
  /** What came of it, and what is odd about it: for who reads, in sentences. */
  readonly conclusions: readonly string[];
}

/** Milliseconds by which clocks may differ. */
const CLOCKS = 1_000;
/** Seconds within which the mesh writes nearly all of its lines. */
const LATEST = 90;

/**
 * Brings together what belongs to one request.
 *
 * @param searched the logs that were looked at: of another nothing can be missing
 */
export function tracesOf(
  events: readonly Event[],
  denials: readonly MeshDenial[],
  searched: ReadonlySet<Event["log"]>,
): readonly Trace[] {
  const byId = new Map<string, Event[]>();
  // What HAProxy could not even read has no id: it is a request of its own.
  const nameless = events.filter((event) => idOf(event) === "");
  for (const event of events) {
    const id = idOf(event);
    const known = byId.get(id);
    if (known !== undefined) known.push(event);
    else if (id !== "") byId.set(id, [event]);
  }
  return [...byId, ...nameless.map((event) => ["", [event]] as const)]
    .map(([id, all]) => traceOf(id, all.toSorted(byTime), denials, searched))
    .sort((a, b) => (a.events[0]?.at ?? 0) - (b.events[0]?.at ?? 0));
}

function byTime(a: Event, b: Event): number {
  return a.at - b.at;
}

function traceOf(
  id: string,
  events: readonly Event[],
  denials: readonly MeshDenial[],
  searched: ReadonlySet<Event["log"]>,
): Trace {
  const all = {
    access: events.flatMap((event) => (event.log === "haproxy" ? [event.record] : [])),
    decisions: events.flatMap((event) => (event.log === "decisions" ? [event.record] : [])),
    mesh: events.flatMap((event) => (event.log === "mesh" ? [event.record] : [])),
  };
  const close = denials.filter((denial) => mayBe(denial, events, all.mesh));
  return { id, events, denials: close, conclusions: [...conclusionsOf(all, close, searched)] };
}

/** Whether a refusal is in the request's time, and of the same identity where both tell it. */
function mayBe({ at, client }: MeshDenial, events: readonly Event[], mesh: readonly MeshRecord[]): boolean {
  const [first, last] = [events[0], events.at(-1)];
  if (at === undefined || first === undefined || last === undefined) return false;
  if (at < first.at - CLOCKS || at > endOf(last) + CLOCKS) return false;
  return mesh.length === 0 || mesh.some((record) => record.status >= 400 && record["client.id"] === (client ?? "-"));
}

function endOf(event: Event): number {
  return event.at + (event.log === "haproxy" ? event.record.total_ms : 0);
}

interface Records {
  readonly access: readonly AccessRecord[];
  readonly decisions: readonly DecisionRecord[];
  readonly mesh: readonly MeshRecord[];
}

function* conclusionsOf(
  { access, decisions, mesh }: Records,
  denials: readonly MeshDenial[],
  searched: ReadonlySet<Event["log"]>,
): Generator<string, void> {
  const [line] = access;
  const [decision] = decisions;
  if (access.length > 1) yield `HAProxy has ${access.length} lines with this id: one of them is not this request's`;
  if (decisions.length > 1)
    yield `there are ${decisions.length} decisions with this id: one of them is not this request's`;
  if (line !== undefined && decision !== undefined && line.verdict === "allow" && decision.verdict !== "allow")
    yield "HAProxy let pass what the agent did not allow: one of the logs was altered, or HAProxy's rules were";
  if (line === undefined && searched.has("haproxy"))
    yield "no line of HAProxy's yet: it is written when the request has ended";
  if (decision === undefined && searched.has("decisions")) yield withoutDecision(line);
  if (decision !== undefined && decision.verdict !== "allow") yield `refused at the edge: ${decision.reason}`;
  yield* enforcement(line, decision);
  const passed = line === undefined ? decision?.verdict === "allow" : line.verdict === "allow";
  yield* inTheMesh(passed, line, mesh, denials, searched);
}

function withoutDecision(line: AccessRecord | undefined): string {
  if (line === undefined) return "no decision: another agent's log, a log that holds refusals alone, or not asked";
  if (line.verdict === "allow")
    return "no decision in these logs, though HAProxy had one: they may hold refusals alone, or be another agent's";
  return `no decision in these logs: HAProxy refused it with ${line.reason || "no reason"}${line.spoe_error === "" ? "" : ` (SPOE error ${line.spoe_error})`}`;
}

/** What HAProxy made of the verdict. */
function* enforcement(line: AccessRecord | undefined, decision: DecisionRecord | undefined): Generator<string, void> {
  if (line === undefined) return;
  const { verdict, server, end, status } = line;
  if (decision?.verdict === "allow" && verdict !== "allow")
    yield `allowed by the agent, and refused by HAProxy: ${line.reason || "no reason"}`;
  if (verdict === "allow" && (server === "<NOSRV>" || server === ""))
    yield `allowed, and no server of the backend ${line.backend} could take it (${end})`;
  else if (verdict === "allow" && status === 503)
    yield `allowed, and the server ${server} answered 503 or could not be reached (${end})`;
}

function* inTheMesh(
  passed: boolean,
  line: AccessRecord | undefined,
  mesh: readonly MeshRecord[],
  denials: readonly MeshDenial[],
  searched: ReadonlySet<Event["log"]>,
): Generator<string, void> {
  const [arrived] = mesh;
  if (arrived !== undefined && !passed)
    yield "the mesh has a line of a request that HAProxy did not let pass: find out who else sends this id";
  if (arrived?.status === 403) yield `the mesh refused it: ${arrived["client.id"]} may not call this route there`;
  if (arrived?.["client.id"] === "-")
    yield "it reached the backend's proxy without a mesh identity: not through a meshed HAProxy";
  if (arrived === undefined && denials.length > 0)
    yield `the mesh refused something in its time (${denials.length} lines without an id): compare the server and the client`;
  const reached = passed && line?.server !== "<NOSRV>";
  if (arrived === undefined && reached && searched.has("mesh"))
    yield `no line of the mesh's yet: it comes up to ${LATEST} s late, or when the connection closes, and says nothing of whether the request arrived`;
}
