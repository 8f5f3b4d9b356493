import { resolve } from "node:path";
import type { Reason } from "../../../policies/decision.ts";
import type { CompiledPolicies } from "../../../policies/judging/compiled.ts";
import type { Kind } from "../../../policies/principal.ts";
import type { McpMessage } from "../../../policies/request.ts";
import { type Difference, differencesOf } from "../../../policies/tools/access.ts";
import { judgeAgain, type Outcome, type Recorded } from "../../../policies/tools/replay.ts";
import { DECISION_FIELDS, type DecisionRecord } from "../../../records/decision.ts";
import { eventOf } from "../../../records/event.ts";
import { ALL, load } from "../../loading/load.ts";
import { EXIT } from "../../processes/exit.ts";
import { plainText } from "../../telemetry/safe-text.ts";
import {
  CONFIG_OPTION,
  type Command,
  CommandError,
  type Context,
  configOf,
  faultsText,
  JSON_OPTION,
  jsonText,
  loadOrFail,
  type Options,
  requiredOption,
  textOption,
  UsageError,
} from "../command.ts";
import { holding, Lines } from "./lines.ts";
import { filesOf, readWhole } from "./log-files.ts";

/** Groups that are told apart, and the ids that are kept of each. */
const MOST_GROUPS = 10_000;
const EXAMPLES = 3;
const FAIL_ON = ["laxer", "stricter", "any"] as const;

export const REPLAY: Command = {
  usage: "replay [LOG]... --against DIR [--fail-on laxer|stricter|any] [--config FILE] [--json]",
  summary: "judge recorded decisions by other policies: what would change",
  help: `
A LOG is the agent's, with its decisions: a file, a directory of files, or - for standard input; gzip is unpacked. Each
decision is judged again by the policies in DIR, as of its time. What a line does not tell, and the other policies ask for,
makes it one that cannot be told: \`log.decisions: replayable\` records what the policies in force read. Without a LOG the
two sets of policies are compared: who gains and who loses access to what.
`,
  example: "countersign replay countersign.log --against candidate/ --fail-on laxer",
  options: {
    against: { type: "string", value: "DIR", help: "the other policies: a file or a directory" },
    "fail-on": {
      type: "string",
      value: "CHANGE",
      help: "exit code 1 where something is laxer, stricter, or any of both",
    },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [0, 100],
  run: replay,
};

async function replay(logs: readonly string[], options: Options, context: Context): Promise<number> {
  const failOn = textOption(options, "fail-on");
  if (failOn !== undefined && !FAIL_ON.some((each) => each === failOn))
    throw new UsageError(`--fail-on: ${failOn}; one of ${FAIL_ON.join(", ")}`);
  const candidate = await candidateOf(options, context);
  if (logs.length === 0) return compare(candidate, failOn, options, context);
  const groups = new Groups();
  for (const log of logs) {
    for (const file of await filesOf(log)) {
      const lines = new Lines([holding("request_id")], (line) => {
        const event = eventOf(line);
        if (event?.log === "decisions")
          groups.add(event.record, judgeAgain(candidate, recordedOf(event.record, event.at)));
      });
      await readWhole(file, (chunk) => lines.push(chunk));
      lines.end();
    }
  }
  context.out(options.json === true ? jsonText(groups.report()) : groups.text());
  return fails(failOn, groups.counts.laxer, groups.counts.stricter) ? EXIT.bad : EXIT.fine;
}

async function candidateOf(options: Options, context: Context): Promise<CompiledPolicies> {
  const policies = [resolve(requiredOption(options, "against"))];
  const outcome = await load(configOf(options, context), context, { ...ALL, policies });
  if (outcome.loaded !== undefined) return outcome.loaded.policies;
  throw new CommandError(faultsText(outcome.faults), EXIT.configuration);
}

function fails(failOn: string | undefined, laxer: number, stricter: number): boolean {
  return (
    (failOn !== "stricter" && failOn !== undefined && laxer > 0) ||
    (["stricter", "any"].includes(failOn ?? "") && stricter > 0)
  );
}

/** Without a log: what the sets themselves say. */
async function compare(
  candidate: CompiledPolicies,
  failOn: string | undefined,
  options: Options,
  context: Context,
): Promise<number> {
  const { policies } = await loadOrFail(options, context);
  const differences = differencesOf(policies, candidate);
  if (options.json === true) context.out(jsonText({ differences }));
  else context.out(differences.length === 0 ? "no difference\n" : differences.map(differenceText).join(""));
  const count = (change: Difference["change"]) => differences.filter((each) => each.change === change).length;
  return fails(failOn, count("new") + count("undecided"), count("lost") + count("undecided")) ? EXIT.bad : EXIT.fine;
}

function differenceText({ host, method, path, change, what }: Difference): string {
  return `${change.padEnd(9)}  ${method} ${host}${path}  ${what}\n`;
}

/** What a line tells. */
function recordedOf(record: DecisionRecord, at: number): Recorded {
  const { verdict, reason, rule, src, issuer, replay = {} } = record;
  const [method, host, path] = [whole(record, "method"), whole(record, "host"), whole(record, "path")];
  const [client, actor] = [whole(record, "client", null), whole(record, "actor", null)];
  const { tls, headers, authenticated_at: authenticatedAt, expires_at: expiresAt, ...own } = replay;
  const kind = record.kind === "unknown" || record.kind === undefined ? null : (record.kind as Kind);
  return {
    verdict,
    reason,
    rule,
    request: given({ method, host, path, src, time: at, tls, headers, mcp: messageOf(record) }),
    principal:
      issuer === undefined || record.subject === undefined
        ? undefined
        : given({
            ...own,
            issuer,
            subject: whole(record, "subject"),
            kind,
            client,
            actor: actor === null ? null : actorsOf(actor, record.actors),
            authenticatedAt,
            expiresAt,
          }),
  };
}

/** What was said to an MCP server, where that was looked at. */
function messageOf({ reason, mcp_method: method, mcp_tool: tool }: DecisionRecord): McpMessage | Reason | undefined {
  if (method !== undefined) return { method: method === "" ? undefined : method, tool, by: "body" };
  return reason.startsWith("mcp-") ? (reason as Reason) : undefined;
}

/** A text of a record; what stands for one that was cut, and so fits nothing that policies have. */
function whole(
  record: DecisionRecord,
  name: "method" | "host" | "path" | "subject" | "client" | "actor",
  cut?: null,
): string | null | undefined {
  const text = record[name];
  return typeof text === "string" && text.endsWith("…") && text.length >= DECISION_FIELDS[name].max - 1 ? cut : text;
}

/** More are not taken from a log: agents refuse a token with more. */
const MOST_ACTORS = 10;

function actorsOf(actor: string | undefined, count = 1): readonly (string | undefined)[] | undefined {
  if (actor === undefined) return undefined;
  return Array.from({ length: Math.min(count, MOST_ACTORS) }, (_, n) => (n === 0 ? actor : undefined));
}

/** Without what is undefined: it was not recorded. What a log says otherwise than the agent writes it fits no policy. */
function given<T>(entries: Readonly<Record<string, unknown>>): T {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as T;
}

interface Group {
  readonly outcome: Outcome;
  readonly rule: string;
  readonly subject: string;
  readonly reason: string;
  count: number;
  readonly examples: string[];
}

/** Decisions that changed alike, by rule and subject. */
class Groups {
  readonly counts = { same: 0, laxer: 0, stricter: 0, reason: 0, unclear: 0 };
  readonly #groups = new Map<string, Group>();
  #untold = 0;

  add(record: DecisionRecord, outcome: Outcome): void {
    this.counts[outcome.change]++;
    if (outcome.change === "same") return;
    const subject = record.subject === undefined ? "" : `${record.subject} of ${record.issuer}`;
    const { rule, reason, request_id } = record;
    const key = JSON.stringify([outcome, rule, subject, reason]);
    let group = this.#groups.get(key);
    if (group === undefined) {
      if (this.#groups.size >= MOST_GROUPS) {
        this.#untold++;
        return;
      }
      group = { outcome, rule, subject, reason, count: 0, examples: [] };
      this.#groups.set(key, group);
    }
    group.count++;
    if (group.examples.length < EXAMPLES) group.examples.push(request_id);
  }

  /** The gravest first, then the most frequent. */
  get #sorted(): readonly Group[] {
    const order = ["laxer", "stricter", "unclear", "reason"];
    const rank = ({ outcome }: Group) => order.indexOf(outcome.change);
    return [...this.#groups.values()].sort((a, b) => rank(a) - rank(b) || b.count - a.count);
  }

  report(): object {
    const changes = this.#sorted.map(({ outcome, ...rest }) => ({ ...rest, ...outcome, was: rest.reason }));
    return { ...this.counts, changes, untold: this.#untold };
  }

  text(): string {
    const { same, laxer, stricter, reason, unclear } = this.counts;
    const head = `${same + laxer + stricter + reason + unclear} decisions: ${same} the same, ${laxer} laxer, ${stricter} stricter, ${reason} for another reason, ${unclear} that cannot be told\n`;
    const rest = this.#untold > 0 ? `and ${this.#untold} more, in further groups\n` : "";
    return head + this.#sorted.map(groupText).join("") + rest;
  }
}

function groupText({ outcome, rule, subject, reason, count, examples }: Group): string {
  const now =
    outcome.change === "same" || outcome.change === "unclear"
      ? `cannot be told without ${outcome.change === "unclear" ? outcome.missing.join(", ") : ""}`
      : `now ${outcome.reason}${outcome.rule === rule ? "" : ` by ${outcome.rule}`}`;
  const who = subject === "" ? "nobody in particular" : subject;
  return `${outcome.change.padEnd(8)}  ${String(count).padStart(7)}  ${plainText(`${rule || "no rule"}  ${who}  was ${reason}, ${now}`, 600)}  (${examples.join(", ")})\n`;
}
