import type { AccessRecord } from "../../../records/access.ts";
import type { DecisionRecord } from "../../../records/decision.ts";
import type { Event, MeshDenial } from "../../../records/event.ts";
import type { MeshRecord } from "../../../records/mesh.ts";
import type { Trace } from "../../../records/trace.ts";
import { plainText } from "../../telemetry/safe-text.ts";

/** Who writes each log, and by whose clock its times are. */
const CLOCK: Readonly<Record<Event["log"], string>> = { haproxy: "haproxy", decisions: "agent", mesh: "mesh" };
const LONGEST = 400;

/** One request for a person: a line an event, then what came of it. */
export function traceText({ id, events, denials, conclusions }: Trace): string {
  const lines = [
    `request ${id === "" ? "without an id" : shown(id)}`,
    ...events.flatMap((event) => eventLines(event).map((line) => `  ${line}`)),
    ...denials.map((denial) => `  ${denialLine(denial)}`),
    ...conclusions.map((conclusion) => `  => ${shown(conclusion)}`),
  ];
  return `${lines.join("\n")}\n`;
}

/** One event, for who follows the logs. */
export function followedText(id: string, event: Event): string {
  return eventLines(event)
    .map((line) => `${shown(id).slice(0, 32).padEnd(32)}  ${line}\n`)
    .join("");
}

function eventLines(event: Event): readonly string[] {
  const lines =
    event.log === "haproxy"
      ? accessLines(event.record)
      : event.log === "mesh"
        ? meshLines(event.record)
        : decisionLines(event.record);
  const head = `${new Date(event.at).toISOString()}  ${CLOCK[event.log].padEnd(7)}`;
  return lines.map((line, index) => `${index === 0 ? head : " ".repeat(head.length)}  ${line}`);
}

function accessLines(record: AccessRecord): readonly string[] {
  const { src, method, path, status, verdict, reason, backend, server, total_ms, end, spoe_error } = record;
  const error = spoe_error === "" ? "" : `, SPOE error ${shown(spoe_error)}`;
  return [
    `${shown(src)}  ${shown(method)} ${shown(path)}`,
    `${shown(verdict)}${reason === "" ? "" : ` (${shown(reason)})`}${error}, ${status} from ${shown(backend)}/${shown(server)} after ${total_ms} ms, ended ${shown(end)}`,
  ];
}

function decisionLines(record: DecisionRecord): readonly string[] {
  const { verdict, reason, rule, revision, duration_us, claim, shadow_verdict, shadow_reason } = record;
  const about = claim === undefined ? "" : `, about the claim ${shown(claim)}`;
  const shadow =
    shadow_verdict === undefined
      ? ""
      : `; its shadow would say ${shown(shadow_verdict)} (${shown(shadow_reason ?? "")})`;
  return [
    `${shown(verdict)} (${shown(reason)}${about})${rule === "" ? "" : ` by ${shown(rule)}`} of revision ${shown(revision)} in ${duration_us} us${shadow}`,
    ...whoOf(record),
  ];
}

function whoOf({ subject, issuer, kind, client, actor, actors }: DecisionRecord): readonly string[] {
  if (subject === undefined) return [];
  const by = client === undefined ? "" : client === null ? " by an unknown client" : ` by the client ${shown(client)}`;
  const acting =
    actor === undefined ? "" : actor === null ? "; somebody unknown acts for it" : `; ${shown(actor)} acts for it`;
  const chain = actors !== undefined && actors > 1 ? `, the last of ${actors}` : "";
  return [`${shown(kind ?? "principal")} ${shown(subject)} of ${shown(issuer ?? "")}${by}${acting}${chain}`];
}

/** Its `uri` has the query, which no log here shows. */
function meshLines(record: MeshRecord): readonly string[] {
  const { method, uri, host, status, total_ns } = record;
  const client = record["client.id"];
  return [
    `${shown(method)} ${shown(uri.replace(/[?#].*$/s, ""))} at ${shown(host)}`,
    `${status} for ${client === "-" ? "a client without an identity" : shown(client)} (${shown(record["client.addr"])}) after ${(Number(total_ns) / 1e6).toFixed(1)} ms`,
  ];
}

function denialLine({ at, what, server, route, client }: MeshDenial): string {
  const time = at === undefined ? "" : `${new Date(at).toISOString()}  `;
  return `${time}mesh     ${what} denied at ${shown(server)}${route === "" ? "" : `, route ${shown(route)}`}, for ${client === undefined ? "a client without an identity" : shown(client)}: perhaps this one`;
}

/** Control characters of a log would steer the terminal. */
function shown(text: string): string {
  return plainText(text, LONGEST);
}
