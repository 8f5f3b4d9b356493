import { InexpressibleError } from "../../linkerd/inexpressible.ts";
import type { LinkerdInput } from "../../linkerd/input.ts";
import { KUSTOMIZATION, oneLine, renderManifests } from "../../linkerd/render.ts";
import { unenforced } from "../../linkerd/report.ts";
import { EXIT } from "../processes/exit.ts";
import { CommandError, type Context, jsonText, loadOrFail, type Options, textOption, UsageError } from "./command.ts";
import { replaceGenerated } from "./replace-generated.ts";

/** `generate linkerd`: manifests, or what they cannot say. */
export async function generateLinkerd(options: Options, context: Context): Promise<number> {
  if (options.fragment === true || options["installed-in"] !== undefined) {
    throw new UsageError("--fragment and --installed-in go with generate haproxy");
  }
  const input = await linkerdInput(options, context);
  try {
    return options.report === true ? report(input, options, context) : write(input, options, context);
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
  if (policies.services.every(({ mesh }) => mesh === undefined)) {
    throw new CommandError(
      "no service of the policies has a `mesh`: add one to those that are meshed",
      EXIT.configuration,
    );
  }
  return { revision: policies.revision, mesh: config.mesh, services: policies.services };
}

function write(input: LinkerdInput, options: Options, context: Context): number {
  const text = renderManifests(input);
  const output = textOption(options, "output") ?? ".";
  if (output === "-") {
    if (options.json === true) throw new UsageError("--json tells of files, and `--output -` writes none");
    context.out(text);
    return EXIT.fine;
  }
  const written = replaceGenerated(output, { "linkerd.yaml": text, "kustomization.yaml": KUSTOMIZATION });
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
