import { NotUnderstood } from "./acls.ts";
import { conditionAt } from "./actions.ts";
import { FALSE, type Formula, TRUE } from "./bdd.ts";
import type { Evaluator } from "./evaluate.ts";
import { isClients, isJudged, momentOf } from "./fetches.ts";
import { lastOf, type ProxySection, rulesOf } from "./proxies.ts";
import { readBy, type Sample, sampleOf, samplesIn } from "./samples.ts";
import { type Case, casesOf, type State } from "./state.ts";
import { isUnknown, type Statement, texts } from "./where.ts";

/** One way from a frontend to what answers. */
export interface Route {
  readonly target: ProxySection;
  /** The routing's own condition; who gets as far as the routing is not part of it. */
  readonly when: Formula;
  /** The line that leads there. */
  readonly statement: Statement;
  /** Who says where it leads. */
  readonly by: "line" | "verdict" | "client" | "map";
  /** What is known of a request when it is routed. */
  readonly state: State;
  /** It gets what a `use_backend` with a variable name found no backend for. */
  readonly leftover: boolean;
}

/** What of the routing could not be read. */
export interface Routing {
  readonly routes: readonly Route[];
  readonly unknown: readonly { readonly statement: Statement; readonly what: string }[];
}

/** Where a request goes after the frontend's rules. @param services the proxies that a verdict may name */
export function routesOf(
  frontend: ProxySection,
  state: State,
  evaluator: Evaluator,
  proxies: readonly ProxySection[],
  services: readonly ProxySection[],
): Routing {
  const { formulas } = evaluator;
  const routes: Route[] = [];
  const unknown: { statement: Statement; what: string }[] = [];
  let open: Formula = TRUE;
  let leftover: Formula = FALSE;
  for (const { statement, acls } of rulesOf(frontend, "use_backend")) {
    const end = conditionAt(statement, 1, 1);
    let holds: Formula;
    try {
      holds = evaluator.condition(texts(statement, end), acls, statement, state).holds;
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      unknown.push({ statement, what: error.message });
      holds = evaluator.unknown();
    }
    const when = formulas.and(open, holds);
    const name = statement.words[1]?.text ?? "";
    const found = namedBy(name, state, proxies, services, evaluator, when);
    routes.push(
      ...found.targets.map((target) => ({ target, when: found.when, statement, by: found.by, state, leftover: false })),
    );
    leftover = formulas.or(leftover, found.nobody);
    open = formulas.without(open, when);
  }
  return { routes: [...routes, ...byDefault(frontend, state, proxies, open, leftover, evaluator)], unknown };
}

interface Named {
  readonly targets: readonly ProxySection[];
  readonly by: Route["by"];
  readonly when: Formula;
  /** When the name is nobody's. */
  readonly nobody: Formula;
}

function namedBy(
  name: string,
  state: State,
  proxies: readonly ProxySection[],
  services: readonly ProxySection[],
  evaluator: Evaluator,
  when: Formula,
): Named {
  const samples = samplesIn(name);
  if (samples.length === 0 && !isUnknown(name))
    return {
      targets: proxies.filter((proxy) => isBackend(proxy) && proxy.name === name),
      by: "line",
      when,
      nobody: FALSE,
    };
  const answers = samples.flatMap((sample) =>
    sample.calls[0]?.name === "var" ? casesOf(state, sample.calls[0].values[0] ?? "") : [],
  );
  const asked =
    samples.length === 1 &&
    name.startsWith("%[") &&
    answers.length > 0 &&
    answers.every(({ value }) => value.kind === "answer" || value.kind === "unset");
  const known = asked ? answers.map((answer) => available(name, answer, state, evaluator)) : [];
  const nobody = evaluator.formulas.without(when, evaluator.formulas.any(known));
  if (asked) return { targets: services, by: "verdict", when, nobody };
  const mapped = samples.some(({ calls }) => calls.some((call) => call.name.startsWith("map")));
  return { targets: proxies.filter(isBackend), by: mapped || isUnknown(name) ? "map" : "client", when, nobody: when };
}

/** What is known where a rule has asked for `nbsrv` of the backend that the verdict names: that there is one. */
function available(name: string, { value, when }: Case, state: State, evaluator: Evaluator): Formula {
  if (value.kind !== "answer") return FALSE;
  return evaluator.formulas.and(when, evaluator.counted(name.slice(2, name.indexOf("]")), state));
}

function byDefault(
  frontend: ProxySection,
  state: State,
  proxies: readonly ProxySection[],
  open: Formula,
  leftover: Formula,
  evaluator: Evaluator,
): readonly Route[] {
  const statement = lastOf(frontend, "default_backend");
  const name = statement?.words[1]?.text;
  const target = name === undefined ? frontend : proxies.find((proxy) => isBackend(proxy) && proxy.name === name);
  if (target === undefined || (name === undefined && frontend.kind !== "listen")) return [];
  const line = statement ?? frontend.servers[0]?.statement ?? frontend.section.head;
  const base = { target, statement: line, by: "line", state } as const;
  const rest = evaluator.formulas.without(leftover, open);
  return [
    ...(open === FALSE ? [] : [{ ...base, when: open, leftover: false }]),
    ...(rest === FALSE ? [] : [{ ...base, when: rest, leftover: true }]),
  ];
}

export function isBackend({ kind }: ProxySection): boolean {
  return kind === "backend" || kind === "listen";
}

/** Whether the line is chosen by what the client says and the agent was not told; the sample's text. */
export function unjudgedChoice(
  statement: Statement,
  evaluator: Evaluator,
  when: Formula,
  told: ReadonlySet<string>,
  state: State,
): string | undefined {
  const inName = samplesIn(statement.words[1]?.text ?? "").filter((sample) => isUnjudged(sample, told, state));
  const atoms = [...evaluator.formulas.atoms(when)].map((number) => evaluator.atomOf(number)?.test);
  const inTest = atoms.flatMap((test) =>
    test !== undefined && test.statement === statement && isUnjudged(test.sample, told, state) ? [test.sample] : [],
  );
  return [...inName, ...inTest][0]?.text;
}

/** Whether a client has a say in it that the agent was not told, also where a variable keeps it. */
function isUnjudged(sample: Sample, told: ReadonlySet<string>, state: State): boolean {
  if (isClients(sample)) return !isJudged(sample, told);
  return readBy(sample).some((name) => casesOf(state, name).some(({ value }) => isKept(value, told, state)));
}

/** A variable that was filled before the request was rewritten says something else than was judged. */
function isKept(value: Case["value"], told: ReadonlySet<string>, state: State): boolean {
  const read = value.kind === "some" && value.origin === "request" ? sampleOf(value.expression) : undefined;
  if (read === undefined || value.kind !== "some" || !isClients(read)) return false;
  return !isJudged(read, told) || value.key !== `${value.expression} ${momentOf(read, state)}`;
}
