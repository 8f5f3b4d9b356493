import { buffersFor, DEFAULT_BUFSIZE } from "../../../haproxy/buffers.ts";
import type { CheckReport } from "../../../haproxy/check/check.ts";
import { findingsText, summaryText as haproxyText, sarifOf } from "../../../haproxy/check/report.ts";
import { addedUses } from "../../../haproxy/input.ts";
import type { Fault } from "../../../policies/fault.ts";
import { configFile } from "../../config/load-config.ts";
import { send } from "../../http/fetch.ts";
import { type Loaded, load } from "../../loading/load.ts";
import { EXIT } from "../../processes/exit.ts";
import { VERSION } from "../../processes/version.ts";
import {
  CONFIG_OPTION,
  type Command,
  type Context,
  configOf,
  faultsText,
  JSON_OPTION,
  jsonText,
  type Options,
} from "../command.ts";
import { renderInputOf } from "../generate/render-input.ts";
import { HAPROXY_OPTIONS, haproxyFiles, proveHaproxy } from "./check-haproxy.ts";
import { isFaulty, RESOURCE_OPTION, resourceUrls, tellResource } from "./check-resource.ts";
import { checkResource, type ResourceReport } from "./resource/resource.ts";

export const CHECK: Command = {
  usage: "check [--config FILE] [--haproxy FILE...] [--resource URL...] [--json]",
  summary: "check configuration and policies without starting anything, and prove HAProxy's files",
  help: `
Every fault of the configuration is told at once, then every fault of every policy file, as file:line:column: what was
found; what would be right. Exit code 1 where there is one.
Warnings are about what is allowed but hardly meant.

With --haproxy it is proven that no request reaches a protected backend without a verdict for it, and each line that
breaks that is told, with a request that gets through. Exit code 2 where nothing is wrong but something is not proven.
Without a configuration only HAProxy's files are looked at.

With --resource a running API is asked as an OAuth client asks that knows only this URL, such as one of MCP: what would
keep it from finding out where to get a token is told. Nobody is registered, and no token is shown.
`,
  example: "countersign check --config countersign.yaml --haproxy /etc/haproxy/haproxy.cfg",
  options: { ...CONFIG_OPTION, ...HAPROXY_OPTIONS, ...RESOURCE_OPTION, ...JSON_OPTION },
  positionals: [0, 100],
  run: check,
};

/** What was found in configuration and policies. */
interface Checked {
  readonly faults: readonly Fault[];
  readonly warnings: readonly Fault[];
  readonly loaded: Loaded | undefined;
  /** Policies were not looked at. */
  readonly unseen?: boolean;
}

async function check(positionals: readonly string[], options: Options, context: Context): Promise<number> {
  const paths = haproxyFiles(options, positionals);
  const urls = resourceUrls(options);
  const alone = (paths !== undefined || urls.length > 0) && isBare(options, context);
  const file = alone ? undefined : configOf(options, context);
  const checked = await checkedConfig(file, context);
  const report = paths === undefined ? undefined : proveHaproxy(paths, options, checked.loaded);
  const resources: ResourceReport[] = [];
  for (const url of urls) resources.push(await checkResource(send, url, checked.loaded));
  if (options.sarif === true && report !== undefined) context.out(jsonText(sarifOf(report, VERSION)));
  else if (options.json === true) context.out(jsonText(asJson(checked, report, resources)));
  else {
    tell(file, checked, report, context);
    for (const resource of resources) tellResource(resource, context);
  }
  return exitCode(checked, report, resources);
}

/** Whether nobody names a configuration, and there is none. */
function isBare(options: Options, { environment }: Context): boolean {
  return typeof options.config !== "string" && typeof configFile(undefined, environment) !== "string";
}

async function checkedConfig(file: string | undefined, context: Context): Promise<Checked> {
  if (file === undefined) return { faults: [], warnings: [], loaded: undefined };
  const outcome = await load(file, context);
  if (outcome.loaded === undefined) return outcome;
  return { faults: [], warnings: outcome.loaded.warnings, loaded: outcome.loaded };
}

function asJson(
  { faults, warnings, loaded }: Checked,
  report: CheckReport | undefined,
  resources: readonly ResourceReport[],
): unknown {
  const summary = loaded === undefined ? undefined : summaryOf(loaded);
  return { faults: faults.map(bare), warnings: warnings.map(bare), ...summary, haproxy: report ?? null, resources };
}

function tell(
  file: string | undefined,
  { faults, warnings, loaded, unseen }: Checked,
  report: CheckReport | undefined,
  context: Context,
): void {
  context.err(faultsText(faults));
  if (unseen === true) context.err("The policies were not looked at: they are held against a sound configuration.\n");
  context.err(warnings.map((warning) => `warning: ${faultsText([warning])}`).join(""));
  if (file !== undefined && loaded !== undefined) context.out(summaryText(file, summaryOf(loaded)));
  context.err(findingsText(report?.findings ?? []));
  if (report !== undefined) context.out(haproxyText(report));
  else if (file !== undefined) context.out(NOT_LOOKED);
}

const NOT_LOOKED = "HAProxy's own files were not looked at; --haproxy /etc/haproxy/haproxy.cfg proves them.\n";

function exitCode({ faults }: Checked, report: CheckReport | undefined, resources: readonly ResourceReport[]): number {
  const findings = report?.findings ?? [];
  if (resources.some(isFaulty) || faults.length > 0 || findings.some(({ level }) => level === "fault")) return EXIT.bad;
  return findings.some(({ level }) => level === "unproven") ? EXIT.unproven : EXIT.fine;
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
    bufsize: buffersFor(input.largestAck, addedUses(input), input.largestBody).bufsize,
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
      ? `HAProxy needs tune.bufsize ${bufsize} for these policies; the generated file has it.\n`
      : "";
  return `${file}: fine. Revision ${revision}, services: ${services}, routes: ${routes}, issuers: ${issuers}.\n${own}${buffers}`;
}
