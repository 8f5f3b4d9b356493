import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RenderInput } from "../../haproxy/input.ts";
import { contractOf, renderFragment, renderHaproxy } from "../../haproxy/render.ts";
import { spoeFile } from "../../haproxy/spoe-file.ts";
import { renderInputOf } from "../render-input.ts";
import {
  CONFIG_OPTION,
  type Command,
  CommandError,
  type Context,
  EXIT,
  JSON_OPTION,
  jsonText,
  loadOrFail,
  type Options,
  textOption,
  UsageError,
} from "./command.ts";

export const GENERATE: Command = {
  usage: "generate haproxy [--fragment] [--output DIR] [--config FILE] [--json]",
  summary: "write HAProxy's side: haproxy.cfg and countersign.spoe.conf",
  help: `
The same configuration and policies give the same bytes. With --fragment, countersign.cfg goes with your own haproxy.cfg
instead: haproxy -f haproxy.cfg -f countersign.cfg. A file that was not generated is never overwritten.
`,
  example: "countersign generate haproxy --output /etc/haproxy",
  options: {
    output: { type: "string", value: "DIR", help: "where to write; default: the current directory" },
    fragment: { type: "boolean", help: "for an existing haproxy.cfg" },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [1, 1],
  run: generate,
};

async function generate([what]: readonly string[], options: Options, context: Context): Promise<number> {
  if (what === "linkerd") throw new UsageError("generate linkerd is not in this version; there is generate haproxy");
  if (what !== "haproxy") throw new UsageError(`generate what? There is generate haproxy, not ${what}`);
  const { config, policies } = await loadOrFail(options, context);
  const files = haproxyFiles(renderInputOf(config, policies), options.fragment === true);
  const written = writeGenerated(textOption(options, "output") ?? ".", files);
  if (options.json === true) context.out(jsonText({ written }));
  else context.out(written.map((file) => `written: ${file}\n`).join(""));
  return EXIT.fine;
}

/** The files by name. @throws CommandError where a backend has no server to render */
export function haproxyFiles(input: RenderInput, fragment: boolean): Readonly<Record<string, string>> {
  if (fragment) {
    return { "countersign.cfg": renderFragment(input), "countersign.spoe.conf": spoeFile(input, contractOf(input)) };
  }
  const bare = input.backends.find(({ servers }) => servers.length === 0);
  if (bare === undefined) return { ...renderHaproxy(input) };
  const message = `the backend "${bare.name}" has no servers: add \`haproxy: { backends: { ${bare.name}: [HOST:PORT] } }\` to the configuration; or, where your own haproxy.cfg has it, say \`external\` there and use --fragment`;
  throw new CommandError(message, EXIT.configuration);
}

/** Every file that was generated says so in its first lines. */
const MARK = 'endered by "countersign generate haproxy';

/**
 * Writes generated files, each at once, so that a HAProxy which starts meanwhile reads the old one or the new one.
 *
 * @throws CommandError rather than overwrite a file that was not generated
 */
export function writeGenerated(directory: string, files: Readonly<Record<string, string>>): readonly string[] {
  const paths = Object.keys(files).map((name) => join(directory, name));
  for (const path of paths) {
    if (!existsSync(path) || readFileSync(path, "utf8").slice(0, 400).includes(MARK)) continue;
    throw new CommandError(
      `${path} is there and was not generated: it is left as it is. Give another --output, or move it away`,
      EXIT.configuration,
    );
  }
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory, name);
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }
  return paths;
}
