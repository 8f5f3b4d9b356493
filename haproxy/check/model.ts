import { dirname, isAbsolute, join } from "node:path";
import type { ProxySection } from "./proxies.ts";
import { proxiesOf } from "./proxies.ts";
import { read, type SourceFile, type SyntaxFault } from "./reader.ts";
import { type Section, sectionsOf } from "./sections.ts";
import { type Engine, engineOf, option } from "./spoe.ts";
import { at, isUnknown, type Statement, texts } from "./where.ts";
import type { World } from "./world.ts";

/** The configuration as one world's HAProxy has it in mind. */
export interface Model {
  readonly world: World;
  readonly sections: readonly Section[];
  readonly proxies: readonly ProxySection[];
  readonly engines: ReadonlyMap<ProxySection, readonly Engine[]>;
  readonly variables: ReadonlySet<string>;
  /** Reads a file that a line names, seen from the file that the line stands in; undefined where it cannot be read. */
  named(path: string, from: Statement): SourceFile | undefined;
  /** What HAProxy would not load. */
  readonly faults: readonly SyntaxFault[];
  /** What could not be looked at: a file that is not there. */
  readonly missing: readonly SyntaxFault[];
}

/** Gives a file's text; undefined where it cannot be read. */
export type ReadFile = (path: string) => string | undefined;

const VARIABLE = /\b(?:proc|sess|txn|req|res|psess|ptxn|preq|pres)\.[A-Za-z0-9_.]+/g;

/** Reads files into a model, as this world's HAProxy would. */
export function modelOf(files: readonly SourceFile[], readFile: ReadFile, world: World): Model {
  const reading = read(files, world);
  const faults = [...reading.faults];
  const missing: SyntaxFault[] = [];
  const sections = sectionsOf(reading, faults);
  const proxies = proxiesOf(sections);
  const engines = new Map<ProxySection, readonly Engine[]>();
  const named = (path: string, from: Statement) => fileNamed(path, from, readFile);
  for (const proxy of proxies) {
    const filters = proxy.statements.filter(({ words }) => words[0]?.text === "filter" && words[1]?.text === "spoe");
    engines.set(
      proxy,
      filters.flatMap((filter) => {
        const path = option(filter, "config");
        const file = path === undefined ? undefined : named(path, filter);
        const engine = file === undefined ? undefined : engineOf(filter, file, world, faults);
        if (engine !== undefined) return [engine];
        const name = option(filter, "config") ?? "";
        const why = file === undefined ? `cannot read ${name}` : `${name} has no spoe-agent for this filter`;
        missing.push({ ...at(filter, 0), found: why, right: "put it where the filter says, seen from haproxy.cfg" });
        return [];
      }),
    );
  }
  return { world, sections, proxies, engines, variables: variablesOf(sections, engines), named, faults, missing };
}

/**
 * A file that a line names: where its path leads, else beside the file that names it. A path of another machine's leads nowhere
 * here, and the file is then mostly beside the haproxy.cfg that was given.
 */
function fileNamed(path: string, from: Statement, readFile: ReadFile): SourceFile | undefined {
  if (isUnknown(path)) return undefined;
  const beside = dirname(from.file);
  const places = isAbsolute(path)
    ? [path, join(beside, path.slice(path.lastIndexOf("/") + 1))]
    : [join(beside, path), path];
  for (const name of places) {
    const text = readFile(name);
    if (text !== undefined) return { name, text };
  }
  return undefined;
}

function variablesOf(
  sections: readonly Section[],
  engines: ReadonlyMap<ProxySection, readonly Engine[]>,
): ReadonlySet<string> {
  const lines = sections.flatMap(({ statements }) => statements.flatMap((statement) => texts(statement)));
  const names = lines.flatMap((text) => text.match(VARIABLE) ?? []);
  const errors = [...engines.values()]
    .flat()
    .flatMap(({ prefix, onError }) => (onError === undefined ? [] : [`txn.${prefix}.${onError}`]));
  const always = [...engines.values()].flat().flatMap(({ prefix }) => [`txn.${prefix}.verdict`, `txn.${prefix}.id`]);
  return new Set([...names, ...errors, ...always]);
}
