import { resolve } from "node:path";
import type { RenderInput } from "../../../haproxy/input.ts";
import { contractOf, renderFragment, renderHaproxy } from "../../../haproxy/render.ts";
import { isNameable, SPOE_FILE, spoeFile } from "../../../haproxy/spoe-file.ts";
import { EXIT } from "../../processes/exit.ts";
import {
  CONFIG_OPTION,
  type Command,
  CommandError,
  type Context,
  JSON_OPTION,
  jsonText,
  loadOrFail,
  type Options,
  textOption,
  UsageError,
  whichOf,
} from "../command.ts";
import { generateLinkerd } from "./generate-linkerd.ts";
import { renderInputOf } from "./render-input.ts";
import { replaceGenerated } from "./replace-generated.ts";

export const GENERATE: Command = {
  usage:
    "generate haproxy [--fragment [--installed-in DIR]] | generate linkerd [--report | --check FILE|-], [--output DIR] [--config FILE] [--json]",
  summary: "write HAProxy's side, haproxy.cfg and countersign.spoe.conf, or Linkerd's, linkerd.yaml",
  help: `
The same configuration and policies give the same bytes. With --fragment, countersign.cfg goes with your own haproxy.cfg
instead: haproxy -f haproxy.cfg -f countersign.cfg. A file that was not generated is never overwritten.

generate linkerd writes linkerd.yaml and kustomization.yaml: who may call the meshed Services of the policies, and where.
`,
  example: "countersign generate haproxy --output /etc/haproxy",
  options: {
    output: {
      type: "string",
      value: "DIR",
      help: "where to write; default: the current directory. With linkerd, - is the standard output",
    },
    check: {
      type: "string",
      value: "FILE",
      help: "with linkerd: write nothing, and compare with a cluster's export, `kubectl get … -o yaml`; - is the standard input",
    },
    report: { type: "boolean", help: "with linkerd: write nothing, and tell what the mesh cannot ask for" },
    fragment: { type: "boolean", help: "for an existing haproxy.cfg" },
    "installed-in": {
      type: "string",
      value: "DIR",
      help: "with --fragment: where HAProxy will find the files; default: --output",
    },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [0, 1],
  run: generate,
};

async function generate([what]: readonly string[], options: Options, context: Context): Promise<number> {
  if (what === "linkerd") return generateLinkerd(options, context);
  if (what !== "haproxy") throw whichOf("generate", "is generate haproxy and linkerd", what);
  for (const name of ["report", "check"]) {
    if (options[name] !== undefined) throw new UsageError(`--${name} goes with generate linkerd`);
  }
  const { config, policies } = await loadOrFail(options, context);
  const output = textOption(options, "output") ?? ".";
  const installed = textOption(options, "installed-in");
  if (installed !== undefined && options.fragment !== true) {
    throw new UsageError("--installed-in goes with --fragment: haproxy.cfg finds countersign.spoe.conf beside itself");
  }
  const place = options.fragment === true ? (installed ?? output) : undefined;
  const files = haproxyFiles(renderInputOf(config, policies), place);
  const written = replaceGenerated(output, files);
  if (options.json === true) context.out(jsonText({ written }));
  else context.out(written.map((file) => `written: ${file}\n`).join(""));
  return EXIT.fine;
}

/**
 * The files by name.
 *
 * @param place for a fragment: the directory where HAProxy will find the SPOE file
 * @throws CommandError where a backend has no server to render, or HAProxy could not be told of the place
 */
export function haproxyFiles(input: RenderInput, place?: string): Readonly<Record<string, string>> {
  if (place !== undefined) {
    return { "countersign.cfg": renderFragment(input, placed(place)), [SPOE_FILE]: spoeFile(input, contractOf(input)) };
  }
  const bare = input.backends.find(({ servers }) => servers.length === 0);
  if (bare === undefined) return { ...renderHaproxy(input) };
  const message = `the backend "${bare.name}" has no servers: add \`haproxy: { backends: { ${bare.name}: [HOST:PORT] } }\` to the configuration; or, where your own haproxy.cfg has it, say \`external\` there and use --fragment`;
  throw new CommandError(message, EXIT.configuration);
}

/** The SPOE file's absolute path in a directory. */
function placed(directory: string): string {
  const path = resolve(directory, SPOE_FILE);
  if (isNameable(path)) return path;
  const message = `HAProxy's configuration cannot name ${JSON.stringify(path)}: give another --output or --installed-in, whose path has neither ' nor control characters`;
  throw new CommandError(message, EXIT.configuration);
}
