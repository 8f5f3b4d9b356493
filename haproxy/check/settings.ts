import { FALSE } from "./bdd.ts";
import { blameOf } from "./blame.ts";
import type { Evaluator } from "./evaluate.ts";
import { exampleOf } from "./example.ts";
import { type Finding, finding, noteOn } from "./finding.ts";
import { isAmong } from "./header-rules.ts";
import type { Model } from "./model.ts";
import type { Way } from "./prove.ts";
import { lastOf, modeOf, optionOf } from "./proxies.ts";
import { headersTold, questions } from "./questions.ts";
import { isScripted, sampleOf, samplesIn, writtenBy } from "./samples.ts";
import type { State } from "./state.ts";
import { warnings } from "./warnings.ts";
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
    ...lateWriters(way),
    ...questions(way, model),
    ...servers(way),
    ...warnings(way, model, identity, evaluator),
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

/** The id is made when it is first asked for, whenever that is: what its format writes on the way may be after the answer. */
function lateWriters({ frontend }: Way): readonly Finding[] {
  const format = lastOf(frontend, "unique-id-format");
  const samples = format === undefined ? [] : texts(format, 1).flatMap(samplesIn);
  if (format === undefined || !samples.some((sample) => writtenBy(sample).length > 0 || isScripted(sample))) return [];
  return [
    finding(
      "unproven",
      "unknown",
      format,
      `"${lineText(format)}" is not understood: it writes variables, or runs a script, whenever the id is first asked for`,
      "unique-id-format %[uuid(),regsub(-,,g)]",
    ),
  ];
}

/** Options that write a header after all rules. */
function headerWriters({ frontend, route, state }: Way, identity: ReadonlySet<string>): readonly Finding[] {
  const { target } = route;
  const told = new Set(state.asks.flatMap(({ message }) => headersTold(message)));
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
    if (statement === undefined || name === undefined) return [];
    const judged = name === "host" || told.has(name);
    if (!judged && !isAmong(name, identity)) return [];
    const what = judged ? `the ${name} that was judged` : "who the backend believes it is";
    return [
      finding(
        "fault",
        judged ? "rewrite" : "identity",
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
    if (keyword === "server" && statement.words.some(({ text }) => text.startsWith("rhttp@")))
      found.push(
        finding(
          "unproven",
          "unknown",
          statement,
          `"${lineText(statement)}" is not understood: whoever attaches a connection is the server`,
          "a server with an address",
        ),
      );
  }
  return found;
}
