import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { driftOf } from "../../../linkerd/compare.ts";
import { type Exported, readExport } from "../../../linkerd/export.ts";
import { InexpressibleError } from "../../../linkerd/inexpressible.ts";
import type { LinkerdInput } from "../../../linkerd/input.ts";
import { KUSTOMIZATION, oneLine, renderManifests } from "../../../linkerd/render.ts";
import { unenforced } from "../../../linkerd/report.ts";
import { isMeshIssuer } from "../../identity/mesh/section.ts";
import { EXIT } from "../../processes/exit.ts";
import { CommandError, type Context, jsonText, loadOrFail, type Options, textOption, UsageError } from "../command.ts";
import { replaceGenerated } from "./replace-generated.ts";

/** `generate linkerd`: manifests, or what they cannot say. */
export async function generateLinkerd(options: Options, context: Context): Promise<number> {
  if (options.fragment === true || options["installed-in"] !== undefined) {
    throw new UsageError("--fragment and --installed-in go with generate haproxy");
  }
  const instead = ["report", "check", "output"].filter((name) => options[name] !== undefined);
  if (instead.length > 1) throw new UsageError(`--${instead[0]} and --${instead[1]}: one of them`);
  const input = await linkerdInput(options, context);
  try {
    if (options.report === true) return report(input, options, context);
    const exported = textOption(options, "check");
    return exported === undefined ? write(input, options, context) : await check(exported, input, options, context);
  } catch (error) {
    if (!(error instanceof InexpressibleError)) throw error;
    throw new CommandError(
      `the mesh cannot be told exactly what the policies say:\n${error.message}`,
      EXIT.configuration,
    );
  }
}

/** @throws CommandError where the configuration has no mesh, or the policies have no meshed Service */
async function linkerdInput(options: Options, context: Context): Promise<LinkerdInput> {
  const { config, policies } = await loadOrFail(options, context);
  if (config.mesh === undefined) {
    const right = "add `mesh: { identity: ACCOUNT.NAMESPACE }`, of HAProxy's service account";
    throw new CommandError(`${config.file} has no \`mesh\`: ${right}`, EXIT.configuration);
  }
  const { revision, services } = policies;
  const ingress = config.issuers.find(isMeshIssuer);
  if (ingress === undefined && services.every(({ mesh }) => mesh === undefined)) {
    throw new CommandError(
      "no service of the policies has a `mesh`: add one to those that are meshed",
      EXIT.configuration,
    );
  }
  return { revision, mesh: config.mesh, services, ingress };
}

function write(input: LinkerdInput, options: Options, context: Context): number {
  const manifests = renderManifests(input);
  const output = textOption(options, "output") ?? ".";
  if (output === "-") {
    if (options.json === true) throw new UsageError("--json tells of files, and `--output -` writes none");
    context.out(manifests);
    return EXIT.fine;
  }
  const written = replaceGenerated(output, { "linkerd.yaml": manifests, "kustomization.yaml": KUSTOMIZATION });
  if (options.json === true) context.out(jsonText({ written }));
  else context.out(written.map((file) => `written: ${file}\n`).join(""));
  return EXIT.fine;
}

function report(input: LinkerdInput, options: Options, context: Context): number {
  const all = unenforced(input);
  if (options.json === true) context.out(jsonText({ unenforced: all }));
  else
    context.out(
      all.map(({ server, rule, what }) => `${server} ${rule === "" ? "-" : rule} ${oneLine(what)}\n`).join(""),
    );
  return EXIT.fine;
}

/** @param from a file, or `-` for the standard input */
async function check(from: string, input: LinkerdInput, options: Options, context: Context): Promise<number> {
  const drift = driftOf(input, await readFrom(from));
  if (options.json === true) context.out(jsonText({ drift }));
  else {
    context.out(drift.map((each) => `${each.drift} ${each.object}: ${oneLine(each.what)}\n`).join(""));
    if (drift.length === 0) context.out("the cluster has what the policies say\n");
  }
  return drift.length === 0 ? EXIT.fine : EXIT.bad;
}

async function readFrom(from: string): Promise<readonly Exported[]> {
  try {
    return readExport(from === "-" ? await text(process.stdin) : readFileSync(from, "utf8"));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const name = from === "-" ? "the standard input" : from;
    throw new CommandError(
      `${name} is no export of a cluster: ${reason}; what \`kubectl get … -o yaml\` gives`,
      EXIT.bad,
    );
  }
}
