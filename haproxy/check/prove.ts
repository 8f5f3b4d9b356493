import { ALL_CREDENTIALS, CREDENTIAL_KINDS } from "../credentials.ts";
import { FALSE, type Formula, TRUE } from "./bdd.ts";
import { type Blame, blameOf } from "./blame.ts";
import type { Evaluator } from "./evaluate.ts";
import { exampleOf } from "./example.ts";
import { type Finding, finding, type Level, type Note, noteOn } from "./finding.ts";
import { headerMatches, headerRuleOf, isAmong } from "./header-rules.ts";
import type { Bind, ProxySection } from "./proxies.ts";
import type { Dropped } from "./reader.ts";
import { type Route, unjudgedChoice } from "./routes.ts";
import type { Engine } from "./spoe.ts";
import type { Ask, Dirt, Hazard, State } from "./state.ts";
import { WARNED_HEADERS } from "./warnings.ts";
import { lineText, type Statement } from "./where.ts";

/** One way of a request: where it comes in, the line that leads to the backend, and what is known when it gets there. */
export interface Way {
  readonly frontend: ProxySection;
  readonly bind: Bind | undefined;
  readonly route: Route;
  /** After all rules of frontend and backend. */
  readonly state: State;
  /** Another frontend, which has judged it, dials this one. */
  readonly judged: boolean;
  /** The engine whose verdict counts, for the lines to write. */
  readonly engine: Engine | undefined;
  /** Whether several backends are protected, so that it matters which one it is. */
  readonly several: boolean;
  /** Names of the headers that policies say who it is by; some end in `*`. */
  readonly identity: ReadonlySet<string>;
  /** The names in an answer that each header is filled from. */
  readonly fills: ReadonlyMap<string, readonly string[]>;
}

/** What does not hold of: whoever gets here has been allowed, for this request, as it is forwarded. */
export function provedOf(way: Way, evaluator: Evaluator): readonly Finding[] {
  const { formulas } = evaluator;
  const gate = way.judged ? TRUE : formulas.any(way.state.asks.map((ask) => evaluator.allows(ask)));
  const passes = way.state.live;
  if (passes === FALSE) return [];
  const missing = formulas.without(passes, gate);
  const judged = formulas.and(passes, gate);
  return [
    ...(missing === FALSE ? [] : [gateFinding(way, missing, evaluator)]),
    ...changes(way, evaluator),
    ...identity(way, judged, evaluator),
    ...hazards(way, passes, gate, evaluator),
    ...choice(way, judged, evaluator),
  ];
}

function gateFinding(way: Way, missing: Formula, evaluator: Evaluator): Finding {
  const definite = evaluator.definite(missing);
  const blamed = definite === FALSE ? missing : definite;
  const dropped: readonly Dropped[] = [way.frontend, way.route.target].flatMap(({ section }) => section.dropped);
  const blame = blameOf(blamed, way.state, way.route.statement, dropped, evaluator);
  const level = definite === FALSE ? "unproven" : "fault";
  const model = evaluator.formulas.model(blamed) ?? new Map();
  return finding(level, "gate", blame.statement, passesText(way, blame, blamed, evaluator), mending(way, blame), {
    example: exampleOf(model, evaluator, way.bind),
    also: [...blame.also, ...errorNotes(way, blame), ...wayNotes(way)],
  });
}

/** A gate that asks for the error variable, where the SPOE file has none. */
function errorNotes({ state }: Way, { statement }: Blame): readonly Note[] {
  const words = statement.words.map(({ text }) => text).join(" ");
  return state.asks.flatMap(({ engine: { prefix, onError, agent } }) =>
    onError === undefined && words.includes(`txn.${prefix}.error`)
      ? [noteOn(agent, `no "option set-on-error error" here: txn.${prefix}.error is never set`)]
      : [],
  );
}

function passesText(way: Way, { statement, kind }: Blame, missing: Formula, evaluator: Evaluator): string {
  const line = lineText(statement);
  const where = `backend ${way.route.target.name}`;
  const unbound = way.state.asks.some((ask) =>
    evaluator.formulas.implies(missing, evaluator.answerIs(ask.n, "verdict", "allow")),
  );
  if (unbound) return `"${line}" lets a request to ${where} on a verdict that need not be for this request`;
  if (kind === "stopped")
    return `"${line}" ends the rules above the gate: a request goes to ${where} without a verdict`;
  if (kind === "written")
    return `"${line}" writes what the gate believes: a request goes to ${where} without the agent's "allow"`;
  if (kind === "dropped") return `"${line}" hides the gate: a request goes to ${where} without a verdict`;
  if (kind === "weak") return `"${line}" does not refuse every request to ${where} that the agent has not allowed`;
  return `"${line}" leads to ${where} without a verdict: no rule on the way asks for one`;
}

/** The words that let through what was allowed, and for this request. */
function allowed({ engine, state }: Way): string {
  const asked = state.asks.at(-1)?.engine ?? engine;
  const prefix = asked?.prefix ?? "countersign";
  const id = asked?.messages.flatMap(({ args }) => args).find(({ name }) => name === "id")?.sample ?? "unique-id";
  return `{ ${id},strcmp(txn.${prefix}.id) eq 0 } { var(txn.${prefix}.verdict) -m str allow }`;
}

function mending(way: Way, { kind, statement }: Blame): string {
  const deny = `http-request deny deny_status 403 unless ${allowed(way)}`;
  if (kind === "stopped") return `write it below the gate, or answer there: http-request return status 200`;
  if (kind === "written")
    return `delete the line; only the agent writes its variables, and one of your own only under ${allowed(way)}`;
  if (kind === "dropped") return `write the gate outside of the block: ${deny}`;
  if (kind === "weak" && statement.words[0]?.text === "http-request") return `write ${deny}`;
  const engine = way.engine?.name ?? "countersign";
  return `give ${way.frontend.kind} ${way.frontend.name} the rules: filter spoe engine ${engine} …, http-request send-spoe-group ${engine} authorize, ${deny}`;
}

function wayNotes({ frontend, bind, route }: Way): readonly Note[] {
  const entrance =
    bind === undefined ? [] : [noteOn(bind.statement, `it comes in here, at ${frontend.kind} ${frontend.name}`)];
  return [...entrance, noteOn(route.statement, `and goes to backend ${route.target.name}`)];
}

/** Rules below the question that change what was judged. */
function changes(way: Way, evaluator: Evaluator): readonly Finding[] {
  const { state, judged } = way;
  const { formulas } = evaluator;
  return state.changes.flatMap(({ when, ask: n, statement, what }) => {
    const asked = state.asks.findIndex((ask) => ask.n === n);
    const ask = state.asks[asked];
    if (ask === undefined || !matters(what, way)) return [];
    const later = formulas.any(state.asks.slice(asked + 1).map((other) => evaluator.allows(other)));
    const believed = judged ? TRUE : formulas.without(evaluator.allows(ask), later);
    const bad = formulas.all([state.live, when, believed]);
    if (bad === FALSE) return [];
    const thing =
      what === "path" || what === "query" || what === "method" || what === "destination"
        ? `the ${what}`
        : `header ${what}`;
    return [
      finding(
        levelOf(what, ask),
        "rewrite",
        statement,
        `"${lineText(statement)}" changes ${thing} after the agent has judged it: backend ${way.route.target.name} gets another request than was allowed`,
        "write it above the question, where the agent is told of it",
        {
          example: exampleOf(formulas.model(bad) ?? new Map(), evaluator, way.bind),
          also: [noteOn(ask.statement, "the question"), ...wayNotes(way)],
        },
      ),
    ];
  });
}

function matters(what: string, { route }: Way): boolean {
  return what !== "destination" || route.target.servers.some(({ address }) => address?.host === "any");
}

/** A query that the agent was not told of was not judged, neither before nor after. */
function levelOf(what: string, { message }: Ask): Finding["level"] {
  return what !== "query" || message.args.some(({ name }) => name === "query") ? "fault" : "unproven";
}

/** Headers by which the backend knows who it is: the client's own must be gone wherever the agent's may stand. */
function identity(way: Way, judged: Formula, evaluator: Evaluator): readonly Finding[] {
  const { formulas } = evaluator;
  return [...way.state.headers].flatMap(([header, dirt]) => {
    if (WARNED_HEADERS.includes(header)) return [];
    const forwarded = forwardedOf(header, way, evaluator);
    return dirt.flatMap(({ when, cause, word }) => {
      const there = formulas.without(formulas.and(judged, when), forwarded);
      const bad = formulas.and(there, wrongWhen(word, way, header, evaluator));
      if (bad === FALSE) return picked(way, header, cause, evaluator.isPicked(there, judged));
      if (word === "empty") return cause === undefined ? [] : unfilled(way, header, cause);
      const statement =
        cause ?? remover(way.state, header, bad, evaluator) ?? writerOf(way.state, header) ?? way.route.statement;
      const found =
        cause === undefined
          ? `the client's own ${header} passes to backend ${way.route.target.name}: nothing deletes it on every way`
          : word === "nobody"
            ? `"${lineText(cause)}" says who it is in the agent's place: ${header} is not what the agent said`
            : `"${lineText(cause)}" lets somebody else than the agent say what ${header} is`;
      const right =
        cause !== undefined
          ? "delete it: only what the agent said may stand in this header"
          : header.endsWith("*")
            ? `above the question: http-request del-header ${header.slice(0, -1)} -m beg`
            : `above the question, without a condition: http-request del-header ${header}`;
      return [
        finding("fault", "identity", statement, found, right, {
          example: `${exampleOf(formulas.model(bad) ?? new Map(), evaluator, way.bind)} -H '${header.replace("*", "subject")}: admin'`,
          also: wayNotes(way),
        }),
      ];
    });
  });
}

/** When the agent itself says that the client's credential goes on, and has no token to take its place. */
function forwardedOf(header: string, { state }: Way, evaluator: Evaluator): Formula {
  const kind = CREDENTIAL_KINDS.find(({ headers }) => headers.includes(header));
  if (kind === undefined) return FALSE;
  const { formulas } = evaluator;
  return formulas.any(
    state.asks.map(({ n }) => {
      const said = [kind.argument, ALL_CREDENTIALS].map((name) => evaluator.answerIs(n, "forward", name));
      return formulas.without(formulas.any(said), evaluator.isThere(n, "upstream_token"));
    }),
  );
}

/** When the agent has said what the header is; always, where no line fills it from an answer. */
function saidBy({ state, fills }: Way, header: string, evaluator: Evaluator): Formula {
  const names = fills.get(header) ?? [];
  if (names.length === 0) return TRUE;
  return evaluator.formulas.any(state.asks.flatMap(({ n }) => names.map((name) => evaluator.isThere(n, name))));
}

/** When a word may not stand there, whoever decides whether it does. */
function wrongWhen(word: Dirt["word"], way: Way, header: string, evaluator: Evaluator): Formula {
  if (word === "made") return FALSE;
  return word === "nobody" ? saidBy(way, header, evaluator) : TRUE;
}

/** What the file writes out may stand for whom the agent does not name, but not for whoever asks for it. */
function picked(way: Way, header: string, cause: Statement | undefined, is: boolean): readonly Finding[] {
  if (!is || cause === undefined) return [];
  const found = `"${lineText(cause)}" writes out who it is, and what a client sends decides whether: ${header} may be its own choice`;
  const right = "let the policies say it, and write only what the agent said";
  return [finding("unproven", "identity", cause, found, right, { also: wayNotes(way) })];
}

/** A backend may take a header that is there for somebody. Those that only tell something are nobody's identity. */
function unfilled(way: Way, header: string, cause: Statement): readonly Finding[] {
  if (!isAmong(header, way.identity)) return [];
  const value = cause.words.find(({ text }) => text.startsWith("%["))?.text ?? "";
  const found = `"${lineText(cause)}" writes ${header} where the agent said nothing: an empty one, of nobody`;
  const right = `… if { ${value.slice(2, -1)} -m found }`;
  return [finding("fault", "identity", cause, found, right, { also: wayNotes(way) })];
}

/** A line that seems to delete the header, and does not here: its condition is another, or its match. */
function remover(state: State, header: string, bad: Formula, evaluator: Evaluator): Statement | undefined {
  const model = evaluator.formulas.model(bad) ?? new Map<number, boolean>();
  const removers = state.steps.filter(({ statement, fires }) => {
    const [, action, ...words] = statement.words.map(({ text }) => text);
    const rule = headerRuleOf(["del-header", ...words]);
    const deletes = headerMatches(rule, header) && evaluator.formulas.holds(fires, model);
    const text = rule.name.toLowerCase().replace(/[^a-z0-9-]/g, "");
    const meant = text !== "" && (header.startsWith(text) || text.startsWith(header.replace("*", "")));
    return action === "del-header" && meant && !deletes;
  });
  return removers.at(-1)?.statement;
}

function writerOf(state: State, header: string): Statement | undefined {
  return state.steps.find(({ statement }) => {
    const [, action, name] = statement.words.map(({ text }) => text);
    return /^(?:set|add)-header$/.test(action ?? "") && name?.toLowerCase() === header;
  })?.statement;
}

/** What is told of a hazard: of which kind, with which code, what it does and what to do instead. */
const HAZARDS: Readonly<Record<Hazard["kind"], readonly [level: Level, code: string, does: string, right: string]>> = {
  cache: [
    "fault",
    "cache",
    "serves one client's answer to another: a request is answered without a verdict for it",
    "put no cache between verdict and backend: delete the line",
  ],
  source: [
    "fault",
    "source",
    "takes the client's address from a header that the client writes: policies and logs see another",
    "believe the header on connections of your load balancers only: … if { src NETWORKS }",
  ],
  method: [
    "fault",
    "rewrite",
    "forwards another method than the agent judges",
    "delete it: the sample `method` stays what the client sent, wherever the line stands",
  ],
  script: [
    "unproven",
    "script",
    "is not understood",
    "nothing can be proven of Lua: do without it on the way to a protected backend",
  ],
  unknown: [
    "unproven",
    "unknown",
    "is not understood",
    "write it in a way that this check knows, or look at it yourself",
  ],
};

function hazards(way: Way, passes: Formula, gate: Formula, evaluator: Evaluator): readonly Finding[] {
  const { formulas } = evaluator;
  return way.state.hazards.flatMap(({ when, statement, kind, what }) => {
    const serves = kind === "script" && statement.words.some(({ text }) => text === "use-service");
    // What happens to those who are forwarded, or to those who are answered without a verdict.
    const bad = kind === "method" ? formulas.and(when, passes) : serves ? formulas.without(when, gate) : when;
    if (bad === FALSE) return [];
    const [level, code, does, right] = HAZARDS[kind];
    const found = `"${lineText(statement)}" ${does}${what === "" ? "" : `: ${what}`}`;
    const model = formulas.model(bad) ?? new Map();
    const example = level === "fault" ? { example: exampleOf(model, evaluator, way.bind) } : {};
    return [finding(level, code, statement, found, right, { ...example, also: wayNotes(way) })];
  });
}

/** Which of several protected backends it is must be the verdict's choice. */
function choice(way: Way, judged: Formula, evaluator: Evaluator): readonly Finding[] {
  const { route, several } = way;
  if (judged === FALSE) return [];
  const line = lineText(route.statement);
  const also = wayNotes(way);
  const prefix = way.engine?.prefix ?? "countersign";
  const right = `use_backend %[var(txn.${prefix}.backend)], and no default_backend`;
  if (route.leftover)
    return [
      finding(
        "fault",
        "choice",
        route.statement,
        `"${line}" gets what was allowed for a backend that is not there: it was not judged for backend ${route.target.name}`,
        "delete it, or let the gate ask { var(txn.PREFIX.backend),nbsrv gt 0 } as well".replace("PREFIX", prefix),
        { also },
      ),
    ];
  if (route.by === "verdict" || !several || way.judged) return [];
  const told = new Set(
    way.state.asks.flatMap(({ message }) => message.args.map(({ name }) => name.replace(/^h_/, ""))),
  );
  const clients = unjudgedChoice(route.statement, evaluator, route.when, told, route.state);
  if (clients === undefined && route.by === "map")
    return [
      finding(
        "warning",
        "choice",
        route.statement,
        `"${line}" chooses the backend by a file, not by the verdict`,
        right,
        { also },
      ),
    ];
  if (clients === undefined) return [];
  return [
    finding(
      "fault",
      "choice",
      route.statement,
      `"${line}" lets the client choose the backend by ${clients}, which the agent was not told`,
      right,
      { also },
    ),
  ];
}
