import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type RequestOptions, request } from "node:http";
import { text as readAll } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { REASONS } from "../../../policies/decision.ts";
import { nearest } from "../../../policies/source/validate.ts";
import { eventOf } from "../../../records/event.ts";
import { loadConfig } from "../../config/load-config.ts";
import { ISSUER_TYPES } from "../../identity/types.ts";
import type { Address } from "../../net/address.ts";
import { EXIT } from "../../processes/exit.ts";
import { plainText } from "../../telemetry/safe-text.ts";
import { TAP_FIELDS } from "../../telemetry/taps.ts";
import {
  CONFIG_OPTION,
  type Command,
  CommandError,
  type Context,
  configOf,
  faultsText,
  JSON_OPTION,
  type Options,
  textOption,
  UsageError,
} from "../command.ts";
import { tappedText } from "./tap-line.ts";

/** Milliseconds between two questions, while the agent answers and while it does not. */
const PAUSE = 250;
const AWAY = 1_000;
/** Milliseconds for one answer. */
const PATIENCE = 5_000;
/** Bytes that may wait for a slow reader of ours. */
const MOST_WAITING = 1024 * 1024;

const VERDICTS = ["allow", "deny", "login"];

export const TAP: Command = {
  usage:
    "tap [--verdict V]... [--reason R]... [--rule RULE]... [--subject S]... [--host NAME]... [--path START]... [--agent URL] [--config FILE] [--json]",
  summary: "look on while the agent decides",
  help: `
Shows decisions as they are made, until interrupted. The agent tells them on its admin listener, to whoever is on the same
machine, or in the same pod. Of several options all must fit, of one that comes several times one value. At most 400 a
second are shown, and how many were left out: nothing that the agent has to do waits for it.
`,
  example: `countersign tap --verdict deny --host orders.example.com
kubectl exec deploy/haproxy -c countersign -- countersign tap --subject alice`,
  options: {
    verdict: { type: "string", value: "V", multiple: true, help: "allow, deny or login" },
    reason: { type: "string", value: "R", multiple: true, help: "such as role-missing" },
    rule: { type: "string", value: "RULE", multiple: true, help: "service/route, or the service alone" },
    subject: { type: "string", value: "S", multiple: true, help: "the principal's" },
    host: { type: "string", value: "NAME", multiple: true, help: "without port" },
    path: { type: "string", value: "START", multiple: true, help: "what the path begins with" },
    agent: {
      type: "string",
      value: "URL",
      help: "its admin listener, http://127.0.0.1:9901 or unix:/PATH; default: the configuration's",
    },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [0, 0],
  run: tap,
};

/** Where the admin listener is. */
interface Endpoint {
  readonly text: string;
  readonly options: RequestOptions;
}

/** What the agent has answered, or why it has not. */
type Answer = { readonly status: number; readonly body: string } | { readonly away: string };

async function tap(_: readonly string[], options: Options, context: Context): Promise<number> {
  const path = `/tap?${queryOf(options)}`;
  const endpoint = endpointOf(options, context);
  let [begun, away] = [false, false];
  for (;;) {
    const answer = await ask(endpoint, path);
    const problem = problemOf(answer, endpoint);
    if (problem !== undefined) {
      if (!away) context.err(`${problem}; trying again until it does\n`);
      away = true;
    } else if ("body" in answer) {
      if (away) context.err(`the agent at ${endpoint.text} answers\n`);
      show(answer.body, begun, options, context);
      [begun, away] = [true, false];
    }
    await setTimeout(away ? AWAY : PAUSE);
    if (process.stdout.writableLength > MOST_WAITING) await once(process.stdout, "drain");
  }
}

/** Why there are no decisions now. @throws CommandError where there never will be any */
function problemOf(answer: Answer, { text }: Endpoint): string | undefined {
  if ("away" in answer) return `the agent at ${text} does not answer (${answer.away})`;
  const { status, body } = answer;
  if (status === 200) return undefined;
  const said = `the agent at ${text} answers ${status}: ${plainText(body.trim(), 200)}`;
  if (status === 503 || status === 429) return said;
  throw new CommandError(said, EXIT.bad);
}

function show(body: string, again: boolean, options: Options, context: Context): void {
  const [head = "", ...lines] = body.split("\n").slice(0, -1);
  const { begun, left_out } = headOf(head);
  if (begun === true && again) context.err("what was decided meanwhile is not shown\n");
  for (const line of lines) {
    const event = eventOf(line);
    if (event?.log !== "decisions") continue;
    context.out(options.json === true ? `${line}\n` : tappedText(event.record, context.colours));
  }
  if (typeof left_out === "number" && left_out > 0) context.err(`… and ${left_out} more\n`);
}

function headOf(line: string): { readonly begun?: unknown; readonly left_out?: unknown } {
  try {
    return Object(JSON.parse(line));
  } catch {
    return {};
  }
}

function queryOf(options: Options): string {
  const query = new URLSearchParams({ name: randomBytes(8).toString("hex") });
  for (const field of TAP_FIELDS) {
    for (const value of [options[field] ?? []].flat().map(String)) {
      const known = field === "verdict" ? VERDICTS : field === "reason" ? Object.keys(REASONS) : undefined;
      if (known !== undefined && !known.includes(value)) throw unknown(field, value, known);
      query.append(field, value);
    }
  }
  return query.toString();
}

function unknown(field: string, value: string, known: readonly string[]): UsageError {
  const close = nearest(value, known);
  return new UsageError(
    `--${field}: ${value}; ${close === undefined ? `see docs/reasons.md` : `did you mean ${close}?`}`,
  );
}

function endpointOf(options: Options, context: Context): Endpoint {
  const given = textOption(options, "agent");
  if (given === undefined) return configured(options, context);
  if (given.startsWith("unix:/")) return { text: given, options: { socketPath: given.slice("unix:".length) } };
  const url = URL.parse(given);
  if (url?.protocol !== "http:") throw new UsageError(`--agent: ${given} is neither http://HOST:PORT nor unix:/PATH`);
  return { text: url.origin, options: { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port || 80 } };
}

function configured(options: Options, context: Context): Endpoint {
  const configured = loadConfig(configOf(options, context), context.environment, ISSUER_TYPES);
  if (!("config" in configured)) throw new CommandError(faultsText(configured.faults), EXIT.configuration);
  const { admin } = configured.config.listen;
  if (admin !== undefined) return reached(admin);
  throw new CommandError("the configuration has no listen.admin, where the agent would tell", EXIT.configuration);
}

/** One that listens on all addresses is found at its own. */
function reached(address: Address): Endpoint {
  if ("path" in address) return { text: `unix:${address.path}`, options: { socketPath: address.path } };
  const host = address.host.replace(/^0\.0\.0\.0$/, "127.0.0.1").replace(/^::$/, "::1");
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
  return { text: url, options: { host, port: address.port } };
}

function ask({ options }: Endpoint, path: string): Promise<Answer> {
  return new Promise((resolve) => {
    const away = (error: Error) => resolve({ away: "code" in error ? String(error.code) : error.message });
    const asked = request(
      { ...options, path, agent: false, headers: { host: "localhost" }, signal: AbortSignal.timeout(PATIENCE) },
      (response) => {
        readAll(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), away);
      },
    );
    asked.on("error", away).end();
  });
}
