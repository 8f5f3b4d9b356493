import { FALSE } from "./bdd.ts";
import type { Evaluator } from "./evaluate.ts";
import { type Finding, finding } from "./finding.ts";
import type { Model } from "./model.ts";
import type { Way } from "./prove.ts";
import { optionOf } from "./proxies.ts";
import type { Place } from "./where.ts";

/** What the client's own value of these headers can do at a backend or at the next hop. */
const HOP_HEADERS: Readonly<Record<string, string>> = {
  upgrade: "one that answers 101 opens a tunnel without verdicts",
  connection: "the next hop deletes the headers that it names, also those that say who it is",
};

/** Headers that warnings are about. */
export const WARNED_HEADERS: readonly string[] = Object.keys(HOP_HEADERS);

/** What depends on the backend: whether it opens tunnels, folds trailers into headers or reads `_` as `-`. */
export function warnings(
  way: Way,
  { world }: Model,
  identity: ReadonlySet<string>,
  evaluator: Evaluator,
): readonly Finding[] {
  const { state, frontend, route, judged } = way;
  const asked = state.asks.at(-1)?.statement;
  if (judged || asked === undefined) return [];
  const warning = (code: string, place: Place, found: string, right: string) =>
    finding("warning", code, place, found, right);
  const { name } = route.target;
  const passed = WARNED_HEADERS.filter((header) =>
    (state.headers.get(header) ?? []).some(({ when }) => evaluator.formulas.and(state.live, when) !== FALSE),
  );
  const found = passed.map((header) =>
    warning(
      "tunnel",
      asked,
      `${header} reaches backend ${name} as the client wrote it: ${HOP_HEADERS[header]}`,
      `above the question: http-request del-header ${header}, and set it again for a WebSocket only`,
    ),
  );
  if (identity.size === 0) return found;
  if (optionOf(frontend, "http-restrict-req-hdr-names") === undefined)
    found.push(
      warning(
        "identity",
        asked,
        `a header like x_auth_subject reaches backend ${name}, which may read it as x-auth-subject`,
        `in ${frontend.kind} ${frontend.name}: option http-restrict-req-hdr-names delete`,
      ),
    );
  const drops =
    optionOf(route.target, "http-drop-request-trailers") ?? optionOf(frontend, "http-drop-request-trailers");
  if (drops === undefined && world.atLeast("3.2"))
    found.push(
      warning(
        "trailers",
        route.target.place,
        `trailers reach backend ${name}: it may read one as an identity header`,
        "option http-drop-request-trailers",
      ),
    );
  return found;
}
