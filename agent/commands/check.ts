import { buffersFor, DEFAULT_BUFSIZE } from "../../haproxy/buffers.ts";
import { addedHeaders } from "../../haproxy/input.ts";
import type { Fault } from "../../policies/fault.ts";
import { type Loaded, load } from "../loading/load.ts";
import { EXIT } from "../processes/exit.ts";
import {
  CONFIG_OPTION,
  type Command,
  type Context,
  configOf,
  faultsText,
  JSON_OPTION,
  jsonText,
  type Options,
} from "./command.ts";
import { renderInputOf } from "./render-input.ts";

export const CHECK: Command = {
  usage: "check [--config FILE] [--json]",
  summary: "check configuration and policies without starting anything",
  help: `
Every fault is told at once, as file:line:column: what was found; what would be right. Exit code 1 where there is one.
Warnings are about what is allowed but hardly meant.
`,
  example: "countersign check --config countersign.yaml",
  options: { ...CONFIG_OPTION, ...JSON_OPTION },
  positionals: [0, 0],
  run: check,
};

async function check(_positionals: readonly string[], options: Options, context: Context): Promise<number> {
  const file = configOf(options, context);
  const outcome = await load(file, context);
  const faults: readonly Fault[] = outcome.loaded === undefined ? outcome.faults : [];
  const warnings = outcome.loaded === undefined ? outcome.warnings : outcome.loaded.warnings;
  const summary = outcome.loaded === undefined ? undefined : summaryOf(outcome.loaded);
  if (options.json === true)
    context.out(jsonText({ faults: faults.map(bare), warnings: warnings.map(bare), ...summary }));
  else {
    context.err(faultsText(faults));
    context.err(warnings.map((warning) => `warning: ${faultsText([warning])}`).join(""));
    if (summary !== undefined) context.out(summaryText(file, summary));
  }
  return faults.length === 0 ? EXIT.fine : EXIT.bad;
}

/** The five members that docs/commands.md names, whoever found the fault. */
function bare({ file, line, column, found, right }: Fault): Fault {
  return { file, line, column, found, right };
}

interface Summary {
  readonly revision: string;
  readonly services: number;
  readonly routes: number;
  readonly issuers: number;
  /** Bytes that HAProxy's tune.bufsize must have for its connections to the agent to be pipelined. */
  readonly bufsize: number;
  /** Backends that the policies or the configuration name, and that the reader's own haproxy.cfg has to have. */
  readonly external_backends: readonly string[];
}

function summaryOf({ config, policies }: Loaded): Summary {
  const input = renderInputOf(config, policies);
  return {
    revision: policies.revision,
    services: policies.services.length,
    routes: policies.services.reduce((sum, { routes }) => sum + routes.length, 0),
    issuers: config.issuers.length,
    bufsize: buffersFor(input.largestAck, addedHeaders(input)).bufsize,
    external_backends: input.backends.filter(({ servers }) => servers.length === 0).map(({ name }) => name),
  };
}

function summaryText(file: string, summary: Summary): string {
  const { revision, services, routes, issuers, bufsize, external_backends: external } = summary;
  const own =
    external.length === 0
      ? ""
      : `Your own haproxy.cfg has to have these backends, for which haproxy.backends has no servers: ${external.join(", ")}.\n`;
  const buffers =
    bufsize > DEFAULT_BUFSIZE
      ? `HAProxy needs tune.bufsize ${bufsize} for these identity headers; the generated file has it.\n`
      : "";
  return `${file}: fine. Revision ${revision}, services: ${services}, routes: ${routes}, issuers: ${issuers}.\n${own}${buffers}`;
}
