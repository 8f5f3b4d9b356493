import { ARGUMENTS } from "../arguments.ts";
import { remote } from "./channel.ts";
import { type Finding, finding, noteOn } from "./finding.ts";
import type { Model } from "./model.ts";
import type { Way } from "./prove.ts";
import { lastOf, type ProxySection } from "./proxies.ts";
import type { Message } from "./spoe.ts";
import type { Ask } from "./state.ts";
import { texts } from "./where.ts";

/** What is wrong with the questions on the way: what they say, and who can answer them. */
export function questions({ state, route, frontend }: Way, model: Model): readonly Finding[] {
  return state.asks.flatMap((ask) => [
    ...absent(ask),
    ...samples(ask),
    ...identifier(ask, frontend),
    ...remote(ask.engine, model),
    ...rate(ask, route, model),
  ]);
}

/** Without these the agent cannot know what it judges. */
const NEEDED: readonly string[] = ["id", "method", "host", "path"];

function absent({ message, engine }: Ask): readonly Finding[] {
  const told = new Set(message.args.map(({ name }) => name));
  return NEEDED.filter((name) => !told.has(name)).map((name) =>
    finding(
      "fault",
      "question",
      message.statement,
      `the agent is not told the ${name} of a request`,
      `args ${name}=${name === "id" ? "var(txn.countersign_id)" : meantBy(name)}`,
      { also: [noteOn(engine.filter, "it is read for this filter")] },
    ),
  );
}

/** What a question says must be what is forwarded. */
function samples({ message, engine }: Ask): readonly Finding[] {
  return message.args.flatMap(({ name, sample, statement, column }) => {
    const meant = meantBy(name);
    if (
      meant === undefined ||
      sample.toLowerCase() === meant.toLowerCase() ||
      (name === "authorization" && WHOLE.test(sample))
    )
      return [];
    const split = /^(?:req\.)?hdr\(/.test(sample) ? ": hdr splits at commas and gives the last piece" : "";
    return [
      finding(
        "fault",
        "question",
        { ...statement, column },
        `"${name}=${sample}" tells the agent another ${name} than is forwarded${split}`,
        `args ${name}=${meant}`,
        {
          also: [noteOn(engine.filter, "it is read for this filter")],
        },
      ),
    ];
  });
}

/** Names of the headers that conditions of policies read. */
export function headersTold({ args }: Message): readonly string[] {
  return args.flatMap(({ name }) => (name.startsWith("h_") ? [name.slice(2)] : []));
}

/** A header as it came, whole; which one bears a credential is the reader's choice. */
const WHOLE = /^req\.fhdr\([^,)]+\)$/;
/** What every rendering fills by itself. */
const FREE: ReadonlySet<string> = new Set(["id", "contract"]);

/** The sample that the argument is meant to have; undefined for one that may have any. */
function meantBy(name: string): string | undefined {
  if (name.startsWith("h_")) return `req.fhdr(${name.slice(2)})`;
  return FREE.has(name) || !Object.hasOwn(ARGUMENTS, name) ? undefined : ARGUMENTS[name]?.sample;
}

/** The id must be another for each request, and not the client's to choose. */
function identifier({ message, id, n }: Ask, frontend: ProxySection): readonly Finding[] {
  const argument = message.args.find(({ name }) => name === "id");
  if (n < 0 || argument === undefined) return [];
  const format = lastOf(frontend, "unique-id-format");
  const source = id === "unique-id" ? texts(format ?? frontend.section.head, 1).join(" ") : (id ?? "");
  if (/uuid|rand|%rt|%\[rand|unique-id %/.test(source)) return [];
  const place =
    id === "unique-id" && format !== undefined ? format : { ...argument.statement, column: argument.column };
  return [
    finding(
      "unproven",
      "id",
      place,
      `the id "${argument.sample}" may be the same for several requests`,
      "http-request set-var(txn.countersign_id) uuid(),regsub(-,,g) and args id=var(txn.countersign_id)",
    ),
  ];
}

function rate({ engine }: Ask, { statement }: Way["route"], { world }: Model): readonly Finding[] {
  if (engine.maxErrorRate === undefined || world.atLeast("3.1")) return [];
  return [
    finding(
      "warning",
      "channel",
      engine.maxErrorRate,
      "past maxerrrate no question is asked, and no error variable is set",
      "delete it: only a gate that asks for the verdict itself then holds",
      { also: [noteOn(engine.filter, "it is read for this filter"), noteOn(statement, "the way")] },
    ),
  ];
}
