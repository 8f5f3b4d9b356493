import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type CheckReport, checkHaproxy } from "../../../haproxy/check/check.ts";
import type { Knowledge } from "../../../haproxy/check/protection.ts";
import type { SourceFile } from "../../../haproxy/check/reader.ts";
import { VERSIONS } from "../../../haproxy/check/world.ts";
import { nearest } from "../../../policies/source/validate.ts";
import { problemOf } from "../../config/files/read-file.ts";
import type { Loaded } from "../../loading/load.ts";
import { EXIT } from "../../processes/exit.ts";
import { CommandError, type Options, textOption, UsageError } from "../command.ts";

/** Options of `check` that are about HAProxy's files. */
export const HAPROXY_OPTIONS = {
  haproxy: {
    type: "string",
    multiple: true,
    value: "FILE",
    help: "prove HAProxy's files too; several, or directories, as for its -f",
  },
  "haproxy-version": {
    type: "string",
    value: "VERSION",
    help: "with --haproxy: which HAProxy reads them; default: 2.6 to 3.5",
  },
  define: { type: "string", multiple: true, value: "X=Y", help: "with --haproxy: a variable of HAProxy's environment" },
  public: {
    type: "string",
    multiple: true,
    value: "BACKEND",
    help: "with --haproxy: a backend that anybody may reach",
  },
  sarif: { type: "boolean", help: "with --haproxy: write SARIF, for code reviews" },
} as const;

/** Most bytes of one of HAProxy's files, and most files of a directory. */
const LARGEST = 16 << 20;
const MOST_FILES = 1000;

/** The files that `--haproxy` and the words after it name; undefined where it is not asked for. @throws UsageError */
export function haproxyFiles(options: Options, positionals: readonly string[]): readonly string[] | undefined {
  const named = listOption(options, "haproxy");
  const [alone] = [
    ...positionals,
    ...["haproxy-version", "define", "public", "sarif"]
      .filter((name) => options[name] !== undefined)
      .map((name) => `--${name}`),
  ];
  if (named.length > 0) return [...named, ...positionals];
  if (positionals.length > 0) throw new UsageError(`one argument too many: ${alone}`);
  if (alone !== undefined) throw new UsageError(`${alone} goes with --haproxy FILE`);
  return undefined;
}

/**
 * Proves HAProxy's files.
 *
 * @param loaded configuration and policies, where there are some
 * @throws CommandError where a file cannot be read
 */
export function proveHaproxy(paths: readonly string[], options: Options, loaded: Loaded | undefined): CheckReport {
  const version = textOption(options, "haproxy-version");
  const [, minor] = /^(\d\.\d)(?:\.\d{1,3})?$/.exec(version ?? "") ?? [];
  if (version !== undefined && !VERSIONS.some((one) => one === minor))
    throw new UsageError(`--haproxy-version: "${version}" is not a version from 2.6 to 3.5, like 3.2 or 3.2.26`);
  const defines = listOption(options, "define").map((text) => {
    const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(text);
    if (match === null) throw new UsageError(`--define: "${text}" is not NAME=VALUE`);
    return [match[1] ?? "", match[2] ?? ""] as const;
  });
  return checkHaproxy({
    files: paths.flatMap(filesAt).map(sourceFile),
    readFile: (path) => textOf(path),
    nearest,
    version,
    defines: new Map(defines),
    ...knowledgeOf(loaded),
    public: listOption(options, "public"),
  });
}

/** What policies and configuration say of what is protected. */
function knowledgeOf(loaded: Loaded | undefined): Omit<Knowledge, "public"> {
  if (loaded === undefined) return { backends: [], identityPrefix: undefined, identityHeaders: [] };
  const { config, policies } = loaded;
  const routes = policies.services.flatMap((service) => service.routes);
  return {
    backends: [...new Set([...Object.keys(config.haproxy.backends), ...routes.map(({ backend }) => backend)])],
    identityPrefix: config.haproxy.identityPrefix,
    identityHeaders: policies.uses.identityHeaders.map(({ name }) => name),
  };
}

function listOption(options: Options, name: string): readonly string[] {
  const value = options[name];
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

/** A file, or the files of a directory that HAProxy would read, in its order. */
function filesAt(path: string): readonly string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path).filter((name) => !name.startsWith(".") && name.indexOf(".cfg") === name.length - 4);
    const files = names.sort().map((name) => join(path, name));
    if (files.length > MOST_FILES) throw new CommandError(`${path}: more than ${MOST_FILES} files`, EXIT.bad);
    return files.filter((file) => statSync(file).isFile());
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw unreadable(path, error);
  }
}

function sourceFile(name: string): SourceFile {
  try {
    if (statSync(name).size > LARGEST)
      throw new CommandError(`${name}:1:1: it has more than ${LARGEST} bytes`, EXIT.bad);
    return { name, text: readFileSync(name, "utf8") };
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw unreadable(name, error);
  }
}

function unreadable(name: string, error: unknown): CommandError {
  return new CommandError(`${name}: cannot be read: ${problemOf(error)}`, EXIT.noInput);
}

/** The text of a file that HAProxy's files name; undefined where there is none. */
function textOf(path: string): string | undefined {
  try {
    const stat = statSync(path);
    return stat.isFile() && stat.size <= LARGEST ? readFileSync(path, "utf8") : undefined;
  } catch {
    return undefined;
  }
}
