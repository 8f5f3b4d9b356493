import { parseArgs } from "node:util";
import { nearest } from "../../policies/source/validate.ts";
import { EXIT } from "../processes/exit.ts";
import { VERSION } from "../processes/version.ts";
import { AUDIT } from "./audit/audit.ts";
import { CHECK } from "./check/check.ts";
import { type Command, CommandError, type Context, type Options, UsageError } from "./command.ts";
import { DOCTOR } from "./doctor.ts";
import { EXPLAIN } from "./explain/explain.ts";
import { GENERATE } from "./generate/generate.ts";
import { INIT } from "./init.ts";
import { KEYS } from "./keys/keys.ts";
import { REPLAY } from "./logs/replay.ts";
import { TAP } from "./logs/tap.ts";
import { TRACE } from "./logs/trace.ts";
import { SERVE } from "./serve.ts";
import { SESSIONS } from "./sessions.ts";
import { TEST } from "./test.ts";

/** All commands by name. docs/commands.md describes each; a test holds both equal. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  init: INIT,
  serve: SERVE,
  check: CHECK,
  explain: EXPLAIN,
  test: TEST,
  generate: GENERATE,
  trace: TRACE,
  replay: REPLAY,
  tap: TAP,
  keys: KEYS,
  sessions: SESSIONS,
  audit: AUDIT,
  doctor: DOCTOR,
};

/** Runs what the command line says. @returns the exit code; nothing is thrown */
export async function run(argv: readonly string[], context: Context): Promise<number> {
  const [name, ...rest] = argv;
  if (name === "--version") return said(context, `countersign ${VERSION}\n`);
  if (name === "--help" || name === "help") return said(context, overview());
  if (name === undefined) return misused(context, `which command?\n\n${overview()}`);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const close = nearest(name, Object.keys(COMMANDS));
    return misused(
      context,
      `no command ${name}${close === undefined ? "" : `; did you mean ${close}?`}\nSee countersign --help\n`,
    );
  }
  return attempt(command, rest, context);
}

async function attempt(command: Command, argv: readonly string[], context: Context): Promise<number> {
  if (argv.includes("--help")) return said(context, helpOf(command));
  try {
    const { options, positionals } = parse(command, argv);
    return await command.run(positionals, options, context);
  } catch (error) {
    if (error instanceof UsageError) return misused(context, `${error.message}\n\n${usageOf(command)}`);
    if (error instanceof CommandError) {
      context.err(error.message.endsWith("\n") ? error.message : `${error.message}\n`);
      return error.code;
    }
    context.err(
      `This is a bug in Countersign; please report it.\n${error instanceof Error ? error.stack : String(error)}\n`,
    );
    return EXIT.bug;
  }
}

function parse(command: Command, argv: readonly string[]): { options: Options; positionals: readonly string[] } {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { type, multiple = false }]) => [name, { type, multiple }]),
  );
  try {
    const parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
    checkPositionals(command, parsed.positionals);
    return { options: parsed.values, positionals: parsed.positionals };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(misspelt(error, Object.keys(command.options)));
  }
}

function checkPositionals({ positionals: [fewest, most] }: Command, given: readonly string[]): void {
  if (given.length < fewest) throw new UsageError("an argument is missing");
  if (given.length > most) throw new UsageError(`one argument too many: ${given[most]}`);
}

/** parseArgs' first sentence, and the option that was probably meant. */
function misspelt(error: unknown, options: readonly string[]): string {
  const text = error instanceof Error ? (error.message.split(". ")[0] ?? "") : String(error);
  const unknown = /^Unknown option '--([^']+)'/.exec(text)?.[1];
  const close = unknown === undefined ? undefined : nearest(unknown, options);
  return close === undefined ? text : `${text}; did you mean --${close}?`;
}

function said(context: Context, text: string): number {
  context.out(text);
  return EXIT.fine;
}

function misused(context: Context, text: string): number {
  context.err(text);
  return EXIT.usage;
}

function overview(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const list = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `countersign ${VERSION}: who is this, and may they? An authorization agent for HAProxy.

Usage: countersign COMMAND [OPTIONS]

${list.join("\n")}

countersign COMMAND --help says more. The configuration is --config FILE, else the file that
COUNTERSIGN_CONFIG names, else ./countersign.yaml, else /etc/countersign/countersign.yaml.
`;
}

function usageOf({ usage }: Command): string {
  return `Usage: countersign ${usage}\nSee countersign ${usage.split(" ")[0]} --help\n`;
}

function helpOf({ usage, summary, help, example, options }: Command): string {
  const rows = Object.entries({ ...options, help: { help: "say this", value: undefined } }).map(
    ([name, { help: text, value }]) => [value === undefined ? `--${name}` : `--${name} ${value}`, text] as const,
  );
  const width = Math.max(...rows.map(([name]) => name.length));
  return `Usage: countersign ${usage}

${summary[0]?.toUpperCase()}${summary.slice(1)}.
${help}
Options:
${rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join("\n")}

Example:
${example.replace(/^/gm, "  ")}
`;
}
