import { REASONS } from "../../policies/decision.ts";
import { MOST_TAPS, TAP_FIELDS, type TapFilter, type Tapped } from "../telemetry/taps.ts";
import type { Page } from "../web/messages.ts";

const NAME = /^[\w-]{1,32}$/;
/** Values of one field. */
const MOST_VALUES = 20;
/** What some fields can be; of the others anything. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  verdict: ["allow", "deny", "login"],
  reason: Object.keys(REASONS),
};

type Field = (typeof TAP_FIELDS)[number];

/**
 * `/tap?name=NAME&verdict=deny&…`: what was decided since the same NAME asked. A line of JSON about it, then a decision
 * record a line, as in the log.
 *
 * @param query what stands behind the `?`
 */
export async function tapPage(
  query: string,
  taps: { tap(name: string, filter: TapFilter): Tapped | undefined | Promise<Tapped | undefined> },
): Promise<Page> {
  const fields = new URLSearchParams(query);
  const name = fields.get("name") ?? "";
  if (!NAME.test(name)) return refused(400, "name: 1 to 32 letters, digits, - or _");
  fields.delete("name");
  const filter = filterOf(fields);
  if (typeof filter === "string") return refused(400, filter);
  const tapped = await taps.tap(name, filter);
  if (tapped === undefined) return refused(503, `there are ${MOST_TAPS} taps already`);
  const { lines, leftOut, begun } = tapped;
  const head = `{"begun":${begun},"left_out":${leftOut}}`;
  return { status: 200, type: "application/x-ndjson", body: [head, ...lines, ""].join("\n") };
}

/** @returns what is wrong with it, where something is */
export function filterOf(fields: URLSearchParams): TapFilter | string {
  const filter: { [Name in Field]?: string[] } = {};
  for (const [name, value] of fields) {
    if (!isField(name)) return `${name}: there are ${TAP_FIELDS.join(", ")}`;
    const known = KNOWN[name];
    if (known !== undefined && !known.includes(value)) return `${name}: ${value}; one of ${known.join(", ")}`;
    filter[name] = [...(filter[name] ?? []), name === "host" ? value.toLowerCase() : value];
    if (filter[name].length > MOST_VALUES) return `${name}: at most ${MOST_VALUES}`;
  }
  return filter;
}

function isField(name: string): name is Field {
  return TAP_FIELDS.some((field) => field === name);
}

function refused(status: number, text: string): Page {
  return { status, type: "text/plain; charset=utf-8", body: `${text}\n` };
}
