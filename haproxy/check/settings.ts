import { ARGUMENTS } from "../arguments.ts";
import { isLocal } from "./addresses.ts";
import { FALSE } from "./bdd.ts";
import { blameOf } from "./blame.ts";
import type { Evaluator } from "./evaluate.ts";
import { exampleOf } from "./example.ts";
import { type Finding, finding, noteOn } from "./finding.ts";
import type { Model } from "./model.ts";
import type { Way } from "./prove.ts";
import { lastOf, modeOf, optionOf, type ProxySection } from "./proxies.ts";
import { sampleOf } from "./samples.ts";
import type { Ask, State } from "./state.ts";
import { at, lineText, type Statement, texts } from "./where.ts";

/** A TCP stream on its way to a TCP backend meets no HTTP rule. */
export function stops(way: Way, state: State, evaluator: Evaluator): readonly Finding[] {
  if (state.live === FALSE) return [];
  const { frontend, route, bind } = way;
  const { statement } = modeOf(frontend);
  const blame = statement ?? route.statement;
  const also = [
    noteOn(route.statement, `leads to backend ${route.target.name}`),
    noteOn(modeOf(route.target).statement ?? route.target.section.head, "in TCP mode"),
  ];
  const model = evaluator.formulas.model(state.live) ?? new Map();
  return [
    finding(
      "fault",
      "mode",
      blame,
      `${frontend.kind} ${frontend.name} is in TCP mode, and so is backend ${route.target.name}: no http-request rule is asked on the way`,
      "mode http",
      {
        example: exampleOf(model, evaluator, bind),
        also: [...also, ...blameOf(state.live, state, route.statement, [], evaluator).also],
      },
    ),
  ];
}

/** Settings that undo what the rules prove. */
export function settings(
  way: Way,
  model: Model,
  identity: ReadonlySet<string>,
  evaluator: Evaluator,
): readonly Finding[] {
  return [
    ...parser(way),
    ...earlyData(way),
    ...headerWriters(way, identity),
    ...questions(way, model),
    ...servers(way),
    ...backendMatters(way, model, identity, evaluator),
  ];
}

function parser({ frontend }: Way): readonly Finding[] {
  const statement = optionOf(frontend, "accept-invalid-http-request", "accept-unsafe-violations-in-http-request");
  if (statement === undefined) return [];
  return [
    finding(
      "fault",
      "parser",
      statement,
      `"${lineText(statement)}" lets requests through that HAProxy and the backend read differently`,
      `delete it, or in ${frontend.kind} ${frontend.name}: no option ${statement.words[1]?.text}`,
    ),
  ];
}

function earlyData({ frontend, state }: Way): readonly Finding[] {
  const waits = state.steps.some(
    ({ statement, fires, reached }) =>
      statement.words.some(({ text }) => text === "wait-for-handshake") && fires === reached,
  );
  if (waits) return [];
  return frontend.binds.flatMap(({ statement }) => {
    const index = statement.words.findIndex(({ text }) => text === "allow-0rtt");
    if (index < 0) return [];
    return [
      finding(
        "fault",
        "early-data",
        at(statement, index),
        `allow-0rtt: whoever has seen a request's early data can send it again`,
        "delete allow-0rtt, or above all rules: http-request wait-for-handshake",
      ),
    ];
  });
}

/** Options that write a header after all rules. */
function headerWriters({ frontend, route }: Way, identity: ReadonlySet<string>): readonly Finding[] {
  const { target } = route;
  const lines: (readonly [Statement | undefined, string | undefined])[] = [
    ...[frontend, target].flatMap((proxy) => [
      named(optionOf(proxy, "forwardfor")),
      named(optionOf(proxy, "originalto")),
    ]),
    second(lastOf(frontend, "unique-id-header")),
    second(lastOf(target, "http-send-name-header")),
  ];
  return lines.flatMap(([statement, header]) => {
    const name = header?.toLowerCase();
    if (statement === undefined || name === undefined || !(name === "host" || isOne(name, identity))) return [];
    const what = name === "host" ? "the Host that was judged" : "who the backend believes it is";
    return [
      finding(
        "fault",
        name === "host" ? "rewrite" : "identity",
        statement,
        `"${lineText(statement)}" writes ${name} after all rules: it changes ${what}`,
        "name another header",
      ),
    ];
  });
}

function named(statement: Statement | undefined): readonly [Statement | undefined, string | undefined] {
  const words = statement === undefined ? [] : texts(statement);
  const index = words.indexOf("header");
  return [statement, index < 0 ? undefined : words[index + 1]];
}

function second(statement: Statement | undefined): readonly [Statement | undefined, string | undefined] {
  return [statement, statement?.words[1]?.text];
}

function isOne(name: string, identity: ReadonlySet<string>): boolean {
  return [...identity].some((one) => (one.endsWith("*") ? name.startsWith(one.slice(0, -1)) : one === name));
}

function questions({ state, route, frontend }: Way, model: Model): readonly Finding[] {
  return state.asks.flatMap((ask) => [
    ...samples(ask),
    ...identifier(ask, frontend),
    ...remote(ask, model),
    ...rate(ask, route, model),
  ]);
}

/** What a question says must be what is forwarded. */
function samples({ message, engine }: Ask): readonly Finding[] {
  return message.args.flatMap(({ name, sample, statement, column }) => {
    const meant = meantBy(name);
    if (meant === undefined || sample === meant || (name === "authorization" && WHOLE.test(sample))) return [];
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

/** SPOP says who may pass in plain text. */
function remote({ engine }: Ask, { proxies }: Model): readonly Finding[] {
  const agents = proxies
    .filter(({ name, kind }) => kind !== "frontend" && name === engine.backend)
    .flatMap(({ servers }) => servers);
  return agents.flatMap(({ statement, address }) => {
    const words = texts(statement);
    const safe =
      words.includes("ssl") && !words.some((word, index) => word === "verify" && words[index + 1] === "none");
    if (address === undefined || isLocal(address) || safe) return [];
    return [
      finding(
        "fault",
        "channel",
        statement,
        `"${lineText(statement)}" asks the agent over the network in plain text: whoever is on the way can answer "allow"`,
        "an agent on loopback or a unix socket, or: ssl verify required ca-file FILE",
      ),
    ];
  });
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

/** A server that the client picks may be another service's. */
function servers({ route, frontend }: Way): readonly Finding[] {
  const { target } = route;
  const found: Finding[] = [];
  for (const statement of target.statements) {
    const [keyword] = texts(statement);
    if (keyword === "use-server" && target.servers.length > 1) {
      const samples = texts(statement, 2).flatMap((word) => sampleOf(word) ?? []);
      const answers = samples.some(({ text }) => text.startsWith("var("));
      if (!answers)
        found.push(
          finding(
            "fault",
            "choice",
            statement,
            `"${lineText(statement)}" lets the client choose the server: they need not belong to one service`,
            "a backend of its own for each service, chosen by the verdict",
            { also: [noteOn(frontend.section.head, "the frontend")] },
          ),
        );
    }
    if (keyword === "use-fcgi-app")
      found.push(
        finding(
          "unproven",
          "unknown",
          statement,
          `"${lineText(statement)}" is not understood: a FastCGI application gets other parameters than were judged`,
          "look at its section yourself",
        ),
      );
  }
  return found;
}

/** What depends on the backend: whether it opens tunnels, folds trailers into headers or reads `_` as `-`. */
function backendMatters(
  { state, frontend, route, judged }: Way,
  { world }: Model,
  identity: ReadonlySet<string>,
  evaluator: Evaluator,
): readonly Finding[] {
  const gate = state.asks.at(-1)?.statement;
  if (judged || gate === undefined) return [];
  const found: Finding[] = [];
  const tunnel = state.headers.get("upgrade") ?? [];
  if (tunnel.some(({ when }) => evaluator.formulas.and(state.live, when) !== FALSE))
    found.push(
      finding(
        "warning",
        "tunnel",
        gate,
        `Upgrade reaches backend ${route.target.name} as the client wrote it: one that answers 101 opens a tunnel without verdicts`,
        "above the question: http-request del-header upgrade, and set it again for a WebSocket only",
      ),
    );
  if (identity.size === 0) return found;
  if (optionOf(frontend, "http-restrict-req-hdr-names") === undefined)
    found.push(
      finding(
        "warning",
        "identity",
        gate,
        `a header like x_auth_subject reaches backend ${route.target.name}, which may read it as x-auth-subject`,
        `in ${frontend.kind} ${frontend.name}: option http-restrict-req-hdr-names delete`,
      ),
    );
  const drops =
    optionOf(route.target, "http-drop-request-trailers") ?? optionOf(frontend, "http-drop-request-trailers");
  if (drops === undefined && world.atLeast("3.2"))
    found.push(
      finding(
        "warning",
        "trailers",
        route.target.place,
        `trailers reach backend ${route.target.name}: it may read one as an identity header`,
        "option http-drop-request-trailers",
      ),
    );
  return found;
}
