import { existsSync } from "node:fs";
import { isIP } from "node:net";
import type { ParseArgsOptionsConfig } from "node:util";
import { type Fault, faultText } from "../../policies/fault.ts";
import { readInstant } from "../../policies/instant.ts";
import { configFile } from "../config/load-config.ts";
import { type Loaded, load } from "../loading/load.ts";
import { EXIT } from "../processes/exit.ts";
import type { Signals } from "../processes/signals.ts";

/** Where a command writes, and what it knows of the world. */
export interface Context {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Writes a text as it is. */
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly colours: boolean;
  readonly signals: Signals;
}

/** Options as parsed: a text, several, or a switch. */
export type Options = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

export interface Command {
  /** `countersign NAME ARGUMENTS` */
  readonly usage: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `--help` says beyond usage and options. */
  readonly help: string;
  readonly example: string;
  readonly options: Readonly<
    Record<string, ParseArgsOptionsConfig[string] & { readonly help: string; readonly value?: string }>
  >;
  /** Fewest and most positional arguments. */
  readonly positionals: readonly [fewest: number, most: number];
  run(positionals: readonly string[], options: Options, context: Context): Promise<number>;
}

/** A mistake on the command line: told with the command's usage, exit code 64. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Something the command cannot go on without: told as it is, with the exit code. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly code: number;

  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

export const CONFIG_OPTION = {
  config: { type: "string", value: "FILE", help: "the configuration; default: see countersign --help" },
} as const;

export const JSON_OPTION = { json: { type: "boolean", help: "write JSON, for programs" } } as const;

/** The option's text. */
export function textOption(options: Options, name: string): string | undefined {
  const value = options[name];
  return typeof value === "string" ? value : undefined;
}

/** A command that does several things, and was told to do none of them. @param there what it does */
export function whichOf(command: string, there: string, told = ""): UsageError {
  return new UsageError(`${command} what? There ${there}${told === "" ? "" : `, not ${told}`}`);
}

/** An address without port. @throws UsageError where it is none */
export function addressOption(options: Options, name: string): string | undefined {
  const value = textOption(options, name);
  if (value !== undefined && isIP(value) === 0)
    throw new UsageError(`--${name}: ${JSON.stringify(value)} is not an address like 192.0.2.1 or 2001:db8::1`);
  return value;
}

/** @throws UsageError where the option is absent */
export function requiredOption(options: Options, name: string): string {
  const value = textOption(options, name);
  if (value === undefined || value === "") throw new UsageError(`--${name} is missing`);
  return value;
}

/** Milliseconds since the epoch of `2027-06-01T12:00:00Z`, or of `2027-06-01`, which is its beginning in UTC. */
export function instantOf(text: string): number | undefined {
  return readInstant(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text);
}

/** The configuration file that a command is to use. @throws CommandError where there is none, or the one named is not */
export function configOf(options: Options, { environment }: Context): string {
  const file = configFile(textOption(options, "config"), environment);
  if (typeof file === "string" && (typeof options.config !== "string" || existsSync(file))) return file;
  if (typeof file === "string") throw new CommandError(`${file}: cannot be read: there is no such file`, EXIT.noInput);
  throw new CommandError(file.fault, EXIT.configuration);
}

/** Configuration and policies, whole. @throws CommandError that lists every fault */
export async function loadOrFail(options: Options, context: Context): Promise<Loaded> {
  const outcome = await load(configOf(options, context), context);
  if (outcome.loaded !== undefined) return outcome.loaded;
  throw new CommandError(faultsText(outcome.faults), EXIT.configuration);
}

/** One line a fault. */
export function faultsText(faults: readonly Fault[]): string {
  return faults.map((fault) => `${faultText(fault)}\n`).join("");
}

/** In V8 since 11.4, and not yet in TypeScript's library. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** @param value may hold bigints, which are written digit by digit */
export function jsonText(value: unknown): string {
  const exact = (_: string, member: unknown) => (typeof member === "bigint" ? rawJSON(String(member)) : member);
  return `${JSON.stringify(value, exact, 2)}\n`;
}
