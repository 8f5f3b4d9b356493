import { loadConfig, readSettings } from "../../config/load-config.ts";
import type { Setting } from "../../config/presets/settings.ts";
import { ISSUER_TYPES } from "../../identity/types.ts";
import { EXIT } from "../../processes/exit.ts";
import { CommandError, type Context, configOf, faultsText, jsonText, type Options } from "../command.ts";

const LONGEST_KEY = 48;

/** Tells each value of the configuration that is in force, and where it comes from. */
export function explainConfig(options: Options, context: Context): number {
  const file = configOf(options, context);
  const loaded = loadConfig(file, context.environment, ISSUER_TYPES);
  if ("faults" in loaded) throw new CommandError(faultsText(loaded.faults), EXIT.configuration);
  const settings = readSettings(file, context.environment);
  context.out(options.json === true ? jsonText({ settings }) : textOf(settings));
  return EXIT.fine;
}

function textOf(settings: readonly Setting[]): string {
  const rows = settings.map(({ key, value, from }) => [key, written(value), from] as const);
  const width = (column: 0 | 1) => Math.min(LONGEST_KEY, Math.max(0, ...rows.map((row) => row[column].length)));
  const [first, second] = [width(0), width(1)];
  return rows.map(([key, value, from]) => `${key.padEnd(first)}  ${value.padEnd(second)}  ${from}\n`).join("");
}

/** As YAML may have it on one line. */
function written(value: unknown): string {
  if (typeof value === "string")
    return /^(?![\d.]+$)[A-Za-z0-9][\w./:+-]*$/.test(value) ? value : JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (typeof value !== "object" || value === null) return String(value);
  const members = Object.entries(value).map(([key, member]) => `${key}: ${written(member)}`);
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
}
