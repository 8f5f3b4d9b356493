import { isDeepStrictEqual } from "node:util";
import { holding, Lines, LONGEST_LINE } from "../../../agent/commands/logs/lines.ts";
import { ACCESS_FIELDS } from "../../../records/access.ts";
import { DECISION_FIELDS } from "../../../records/decision.ts";
import { denialOf, type Event, eventOf, idOf } from "../../../records/event.ts";
import { MESH_FIELDS } from "../../../records/mesh.ts";
import { tracesOf } from "../../../records/trace.ts";
import { mutatedBytes, mutatedJson, mutatedText, spelled } from "../mutate.ts";
import type { Random } from "../random.ts";
import { hold, type Target } from "../target.ts";

const ID = "0123456789abcdef0123456789abcdef";

/** A record with something in each field. */
function recordOf(fields: Readonly<Record<string, { readonly type: string }>>, changes: object): object {
  const values = Object.entries(fields).map(([name, { type }]) => [
    name,
    type === "number" ? 1 : type === "mapping" ? {} : "x",
  ]);
  return { ...Object.fromEntries(values), ...changes };
}

const RECORDS: readonly object[] = [
  recordOf(ACCESS_FIELDS, { request_id: ID, time: 1_764_331_200.5, status: 200, verdict: "allow" }),
  recordOf(DECISION_FIELDS, {
    msg: "decision",
    request_id: ID,
    time: "2026-11-28T12:00:00.000Z",
    verdict: "allow",
    reason: "allowed",
    actors: 1,
  }),
  recordOf(MESH_FIELDS, { trace_id: ID, timestamp: "2026-11-28T12:00:00.000Z", status: 403 }),
];
const OTHERS = [
  '[   1.2s]  INFO ThreadId(01) inbound:server{port=8080}: linkerd_app_inbound::policy::http: Request denied server.name=orders route.name=default client.ip=10.0.0.1 client_id: Some(ClientId(Dns(Name("haproxy.ingress.serviceaccount.identity.linkerd.cluster.local"))))',
  "Nov 28 12:00:00 host haproxy[1]: ",
  "plain text",
];
const WORDS = [
  ID,
  '"request_id":"',
  "\n",
  "{",
  "}",
  " Request denied ",
  "client_id: Some(ClientId(Uri(",
  '"log":"',
  "2026-11-28T12:00:00Z",
  "\u0000",
  "\u2028",
];

function lineOf(random: Random): string {
  if (random.once(4)) return random.pick(OTHERS);
  const json = spelled(random.once(2) ? random.pick(RECORDS) : mutatedJson(random.pick(RECORDS), random), random);
  if (random.once(6)) return JSON.stringify({ log: `${json}\n`, stream: "stdout" });
  return random.once(3) ? random.pick(OTHERS) + json : json;
}

/** The lines that hold the id, whatever pieces they come in. */
function found(pieces: readonly Buffer[]): readonly string[] {
  const lines: string[] = [];
  const reader = new Lines([holding(ID), holding(" denied ")], (line) => lines.push(line));
  for (const piece of pieces) reader.push(piece);
  reader.end();
  return lines;
}

export const LOGS: Target = {
  name: "logs",
  oracle:
    "The logs that `trace`, `replay` and `audit export` read: lines are found alike however they are cut, and as a splitting at line feeds finds them; what is an event has every field with its type and a time; the account of a request is made of any of them",
  tested: 3_000,
  share: 50,
  reaches: ["events", "nothing"],
  open: () => ({
    input(random) {
      const lines = Array.from({ length: 1 + random.below(4) }, () =>
        random.once(3) ? mutatedText(lineOf(random), random, { words: WORDS }) : lineOf(random),
      );
      const bytes = Buffer.from(lines.join("\n"));
      return random.once(4) ? mutatedBytes(bytes, random) : bytes;
    },
    check(input) {
      const whole = found([input]);
      const expected = splitAt(input).filter((line) => line.includes(ID) || line.includes(" denied "));
      hold(
        isDeepStrictEqual(
          whole,
          expected.map((line) => Buffer.from(line, "latin1").toString()),
        ),
        "other lines than a splitting finds",
      );
      const cut = (input.length * 5) % (input.length + 1);
      const octets = Array.from(input.length % 4 === 0 ? input : [], (_, at) => input.subarray(at, at + 1));
      const pieces = octets.length > 0 ? octets : [input.subarray(0, cut), input.subarray(cut)];
      hold(isDeepStrictEqual(found(pieces), whole), "cut otherwise other lines are found");
      const all = input.toString().split("\n");
      const events = all.flatMap((line) => eventOf(line) ?? []);
      for (const event of events) typed(event);
      const denials = all.flatMap((line) => denialOf(line) ?? []);
      const traces = tracesOf(events, denials, new Set(["haproxy", "decisions", "mesh"]));
      hold(
        traces.reduce((sum, trace) => sum + trace.events.length, 0) === events.length,
        "an event is lost, or told twice",
      );
      return events.length > 0 ? "events" : "nothing";
    },
  }),
};

function splitAt(input: Buffer): readonly string[] {
  hold(input.length < LONGEST_LINE, "an input that is too long for this");
  return input.toString("latin1").split("\n");
}

function typed(event: Event): void {
  const fields = { haproxy: ACCESS_FIELDS, decisions: DECISION_FIELDS, mesh: MESH_FIELDS }[event.log];
  hold(Number.isFinite(event.at) && typeof idOf(event) === "string", "an event without time or id");
  for (const [name, field] of Object.entries(fields)) {
    const value = (event.record as unknown as Readonly<Record<string, unknown>>)[name];
    const type = field.type === "mapping" ? "object" : field.type === "text" ? "string" : "number";
    hold(
      typeof value === type || ("optional" in field && value === undefined) || ("nullable" in field && value === null),
      `${name} is a ${typeof value}`,
    );
  }
}
