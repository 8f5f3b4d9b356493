import { denialOf, type Event, eventOf, idOf, type MeshDenial } from "../../../records/event.ts";
import { tracesOf } from "../../../records/trace.ts";
import { EXIT } from "../../processes/exit.ts";
import {
  addressOption,
  type Command,
  type Context,
  instantOf,
  JSON_OPTION,
  jsonText,
  type Options,
  textOption,
  UsageError,
} from "../command.ts";
import { type Finder, holding, holdingOneOf, Lines } from "./lines.ts";
import { filesOf, keepInput, readOn, readWhole } from "./log-files.ts";
import { followedText, traceText } from "./timeline.ts";

/** Requests that are shown at most, and lines about them: more can be read by nobody, and would have to be kept. */
const MOST_REQUESTS = 1_000;
const MOST_EVENTS = 10 * MOST_REQUESTS;
const MOST_DENIALS = 1_000;

/** The order in which logs are read: who asked is in the first two, and the third has only ids. */
const LOGS = ["decisions", "haproxy", "mesh"] as const;

export const TRACE: Command = {
  usage:
    "trace [ID] [--src ADDRESS] [--subject S] [--since T] [--haproxy LOG]... [--decisions LOG]... [--mesh LOG]... [--follow] [--json]",
  summary: "follow a request from the client's address to its identity in the mesh",
  help: `
Joins the logs of HAProxy (as generated), of the agent and of Linkerd's proxies by the request's id. A LOG is a file, a
directory of files, or - for standard input; gzip is unpacked. What a collector puts before a line, such as kubectl's
--prefix and --timestamps, is passed over. A request of the mesh whose line is not there yet may have arrived all the
same. Exit code 1 where there is nothing about such a request.
`,
  example: `countersign trace d62e04c2071747eabe037f12bdca65f2 --haproxy haproxy.log --decisions agent.log --mesh orders.log
kubectl logs deploy/haproxy --all-containers | countersign trace --subject alice --since 15m --decisions - `,
  options: {
    src: { type: "string", value: "ADDRESS", help: "requests of this client address" },
    subject: { type: "string", value: "S", help: "requests of this principal" },
    since: { type: "string", value: "T", help: "not before: 15m ago, 2h ago, or 2026-11-23T16:00:00Z" },
    haproxy: { type: "string", value: "LOG", multiple: true, help: "HAProxy's log" },
    decisions: { type: "string", value: "LOG", multiple: true, help: "the agent's log" },
    mesh: { type: "string", value: "LOG", multiple: true, help: "the log of the Linkerd proxy before the backend" },
    follow: { type: "boolean", help: "show each line as it is written, until interrupted" },
    ...JSON_OPTION,
  },
  positionals: [0, 1],
  run: trace,
};

/** What is looked for. */
interface Wanted {
  readonly id: string | undefined;
  readonly src: string | undefined;
  readonly subject: string | undefined;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

interface Source {
  readonly log: (typeof LOGS)[number];
  readonly file: string;
}

async function trace([id]: readonly string[], options: Options, context: Context): Promise<number> {
  const wanted = wantedOf(id, options, context.clock());
  const sources = await sourcesOf(options);
  if (options.follow === true) return follow(sources, wanted, options, context);
  const found = await search(sources, wanted);
  const traces = tracesOf(found.events, found.denials, new Set(sources.map(({ log }) => log)));
  if (options.json === true) context.out(jsonText({ requests: traces, more: found.more }));
  else context.out(traces.length === 0 ? "nothing is known of such a request\n" : traces.map(traceText).join("\n"));
  if (found.more)
    context.err(`there is more than is shown: at most ${MOST_REQUESTS} requests; narrow it down by --since\n`);
  return traces.length === 0 ? EXIT.bad : EXIT.fine;
}

function followed(event: Event, options: Options): string {
  return options.json === true ? `${JSON.stringify(event)}\n` : followedText(idOf(event), event);
}

function wantedOf(id: string | undefined, options: Options, now: number): Wanted {
  const [src, subject, since] = [
    addressOption(options, "src"),
    textOption(options, "subject"),
    textOption(options, "since"),
  ];
  if ([id, src, subject].filter((each) => each !== undefined).length !== 1)
    throw new UsageError("which requests? One of ID, --src and --subject");
  if (id !== undefined && !/^[\x21-\x7e]{1,64}$/.test(id)) throw new UsageError(`${id} is no request id`);
  return { id, src, subject, since: since === undefined ? 0 : sinceOf(since, now) };
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function sinceOf(text: string, now: number): number {
  const [, amount, unit = ""] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const at = amount === undefined ? instantOf(text) : now - Number(amount) * (UNITS[unit] ?? 0);
  if (at === undefined) throw new UsageError(`--since: ${text} is neither a time such as 2026-11-23T16:00:00Z nor 15m`);
  return at;
}

async function sourcesOf(options: Options): Promise<readonly Source[]> {
  const named = LOGS.flatMap((log) => texts(options[log]).map((path) => ({ log, path })));
  if (named.length === 0) throw new UsageError("which logs? --haproxy, --decisions or --mesh");
  if (named.filter(({ path }) => path === "-").length > 1) throw new UsageError("standard input can be read once only");
  const sources: Source[] = [];
  for (const { log, path } of named) for (const file of await filesOf(path)) sources.push({ log, file });
  return sources;
}

function texts(option: Options[string]): readonly string[] {
  return Array.isArray(option) ? option.filter((each) => typeof each === "string") : [];
}

/**
 * Finds the events. Who is asked for by an address or a name is in the lines of HAProxy and the agent alone: their ids
 * are learned first, and all lines of these looked for then.
 */
async function search(sources: readonly Source[], wanted: Wanted): Promise<Found> {
  const found = new Found(wanted);
  if (wanted.id !== undefined) {
    await readAll(sources, [holding(wanted.id), ...DENIALS], found);
    return found;
  }
  const input = sources.some(({ file }) => file === "-") ? await keepInput() : undefined;
  try {
    const readable = sources.map(({ log, file }) => ({ log, file: file === "-" ? (input?.file ?? file) : file }));
    const edge = readable.filter(({ log }) => log !== "mesh");
    await readAll(edge, [firstOf(wanted)], found);
    await readAll(
      readable,
      [holdingOneOf("request_id", found.ids), holdingOneOf("trace_id", found.ids), ...DENIALS],
      found,
    );
  } finally {
    await input?.forget();
  }
  return found;
}

async function readAll(sources: readonly Source[], finders: readonly Finder[], found: Found): Promise<void> {
  for (const { file } of sources) {
    const lines = new Lines(finders, (line) => found.line(line));
    await readWhole(file, (chunk) => lines.push(chunk));
    lines.end();
  }
}

/** What two programs may escape in different ways is not looked for as bytes. */
function firstOf({ src, subject }: Wanted): Finder {
  const text = src ?? subject ?? "";
  return holding(/^[\w@.:+=-]+$/.test(text) ? text : "request_id");
}

/** It ends with its standard input, where that is all there is to read; else when it is interrupted. */
async function follow(sources: readonly Source[], wanted: Wanted, options: Options, context: Context): Promise<number> {
  const found = new Found(wanted, (event) => context.out(followed(event, options)));
  const finders = wanted.id === undefined ? [holding("request_id"), holding("trace_id")] : [holding(wanted.id)];
  const reading = sources.map(({ file }) => {
    const lines = new Lines(finders, (line) => found.line(line));
    const push = (chunk: Buffer) => lines.push(chunk);
    return file === "-" ? readWhole(file, push) : readOn(file, push);
  });
  await Promise.all(reading);
  return EXIT.fine;
}

const DENIALS = [holding(" Request denied "), holding(" Connection denied ")];

/** What has been found so far, bounded. */
class Found {
  readonly ids = new Set<string>();
  readonly denials: MeshDenial[] = [];
  /** There was more than is kept. */
  more = false;
  /** By their lines: one that is in two files is one. */
  readonly #events = new Map<string, Event>();
  readonly #wanted: Wanted;
  readonly #seen: ((event: Event) => void) | undefined;

  /** @param seen told of each event, which is then not kept */
  constructor(wanted: Wanted, seen?: (event: Event) => void) {
    this.#wanted = wanted;
    this.#seen = seen;
  }

  get events(): readonly Event[] {
    return [...this.#events.values()];
  }

  line(text: string): void {
    const event = eventOf(text);
    if (event !== undefined) this.#add(event, text);
    else {
      const denial = denialOf(text);
      if (denial === undefined) return;
      if (this.denials.length < MOST_DENIALS) this.denials.push(denial);
      else this.more = true;
    }
  }

  #add(event: Event, text: string): void {
    if (event.at < this.#wanted.since || !this.#isWanted(event) || this.#events.has(text)) return;
    const id = idOf(event);
    if ((this.ids.size >= MOST_REQUESTS && !this.ids.has(id)) || this.#events.size >= MOST_EVENTS) {
      this.more = true;
      return;
    }
    if (id !== "") this.ids.add(id);
    if (this.#seen === undefined) this.#events.set(text, event);
    else this.#seen(event);
  }

  #isWanted(event: Event): boolean {
    const { id, src, subject } = this.#wanted;
    if (id !== undefined) return idOf(event) === id;
    if (this.ids.has(idOf(event))) return true;
    return event.log !== "mesh" && (src === undefined ? event.record.subject === subject : event.record.src === src);
  }
}
