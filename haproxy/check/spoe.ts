import { isDropped, read, type SourceFile, type SyntaxFault } from "./reader.ts";
import { at, type Statement, texts } from "./where.ts";
import type { World } from "./world.ts";

/** One argument of a message: its name and the sample that it is filled with. */
export interface Argument {
  readonly name: string;
  readonly sample: string;
  readonly statement: Statement;
  readonly column: number;
}

export interface Message {
  readonly name: string;
  readonly statement: Statement;
  readonly args: readonly Argument[];
  readonly event: string | undefined;
}

/** What a `filter spoe` brings into a proxy: an agent with its messages and groups. */
export interface Engine {
  /** Its name in `send-spoe-group`; the agent's where the filter gives none. */
  readonly name: string;
  readonly filter: Statement;
  readonly agent: Statement;
  /** The variables that it writes begin with `txn.PREFIX.` or another scope. */
  readonly prefix: string;
  /** The variable that an error sets; undefined for none. */
  readonly onError: string | undefined;
  readonly backend: string | undefined;
  readonly maxErrorRate: Statement | undefined;
  readonly messages: readonly Message[];
  /** Names of the messages that each group sends. */
  readonly groups: ReadonlyMap<string, readonly string[]>;
}

interface Part {
  readonly kind: string;
  readonly name: string;
  readonly head: Statement;
  readonly lines: Statement[];
}

const PARTS: ReadonlySet<string> = new Set(["spoe-agent", "spoe-message", "spoe-group"]);

/** Reads the sections of the engine's scope. @returns undefined where the scope has no agent */
export function engineOf(filter: Statement, file: SourceFile, world: World, faults: SyntaxFault[]): Engine | undefined {
  const scope = option(filter, "engine");
  const parts = partsOf(file, scope, world, faults);
  const agent = parts.find(({ kind }) => kind === "spoe-agent");
  if (agent === undefined) return undefined;
  const value = (...words: readonly string[]) =>
    agent.lines.findLast((line) => words.every((word, index) => line.words[index]?.text === word));
  const listed = (keyword: string) =>
    agent.lines.filter(({ words }) => words[0]?.text === keyword).flatMap((line) => texts(line, 1));
  const named = parts.filter(({ kind }) => kind === "spoe-message");
  const ofEvents = new Set(listed("messages"));
  const messages = named
    .map(messageOf)
    .map((message) => (ofEvents.has(message.name) ? message : { ...message, event: undefined }));
  const groups = parts.filter(({ kind, name }) => kind === "spoe-group" && listed("groups").includes(name));
  return {
    name: scope ?? agent.name,
    filter,
    agent: agent.head,
    prefix: value("option", "var-prefix")?.words[2]?.text ?? scope ?? agent.name,
    onError: value("option", "set-on-error")?.words[2]?.text,
    backend: value("use-backend")?.words[1]?.text,
    maxErrorRate: value("maxerrrate"),
    messages,
    groups: new Map(
      groups.map(({ name, lines }) => [
        name,
        lines.flatMap((line) => (line.words[0]?.text === "messages" ? texts(line, 1) : [])),
      ]),
    ),
  };
}

/** The file that a `filter spoe` names. */
export function option(filter: Statement, name: string): string | undefined {
  const words = texts(filter);
  const index = words.indexOf(name, 2);
  return index < 0 ? undefined : words[index + 1];
}

/** The sections below `[scope]`; without a scope those above the first one. */
function partsOf(file: SourceFile, scope: string | undefined, world: World, faults: SyntaxFault[]): readonly Part[] {
  const reading = read([file], world);
  faults.push(...reading.faults);
  const parts: Part[] = [];
  let current: string | undefined;
  for (const line of reading.lines) {
    if (isDropped(line)) continue;
    const [keyword = "", name = ""] = texts(line);
    const mark = /^\[(.*)\]$/.exec(keyword)?.[1];
    if (mark !== undefined) current = mark;
    else if (current !== scope) continue;
    else if (PARTS.has(keyword)) parts.push({ kind: keyword, name, head: line, lines: [] });
    else if (parts.length > 0) parts.at(-1)?.lines.push(line);
    else
      faults.push({
        ...at(line, 0),
        found: `"${keyword}" stands in no section`,
        right: "spoe-agent, spoe-message or spoe-group comes first",
      });
  }
  return parts;
}

function messageOf({ name, head, lines }: Part): Message {
  const args = lines
    .filter(({ words }) => words[0]?.text === "args")
    .flatMap((statement) =>
      statement.words.slice(1).map(({ text, column }) => {
        const equals = text.indexOf("=");
        return { name: text.slice(0, Math.max(equals, 0)), sample: text.slice(equals + 1), statement, column };
      }),
    );
  const event = lines.find(({ words }) => words[0]?.text === "event")?.words[1]?.text;
  return { name, statement: head, args, event };
}
