import type { Formula } from "./bdd.ts";
import type { Evaluator } from "./evaluate.ts";
import { type Note, noteOn } from "./finding.ts";
import type { Dropped } from "./reader.ts";
import type { State, Step } from "./state.ts";
import { lineText, type Statement } from "./where.ts";

/** The line that lets a request through, and why it is that one. */
export interface Blame {
  readonly statement: Statement;
  readonly kind: "stopped" | "written" | "weak" | "dropped" | "nothing";
  readonly also: readonly Note[];
}

/**
 * Finds the line that is to be mended: an `allow` that ended the rules above a gate, else what wrote the variable that
 * the gate believes, else the gate, else the `.if` that hides one, else the line that leads to the backend.
 *
 * @param missing when a request gets through that must not
 */
export function blameOf(
  missing: Formula,
  state: State,
  route: Statement,
  dropped: readonly Dropped[],
  evaluator: Evaluator,
): Blame {
  const { formulas } = evaluator;
  const model = formulas.model(missing) ?? new Map<number, boolean>();
  const holds = (formula: Formula) => formulas.holds(formula, model);
  const gates = state.steps.filter(({ effect, judges }) => effect === "ends" && judges);
  const stop = state.steps.find(
    (step, index) => step.effect === "stops" && holds(step.fires) && below(state.steps, index, gates),
  );
  if (stop !== undefined)
    return {
      statement: stop.statement,
      kind: "stopped",
      also: gates.slice(-1).map((gate) => noteOn(gate.statement, "the gate that it goes around")),
    };
  const gate = gates.findLast((step) => judgesAnswer(step)) ?? gates.at(-1);
  if (gate === undefined) return without(route, dropped, state);
  const also = acls(gate, holds);
  // Who copies the answer is not to blame for what is believed of it.
  const writer = gate.looked.find(
    ({ when, value, writer: by }) => by !== undefined && value.kind !== "answer" && holds(when),
  )?.writer;
  if (writer !== undefined && writer !== gate.statement)
    return { statement: writer, kind: "written", also: [noteOn(gate.statement, "the gate that believes it"), ...also] };
  return { statement: gate.statement, kind: "weak", also };
}

/** Whether a gate stands below in the same list of rules. */
function below(steps: readonly Step[], index: number, gates: readonly Step[]): boolean {
  const list = steps[index]?.list;
  return gates.some((gate) => gate.list === list && steps.indexOf(gate) > index);
}

function judgesAnswer({ looked, judges }: Step): boolean {
  return (
    judges &&
    (looked.length === 0 ||
      looked.some(
        ({ value, writer }) =>
          value.kind === "answer" || writer !== undefined || (value.kind === "some" && value.origin !== "request"),
      ))
  );
}

/** The `acl` lines that made the gate's condition what it is. */
function acls({ tests, statement }: Step, holds: (formula: Formula) => boolean): readonly Note[] {
  return tests
    .filter((test) => test.statement !== statement && holds(test.holds))
    .map((test) => noteOn(test.statement, `${test.text}: this line makes it true`));
}

/** No line asks for the verdict: what hides one, what refuses something below the question, or what leads there. */
function without(route: Statement, dropped: readonly Dropped[], state: State): Blame {
  const [first, ...others] = dropped.filter(({ statement }) => RULES.has(statement.words[0]?.text ?? ""));
  const way = noteOn(route, "the way to the backend");
  if (first !== undefined) {
    const also = [first, ...others].map(({ statement }) => noteOn(statement, `not read: ${lineText(statement)}`));
    return { statement: first.by, kind: "dropped", also: [...also, way] };
  }
  const asked = state.steps.findLastIndex(({ effect }) => effect === "asks");
  const refuses = state.steps.slice(asked).findLast(({ effect }) => effect === "ends");
  if (asked >= 0 && refuses !== undefined) return { statement: refuses.statement, kind: "weak", also: [] };
  // Where a server has no address of its own, whoever sets the destination chooses it.
  const aimed = state.steps.find(({ effect }) => effect === "destination")?.statement;
  return { statement: aimed ?? route, kind: "nothing", also: [way] };
}

const RULES: ReadonlySet<string> = new Set(["http-request", "filter", "tcp-request"]);
